/** What happens when a deadline passes: the clock's and the ladder's rulings. Pure. */
import type { Instant } from '../base/clock.ts';
import { type Alarm, type Deadline, type Wait, deadlineOf } from './alarm.ts';
import type { Recipient, RungPlan } from './command.ts';
import type { AlarmEvent, AskedRecipient } from './event.ts';
import { spanOf } from './waits.ts';

/** Events to append and the waits that they decide; the phase decides the rest. */
export interface Ruling {
  readonly events: readonly AlarmEvent[];
  readonly arms: Readonly<Partial<Record<Wait, Instant | null>>>;
}

/** A rung that found nobody is left almost at once: waiting there would help no one. */
const NOBODY_WAIT_MS = 1000;

/**
 * @param armed the deadline that the sweep saw
 * @param ask gives each recipient the ids of their asks
 * @returns null when that deadline is not the armed one any more, or not due
 */
export function ruleOfTheClock(
  alarm: Alarm,
  armed: Deadline,
  rung: RungPlan,
  now: Instant,
  ask: (recipients: readonly Recipient[]) => AskedRecipient[],
): Ruling | null {
  const current = deadlineOf(alarm);
  if (current === null || Math.trunc(current.at) !== Math.trunc(armed.at) || current.what !== armed.what || current.at > now) return null;
  const { what } = armed;
  const passed: AlarmEvent = { event: 'deadline-passed', what };
  switch (what) {
    case 'unclaimed':
    case 'not-accepted':
      return climb(alarm, what, rung, now, ask);
    case 'ladder-restart': {
      const next: Wait = alarm.response.stage === 'dispatched' ? 'not-accepted' : 'unclaimed';
      const restarted: AlarmEvent = { event: 'ladder-restarted', round: alarm.ladder.round + 1 };
      return { events: [passed, restarted], arms: { 'ladder-restart': null, [next]: now } };
    }
    case 'claim-idle':
      return { events: [passed], arms: { 'claim-idle': null, 'claim-warned': now + spanOf(alarm, 'claim-warned') } };
    case 'claim-warned': {
      const by = alarm.claim?.by ?? '';
      return { events: [passed, { event: 'claim-interrupted', by, why: 'idle' }], arms: {} };
    }
    case 'repeat-unseen':
      return { events: [passed], arms: { 'repeat-unseen': null } };
    case 'snoozed':
      return { events: [passed], arms: { snoozed: null } };
    case 'not-arrived':
    case 'long-on-site':
    case 'not-closed':
    case 'day-queue':
      // Reminded again and again until somebody acts: a wait without a next deadline would be forgotten.
      return { events: [passed], arms: { [what]: now + spanOf(alarm, what) } };
  }
}

function climb(
  alarm: Alarm,
  what: 'unclaimed' | 'not-accepted',
  plan: RungPlan,
  now: Instant,
  ask: (recipients: readonly Recipient[]) => AskedRecipient[],
): Ruling {
  const passed: AlarmEvent = { event: 'deadline-passed', what };
  if (plan.step === 'exhausted') {
    const exhausted: AlarmEvent = { event: 'ladder-exhausted', round: alarm.ladder.round };
    return { events: [passed, exhausted], arms: { [what]: null, 'ladder-restart': now + spanOf(alarm, 'ladder-restart') } };
  }
  const { rung, to } = plan;
  if (plan.recipients.length === 0) {
    const nobody: AlarmEvent = { event: plan.allDeclined === true ? 'all-declined' : 'nobody-on-duty', to, rung };
    return { events: [passed, nobody], arms: { [what]: now + NOBODY_WAIT_MS } };
  }
  const recipients = ask(plan.recipients);
  if (plan.mode === 'tell') {
    return { events: [passed, { event: 'told', to, rung, recipients }], arms: { [what]: now + plan.waitMs } };
  }
  return {
    events: [passed, { event: 'dispatched', to, rung, recipients }],
    arms: { unclaimed: null, 'not-accepted': now + plan.waitMs },
  };
}
