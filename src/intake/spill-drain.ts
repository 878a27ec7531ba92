/** Emptying the spill: batch after batch to PostgreSQL, and what waits for a locked household by itself. */
import type { Clock, Milliseconds } from '../base/clock.ts';
import { sleep } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Bell } from './bell.ts';
import type { LiveKeeper } from './keep.ts';
import type { Left, SpillLeft } from './spill-left.ts';
import type { SpillLog } from './spill-log.ts';
import type { SpillEvent, SpillMode } from './spill-mode.ts';
import type { Replay } from './spill-replay.ts';

/** Taken over in one transaction. */
const BATCH = 256;
const RETRY_MS: Milliseconds = 200;
/** Each try waits for its lock for a while. */
const HELD_RETRY_MS: Milliseconds = 300;
/** The driver gives up on a statement after 4 s: longer than any transaction of the keeper that began before can take. */
const LANES_PATIENCE_MS: Milliseconds = 15_000;

export interface DrainParts {
  readonly left: SpillLeft;
  readonly file: Pick<SpillLog, 'done'>;
  readonly live: Pick<LiveKeeper, 'underWay'>;
  readonly replay: Replay;
  readonly clock: Clock;
  readonly log: Log;
  readonly mode: () => SpillMode;
  readonly happened: (event: SpillEvent) => void;
  /** So many signals were taken over; `anything`: PostgreSQL committed something. */
  readonly replayed: (signals: number, anything: boolean) => void;
  /** What is on its way to the disk; never rejects, and ends also where the disk hangs (SpillLog). */
  readonly lastAppend: () => Promise<unknown>;
  readonly stopping: Bell;
}

export interface Drain {
  /** Goes to work when there is any. */
  begin(): void;
  /** PostgreSQL is away: what the keeper had in a transaction may still be committed, and is waited for first. */
  lanesAway(): void;
  /** Begins nothing more; resolves when what is in hand is ended. */
  stop(): Promise<void>;
}

export function createDrain(parts: DrainParts): Drain {
  const { left, file, live, replay, clock, log, mode, happened, replayed, lastAppend, stopping } = parts;
  let draining: Promise<void> | null = null;
  let lanesMayCommit = false;
  let stopped = false;
  const pause = (span: Milliseconds): Promise<void> =>
    stopped ? Promise.resolve() : stopping.orRung(sleep(clock, span)).catch(() => undefined);

  function drain(): void {
    if (draining !== null || isDone() || stopped) return;
    draining = run().finally(() => {
      draining = null;
      drain();
    });
  }

  function isDone(): boolean {
    return mode() === 'live' && left.size === 0 && left.held().length === 0;
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!isDone() && !stopped) {
      if (lanesMayCommit) await lanesEnded();
      if (mode() === 'handing-over') await appended();
      const batch = left.free(BATCH);
      // All that is left is of locked households.
      const onlyHeld = mode() === 'live' && batch.length === 0;
      if (onlyHeld ? await heldTaken(failures) : await taken(batch, failures)) failures = 0;
      else failures += 1;
      if (onlyHeld || failures > 0) await pause(onlyHeld ? HELD_RETRY_MS : RETRY_MS);
    }
  }

  /** What is committed after all is found, and not kept twice. */
  async function lanesEnded(): Promise<void> {
    lanesMayCommit = false;
    const patience = clock.monotonic() + LANES_PATIENCE_MS;
    while (live.underWay() > 0 && clock.monotonic() < patience && !stopped) await pause(RETRY_MS / 4);
  }

  /**
   * Of what is free nothing is appended any more; what was under way is durable, or was refused. A disk that is slow says nothing
   * about PostgreSQL: that is asked meanwhile.
   */
  async function appended(): Promise<void> {
    let ended = false;
    const end = lastAppend().then(() => (ended = true));
    await Promise.race([end, pause(RETRY_MS)]);
    while (!ended && mode() === 'handing-over' && !stopped) {
      await replay([]).then(
        () => replayed(0, true),
        () => undefined,
      );
      await Promise.race([end, pause(RETRY_MS)]);
    }
  }

  async function heldTaken(failures: number): Promise<boolean> {
    for (const key of left.held()) {
      // A signal that is not of a locked household must not wait for those that are.
      if (mode() !== 'live' || stopped) return true;
      const batch = left.ofHousehold(key, BATCH);
      if (batch.length > 0 && !(await taken(batch, failures))) return false;
      left.releaseWhenEmpty(key);
    }
    return true;
  }

  async function taken(batch: readonly Left[], failures: number): Promise<boolean> {
    let over = batch;
    try {
      const locked = await replay(batch.map(({ entry }) => entry));
      for (const key of locked) {
        if (!left.isHeld(key)) log.warn('spill-household-locked', { count: batch.filter((one) => one.key === key).length });
        left.hold(key);
      }
      if (locked.size > 0) over = batch.filter(({ key }) => key === null || !locked.has(key));
    } catch (error) {
      const code = error instanceof CentreError ? (systemCode(error.cause) ?? error.code) : '';
      if (failures % 50 === 0) log.error('spill-not-replayed', { count: left.signals, code, error });
      happened('failed');
      return false;
    }
    const upTo = left.remove(over);
    const nothing = batch.length > 0 && over.length === 0;
    replayed(over.filter(({ entry }) => entry.kind === 'signal').length, !nothing);
    // Not waited for: a disk that hangs must not keep PostgreSQL from taking over the rest.
    if (upTo !== null) void file.done(upTo);
    if (nothing) return true;
    happened('committed');
    const free = left.free(BATCH + 1).length;
    if (free === 0) happened('empty');
    else if (free <= BATCH) happened('nearly-empty');
    return true;
  }

  return {
    begin: drain,
    lanesAway() {
      lanesMayCommit = true;
    },
    async stop() {
      stopped = true;
      await draining;
    },
  };
}
