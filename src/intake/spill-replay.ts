/** Replaying: a batch of the spill goes to PostgreSQL the way of live signals, then the claims that were made of it. */
import { type Admission, type Situation, joiningKey } from '../alarms/correlate.ts';
import type { DeskAnswer } from '../alarms/desk.ts';
import { type Alias, type ReplayedClaim, provisionalNumber, provisionalOf } from '../alarms/provisional.ts';
import type { Signal } from '../alarms/signal.ts';
import type { Clock, Instant } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { reached } from '../base/points.ts';
import { type Admit, type Receipt, type SignalStore, asBytes } from './keep.ts';
import { HELD_FOR_MS } from './hold.ts';
import { groupedBy, isOfHousehold, partsOf } from './keep-parts.ts';
import type { SpillEntry, SpillLog } from './spill-log.ts';
import { claimKey } from './spill-left.ts';
import type { ProvisionalAlarms } from './spill-provisional.ts';
import { type SpilledClaim, decodeClaim, decodeSignal } from './spill-record.ts';
import { GRACE_MS, notBefore } from './spill-waits.ts';

/** What replaying needs of PostgreSQL beside the keeping itself. Each call may throw CentreError store-away. */
export interface SpillStore {
  /** Which of these signals are kept already, with their alarm. */
  known(ids: readonly string[]): Promise<ReadonlyMap<string, string | null>>;
  /** The alarms are found by these provisional numbers, too, from now on. A number that has a claim's result keeps it. */
  name(aliases: readonly ({ readonly number: string } & Alias)[]): Promise<void>;
  aliasOf(number: string): Promise<Alias | null>;
  /** Commits something that belongs to no household, under the locks that keeping takes of tables: then PostgreSQL is not away. */
  probe(): Promise<void>;
}

/** Takes the next entries over; answers the joining keys of which nothing more was: somebody holds their lock, or PostgreSQL fails at them. */
export type Replay = (entries: readonly SpillEntry[]) => Promise<ReadonlySet<string>>;

/** SQLSTATE: a lock was not had in time, a statement took too long, a conflict did not end. */
const OF_ITS_ALARM = /^(55P03|57014|23505)$/;

/** What became of the signals of one batch. */
interface Batch {
  /** By receipt id. */
  readonly alarms: Map<string, string | null>;
  /** Joining keys, also of households at which PostgreSQL fails. */
  readonly locked: Set<string>;
  /** Receipt ids of what is nowhere in PostgreSQL. */
  readonly lost: Set<string>;
}

/** Gives the desk the claim of an operator. @throws CentreError store-away */
export type OrderClaim = (alarm: string, claim: SpilledClaim) => Promise<DeskAnswer>;

export interface ReplayParts {
  readonly signals: SignalStore;
  readonly store: SpillStore;
  readonly admit: (signal: Signal, situation: Situation, newNumber: () => string) => Admission;
  readonly order: OrderClaim;
  readonly file: Pick<SpillLog, 'setAside'>;
  readonly provisional: ProvisionalAlarms;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Strictly in the order in which signals were acknowledged, whatever their priority: order within a household is worth more
 * than a few seconds, and a whole spill is taken over in seconds. Each step may be done twice: what PostgreSQL has of a signal
 * is found by its receipt id (its own transaction may have been committed after it was spilled), an alias is written once, and
 * the result of a claim stands with it before anybody is told: who has lost us finds it there, and it is not ordered again.
 * A household that somebody has locked, or at which PostgreSQL fails while it serves others, waits with its claims, in order,
 * and lets all others pass.
 * @returns takes the next entries; when it resolves they are in PostgreSQL, but for those of the joining keys that it answers
 * @throws CentreError store-away: try the same again
 */
export function createReplay(parts: ReplayParts): Replay {
  const { signals: keeping, store, order, file, provisional, clock, log } = parts;
  return async (entries) => {
    const signals: Signal[] = [];
    for (const { kind, seq, payload } of entries) {
      const signal = kind === 'signal' ? decodeSignal(payload) : null;
      if (signal !== null) signals.push(signal);
      else if (kind === 'signal') await setAside(`unknown-${seq}`, payload);
    }
    if (entries.length === 0) await store.probe();
    const locked = await replaySignals(provenLater(signals));
    const keys = new Map(signals.map((signal) => [provisionalNumber(signal.id), joiningKey(signal)]));
    for (const { kind, seq, payload } of entries) if (kind === 'claim') await replayClaim(seq, payload, keys, locked);
    return locked;
  };

  async function replaySignals(signals: readonly Signal[]): Promise<Set<string>> {
    const batch: Batch = { alarms: new Map(), locked: new Set(), lost: new Set() };
    if (signals.length === 0) return batch.locked;
    await findAll(signals, batch);
    await keepAll(
      signals.filter(({ id }) => !batch.alarms.has(id)),
      batch,
    );
    reached('replayed');
    const shown = signals.filter((signal) => !batch.locked.has(joiningKey(signal)) && provisionalOf(signal) !== null);
    const named = shown.map((signal) => ({ signal, number: provisionalNumber(signal.id), alarm: batch.alarms.get(signal.id) ?? null }));
    const claims = await Promise.all(named.map(({ number }) => provisional.claimOf(number)));
    // One that is claimed gets its name with the result of the claim: nobody may find the one without the other.
    const unclaimed = named.filter((_, index) => claims[index] === null);
    await store.name(unclaimed.flatMap(({ number, alarm }) => (alarm === null ? [] : [{ number, alarm, claim: null }])));
    for (const { signal, number, alarm } of named) {
      const claim = await provisional.claimOf(number);
      // What is nowhere else stays on the consoles until somebody takes it.
      if (claim === null && batch.lost.has(signal.id)) continue;
      await unlessLocked(batch.locked, joiningKey(signal), async () =>
        provisional.replayed(number, alarm, claim === null ? null : await ordered(claim, alarm)),
      );
    }
    return batch.locked;
  }

  /** What waits for a locked household's claim is done again with it: nothing of it counts twice. */
  async function unlessLocked(locked: Set<string>, key: string, work: () => Promise<void>): Promise<void> {
    if (locked.has(key)) return;
    try {
      await work();
    } catch (error) {
      if (!isOfHousehold(error)) throw error;
      locked.add(key);
    }
  }

  /** What is there already; a row that cannot be read is its household's. */
  async function findAll(signals: readonly Signal[], batch: Batch): Promise<void> {
    try {
      for (const [id, alarm] of await store.known(signals.map(({ id: one }) => one))) batch.alarms.set(id, alarm);
    } catch (error) {
      if (!isOfHousehold(error)) throw error;
      await apart(signals, batch, error, findAll);
    }
  }

  async function keepAll(all: readonly Signal[], batch: Batch): Promise<void> {
    const signals = all.filter((signal) => !batch.locked.has(joiningKey(signal)));
    if (signals.length === 0) return;
    const told = signals.map((signal) => ({ ...signal, marks: [...signal.marks, 'spilled' as const] }));
    try {
      const receipts = await keep(told);
      signals.forEach(({ id }, index) => batch.alarms.set(id, receipts[index]?.alarm ?? null));
    } catch (error) {
      if (isOfHousehold(error)) return apart(signals, batch, error, keepAll);
      if (error instanceof CentreError) throw error;
      // One of them is poisoned: each gets its own transaction, still in order.
      if (signals.length > 1) for (const one of signals) await keepAll([one], batch);
      else for (const one of told) await unlessLocked(batch.locked, joiningKey(one), () => keepPoisoned(one, error, batch));
    }
  }

  /** In parts, and a household that alone is no better waits. */
  async function apart(signals: readonly Signal[], batch: Batch, error: unknown, work: typeof keepAll): Promise<void> {
    const byKey = groupedBy(signals, joiningKey);
    if (byKey.size > 1) for (const group of partsOf([...byKey.values()], error)) await work(group, batch);
    else for (const key of byKey.keys()) batch.locked.add(key);
  }

  /** As bytes, no rules run; then without them, and they are set aside for a technician. It stops nobody behind it. */
  async function keepPoisoned(signal: Signal, error: unknown, batch: Batch): Promise<void> {
    const { id, device, protocol } = signal;
    log.error('signal-processing-failed', { signal: id, device, protocol, error });
    const bytes = asBytes(signal);
    if (await isKept(bytes, batch)) return;
    await setAside(id, signal.raw);
    if (!(await isKept({ ...bytes, household: null, raw: new Uint8Array() }, batch))) batch.lost.add(id);
  }

  async function isKept(signal: Signal, { alarms }: Batch): Promise<boolean> {
    const { id, device, protocol } = signal;
    try {
      const [receipt] = await keep([signal]);
      alarms.set(id, receipt?.alarm ?? null);
      return true;
    } catch (error) {
      if (error instanceof CentreError) throw error;
      log.error('signal-not-kept', { signal: id, device, protocol, error });
      return false;
    }
  }

  async function setAside(name: string, payload: Uint8Array): Promise<void> {
    try {
      await file.setAside(name, payload);
    } catch (error) {
      // It stays where it is, and everything behind it waits: rather late than lost.
      throw new CentreError('store-away', 'A record of the spill can be neither kept nor set aside.', { cause: error });
    }
    log.error('spilled-record-set-aside', { signal: name });
  }

  function keep(signals: readonly Signal[]): Promise<Receipt[]> {
    const now = clock.now();
    const admit: Admit = (...given) => notBefore(parts.admit(...given), now + GRACE_MS);
    return keeping.keep(signals, admit, now);
  }

  /** One that was given to the desk with its signal, or whose signal came over before the centre was started: the alias says so. */
  async function replayClaim(seq: number, payload: Uint8Array, keys: ReadonlyMap<string, string>, locked: Set<string>): Promise<void> {
    const claim = decodeClaim(payload);
    if (claim === null) return setAside(`unknown-${seq}`, payload);
    const { number } = claim;
    await unlessLocked(locked, keys.get(number) ?? claimKey(number), async () => {
      provisional.replayed(number, null, await ordered(claim, null));
    });
  }

  /** Once: what was said of it first, stands, also after a crash; else a claim that was refused, and told so, might succeed unseen. */
  async function ordered(claim: SpilledClaim, of: string | null): Promise<ReplayedClaim> {
    const { number } = claim;
    const alias = await store.aliasOf(number);
    const before = alias?.claim ?? null;
    if (before !== null) return before;
    const alarm = of ?? alias?.alarm ?? null;
    const result = await resultOf(claim, alarm);
    if (alarm !== null) await store.name([{ number, alarm, claim: result }]);
    return result;
  }

  async function resultOf(claim: SpilledClaim, alarm: string | null): Promise<ReplayedClaim> {
    const { account: by, number } = claim;
    const answer: DeskAnswer = alarm === null ? { refused: 'unknown-alarm' } : await given(alarm, claim);
    if ('alarm' in answer) return { by, result: 'done' };
    // It is theirs already.
    if (answer.refused === 'taken-by-another' && 'by' in answer && answer.by === by) return { by, result: 'done' };
    log.warn('spilled-claim-refused', { account: by, alarm: alarm ?? number, code: answer.refused });
    return { by, result: 'refused', code: answer.refused };
  }

  /** A claim at which the desk throws must not hold up the alarms behind it. */
  async function given(alarm: string, claim: SpilledClaim): Promise<DeskAnswer> {
    try {
      return await order(alarm, claim);
    } catch (error) {
      // The desk has tried for some seconds.
      if (error instanceof CentreError && OF_ITS_ALARM.test(systemCode(error.cause) ?? ''))
        throw new CentreError('household-locked', 'The alarm of a claim is locked, or PostgreSQL fails at it: it is given later.', {
          cause: error.cause,
        });
      if (error instanceof CentreError) throw error;
      log.error('spilled-claim-failed', { account: claim.account, alarm, error });
      return { refused: 'unknown-alarm' };
    }
  }
}

/** What came without credentials was kept at once; where the same message followed with them in time, it was the unit's. */
function provenLater(signals: readonly Signal[]): Signal[] {
  const messageOf = ({ source, messageId, digest }: Signal): string =>
    JSON.stringify([source, messageId, Buffer.from(digest).toString('base64')]);
  const proven = new Map<string, Instant>();
  for (const signal of signals) if (!signal.marks.includes('unauthenticated')) proven.set(messageOf(signal), signal.receivedAt);
  return signals.map((signal) => {
    if (!signal.marks.includes('unauthenticated')) return signal;
    const at = proven.get(messageOf(signal));
    const isIt = at !== undefined && at >= signal.receivedAt && at - signal.receivedAt <= HELD_FOR_MS;
    return isIt ? { ...signal, marks: signal.marks.filter((mark) => mark !== 'unauthenticated') } : signal;
  });
}
