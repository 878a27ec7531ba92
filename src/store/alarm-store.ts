/** The desk's store: loads an alarm under its row lock, writes what was decided, retries internal conflicts unseen. */
import type pg from 'pg';
import type { Alarm } from '../alarms/alarm.ts';
import type { AlarmStore, Change, Found, IdempotencyKey } from '../alarms/desk.ts';
import type { EventName } from '../alarms/event.ts';
import type { AlarmView } from '../alarms/view.ts';
import { toIso } from '../base/clock.ts';
import { writeAlarms } from './alarm-rows.ts';
import { changeAsks } from './ask-effects.ts';
import type { Postgres } from './postgres.ts';
import { inTransaction } from './transaction.ts';

interface LockedRow {
  readonly fold: Alarm;
  readonly joining_key: string;
  readonly lane_key: string;
  readonly lease_until: Date | null;
}

const LOCK = `select a.fold, a.joining_key, a.lane_key, l.until as lease_until
  from alarm a left join claim_lease l on l.alarm = a.number where a.number = $1 for update of a`;

/** Alarm numbers are bigints; anything else is the number of no alarm and never reaches a statement. */
const NUMBER = /^[1-9]\d{0,17}$/;

/** @param committed called after each commit, to make the relay prompt */
export function createAlarmStore(postgres: Postgres, committed: () => void): AlarmStore {
  return {
    async change(number, key, work) {
      if (!NUMBER.test(number)) {
        work({ alarm: null, leaseUntil: null });
        return null;
      }
      const { answer, wrote } = await inTransaction(postgres, (client) => changeOne(client, number, key, work));
      if (wrote) committed();
      return answer;
    },
  };
}

async function changeOne(
  client: pg.ClientBase,
  number: string,
  key: IdempotencyKey | null,
  work: (found: Found) => Change | null,
): Promise<{ answer: AlarmView | null; wrote: boolean }> {
  const locked = await client.query<LockedRow>({ name: 'lock-alarm', text: LOCK, values: [number] });
  const row = locked.rows[0];
  if (key !== null) {
    // Under the lock: of two requests with the same key the second finds what the first answered.
    const text = 'select answer from command_key where account = $1 and key = $2';
    const before = await client.query<{ answer: AlarmView }>(text, [key.account, key.key]);
    const answer = before.rows[0]?.answer;
    if (answer !== undefined) return { answer, wrote: false };
  }
  const change = work({ alarm: row?.fold ?? null, leaseUntil: row?.lease_until?.getTime() ?? null });
  if (change === null || row === undefined) return { answer: null, wrote: false };
  const now = change.entries.at(-1)?.at ?? change.alarm.openedAt;
  await writeAlarms(client, [{ ...change, joiningKey: row.joining_key, laneKey: row.lane_key }], now);
  await keepLease(client, change);
  await changeAsks(client, change, now);
  if (change.remember !== null) {
    const { account, key: name, answer } = change.remember;
    const text = 'insert into command_key (account, key, alarm, answer, at) values ($1, $2, $3, $4, $5)';
    await client.query(text, [account, name, number, JSON.stringify(answer), toIso(now)]);
  }
  return { answer: null, wrote: true };
}

/** A new claim gets its lease in the same transaction; one that ended loses it. */
async function keepLease(client: pg.ClientBase, { alarm, entries, leaseUntil }: Change): Promise<void> {
  const happened = (...names: EventName[]): boolean => entries.some(({ event }) => names.includes(event.event));
  if (alarm.claim !== null && happened('claimed', 'taken-over')) {
    const text = `insert into claim_lease (alarm, account, until) values ($1, $2, $3)
      on conflict (alarm) do update set account = excluded.account, until = excluded.until`;
    await client.query(text, [alarm.number, alarm.claim.by, toIso(leaseUntil)]);
  }
  if (happened('released', 'claim-interrupted', 'snoozed', 'closed'))
    await client.query('delete from claim_lease where alarm = $1', [alarm.number]);
}
