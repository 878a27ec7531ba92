/** The messages of the WebSocket `/ws`, as they stand on the wire (docs/console-feed.md). */
import type { AlarmView } from '../alarms/view.ts';
import type { BoardCounts } from './board.ts';
import type { Checksum } from './feed-checksum.ts';

/** Everything that the account sees, in place of whatever the console held. First message, and again whenever needed. */
export interface SnapshotMessage {
  readonly type: 'snapshot';
  readonly feed: string;
  readonly alarms: readonly AlarmView[];
  readonly counts: BoardCounts;
  /** False: technical alarms beyond the first 200 were left out. */
  readonly complete: boolean;
  readonly now: string;
}

/** First message instead of a snapshot: what the console holds stays, the changes since `resume` follow. */
export interface ResumedMessage {
  readonly type: 'resumed';
  readonly feed: string;
  readonly counts: BoardCounts;
  readonly now: string;
}

/** An alarm as it is now, open or closed; to be ignored when that version or a later one is held. */
export interface AlarmMessage {
  readonly type: 'alarm';
  readonly feed: string;
  readonly alarm: AlarmView;
}

/** An alarm that the account no longer sees (a responder declined it). */
export interface GoneMessage {
  readonly type: 'gone';
  readonly feed: string;
  readonly number: string;
  readonly version: number;
}

/** Every 2 s while the centre really reads its feed, or PostgreSQL in its place. */
export interface PulseMessage extends Checksum {
  readonly type: 'pulse';
  readonly feed: string;
  readonly counts: BoardCounts;
  readonly now: string;
}

/** Answers `ping`. */
export interface PongMessage {
  readonly type: 'pong';
  readonly now: string;
}

export type ServerMessage = SnapshotMessage | ResumedMessage | AlarmMessage | GoneMessage | PulseMessage | PongMessage;

/** What a console may send. */
export const CLIENT_MESSAGES = ['snapshot-please', 'ping'] as const;
export interface ClientMessage {
  readonly type: (typeof CLIENT_MESSAGES)[number];
}

/** Close codes of this centre, beside those of RFC 6455. */
export const CLOSE_SIGNED_OUT = 4401;
export const CLOSE_CENTRE_STOPS = 1001;
