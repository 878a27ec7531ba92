/** What the auditor holds against what it reads: which things are overdue, and whether a row follows from its timeline. Pure. */
import { type Alarm, type Deadline, deadlineOf, stateOf } from '../alarms/alarm.ts';
import type { Repaired } from '../alarms/command.ts';
import { joiningKey } from '../alarms/correlate.ts';
import type { TimelineEntry } from '../alarms/event.ts';
import { fold } from '../alarms/fold.ts';
import { rank } from '../alarms/triage.ts';
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
  /** Open alarms whose row has no deadline: to be examined at once. */
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
 * @returns what is later than it may be; each becomes a finding when enough looks in a row show it
 */
export function overdueIn(look: AuditLook, now: Instant, seeingSince: Instant): Suspicion[] {
  const late = (code: keyof typeof TOLERANCE, at: Instant): boolean => now - Math.max(at, seeingSince) > TOLERANCE[code];
  const whole = (code: keyof typeof TOLERANCE, { oldestAt }: Waiting): Suspicion[] =>
    oldestAt !== null && late(code, oldestAt) ? [{ code, alarm: null, about: '' }] : [];
  return [
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

/** An alarm's row and its timeline as they stood in one snapshot. */
export interface Examined {
  readonly number: string;
  readonly columns: AlarmColumns;
  /** As it was stored. */
  readonly fold: unknown;
  readonly entries: readonly TimelineEntry[];
}

/** The columns that are searched by; each says again what the fold says. Instants in milliseconds. */
export interface AlarmColumns {
  readonly version: number;
  readonly municipality: string;
  readonly lane: string;
  readonly joiningKey: string;
  readonly household: string | null;
  readonly device: string;
  readonly kind: string;
  readonly priority: string;
  readonly rank: number;
  readonly state: string;
  readonly openedAt: Instant;
  readonly changedAt: Instant;
  readonly closedAt: Instant | null;
  readonly deadlineAt: Instant | null;
  readonly deadlineWhat: string | null;
  readonly claimedBy: string | null;
  readonly asked: readonly string[];
}

/** The columns that follow from a fold; `changedAt` is at least that of its last entry. */
function columnsOf(alarm: Alarm, changedAt: Instant): AlarmColumns {
  const deadline = deadlineOf(alarm);
  return {
    version: alarm.version,
    municipality: alarm.municipality,
    lane: alarm.lane,
    joiningKey: joiningKey(alarm),
    household: alarm.household?.id ?? null,
    device: alarm.device,
    kind: alarm.kind,
    priority: alarm.priority,
    rank: rank(alarm.priority),
    state: stateOf(alarm),
    openedAt: alarm.openedAt,
    changedAt,
    closedAt: alarm.closed?.at ?? null,
    deadlineAt: deadline?.at ?? null,
    deadlineWhat: deadline?.what ?? null,
    claimedBy: alarm.claim?.by ?? null,
    asked: alarm.asked,
  };
}

/**
 * `broken`: the timeline cannot be folded, or tells less than its row: only a person can say what is true then.
 * `differs`: `alarm` is what the timeline says, and what is to be mended.
 */
export type Verdict =
  | { readonly verdict: 'agrees' }
  | { readonly verdict: 'broken'; readonly why: string }
  | { readonly verdict: 'differs'; readonly what: Repaired; readonly alarm: Alarm; readonly where: readonly string[] };

/** Whether the row, its columns and its fold, is what its timeline says, and an open alarm waits for something. */
export function verdictOn({ number, columns, fold: stored, entries }: Examined): Verdict {
  let alarm: Alarm | null = null;
  try {
    for (const entry of entries) alarm = fold(number, alarm, entry);
  } catch (error) {
    return { verdict: 'broken', why: error instanceof RangeError ? 'it has a hole' : 'an entry cannot be read' };
  }
  if (alarm === null) return { verdict: 'broken', why: 'it is empty' };
  if (columns.version > alarm.version) return { verdict: 'broken', why: 'its end is missing' };
  // What was spilled is written later than it happened: it changes now, and must not be older than what it tells.
  const changedAt = Math.max(columns.changedAt, entries.at(-1)?.at ?? alarm.openedAt);
  const where = [
    ...differing(columns, columnsOf(alarm, changedAt), ''),
    ...differing(stored, JSON.parse(JSON.stringify(alarm)) as unknown, 'fold.'),
  ];
  const forgotten = alarm.closed === null && (columns.deadlineAt === null || deadlineOf(alarm) === null);
  if (where.length === 0 && !forgotten) return { verdict: 'agrees' };
  return { verdict: 'differs', what: forgotten ? 'no-deadline' : 'row-differs', alarm, where };
}

/**
 * Where two pieces of plain JSON differ, as paths. A field that the stored one lacks was written by an earlier version of the
 * program and is none; only of the waits every one counts, since one that is missing is a deadline that is missing.
 */
function differing(stored: unknown, told: unknown, path: string): string[] {
  if (stored === told) return [];
  if (!isObject(stored) || !isObject(told) || Array.isArray(stored) !== Array.isArray(told)) return [path];
  const all = new Set([...Object.keys(stored), ...Object.keys(told)]);
  return [...all].flatMap((key) => {
    if (!(key in stored) && !Array.isArray(told) && !path.startsWith('fold.waits')) return [];
    return differing(stored[key], told[key], path === '' || path === 'fold.' ? `${path}${key}` : `${path}.${key}`);
  });
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null;
