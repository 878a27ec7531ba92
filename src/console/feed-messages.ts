/** The messages of the WebSocket `/ws`, as they stand on the wire (docs/console-feed.md). */
import type { ReplayedClaim } from '../alarms/provisional.ts';
import type { AlarmView } from '../alarms/view.ts';
import type { BoardCounts } from './board.ts';
import type { ShownProvisional } from './direct.ts';
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

/** Every 2 s in place of the pulse while neither the feed nor PostgreSQL is read: what is shown is from then. */
export interface BlindMessage {
  readonly type: 'blind';
  /** When either was read last. */
  readonly boardAt: string;
  readonly now: string;
}

/** All provisional alarms that the account sees (docs/console-feed.md); replaces what was held of them. */
export interface ProvisionalMessage {
  readonly type: 'provisional';
  /** PostgreSQL does not answer the intake processes: new alarms are only here. */
  readonly storeAway: boolean;
  /** Since when it is away; null while it is not. */
  readonly since: string | null;
  /** Intake processes that were there and are not heard: what they keep is not here. */
  readonly unheard: number;
  readonly alarms: readonly ShownProvisional[];
  /** Technical ones beyond the first 200 that were left out. */
  readonly more: number;
  /** Account → name of operators, as far as this console process knows them. */
  readonly names: Readonly<Record<string, string>>;
}

/** A new one, or one that was claimed. */
export interface ProvisionalAlarmMessage {
  readonly type: 'provisional-alarm';
  readonly alarm: ShownProvisional;
  /** Of who claimed it. */
  readonly names: Readonly<Record<string, string>>;
}

/** It is in PostgreSQL, and its alarm (null: it became none) is on the board. */
export interface ProvisionalReplayedMessage {
  readonly type: 'provisional-replayed';
  readonly number: string;
  readonly alarm: string | null;
  /** To its owner only. */
  readonly claim: ReplayedClaim | null;
}

/** Answers `ping`. */
export interface PongMessage {
  readonly type: 'pong';
  readonly now: string;
}

export type ServerMessage =
  | SnapshotMessage
  | ResumedMessage
  | AlarmMessage
  | GoneMessage
  | PulseMessage
  | BlindMessage
  | ProvisionalMessage
  | ProvisionalAlarmMessage
  | ProvisionalReplayedMessage
  | PongMessage;

/** What a console may send. */
export const CLIENT_MESSAGES = ['snapshot-please', 'ping'] as const;
export interface ClientMessage {
  readonly type: (typeof CLIENT_MESSAGES)[number];
}

/** Close codes of this centre, beside those of RFC 6455. */
export const CLOSE_SIGNED_OUT = 4401;
export const CLOSE_CENTRE_STOPS = 1001;
