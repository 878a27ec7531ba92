/** How the auditor mends: by commands through the desk like everybody, and by a turn of the work that nobody else does. */
import type { Alarm } from '../alarms/alarm.ts';
import type { AlarmCommand, RungPlan } from '../alarms/command.ts';
import type { Desk } from '../alarms/desk.ts';
import type { Mender } from './auditor-store.ts';

export interface MenderParts {
  readonly desk: Desk;
  /** A desk whose store gives each alarm as its timeline tells it, and only those whose row differs from that. */
  readonly repairs: Desk;
  /** The rung that the alarm climbs next, by those who are on duty now. */
  readonly plan: (alarm: Alarm) => Promise<RungPlan>;
  readonly relay: Mender['relay'];
  readonly showHeld: Mender['showHeld'];
}

export function createMender({ desk, repairs, plan, relay, showHeld }: MenderParts): Mender {
  return {
    passDeadline: async (alarm, armed) => ordered(desk, alarm.number, { command: 'pass-deadline', armed, rung: await plan(alarm) }),
    returnClaim: (number, by) => ordered(desk, number, { command: 'lapse-claim', by }),
    refold: (number, what) => ordered(repairs, number, { command: 'repair', what }),
    relay,
    showHeld,
  };
}

async function ordered(to: Desk, number: string, command: AlarmCommand): Promise<boolean> {
  const answer = await to.order({ number, command, actor: { type: 'centre', part: 'auditor' }, version: null, doneAt: null, key: null });
  return 'alarm' in answer;
}
