/**
 * The spill: the one door by which signals are kept. Live they go to PostgreSQL; while it is away into a local file, and are
 * acknowledged from there; as long as the file holds something, live signals go behind it (spill-mode.ts, ADR 15).
 *
 * Limits, and what happens at them: no acknowledgement, and the device repeats.
 * - 20,000 signals or 64 MiB that wait for PostgreSQL, or for the last of the spill to be taken over (spill-waiting.ts)
 * - the bound of the file (SPILL_MAX_MB); technical signals leave the last quarter of it to calls for help
 * - 16 MB that wait for the disk (spill-file.ts), and a disk that cannot be written
 */
import type { DirectNews, ProvisionalAlarm, ProvisionalAnswer } from '../alarms/provisional.ts';
import type { Signal } from '../alarms/signal.ts';
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { RunningClock, sleep } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Role } from '../alarms/command.ts';
import { joiningKey } from '../alarms/correlate.ts';
import { createBell } from './bell.ts';
import type { Keeper, LiveKeeper, Receipt } from './keep.ts';
import { createDrain } from './spill-drain.ts';
import { SpillLeft } from './spill-left.ts';
import type { OpenedSpill, SpillEntry, SpillKind } from './spill-log.ts';
import type { Replay } from './spill-replay.ts';
import {
  LOOK_EVERY_MS,
  type SpillCounts,
  type SpillEvent,
  type SpillMode,
  modeAfter,
  quietAfter,
  spareOf,
  AWAY_AFTER_MS,
} from './spill-mode.ts';
import { type WaitingSignal, createWaitingSignals } from './spill-waiting.ts';
import { createProvisionalAlarms, type ProvisionalAlarms } from './spill-provisional.ts';
import { decodeClaim, decodeSignal, encodeClaim, encodeSignal } from './spill-record.ts';

const STOP_PATIENCE_MS: Milliseconds = 1000;

export interface Spill extends Keeper {
  /**
   * Something else than a signal that must be written: tried again while PostgreSQL might be back within a second.
   * @throws CentreError store-away once PostgreSQL is away, also while `work` still hangs
   */
  orAway<T>(work: () => Promise<T>): Promise<T>;
  storeAway(): boolean;
  provisional(): readonly ProvisionalAlarm[];
  /** Durable before it answers. @throws CentreError store-away: the spill takes nothing, and nobody has the alarm */
  claim(number: string, who: { readonly account: string; readonly roles: readonly Role[] }, at: Instant): Promise<ProvisionalAnswer>;
  listen(listener: (news: DirectNews) => void): () => void;
  counts(): SpillCounts;
  /** What is in hand is ended. */
  stop(): Promise<void>;
}

const away = (cause?: unknown): CentreError =>
  new CentreError('store-away', 'PostgreSQL is away, and the spill cannot stand in for it: nothing is acknowledged.', { cause });

/** Begins to replay at once when the file holds something. */
export function createSpill(parts: {
  readonly opened: OpenedSpill;
  readonly live: LiveKeeper;
  /** Given what came before, so that both know the same provisional alarms. */
  readonly replayWith: (provisional: ProvisionalAlarms) => Replay;
  readonly clock: Clock;
  readonly log: Log;
}): Spill {
  const { opened, live, clock, log } = parts;
  const file = opened.log;
  const provisional = createProvisionalAlarms();
  const replay = parts.replayWith(provisional);
  const counts = { spilled: 0, replayed: 0, refused: 0 };
  let mode: SpillMode = opened.entries.length > 0 ? 'replaying' : 'live';
  const left = new SpillLeft();
  let lastAppend: Promise<unknown> = Promise.resolve();
  let watched = 0;
  const awayNow = createBell(away);
  let quiet: Milliseconds = 0;
  let committed = false;
  let lookedAt = clock.monotonic();
  const waiting = createWaitingSignals({
    live,
    clock,
    committed: () => (committed = true),
    heard: () => (committed = true),
    refused: () => (counts.refused += 1),
    lockedAway,
  });
  const stopping = createBell(away);
  const drain = createDrain({
    left,
    file,
    live,
    replay,
    clock,
    log,
    mode: () => mode,
    happened,
    replayed(signals, anything) {
      counts.replayed += signals;
      committed ||= anything;
    },
    lastAppend: () => lastAppend,
    stopping,
  });

  for (const entry of opened.entries) restore(entry);
  const timer = clock.every(LOOK_EVERY_MS, look);
  drain.begin();

  function restore(entry: SpillEntry): void {
    const signal = entry.kind === 'signal' ? decodeSignal(entry.payload) : null;
    if (signal !== null) provisional.add(signal);
    const claim = entry.kind === 'claim' ? decodeClaim(entry.payload) : null;
    if (claim !== null) provisional.restore(claim);
    if (entry.kind === 'signal') left.addSignal(entry, signal);
    else left.addClaim(entry, claim);
  }

  function look(): void {
    const now = clock.monotonic();
    quiet = quietAfter(quiet, { waiting: waiting.pressing() > 0 || watched > 0, committed, elapsed: now - lookedAt });
    lookedAt = now;
    committed = false;
    if (quiet >= AWAY_AFTER_MS) happened('no-commit');
    else if (mode === 'live') waiting.submit();
  }

  function happened(event: SpillEvent): void {
    const before = mode;
    mode = modeAfter(mode, event);
    if (mode === before) return;
    if (mode === 'spilling') goAway(before);
    else if (before === 'spilling') log.warn('spill-replaying', { count: left.signals });
    if (mode === 'live') {
      log.warn('spill-emptied', { count: counts.replayed });
      // What came of a locked household while the last was taken over goes behind what is held of it.
      for (const key of left.held()) spillAll(waiting.takeOf(key));
      waiting.submit();
    }
    if ((mode === 'spilling') !== (before === 'spilling'))
      provisional.tell({ news: 'whole', storeAway: mode === 'spilling', alarms: provisional.all() });
  }

  /** All that waits goes into the spill, in the order in which it came. */
  function goAway(before: SpillMode): void {
    log.error('spill-began', { count: waiting.size(), code: before });
    quiet = 0;
    drain.lanesAway();
    spillAll(waiting.take());
    awayNow.ring();
    drain.begin();
  }

  /** One household is locked, and PostgreSQL is not away: only what comes of it goes behind. */
  function lockedAway(key: string, all: readonly WaitingSignal[]): void {
    log.warn('spill-household-locked', { count: all.length });
    left.hold(key);
    spillAll(all);
    drain.begin();
  }

  function spillAll(all: readonly WaitingSignal[]): void {
    for (const one of all) spillOne(one.signal).then(one.kept, one.failed);
  }

  async function spillOne(signal: Signal): Promise<Receipt> {
    let shown = { number: null as string | null, first: false };
    const wrote = left.writing(joiningKey(signal));
    try {
      await append('signal', encodeSignal(signal), spareOf(signal), (entry) => {
        left.addSignal(entry, signal);
        counts.spilled += 1;
        shown = provisional.add(signal);
      });
    } finally {
      wrote();
    }
    return { verdict: 'spilled', alarm: shown.number, first: shown.first };
  }

  async function append(kind: SpillKind, payload: Uint8Array, spare: number, appended: (entry: SpillEntry) => void): Promise<void> {
    const done = file.append(kind, payload, spare).then((seq) => appended({ seq, kind, payload }));
    lastAppend = done.catch(() => undefined);
    try {
      await done;
    } catch (error) {
      counts.refused += 1;
      throw away(error);
    }
  }

  /** Behind what is in the spill; where that takes nothing, and PostgreSQL answers, in memory until it is emptied. */
  async function keepBehind(signal: Signal): Promise<Receipt> {
    if (mode === 'replaying' && waiting.size() > 0) return waiting.wait(signal, true);
    try {
      return await spillOne(signal);
    } catch (error) {
      if (modeNow() === 'spilling') throw error;
      return waiting.wait(signal, modeNow() !== 'live');
    }
  }

  /** Behind an `await` it may be another one. */
  function modeNow(): SpillMode {
    return mode;
  }

  return {
    keep(signal) {
      if (mode === 'spilling' || mode === 'replaying') return keepBehind(signal);
      return left.isHeld(joiningKey(signal)) ? spillOne(signal) : waiting.wait(signal, mode !== 'live');
    },
    waiting: () => waiting.size(),
    async orAway(work) {
      watched += 1;
      try {
        for (;;) {
          if (mode === 'spilling') throw away();
          try {
            const result = await awayNow.orRung(work());
            committed = true;
            return result;
          } catch (error) {
            if (!(error instanceof CentreError) || error.kind !== 'store') throw error;
          }
          await awayNow.orRung(sleep(clock, LOOK_EVERY_MS));
        }
      } finally {
        watched -= 1;
      }
    },
    storeAway: () => mode === 'spilling',
    provisional: () => provisional.all(),
    claim(number, { account, roles }, at) {
      const claim = { number, account, roles, at };
      return provisional.claim(claim, () =>
        append('claim', encodeClaim(claim), 0, (entry) => {
          left.addClaim(entry, claim);
          drain.begin();
        }),
      );
    },
    listen: (listener) => provisional.listen(listener),
    counts() {
      const { bytes, fault, aside } = file.state();
      return { mode, fault, bytes, aside, signals: left.signals, oldestAt: left.oldestAt(), ...counts };
    },
    async stop() {
      const drained = drain.stop();
      stopping.ring();
      timer.cancel();
      // What still waits is not acknowledged, and its device sends it again.
      for (const { failed } of waiting.take()) failed(away());
      await lastAppend;
      // A batch that hangs is replayed by the next start.
      await Promise.race([drained, sleep(new RunningClock(), STOP_PATIENCE_MS)]);
      await file.stop();
    },
  };
}
