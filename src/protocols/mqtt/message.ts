/** The words of the platform's MQTT contract, version 1: what a message holds once decoded, and what a receipt says. */
import type { Instant } from '../../base/clock.ts';

/** What a device may publish, the last level of its topics. */
export const UP_KINDS = ['alarm', 'restore', 'heartbeat', 'status', 'position', 'presence', 'test'] as const;
export type UpKind = (typeof UP_KINDS)[number];

/** What the centre publishes to a device; all that the device may subscribe to. */
export const DOWN_KINDS = ['receipt', 'command'] as const;
export type DownKind = (typeof DOWN_KINDS)[number];

/** A larger payload is kept as its first 8 KiB and shown unread. */
export const PAYLOAD_LIMIT = 8 * 1024;
/** A larger packet closes the connection. */
export const PACKET_LIMIT = 64 * 1024;

/** Degrees WGS 84, metres; `at` is the device's own time. */
export interface MqttPosition {
  readonly lat: number;
  readonly lon: number;
  readonly accuracy: number | null;
  readonly at: Instant | null;
}

/** A pendant or sensor in the unit's list. */
export interface MqttTrigger {
  readonly id: string;
  readonly battery: number | null;
  readonly seenAt: Instant | null;
}

export type Unreadable = 'too-large' | 'not-utf8' | 'not-json' | 'not-an-object';

/** The fields of one payload. A field that is absent, or of no use (wrong type, out of range), is null. */
export interface MqttFields {
  readonly id: string | null;
  readonly at: Instant | null;
  /** As sent, trimmed: which words there are is the device model's matter. */
  readonly type: string | null;
  readonly trigger: string | null;
  readonly position: MqttPosition | null;
  readonly battery: number | null;
  readonly triggers: readonly MqttTrigger[];
  readonly mains: boolean | null;
  readonly signal: number | null;
  readonly charging: boolean | null;
  readonly online: boolean | null;
  /** A `sip:`, `sips:` or `tel:` URI. */
  readonly voice: string | null;
  readonly text: string | null;
  /** Fields that the contract does not name, as they came. */
  readonly unknown: Readonly<Record<string, unknown>>;
}

export type MqttPayload = ({ readonly read: true } & MqttFields) | { readonly read: false; readonly why: Unreadable };

/** One PUBLISH, or a last will, of an authenticated device. */
export interface MqttMessage {
  /** Serial and municipality of the authenticated device, whatever the topic says. */
  readonly device: string;
  readonly municipality: string;
  readonly topic: string;
  /** Null when the topic is not one of the device's own, or its last level is none of `UP_KINDS`. */
  readonly kind: UpKind | null;
  /** The topic is not under the device's own municipality and serial. */
  readonly foreign: boolean;
  /** The broker sends it on behalf of a device whose connection was lost. */
  readonly will: boolean;
  readonly qos: 0 | 1 | 2;
  /** The bytes as they came, up to the packet limit; of those above `PAYLOAD_LIMIT` the first 8 KiB are to be kept. */
  readonly payload: Uint8Array;
  readonly tooLarge: boolean;
  /** The device says that it may have sent it before. */
  readonly duplicateFlag: boolean;
  readonly receivedAt: Instant;
  readonly body: MqttPayload;
}

/** What the centre answers when a message is durable. */
export interface MqttReceipt {
  readonly id: string;
  readonly result: 'received' | 'duplicate';
  /** Number of the alarm; null when the message belongs to none. */
  readonly alarm: string | null;
  readonly at: Instant;
}
