/** What the auditor holds against what it reads: who waits for nothing, and what is overdue. Pure. */
import type { Alarm, Deadline } from '../alarms/alarm.ts';
import type { Instant, Milliseconds } from '../base/clock.ts';

/** Everything that the auditor can find; the words of its log lines, of its report and of the metric. */
export const FINDINGS = [
  'no-deadline',
  'deadline-overdue',
  'claim-abandoned',
  'outbox-old',
  'ask-overdue',
  'held-overdue',
  'row-differs',
  'timeline-broken',
] as const;
export type FindingCode = (typeof FINDINGS)[number];

export interface OverdueDeadline {
  readonly alarm: Alarm;
  readonly deadline: Deadline;
}

/** What one look at the tables shows, all of one snapshot. Lists are bounded; counts are of all, up to a bound of their own. */
export interface AuditLook {
  /** Open alarms whose row has no deadline; the most urgent first. */
  readonly withoutDeadline: readonly string[];
  /** The most urgent first. */
  readonly overdue: readonly OverdueDeadline[];
  /** Claims whose lease is over; `until` null: there is none. */
  readonly abandoned: readonly { readonly number: string; readonly account: string; readonly until: Instant | null }[];
  readonly outbox: Waiting;
  readonly asks: Waiting;
  readonly held: Waiting;
}
interface Waiting {
  /** Since when the one that has waited longest should be gone; null: there is none. */
  readonly oldestAt: Instant | null;
}

/** What is later than this is found; how many looks in a row must show it keeps what is just being done from being taken for a fault. */
const TOLERANCE: Readonly<Record<Exclude<FindingCode, 'no-deadline' | 'row-differs' | 'timeline-broken'>, Milliseconds>> = {
  'deadline-overdue': 2000,
  'outbox-old': 5000,
  'ask-overdue': 5000,
  'claim-abandoned': 10_000,
  'held-overdue': 5000,
};
/** A signal that was spilled is replayed with its old instants: what it arms is long overdue in the moment that it is written. */
export const LOOKS: Readonly<Record<FindingCode, number>> = {
  'no-deadline': 1,
  'deadline-overdue': 2,
  'claim-abandoned': 2,
  'outbox-old': 3,
  'ask-overdue': 2,
  'held-overdue': 2,
  'row-differs': 1,
  'timeline-broken': 1,
};

export interface Suspicion {
  readonly code: FindingCode;
  /** Null: of the centre as a whole. */
  readonly alarm: string | null;
  /** Tells one thing from the next of the same alarm: another deadline, another claim. */
  readonly about: string;
}

/**
 * @param seeingSince when the auditor began to look, or could again: before that nobody may have been able to act
 * @returns who waits for nothing, and what is later than it may be, the most urgent alarms first; each becomes a finding when
 * enough looks in a row show it
 */
export function overdueIn(look: AuditLook, now: Instant, seeingSince: Instant): Suspicion[] {
  const late = (code: keyof typeof TOLERANCE, at: Instant): boolean => now - Math.max(at, seeingSince) > TOLERANCE[code];
  const whole = (code: keyof typeof TOLERANCE, { oldestAt }: Waiting): Suspicion[] =>
    oldestAt !== null && late(code, oldestAt) ? [{ code, alarm: null, about: '' }] : [];
  return [
    ...look.withoutDeadline.map((alarm) => ({ code: 'no-deadline' as const, alarm, about: '' })),
    ...look.overdue.flatMap(({ alarm, deadline }) =>
      late('deadline-overdue', deadline.at)
        ? [{ code: 'deadline-overdue' as const, alarm: alarm.number, about: `${deadline.what} ${deadline.at}` }]
        : [],
    ),
    ...look.abandoned.flatMap(({ number, account, until }) =>
      late('claim-abandoned', until ?? seeingSince) ? [{ code: 'claim-abandoned' as const, alarm: number, about: account }] : [],
    ),
    ...whole('outbox-old', look.outbox),
    ...whole('ask-overdue', look.asks),
    ...whole('held-overdue', look.held),
  ];
}
