/** The feed as a console keeps it: snapshot, changes and pulses folded into one picture, without duplicates or silent gaps. */
import type { AlarmPriority } from '../../../alarms/signal.ts';
import type { AlarmView } from '../../../alarms/view.ts';
import type { BoardCounts } from '../../board.ts';
import { agrees } from '../../feed-checksum.ts';
import { NO_PROVISIONAL, type ProvisionalState, withProvisionalMessage } from './provisional.ts';
import type { PulseMessage, ServerMessage, SnapshotMessage } from '../../feed-messages.ts';

/** A console says "stale" this long after the last pulse (interfaces.md, HTTP). */
export const STALE_AFTER_MS = 6000;
/** How often a console may ask for a snapshot. */
const ASK_AGAIN_MS = 5000;
/** A difference must be seen in this many pulses: one may have overtaken the change that it counts. */
const MISMATCHES_BEFORE_ASKING = 2;
/** Closed alarms remembered so that a late, older change does not bring one back. */
const CLOSED_KEPT = 2000;

/** An alarm that is no longer on the board: closed (as it was then), or out of this account's sight. */
export interface Gone {
  readonly version: number;
  readonly alarm: AlarmView | null;
}

export interface FeedState {
  /** Where to resume; null before the first snapshot. */
  readonly feed: string | null;
  readonly open: ReadonlyMap<string, AlarmView>;
  readonly gone: ReadonlyMap<string, Gone>;
  /** False: technical alarms were left out of the snapshot. */
  readonly complete: boolean;
  readonly counts: BoardCounts;
  /** Local monotonic time of the last pulse, at first of the snapshot: only a pulse says that the centre really reads its feed. */
  readonly heardAt: number | null;
  readonly mismatches: number;
  readonly askedAt: number | null;
  /** The socket is there and has spoken. */
  readonly connected: boolean;
  /** The centre itself reads nothing, and said so: the board is as of then (RFC 3339). */
  readonly blindSince: string | null;
  readonly provisional: ProvisionalState;
}

const NO_COUNTS: BoardCounts = { life: 0, urgent: 0, care: 0, technical: 0 };

export const NO_FEED: FeedState = {
  feed: null,
  open: new Map(),
  gone: new Map(),
  complete: true,
  counts: NO_COUNTS,
  heardAt: null,
  mismatches: 0,
  askedAt: null,
  connected: false,
  blindSince: null,
  provisional: NO_PROVISIONAL,
};

const isClosed = (alarm: AlarmView): boolean => alarm.closedAt !== null || alarm.state === 'closed';

function remember(before: ReadonlyMap<string, Gone>, number: string, gone: Gone): Map<string, Gone> {
  const next = new Map(before);
  // Taken out first, so that the map stays in the order of leaving.
  next.delete(number);
  next.set(number, gone);
  for (const oldest of next.keys()) {
    if (next.size <= CLOSED_KEPT) break;
    next.delete(oldest);
  }
  return next;
}

/** Takes one changed alarm, from the feed or from the answer to a command; a version that is held already changes nothing. */
export function withAlarm(state: FeedState, alarm: AlarmView): FeedState {
  const known = Math.max(state.open.get(alarm.number)?.version ?? 0, state.gone.get(alarm.number)?.version ?? 0);
  if (alarm.version <= known) return state;
  const open = new Map(state.open);
  if (isClosed(alarm)) {
    open.delete(alarm.number);
    return { ...state, open, gone: remember(state.gone, alarm.number, { version: alarm.version, alarm }) };
  }
  open.set(alarm.number, alarm);
  return { ...state, open };
}

function withGone(state: FeedState, number: string, version: number): FeedState {
  const held = state.open.get(number);
  if (held !== undefined && held.version > version) return state;
  const open = new Map(state.open);
  open.delete(number);
  return { ...state, open, gone: remember(state.gone, number, { version, alarm: null }) };
}

function withSnapshot(state: FeedState, message: SnapshotMessage, heardAt: number): FeedState {
  const open = new Map<string, AlarmView>();
  for (const alarm of message.alarms) {
    const gone = state.gone.get(alarm.number);
    if (isClosed(alarm) || (gone !== undefined && gone.version >= alarm.version)) continue;
    const held = state.open.get(alarm.number);
    open.set(alarm.number, held !== undefined && held.version > alarm.version ? held : alarm);
  }
  const { feed, complete, counts } = message;
  return { ...state, feed, open, complete, counts, heardAt: state.heardAt ?? heardAt, mismatches: 0, connected: true, blindSince: null };
}

const inStep = (state: FeedState, pulse: PulseMessage): boolean => agrees(pulse, state.open.values(), state.complete);

/** Folds one message in; `heardAt` is local monotonic time. */
export function withMessage(state: FeedState, message: ServerMessage, heardAt: number): FeedState {
  switch (message.type) {
    case 'snapshot':
      return withSnapshot(state, message, heardAt);
    case 'resumed':
      return { ...state, counts: message.counts, heardAt: state.heardAt ?? heardAt, mismatches: 0, connected: true, blindSince: null };
    case 'alarm':
      return { ...withAlarm(state, message.alarm), feed: message.feed };
    case 'gone':
      return { ...withGone(state, message.number, message.version), feed: message.feed };
    case 'pulse':
      return { ...state, counts: message.counts, heardAt, blindSince: null, mismatches: inStep(state, message) ? 0 : state.mismatches + 1 };
    case 'blind':
      return { ...state, blindSince: message.boardAt };
    case 'provisional':
    case 'provisional-alarm':
    case 'provisional-replayed':
      return { ...state, provisional: withProvisionalMessage(state.provisional, message) };
    case 'pong':
      return state;
  }
}

/** Whether to send `snapshot-please` now: the centre counts other alarms than are held here, and said so more than once. */
export function wantsSnapshot(state: FeedState, now: number): boolean {
  if (state.mismatches < MISMATCHES_BEFORE_ASKING) return false;
  return state.askedAt === null || now - state.askedAt >= ASK_AGAIN_MS;
}

export const withAsked = (state: FeedState, now: number): FeedState => ({ ...state, askedAt: now, mismatches: 0 });
export const withDisconnected = (state: FeedState): FeedState => (state.connected ? { ...state, connected: false } : state);

/** `first`: nothing shown yet; `live`; `stale`: what is shown may be old, and the operator must know. */
export type Freshness = 'first' | 'live' | 'stale';
export function freshness(state: FeedState, now: number): Freshness {
  if (state.feed === null || state.heardAt === null) return 'first';
  if (state.blindSince !== null) return 'stale';
  return now - state.heardAt > STALE_AFTER_MS ? 'stale' : 'live';
}

/** Open alarms per lane: counted here, and with an incomplete snapshot the technical ones as the centre counts them. */
export function countsOf(state: FeedState): BoardCounts {
  const counts: Record<AlarmPriority, number> = { ...NO_COUNTS };
  for (const alarm of state.open.values()) counts[alarm.priority] += 1;
  return state.complete ? counts : { ...counts, technical: Math.max(counts.technical, state.counts.technical) };
}

/** Milliseconds before the next try to connect: doubling to 5 s, with up to a third taken off at random so that a crowd does not return at once. */
export function retryDelay(tries: number, random: number): number {
  return Math.round(Math.min(5000, 300 * 2 ** Math.min(tries, 5)) * (1 - random / 3));
}
