/** Holding: an alarm without valid credentials waits ten seconds for the same message with them; then it is shown, marked, once. */
import type { Signal, SignalRole } from '../alarms/signal.ts';
import { storable } from '../base/bytes.ts';
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { gathering } from './gather.ts';
import type { Keeper } from './keep.ts';

/** Which message: what a unit sends again with credentials has the same bytes. */
export interface HeldKey {
  readonly source: string;
  /** SHA-256 of the bytes. */
  readonly digest: Uint8Array;
}

/** Technical warnings on the one hand and all others on the other have these places each: warnings keep no call for help out. */
export interface HoldLimits {
  readonly perSource: number;
  /** Beyond this only the first of a source is held: whoever floods the table keeps no other unit's alarm out of it. */
  readonly inAll: number;
}

/** What holding needs of the store. */
export interface HeldStore {
  /**
   * Keeps each until `dueAt`, all in one transaction; one that is held already stays as it is, with its earlier deadline.
   * @returns for each whether it is held now; false: the limits are reached
   * @throws CentreError store-away
   */
  hold(signals: readonly Signal[], heldAt: Instant, dueAt: Instant, limits: HoldLimits): Promise<boolean[]>;
  /**
   * Takes what is due, the longest due first, and puts its deadline off to `until`: who takes it and dies leaves it to the
   * next one then. What somebody else is just taking is passed over.
   * @throws CentreError store-away
   */
  lease(now: Instant, until: Instant, limit: number): Promise<Signal[]>;
  /** @throws CentreError store-away */
  remove(keys: readonly HeldKey[]): Promise<void>;
}

/**
 * `held`: durable, will be shown unless `released`. `nothing-to-hold`: without proof it counts for nothing. `full`: a technical
 * warning, and as many of the unit are waiting. `not-held`: what may be a call for help did not fit; the unit must try again.
 */
export type Held = 'held' | 'nothing-to-hold' | 'full' | 'not-held';

export interface HoldingCounts {
  readonly held: number;
  /** Had no place. */
  readonly full: number;
  /** Kept without credentials. */
  readonly shown: number;
  readonly failures: number;
}

export interface Holding {
  /** Before the refusal goes out. @throws CentreError store-away: nothing is held, nothing may be answered but "try again" */
  hold(signal: Signal): Promise<Held>;
  /** The same bytes came with valid credentials and are kept: call it after their commit. Never rejects; need not be waited for. */
  released(source: string, digest: Uint8Array): Promise<void>;
  /** Looks for what is due now; resolves when that is dealt with. Never rejects. */
  sweep(): Promise<void>;
  counts(): HoldingCounts;
  /** Ends after what is in hand. */
  stop(): Promise<void>;
}

/** For as long a unit has time to come back with credentials (a slow one takes 3 s). */
export const HELD_FOR_MS: Milliseconds = 10_000;
export const HOLD_LIMITS: HoldLimits = { perSource: 100, inAll: 10_000 };
const LOOK_EVERY_MS: Milliseconds = 500;
/** Longer than keeping takes at its slowest; so much later is shown what a process had in hand when it died. */
const LEASE_MS: Milliseconds = 10_000;
const AT_ONCE = 100;
const MOST_IN_HAND = 300;

/** Without proof nobody ends, explains or postpones an alarm; what may be a call for help is never lost for want of it. */
export const HELD_ROLES: readonly SignalRole[] = ['need', 'technical', 'unreadable', 'call'];

/**
 * Begins with a look at once: what fell due while the centre was down is shown now. Any number of processes may sweep the
 * same table. Between taking, keeping and removing there is no transaction: a kill anywhere leaves the row, and what is kept
 * a second time is a duplicate (same source, id and bytes, received at the same instant), never a second alarm.
 */
export function createHolding(parts: {
  readonly store: HeldStore;
  readonly keeper: Pick<Keeper, 'keep'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: HoldLimits;
  readonly lease?: Milliseconds;
}): Holding {
  const { store, keeper, clock, log, limits = HOLD_LIMITS, lease = LEASE_MS } = parts;
  const counts = { held: 0, full: 0, shown: 0, failures: 0 };
  const inHand = new Map<string, Promise<void>>();
  let looking: Promise<void> | null = null;
  let away = false;
  let notRemoved = false;
  let stopped = false;

  const holdOne = gathering(AT_ONCE, (signals: readonly Signal[]) => {
    const now = clock.now();
    return store.hold(signals, now, now + HELD_FOR_MS, limits);
  });
  const removeOne = gathering(AT_ONCE, async (keys: readonly HeldKey[]) => {
    await store.remove(keys);
    return keys;
  });
  const turn = clock.every(LOOK_EVERY_MS, () => void look());
  void look();

  function look(): Promise<void> {
    if (stopped) return Promise.resolve();
    looking ??= lookNow().finally(() => {
      looking = null;
    });
    return looking;
  }

  /** Waits for no signal in hand: one whose alarm is locked holds up nobody else's. */
  async function lookNow(): Promise<void> {
    for (;;) {
      const room = Math.min(AT_ONCE, MOST_IN_HAND - inHand.size);
      if (room <= 0) return;
      const due = await taken(room);
      for (const signal of due) {
        // Still in hand after its lease: whoever has it goes on.
        if (inHand.has(signal.id)) continue;
        const one = show(signal).finally(() => inHand.delete(signal.id));
        inHand.set(signal.id, one);
      }
      if (due.length < room) return;
    }
  }

  async function taken(limit: number): Promise<readonly Signal[]> {
    try {
      const now = clock.now();
      const due = await store.lease(now, now + lease, limit);
      if (away) log.info('held-signals-store-back');
      away = false;
      return due;
    } catch (error) {
      counts.failures += 1;
      if (!away) log.warn('held-signals-not-read', { error });
      away = true;
      return [];
    }
  }

  async function show(signal: Signal): Promise<void> {
    const { id, source, device, protocol, marks, digest } = signal;
    try {
      await keeper.keep(marks.includes('unauthenticated') ? signal : { ...signal, marks: [...marks, 'unauthenticated'] });
    } catch (error) {
      // Its lease ends, and it is tried again.
      counts.failures += 1;
      log.error('held-signal-not-shown', { signal: id, device, protocol, error });
      return;
    }
    counts.shown += 1;
    log.warn('shown-without-credentials', { signal: id, device, protocol });
    await removed({ source, digest });
  }

  /** A row that stays is shown again later, as a duplicate. */
  async function removed(key: HeldKey): Promise<void> {
    try {
      await removeOne(key);
      notRemoved = false;
    } catch (error) {
      counts.failures += 1;
      // Once: while the store is away every message with credentials comes here.
      if (!notRemoved) log.warn('held-signal-not-removed', { source: key.source, error });
      notRemoved = true;
    }
  }

  return {
    async hold(signal) {
      if (!HELD_ROLES.includes(signal.meaning.role)) return 'nothing-to-hold';
      const held = await holdOne(signal);
      counts[held ? 'held' : 'full'] += 1;
      if (held) return 'held';
      return signal.meaning.role === 'technical' ? 'full' : 'not-held';
    },
    released: (source, digest) => removed({ source: storable(source), digest }),
    async sweep() {
      // One that is under way may have looked before something fell due.
      await looking;
      await look();
      await Promise.all(inHand.values());
    },
    counts: () => ({ ...counts }),
    async stop() {
      stopped = true;
      turn.cancel();
      await looking;
      await Promise.all(inHand.values());
    },
  };
}
