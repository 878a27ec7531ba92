/** What changes of alarms do to the asks that were made about them and not sent yet; in the changes' own transaction. */
import type pg from 'pg';
import type { Alarm } from '../alarms/alarm.ts';
import type { TimelineEntry } from '../alarms/event.ts';
import { type Instant, toIso } from '../base/clock.ts';

interface Changed {
  readonly alarm: Alarm;
  readonly entries: readonly TimelineEntry[];
}

/** Pending asks about an alarm, of one person or of all (null), but those that were made after it (migration 0009-deadlines). */
interface Effect {
  readonly alarm: string;
  readonly account: string | null;
  readonly besides: readonly string[];
}

/**
 * Nobody is asked about what somebody else has taken or what is over, and who was to be asked later about something
 * that has become a matter of life is asked now.
 * @param changes in their order; their asks are written already
 */
export async function changeAsks(client: pg.ClientBase, changes: readonly Changed[], now: Instant): Promise<void> {
  const withdraw: Effect[] = [];
  const hasten: Effect[] = [];
  // From the last to the first, so that each knows which asks of its alarm were made after it.
  const made = new Map<string, string[]>();
  for (const { alarm, entries } of changes.toReversed()) {
    const happened = new Set(entries.map(({ event }) => event.event));
    const besides = [...(made.get(alarm.number) ?? [])];
    const over = happened.has('accepted') || happened.has('closed') || (happened.has('claimed') && alarm.response.stage === 'none');
    if (over) withdraw.push({ alarm: alarm.number, account: null, besides });
    for (const { event, actor } of entries) {
      if (event.event === 'declined' && actor.type === 'person') withdraw.push({ alarm: alarm.number, account: actor.account, besides });
      const nowLife = event.event === 'repeated' && event.priority === 'life' && event.priorityRule !== 'unchanged';
      if (nowLife) hasten.push({ alarm: alarm.number, account: null, besides });
      if (event.event === 'dispatched' || event.event === 'told') {
        const ids = event.recipients.flatMap(({ asks }) => asks.map(({ id }) => id));
        made.set(alarm.number, [...(made.get(alarm.number) ?? []), ...ids]);
      }
    }
  }
  if (withdraw.length === 0 && hasten.length === 0) return;
  const values = [JSON.stringify(withdraw), JSON.stringify(hasten), toIso(now)];
  await client.query({ name: 'change-asks', text: 'select change_asks($1, $2, $3)', values });
}
