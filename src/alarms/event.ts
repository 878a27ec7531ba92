/** Events: the rows of an alarm's timeline, and the words of the reasons that they give. */
import type { Instant } from '../base/clock.ts';
import type { Lane, Wait, WaitSpans } from './alarm.ts';
import type { Actor, AskFailure, Channel, ContactWay, Outcome, Recipient, Repaired, Withdrawable } from './command.ts';
import type { AlarmPriority, Kind, Position, Sender, SignalMark } from './signal.ts';

/** What every event that a signal caused tells of it. */
export interface SignalFacts {
  readonly signal: string;
  readonly messageId: string | null;
  readonly kind: Kind;
  readonly trigger: string;
  readonly marks: readonly SignalMark[];
  readonly code?: string;
  readonly text?: string;
  readonly voice?: string;
  readonly position?: Position;
  readonly deviceAt?: Instant;
}

export type AlarmEvent =
  | ({
      readonly event: 'opened';
      readonly lane: Lane;
      readonly priority: AlarmPriority;
      readonly priorityRule: PriorityRule;
      readonly sender: Sender;
      readonly ladder: string;
      readonly spans: WaitSpans;
      readonly follows: string | null;
    } & SignalFacts)
  | ({
      readonly event: 'repeated';
      readonly priority: AlarmPriority;
      readonly priorityRule: PriorityRule;
      /** Somebody had spoken to the person, but before this: it does not count any more. */
      readonly outdatesContact?: true;
    } & SignalFacts)
  | ({ readonly event: 'duplicate-received' } & SignalFacts)
  | ({ readonly event: 'restored' } & SignalFacts)
  | ({ readonly event: 'cancel-received' } & SignalFacts)
  | ({ readonly event: 'presence-received' } & SignalFacts)
  | ({ readonly event: 'call-received' } & SignalFacts)
  | { readonly event: 'claimed' }
  | { readonly event: 'taken-over'; readonly from: string | null; readonly reason: string }
  | { readonly event: 'released' }
  | { readonly event: 'claim-interrupted'; readonly by: string; readonly why: 'browser-gone' | 'idle' }
  | { readonly event: 'seen' }
  | { readonly event: 'contact-confirmed'; readonly how: ContactWay }
  | { readonly event: 'contact-overridden'; readonly reason: string }
  | { readonly event: 'withdrawn'; readonly what: Withdrawable }
  | { readonly event: 'noted'; readonly text: string }
  | { readonly event: 'dispatched'; readonly to: string; readonly rung: string | null; readonly recipients: readonly AskedRecipient[] }
  | { readonly event: 'told'; readonly to: string; readonly rung: string; readonly recipients: readonly AskedRecipient[] }
  | { readonly event: 'nobody-on-duty'; readonly to: string; readonly rung: string }
  | { readonly event: 'all-declined'; readonly to: string; readonly rung: string }
  | { readonly event: 'ladder-exhausted'; readonly round: number }
  | { readonly event: 'ladder-restarted'; readonly round: number }
  | { readonly event: 'ask-sent'; readonly ask: string; readonly account: string; readonly channel: Channel }
  | { readonly event: 'ask-delivered'; readonly ask: string; readonly account: string; readonly channel: Channel }
  | { readonly event: 'ask-failed'; readonly ask: string; readonly account: string; readonly channel: Channel; readonly why: AskFailure }
  | { readonly event: 'accepted'; readonly etaAt: Instant; readonly etaGiven: boolean }
  | { readonly event: 'declined'; readonly reason: string }
  | { readonly event: 'arrived' }
  | { readonly event: 'reported'; readonly outcome: Outcome; readonly text: string }
  | { readonly event: 'deadline-passed'; readonly what: Wait }
  | { readonly event: 'repaired'; readonly what: Repaired }
  | { readonly event: 'snoozed'; readonly until: Instant; readonly reason: string }
  | { readonly event: 'closed'; readonly outcome: Outcome; readonly text: string };

export type EventName = AlarmEvent['event'];

export const EVENT_NAMES = [
  'opened',
  'repeated',
  'duplicate-received',
  'restored',
  'cancel-received',
  'presence-received',
  'call-received',
  'claimed',
  'taken-over',
  'released',
  'claim-interrupted',
  'seen',
  'contact-confirmed',
  'contact-overridden',
  'withdrawn',
  'noted',
  'dispatched',
  'told',
  'nobody-on-duty',
  'all-declined',
  'ladder-exhausted',
  'ladder-restarted',
  'ask-sent',
  'ask-delivered',
  'ask-failed',
  'accepted',
  'declined',
  'arrived',
  'reported',
  'deadline-passed',
  'repaired',
  'snoozed',
  'closed',
] as const satisfies readonly EventName[];

/** Why the alarm has the priority that it has. */
export const PRIORITY_RULES = [
  'by-kind',
  'by-model',
  'unknown-device-raised',
  'raised-by-repeat',
  'more-serious-kind',
  'soon-after-closed',
  'unchanged',
] as const;
export type PriorityRule = (typeof PRIORITY_RULES)[number];

/** A recipient with the asks that were made for them in the same transaction. */
export interface AskedRecipient extends Pick<Recipient, 'account' | 'team'> {
  readonly asks: readonly { readonly id: string; readonly channel: Channel; readonly dueAt: Instant }[];
}

/** One row of the timeline. */
export interface TimelineEntry {
  /** 1, 2, 3 … without gaps: the alarm's version after it. */
  readonly version: number;
  readonly at: Instant;
  /** When it was done, for an act that was queued without network. */
  readonly doneAt: Instant | null;
  readonly actor: Actor;
  readonly event: AlarmEvent;
  /** Waits that this entry arms (an instant) or disarms (null). */
  readonly arms: Readonly<Partial<Record<Wait, Instant | null>>>;
}
