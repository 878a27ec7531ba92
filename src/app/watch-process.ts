/** The watch beside other roles: a child process of the centre's own, started again when it ends, gone when the centre goes. */
import { type ChildProcess, fork } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Counter, type Registry } from 'prom-client';
import { type Clock, type Instant, type Milliseconds, RunningClock, type Timer, seconds } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { CleanUp } from './clean-up.ts';
import type { Stores } from './stores.ts';

const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
/** Set for such a child: it waits to be told its stores, and has neither a data directory nor a listener. */
const COMPANION = 'RESPONSSENTER_COMPANION';
const FIRST_PAUSE: Milliseconds = seconds(1);
const LONGEST_PAUSE: Milliseconds = seconds(30);
/** One that lived so long is started again at once, however often others ended before. */
const LIVED: Milliseconds = seconds(60);
const STOP_WITHIN: Milliseconds = seconds(2);

/** What the child cannot read from the settings: private stores have addresses that those do not take. */
export type CompanionStores = Pick<Stores, 'databaseUrl' | 'redisUrl'>;

/** What a parent tells its child. */
export interface Told extends CompanionStores {
  /** The parent's clock (`RunningClock.anchor`): the wall's may have been stepped since, and deadlines are by the parent's. */
  readonly anchor: Instant;
}

export interface WatchProcessParts {
  readonly stores: CompanionStores;
  readonly clock: Clock;
  readonly log: Log;
  readonly registry: Registry;
}

export interface WatchProcess {
  start(): void;
  /** Its process number while it lives. */
  pid(): number | null;
  /** Ends it, by force after 2 s. */
  stop(): Promise<void>;
}

export function createWatchProcess({ stores: { databaseUrl, redisUrl }, clock, log, registry }: WatchProcessParts): WatchProcess {
  const restarts = new Counter({
    name: 'watch_restarts_total',
    help: 'How often the watch has ended and was started again',
    registers: [registry],
  });
  let child: ChildProcess | null = null;
  let waiting: Timer | null = null;
  let pause = FIRST_PAUSE;
  let stopped = false;
  return { start, stop, pid: () => child?.pid ?? null };

  function start(): void {
    if (stopped) return;
    const startedAt = clock.monotonic();
    const started = fork(MAIN, ['--role', 'watch'], {
      env: { ...process.env, [COMPANION]: 'watch' },
      // A group of its own: Ctrl-C reaches the centre, which then ends it in order.
      detached: true,
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    child = started;
    log.info('watch-started', started.pid === undefined ? {} : { pid: started.pid });
    const anchor = (clock instanceof RunningClock ? clock : new RunningClock()).anchor();
    started.send({ databaseUrl, redisUrl, anchor } satisfies Told, () => undefined);
    let over = false;
    const ended = (code: number | null): void => {
      if (over) return;
      over = true;
      if (child === started) child = null;
      if (stopped) return;
      if (clock.monotonic() - startedAt > LIVED) pause = FIRST_PAUSE;
      log.warn('watch-ended', { status: code ?? -1 });
      waiting = clock.after(pause, () => {
        restarts.inc();
        start();
      });
      pause = Math.min(LONGEST_PAUSE, pause * 2);
    };
    started.once('exit', ended);
    // Could not be started, or not be told.
    started.once('error', (error) => {
      log.error('watch-failed', { error });
      if (started.pid === undefined) ended(null);
    });
  }

  async function stop(): Promise<void> {
    stopped = true;
    waiting?.cancel();
    const last = child;
    if (last === null || last.exitCode !== null || last.signalCode !== null) return;
    const gone = new Promise((resolve) => last.once('exit', resolve));
    const impatient = clock.after(STOP_WITHIN, () => last.kill('SIGKILL'));
    last.kill('SIGTERM');
    await gone;
    impatient.cancel();
  }
}

/** Keeps the watch beside this process from `start` on. */
export function watchBeside(parts: WatchProcessParts & { readonly cleanUp: CleanUp }): WatchProcess {
  const watch = createWatchProcess(parts);
  parts.cleanUp.add('watch', () => watch.stop());
  return watch;
}

/** Whether this process is such a child. */
export const isCompanion = (): boolean => process.env[COMPANION] === 'watch';

/** What the parent tells, once; and `left` when it is gone, however it went. */
export function parentOf(): { readonly told: Promise<Told>; readonly left: Promise<void> } {
  return {
    // A listener that stays keeps the channel, and with it the process, alive.
    told: new Promise((resolve) => process.on('message', (told) => resolve(told as Told))),
    left: new Promise((resolve) => {
      // Killed while this one was still loading its code.
      if (!process.connected) resolve();
      process.once('disconnect', () => resolve());
    }),
  };
}
