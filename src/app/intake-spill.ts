/** Builds the spill of one intake process before its keeper: file, replay, direct stream, figures and its place in /readyz. */
import { hostname } from 'node:os';
import path from 'node:path';
import type { Registry } from 'prom-client';
import { admit, joiningKey } from '../alarms/correlate.ts';
import type { Desk } from '../alarms/desk.ts';
import { type Clock, RunningClock } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';
import type { HealthCheck } from '../console/health-routes.ts';
import { type Escalation, ladderFor } from '../escalation/ladder.ts';
import { startDirectStream } from '../intake/direct-stream.ts';
import { createKeeper } from '../intake/keep.ts';
import { type OrderClaim, createReplay } from '../intake/spill-replay.ts';
import { type Spill, createSpill } from '../intake/spill.ts';
import { centreSecret } from '../store/nodes.ts';
import type { Postgres } from '../store/postgres.ts';
import { createSignalStore } from '../store/signal-store.ts';
import { openSpillFile } from '../store/spill-file.ts';
import { createSpillStore } from '../store/spill-replay.ts';
import type { CleanUp } from './clean-up.ts';
import { addressOf } from './intake-parts.ts';
import { count, gauge } from './measures.ts';
import type { TlsIdentity } from './tls.ts';

const MB = 1024 * 1024;
const WILDCARDS = ['0.0.0.0', '::'];
/** Longer than the spill waits for a batch that hangs. */
const STOP_PATIENCE_MS = 4000;

export interface SpillParts {
  readonly settings: Settings;
  readonly dataDir: string;
  readonly escalation: Escalation;
  readonly postgres: Postgres;
  readonly desk: Desk;
  readonly tls: TlsIdentity | null;
  readonly checks: HealthCheck[];
  /** Told after each commit. */
  readonly committed: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly registry: Registry;
  readonly cleanUp: CleanUp;
}

export interface StartedSpill {
  readonly spill: Spill;
  /** `host:port` of the direct stream, and the SHA-256 of the certificate that it uses now. */
  readonly direct: string;
  readonly directSha256: () => string | null;
}

/** What the file holds from an earlier run is replayed at once. @throws CentreError store-away, port-in-use, port-not-allowed */
export async function startSpill(parts: SpillParts): Promise<StartedSpill> {
  const { settings, dataDir, escalation, postgres, desk, tls, checks, committed, clock, random, log, registry, cleanUp } = parts;
  const opened = await openSpillFile({
    folder: path.join(dataDir, 'spill'),
    maxBytes: settings.SPILL_MAX_MB * MB,
    clock,
    log,
  });
  const signals = createSignalStore(postgres, committed);
  const spill = createSpill({
    opened,
    live: createKeeper({ store: signals, ladderFor: (alarm) => ladderFor(escalation, alarm), keyOf: joiningKey, log }),
    replayWith: (provisional) =>
      createReplay({
        signals,
        store: createSpillStore(postgres),
        admit: (signal, situation, newNumber) => admit(signal, situation, (alarm) => ladderFor(escalation, alarm), newNumber),
        order: orderBy(desk),
        file: opened.log,
        provisional,
        clock,
        log,
      }),
    // Real time, also where the centre's clock is moved: how long PostgreSQL takes is no matter of the centre's time.
    clock: new RunningClock(),
    log,
  });
  cleanUp.add('spill', () => spill.stop(), STOP_PATIENCE_MS);
  measure(registry, spill, clock);
  checks.push(checkOf(spill));
  const token = await centreSecret(postgres, 'direct', random, clock.now());
  const stream = await startDirectStream({ spill, token, bind: settings.BIND, port: settings.DIRECT_PORT, tls, clock, log });
  cleanUp.add('direct-stream', () => stream.stop());
  gauge(registry, 'direct_clients', 'Consoles that read the direct stream of this process', () => stream.counts().connected);
  // Consoles on other machines must be able to reach it.
  const host = WILDCARDS.includes(settings.BIND) ? hostname() : settings.BIND;
  return { spill, direct: addressOf({ host, port: stream.port }), directSha256: () => stream.sha256() };
}

/** The same order twice gets the first answer: the key is the provisional number. */
const orderBy =
  (desk: Desk): OrderClaim =>
  (alarm, { number, account, roles, at }) =>
    desk.order({
      number: alarm,
      command: { command: 'claim' },
      actor: { type: 'person', account, roles },
      version: null,
      doneAt: at,
      key: `claim ${number}`,
    });

/**
 * While PostgreSQL is away and the spill works, this process does what only it can do: it must not be taken out of the load
 * balancer, and `database` does not count against it (checks.ts). Once the spill takes nothing, it is not fit.
 */
function checkOf(spill: Spill): HealthCheck {
  return {
    name: 'spill',
    get needed() {
      return spill.storeAway();
    },
    check() {
      const { fault, aside } = spill.counts();
      if (fault === 'broken') return Promise.resolve('The spill cannot be written: look at its directory and disk.');
      if (fault === 'full') return Promise.resolve('The spill is full: nothing more is acknowledged until PostgreSQL is back.');
      if (aside > 0) return Promise.resolve(`${aside} file(s) in the spill need somebody to look at them (*.damaged, *.aside).`);
      return Promise.resolve(null);
    },
  };
}

function measure(registry: Registry, spill: Spill, clock: Clock): void {
  gauge(registry, 'signals_waiting', 'Signals that wait for their commit', () => spill.waiting());
  gauge(registry, 'spill_active', '1 while signals go into the spill and not to PostgreSQL', () =>
    spill.counts().mode === 'live' ? 0 : 1,
  );
  gauge(registry, 'spill_signals', 'Signals in the spill that PostgreSQL has not taken over', () => spill.counts().signals);
  gauge(registry, 'spill_bytes', 'Bytes of the spill on the disk', () => spill.counts().bytes);
  gauge(registry, 'spill_oldest_seconds', 'Age of the oldest signal in the spill', () => {
    const { oldestAt } = spill.counts();
    return oldestAt === null ? 0 : Math.max(0, clock.now() - oldestAt) / 1000;
  });
  count(registry, 'spill_kept_total', 'Signals that were kept in the spill', () => spill.counts().spilled);
  count(registry, 'spill_replayed_total', 'Signals that PostgreSQL took over from the spill', () => spill.counts().replayed);
  count(registry, 'spill_refused_total', 'Signals that neither PostgreSQL nor the spill could take', () => spill.counts().refused);
  gauge(registry, 'spill_fault', '1 while the spill is full or cannot be written', () => (spill.counts().fault === null ? 0 : 1));
  gauge(registry, 'spill_aside', 'Files of the spill that a technician must look at', () => spill.counts().aside);
}
