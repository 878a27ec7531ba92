/** The composition root: builds the parts of a centre, connects them by passing functions, starts and stops them in order. */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { Registry } from 'prom-client';
import { createDesk } from './alarms/desk.ts';
import { checksOf } from './app/checks.ts';
import { type CleanUp, createCleanUp } from './app/clean-up.ts';
import type { ProcessRole } from './app/command-line.ts';
import { type Configuration, configurationOf, knownToRegister } from './app/configuration.ts';
import { startConsole, versionOf } from './app/console.ts';
import { startEscalation } from './app/escalation.ts';
import { startHealth, watchChecks } from './app/health.ts';
import { startIntake } from './app/intake.ts';
import { measureProcess } from './app/measures-process.ts';
import { announceNode } from './app/node.ts';
import { type Stores, openStores } from './app/stores.ts';
import { openTlsIdentity } from './app/tls.ts';
import { startWatch } from './app/watch.ts';
import { watchBeside } from './app/watch-process.ts';
import { type Clock, type Milliseconds, RunningClock, sleep } from './base/clock.ts';
import { CentreError } from './base/errors.ts';
import { type Random, receiptId, systemRandom } from './base/ids.ts';
import type { Log } from './base/log.ts';
import type { Settings } from './base/settings.ts';
import type { HealthCheck } from './console/health-routes.ts';
import type { Notifier } from './escalation/ask.ts';
import { createDuty } from './escalation/duty.ts';
import { createSmsReports } from './notify/sms-reports.ts';
import { seedDemo } from './people/demo.ts';
import { createAccountBook } from './store/accounts.ts';
import { createAlarmStore } from './store/alarm-store.ts';
import { type DataDir, openDataDir } from './store/data-dir.ts';
import { createFeedWriter } from './store/feed.ts';
import { createRegisterStore } from './store/register.ts';
import { startRelay } from './store/relay.ts';
import { createRosterStore } from './store/roster.ts';

/** What `DATA_DIR/ready.json` says: where the centre listens (interfaces.md); only what does. */
export interface Ready {
  readonly pid: number;
  readonly http?: string;
  readonly mqtt?: string;
  readonly mqtts?: string;
  readonly sipUdp?: string;
  readonly sipTcp?: string;
  readonly sips?: string;
  /** The direct stream to the consoles. */
  readonly direct?: string;
}

export interface CentreOptions {
  readonly settings: Settings;
  readonly roles: readonly ProcessRole[];
  /** Puts the demonstration's accounts and register in. */
  readonly demo: boolean;
  readonly log: Log;
  /** Ends a start that waits for the database. */
  readonly stopping?: AbortSignal;
  /** The machine's unless a test brings one that can be moved. */
  readonly clock?: Clock;
  readonly random?: Random;
  /** A test's phones instead of page and SMS. */
  readonly notifier?: Notifier;
}

export interface RunningCentre {
  readonly ready: Ready;
  /** Absolute. */
  readonly dataDir: string;
  /** Takes renewed certificates into use; never rejects. */
  reloadCertificates(): Promise<void>;
  /** No new input, what is in hand finished or handed on, stores closed. */
  stop(): Promise<void>;
}

/** Before a start that PostgreSQL left in its midst is begun anew. */
const BEGIN_ANEW_MS: Milliseconds = 500;

/** @throws CentreError with one sentence that says what is wrong; nothing is left half started */
export async function startCentre(options: CentreOptions): Promise<RunningCentre> {
  const { log, stopping } = options;
  for (;;) {
    const cleanUp = createCleanUp(log);
    try {
      return await start(options, cleanUp);
    } catch (error) {
      await cleanUp.run();
      // It was there when the start began: an outage, which the next try waits for as far as it may.
      const isOutage = error instanceof CentreError && error.code === 'store-away';
      if (!isOutage || stopping === undefined || stopping.aborted) throw error;
      log.warn('start-begun-anew', { error });
      await sleep(new RunningClock(), BEGIN_ANEW_MS);
    }
  }
}

async function start(options: CentreOptions, cleanUp: CleanUp): Promise<RunningCentre> {
  const { settings, roles, demo, log, stopping, clock = new RunningClock(), random = systemRandom, notifier = null } = options;
  if (roles.includes('escalation') && !roles.includes('console') && settings.PUBLIC_URL === undefined) {
    const message =
      'PUBLIC_URL must be given to a process with the role escalation and without console: messages to responders link to it.';
    throw new CentreError('settings-invalid', message);
  }
  const began = clock.monotonic();
  const configuration = configurationOf(settings.CONFIG_DIR);
  const tls = await openTlsIdentity({ settings, clock, log });
  cleanUp.add('certificates', () => tls?.stop());
  const dataDir = await openDataDir(settings.DATA_DIR);
  cleanUp.add('data-dir', () => dataDir.release());
  const stores = await openStores({ settings, dataDir: dataDir.path, clock, random, log, cleanUp, ...(stopping && { stopping }) });
  if (demo) await demonstrate(stores, configuration, clock, random, log);
  watchTime(clock, log, cleanUp);

  const registry = new Registry();
  const feed = createFeedWriter({ redis: stores.redis, random });
  const relay = startRelay({ pg: stores.postgres, feed, clock, log });
  cleanUp.add('relay', () => relay.stop());

  let poked = (): void => relay.poke();
  const committed = (): void => poked();
  const desk = createDesk({ store: createAlarmStore(stores.postgres, committed), clock, random });
  const duty = createDuty({ escalation: configuration.escalation, store: createRosterStore(stores.postgres), clock });
  let spillWorks = (): boolean => false;
  const checks: HealthCheck[] = checksOf(stores, clock, () => spillWorks());
  checks.push(...watchChecks(stores.postgres, clock));
  measureProcess({ registry, stores, relay, tls, checks, dataDir: dataDir.path, version: await versionOf(), roles, clock });
  const shared = { settings, configuration, stores, tls, desk, duty, clock, random, log, registry, cleanUp, checks };

  let publicUrl = settings.PUBLIC_URL ?? '';
  let report: (id: string, status: 'delivered' | 'failed') => Promise<boolean> = () => Promise.resolve(false);
  const takeReport = createSmsReports(settings.SMS_GATEWAY_TOKEN ?? null, (id, status) => report(id, status));
  const console = roles.includes('console') ? await startConsole({ ...shared, demo, takeReport }) : null;
  if (roles.includes('escalation')) {
    const asks = startEscalation({ ...shared, notifier, publicUrl: () => publicUrl });
    report = (id, status) => asks.report(id, status);
    poked = () => {
      relay.poke();
      asks.poke();
    };
  }
  let directSha256 = (): string | null => null;
  const listening: { -readonly [K in keyof Ready]: Ready[K] } = { pid: process.pid };
  // HTTP first: it is asked whether the centre is ready. Devices last: what they send is then shown and acted on at once.
  if (console !== null) {
    const { url } = await console.listen(settings.BIND, settings.HTTP_PORT);
    listening.http = url;
    if (publicUrl === '') publicUrl = url;
  } else listening.http = await startHealth(shared);
  if (roles.includes('intake')) {
    // Intake asks nobody. What it hastens or withdraws is found at the asks' next turn, within 250 ms: looking after each
    // signal would cost three statements.
    const intake = await startIntake({ ...shared, dataDir: dataDir.path, committed: () => relay.poke() });
    Object.assign(listening, intake.addresses);
    ({ spillWorks, directSha256 } = intake);
  }
  const { direct = null, http = null, mqtt = null, sipUdp = null } = listening;
  const id = receiptId(clock.now(), random);
  const node = () => ({ id, roles, direct, directSha256: directSha256(), http, mqtt, sipUdp });
  await announceNode({ postgres: stores.postgres, node, clock, log, cleanUp });
  // Alone in this process, or beside it in one of its own that is started when all else is.
  const watch = roles.includes('watch') && roles.length > 1 ? watchBeside({ ...shared }) : null;
  if (roles.includes('watch') && watch === null) startWatch(shared);
  await announce(dataDir, listening, cleanUp);
  watch?.start();
  log.info('centre-ready', { role: roles.join(','), tookMs: Math.round(clock.monotonic() - began) });
  return {
    ready: listening,
    dataDir: dataDir.path,
    reloadCertificates: () => tls?.reload() ?? Promise.resolve(),
    stop: () => stop(cleanUp, log),
  };
}

/** Removed before anything stops: who reads it must not turn to a centre that is going. */
async function announce(dataDir: DataDir, ready: Ready, cleanUp: CleanUp): Promise<void> {
  await dataDir.writeReady(ready);
  cleanUp.add('ready', () => rm(path.join(dataDir.path, 'ready.json'), { force: true }));
}

async function stop(cleanUp: CleanUp, log: Log): Promise<void> {
  log.info('centre-stopping');
  await cleanUp.run();
  log.info('centre-stopped');
}

async function demonstrate({ postgres }: Stores, configuration: Configuration, clock: Clock, random: Random, log: Log): Promise<void> {
  await seedDemo({
    configDir: configuration.dir,
    accounts: createAccountBook(postgres),
    register: createRegisterStore(postgres),
    known: knownToRegister(configuration),
    clock,
    random,
    log,
  });
}

const LOOK_AT_WALL_MS = 5000;

/** A wall clock that was stepped is reported, not followed (design § 2, Time). */
function watchTime(clock: Clock, log: Log, cleanUp: CleanUp): void {
  if (!(clock instanceof RunningClock)) return;
  const timer = clock.every(LOOK_AT_WALL_MS, () => {
    const jump = clock.wallClockJump();
    if (jump !== null) log.warn('wall-clock-jumped', { byMs: Math.round(jump.by) });
  });
  cleanUp.add('time', () => timer.cancel());
}
