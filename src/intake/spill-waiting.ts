/** Signals that wait for PostgreSQL, in the order in which they came: given to the keeper, tried again, or taken into the spill. */
import { joiningKey } from '../alarms/correlate.ts';
import type { Signal } from '../alarms/signal.ts';
import type { Clock, Milliseconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import { isFailing, isLocked } from './keep-parts.ts';
import type { LiveKeeper, Receipt } from './keep.ts';
import { spareOf } from './spill-mode.ts';

/** Technical signals leave the last quarter of both to calls for help. */
const MOST_WAITING = 20_000;
const MOST_WAITING_BYTES = 64 * 1024 * 1024;
/** Of a signal beside its bytes. */
const OVERHEAD_BYTES = 512;
/** One that PostgreSQL refuses for so long while it commits others; its device may try again. */
const GIVEN_UP_AFTER_MS: Milliseconds = 2000;
/** A household that is locked for so long after the first try goes into the spill by itself: its device waits for an answer. */
const LOCKED_AWAY_AFTER_MS: Milliseconds = 900;
/** Locked households of which more say nothing about PostgreSQL; beyond, they count as any that wait (a table is locked). */
const FEW_LOCKED = 8;

export interface WaitingSignal {
  readonly signal: Signal;
  readonly kept: (receipt: Receipt) => void;
  readonly failed: (error: unknown) => void;
}

export interface WaitingSignals {
  size(): number;
  /** Those whose waiting says something about PostgreSQL, and not about a lock. */
  pressing(): number;
  /**
   * @param later not to the keeper yet, only with the next `submit`. Behind one that is to be tried again, all wait, and behind
   * one whose household is locked all of that household: order is kept
   * @throws CentreError store-away: at the limits, or nothing was kept
   */
  wait(signal: Signal, later: boolean): Promise<Receipt>;
  /** Gives the keeper what it does not have. */
  submit(): void;
  /** All, in order: whoever calls answers them now. What the keeper may still say of them is passed over. */
  take(): WaitingSignal[];
  /** All of a household that the keeper does not have, in order: whoever calls answers them now. */
  takeOf(key: string): WaitingSignal[];
}

interface Waiting extends WaitingSignal {
  readonly key: string;
  /** Not with the keeper now. */
  deferred: boolean;
  locked: boolean;
  /** First by the lock of its household, and first by anything else: one says nothing about the other. */
  lockedAt: Milliseconds | null;
  failedAt: Milliseconds | null;
}

/**
 * @param committed told of each commit
 * @param heard told when a lock was not had in time, a few times: PostgreSQL is there. @param refused told of each that is not kept
 * @param lockedAway given all that wait of a household that stays locked, or at which PostgreSQL fails, in order: it answers them
 */
export function createWaitingSignals(parts: {
  readonly live: LiveKeeper;
  readonly clock: Clock;
  readonly committed: () => void;
  readonly heard: () => void;
  readonly refused: () => void;
  readonly lockedAway: (key: string, waiting: readonly WaitingSignal[]) => void;
}): WaitingSignals {
  const { live, clock, committed, heard, refused, lockedAway } = parts;
  let waiting = new Set<Waiting>();
  let bytes = 0;
  let deferred = 0;
  /** How many wait of each locked household. */
  const locked = new Map<string, number>();

  function submitOne(one: Waiting): void {
    one.deferred = false;
    live.keep(one.signal).then(
      (receipt) => {
        committed();
        leave(one);
        one.kept(receipt);
      },
      (error: unknown) => failed(one, error),
    );
  }

  function failed(one: Waiting, error: unknown): void {
    if (!waiting.has(one)) return;
    const now = clock.monotonic();
    // It had a transaction of its own: trying again may take seconds each time.
    if (isFailing(error)) return lockedAway(one.key, takeOf(one.key));
    if (isLocked(error)) {
      one.lockedAt ??= now;
      if (now - one.lockedAt >= LOCKED_AWAY_AFTER_MS) return lockedAway(one.key, takeOf(one.key));
      if (!locked.has(one.key) && locked.size < FEW_LOCKED) heard();
      one.deferred = true;
      lock(one);
      return;
    }
    one.failedAt ??= now;
    if (error instanceof CentreError && now - one.failedAt < GIVEN_UP_AFTER_MS) {
      one.deferred = true;
      deferred += 1;
      unlock(one);
      return;
    }
    leave(one);
    refused();
    one.failed(error);
  }

  function takeOf(key: string): Waiting[] {
    const all = [...waiting].filter((one) => one.key === key);
    for (const one of all) leave(one);
    return all;
  }

  function lock(one: Waiting): void {
    if (one.locked) return;
    one.locked = true;
    locked.set(one.key, (locked.get(one.key) ?? 0) + 1);
  }

  function unlock(one: Waiting): void {
    if (!one.locked) return;
    one.locked = false;
    const left = (locked.get(one.key) ?? 0) - 1;
    if (left > 0) locked.set(one.key, left);
    else locked.delete(one.key);
  }

  function leave(one: Waiting): void {
    if (!waiting.delete(one)) return;
    bytes -= sizeOf(one.signal);
    unlock(one);
  }

  return {
    size: () => waiting.size,
    pressing() {
      if (locked.size === 0 || locked.size > FEW_LOCKED) return waiting.size;
      return [...locked.values()].reduce((left, count) => left - count, waiting.size);
    },
    wait(signal, later) {
      const size = sizeOf(signal);
      const share = 1 - spareOf(signal);
      if (waiting.size >= MOST_WAITING * share || bytes + size > MOST_WAITING_BYTES * share) {
        refused();
        return Promise.reject(new CentreError('store-away', 'More signals wait for PostgreSQL than may: nothing more is taken on.'));
      }
      return new Promise((kept, fail) => {
        const key = joiningKey(signal);
        const behindLocked = locked.has(key);
        const one: Waiting = {
          signal,
          key,
          deferred: later || deferred > 0 || behindLocked,
          locked: false,
          lockedAt: null,
          failedAt: null,
          kept,
          failed: fail,
        };
        waiting.add(one);
        bytes += size;
        if (behindLocked) lock(one);
        else if (one.deferred) deferred += 1;
        if (!one.deferred) submitOne(one);
      });
    },
    submit() {
      if (deferred === 0 && locked.size === 0) return;
      deferred = 0;
      for (const one of waiting) if (one.deferred) submitOne(one);
    },
    takeOf,
    take() {
      const all = [...waiting];
      waiting = new Set();
      bytes = 0;
      deferred = 0;
      locked.clear();
      live.withdraw();
      return all;
    },
  };
}

const sizeOf = ({ raw }: Signal): number => raw.length + OVERHEAD_BYTES;
