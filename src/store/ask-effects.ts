/** What a change of an alarm does to the asks that were made about it and not sent yet; in the change's own transaction. */
import type pg from 'pg';
import type { Alarm } from '../alarms/alarm.ts';
import type { TimelineEntry } from '../alarms/event.ts';
import { type Instant, toIso } from '../base/clock.ts';

interface Changed {
  readonly alarm: Alarm;
  readonly entries: readonly TimelineEntry[];
}

const WITHDRAW = `update ask set state = 'withdrawn', recorded_at = $2 where alarm = $1 and state = 'pending'`;
/** Delays and the pace of messages are for what is not about life. */
const HASTEN = `update ask set priority_rank = 0, due_at = least(due_at, $2), try_at = least(try_at, $2)
  where alarm = $1 and state = 'pending' and attempts = 0`;

/**
 * Nobody is asked about what somebody else has taken or what is over, and who was to be asked later about something
 * that has become a matter of life is asked now.
 */
export async function changeAsks(client: pg.ClientBase, { alarm, entries }: Changed, now: Instant): Promise<void> {
  const happened = new Set(entries.map(({ event }) => event.event));
  const over = happened.has('accepted') || happened.has('closed') || (happened.has('claimed') && alarm.response.stage === 'none');
  if (over) await client.query(WITHDRAW, [alarm.number, toIso(now)]);
  for (const { event, actor } of entries) {
    if (event.event === 'declined' && actor.type === 'person') {
      await client.query(`${WITHDRAW} and account = $3`, [alarm.number, toIso(now), actor.account]);
    }
    const nowLife = event.event === 'repeated' && event.priority === 'life' && event.priorityRule !== 'unchanged';
    if (nowLife) await client.query(HASTEN, [alarm.number, toIso(now)]);
  }
}
