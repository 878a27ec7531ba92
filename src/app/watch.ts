/** Starts what watches the centre: the auditor and the canary, in a process of their own (ADR 17). */
import { type Clock, RunningClock } from '../base/clock.ts';
import { type Random, systemRandom } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';
import { createWatchReports } from '../store/watch-reports.ts';
import { type CleanUp, createCleanUp } from './clean-up.ts';
import { type Configuration, configurationOf } from './configuration.ts';
import { type Stores, openStores } from './stores.ts';
import { startCentreAuditor } from './watch-auditor.ts';
import { startCentreCanary } from './watch-canary.ts';
import type { Told } from './watch-process.ts';

export interface WatchParts {
  readonly settings: Settings;
  readonly configuration: Configuration;
  readonly stores: Pick<Stores, 'postgres' | 'redis'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly cleanUp: CleanUp;
}

export function startWatch({ settings, configuration, stores, clock, random, log, cleanUp }: WatchParts): void {
  const { postgres } = stores;
  const reports = createWatchReports(postgres);
  const auditor = startCentreAuditor({ configuration, stores, reports, clock, random, log });
  cleanUp.add('auditor', () => auditor.stop());
  const canary = startCentreCanary({ settings, postgres, reports, clock, random, log });
  cleanUp.add('canary', () => canary.stop());
}

/** The watch beside another process, on that one's stores; it listens nowhere and has no data directory. @throws CentreError */
export async function startWatchBeside(parts: {
  readonly settings: Settings;
  readonly told: Told;
  readonly log: Log;
}): Promise<{ stop(): Promise<void> }> {
  const { log, told } = parts;
  const cleanUp = createCleanUp(log);
  try {
    const clock = new RunningClock(told.anchor);
    const random = systemRandom;
    const settings = { ...parts.settings, DATABASE_URL: told.databaseUrl, REDIS_URL: told.redisUrl };
    const opened = await openStores({ settings, dataDir: '', clock, random, log, cleanUp });
    startWatch({ settings, configuration: configurationOf(settings.CONFIG_DIR), stores: opened, clock, random, log, cleanUp });
  } catch (error) {
    await cleanUp.run();
    throw error;
  }
  return { stop: () => cleanUp.run() };
}
