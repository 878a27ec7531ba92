/** The process: arguments, signals, exit codes. */
import process from 'node:process';
import { startCentre } from './app.ts';
import { runAdminCommand } from './app/admin.ts';
import { type Invocation, readCommandLine } from './app/command-line.ts';
import { readConfiguration } from './app/configuration.ts';
import { checkDemoAddress, greeting, startDemoDevices, startDemoGateway } from './app/demo.ts';
import { startWatchBeside } from './app/watch.ts';
import { isCompanion, parentOf } from './app/watch-process.ts';
import { RunningClock, type Timer } from './base/clock.ts';
import { CentreError } from './base/errors.ts';
import { createLog } from './base/log.ts';
import { type Settings, readSettings } from './base/settings.ts';

const STOP_WITHIN_MS = 9500;
const STOP_COMPANION_WITHIN_MS = 1500;

type CentreInvocation = Extract<Invocation, { run: 'centre' }>;

try {
  const invocation = readCommandLine(process.argv.slice(2));
  const settings = readSettings(process.env);
  if (invocation.run === 'admin') process.exitCode = await runAdminCommand(invocation.args, settings);
  else if (invocation.run === 'check-config') checkConfiguration(settings);
  else if (isCompanion()) await runCompanion(settings);
  else await runCentre(invocation, settings);
} catch (error) {
  if (!(error instanceof CentreError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}

function checkConfiguration(settings: Settings): void {
  const { municipalities, models, escalation } = readConfiguration(settings.CONFIG_DIR);
  const counted = [
    `${municipalities.length} municipalities`,
    `${models.names.length} device models`,
    `${escalation.teams.length} teams`,
    `${escalation.ladders.length} ladders`,
  ];
  process.stdout.write(`${settings.CONFIG_DIR} is in order: ${counted.join(', ')}.\n`);
}

/** The watch as a child of a centre: it ends with it, whatever ended that one. */
async function runCompanion(settings: Settings): Promise<void> {
  const log = createLog(settings.LOG_LEVEL).child({ role: 'watch' });
  const { told, left } = parentOf();
  const ordered = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => resolve());
  });
  const over = Promise.race([left, ordered]);
  // What hangs while it ends, or while it starts, is not waited for: the parent is going or gone.
  void over.then(() => new RunningClock().after(STOP_COMPANION_WITHIN_MS, () => process.exit(0)));
  const known = await Promise.race([told, over]);
  if (known !== undefined) {
    const watch = await startWatchBeside({ settings, told: known, log });
    await over;
    await watch.stop();
  }
  process.exit(0);
}

async function runCentre(invocation: CentreInvocation, given: Settings): Promise<void> {
  const log = createLog(given.LOG_LEVEL);
  const children: { stop(): Promise<void> }[] = [];
  let stopping: Promise<void> | null = null;
  let limit: Timer | null = null;
  const ordered = new AbortController();
  let stop: () => Promise<void> = () => Promise.resolve();
  let reload = (): Promise<void> => Promise.resolve();
  // Only where there is a certificate: else a terminal that is closed ends the centre in it, as ever.
  if (given.TLS_CERT !== undefined) process.on('SIGHUP', () => void reload());
  // From the first moment on: a start that is interrupted must leave nothing half started.
  const toldToStop = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        limitStop();
        ordered.abort();
        resolve();
      });
    }
  });

  try {
    if (invocation.demo) checkDemoAddress(given.BIND, invocation.force);
    const { settings, gateway } = invocation.demo ? await startDemoGateway(given) : { settings: given, gateway: null };
    if (gateway !== null) children.push(gateway);
    const centre = await startCentre({ settings, roles: invocation.roles, demo: invocation.demo, log, stopping: ordered.signal });
    stop = () => centre.stop();
    reload = () => centre.reloadCertificates();
    if (invocation.devices) children.push(startDemoDevices(centre.dataDir));
    if (invocation.demo) process.stdout.write(greeting(centre.ready.http ?? '', settings.SMS_GATEWAY_URL));
    await toldToStop;
  } catch (error) {
    if (!(error instanceof CentreError) || error.code !== 'start-interrupted') throw error;
  } finally {
    limitStop();
    stopping ??= stopAll();
    await stopping;
  }
  process.exit(0);

  /** interfaces.md: under ten seconds, whatever hangs, a start included; the stores' own children die with us. */
  function limitStop(): void {
    limit ??= new RunningClock().after(STOP_WITHIN_MS, () => {
      log.error('stop-cut-short');
      process.exit(1);
    });
  }

  async function stopAll(): Promise<void> {
    for (const child of children.toReversed()) await child.stop();
    await stop();
  }
}
