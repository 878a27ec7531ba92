/** Builds signals, alarms and actors for tests, with every instant and id given. */
import { createHash } from 'node:crypto';
import { type Admission, type Situation, admit } from '../../src/alarms/correlate.ts';
import type { Alarm, WaitSpans } from '../../src/alarms/alarm.ts';
import type { Actor, AlarmCommand, Recipient, Role, RungPlan } from '../../src/alarms/command.ts';
import { decide } from '../../src/alarms/lifecycle.ts';
import type { Meaning, Signal } from '../../src/alarms/signal.ts';
import { type Instant, minutes } from '../../src/base/clock.ts';

export const START: Instant = Date.UTC(2026, 10, 22, 20, 0, 0);

export const SPANS: WaitSpans = {
  unclaimed: 60_000,
  claimIdle: 180_000,
  claimWarned: 60_000,
  repeatUnseen: 60_000,
  longOnSite: minutes(60),
  notClosed: minutes(15),
  ladderRestart: minutes(5),
  dayQueue: minutes(24 * 60),
  defaultEta: minutes(20),
};

export const ladderFor = () => ({ id: 'default', spans: SPANS });

export const NEED: Meaning = { role: 'need', kind: 'call-button', priority: 'life', trigger: '' };

let serial = 0;
export const uuid = (): string => `00000000-0000-7000-8000-${(++serial).toString(16).padStart(12, '0')}`;

export function signal(meaning: Partial<Meaning> = {}, more: Partial<Signal> = {}): Signal {
  const id = uuid();
  const raw = more.raw ?? Buffer.from(id);
  return {
    id,
    receivedAt: START,
    protocol: 'mqtt',
    messageId: id,
    raw,
    digest: createHash('sha256').update(raw).digest(),
    source: 'mqtt:NJ-1103-0001',
    device: 'NJ-1103-0001',
    municipality: '1103',
    household: { id: 'h1', name: 'Åse Ødegård', zone: 'sentrum' },
    marks: [],
    ...more,
    meaning: { ...NEED, ...meaning },
  };
}

export const ALONE: Situation = {
  open: null,
  openNeed: null,
  restorable: null,
  lastClosed: null,
  duplicateOf: null,
  idSeenBefore: false,
};

export function take(one: Signal, situation: Partial<Situation> = {}, number = '1001'): Admission {
  return admit(one, { ...ALONE, ...situation }, ladderFor, () => number);
}

/** The alarm that a signal opens. */
export function openedBy(one: Signal = signal(), situation: Partial<Situation> = {}): Alarm {
  const { decided } = take(one, situation);
  if (decided === null) throw new Error('the signal opened nothing');
  return decided.alarm;
}

export const person = (account: string, ...roles: Role[]): Actor => ({ type: 'person', account, roles });
export const KARI = person('operator', 'operator');
export const OLA = person('operator2', 'operator');
export const LEDER = person('leder', 'supervisor');
export const NATT = person('natt', 'responder');
export const NATT2 = person('natt2', 'responder');
export const SWEEP: Actor = { type: 'centre', part: 'sweep' };

export const recipient = (account: string): Recipient => ({ account, team: 'night-patrol', channels: [{ via: 'page', afterMs: 0 }] });
export const RUNG: RungPlan = {
  step: 'rung',
  rung: 'night patrol',
  mode: 'dispatch',
  to: 'night-patrol',
  recipients: [recipient('natt'), recipient('natt2')],
  waitMs: 60_000,
};

/** Decides, and returns the alarm after it. @throws when the command was refused */
export function after(alarm: Alarm, command: AlarmCommand, actor: Actor = KARI, at: Instant = START): Alarm {
  const decision = decide(alarm, command, { actor, version: null, doneAt: null }, at, uuid);
  if ('refused' in decision) throw new Error(`${command.command} was refused: ${decision.refused}`);
  return decision.alarm;
}

export const DISPATCH: AlarmCommand = {
  command: 'dispatch',
  to: 'night-patrol',
  recipients: [recipient('natt'), recipient('natt2')],
  waitMs: 60_000,
};
