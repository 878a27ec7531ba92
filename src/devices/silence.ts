/** Silence: when a device or trigger is late, lost, or back, counted in the time in which the centre was listening. Pure. */
import type { Instant, Milliseconds } from '../base/clock.ts';
import { seconds } from '../base/clock.ts';
import type { Supervision } from './model.ts';

export const SILENCES = ['none', 'late', 'lost'] as const;
/** What was told of a unit or trigger last. */
export type Silence = (typeof SILENCES)[number];

/** A time in which whatever was sent to the centre was heard and stored. */
export interface ListeningSpan {
  readonly from: Instant;
  readonly until: Instant;
}

/** A listening span is carried on so often. */
export const BEAT_EVERY_MS: Milliseconds = seconds(5);
/** A longer time without a beat is a pause: the centre was down, stopped, or without its store. */
export const PAUSE_MS: Milliseconds = seconds(15);
/**
 * Added to every limit: what is under way through a queue, or held back by a gap that is too short to count as a pause, is no
 * silence.
 */
export const SLACK_MS: Milliseconds = PAUSE_MS + BEAT_EVERY_MS;
/** The longest limit that a model can have, and a day more: spans before are of no use. */
export const LOOK_BACK_MS: Milliseconds = 41 * 86_400_000;

/** States in which nobody expects a device to speak. */
export const UNSUPERVISED_STATES: readonly string[] = ['in-stock', 'reserved', 'suspended', 'swapped', 'returned', 'retired', 'lost'];

/** Percent under which a battery is a task for the technicians, and from which it is not any more. */
export const BATTERY_LOW = 15;
export const BATTERY_CHARGED = 25;

/**
 * The instant since which the centre has listened for `listened`: who was heard last before it has been silent for longer.
 * Pauses are walked over. Null: the centre has not listened that long, so nobody has been silent that long.
 * @param spans in any order; they may overlap (several processes)
 */
export function cutOff(spans: readonly ListeningSpan[], asOf: Instant, listened: Milliseconds): Instant | null {
  let left: Milliseconds = listened;
  /** What lies behind it is counted. */
  let at = asOf;
  for (const { from, until } of spans.toSorted((a, b) => b.until - a.until)) {
    const end = Math.min(until, at);
    if (end <= from) continue;
    if (end - from >= left) return end - left;
    left -= end - from;
    at = from;
  }
  return null;
}

/** Of one model: who was heard last before these instants is late, or lost. */
export interface CutOffs {
  readonly model: string;
  readonly late: Instant | null;
  readonly lost: Instant | null;
  readonly triggerLate: Instant | null;
  readonly triggerLost: Instant | null;
}

/** The cut-offs of all models at one instant; each different limit is walked back for once. */
export function cutOffsOf(
  models: readonly { readonly id: string; readonly supervision: Supervision }[],
  spans: readonly ListeningSpan[],
  asOf: Instant,
): CutOffs[] {
  const found = new Map<Milliseconds, Instant | null>();
  const of = (limit: Milliseconds): Instant | null => {
    const known = found.get(limit);
    if (known !== undefined) return known;
    const made = cutOff(spans, asOf, limit + SLACK_MS);
    found.set(limit, made);
    return made;
  };
  return models.map(({ id, supervision: { lateAfter, lostAfter, triggerLateAfter, triggerLostAfter } }) => ({
    model: id,
    late: of(lateAfter),
    lost: of(lostAfter),
    triggerLate: of(triggerLateAfter),
    triggerLost: of(triggerLostAfter),
  }));
}

/** A unit, or a trigger behind one, as the store has it. */
export interface Watched {
  readonly silence: Silence;
  readonly seenAt: Instant;
  /** From when its silence counts, where that is later than `seenAt`: a test window ended, or its lost unit came back. */
  readonly countsFrom: Instant;
  /** In a test window, or behind a unit that is silent itself: nobody expects to hear it. */
  readonly excused: boolean;
}

export type SilenceStep = 'late' | 'lost' | 'back';

/** What is to be told now; null: nothing new. A unit that is long lost when it is first looked at is lost without having been late. */
export function silenceStep(
  { silence, seenAt, countsFrom, excused }: Watched,
  { late, lost }: { readonly late: Instant | null; readonly lost: Instant | null },
): SilenceStep | null {
  const before = (cut: Instant | null, at: Instant): boolean => cut !== null && at < cut;
  // Where nobody can say since when it would be late, nobody can say that it is back.
  if (silence !== 'none' && late !== null && seenAt >= late) return 'back';
  if (excused) return null;
  if (silence !== 'lost' && before(lost, countsFrom)) return 'lost';
  if (silence === 'none' && before(late, countsFrom)) return 'late';
  return null;
}

export type BatteryStep = 'battery-low' | 'battery-charged';

/** Told once when it falls below the limit, and once when it is well above it again. */
export function batteryStep(percent: number | null, low: boolean, excused: boolean): BatteryStep | null {
  if (percent === null) return null;
  if (low) return percent >= BATTERY_CHARGED ? 'battery-charged' : null;
  return percent < BATTERY_LOW && !excused ? 'battery-low' : null;
}
