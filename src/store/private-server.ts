/** Keeps one private server (PostgreSQL or Redis) running as a child: starts it, starts it again when it dies, stops it. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync, truncateSync } from 'node:fs';
import process from 'node:process';
import { type Clock, type Milliseconds, sleep } from '../base/clock.ts';
import { CentreError, type ErrorCode, reason } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type EndingStep, endProcessesIn } from './processes.ts';

/** What a private server needs of the centre. The clock must run by itself: the spans here are those of real processes. */
export interface PrivateServerOptions {
  /** Absolute; the caller holds its lock. */
  readonly dataDir: string;
  readonly log: Log;
  readonly clock: Clock;
}

export interface PrivateServer {
  /** What its driver takes; the same for as long as the centre runs. */
  readonly url: string;
  /** Its process, or null while it is down. */
  pid(): number | null;
  /** Stops it and does not start it again. Doing it twice does no harm. */
  stop(): Promise<void>;
}

export interface ServerRecipe {
  readonly component: 'postgres' | 'redis';
  /** The server's working directory, links resolved: whatever works there is ours, or an orphan of ours. */
  readonly folder: string;
  readonly logFile: string;
  readonly failure: ErrorCode;
  /** What to set instead of the private server. */
  readonly setting: 'DATABASE_URL' | 'REDIS_URL';
  /** The program and its arguments. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  /** How to end it, and its orphans: politely, then less so. */
  readonly ending: readonly EndingStep[];
  /** Clears what a crash left behind; nothing of the server runs then. */
  prepare(): void;
  /** One quick try to use it. */
  isUsable(): Promise<boolean>;
}

const LONGEST_START: Milliseconds = 120_000;
const LONGEST_PAUSE: Milliseconds = 1000;
const FIRST_ATTEMPTS = 3;
const LARGEST_LOG = 8 * 1024 * 1024;

/**
 * Starts the server and waits until it can be used.
 * @throws CentreError of the recipe's code when it cannot be started three times running
 */
export function keepRunning(recipe: ServerRecipe, options: PrivateServerOptions): Promise<Omit<PrivateServer, 'url'>> {
  return awake(() => running(recipe, options));
}

/** The clock's timers do not keep the process alive; a store that is being started or stopped must. */
async function awake<T>(work: () => Promise<T>): Promise<T> {
  const { port1 } = new MessageChannel();
  port1.ref();
  try {
    return await work();
  } finally {
    port1.close();
  }
}

async function running(recipe: ServerRecipe, { log, clock }: PrivateServerOptions): Promise<Omit<PrivateServer, 'url'>> {
  const { component } = recipe;
  let child: ChildProcess | null = null;
  let stopping = false;
  let working: Promise<void> = Promise.resolve();

  for (let attempt = 1; ; attempt += 1) {
    try {
      child = await startOnce(recipe, clock, () => stopping);
      break;
    } catch (error) {
      if (attempt >= FIRST_ATTEMPTS) throw cannotStart(recipe, error);
      log.warn('private-store-start-failed', { component, attempt, error });
      await sleep(clock, pauseAfter(attempt));
    }
  }
  log.info('private-store-started', { component, pid: child.pid ?? 0 });
  watch(child);

  function watch(started: ChildProcess): void {
    const ended = (): void => {
      child = null;
      if (!stopping) working = startAgain();
    };
    // It may have died between being found usable and being watched.
    if (hasEnded(started)) ended();
    else started.once('exit', ended);
  }

  async function startAgain(): Promise<void> {
    const diedAt = clock.monotonic();
    log.error('private-store-died', { component });
    for (let attempt = 1; !stopping; attempt += 1) {
      try {
        child = await startOnce(recipe, clock, () => stopping);
        log.warn('private-store-restarted', { component, attempt, pid: child.pid ?? 0, tookMs: Math.round(clock.monotonic() - diedAt) });
        watch(child);
        return;
      } catch (error) {
        if (!stopping) log.error('private-store-start-failed', { component, attempt, error });
        await sleep(clock, pauseAfter(attempt));
      }
    }
  }

  return {
    pid: () => child?.pid ?? null,
    stop: async () => {
      if (stopping) return working;
      stopping = true;
      const restarted = working;
      working = awake(async () => {
        await restarted;
        if (child !== null) await end(child, recipe.ending, clock);
        await endProcessesIn(recipe.folder, recipe.ending, clock);
        log.info('private-store-stopped', { component });
      });
      return working;
    },
  };
}

const pauseAfter = (attempt: number): Milliseconds => Math.min(LONGEST_PAUSE, 25 * 2 ** attempt);

async function startOnce(recipe: ServerRecipe, clock: Clock, isStopping: () => boolean): Promise<ChildProcess> {
  if (!(await endProcessesIn(recipe.folder, recipe.ending, clock))) throw new Error('a process of an earlier start does not end');
  recipe.prepare();
  const child = await spawned(recipe);
  const until = clock.monotonic() + LONGEST_START;
  while (!(await recipe.isUsable())) {
    const late = clock.monotonic() > until;
    if (late || isStopping()) {
      await end(child, recipe.ending, clock);
      throw new Error(late ? 'it did not become usable' : 'it was stopped meanwhile');
    }
    if (hasEnded(child)) throw new Error(`it ended at once (${child.signalCode ?? `exit code ${child.exitCode ?? '?'}`})`);
    await sleep(clock, 20);
  }
  // What answered may be the right server only while the child that was started is there.
  if (hasEnded(child)) throw new Error('it ended at once');
  return child;
}

/** In a session of its own: a Ctrl-C, or a signal to the centre's group, must not stop the stores before the centre is done. */
async function spawned({ command, environment, ending, folder, logFile }: ServerRecipe): Promise<ChildProcess> {
  const output = openLog(logFile);
  try {
    const [program = '', ...args] = command;
    const child = spawn(program, args, { cwd: folder, detached: true, stdio: ['ignore', output, output], env: environment });
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', reject);
    });
    endWithProcess(child, ending[0]?.signal ?? 'SIGTERM');
    return child;
  } finally {
    closeSync(output);
  }
}

/** However the process ends by itself (a start that fails half-way, too), its servers are told to end. */
function endWithProcess(child: ChildProcess, signal: NodeJS.Signals): void {
  const tell = (): void => {
    child.kill(signal);
  };
  process.once('exit', tell);
  child.once('exit', () => process.off('exit', tell));
}

function openLog(file: string): number {
  const output = openSync(file, 'a', 0o600);
  if (statSync(file).size > LARGEST_LOG) truncateSync(file);
  return output;
}

const hasEnded = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null;

async function end(child: ChildProcess, steps: readonly EndingStep[], clock: Clock): Promise<void> {
  for (const { signal, patience } of steps) {
    if (hasEnded(child)) return;
    child.kill(signal);
    const until = clock.monotonic() + patience;
    while (!hasEnded(child) && clock.monotonic() < until) await sleep(clock, 10);
  }
}

function cannotStart({ component, failure, setting, folder, logFile }: ServerRecipe, error: unknown): CentreError {
  const words = lastWords(logFile);
  return new CentreError(
    failure,
    `The private ${component} in ${folder} does not start (${reason(error)}${words === '' ? '' : `; it said: ${words}`}): look into ${logFile}, or set ${setting}.`,
    { cause: error },
  );
}

function lastWords(file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1)?.slice(-300) ?? '';
  } catch {
    return '';
  }
}

/** The words in front of a command that let the kernel signal it when we die; none where the machine cannot. */
export function dyingWithUs(signal: NodeJS.Signals): readonly string[] {
  const words = ['setpriv', '--pdeathsig', signal, '--'];
  return process.platform === 'linux' && succeeds([...words, 'true']) ? words : [];
}

/** Runs a small command to its end and tells whether it was content. */
export function succeeds([program = 'false', ...args]: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: 'ignore' }).status === 0;
}
