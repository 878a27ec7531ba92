/** Deadlines that are due, read for the sweep without a lock (migration 0009-deadlines). */
import type { Alarm, Wait } from '../alarms/alarm.ts';
import { toIso } from '../base/clock.ts';
import type { Deadlines } from '../escalation/sweep.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

const DUE = 'select fold, deadline_at, deadline_what from due_deadlines($1, $2, $3)';

interface DueRow {
  readonly fold: Alarm;
  readonly deadline_at: Date;
  readonly deadline_what: Wait;
}

export function createDeadlines(postgres: Postgres): Deadlines {
  return {
    async due(now, limit, except) {
      const rows = await rowsOf<DueRow>(postgres, DUE, [toIso(now), limit, except], 'due-deadlines');
      return rows.map(({ fold, deadline_at: at, deadline_what: what }) => ({ alarm: fold, deadline: { at: at.getTime(), what } }));
    },
  };
}
