/** Feeds heartbeats to the real supervision on a database of its own: gathering, writing, and judging who is silent. */
import process from 'node:process';
import pg from 'pg';
import { readConfiguration } from '../../src/app/configuration.ts';
import { joiningKey } from '../../src/alarms/correlate.ts';
import { type Instant, type Milliseconds, RunningClock, minutes, sleep } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { SEEN, type SeenFacts } from '../../src/devices/interpretation.ts';
import { cutOffsOf } from '../../src/devices/silence.ts';
import { type SilenceStore, watchSilence } from '../../src/devices/silence-watch.ts';
import { type LifeSignStore, createLifeSigns } from '../../src/devices/supervision.ts';
import { ladderFor } from '../../src/escalation/ladder.ts';
import { createKeeper } from '../../src/intake/keep.ts';
import { createLifeSignStore } from '../../src/store/life-signs.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openPostgres } from '../../src/store/postgres.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { createSilenceStore } from '../../src/store/silence.ts';
import { type Latencies, latenciesOf } from '../../simulators/load/open-loop.ts';
import { answerParent } from '../job.ts';
import { cpuOf } from '../machine.ts';

export interface LifeSignsJob {
  /** Empty, or made by this job before. */
  readonly databaseUrl: string;
  readonly configDir: string;
  /** Every second one has a pendant that it tells of. */
  readonly units: number;
  readonly ratePerSecond: number;
  readonly forMs: Milliseconds;
}

export interface LifeSignsResult {
  readonly fed: number;
  /** From the first heartbeat until all is stored. */
  readonly spanMs: Milliseconds;
  /** From hearing a unit to its row. */
  readonly latencies: Latencies;
  readonly feederLateMs: Milliseconds;
  /** Of this process, and of PostgreSQL's for it. */
  readonly cpuMs: { readonly own: Milliseconds; readonly store: Milliseconds };
  readonly grownMb: number;
  /** Finding out that nobody is silent; and finding the first 512 where everybody is. */
  readonly judgeMs: { readonly none: Milliseconds; readonly all: Milliseconds };
}

const FILL = `
insert into device (serial, municipality, protocol, model)
select 'LIFE-' || n, '1103', 'mqtt', (array['generic/stationary', 'generic/fall-sensor', 'generic/generic'])[1 + n % 3]
from generate_series(0, $1::int - 1) n`;
const TURN_MS: Milliseconds = 20;
const clock = new RunningClock();

function heartbeat(n: number, at: Instant): SeenFacts {
  const triggers = n % 2 === 0 ? [] : [{ id: 'p1', battery: 90, seenAt: at - 1000, test: false }];
  return { ...SEEN, via: 'mqtt', battery: 40 + (n % 60), mains: true, signal: 4, triggers };
}

answerParent<LifeSignsJob, LifeSignsResult>(async ({ databaseUrl, configDir, units, ratePerSecond, forMs }) => {
  const log = createLog('error');
  const postgres = openPostgres(databaseUrl, log);
  await migrate(postgres.pool, log);
  // Filling may take longer than the centre's own statements may.
  const filling = new pg.Client({ connectionString: databaseUrl });
  await filling.connect();
  await filling.query(
    'truncate device, device_seen, trigger, listening, signal, timeline, outbox, ask, claim_lease, alarm, joining cascade',
  );
  await filling.query(FILL, [units]);
  await filling.query('vacuum analyze device, device_seen, trigger');
  const { models, escalation } = readConfiguration(configDir);

  const samples: number[] = [];
  const real = createLifeSignStore(postgres);
  const store: LifeSignStore = {
    async writeSeen(seen) {
      await real.writeSeen(seen);
      const now = clock.now();
      for (const { toldAt } of seen) samples.push(now - toldAt);
    },
  };
  const keeper = createKeeper({
    store: createSignalStore(postgres, () => undefined),
    ladderFor: (alarm) => ladderFor(escalation, alarm),
    keyOf: joiningKey,
    log,
  });
  const lifeSigns = createLifeSigns({ clock, log, store });
  const silence = createSilenceStore(postgres);
  const watch = watchSilence({
    models,
    store: silence,
    lifeSigns,
    keep: (signal) => keeper.keep(signal),
    clock,
    random: systemRandom,
    log,
  });

  // All have been heard once: what follows overwrites, as it does in every hour but the first.
  for (let n = 0; n < units; n++) lifeSigns.seen(`LIFE-${n}`, heartbeat(n, clock.now()), clock.now(), 'heartbeat');
  await lifeSigns.flush();
  await filling.query('vacuum analyze device_seen, trigger');
  await filling.end();
  samples.length = 0;
  globalThis.gc?.();
  const residentBefore = process.memoryUsage.rss();
  const cpuBefore = process.cpuUsage();
  const stores = watchBackends(postgres.pool);
  await stores.look();
  const looking = clock.every(1000, () => void stores.look());

  const began = clock.monotonic();
  let fed = 0;
  let feederLateMs = 0;
  for (let elapsed = 0; elapsed < forMs; elapsed = clock.monotonic() - began) {
    const due = Math.floor((Math.min(elapsed, forMs) * ratePerSecond) / 1000);
    const at = clock.now();
    for (; fed < due; fed++) lifeSigns.seen(`LIFE-${fed % units}`, heartbeat(fed, at), at, 'heartbeat');
    const slept = clock.monotonic();
    await sleep(clock, TURN_MS);
    feederLateMs = Math.max(feederLateMs, clock.monotonic() - slept - TURN_MS);
  }
  await lifeSigns.flush();
  const spanMs = clock.monotonic() - began;
  const { user, system } = process.cpuUsage(cpuBefore);
  const cpuMs = { own: (user + system) / 1000, store: await stores.look() };
  looking.cancel();
  const grownMb = (process.memoryUsage.rss() - residentBefore) / 1_048_576;
  await watch.stop();
  await lifeSigns.stop();
  const all = models.names.map((id) => models.get(id));
  const judgeMs = {
    none: await judged(silence, all, 0),
    all: await judged(silence, all, minutes(100 * 24 * 60)),
  };
  await postgres.stop();
  return {
    fed,
    spanMs,
    latencies: latenciesOf(Float64Array.from(samples)),
    feederLateMs,
    cpuMs,
    grownMb,
    judgeMs,
  };
});

/** CPU of PostgreSQL's processes for this database since the first look: connections come and go. */
function watchBackends(pool: pg.Pool): { look(): Promise<Milliseconds> } {
  const seen = new Map<number, { readonly first: Milliseconds; last: Milliseconds }>();
  let started = false;
  return {
    async look() {
      const { rows } = await pool.query<{ pid: number }>('select pid from pg_stat_activity where datname = current_database()');
      for (const { pid } of rows) {
        const used = cpuOf([pid]);
        const known = seen.get(pid);
        if (known === undefined) seen.set(pid, { first: started ? 0 : used, last: used });
        else known.last = used;
      }
      started = true;
      return [...seen.values()].reduce((sum, { first, last }) => sum + last - first, 0);
    },
  };
}

/** The best of five: what the statement takes, not what the machine does beside it. */
async function judged(store: SilenceStore, models: Parameters<typeof cutOffsOf>[0], later: Milliseconds): Promise<Milliseconds> {
  let best = Number.POSITIVE_INFINITY;
  for (let n = 0; n < 5; n++) {
    const now = clock.now() + later;
    const began = clock.monotonic();
    const spans = later === 0 ? await store.spans(now - minutes(60_000)) : [{ from: 0, until: now }];
    await store.find(cutOffsOf(models, spans, now), 'generic/generic', now, 512, null);
    best = Math.min(best, clock.monotonic() - began);
  }
  return best;
}
