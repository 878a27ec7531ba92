/** The desk's store for repairs: under the alarm's lock it gives what the timeline says, and makes the row that. */
import type pg from 'pg';
import type { Alarm } from '../alarms/alarm.ts';
import { joiningKey } from '../alarms/correlate.ts';
import { type AlarmStore, CLAIM_LEASE_MS, type Change, type Found } from '../alarms/desk.ts';
import { type Instant, toIso } from '../base/clock.ts';
import type { Examined, Verdict } from '../watch/auditor-verdict.ts';
import { WRITE_ALARMS, alarmValues } from './alarm-rows.ts';
import { EXAMINE, type ExaminedRow, examinedIn } from './audit.ts';
import type { Postgres } from './postgres.ts';
import { inTransaction } from './transaction.ts';

const LOCK = 'select lane_key, closed_at from alarm where number = $1 for update';
const OTHERS = `select 1 from alarm where joining_key = $1 and lane = $2 and lane_key = $3 and closed_at is null and number <> $4`;
/** What no command changes, and therefore no command would put right. */
const MEND = `update alarm set municipality = $2, joining_key = $3, lane = $4, household_id = $5, opened_at = $6, lane_key = $7
  where number = $1`;
const WRITE = `${WRITE_ALARMS} select 1`;
const LEASE = 'insert into claim_lease (alarm, account, until) values ($1, $2, $3) on conflict (alarm) do nothing';
const NO_LEASE = 'delete from claim_lease where alarm = $1';

/**
 * A store like the desk's own, but `work` gets the alarm as its timeline tells it, and is called only while the row
 * differs from that: of two who repair, the second finds no alarm to change.
 * @param judge holds a row against its timeline
 * @param committed called after each commit, to make the relay prompt
 */
export function createRepairStore(postgres: Postgres, judge: (examined: Examined) => Verdict, committed: () => void): AlarmStore {
  return {
    async change({ number, work }) {
      const wrote = await inTransaction(postgres, (client) => repairOne(client, number, judge, work));
      if (wrote) committed();
      return null;
    },
  };
}

async function repairOne(
  client: pg.ClientBase,
  number: string,
  judge: (examined: Examined) => Verdict,
  work: (found: Found) => Change | null,
): Promise<boolean> {
  const locked = (await client.query<{ lane_key: string; closed_at: Date | null }>(LOCK, [number])).rows[0];
  // A statement of its own: it sees what was committed while the lock was waited for.
  const [row] = (await client.query<ExaminedRow>(EXAMINE, [[number]])).rows;
  const verdict = row === undefined ? null : judge(examinedIn(row));
  if (locked === undefined || verdict?.verdict !== 'differs') {
    work({ alarm: null, leaseUntil: null });
    return false;
  }
  const change = work({ alarm: verdict.alarm, leaseUntil: null });
  if (change === null) return false;
  const { alarm, entries } = change;
  const now = entries.at(-1)?.at ?? alarm.openedAt;
  const key = row !== undefined && alarm.household === null ? row.joining_key : joiningKey(alarm);
  const laneKey = await laneKeyFor(client, alarm, key, locked.lane_key);
  await client.query(MEND, [number, alarm.municipality, key, alarm.lane, alarm.household?.id ?? null, toIso(alarm.openedAt), laneKey]);
  await client.query(WRITE, alarmValues([{ alarm, entries, joiningKey: key, laneKey }], now));
  await mendLease(client, alarm, now);
  return true;
}

/**
 * An alarm that was taken for closed, and whose household has opened another since, stands open beside that one: two
 * alarms of one need are better than none.
 */
async function laneKeyFor(client: pg.ClientBase, alarm: Alarm, key: string, laneKey: string): Promise<string> {
  if (alarm.closed !== null) return laneKey;
  const others = await client.query(OTHERS, [key, alarm.lane, laneKey, alarm.number]);
  return others.rows.length === 0 ? laneKey : `${laneKey}/beside-${alarm.number}`;
}

/** The owner's browser renews it, if there is one. */
async function mendLease(client: pg.ClientBase, { number, claim }: Alarm, now: Instant): Promise<void> {
  if (claim === null) await client.query(NO_LEASE, [number]);
  else await client.query(LEASE, [number, claim.by, toIso(now + CLAIM_LEASE_MS)]);
}
