/** Replaying: a batch of the spill goes to PostgreSQL the way of live signals, then the claims that were made of it. */
import type { Admission, Situation } from '../alarms/correlate.ts';
import type { DeskAnswer } from '../alarms/desk.ts';
import { type ReplayedClaim, provisionalNumber, provisionalOf } from '../alarms/provisional.ts';
import type { Signal } from '../alarms/signal.ts';
import type { Clock } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { reached } from '../base/points.ts';
import { type Admit, type Receipt, type SignalStore, asBytes } from './keep.ts';
import type { SpillEntry, SpillLog } from './spill-log.ts';
import type { ProvisionalAlarms } from './spill-provisional.ts';
import { type SpilledClaim, decodeClaim, decodeSignal } from './spill-record.ts';
import { GRACE_MS, notBefore } from './spill-waits.ts';

/** What replaying needs of PostgreSQL beside the keeping itself. Each call may throw CentreError store-away. */
export interface SpillStore {
  /** Which of these signals are kept already, with their alarm. */
  known(ids: readonly string[]): Promise<ReadonlyMap<string, string | null>>;
  /** The alarms are found by these provisional numbers, too, from now on. */
  name(aliases: readonly { readonly number: string; readonly alarm: string }[]): Promise<void>;
  alarmOf(number: string): Promise<string | null>;
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
 * a claim carries an idempotency key.
 * @returns takes the next entries; when it resolves they are in PostgreSQL
 * @throws CentreError store-away: try the same again
 */
export function createReplay(parts: ReplayParts): (entries: readonly SpillEntry[]) => Promise<void> {
  const { signals: keeping, store, order, file, provisional, clock, log } = parts;
  /** Claims that were given to the desk with their signal: their own entry follows later. */
  const settled = new Set<string>();

  return async (entries) => {
    const signals: Signal[] = [];
    for (const { kind, seq, payload } of entries) {
      const signal = kind === 'signal' ? decodeSignal(payload) : null;
      if (signal !== null) signals.push(signal);
      else if (kind === 'signal') await setAside(`unknown-${seq}`, payload);
    }
    await replaySignals(signals);
    for (const { kind, seq, payload } of entries) if (kind === 'claim') await replayClaim(seq, payload);
  };

  async function replaySignals(signals: readonly Signal[]): Promise<void> {
    const known = await store.known(signals.map(({ id }) => id));
    const alarms = new Map(known);
    const missing = signals.filter(({ id }) => !known.has(id));
    await keepAll(missing, alarms);
    reached('replayed');
    const shown = signals.filter((signal) => provisionalOf(signal) !== null);
    const named = shown.map(({ id }) => ({ number: provisionalNumber(id), alarm: alarms.get(id) ?? null }));
    await store.name(named.flatMap(({ number, alarm }) => (alarm === null ? [] : [{ number, alarm }])));
    for (const { number, alarm } of named) {
      const claim = await provisional.claimOf(number);
      provisional.replayed(number, alarm, claim === null ? null : await ordered(claim, alarm));
    }
  }

  async function keepAll(signals: readonly Signal[], alarms: Map<string, string | null>): Promise<void> {
    if (signals.length === 0) return;
    const told = signals.map((signal) => ({ ...signal, marks: [...signal.marks, 'spilled' as const] }));
    try {
      const receipts = await keep(told);
      signals.forEach(({ id }, index) => alarms.set(id, receipts[index]?.alarm ?? null));
    } catch (error) {
      if (error instanceof CentreError) throw error;
      // One of them is poisoned: each gets its own transaction, still in order.
      if (signals.length > 1) for (const one of signals) await keepAll([one], alarms);
      else for (const one of told) await keepPoisoned(one, error, alarms);
    }
  }

  /** As bytes, no rules run. What cannot even be kept so stops nobody behind it: it is set aside for a technician. */
  async function keepPoisoned(signal: Signal, error: unknown, alarms: Map<string, string | null>): Promise<void> {
    const { id, device, protocol } = signal;
    log.error('signal-processing-failed', { signal: id, device, protocol, error });
    try {
      const [receipt] = await keep([asBytes(signal)]);
      alarms.set(id, receipt?.alarm ?? null);
    } catch (again) {
      if (again instanceof CentreError) throw again;
      log.error('signal-not-kept', { signal: id, device, protocol, error: again });
      await setAside(id, signal.raw);
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

  /** One whose signal came over before the centre was started: the alias says which alarm it became. */
  async function replayClaim(seq: number, payload: Uint8Array): Promise<void> {
    const claim = decodeClaim(payload);
    if (claim === null) return setAside(`unknown-${seq}`, payload);
    if (settled.delete(claim.number)) return;
    const result = await ordered(claim, await store.alarmOf(claim.number));
    settled.delete(claim.number);
    provisional.replayed(claim.number, null, result);
  }

  async function ordered(claim: SpilledClaim, alarm: string | null): Promise<ReplayedClaim> {
    const { account: by, number } = claim;
    const answer: DeskAnswer = alarm === null ? { refused: 'unknown-alarm' } : await given(alarm, claim);
    settled.add(number);
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
      if (error instanceof CentreError) throw error;
      log.error('spilled-claim-failed', { account: claim.account, alarm, error });
      return { refused: 'unknown-alarm' };
    }
  }
}
