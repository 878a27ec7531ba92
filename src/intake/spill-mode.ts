/** When signals go into the spill and when they come out of it again: the modes, and what leads from one to another. Pure. */
import type { Signal } from '../alarms/signal.ts';
import type { Instant, Milliseconds } from '../base/clock.ts';
import type { SpillFault } from './spill-log.ts';

/**
 * | mode | what a new signal does | what else happens |
 * |---|---|---|
 * | `live` | goes to PostgreSQL | |
 * | `spilling` | goes into the spill and is acknowledged | PostgreSQL is tried again and again |
 * | `replaying` | goes behind what is in the spill | PostgreSQL takes over what is in the spill |
 * | `handing-over` | waits in memory, unacknowledged, for the last of the spill: milliseconds | the last batch is taken over |
 */
export type SpillMode = 'live' | 'spilling' | 'replaying' | 'handing-over';

/**
 * - `no-commit`: somebody waits, and nothing was committed for a second
 * - `committed`: PostgreSQL took over a part of the spill, or answers and there is nothing to take over
 * - `failed`: it did not
 * - `nearly-empty`: what is left goes into one transaction
 * - `empty`: nothing is left
 */
export type SpillEvent = 'no-commit' | 'committed' | 'failed' | 'nearly-empty' | 'empty';

const NEXT: Readonly<Record<SpillMode, Partial<Record<SpillEvent, SpillMode>>>> = {
  live: { 'no-commit': 'spilling' },
  spilling: { committed: 'replaying' },
  replaying: { 'no-commit': 'spilling', failed: 'spilling', 'nearly-empty': 'handing-over', empty: 'handing-over' },
  'handing-over': { 'no-commit': 'spilling', failed: 'spilling', empty: 'live' },
};

/** An event that a mode does not know leaves it as it is. */
export const modeAfter = (mode: SpillMode, event: SpillEvent): SpillMode => NEXT[mode][event] ?? mode;

/** PostgreSQL is away when somebody has waited for so long and nobody's signal was committed meanwhile. */
export const AWAY_AFTER_MS: Milliseconds = 1000;
export const LOOK_EVERY_MS: Milliseconds = 100;
/** Of the time between two looks at most this much counts: a process that stood still itself must not blame PostgreSQL. */
const LOOK_AT_MOST_MS: Milliseconds = 150;

/**
 * How long it has been quiet by now. What is slow and commits is not away, however long each waits.
 * @param elapsed since the last look
 */
export function quietAfter(
  quiet: Milliseconds,
  { waiting, committed, elapsed }: { readonly waiting: boolean; readonly committed: boolean; readonly elapsed: Milliseconds },
): Milliseconds {
  return !waiting || committed ? 0 : quiet + Math.min(elapsed, LOOK_AT_MOST_MS);
}

/** What technical signals leave of the bound of the file. */
const SPARE = 0.25;

/** Which part of the file a signal must leave to calls for help. */
export const spareOf = ({ meaning: { role } }: Signal): number => (role === 'need' || role === 'unreadable' || role === 'call' ? 0 : SPARE);

export interface SpillCounts {
  readonly mode: SpillMode;
  readonly fault: SpillFault | null;
  /** Signals that PostgreSQL has not taken over yet. */
  readonly signals: number;
  readonly bytes: number;
  /** When the oldest of them was received. */
  readonly oldestAt: Instant | null;
  /** Files for a technician. */
  readonly aside: number;
  /** Since the start: kept in the spill, taken over from it, and not acknowledged. */
  readonly spilled: number;
  readonly replayed: number;
  readonly refused: number;
}
