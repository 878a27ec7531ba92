/** One round of the canary over one protocol: a press, and the alarm handled to its end as an operator and a responder would. */
import { type CanaryProtocol, CANARY_RESPONDER, CANARY_OPERATOR, canaryDevice } from '../alarms/canary.ts';
import type { AlarmView } from '../alarms/view.ts';
import { type Clock, type Milliseconds, seconds } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import { CanaryFault, type CanaryStep, type Course } from './canary-course.ts';
import { pressOverMqtt } from './canary-mqtt.ts';
import { SyntheticPerson } from './canary-person.ts';
import { pressOverScaip } from './canary-scaip.ts';

/** Where a round presses and who handles it; each round in its turn goes to the next nodes. */
export interface RoundPlan {
  readonly protocol: CanaryProtocol;
  /** `host:port` of an intake. */
  readonly intake: string;
  /** `http://…` of the consoles of operator and responder. */
  readonly operatorAt: string;
  readonly responderAt: string;
  readonly secret: string;
  readonly tokens: { readonly operator: string; readonly responder: string };
}

/** How a round went. */
export interface RoundResult {
  readonly protocol: CanaryProtocol;
  readonly fine: boolean;
  /** Where it ended, and why; null when all went well. */
  readonly step: CanaryStep | null;
  readonly why: string | null;
  readonly tookMs: number;
  readonly steps: Readonly<Partial<Record<CanaryStep, number>>>;
  readonly intake: string | null;
  readonly operatorAt: string | null;
  readonly responderAt: string | null;
}

/** How often the timeline is looked at for what is on no screen. */
const LOOK_EVERY: Milliseconds = seconds(0.1);

/** Plays a round to its end. @throws CanaryFault and whatever a step met; `course` tells which */
export async function playRound(plan: RoundPlan, course: Course, parts: { readonly clock: Clock; readonly random: Random }): Promise<void> {
  const { clock, random } = parts;
  const device = canaryDevice(plan.protocol);
  const people: SyntheticPerson[] = [];
  const enter = (base: string, token: string): Promise<SyntheticPerson> =>
    SyntheticPerson.enter(base, token, clock, (person) => people.push(person));
  try {
    const [operator, responder] = await course.take('console', () =>
      Promise.all([enter(plan.operatorAt, plan.tokens.operator), enter(plan.responderAt, plan.tokens.responder)]),
    );
    await course.take('tidy', async () => {
      for (const alarm of await operator.board()) if (alarm.device === device) await finish(operator, alarm);
    });
    const before = new Map(operator.of(device).map(({ number, signalCount }) => [number, signalCount]));
    const id = Buffer.from(random(8)).toString('hex');
    const press = { address: plan.intake, secret: plan.secret, id, course, clock };
    await (plan.protocol === 'mqtt' ? pressOverMqtt(press) : pressOverScaip({ ...press, random }));
    const isOurs = (alarm: AlarmView): boolean =>
      alarm.device === device && alarm.closedAt === null && alarm.signalCount > (before.get(alarm.number) ?? 0);
    const { number } = await course.take('board', () => operator.sees(isOurs));
    await handle(number, { operator, responder, course });
  } finally {
    for (const person of people) person.leave();
  }
}

interface Handling {
  readonly operator: SyntheticPerson;
  readonly responder: SyntheticPerson;
  readonly course: Course;
}

/**
 * The operator waits for the ladder before claiming: a claim would hold it back, and that it climbs by itself is what saves
 * people when nobody is at a desk.
 */
async function handle(number: string, { operator, responder, course }: Handling): Promise<void> {
  const asked = (alarm: AlarmView): boolean => alarm.number === number && alarm.asked.includes(CANARY_RESPONDER);
  await course.take('ladder', async () => {
    await operator.sees(asked);
    await responder.sees(asked);
  });
  await course.take('page', () => paged(responder, number, course));
  await course.take('claim', () => operator.orders(number, 'claim'));
  await course.take('accept', () => responder.orders(number, 'accept', { etaMinutes: 1 }));
  await course.take('arrive', () => responder.orders(number, 'arrive'));
  await course.take('report', () => responder.orders(number, 'report', { outcome: 'test' }));
  await course.take('contact', () => operator.orders(number, 'confirm-contact', { how: 'voice' }));
  await course.take('close', async () => {
    await operator.orders(number, 'close', { outcome: 'test' });
    await operator.sees((alarm) => alarm.number === number && alarm.closedAt !== null);
  });
}

/** The ask has gone through the queue to the page that the responder has open. @throws CanaryFault */
async function paged(responder: SyntheticPerson, number: string, course: Course): Promise<void> {
  for (;;) {
    for (const { event } of await responder.timeline(number)) {
      if (!('account' in event) || event.account !== CANARY_RESPONDER) continue;
      if (event.event === 'ask-delivered') return;
      if (event.event === 'ask-failed') throw new CanaryFault(event.why);
    }
    await course.pause(LOOK_EVERY);
  }
}

/** What an earlier round left open, on its way to the archive. */
async function finish(operator: SyntheticPerson, alarm: AlarmView): Promise<void> {
  const { number } = alarm;
  if (alarm.claimedBy !== CANARY_OPERATOR) await operator.orders(number, 'claim');
  if (alarm.contact === null) await operator.orders(number, 'confirm-contact', { how: 'voice' });
  await operator.orders(number, 'close', { outcome: 'test', text: 'left over' });
}
