/** One transaction of the desk: locks alarms, lets each change be decided in its turn, and writes all of it, set-based. */
import type pg from 'pg';
import type { Alarm } from '../alarms/alarm.ts';
import type { Change, Changing, IdempotencyKey } from '../alarms/desk.ts';
import type { EventName } from '../alarms/event.ts';
import type { AlarmView } from '../alarms/view.ts';
import { type Instant, toIso } from '../base/clock.ts';
import { ALARM_PARAMETERS, WRITE_ALARMS, alarmValues } from './alarm-rows.ts';
import { changeAsks } from './ask-effects.ts';
import type { Postgres } from './postgres.ts';
import { type WithCommit, inTransaction } from './transaction.ts';

/** What became of one change of a batch, after the commit. `locked`: nothing, somebody else has the alarm. */
export type Outcome = { readonly before: AlarmView | null } | { readonly failed: unknown } | 'locked';

const LOCK = 'select alarms, leases, answers from lock_alarms($1, $2, $3, $4)';
const WRITE = `${WRITE_ALARMS} select 1`;
/** With what people's commands leave besides: leases of claims and answers by their keys. Each alarm is in one list at most. */
const WRITE_FOR_PEOPLE = `${WRITE_ALARMS},
leases as (
  insert into claim_lease (alarm, account, until)
  select alarm, account, until from json_to_recordset($${ALARM_PARAMETERS + 1}::json) as l(alarm bigint, account text, until timestamptz)
  on conflict (alarm) do update set account = excluded.account, until = excluded.until
),
ended as (
  delete from claim_lease where alarm = any($${ALARM_PARAMETERS + 2}::bigint[])
),
answers as (
  insert into command_key (account, key, alarm, answer, at)
  select account, key, alarm, answer, $1::timestamptz from json_to_recordset($${ALARM_PARAMETERS + 3}::json) as k(account text, key text, alarm bigint, answer jsonb)
)
select 1`;

interface LockedRow {
  readonly number: string;
  readonly fold: Alarm;
  readonly joining_key: string;
  readonly lane_key: string;
}

interface LockedRows {
  readonly alarms: readonly LockedRow[] | null;
  /** Milliseconds since 1970 by the alarm's number. */
  readonly leases: Readonly<Record<string, number>> | null;
  readonly answers: readonly (IdempotencyKey & { readonly answer: AlarmView })[] | null;
}

/** An alarm as the batch has made it so far. */
interface Standing {
  readonly row: LockedRow;
  alarm: Alarm;
  leaseUntil: Instant | null;
  readonly changes: Change[];
}

/**
 * Several changes of one alarm see each other in their order, and are written as one.
 * @param waits for locks; a batch of more than one never should: it would hold its other alarms meanwhile
 * @returns an outcome for each, in their order, after the commit
 * @throws CentreError store-away; any other error when something in one of them is refused by PostgreSQL: then none is written
 */
export async function changeAlarms(
  postgres: Postgres,
  all: readonly Changing[],
  waits: boolean,
): Promise<{ readonly outcomes: readonly Outcome[]; readonly wrote: boolean }> {
  return inTransaction(postgres, async (client, withCommit) => {
    const { standing, answers } = await lock(client, all, waits);
    const outcomes = all.map((one) => changeOne(one, standing.get(one.number), answers, waits));
    const written = [...standing.values()].filter(({ changes }) => changes.length > 0);
    if (written.length > 0) write(client, withCommit, written);
    return { outcomes, wrote: written.length > 0 };
  });
}

const nameOf = ({ account, key }: IdempotencyKey): string => JSON.stringify([account, key]);

async function lock(
  client: pg.ClientBase,
  all: readonly Changing[],
  waits: boolean,
): Promise<{ readonly standing: Map<string, Standing>; readonly answers: Map<string, AlarmView> }> {
  const keys = all.flatMap(({ key }) => (key === null ? [] : [key]));
  const numbers = [...new Set(all.map(({ number }) => number))];
  const values = [numbers, waits, keys.map(({ account }) => account), keys.map(({ key }) => key)];
  const [found] = (await client.query<LockedRows>({ name: 'lock-alarms', text: LOCK, values })).rows;
  const standing = (found?.alarms ?? []).map((row): [string, Standing] => {
    return [row.number, { row, alarm: row.fold, leaseUntil: found?.leases?.[row.number] ?? null, changes: [] }];
  });
  return { standing: new Map(standing), answers: new Map((found?.answers ?? []).map((one) => [nameOf(one), one.answer])) };
}

function changeOne(one: Changing, standing: Standing | undefined, answers: Map<string, AlarmView>, waits: boolean): Outcome {
  // Not locked by us: somebody else has it, or there is no such alarm, which only one who waits finds out.
  if (standing === undefined && !waits) return 'locked';
  // Under the lock: of two requests with the same key the second finds what the first answered.
  const before = one.key === null ? undefined : answers.get(nameOf(one.key));
  if (before !== undefined) return { before };
  try {
    const change = one.work({ alarm: standing?.alarm ?? null, leaseUntil: standing?.leaseUntil ?? null });
    if (change !== null && standing !== undefined) {
      standing.changes.push(change);
      standing.alarm = change.alarm;
      const lease = leaseAfter(change);
      if (lease !== undefined) standing.leaseUntil = lease;
      if (change.remember !== null) answers.set(nameOf(change.remember), change.remember.answer);
    }
    return { before: null };
  } catch (error) {
    return { failed: error };
  }
}

/** A new claim gets its lease in the same transaction, one that ended loses it (null); undefined: as it was. */
function leaseAfter({ alarm, entries, leaseUntil }: Change): Instant | null | undefined {
  const happened = (...names: EventName[]): boolean => entries.some(({ event }) => names.includes(event.event));
  if (happened('released', 'claim-interrupted', 'snoozed', 'closed')) return null;
  return alarm.claim !== null && happened('claimed', 'taken-over') ? leaseUntil : undefined;
}

function write(client: pg.ClientBase, withCommit: WithCommit, written: readonly Standing[]): void {
  const changes = written.flatMap((one) => one.changes);
  const now = Math.max(...changes.map(({ alarm, entries }) => entries.at(-1)?.at ?? alarm.openedAt));
  const changed = written.map(({ row, alarm, changes: made }) => {
    return { alarm, entries: made.flatMap(({ entries }) => entries), joiningKey: row.joining_key, laneKey: row.lane_key };
  });
  const rows = alarmValues(changed, now);
  const ended = written.filter((one) => one.changes.some((change) => leaseAfter(change) === null) && one.leaseUntil === null);
  const leased = written.filter((one) => one.changes.some((change) => leaseAfter(change) !== undefined) && one.leaseUntil !== null);
  const remembered = changes.flatMap(({ alarm, remember }) => (remember === null ? [] : [{ ...remember, alarm: alarm.number }]));
  if (ended.length + leased.length + remembered.length === 0) {
    withCommit(client.query({ name: 'write-alarms', text: WRITE, values: rows }));
  } else {
    const leases = leased.map(({ alarm, leaseUntil }) => ({
      alarm: alarm.number,
      account: alarm.claim?.by,
      until: toIso(leaseUntil ?? now),
    }));
    const values = [...rows, JSON.stringify(leases), ended.map(({ alarm }) => alarm.number), JSON.stringify(remembered)];
    withCommit(client.query({ name: 'write-alarms-for-people', text: WRITE_FOR_PEOPLE, values }));
  }
  withCommit(changeAsks(client, changes, now));
}
