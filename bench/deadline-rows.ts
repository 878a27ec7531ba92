/** Beside the deadlines of the bench: what the rows tell of their order, and what the same rows take without any rules. */
import { readFileSync, readdirSync } from 'node:fs';
import process from 'node:process';
import { type Milliseconds, RunningClock } from '../src/base/clock.ts';
import { receiptId, systemRandom } from '../src/base/ids.ts';
import type { Postgres } from '../src/store/postgres.ts';

const clock = new RunningClock();

export interface BareRows {
  readonly perSecond: number;
  readonly cpuMsPerDeadline: number;
  readonly databaseCpuMsPerDeadline: number | null;
}

export interface Passed {
  readonly rank: number;
  /** Of the transaction; given when it begins to write. */
  readonly transaction: number;
}

/** Whoever was passed more than once counts by the first time. */
export const PASSED = `
select a.priority_rank as rank, min(t.xmin::text::float8) as transaction
from timeline t join alarm a on a.number = t.alarm where t.event->>'event' = 'deadline-passed' group by a.number, a.priority_rank`;
/** Of one desk run side by side. */
const SIDE_BY_SIDE = 3;

/** Of transactions that run side by side none is before the other. */
export function outOfOrder(passed: readonly Passed[], desks: number): number {
  const order = [...new Set(passed.map(({ transaction }) => transaction))].toSorted((a, b) => a - b);
  const place = new Map(order.map((transaction, index) => [transaction, index]));
  const placeOf = ({ transaction }: Passed): number => place.get(transaction) ?? 0;
  const last = [0, 1, 2, 3].map((rank) => Math.max(-1, ...passed.filter((one) => one.rank < rank).map(placeOf)));
  return passed.filter((one) => (last[one.rank] ?? -1) >= placeOf(one) + SIDE_BY_SIDE * desks).length;
}

/** The processor time of this process and of the database from now on, for each of so many. */
export function cpuSince(databasePid: number | null) {
  const own = process.cpuUsage();
  const before = databaseCpuMs(databasePid);
  return (count: number) => {
    const { user, system } = process.cpuUsage(own);
    const after = databaseCpuMs(databasePid);
    return {
      cpuMsPerDeadline: (user + system) / 1000 / count,
      databaseCpuMsPerDeadline: before === null || after === null ? null : (after - before) / count,
    };
  };
}

/** Of the server and its children that still run, in the clock ticks of Linux (10 ms). */
function databaseCpuMs(pid: number | null): Milliseconds | null {
  if (pid === null) return null;
  let ticks = 0;
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
      if (Number(name) === pid || Number(fields[1]) === pid) ticks += Number(fields[11]) + Number(fields[12]);
    } catch {
      // It has just ended.
    }
  }
  return ticks * 10;
}

/** The rows that one step of the ladder writes, from values that are ready, so many alarms to a commit. */
export async function bareRows({ pool }: Postgres, batch: number, databasePid: number | null): Promise<BareRows> {
  const { rows: alarms } = await pool.query<{ number: string; version: number }>('select number, version from alarm');
  const entry = JSON.stringify({ event: 'told', to: 'x', rung: 'x', recipients: 'x'.repeat(500) });
  const began = clock.monotonic();
  const spent = cpuSince(databasePid);
  let next = 0;
  const client = async (): Promise<void> => {
    const connection = await pool.connect();
    for (let at = next; at < alarms.length; at = next) {
      next += batch;
      const some = alarms.slice(at, at + batch);
      const numbers = some.map(({ number }) => number);
      const ids = some.flatMap(() => Array.from({ length: 4 }, () => receiptId(clock.now(), systemRandom)));
      await connection.query('begin');
      const update = `update alarm set version = version + 2, deadline_at = now(), changed_at = now(), fold = fold::jsonb || '{"x":1}'
        where number = any($1::bigint[])`;
      await connection.query({ name: 'bare-update', text: update, values: [numbers] });
      const entries = `insert into timeline (alarm, version, at, actor, event)
        select n, v + i, now(), '{}', $3::jsonb from unnest($1::bigint[], $2::int[]) as a(n, v), generate_series(1, 2) i`;
      await connection.query({ name: 'bare-entries', text: entries, values: [numbers, some.map(({ version }) => version + 100), entry] });
      const asks = `insert into ask (id, alarm, account, channel, priority_rank, state, due_at, try_at, created_at)
        select i, n, 'natt', 'sms', 1, 'pending', now() + interval '1 day', now() + interval '1 day', now() from unnest($1::uuid[], $2::bigint[]) as k(i, n)`;
      await connection.query({ name: 'bare-asks', text: asks, values: [ids, ids.map((_, i) => numbers[i >> 2])] });
      const outbox = 'insert into outbox (alarm, version, created_at) select n, 3, now() from unnest($1::bigint[]) n';
      await connection.query({ name: 'bare-outbox', text: outbox, values: [numbers] });
      await connection.query('commit');
    }
    connection.release();
  };
  await Promise.all([client(), client()]);
  return { perSecond: (alarms.length * 1000) / (clock.monotonic() - began), ...spent(alarms.length) };
}
