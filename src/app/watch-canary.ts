/** Starts the canary on the stores of one process: its nodes, its rows and its outside monitor. */
import type { Clock, Milliseconds } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';
import { createCanaryStore } from '../store/canary.ts';
import { createNodes } from '../store/nodes.ts';
import type { Postgres } from '../store/postgres.ts';
import { type Canary, type CanaryNodes, startCanary } from '../watch/canary.ts';
import { type DeadMan, createDeadMan } from '../watch/dead-man.ts';
import type { WatchReports } from '../watch/report.ts';

export interface CentreCanaryParts {
  readonly settings: Pick<Settings, 'SIP_REALM' | 'DEAD_MAN_URL'>;
  readonly postgres: Postgres;
  readonly reports: WatchReports;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** From one round to the next; a minute by default. */
  readonly every?: Milliseconds;
}

/** @returns the canary, already at work; `deadMan` null when the settings name none */
export function startCentreCanary(parts: CentreCanaryParts): Canary & { readonly deadMan: DeadMan | null } {
  const { settings, postgres, reports, clock, random, log, every } = parts;
  const nodes = createNodes(postgres);
  const deadMan = settings.DEAD_MAN_URL === undefined ? null : createDeadMan({ url: settings.DEAD_MAN_URL, clock, log });
  const canary = startCanary({
    store: createCanaryStore(postgres, { realm: settings.SIP_REALM, random }),
    reports,
    nodes: async (): Promise<CanaryNodes> => {
      const all = await nodes.list(clock.now());
      return {
        intakes: { mqtt: all.flatMap(({ mqtt }) => mqtt ?? []), scaip: all.flatMap(({ sipUdp }) => sipUdp ?? []) },
        consoles: all.filter(({ roles }) => roles.includes('console')).flatMap(({ http }) => http ?? []),
      };
    },
    deadMan,
    clock,
    random,
    log,
    ...(every === undefined ? {} : { every }),
  });
  return { ...canary, deadMan };
}
