/** `npm run simulate`: plays one scenario against a running centre until it is over or somebody stops it. */
import { MessageChannel } from 'node:worker_threads';
import { RunningClock, sleep } from '../src/base/clock.ts';
import { CentreError } from '../src/base/errors.ts';
import { following, readReady } from './addresses.ts';
import { readCommandLine, type CommandLine } from './command-line.ts';
import { plainLog } from './plain-log.ts';
import { playScenario } from './player.ts';
import { loadScenario, scenarioNames } from './read-scenario.ts';
import { startSmsGateway } from './sms-gateway.ts';

const out = (text: string): void => void process.stdout.write(text);

/** Returns the exit code. */
async function run(line: CommandLine): Promise<number> {
  if (line.scenario === null) {
    for (const name of scenarioNames()) out(`${name.padEnd(10)} ${loadScenario(name).says}\n`);
    return 0;
  }
  if (line.scenario === 'sms-gateway') return gateway(line);
  const scenario = loadScenario(line.scenario);
  const clock = new RunningClock();
  const log = plainLog(clock, line.verbose, out);
  const stopped = toldToStop(clock, line.scenario === 'demo');
  const fromReady = line.given.mqtt === undefined || line.given.scaip === undefined;
  if (fromReady && (await centreReady(line.dataDir, clock, stopped)) === 'stopped') return 0;

  const seed = line.seed ?? scenario.seed;
  out(`${scenario.name}: ${scenario.says}\nSeed ${seed}, ${line.speed ?? scenario.speed} times real time.\n`);
  const play = await playScenario({
    scenario,
    seed,
    ...(line.speed === null ? {} : { speed: line.speed }),
    addresses: following(line.dataDir, line.given),
    password: line.password,
    clock,
    log,
  });
  const ended = await Promise.race([play.finished, stopped]);
  await play.stop();
  const { delivered, notDelivered } = play.tally;
  out(`${ended === 'stopped' ? 'Stopped' : 'Over'}: ${delivered} messages delivered, ${notDelivered} not.\n`);
  return ended === 'stopped' || notDelivered === 0 ? 0 : 2;
}

/** Says on its first line, as JSON, where it listens; stands until it is stopped. */
async function gateway(line: CommandLine): Promise<number> {
  const clock = new RunningClock();
  const stopped = toldToStop(clock, true);
  const token = process.env['SMS_GATEWAY_TOKEN'];
  const sms = await startSmsGateway({ port: line.port, ...(token ? { token } : {}), clock });
  out(`${JSON.stringify({ url: sms.url, token: sms.token })}\n`);
  await stopped;
  await sms.stop();
  return 0;
}

/**
 * @param companion of a centre that started it: ends when that is gone, however it went. Otherwise a demonstration that was
 *   killed and started again would have each device twice, and the two would take the connection from one another for ever.
 */
function toldToStop(clock: RunningClock, companion: boolean): Promise<'stopped'> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve('stopped'));
    const parent = process.ppid;
    if (companion) clock.every(250, () => process.ppid !== parent && resolve('stopped'));
  });
}

async function centreReady(dataDir: string, clock: RunningClock, stopped: Promise<'stopped'>): Promise<'ready' | 'stopped'> {
  if (readReady(dataDir) === null) out(`Waiting for a centre: there is no ${dataDir}/ready.json yet (or give --mqtt and --scaip).\n`);
  while (readReady(dataDir) === null) {
    if ((await Promise.race([sleep(clock, 250), stopped])) === 'stopped') return 'stopped';
  }
  return 'ready';
}

// The clock's timers do not keep a process alive, and while the centre is down there may be nothing else.
const { port1: alive } = new MessageChannel();
alive.ref();
try {
  process.exitCode = await run(readCommandLine(process.argv.slice(2), process.env));
} catch (error) {
  if (!(error instanceof CentreError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
} finally {
  alive.close();
}
