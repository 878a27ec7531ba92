/** Triage: which priority an alarm gets and keeps. Priority is raised by repeats and kinds, never lowered. */
import { type AlarmPriority, type Meaning, PRIORITIES } from './signal.ts';
import type { Lane } from './alarm.ts';
import type { PriorityRule } from './event.ts';

export interface Triaged {
  readonly priority: AlarmPriority;
  readonly rule: PriorityRule;
}

/** 0 is the most urgent. */
export const rank = (priority: AlarmPriority): number => PRIORITIES.indexOf(priority);

/** One step more urgent; `life` stays, and a technical alarm is never made a need by counting. */
export function raised(priority: AlarmPriority): AlarmPriority {
  if (priority === 'care') return 'urgent';
  return priority === 'urgent' ? 'life' : priority;
}

/**
 * The priority of a new alarm.
 * @param known false: nobody knows who it is, so it is raised
 * @param soonAfterClosed the household's last alarm was closed less than an hour ago
 */
export function triage(meaning: Pick<Meaning, 'role' | 'priority'>, known: boolean, soonAfterClosed: boolean): Triaged {
  // A message that is kept only because its sender is unknown is looked at by technicians.
  const given: AlarmPriority = meaning.priority === 'information' ? 'technical' : meaning.priority;
  if (given === 'technical') return { priority: given, rule: 'by-kind' };
  if (soonAfterClosed) return { priority: raised(given), rule: 'soon-after-closed' };
  if (!known) return { priority: raised(given), rule: 'unknown-device-raised' };
  return { priority: given, rule: 'by-kind' };
}

/**
 * The priority of an alarm that one more signal has joined: raised to that of a more serious signal, or by a step because
 * the need was repeated. What is unreadable is no repeat of anything known, so its number alone raises nothing.
 */
export function retriage(current: AlarmPriority, lane: Lane, meaning: Pick<Meaning, 'priority'>): Triaged {
  const given: AlarmPriority = meaning.priority === 'information' ? current : meaning.priority;
  if (lane === 'technical') return { priority: current, rule: 'unchanged' };
  if (rank(given) < rank(current)) return { priority: given, rule: 'more-serious-kind' };
  const up = lane === 'need' ? raised(current) : current;
  return up === current ? { priority: current, rule: 'unchanged' } : { priority: up, rule: 'raised-by-repeat' };
}
