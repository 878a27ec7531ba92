/** Which sound a console makes now: the most urgent alarm that asks for this person, until it is claimed or seen. */
import type { AlarmPriority } from '../../../alarms/signal.ts';
import type { AlarmView } from '../../../alarms/view.ts';
import type { ShownProvisional } from '../../direct.ts';
import { LANES } from './board.ts';

export interface Tone {
  /** Hz */
  readonly pitch: number;
  /** Seconds from the start of the pattern, and how long. */
  readonly at: number;
  readonly lasts: number;
}

export interface SoundPattern {
  readonly tones: readonly Tone[];
  /** Milliseconds from one start to the next. */
  readonly every: number;
}

/** Told apart by rhythm as well as pitch: three rising pairs for life, a slow single note for what can wait. */
export const PATTERNS: Readonly<Record<AlarmPriority, SoundPattern>> = {
  life: {
    every: 1600,
    tones: [0, 0.3, 0.6].flatMap((at) => [
      { pitch: 880, at, lasts: 0.12 },
      { pitch: 1175, at: at + 0.13, lasts: 0.12 },
    ]),
  },
  urgent: {
    every: 3000,
    tones: [
      { pitch: 784, at: 0, lasts: 0.18 },
      { pitch: 988, at: 0.22, lasts: 0.18 },
      { pitch: 784, at: 0.44, lasts: 0.18 },
    ],
  },
  care: {
    every: 5000,
    tones: [
      { pitch: 659, at: 0, lasts: 0.22 },
      { pitch: 523, at: 0.26, lasts: 0.3 },
    ],
  },
  technical: { every: 30_000, tones: [{ pitch: 440, at: 0, lasts: 0.35 }] },
};

/** Whether this alarm asks for this person by sound. */
export function soundsFor(alarm: Pick<AlarmView, 'attention' | 'claimedBy'>, me: string): boolean {
  if (alarm.attention.sounds === 'everyone') return true;
  return alarm.attention.sounds === 'owner' && alarm.claimedBy === me;
}

/** The priority that must sound now, null for silence. Provisional alarms sound until somebody takes them: no ladder runs for them. */
export function soundNow(open: Iterable<AlarmView>, me: string, provisional: Iterable<ShownProvisional> = []): AlarmPriority | null {
  const asking: AlarmPriority[] = [];
  for (const alarm of provisional) if (alarm.claimedBy === null) asking.push(alarm.priority);
  for (const alarm of open) if (soundsFor(alarm, me)) asking.push(alarm.priority);
  return soundFor(asking);
}

/** The most urgent of these, null for none. */
export const soundFor = (asking: readonly AlarmPriority[]): AlarmPriority | null =>
  LANES.find((priority) => asking.includes(priority)) ?? null;
