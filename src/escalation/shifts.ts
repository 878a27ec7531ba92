/** The plan of duty as intervals of time: who is planned when, in wall time, over midnight and when the clocks change. */
import { DateTime } from 'luxon';
import type { Instant } from '../base/clock.ts';
import { type DutyPlan, type LocalTime, type Shift, WEEKDAYS } from './ladder.ts';

/** From `since` up to, not including, `until`; null: without an end as far as the plan is looked at. */
export interface Interval {
  readonly since: Instant | null;
  readonly until: Instant | null;
}

/** How far the plan is read around an instant, in days: enough to join a shift with those that follow it without a gap. */
const DAYS_AROUND = 2;

/**
 * The uninterrupted stretch of planned duty that contains `at`; null when the person is not planned for that team then.
 * Shifts that meet or overlap are one stretch. A wall time that the change to summer time skips is the moment of the
 * change, one that comes twice is its first coming: as every shift's end is read like another's beginning, shifts
 * that meet on paper meet in fact.
 */
export function plannedAt(plan: DutyPlan, account: string, team: string, at: Instant): Interval | null {
  const shifts = plan.shifts.filter((shift) => shift.team === team && shift.people.includes(account));
  if (shifts.some(({ hours }) => hours === null)) return { since: null, until: null };
  const stretches = shifts.flatMap((shift) => occurrences(shift, plan.timeZone, at)).sort((a, b) => a.since - b.since);
  let current: { since: Instant; until: Instant } | null = null;
  for (const { since, until } of stretches) {
    if (current !== null && since <= current.until) current = { since: current.since, until: Math.max(current.until, until) };
    else if (current !== null && at < current.until) break;
    else current = { since, until };
  }
  return current !== null && current.since <= at && at < current.until ? current : null;
}

function occurrences(shift: Shift, timeZone: string, around: Instant): { since: Instant; until: Instant }[] {
  const { hours } = shift;
  if (hours === null) return [];
  const today = DateTime.fromMillis(around, { zone: timeZone }).startOf('day');
  const found: { since: Instant; until: Instant }[] = [];
  for (let offset = -DAYS_AROUND; offset <= DAYS_AROUND; offset++) {
    const day = today.plus({ days: offset });
    const weekday = WEEKDAYS[day.weekday - 1];
    if (weekday === undefined || !hours.days.includes(weekday)) continue;
    const overMidnight = minuteOf(hours.to) <= minuteOf(hours.from);
    const since = onWall(day, hours.from);
    const until = onWall(overMidnight ? day.plus({ days: 1 }) : day, hours.to);
    if (since < until) found.push({ since, until });
  }
  return found;
}

const minuteOf = ({ hour, minute }: LocalTime): number => hour * 60 + minute;

function onWall(day: DateTime, { hour, minute }: LocalTime): Instant {
  const { year, month, day: date } = hour === 24 ? day.plus({ days: 1 }) : day;
  const read = DateTime.fromObject({ year, month, day: date, hour: hour % 24, minute }, { zone: day.zone });
  // A skipped wall time is read as one as far behind the change: 02:30 becomes 03:30, whose hour began with the change.
  if (read.hour !== hour % 24 || read.minute !== minute) return read.startOf('hour').toMillis();
  return Math.min(...read.getPossibleOffsets().map((possible) => possible.toMillis()));
}
