/** What a message comes to mean once its device's model was asked: a signal to keep, or a sign of life to note. */
import type { Meaning, Position, SignalMark } from '../alarms/signal.ts';
import type { Instant } from '../base/clock.ts';

/** A pendant or sensor, as far as one message told of it. */
export interface SeenTrigger {
  readonly id: string;
  readonly battery: number | null;
  /** `now`: it caused this message. Null: the unit only listed it. */
  readonly seenAt: Instant | 'now' | null;
  readonly test: boolean;
}

/** What a message tells of the device's state; null: nothing. */
export interface SeenFacts {
  readonly via: 'mqtt' | 'bridge' | 'scaip';
  /** False for a last will: the broker sent it, the device may be dead. */
  readonly alive: boolean;
  readonly battery: number | null;
  readonly mains: boolean | null;
  readonly signal: number | null;
  readonly charging: boolean | null;
  readonly online: boolean | null;
  readonly position: Position | null;
  /** Evidence that a test message came through. */
  readonly test: boolean;
  readonly triggers: readonly SeenTrigger[];
}

export type LifeSignSort = 'heartbeat' | 'status' | 'position' | 'test';

/** Every message counts as seen, whatever else it is. */
export type Interpretation =
  | {
      readonly what: 'signal';
      /** The sender's own id; null when it gave none, or it cannot be trusted. */
      readonly messageId: string | null;
      readonly meaning: Meaning;
      readonly marks: readonly SignalMark[];
      readonly seen: SeenFacts;
    }
  | {
      readonly what: 'life-sign';
      /** What a test's receipt names. */
      readonly messageId: string | null;
      readonly sort: LifeSignSort;
      readonly seen: SeenFacts;
    };

/** The same, heard over the bridge: whether its silence counts depends on the bridge. */
export const overBridge = (interpretation: Interpretation): Interpretation => ({
  ...interpretation,
  seen: { ...interpretation.seen, via: 'bridge' },
});

export type InterpretedSignal = Extract<Interpretation, { what: 'signal' }>;

/** Nothing told but that it is there. */
export const SEEN: Omit<SeenFacts, 'via'> = {
  alive: true,
  battery: null,
  mains: null,
  signal: null,
  charging: null,
  online: null,
  position: null,
  test: false,
  triggers: [],
};

/** A code that no model gives a meaning: shown as a need, never hidden (design § 1.2). */
export const UNKNOWN = { role: 'need', kind: 'unknown', priority: 'urgent' } as const;

/** What could not be read may be a call for help. */
export const UNREADABLE = { role: 'unreadable', kind: 'unreadable', priority: 'urgent' } as const;

/**
 * What a message of a device in its test window comes to mean: kept as evidence that it came through, no alarm. What
 * could not be read stays visible: nobody tests that.
 */
export function duringTest(interpretation: Interpretation): Interpretation {
  const { seen } = interpretation;
  const evidence: SeenFacts = { ...seen, test: seen.alive, triggers: seen.triggers.map((one) => ({ ...one, test: one.seenAt === 'now' })) };
  if (interpretation.what === 'life-sign') return interpretation.sort === 'test' ? { ...interpretation, seen: evidence } : interpretation;
  const { meaning, marks } = interpretation;
  if (meaning.role === 'unreadable') return interpretation;
  return {
    ...interpretation,
    meaning: { ...meaning, role: 'information', priority: 'information' },
    marks: [...marks, 'test-window'],
    seen: evidence,
  };
}
