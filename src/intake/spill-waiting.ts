/** Signals that wait for PostgreSQL, in the order in which they came: given to the keeper, tried again, or taken into the spill. */
import type { Signal } from '../alarms/signal.ts';
import type { Clock, Milliseconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { LiveKeeper, Receipt } from './keep.ts';

const MOST_WAITING = 20_000;
const MOST_WAITING_BYTES = 64 * 1024 * 1024;
/** Of a signal beside its bytes. */
const OVERHEAD_BYTES = 512;
/** One that PostgreSQL refuses for so long while it commits others: its household is locked, and its device may try again. */
const GIVEN_UP_AFTER_MS: Milliseconds = 2000;

export interface WaitingSignal {
  readonly signal: Signal;
  readonly kept: (receipt: Receipt) => void;
  readonly failed: (error: unknown) => void;
}

export interface WaitingSignals {
  size(): number;
  /**
   * @param later not to the keeper yet, only with the next `submit`. Behind one that is to be tried again, all wait: order is kept
   * @throws CentreError store-away: at the limits, or nothing was kept
   */
  wait(signal: Signal, later: boolean): Promise<Receipt>;
  /** Gives the keeper what it does not have. */
  submit(): void;
  /** All, in order: whoever calls answers them now. What the keeper may still say of them is passed over. */
  take(): WaitingSignal[];
}

interface Waiting extends WaitingSignal {
  /** Not with the keeper now. */
  deferred: boolean;
  failedAt: Milliseconds | null;
}

/** @param committed told of each commit. @param refused told of each that is not kept */
export function createWaitingSignals(parts: {
  readonly live: LiveKeeper;
  readonly clock: Clock;
  readonly committed: () => void;
  readonly refused: () => void;
}): WaitingSignals {
  const { live, clock, committed, refused } = parts;
  let waiting = new Set<Waiting>();
  let bytes = 0;
  let deferred = 0;

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
    one.failedAt ??= now;
    if (error instanceof CentreError && now - one.failedAt < GIVEN_UP_AFTER_MS) {
      one.deferred = true;
      deferred += 1;
      return;
    }
    leave(one);
    refused();
    one.failed(error);
  }

  function leave(one: Waiting): void {
    if (waiting.delete(one)) bytes -= sizeOf(one.signal);
  }

  return {
    size: () => waiting.size,
    wait(signal, later) {
      const size = sizeOf(signal);
      if (waiting.size >= MOST_WAITING || bytes + size > MOST_WAITING_BYTES) {
        refused();
        return Promise.reject(new CentreError('store-away', 'More signals wait for PostgreSQL than may: nothing more is taken on.'));
      }
      return new Promise((kept, fail) => {
        const one: Waiting = { signal, deferred: later || deferred > 0, failedAt: null, kept, failed: fail };
        waiting.add(one);
        bytes += size;
        if (one.deferred) deferred += 1;
        else submitOne(one);
      });
    },
    submit() {
      if (deferred === 0) return;
      deferred = 0;
      for (const one of waiting) if (one.deferred) submitOne(one);
    },
    take() {
      const all = [...waiting];
      waiting = new Set();
      bytes = 0;
      deferred = 0;
      live.withdraw();
      return all;
    },
  };
}

const sizeOf = ({ raw }: Signal): number => raw.length + OVERHEAD_BYTES;
