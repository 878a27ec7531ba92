/** The alarm: what operators handle. Its row is the fold of its timeline, never written by anything else. */
import type { Instant, Milliseconds } from '../base/clock.ts';
import type { AlarmPriority, Kind, Position } from './signal.ts';

/** Which open alarm a signal joins: the household's need, one per device, trigger and kind, or one per device for what is unreadable. */
export type Lane = 'need' | 'technical' | 'unreadable';

export const STATES = ['waiting', 'claimed', 'dispatched', 'responding', 'on-site', 'closed'] as const;
/** Derived from claim and response (design § 2, Two fields); stored only to be searched. */
export type State = (typeof STATES)[number];

/** Every wait that an alarm can have a deadline for. */
export const WAITS = [
  'unclaimed',
  'claim-idle',
  'claim-warned',
  'repeat-unseen',
  'not-accepted',
  'not-arrived',
  'long-on-site',
  'not-closed',
  'ladder-restart',
  'snoozed',
  'day-queue',
] as const;
export type Wait = (typeof WAITS)[number];

/** The armed deadline: the earliest of the alarm's waits. */
export interface Deadline {
  readonly at: Instant;
  readonly what: Wait;
}

/** How long each wait lasts; copied from the ladder into `opened`, so that a timeline explains itself for ever. */
export interface WaitSpans {
  readonly unclaimed: Milliseconds;
  readonly claimIdle: Milliseconds;
  readonly claimWarned: Milliseconds;
  readonly repeatUnseen: Milliseconds;
  readonly longOnSite: Milliseconds;
  readonly notClosed: Milliseconds;
  readonly ladderRestart: Milliseconds;
  readonly dayQueue: Milliseconds;
  /** Used for `not-arrived` when a responder gave no ETA. */
  readonly defaultEta: Milliseconds;
}

export interface Claim {
  /** Account name of the operator. */
  readonly by: string;
  readonly at: Instant;
}

export interface Contact {
  readonly by: string;
  readonly at: Instant;
  /** `override`: a supervisor took responsibility with a written reason. */
  readonly how: 'voice' | 'phone' | 'visit' | 'override';
}

/** Who was sent and how far they are. */
export interface Response {
  readonly stage: 'none' | 'dispatched' | 'responding' | 'on-site';
  /** Team or account that was asked; null before a dispatch. */
  readonly to: string | null;
  /** Account of the responder who accepted. */
  readonly by: string | null;
  readonly at: Instant | null;
  readonly etaAt: Instant | null;
}

/** Where on its ladder the alarm is. */
export interface LadderPosition {
  readonly id: string;
  /** How many rungs have been climbed in this round; 0 before the first. */
  readonly climbed: number;
  readonly round: number;
  /** Shown in red: every rung was tried. */
  readonly exhausted: boolean;
  /** Shown in red: the last rung found nobody on duty. */
  readonly nobodyOnDuty: boolean;
}

/** What an operator must see on the row. */
export interface Attention {
  /** Whose console sounds: `everyone` until claimed, `owner` on a repeat, `nobody` otherwise. */
  readonly sounds: 'everyone' | 'owner' | 'nobody';
  /** The claim idled too long; the owner was warned. */
  readonly warned: boolean;
  /** The operator's browser went away, or the claim idled out. */
  readonly interrupted: boolean;
}

/** The fold of a timeline. */
export interface Alarm {
  readonly number: string;
  /** The number of the last timeline entry. */
  readonly version: number;
  readonly municipality: string;
  readonly household: { readonly id: string; readonly name: string; readonly zone: string } | null;
  readonly source: string;
  readonly device: string;
  readonly trigger: string;
  readonly lane: Lane;
  readonly kind: Kind;
  readonly priority: AlarmPriority;
  /** Signals of the need itself; duplicates, restores and cancels are not counted. */
  readonly signalCount: number;
  readonly duplicateCount: number;
  readonly openedAt: Instant;
  readonly lastSignalAt: Instant;
  /** The version that the last signal made: `close` is refused when the caller had not seen it. */
  readonly lastSignalVersion: number;
  readonly claim: Claim | null;
  readonly contact: Contact | null;
  readonly response: Response;
  readonly ladder: LadderPosition;
  readonly attention: Attention;
  readonly spans: WaitSpans;
  readonly waits: Readonly<Partial<Record<Wait, Instant>>>;
  /** Accounts that were asked to go and have not declined, in the order they were asked. */
  readonly asked: readonly string[];
  /** Those among `asked` who were only told, so that they look: nobody waits for them to go. */
  readonly told: readonly string[];
  readonly declined: readonly string[];
  readonly position: Position | null;
  readonly voice: string | null;
  readonly text: string | null;
  readonly restoredAt: Instant | null;
  readonly cancelledAt: Instant | null;
  /** What the responder who was there reported; the case still has to be closed by an operator. */
  readonly report: { readonly by: string; readonly at: Instant; readonly outcome: string } | null;
  /** The alarm of this household that was closed less than an hour before this one was opened. */
  readonly follows: string | null;
  readonly closed: { readonly at: Instant; readonly by: string; readonly outcome: string } | null;
}

/** The state as people speak of it: the response outranks the claim, since somebody is on the way. */
export function stateOf(alarm: Pick<Alarm, 'closed' | 'response' | 'claim'>): State {
  if (alarm.closed !== null) return 'closed';
  if (alarm.response.stage !== 'none') return alarm.response.stage;
  return alarm.claim === null ? 'waiting' : 'claimed';
}

/** The earliest wait, or null when nothing is awaited (only a closed alarm). */
export function deadlineOf(alarm: Pick<Alarm, 'waits'>): Deadline | null {
  let armed: Deadline | null = null;
  for (const what of WAITS) {
    const at = alarm.waits[what];
    if (at !== undefined && (armed === null || at < armed.at)) armed = { at, what };
  }
  return armed;
}

/** A `life`, `urgent` or `care` alarm needs confirmed contact before it can be closed (design § 1.5). */
export const needsContact = (alarm: Pick<Alarm, 'priority'>): boolean => alarm.priority !== 'technical';
