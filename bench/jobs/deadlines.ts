/** Many deadlines due in the same second: the sweep, the desk and the asks in one process, on a database of their own; and a bare reference. */
import { createHash } from 'node:crypto';
import pg from 'pg';
import { joiningKey } from '../../src/alarms/correlate.ts';
import { createDesk } from '../../src/alarms/desk.ts';
import type { AlarmPriority, Signal } from '../../src/alarms/signal.ts';
import { readConfiguration } from '../../src/app/configuration.ts';
import { type Milliseconds, RunningClock, sleep } from '../../src/base/clock.ts';
import { receiptId, systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { startAsks } from '../../src/escalation/asks.ts';
import { createDuty } from '../../src/escalation/duty.ts';
import { type Escalation, ladderFor } from '../../src/escalation/ladder.ts';
import { planRung } from '../../src/escalation/plan.ts';
import { startSweep } from '../../src/escalation/sweep.ts';
import { createKeeper } from '../../src/intake/keep.ts';
import { createAlarmStore } from '../../src/store/alarm-store.ts';
import { createAskBacklog, createAskLedger, createSentAsks } from '../../src/store/asks.ts';
import { createDeadlines } from '../../src/store/deadlines.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openPostgres, type Postgres } from '../../src/store/postgres.ts';
import { openAskQueue } from '../../src/store/queues.ts';
import { createRosterStore } from '../../src/store/roster.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { type Latencies, latenciesOf } from '../../simulators/load/open-loop.ts';
import { type BareRows, PASSED, type Passed, bareRows, cpuSince, outOfOrder } from '../deadline-rows.ts';
import { answerParent } from '../job.ts';

export interface DeadlinesJob {
  /** Empty, or made by this job before. */
  readonly databaseUrl: string;
  readonly configDir: string;
  readonly deadlines: number;
  /** Sweeps at once, each with connections of its own. */
  readonly sweeps: number;
  /** Given: what the deadlines ask of people is sent at the same time, to phones that answer at once. */
  readonly redisUrl: string | null;
  /** Commands of operators a second, on alarms among them. */
  readonly claimsPerSecond: number;
  /** The server's process, whose children are counted too; null where it cannot be known (not here, not Linux). */
  readonly databasePid: number | null;
  /** Alarms to one commit of the reference. */
  readonly referenceBatch: number;
}

export interface DeadlinesResult {
  readonly perSecond: number;
  /** From the start of the sweep. */
  readonly lifeDoneMs: Milliseconds;
  readonly allDoneMs: Milliseconds;
  /** Deadlines that were passed before one that is more urgent, in a transaction that did not run beside that one's. */
  readonly outOfOrder: number;
  /** Of this process, and of it alone. */
  readonly cpuMsPerDeadline: number;
  readonly databaseCpuMsPerDeadline: number | null;
  readonly claims: Latencies | null;
  /** Until no ask was pending; null without asks. */
  readonly asksDoneMs: Milliseconds | null;
  readonly asks: number;
  /** The same rows, updated and inserted with no rules. */
  readonly reference: BareRows;
}

const clock = new RunningClock();
const log = createLog('error');
const STAFF: readonly [account: string, roles: readonly string[], phone: string][] = [
  ['natt', ['responder'], '+4790000001'],
  ['natt2', ['responder'], '+4790000002'],
  ['leder', ['supervisor', 'operator'], '+4790000003'],
  ['operator2', ['operator'], '+4790000004'],
];
const PRIORITIES: readonly AlarmPriority[] = ['care', 'urgent', 'life', 'urgent'];

function press(n: number): Signal {
  const at = clock.now();
  const id = receiptId(at, systemRandom);
  const raw = Buffer.from(JSON.stringify({ id, at, type: 'call-button' }));
  return {
    id,
    receivedAt: at,
    protocol: 'mqtt',
    messageId: id,
    raw,
    digest: createHash('sha256').update(raw).digest(),
    source: `mqtt:BENCH-${n}`,
    device: `BENCH-${n}`,
    municipality: '1103',
    household: { id: `bench-${n}`, name: `Bench ${n}`, zone: '' },
    meaning: { role: 'need', kind: 'call-button', priority: PRIORITIES[n % PRIORITIES.length] ?? 'life', trigger: '' },
    marks: [],
  };
}

async function fill(postgres: Postgres, escalation: Escalation, count: number): Promise<void> {
  await postgres.pool.query('truncate signal, timeline, outbox, ask, claim_lease, command_key, sms_pace, alarm, joining');
  for (const [username, roles, phone] of STAFF) {
    const text = `insert into account (username, name, password_hash, roles, municipalities, phone, created_at)
      values ($1, $1, '-', $2, '{*}', $3, now()) on conflict do nothing`;
    await postgres.pool.query(text, [username, roles, phone]);
  }
  const keeper = createKeeper({
    store: createSignalStore(postgres, () => undefined),
    ladderFor: (alarm) => ladderFor(escalation, alarm),
    keyOf: joiningKey,
    log,
  });
  for (let from = 0; from < count; from += 500) {
    await Promise.all(Array.from({ length: Math.min(500, count - from) }, (_, n) => keeper.keep(press(from + n))));
  }
  await postgres.pool.query('truncate outbox');
}

/** All that is awaited is due a second ago. By a connection of its own: these statements may take longer than the centre's. */
async function makeDue(databaseUrl: string): Promise<void> {
  const past = clock.now() - 1000;
  const client = new pg.Client(databaseUrl);
  await client.connect();
  const text = `update alarm set deadline_at = $1, fold = jsonb_set(fold::jsonb, array['waits', deadline_what], to_jsonb($2::bigint)) where closed_at is null`;
  await client.query(text, [new Date(past), past]);
  await client.query('vacuum analyze alarm, timeline, ask, outbox');
  await client.end();
}

answerParent<DeadlinesJob, DeadlinesResult>(async (job) => {
  const pools = Array.from({ length: job.sweeps }, () => openPostgres(job.databaseUrl, log));
  const [postgres] = pools;
  if (postgres === undefined) throw new RangeError('at least one sweep');
  await migrate(postgres.pool, log);
  const { escalation } = readConfiguration(job.configDir);
  await fill(postgres, escalation, job.deadlines);
  const { rows: ranked } = await postgres.pool.query<{ number: string; rank: number }>('select number, priority_rank as rank from alarm');
  await makeDue(job.databaseUrl);

  let passed = 0;
  let lifeDoneMs = 0;
  const rankOf = new Map(ranked.map(({ number, rank }) => [number, rank]));
  const claimed: number[] = [];
  let asks: ReturnType<typeof startAsks> | null = null;
  const [first] = pools.map((pool) => createDesk({ store: createAlarmStore(pool, () => asks?.poke()), clock, random: systemRandom }));
  if (first === undefined) throw new RangeError('no desk');
  const { redisUrl } = job;
  if (redisUrl !== null) {
    asks = startAsks({
      ledger: createAskLedger(postgres),
      backlog: createAskBacklog(postgres),
      sent: createSentAsks(postgres),
      openQueue: (work) => openAskQueue({ url: redisUrl, clock, log, work }),
      reports: null,
      notifier: { notify: () => Promise.resolve({ result: 'delivered' }) },
      zones: escalation.zones,
      linkTo: (alarm) => `https://vakt.example.no/a/${alarm}`,
      desk: first,
      clock,
      log,
    });
  }
  const spent = cpuSince(job.databasePid);
  const began = clock.monotonic();
  const sweeps = pools.map((pool, index) => {
    const desk = index === 0 ? first : createDesk({ store: createAlarmStore(pool, () => undefined), clock, random: systemRandom });
    const duty = createDuty({ escalation, store: createRosterStore(pool), clock });
    return startSweep({
      deadlines: createDeadlines(pool),
      desk: {
        async order(request) {
          const answer = await desk.order(request);
          if ('alarm' in answer) done(request.number);
          return answer;
        },
      },
      plan: async () => {
        const roll = await duty.roll();
        return (alarm) => planRung(escalation, alarm, roll);
      },
      clock,
      log,
    });
  });
  function done(number: string): void {
    passed += 1;
    if (rankOf.get(number) === 0) lifeDoneMs = clock.monotonic() - began;
  }

  // Whatever has a claim is not awaited by the ladder any more: those are passed by the operator.
  let byOperators = 0;
  const numbers = [...rankOf].filter(([, rank]) => rank === 2).map(([number]) => number);
  while (passed + byOperators < job.deadlines) {
    const number = job.claimsPerSecond > 0 ? numbers.pop() : undefined;
    await sleep(clock, job.claimsPerSecond > 0 ? 1000 / job.claimsPerSecond : 5);
    if (number === undefined) continue;
    const at = clock.monotonic();
    const actor = { type: 'person', account: 'operator2', roles: ['operator'] } as const;
    void first.order({ number, command: { command: 'claim' }, actor, version: null, doneAt: null, key: `c-${number}` }).then(async () => {
      claimed.push(clock.monotonic() - at);
      const { rows } = await postgres.pool.query(`select 1 from timeline where alarm = $1 and event->>'event' = 'deadline-passed'`, [
        number,
      ]);
      if (rows.length === 0) byOperators += 1;
    });
  }
  const allDoneMs = clock.monotonic() - began;
  const used = spent(job.deadlines);
  let asksDoneMs: Milliseconds | null = null;
  if (asks !== null) {
    for (;;) {
      const { rows } = await postgres.pool.query(
        `select 1 from ask where state = 'pending' and channel = 'page' or state = 'pending' and priority_rank = 0 limit 1`,
      );
      if (rows.length === 0) break;
      await sleep(clock, 50);
    }
    asksDoneMs = clock.monotonic() - began;
  }
  const { rows: written } = await postgres.pool.query<Passed>(PASSED);
  const made = await postgres.pool.query<{ n: number }>('select count(*)::int as n from ask');
  await Promise.all(sweeps.map((sweep) => sweep.stop()));
  await asks?.stop();
  await makeDue(job.databaseUrl);
  const reference = await bareRows(postgres, job.referenceBatch, job.databasePid);
  await Promise.all(pools.map((pool) => pool.stop()));
  return {
    perSecond: (passed * 1000) / allDoneMs,
    lifeDoneMs,
    allDoneMs,
    outOfOrder: outOfOrder(written, job.sweeps),
    ...used,
    claims: claimed.length === 0 ? null : latenciesOf(Float64Array.from(claimed)),
    asksDoneMs,
    asks: made.rows[0]?.n ?? 0,
    reference,
  };
});
