/** What the centre says about a silent device: a signal like any other, with an id that follows from what it is about. Pure. */
import { createHash } from 'node:crypto';
import type { Kind, Signal, SignalRole } from '../alarms/signal.ts';
import { type Instant, type Milliseconds, toIso } from '../base/clock.ts';
import type { BatteryStep, Silence, SilenceStep } from './silence.ts';
import type { Supervision } from './model.ts';

export type Step = SilenceStep | BatteryStep;

/** A unit or trigger that something is to be told of. */
export interface Noticed {
  readonly serial: string;
  /** Empty: the unit itself. */
  readonly trigger: string;
  readonly municipality: string;
  readonly household: Signal['household'];
  readonly silence: Silence;
  readonly seenAt: Instant;
  readonly battery: number | null;
}

/** A restore ends what is open; where nothing is, the same is only information. */
const ROLES: Readonly<Record<Step, SignalRole>> = {
  late: 'information',
  lost: 'technical',
  back: 'restore',
  'battery-low': 'technical',
  'battery-charged': 'restore',
};

/**
 * The signal of one step. Two processes that see the same, or one that sees it again after a crash, make the same message:
 * what comes second is a duplicate (design § 1.3). The limits belong to it, so that other limits make another message.
 */
export function silenceSignal(
  id: string,
  noticed: Noticed,
  step: Step,
  supervision: Supervision,
  now: Instant,
): Signal & { readonly protocol: 'centre' } {
  const { serial, trigger, municipality, household, seenAt, battery } = noticed;
  const isBattery = step === 'battery-low' || step === 'battery-charged';
  const { lateAfter, lostAfter, triggerLateAfter, triggerLostAfter } = supervision;
  const limits = trigger === '' ? [lateAfter, lostAfter] : [triggerLateAfter, triggerLostAfter];
  const raw = Buffer.from(JSON.stringify({ step, serial, trigger, seenAt: toIso(seenAt), ...(isBattery ? {} : { limits }) }));
  const digest = createHash('sha256').update(raw).digest();
  const role = ROLES[step];
  const kind: Kind = isBattery ? 'battery-low' : trigger === '' ? 'device-lost' : 'trigger-lost';
  return {
    id,
    receivedAt: now,
    protocol: 'centre',
    source: `supervision:${serial}`,
    device: serial,
    municipality,
    household,
    messageId: `${step}-${digest.toString('hex').slice(0, 32)}`,
    raw,
    digest,
    meaning: {
      role,
      kind,
      priority: role === 'technical' ? 'technical' : 'information',
      trigger,
      text: textOf(noticed, step, supervision, now),
      ...(isBattery && battery !== null ? { battery } : {}),
    },
    marks: ['supervision'],
  };
}

/** Where nothing is open that it could end. */
export const asInformation = (signal: Signal): Signal => ({ ...signal, meaning: { ...signal.meaning, role: 'information' } });

function textOf({ trigger, seenAt, silence, battery }: Noticed, step: Step, supervision: Supervision, now: Instant): string {
  const seen = whenText(seenAt, now);
  switch (step) {
    case 'late':
    case 'lost':
      return trigger === ''
        ? `Ingen livstegn siden ${seen}, ventet ${everyText(supervision.signEvery)}`
        : `Ingen livstegn fra utløseren siden ${seen}, grensen er ${spanText(step === 'late' ? supervision.triggerLateAfter : supervision.triggerLostAfter)}`;
    case 'back':
      return `Livstegn igjen ${seen}, ${silence === 'lost' ? 'var borte' : 'var forsinket'}`;
    case 'battery-low':
      return `Batteriet er på ${battery ?? 0} %`;
    case 'battery-charged':
      return `Batteriet er på ${battery ?? 0} % igjen`;
  }
}

const ZONE = 'Europe/Oslo';
const TIME = new Intl.DateTimeFormat('nb-NO', { timeZone: ZONE, hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat('nb-NO', { timeZone: ZONE, day: '2-digit', month: '2-digit' });

/** `14.03` today, `21.11. 14.03` on another day. */
function whenText(at: Instant, now: Instant): string {
  const time = TIME.format(at).replace(':', '.');
  const day = DAY.format(at);
  return day === DAY.format(now) ? time : `${day} ${time}`;
}

const UNITS = [
  { ms: 86_400_000, one: 'døgn', many: 'døgn', every: 'hvert' },
  { ms: 3_600_000, one: 'time', many: 'timer', every: 'hver' },
  { ms: 60_000, one: 'minutt', many: 'minutter', every: 'hvert' },
  { ms: 1000, one: 'sekund', many: 'sekunder', every: 'hvert' },
] as const;

/** `hvert minutt`, `hvert 5. minutt`, `hver 2. time`: in the largest unit that counts it in whole numbers. */
function everyText(span: Milliseconds): string {
  const { ms, one, every } = UNITS.find((unit) => span >= unit.ms && span % unit.ms === 0) ?? UNITS[3];
  const count = Math.round(span / ms);
  return count === 1 ? `${every} ${one}` : `${every} ${count}. ${one}`;
}

/** `36 timer`, rounded. */
function spanText(span: Milliseconds): string {
  const { ms, many } = UNITS.find((unit) => span >= 3 * unit.ms) ?? UNITS[3];
  return `${Math.round(span / ms)} ${many}`;
}
