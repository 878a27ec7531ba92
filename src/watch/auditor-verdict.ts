/** What the auditor holds an alarm against: whether its row follows from its timeline. Pure. */
import { type Alarm, deadlineOf, stateOf } from '../alarms/alarm.ts';
import type { Repaired } from '../alarms/command.ts';
import { joiningKey } from '../alarms/correlate.ts';
import type { TimelineEntry } from '../alarms/event.ts';
import { fold } from '../alarms/fold.ts';
import { rank } from '../alarms/triage.ts';
import type { Instant } from '../base/clock.ts';

/**
 * A timeline with more entries is not folded: reading all of it would hold up what every look must find. A device that repeats
 * itself each second makes hundreds of thousands in a few days.
 */
export const LONGEST_EXAMINED = 5000;

/** An alarm's row and its timeline as they stood in one snapshot. */
export interface Examined {
  readonly number: string;
  readonly columns: AlarmColumns;
  /** As it was stored. */
  readonly fold: unknown;
  /** From the first on; one more than LONGEST_EXAMINED at most. */
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
 * `differs`: `alarm` is what the timeline says, and what is to be mended. `unread`: it is too long to be folded.
 */
export type Verdict =
  | { readonly verdict: 'agrees' }
  | { readonly verdict: 'unread' }
  | { readonly verdict: 'broken'; readonly why: string }
  | { readonly verdict: 'differs'; readonly what: Repaired; readonly alarm: Alarm; readonly where: readonly string[] };

/** Whether the row, its columns and its fold, is what its timeline says, and an open alarm waits for something. */
export function verdictOn({ number, columns, fold: stored, entries }: Examined): Verdict {
  if (entries.length > LONGEST_EXAMINED) return verdictOnRow(columns, stored);
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

/** Of an alarm whose timeline is not read only its row can be asked, and only whether it waits for something. */
function verdictOnRow(columns: AlarmColumns, stored: unknown): Verdict {
  if (columns.closedAt !== null || !isObject(stored) || !isObject(stored['waits'])) return { verdict: 'unread' };
  const alarm = stored as unknown as Alarm;
  const waits = columns.deadlineAt !== null && deadlineOf(alarm) !== null;
  if (waits || alarm.closed !== null || alarm.version !== columns.version) return { verdict: 'unread' };
  return { verdict: 'differs', what: 'no-deadline', alarm, where: [] };
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
