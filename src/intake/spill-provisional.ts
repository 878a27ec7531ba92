/** The provisional alarms of this process: what lies in its spill as operators see it, who has claimed it, and who is told. */
import {
  type DirectNews,
  type ProvisionalAlarm,
  type ProvisionalAnswer,
  type ReplayedClaim,
  claimedBy,
  provisionalOf,
} from '../alarms/provisional.ts';
import { DUPLICATE_WINDOW_MS, DUPLICATE_WINDOW_WITHOUT_ID_MS } from '../alarms/correlate.ts';
import type { Signal } from '../alarms/signal.ts';
import type { Instant } from '../base/clock.ts';
import type { SpilledClaim } from './spill-record.ts';

/** After that a number is unknown here; PostgreSQL knows it as an alias. */
const MOST_REMEMBERED = 50_000;

interface Shown {
  alarm: ProvisionalAlarm;
  readonly source: string;
  readonly key: string;
  readonly isNeed: boolean;
  claim: SpilledClaim | null;
  /** A claim that is on its way to the disk. */
  claiming: Promise<void> | null;
}

export interface ProvisionalAlarms {
  /** @returns the number to tell the device (of a duplicate that of the first one; null: operators are not shown it), and whether it is its sender's first need here */
  add(signal: Signal): { readonly number: string | null; readonly first: boolean };
  all(): readonly ProvisionalAlarm[];
  /** A claim that the spill held at the start. */
  restore(claim: SpilledClaim): void;
  /** @param keep makes the claim durable. @throws what `keep` throws: then nobody has it */
  claim(claim: SpilledClaim, keep: () => Promise<void>): Promise<ProvisionalAnswer>;
  /** The claim of this number, also one that was just on its way to the disk. */
  claimOf(number: string): Promise<SpilledClaim | null>;
  /** It is in PostgreSQL; what is not shown is passed over. */
  replayed(number: string, alarm: string | null, claim: ReplayedClaim | null): void;
  listen(listener: (news: DirectNews) => void): () => void;
  tell(news: DirectNews): void;
}

export function createProvisionalAlarms(): ProvisionalAlarms {
  const shown = new Map<string, Shown>();
  /** The last of each message; what comes after its window is a new one, as for the rules (design § 1.3). */
  const numbers = new Map<string, { readonly number: string; readonly at: Instant }>();
  /** How many needs of a source are shown. */
  const needsOf = new Map<string, number>();
  const gone = new Map<string, string | null>();
  const listeners = new Set<(news: DirectNews) => void>();

  function tell(news: DirectNews): void {
    for (const listener of listeners) listener(news);
  }

  /** First comes, first has it; the second waits to see whether the first's claim became durable. */
  async function claim(asked: SpilledClaim, keep: () => Promise<void>): Promise<ProvisionalAnswer> {
    const { number, account, at } = asked;
    const one = shown.get(number);
    if (one === undefined) {
      const alarm = gone.get(number);
      return alarm === undefined ? { refused: 'unknown-alarm' } : { refused: 'gone', alarm };
    }
    const { claimedBy: by } = one.alarm;
    if (by !== null) return by === account ? { claimed: one.alarm } : { refused: 'taken-by-another', by };
    if (one.claiming !== null) {
      await one.claiming.catch(() => undefined);
      return claim(asked, keep);
    }
    one.claiming = (async () => {
      await keep();
      one.claim = asked;
      one.alarm = claimedBy(one.alarm, account, at);
    })();
    try {
      await one.claiming;
    } finally {
      one.claiming = null;
    }
    tell({ news: 'alarm', alarm: one.alarm });
    return { claimed: one.alarm };
  }

  return {
    add(signal) {
      const { source, messageId, digest, receivedAt } = signal;
      const alarm = provisionalOf(signal);
      if (alarm === null) return { number: null, first: false };
      const key = JSON.stringify([source, messageId, Buffer.from(digest).toString('hex')]);
      const before = numbers.get(key);
      const within = messageId === null ? DUPLICATE_WINDOW_WITHOUT_ID_MS : DUPLICATE_WINDOW_MS;
      if (before !== undefined && receivedAt - before.at < within) return { number: before.number, first: false };
      const needs = needsOf.get(source) ?? 0;
      const isNeed = signal.meaning.role === 'need';
      if (isNeed) needsOf.set(source, needs + 1);
      numbers.set(key, { number: alarm.number, at: receivedAt });
      shown.set(alarm.number, { alarm, source, key, isNeed, claim: null, claiming: null });
      tell({ news: 'alarm', alarm });
      return { number: alarm.number, first: isNeed && needs === 0 };
    },
    all: () => [...shown.values()].map(({ alarm }) => alarm),
    restore(kept) {
      const one = shown.get(kept.number);
      // Of two in the file the first was answered; the second can only have been the same person's.
      if (one === undefined || one.claim !== null) return;
      one.claim = kept;
      one.alarm = claimedBy(one.alarm, kept.account, kept.at);
    },
    claim,
    async claimOf(number) {
      const one = shown.get(number);
      await one?.claiming?.catch(() => undefined);
      return one?.claim ?? null;
    },
    replayed(number, alarm, claimed) {
      const one = shown.get(number);
      if (one === undefined) return;
      shown.delete(number);
      if (numbers.get(one.key)?.number === number) numbers.delete(one.key);
      const needs = (needsOf.get(one.source) ?? 0) - (one.isNeed ? 1 : 0);
      if (needs > 0) needsOf.set(one.source, needs);
      else needsOf.delete(one.source);
      gone.set(number, alarm);
      if (gone.size > MOST_REMEMBERED) {
        for (const oldest of gone.keys()) {
          gone.delete(oldest);
          break;
        }
      }
      tell({ news: 'replayed', number, alarm, claim: claimed });
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    tell,
  };
}
