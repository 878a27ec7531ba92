/** The signal: one message of a device, as the rest of the centre sees it, whatever protocol brought it. */
import type { Instant } from '../base/clock.ts';

/**
 * What an alarm is about: the platform contract's `type` words, `device-lost` for a unit that the centre itself misses, and
 * two for what could not be understood.
 */
export const KINDS = [
  'call-button',
  'fall',
  'smoke',
  'co',
  'water',
  'bed-exit',
  'door',
  'inactivity',
  'geofence-exit',
  'geofence-enter',
  'medicine-not-taken',
  'nurse-call',
  'assault',
  'battery-low',
  'mains-lost',
  'trigger-lost',
  'tamper',
  'fault',
  'device-lost',
  'unknown',
  'unreadable',
] as const;
export type Kind = (typeof KINDS)[number];

/** How urgent; the lanes of the board, most urgent first. `information` is kept and never an alarm. */
export const PRIORITIES = ['life', 'urgent', 'care', 'technical', 'information'] as const;
export type Priority = (typeof PRIORITIES)[number];
/** The priorities that a person must answer (design § 1.5). */
export type NeedPriority = 'life' | 'urgent' | 'care';
/** What an alarm can have; `information` never becomes one. */
export type AlarmPriority = Exclude<Priority, 'information'>;

/**
 * What a signal does: `need` and `technical` open or join an alarm; `restore` ends a technical one that nobody has
 * claimed; `cancel` and `presence` join what is open and close nothing; `call` (the device called, and there is no voice path)
 * joins an open need without a sound and opens one where there is none; `information` is only kept.
 */
export type SignalRole = 'need' | 'technical' | 'restore' | 'cancel' | 'presence' | 'call' | 'information' | 'unreadable';

/** Remarks that travel with a signal into the timeline. */
export type SignalMark =
  | 'id-re-used'
  | 'no-id'
  | 'sent-without-guarantee'
  | 'identity-mismatch'
  | 'unknown-device'
  | 'unknown-code'
  | 'foreign-topic'
  | 'too-large'
  | 'clock-off'
  | 'processing-failed'
  | 'test-window'
  /** The unit must prove who it is, and did not within 10 s. */
  | 'unauthenticated'
  /** Sent by the centre itself about a device that it misses or hears again. */
  | 'supervision'
  /** The connection to an external broker lost its session: messages may be missing between two instants. */
  | 'gap'
  /** It was kept by the intake process itself while PostgreSQL was away, and taken over afterwards. */
  | 'spilled';

/** Degrees WGS 84, metres. */
export interface Position {
  readonly lat: number;
  readonly lon: number;
  readonly accuracy?: number;
  readonly at?: Instant;
}

/** What a device's model makes of a message: the part of a signal that can be wrong or missing. */
export interface Meaning {
  readonly role: SignalRole;
  readonly kind: Kind;
  readonly priority: Priority;
  /** Id of the pendant or sensor; empty when it was the unit itself. */
  readonly trigger: string;
  /** Which of several faults of one kind (`ip-link`, `mobile-link`): the end of one says nothing about the others. */
  readonly about?: string;
  /** The device's own clock. */
  readonly deviceAt?: Instant;
  readonly position?: Position;
  /** URI to call for voice. */
  readonly voice?: string;
  /** Text of the device, shown as written. */
  readonly text?: string;
  /** Battery in percent, where the message told it. */
  readonly battery?: number;
  /** The code as the device sent it (`stc 0010`), for the timeline. */
  readonly code?: string;
}

export const SIGNAL_PROTOCOLS = ['mqtt', 'scaip', 'centre'] as const;
/** What brought it; `centre`: nobody sent it, the centre itself noticed something (silence, a gap). */
export type SignalProtocol = (typeof SIGNAL_PROTOCOLS)[number];

/** Who sent it, as far as the register knows. */
export interface Sender {
  /** `mqtt:NJ-1103-0001`, `scaip:26317`, `sip:192.0.2.7`: what duplicates and unknown devices are keyed by. */
  readonly source: string;
  /** The serial in the register; the id that the message gave when the register has none. */
  readonly device: string;
  /** Municipality number; of the register, else of the topic, else the centre's own. */
  readonly municipality: string;
  readonly household: { readonly id: string; readonly name: string; readonly zone: string } | null;
}

export interface Signal extends Sender {
  /** Receipt id, given before the first try to store: primary key wherever the signal is kept. */
  readonly id: string;
  readonly receivedAt: Instant;
  readonly protocol: SignalProtocol;
  /** The sender's own id of the message (`id`, `ref`), null when it gave none. */
  readonly messageId: string | null;
  /** The bytes as they came, at most 8 KiB. */
  readonly raw: Uint8Array;
  /** SHA-256 of all the bytes, also of those above 8 KiB: what tells a duplicate from another message. */
  readonly digest: Uint8Array;
  readonly meaning: Meaning;
  readonly marks: readonly SignalMark[];
}
