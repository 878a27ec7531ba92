/** The board: which lane an alarm is in, in which order, and which remarks a row carries. */
import type { AlarmPriority } from '../../../alarms/signal.ts';
import type { AlarmView } from '../../../alarms/view.ts';
import type { ShownProvisional } from '../../direct.ts';
import { provisionalRows } from './provisional.ts';

/** Most urgent first. */
export const LANES = ['life', 'urgent', 'care', 'technical'] as const satisfies readonly AlarmPriority[];

/** Remarks on a row; the red ones are never left out. */
export const FLAGS = [
  'nobody-on-duty',
  'ladder-exhausted',
  'interrupted',
  'warned',
  'repeat',
  'unreadable',
  'unknown-device',
  'follows',
  'cancelled',
  'restored',
  'position',
] as const;
export type Flag = (typeof FLAGS)[number];
export type Tone = 'danger' | 'warning' | 'info' | 'neutral';

const TONES: Readonly<Record<Flag, Tone>> = {
  'nobody-on-duty': 'danger',
  'ladder-exhausted': 'danger',
  interrupted: 'danger',
  warned: 'warning',
  repeat: 'danger',
  unreadable: 'warning',
  'unknown-device': 'warning',
  follows: 'warning',
  cancelled: 'neutral',
  restored: 'neutral',
  position: 'info',
};
export const toneOf = (flag: Flag): Tone => TONES[flag];

/** What must be said about an alarm beside its state, most pressing first. */
export function flagsOf(alarm: AlarmView): Flag[] {
  const has: Record<Flag, boolean> = {
    'nobody-on-duty': alarm.ladder.nobodyOnDuty,
    'ladder-exhausted': alarm.ladder.exhausted,
    interrupted: alarm.attention.interrupted,
    warned: alarm.attention.warned,
    repeat: alarm.signalCount > 1,
    unreadable: alarm.unreadable,
    'unknown-device': alarm.unknownDevice && !alarm.unreadable,
    follows: alarm.follows !== null,
    cancelled: alarm.cancelledAt !== null,
    restored: alarm.restoredAt !== null,
    position: alarm.position !== null,
  };
  return FLAGS.filter((flag) => has[flag]);
}

/**
 * 0 asks for somebody now, 1 waits, 2 is mine, 3 is in other hands. Within a lane the one that has waited longest is
 * first, as in the alarm list of the API.
 */
function pressing(alarm: AlarmView, me: string): number {
  const { sounds } = alarm.attention;
  if (alarm.ladder.exhausted || alarm.ladder.nobodyOnDuty || sounds === 'everyone') return 0;
  if (sounds === 'owner' && alarm.claimedBy === me) return 0;
  if (alarm.state === 'waiting') return 1;
  return alarm.claimedBy === me ? 2 : 3;
}

export interface BoardLane {
  readonly priority: AlarmPriority;
  /** Above the others: nothing but a person looks after these. */
  readonly provisional: readonly ShownProvisional[];
  /** Provisional ones that are there but not drawn, or were left out. */
  readonly provisionalMore: number;
  readonly rows: readonly AlarmView[];
  /** Rows that are there but not drawn, and open alarms that were counted but not sent. */
  readonly more: number;
  readonly total: number;
}

export interface BoardWish {
  readonly me: string;
  /** At most so many rows are drawn of a lane; the pressing ones come first in any case. */
  readonly cap: Readonly<Record<AlarmPriority, number>>;
  readonly counts: Readonly<Record<AlarmPriority, number>>;
  readonly provisional?: Iterable<ShownProvisional>;
  /** Technical ones that the centre left out. */
  readonly provisionalLeft?: number;
}

/** Compares for a lane: pressing first, then the oldest, then by number, so that rows never jump without cause. */
export function byUrgency(me: string): (a: AlarmView, b: AlarmView) => number {
  return (a, b) => pressing(a, me) - pressing(b, me) || compare(a.openedAt, b.openedAt) || Number(a.number) - Number(b.number);
}
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The four lanes of the board, in order. */
export function boardOf(open: Iterable<AlarmView>, wish: BoardWish): BoardLane[] {
  const { me, cap, counts, provisional = [], provisionalLeft = 0 } = wish;
  const all = [...open];
  const early = [...provisional];
  return LANES.map((priority) => {
    const lane = all.filter((alarm) => alarm.priority === priority).sort(byUrgency(me));
    const rows = lane.slice(0, cap[priority]);
    const total = Math.max(counts[priority], lane.length);
    const before = provisionalRows(early, priority, me);
    const drawn = before.slice(0, cap[priority]);
    const provisionalMore = before.length - drawn.length + (priority === 'technical' ? provisionalLeft : 0);
    return { priority, provisional: drawn, provisionalMore, rows, total, more: total - rows.length };
  });
}

/** The alarm that came last of those that nobody has taken, technical ones apart: it is named above the lanes. */
export function newestWaiting(open: Iterable<AlarmView>): AlarmView | null {
  let newest: AlarmView | null = null;
  for (const alarm of open) {
    if (alarm.priority === 'technical' || alarm.state !== 'waiting') continue;
    if (newest === null || alarm.lastSignalAt > newest.lastSignalAt) newest = alarm;
  }
  return newest;
}

/** Rows that fit on a screen beside a card: further down, a new alarm would come unseen. */
const SEEN_AT_ONCE = 7;

/** Whether this alarm stands so far down that it must be named above the lanes. */
export function outOfSight(lanes: readonly BoardLane[], number: string): boolean {
  const at = numbersOf(lanes).indexOf(number);
  return at === -1 || at >= SEEN_AT_ONCE;
}

/** Every row that is drawn, from the top. */
const numbersOf = (lanes: readonly BoardLane[]): string[] =>
  lanes.flatMap((lane) => [...lane.provisional, ...lane.rows].map((alarm) => alarm.number));

/** The row above or below, through all lanes; the first when nothing is chosen. */
export function neighbour(lanes: readonly BoardLane[], chosen: string | null, step: 1 | -1): string | null {
  const numbers = numbersOf(lanes);
  const at = chosen === null ? -1 : numbers.indexOf(chosen);
  if (at === -1) return numbers[step === 1 ? 0 : numbers.length - 1] ?? null;
  return numbers[Math.min(numbers.length - 1, Math.max(0, at + step))] ?? null;
}
