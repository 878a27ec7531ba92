/** Asking one person over one channel: the words for it, and what it needs of the store, the queue and the notifiers. */
import type { AskFailure, Channel } from '../alarms/command.ts';
import type { AlarmPriority } from '../alarms/signal.ts';
import type { Instant, Milliseconds } from '../base/clock.ts';

/** A row of `ask` that is ours to send until its lease is over. */
export interface LeasedAsk {
  readonly id: string;
  /** Number of the alarm. */
  readonly alarm: string;
  readonly account: string;
  readonly channel: Channel;
  /** E.164; empty when the account has none, or is no more. */
  readonly phone: string;
  readonly priority: AlarmPriority;
  readonly municipality: string;
  /** As the register has it: may be any text, and is shown only when the configuration knows it. */
  readonly zone: string | null;
  readonly dueAt: Instant;
  /** 1 for the first try. */
  readonly attempt: number;
}

/** The state of an ask that is over, or waits for a report. */
export type AskOutcome = 'sent' | 'delivered' | 'failed';

/** What a provider had taken when its sender died, or had overrun its lease. */
export interface Taken {
  readonly providerId: string;
  /** It stands in the alarm's timeline. */
  readonly told: boolean;
}

export interface AskLedger {
  /**
   * Takes a pending ask that is due, and for an SMS about anything but life all of the person's that are due with it:
   * one gathered message. Empty: it was sent or withdrawn, somebody else has it, or the person had a message less than
   * a minute ago (its time is then set to when the minute is over).
   * @throws CentreError store-away
   */
  lease(id: string, now: Instant, leaseUntil: Instant): Promise<readonly LeasedAsk[]>;
  /** Ends the lease early: tried again at `tryAt`. */
  again(ids: readonly string[], tryAt: Instant): Promise<void>;
  /**
   * Keeps that a provider has taken the message about these pending asks: all of them or none. To be called before anything
   * else is done with the answer: after a crash, what this did not keep is sent again.
   */
  keepTaken(ids: readonly string[], providerId: string): Promise<void>;
  /** Which of these a provider has taken. */
  taken(ids: readonly string[]): Promise<ReadonlyMap<string, Taken>>;
  /** Keeps how it went; what was withdrawn meanwhile stays so. To be called after the desk has it. May be repeated. */
  record(id: string, outcome: AskOutcome, providerId: string | null, now: Instant): Promise<void>;
  /** Makes the person's other asks about that alarm due now: a channel has failed, waiting for the next helps nobody. */
  hasten(alarm: string, account: string, now: Instant): Promise<void>;
}

export const URGENCIES = ['life', 'urgent', 'care'] as const;
/** Each has its queue, so that a flood of routine asks cannot hold the workers. `care` takes the technical ones too. */
export type Urgency = (typeof URGENCIES)[number];

export interface WaitingAsk {
  readonly id: string;
  readonly tryAt: Instant;
}

export interface AskBacklog {
  /** Pending asks of an urgency that are to be tried before `until`: the most urgent first, then the oldest. @throws CentreError store-away */
  soon(urgency: Urgency, until: Instant, limit: number): Promise<readonly WaitingAsk[]>;
  /** Pending asks that should have been tried before `since`: the most urgent first, then the oldest. */
  overdue(since: Instant, limit: number): Promise<readonly WaitingAsk[]>;
}

/** A message that a provider took and of which we do not know yet whether it arrived. */
export interface SentAsk {
  readonly id: string;
  readonly alarm: string;
  readonly account: string;
  readonly channel: Channel;
  readonly providerId: string;
}

export interface SentAsks {
  /** Sent ones whose report should be asked for now; each is given its next time, later the older it is. */
  unreported(now: Instant, limit: number): Promise<readonly SentAsk[]>;
  /** All that went with one message. */
  byProvider(providerId: string, now: Instant): Promise<readonly SentAsk[]>;
}

/** Makes asks prompt; never owns one. Adding the same again does nothing. */
export interface AskQueue {
  /** @throws CentreError store-away */
  add(urgency: Urgency, asks: readonly (WaitingAsk & { readonly delay: Milliseconds })[]): Promise<void>;
  stop(): Promise<void>;
}

/** What a notifier may say: no name, no address, no health. */
export interface Notice {
  /** The same for each try of the same message, so that a gateway sends it once. */
  readonly reference: string;
  readonly account: string;
  readonly phone: string;
  readonly channel: Channel;
  /** The alarm that the message is about. */
  readonly number: string;
  /** A zone of the configuration, or empty. */
  readonly zone: string;
  readonly priority: AlarmPriority;
  readonly link: string;
  /** Numbers of further alarms that go with it. */
  readonly others: readonly string[];
}

export type NoticeResult =
  | { readonly result: 'sent'; readonly providerId: string }
  /** It is on the person's screen. Never an acceptance. */
  | { readonly result: 'delivered' }
  | { readonly result: 'failed'; readonly why: AskFailure; readonly retry: boolean };

/** How a responder is reached (src/notify). Returns within seconds; what it throws counts as `gateway-away`. */
export interface Notifier {
  notify(notice: Notice): Promise<NoticeResult>;
}

export type DeliveryStatus = 'accepted' | 'sent' | 'delivered' | 'failed';

/** What a provider knows of a message; null when it does not answer, or does not know it. */
export interface DeliveryReports {
  statusOf(providerId: string): Promise<DeliveryStatus | null>;
}
