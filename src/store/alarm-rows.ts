/** What was decided, as rows: alarms, timeline, outbox and asks, set-based, in one statement of the caller's transaction. */
import { type Alarm, deadlineOf, stateOf } from '../alarms/alarm.ts';
import type { TimelineEntry } from '../alarms/event.ts';
import { rank } from '../alarms/triage.ts';
import { type Instant, toIso } from '../base/clock.ts';

/** An alarm after its new entries, and how it is joined. */
export interface ChangedAlarm {
  readonly alarm: Alarm;
  readonly entries: readonly TimelineEntry[];
  readonly joiningKey: string;
  readonly laneKey: string;
}

/** One request to one person over one channel, from the events `dispatched` and `told`. */
interface AskRow {
  readonly id: string;
  readonly alarm: string;
  readonly account: string;
  readonly channel: string;
  readonly rank: number;
  readonly dueAt: Instant;
}

const isoOrNull = (at: Instant | null | undefined): string | null => (at === null || at === undefined ? null : toIso(at));

/**
 * Everything that a decision changes goes in as one JSON document and one statement: a batch of 64 alarms costs one
 * round trip. JSON text has neither NUL nor lone surrogates here: devices' text passed `storable`, commands' their schema.
 * It is the beginning of a statement, which may go on with more.
 */
export const WRITE_ALARMS = `
with input as (select $1::jsonb as doc),
alarms as (
  insert into alarm (number, version, municipality, joining_key, lane, lane_key, household_id, device, kind, priority,
    priority_rank, state, opened_at, changed_at, closed_at, deadline_at, deadline_what, claimed_by, asked, fold)
  select number, version, municipality, joining_key, lane, lane_key, household_id, device, kind, priority,
    priority_rank, state, opened_at, changed_at, closed_at, deadline_at, deadline_what, claimed_by, asked, fold
  from input, jsonb_to_recordset(doc->'alarms') as a(number bigint, version int, municipality text, joining_key text, lane text,
    lane_key text, household_id text, device text, kind text, priority text, priority_rank smallint, state text,
    opened_at timestamptz, changed_at timestamptz, closed_at timestamptz, deadline_at timestamptz, deadline_what text,
    claimed_by text, asked text[], fold jsonb)
  on conflict (number) do update set version = excluded.version, device = excluded.device, kind = excluded.kind,
    priority = excluded.priority, priority_rank = excluded.priority_rank, state = excluded.state,
    changed_at = excluded.changed_at, closed_at = excluded.closed_at, deadline_at = excluded.deadline_at,
    deadline_what = excluded.deadline_what, claimed_by = excluded.claimed_by, asked = excluded.asked, fold = excluded.fold
),
entries as (
  insert into timeline (alarm, version, at, done_at, actor, event, arms)
  select alarm, version, at, done_at, actor, event, arms
  from input, jsonb_to_recordset(doc->'entries') as e(alarm bigint, version int, at timestamptz, done_at timestamptz,
    actor jsonb, event jsonb, arms jsonb)
),
asks as (
  insert into ask (id, alarm, account, channel, priority_rank, state, due_at, try_at, created_at)
  select id, alarm, account, channel, rank, 'pending', "dueAt", "dueAt", $2
  from input, jsonb_to_recordset(doc->'asks') as k(id uuid, alarm bigint, account text, channel text, rank smallint, "dueAt" timestamptz)
),
outbox as (
  insert into outbox (alarm, version, created_at)
  select number, version, $2 from input, jsonb_to_recordset(doc->'alarms') as a(number bigint, version int)
)`;

/** The two parameters of WRITE_ALARMS. */
export function alarmValues(changed: readonly ChangedAlarm[], now: Instant): [doc: string, now: string] {
  const doc = {
    alarms: changed.map((one) => alarmRow(one, now)),
    entries: changed.flatMap(({ alarm, entries }) => entries.map((entry) => timelineRow(alarm.number, entry))),
    asks: changed.flatMap(({ alarm, entries }) => entries.flatMap((entry) => askRows(alarm, entry))),
  };
  return [JSON.stringify(doc), toIso(now)];
}

function alarmRow({ alarm, entries, joiningKey, laneKey }: ChangedAlarm, now: Instant) {
  const deadline = deadlineOf(alarm);
  return {
    number: alarm.number,
    version: alarm.version,
    municipality: alarm.municipality,
    joining_key: joiningKey,
    lane: alarm.lane,
    lane_key: laneKey,
    household_id: alarm.household?.id ?? null,
    device: alarm.device,
    kind: alarm.kind,
    priority: alarm.priority,
    priority_rank: rank(alarm.priority),
    state: stateOf(alarm),
    opened_at: toIso(alarm.openedAt),
    // When it was written: who follows changes by this must find also what comes out of a spill.
    changed_at: toIso(Math.max(entries.at(-1)?.at ?? alarm.openedAt, now)),
    closed_at: isoOrNull(alarm.closed?.at),
    deadline_at: isoOrNull(deadline?.at),
    deadline_what: deadline?.what ?? null,
    claimed_by: alarm.claim?.by ?? null,
    asked: alarm.asked,
    fold: alarm,
  };
}

const timelineRow = (number: string, entry: TimelineEntry) => ({
  alarm: number,
  version: entry.version,
  at: toIso(entry.at),
  done_at: isoOrNull(entry.doneAt),
  actor: entry.actor,
  event: entry.event,
  arms: entry.arms,
});

function askRows(alarm: Alarm, { event }: TimelineEntry): (Omit<AskRow, 'dueAt'> & { dueAt: string })[] {
  if (event.event !== 'dispatched' && event.event !== 'told') return [];
  return event.recipients.flatMap(({ account, asks }) =>
    asks.map(({ id, channel, dueAt }) => ({ id, alarm: alarm.number, account, channel, rank: rank(alarm.priority), dueAt: toIso(dueAt) })),
  );
}
