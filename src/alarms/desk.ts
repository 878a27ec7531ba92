/** The desk: the one door through which an alarm changes. Takes a command, lets the lifecycle decide, appends what it decided. */
import type { Clock, Instant } from '../base/clock.ts';
import { type Random, receiptId } from '../base/ids.ts';
import type { Alarm } from './alarm.ts';
import type { AlarmCommand, CommandContext, Refusal } from './command.ts';
import type { TimelineEntry } from './event.ts';
import { type Decision, decide } from './lifecycle.ts';
import { type AlarmView, viewOf } from './view.ts';

/** What one decision changes, written in one transaction with the outbox row. */
export interface Change {
  readonly alarm: Alarm;
  readonly entries: readonly TimelineEntry[];
  /** Set when an account's idempotency key must be remembered with its answer. */
  readonly remember: (IdempotencyKey & { readonly answer: AlarmView }) | null;
  /** Until when a claim made by this change holds unless it is renewed. */
  readonly leaseUntil: Instant;
}

/** One alarm to be changed. */
export interface Changing {
  readonly number: string;
  /** An account's idempotency key, looked up under the same lock. */
  readonly key: IdempotencyKey | null;
  /** A person waits for the answer: goes before what the centre's own parts have ordered. */
  readonly first: boolean;
  /** `leave`: when somebody else has the alarm locked, nothing is done. */
  readonly busy: 'wait' | 'leave';
  /** Gets the alarm, its row locked, and gives what is to be written; null writes nothing. Pure: may be called again. */
  readonly work: (found: Found) => Change | null;
}

/**
 * What the desk needs of the store: load under the alarm's row lock, decide, append, commit; internal conflicts retried.
 * Changes that are asked for at the same time may share a transaction; one that fails harms only itself.
 */
export interface AlarmStore {
  /**
   * @returns the answer that was stored with the key, in which case `work` was not called; `busy` when the alarm was to be left;
   *   else null, after the commit
   * @throws CentreError store-away; whatever `work` throws
   */
  change(changing: Changing): Promise<AlarmView | 'busy' | null>;
}

export interface IdempotencyKey {
  readonly account: string;
  readonly key: string;
}

/** An alarm as it stands under its lock; `alarm` is null when there is none of that number. */
export interface Found {
  readonly alarm: Alarm | null;
  /** Until when the claim's lease holds; null when nobody has claimed it. */
  readonly leaseUntil: Instant | null;
}

/** How long a claim outlives its operator's last sign of life (interfaces.md; practice: returned within 10 s). */
export const CLAIM_LEASE_MS = 10_000;

export type DeskAnswer = { readonly alarm: AlarmView } | Refusal | { readonly refused: 'unknown-alarm' };

export interface DeskRequest extends CommandContext {
  readonly number: string;
  readonly command: AlarmCommand;
  /** Unique per account; the same key again gets the stored answer. Null for the centre's own parts. */
  readonly key: string | null;
  /** What an alarm must be like for the caller to know of it (municipality, having been asked); absent: all. */
  readonly visible?: (alarm: Alarm) => boolean;
  /**
   * What to do when somebody else is changing the alarm at this instant: wait (the default), or leave it, with the answer
   * `not-due`: for those who come again.
   */
  readonly busy?: 'wait' | 'leave';
}

export interface Desk {
  /** Carries a command out, or says by name why not. @throws CentreError store-away */
  order(request: DeskRequest): Promise<DeskAnswer>;
}

export function createDesk({ store, clock, random }: { store: AlarmStore; clock: Clock; random: Random }): Desk {
  return {
    async order(request) {
      const { actor, command, number, busy = 'wait' } = request;
      const key = actor.type === 'person' && request.key !== null ? { account: actor.account, key: request.key } : null;
      let answer: DeskAnswer = { refused: 'unknown-alarm' };
      const work = ({ alarm, leaseUntil }: Found): Change | null => {
        answer = { refused: 'unknown-alarm' };
        if (alarm === null || request.visible?.(alarm) === false) return null;
        const now = clock.now();
        // Renewed since the sweep looked: the operator is still there.
        const renewed = command.command === 'lapse-claim' && leaseUntil !== null && leaseUntil > now;
        const decision: Decision = renewed ? { refused: 'not-due' } : decide(alarm, command, request, now, () => receiptId(now, random));
        if ('refused' in decision) {
          answer = decision;
          return null;
        }
        const view = viewOf(decision.alarm);
        answer = { alarm: view };
        const remember = key === null ? null : { ...key, answer: view };
        return { ...decision, remember, leaseUntil: now + CLAIM_LEASE_MS };
      };
      const before = await store.change({ number, key, first: actor.type === 'person', busy, work });
      if (before === 'busy') return { refused: 'not-due' };
      return before === null ? answer : { alarm: before };
    },
  };
}
