/** Starts the auditor on the stores of one process, with all that it needs to mend what it finds. */
import { createDesk } from '../alarms/desk.ts';
import { joiningKey } from '../alarms/correlate.ts';
import { type Clock, type Milliseconds, seconds, sleep } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { createDuty } from '../escalation/duty.ts';
import { ladderFor } from '../escalation/ladder.ts';
import { planRung } from '../escalation/plan.ts';
import { createHolding } from '../intake/hold.ts';
import { createKeeper } from '../intake/keep.ts';
import { createAlarmStore } from '../store/alarm-store.ts';
import { createAuditStore } from '../store/audit.ts';
import { createFeedWriter } from '../store/feed.ts';
import { createHeldStore } from '../store/held.ts';
import { rowsOf } from '../store/query.ts';
import { startRelay } from '../store/relay.ts';
import { createRepairStore } from '../store/repair.ts';
import { createRosterStore } from '../store/roster.ts';
import { createSignalStore } from '../store/signal-store.ts';
import { type Auditor, startAuditor } from '../watch/auditor.ts';
import { createMender } from '../watch/auditor-mender.ts';
import { verdictOn } from '../watch/auditor-verdict.ts';
import type { WatchReports } from '../watch/report.ts';
import type { Configuration } from './configuration.ts';
import type { Stores } from './stores.ts';

export interface CentreAuditorParts {
  readonly configuration: Pick<Configuration, 'escalation'>;
  readonly stores: Pick<Stores, 'postgres' | 'redis'>;
  readonly reports: WatchReports;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** So long a relay of the auditor's own publishes before it is ended again. */
const RELAY_TURN: Milliseconds = seconds(3);
const LOOK_AGAIN_MS: Milliseconds = 100;

export function startCentreAuditor({ configuration, stores, reports, clock, random, log }: CentreAuditorParts): Auditor {
  const { postgres, redis } = stores;
  const { escalation } = configuration;
  const duty = createDuty({ escalation, store: createRosterStore(postgres), clock });
  // What is mended is published by the relays of the others; if those are dead, the outbox grows old and is found.
  const committed = (): void => undefined;
  return startAuditor({
    store: createAuditStore(postgres),
    mender: createMender({
      desk: createDesk({ store: createAlarmStore(postgres, committed), clock, random }),
      repairs: createDesk({ store: createRepairStore(postgres, verdictOn, committed), clock, random }),
      plan: async (alarm) => planRung(escalation, alarm, await duty.roll()),
      relay: relayTurn,
      showHeld,
    }),
    reports,
    clock,
    log,
  });

  /** A relay for a moment: until it has found nothing left, or its time is over. */
  async function relayTurn(): Promise<boolean> {
    const relay = startRelay({ pg: postgres, feed: createFeedWriter({ redis, random }), clock, log });
    const end = clock.monotonic() + RELAY_TURN;
    try {
      while (clock.monotonic() < end) {
        await sleep(clock, LOOK_AGAIN_MS);
        if ((await rowsOf(postgres, 'select 1 from outbox limit 1')).length === 0) return relay.stats().published > 0;
      }
    } finally {
      await relay.stop();
    }
    return false;
  }

  async function showHeld(): Promise<boolean> {
    const keeper = createKeeper({
      store: createSignalStore(postgres, committed),
      ladderFor: (alarm) => ladderFor(escalation, alarm),
      keyOf: joiningKey,
      log,
    });
    const holding = createHolding({ store: createHeldStore(postgres), keeper, clock, log });
    await holding.sweep();
    await holding.stop();
    return holding.counts().shown > 0;
  }
}
