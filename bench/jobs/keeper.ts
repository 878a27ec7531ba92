/** Keeps signals in one process without any protocol: the keeper and the store on a database of their own. */
import { createHash } from 'node:crypto';
import { readConfiguration } from '../../src/app/configuration.ts';
import { joiningKey } from '../../src/alarms/correlate.ts';
import type { Signal } from '../../src/alarms/signal.ts';
import { RunningClock } from '../../src/base/clock.ts';
import { receiptId, systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { ladderFor } from '../../src/escalation/ladder.ts';
import { createKeeper } from '../../src/intake/keep.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openPostgres } from '../../src/store/postgres.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { type Latencies, latenciesOf } from '../../simulators/load/open-loop.ts';
import { answerParent } from '../job.ts';

export interface KeeperJob {
  /** Empty, or made by this job before. */
  readonly databaseUrl: string;
  readonly configDir: string;
  readonly signals: number;
  readonly inFlight: number;
}

export interface KeeperResult {
  readonly perSecond: number;
  readonly opened: number;
  readonly latencies: Latencies;
}

const clock = new RunningClock();

/** A press in a household that has no alarm yet. */
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
    meaning: { role: 'need', kind: 'call-button', priority: 'urgent', trigger: '' },
    marks: [],
  };
}

answerParent<KeeperJob, KeeperResult>(async ({ databaseUrl, configDir, signals, inFlight }) => {
  const log = createLog('error');
  const postgres = openPostgres(databaseUrl, log);
  await migrate(postgres.pool, log);
  // Not vacuumed while they are empty: PostgreSQL would believe that they stay so (register.ts).
  await postgres.pool.query('truncate signal, timeline, outbox, ask, claim_lease, alarm, joining');
  const { escalation } = readConfiguration(configDir);
  const keeper = createKeeper({
    store: createSignalStore(postgres, () => undefined),
    ladderFor: (alarm) => ladderFor(escalation, alarm),
    keyOf: joiningKey,
    log,
  });
  const samples: number[] = [];
  // A third: the code of a process that has just begun is not compiled, and a centre's is.
  const warm = Math.floor(signals / 3);
  let next = 0;
  let opened = 0;
  let measuredFrom = 0;
  const client = async (): Promise<void> => {
    while (next < signals) {
      const n = next++;
      if (n === warm) measuredFrom = clock.monotonic();
      const began = clock.monotonic();
      const { verdict } = await keeper.keep(press(n));
      if (verdict === 'opened') opened++;
      if (n >= warm) samples.push(clock.monotonic() - began);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, client));
  const spanMs = clock.monotonic() - measuredFrom;
  await postgres.stop();
  return { perSecond: (samples.length * 1000) / spanMs, opened, latencies: latenciesOf(Float64Array.from(samples)) };
});
