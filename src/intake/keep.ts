/** Keeping signals: gathers those that arrive together into one transaction, and keeps a poisoned one as bytes. */
import type { Admission, LadderFor, Situation } from '../alarms/correlate.ts';
import { admit } from '../alarms/correlate.ts';
import type { Signal } from '../alarms/signal.ts';
import { shortName } from '../base/bytes.ts';
import { type Clock, type Instant, type Milliseconds, RunningClock, type Timer } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { groupedBy, isFailing, isOfHousehold, partsOf } from './keep-parts.ts';
import { KeepQueue, type Queued } from './keep-queue.ts';

/** What became of a kept signal. */
export interface Receipt {
  /** `spilled`: durable while PostgreSQL is away, decided later. */
  readonly verdict: Admission['verdict'] | 'spilled';
  /** The alarm that it opened, joined or repeated; null when it was only kept. Of a spilled one its provisional number. */
  readonly alarm: string | null;
  /** Of a spilled one: no other need of its sender lies in the spill. */
  readonly first?: boolean;
}

/** Decides one signal in the situation that the store found under the locks. */
export type Admit = (signal: Signal, situation: Situation, newNumber: () => string) => Admission;

/** What keeping needs of the store. */
export interface SignalStore {
  /**
   * Keeps the signals and what they cause in one transaction, under the locks of their joining keys; `admitOne` is
   * called for each in order, and sees what the ones before it in the same batch did.
   * @param now when they are kept, where that is long after they came
   * @returns a receipt for each signal, in their order, after the commit
   * @throws CentreError household-locked: of one of them, at once; household-failing: of one of them; store-away; any other error when one of the signals cannot be processed or stored
   */
  keep(signals: readonly Signal[], admitOne: Admit, now?: Instant): Promise<Receipt[]>;
}

/** Signals of one transaction: enough to make the commit cheap, few enough to keep its locks short. */
const BATCH = 256;
/** Transactions under way at the same time. */
const LANES = 2;
/** Locked households that are tried at the same time, each by itself, beside the lanes. */
const LOCKED_LANES = 4;
/**
 * Between the beginnings of two transactions, unless more wait than one takes: a transaction costs the machine about as much
 * for ten signals as for one. What comes after a pause begins at once.
 */
const PACE_MS: Milliseconds = 4;

interface Waiting extends Queued {
  readonly kept: (receipt: Receipt) => void;
  readonly failed: (error: unknown) => void;
}

/** Takes signals one by one and answers each when it is durable. */
export interface Keeper {
  /** @throws CentreError store-away, household-locked, household-failing: nothing was kept, nothing may be acknowledged */
  keep(signal: Signal): Promise<Receipt>;
  /** How many signals wait for their commit. */
  waiting(): number;
}

/** What the spill stands before. */
export interface LiveKeeper extends Keeper {
  /** Transactions that are not ended. */
  underWay(): number;
  /** Fails, as store-away, all that is in no transaction: somebody else keeps it. */
  withdraw(): void;
}

/**
 * Signals that come while a transaction is under way wait for the next one and share its commit. Those of one joining
 * key are never in two transactions at once: they would wait for each other's locks, and change order. Nothing here bounds
 * how many wait: the spill, through which all of them come, does (spill.ts).
 */
export function createKeeper(options: {
  readonly store: SignalStore;
  readonly ladderFor: LadderFor;
  readonly keyOf: (signal: Signal) => string;
  readonly log: Log;
  /** Real time, also where the centre's clock stands still: it spares the machine, and no rule depends on it. */
  readonly pace?: Clock;
}): LiveKeeper {
  const { store, ladderFor, keyOf, log, pace = new RunningClock() } = options;
  const queue = new KeepQueue<Waiting>();
  const underWay = new Set<string>();
  /** Joining keys whose lock was not had, or at which PostgreSQL fails, until it is otherwise: they hold up nobody else. */
  const locked = new Set<string>();
  let lanes = 0;
  let lockedLanes = 0;
  let withdrawals = 0;
  let beganAt: Milliseconds = Number.NEGATIVE_INFINITY;
  let paced: Timer | null = null;
  const admitOne: Admit = (signal, situation, newNumber) => admit(signal, situation, ladderFor, newNumber);

  function next(): void {
    nextLocked();
    while (lanes < LANES && queue.size > 0) {
      const early = PACE_MS - (pace.monotonic() - beganAt);
      if (early > 0 && queue.size < BATCH) {
        paced ??= pace.after(early, () => {
          paced = null;
          next();
        });
        return;
      }
      const batch = queue.take(BATCH, (key) => underWay.has(key) || locked.has(key));
      if (batch.length === 0) return;
      for (const { key } of batch) underWay.add(key);
      beganAt = pace.monotonic();
      lanes++;
      void run(batch).finally(() => {
        lanes--;
        for (const { key } of batch) underWay.delete(key);
        next();
      });
    }
  }

  function nextLocked(): void {
    for (const key of locked) {
      if (lockedLanes >= LOCKED_LANES) return;
      if (underWay.has(key) || !queue.has(key)) continue;
      const batch = queue.take(BATCH, (other) => other !== key);
      underWay.add(key);
      lockedLanes++;
      void run(batch).finally(() => {
        lockedLanes--;
        underWay.delete(key);
        next();
      });
    }
  }

  /** @returns why the last of them was not kept, where that is the store's fault */
  async function run(batch: readonly Waiting[]): Promise<CentreError | null> {
    try {
      const receipts = await store.keep(
        batch.map(({ signal }) => signal),
        admitOne,
      );
      for (const { key } of batch) locked.delete(key);
      batch.forEach((one, index) => settle(one, receipts[index]));
      return null;
    } catch (error) {
      if (isOfHousehold(error)) await runParts(batch, error);
      else if (error instanceof CentreError || batch.length === 1) await alone(batch, error);
      else await runEach(batch);
      return error instanceof CentreError ? error : null;
    }
  }

  /** One of them is poisoned: each gets its own transaction, so that it harms only itself. */
  async function runEach(batch: readonly Waiting[]): Promise<void> {
    const out = new Map<string, CentreError>();
    for (const one of batch) {
      const before = out.get(one.key);
      // Kept now, it would stand before what its home sent earlier.
      if (before !== undefined) one.failed(before);
      else {
        const error = await run([one]);
        if (error !== null) out.set(one.key, error);
      }
    }
  }

  /** Only those of the household wait. */
  async function runParts(batch: readonly Waiting[], error: unknown): Promise<void> {
    const byKey = groupedBy(batch, ({ key }) => key);
    const [only] = byKey.keys();
    if (byKey.size === 1 && only !== undefined) {
      const code = error instanceof Error ? (systemCode(error.cause) ?? '') : '';
      if (!locked.has(only)) {
        if (isFailing(error)) log.error('household-failing', { code, count: batch.length, ...aSignal(batch) });
        else log.warn('household-locked', { code, count: batch.length, ...aSignal(batch) });
      }
      locked.add(only);
      return alone(batch, error);
    }
    const began = withdrawals;
    for (const part of partsOf([...byKey.values()], error)) {
      // Somebody else keeps them: PostgreSQL is not asked for each of them in vain.
      if (withdrawals === began) await run(part);
      else for (const { failed } of part) failed(withdrawn());
    }
  }

  /** A store that is away fails them all; else this one signal is the poison and is kept as bytes, no rules run. */
  async function alone(batch: readonly Waiting[], error: unknown): Promise<void> {
    const [one] = batch;
    if (one === undefined || error instanceof CentreError) {
      for (const { failed } of [...batch, ...takeBehind(batch)]) failed(error);
      return;
    }
    const { id, device, protocol } = one.signal;
    log.error('signal-processing-failed', { signal: id, device, protocol, error });
    try {
      const [receipt] = await store.keep([asBytes(one.signal)], admitOne);
      settle(one, receipt);
    } catch (again) {
      log.error('signal-not-kept', { signal: id, device, protocol, error: again });
      one.failed(again);
    }
  }

  /** What waits behind these of the same senders: kept alone, it would stand before what its device must send again. */
  function takeBehind(batch: readonly Waiting[]): Waiting[] {
    const sources = new Set(batch.map(({ signal }) => signal.source));
    const keys = new Set(batch.map(({ key }) => key));
    const isBehind = ({ signal, key }: Waiting): boolean => sources.has(signal.source) || keys.has(key);
    return queue.remove(isBehind);
  }

  function settle(one: Waiting, receipt: Receipt | undefined): void {
    if (receipt === undefined) one.failed(new RangeError('the store gave no receipt'));
    else one.kept(receipt);
  }

  return {
    keep: (signal) =>
      new Promise<Receipt>((kept, failed) => {
        queue.add({ signal, key: keyOf(signal), kept, failed });
        next();
      }),
    waiting: () => queue.size,
    underWay: () => lanes + lockedLanes,
    withdraw() {
      withdrawals += 1;
      for (const { failed } of queue.remove(() => true)) failed(withdrawn());
    },
  };
}

const withdrawn = (): CentreError => new CentreError('store-away', 'PostgreSQL does not answer.');

/** One of those that wait, by which a technician finds the household. */
const aSignal = ([one]: readonly Waiting[]): { signal?: string; device?: string } =>
  one === undefined ? {} : { signal: one.signal.id, device: one.signal.device };

/** The signal as nothing but its bytes: what could not be processed must not be able to fail again. */
export function asBytes(signal: Signal): Signal {
  return {
    ...signal,
    source: shortName(signal.source, 128),
    device: shortName(signal.device),
    municipality: shortName(signal.municipality),
    messageId: null,
    meaning: { role: 'unreadable', kind: 'unreadable', priority: 'urgent', trigger: '' },
    marks: [...signal.marks, 'processing-failed'],
  };
}
