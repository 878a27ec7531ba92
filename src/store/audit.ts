/** The auditor's reads: plain statements that share nothing with the code that they judge. */
import type { Alarm, Wait } from '../alarms/alarm.ts';
import type { TimelineEntry } from '../alarms/event.ts';
import { toIso } from '../base/clock.ts';
import type { AuditStore, Candidate, Candidates } from '../watch/auditor-store.ts';
import { type AlarmColumns, type Examined, LONGEST_EXAMINED } from '../watch/auditor-verdict.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

/** Instants as numbers: milliseconds since 1970, as the folds have them. */
const ms = (column: string): string => `round(extract(epoch from ${column}) * 1000)::float8`;

/**
 * Each part reads a few rows at one end of an index; alarms rank by rank, so that however many of a lower rank are late, none of
 * a higher is hidden. `$2`: nothing that was due later than this can be late by now.
 */
const RANKS = 'generate_series(0, 3) ranks(rank) cross join lateral';
const LOOK = `select
  (select coalesce(json_agg(n order by rank), '[]') from (select rank, n from ${RANKS} (select number::text as n from alarm
    where closed_at is null and priority_rank = rank and deadline_at is null limit 50) forgotten order by rank limit 50) few) as forgotten,
  (select coalesce(json_agg(json_build_object('fold', fold, 'at', ${ms('deadline_at')}, 'what', deadline_what)
      order by rank, deadline_at), '[]') from
    (select rank, fold, deadline_at, deadline_what from ${RANKS} (select fold, deadline_at, deadline_what from alarm
      where closed_at is null and priority_rank = rank and deadline_at <= $2 order by deadline_at limit 50) due
      order by rank, deadline_at limit 50) late) as late,
  (select coalesce(json_agg(json_build_object('number', number::text, 'account', claimed_by, 'until', ${ms('until')})), '[]') from
    (select a.number, a.claimed_by, l.until from alarm a left join claim_lease l on l.alarm = a.number
      where a.closed_at is null and a.claimed_by is not null and (l.until is null or l.until <= $2)
      order by l.until nulls first limit 50) over) as over,
  (select ${ms('created_at')} from outbox order by id limit 1) as outbox,
  (select ${ms('try_at')} from ask where state = 'pending' and try_at <= $1 order by try_at limit 1) as ask,
  (select ${ms('due_at')} from held_signal where due_at <= $1 order by due_at limit 1) as held`;
/** The shortest time that anything may be late. */
const TOLERATED_MS = 1000;

interface LookRow {
  readonly forgotten: readonly string[];
  readonly late: readonly { fold: Alarm; at: number; what: Wait }[];
  readonly over: readonly { number: string; account: string; until: number | null }[];
  readonly outbox: number | null;
  readonly ask: number | null;
  readonly held: number | null;
}

const CHANGED = 'select number, version from alarm where changed_at >= $1 order by changed_at desc limit 30';
const OPEN = 'select number, version from alarm where closed_at is null and number > $2 order by number limit 50';
/** Those that were closed last, where a wrong end does most harm, and some of all. */
const JUST_CLOSED = 'select number, version from alarm where closed_at is not null order by closed_at desc, number desc limit 5';
const CLOSED = 'select number, version from alarm where closed_at is not null and number > $3 order by number limit 10';
const SUSPECTED = 'select number, version from alarm where number = any($4::bigint[])';
const CANDIDATES = `select 'changed' as part, c.* from (${CHANGED}) c union all select 'open', o.* from (${OPEN}) o
  union all select 'justClosed', j.* from (${JUST_CLOSED}) j union all select 'closed', l.* from (${CLOSED}) l
  union all select 'suspected', s.* from (${SUSPECTED}) s`;

const ENTRIES = `select coalesce(json_agg(json_build_object('version', t.version, 'at', ${ms('t.at')}, 'doneAt', ${ms('t.done_at')},
    'actor', t.actor, 'event', t.event, 'arms', t.arms) order by t.version), '[]')
  from (select * from timeline where alarm = a.number order by version limit ${LONGEST_EXAMINED + 1}) t`;
/** Row and timeline of alarms, by their numbers, in one snapshot. */
export const EXAMINE = `select number, version, municipality, lane, joining_key, household_id, device, kind, priority, priority_rank, state,
    ${ms('opened_at')} as opened, ${ms('changed_at')} as changed, ${ms('closed_at')} as closed, ${ms('deadline_at')} as deadline,
    deadline_what, claimed_by, asked, fold, (${ENTRIES}) as entries
  from alarm a where number = any($1::bigint[])`;

/** As `EXAMINE` gives it. */
export interface ExaminedRow {
  readonly number: string;
  readonly version: number;
  readonly municipality: string;
  readonly lane: string;
  readonly joining_key: string;
  readonly household_id: string | null;
  readonly device: string;
  readonly kind: string;
  readonly priority: string;
  readonly priority_rank: number;
  readonly state: string;
  readonly opened: number;
  readonly changed: number;
  readonly closed: number | null;
  readonly deadline: number | null;
  readonly deadline_what: string | null;
  readonly claimed_by: string | null;
  readonly asked: readonly string[];
  readonly fold: unknown;
  readonly entries: readonly TimelineEntry[];
}

export function createAuditStore(postgres: Postgres): AuditStore {
  return {
    async look(now) {
      const [row] = await rowsOf<LookRow>(postgres, LOOK, [toIso(now), toIso(now - TOLERATED_MS)]);
      if (row === undefined) throw new TypeError('a select of scalars has no row');
      return {
        withoutDeadline: row.forgotten,
        overdue: row.late.map(({ fold, at, what }) => ({ alarm: fold, deadline: { at, what } })),
        abandoned: row.over,
        outbox: { oldestAt: row.outbox },
        asks: { oldestAt: row.ask },
        held: { oldestAt: row.held },
      };
    },
    async candidates({ changedSince, openAfter, closedAfter, suspected }) {
      const values = [toIso(changedSince), openAfter, closedAfter, suspected];
      const rows = await rowsOf<Candidate & { part: keyof Candidates }>(postgres, CANDIDATES, values);
      const of = (part: keyof Candidates): Candidate[] =>
        rows.filter((row) => row.part === part).map(({ number, version }) => ({ number, version }));
      return {
        suspected: of('suspected'),
        changed: of('changed'),
        justClosed: of('justClosed'),
        open: of('open'),
        closed: of('closed'),
      };
    },
    async examine(numbers) {
      if (numbers.length === 0) return [];
      const rows = await rowsOf<ExaminedRow>(postgres, EXAMINE, [numbers]);
      return rows.map(examinedIn);
    },
  };
}

export const examinedIn = (row: ExaminedRow): Examined => ({
  number: row.number,
  columns: columnsIn(row),
  fold: row.fold,
  entries: row.entries,
});

const columnsIn = (row: ExaminedRow): AlarmColumns => ({
  version: row.version,
  municipality: row.municipality,
  lane: row.lane,
  joiningKey: row.joining_key,
  household: row.household_id,
  device: row.device,
  kind: row.kind,
  priority: row.priority,
  rank: row.priority_rank,
  state: row.state,
  openedAt: row.opened,
  changedAt: row.changed,
  closedAt: row.closed,
  deadlineAt: row.deadline,
  deadlineWhat: row.deadline_what,
  claimedBy: row.claimed_by,
  asked: row.asked,
});
