/** Commands: the only way in which an alarm changes. Who may give which, and the names of the refusals. */
import type { Instant } from '../base/clock.ts';
import type { Deadline } from './alarm.ts';

/** How contact was made. */
export const CONTACT_WAYS = ['voice', 'phone', 'visit'] as const;
export type ContactWay = (typeof CONTACT_WAYS)[number];

/** How an alarm ended; `test` and `false-alarm` need contact like all others. */
export const OUTCOMES = [
  'helped-by-voice',
  'helped-on-site',
  'health-service',
  'emergency-112-113',
  'relative-helped',
  'false-alarm',
  'test',
  'technical-fixed',
  'technical-task',
  'restored',
  'other',
] as const;
export type Outcome = (typeof OUTCOMES)[number];

/** What a mistaken act can be taken back. */
export const WITHDRAWABLE = ['contact', 'arrival'] as const;
export type Withdrawable = (typeof WITHDRAWABLE)[number];

/** Somebody who can be asked to go or told to look, and over which channels, each after its delay. */
export interface Recipient {
  readonly account: string;
  readonly team: string;
  readonly channels: readonly { readonly via: Channel; readonly afterMs: number }[];
}
export const CHANNELS = ['page', 'sms'] as const;
export type Channel = (typeof CHANNELS)[number];

/**
 * The next rung, worked out by escalation from the ladder and the roster before the command is given. `tell` wakes
 * supervisor and overflow without sending anyone; `dispatch` asks responders to go.
 */
export type RungPlan =
  | {
      readonly step: 'rung';
      readonly rung: string;
      readonly mode: 'tell' | 'dispatch';
      /** Team or zone as operators know it; what `dispatchedTo` shows. */
      readonly to: string;
      /** Empty: nobody is on duty there, or all who are have declined. */
      readonly recipients: readonly Recipient[];
      /** With no recipients: those on duty were asked before and said no. */
      readonly allDeclined?: boolean;
      /** How long this rung waits for somebody before the next. */
      readonly waitMs: number;
    }
  | { readonly step: 'exhausted' };

/** What a person at a console or a responder's phone may order. */
export type PersonCommand =
  | { readonly command: 'claim' }
  | { readonly command: 'take-over'; readonly reason: string }
  | { readonly command: 'release' }
  | { readonly command: 'see' }
  | { readonly command: 'confirm-contact'; readonly how: ContactWay }
  | { readonly command: 'note'; readonly text: string }
  | { readonly command: 'dispatch'; readonly to: string; readonly recipients: readonly Recipient[]; readonly waitMs: number }
  | { readonly command: 'accept'; readonly etaMinutes: number | null }
  | { readonly command: 'decline'; readonly reason: string }
  | { readonly command: 'arrive' }
  | { readonly command: 'report'; readonly outcome: Outcome; readonly text: string }
  | { readonly command: 'close'; readonly outcome: Outcome; readonly text: string }
  | { readonly command: 'override-contact'; readonly reason: string }
  | { readonly command: 'snooze'; readonly minutes: number; readonly reason: string }
  | { readonly command: 'withdraw'; readonly what: Withdrawable };

/** What the clock, the ladder and the channels order; each is re-checked under the lock. */
export type SystemCommand =
  | { readonly command: 'pass-deadline'; readonly armed: Deadline; readonly rung: RungPlan }
  | { readonly command: 'lapse-claim'; readonly by: string }
  | {
      readonly command: 'record-ask';
      readonly ask: string;
      readonly account: string;
      readonly channel: Channel;
      readonly result: 'sent' | 'delivered' | 'failed';
      /** The gateway's or our reason, one of a closed list; never the message. */
      readonly why: AskFailure | null;
    }
  /** Given on the alarm as its timeline tells it, when its row had become something else. */
  | { readonly command: 'repair'; readonly what: Repaired };

/** What the auditor mends: an open alarm that waits for nothing, and a row that does not follow from its timeline. */
export const REPAIRS = ['no-deadline', 'row-differs'] as const;
export type Repaired = (typeof REPAIRS)[number];

export const ASK_FAILURES = ['no-page-open', 'gateway-away', 'gateway-refused', 'not-delivered', 'no-number', 'no-gateway'] as const;
export type AskFailure = (typeof ASK_FAILURES)[number];

export type AlarmCommand = PersonCommand | SystemCommand;
export type CommandName = AlarmCommand['command'];
export const PERSON_COMMANDS = [
  'claim',
  'take-over',
  'release',
  'see',
  'confirm-contact',
  'note',
  'dispatch',
  'accept',
  'decline',
  'arrive',
  'report',
  'close',
  'override-contact',
  'snooze',
  'withdraw',
] as const satisfies readonly PersonCommand['command'][];
export const SYSTEM_COMMANDS = [
  'pass-deadline',
  'lapse-claim',
  'record-ask',
  'repair',
] as const satisfies readonly SystemCommand['command'][];

export const ROLES = ['operator', 'supervisor', 'responder', 'technician'] as const;
export type Role = (typeof ROLES)[number];

/** Who gives a command. */
export type Actor =
  | { readonly type: 'person'; readonly account: string; readonly roles: readonly Role[] }
  | { readonly type: 'centre'; readonly part: 'intake' | 'sweep' | 'ask' | 'auditor' };

/** What comes with every command. */
export interface CommandContext {
  readonly actor: Actor;
  /** The version that the caller saw; null when it cannot matter. */
  readonly version: number | null;
  /** When the act was done, for one that was queued without network; else null. */
  readonly doneAt: Instant | null;
}

/** Why a command was refused. The first four are checked in this order; then the rest. */
export const REFUSALS = [
  'already-closed',
  'taken-by-another',
  'no-confirmed-contact',
  'overtaken',
  'not-allowed',
  'not-claimed',
  'not-asked',
  'accepted-by-another',
  'already-accepted',
  'not-accepted',
  'already-on-site',
  'not-on-site',
  'not-due',
  'nobody-on-duty',
  'unknown-recipient',
  'reason-required',
  'nothing-to-withdraw',
  'not-snoozable',
] as const;
export type RefusalCode = (typeof REFUSALS)[number];

/** A refused command: which rule, and who stands in the way where somebody does. */
export interface Refusal {
  readonly refused: RefusalCode;
  /** Account that holds the claim or accepted first. */
  readonly by?: string;
}
