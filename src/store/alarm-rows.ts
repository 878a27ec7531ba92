/** What was decided, as rows: alarms, timeline, outbox and asks, set-based, in one statement of the caller's transaction. */
import { type Alarm, deadlineOf, stateOf } from '../alarms/alarm.ts';
import type { TimelineEntry } from '../alarms/event.ts';
import { rank } from '../alarms/triage.ts';
import { type Instant, toIso } from '../base/clock.ts';
import { arrayLiteral, bigints, instants, integers, jsons, smallIntegers, texts } from './binary-arrays.ts';

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

/**
 * Everything that a decision changes goes in as columns, in one statement: a batch of 64 alarms costs one round trip. Texts of
 * devices passed `storable` and those of commands their schema: none holds a NUL.
 * It is the beginning of a statement, which may go on with more parameters, from ALARM_PARAMETERS + 1 on.
 */
export const WRITE_ALARMS = `
with alarms as (
  insert into alarm (number, version, municipality, joining_key, lane, lane_key, household_id, device, kind, priority,
    priority_rank, state, opened_at, changed_at, closed_at, deadline_at, deadline_what, claimed_by, asked, fold)
  select number, version, municipality, joining_key, lane, lane_key, household_id, device, kind, priority,
    priority_rank, state, opened_at, changed_at, closed_at, deadline_at, deadline_what, claimed_by, asked::text[], fold
  from unnest($2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
    $11::text[], $12::smallint[], $13::text[], $14::timestamptz[], $15::timestamptz[], $16::timestamptz[], $17::timestamptz[],
    $18::text[], $19::text[], $20::text[], $21::json[]) as a(number, version, municipality, joining_key, lane, lane_key,
    household_id, device, kind, priority, priority_rank, state, opened_at, changed_at, closed_at, deadline_at, deadline_what,
    claimed_by, asked, fold)
  on conflict (number) do update set version = excluded.version, device = excluded.device, kind = excluded.kind,
    priority = excluded.priority, priority_rank = excluded.priority_rank, state = excluded.state,
    changed_at = excluded.changed_at, closed_at = excluded.closed_at, deadline_at = excluded.deadline_at,
    deadline_what = excluded.deadline_what, claimed_by = excluded.claimed_by, asked = excluded.asked, fold = excluded.fold
  returning number, version, priority_rank
),
entries as (
  insert into timeline (alarm, version, at, done_at, actor, event, arms)
  select * from unnest($22::bigint[], $23::int[], $24::timestamptz[], $25::timestamptz[], $26::json[], $27::json[], $28::json[])
),
asks as (
  insert into ask (id, alarm, account, channel, priority_rank, state, due_at, try_at, created_at)
  select id, alarm, account, channel, rank, 'pending', "dueAt", "dueAt", $1::timestamptz
  from json_to_recordset($29::json) as k(id uuid, alarm bigint, account text, channel text, rank smallint, "dueAt" timestamptz)
),
outbox as (
  insert into outbox (alarm, version, created_at, priority_rank) select number, version, $1::timestamptz, priority_rank from alarms
)`;
export const ALARM_PARAMETERS = 29;

/** The parameters of WRITE_ALARMS. */
export function alarmValues(changed: readonly ChangedAlarm[], now: Instant): (string | Buffer)[] {
  const alarms = changed.map(({ alarm }) => alarm);
  const deadlines = alarms.map(deadlineOf);
  const entries = changed.flatMap((one) => one.entries);
  const asks = changed.flatMap(({ alarm, entries: made }) => made.flatMap((entry) => askRows(alarm, entry)));
  return [
    toIso(now),
    bigints(alarms.map(({ number }) => number)),
    integers(alarms.map(({ version }) => version)),
    texts(alarms.map(({ municipality }) => municipality)),
    texts(changed.map(({ joiningKey }) => joiningKey)),
    texts(alarms.map(({ lane }) => lane)),
    texts(changed.map(({ laneKey }) => laneKey)),
    texts(alarms.map(({ household }) => household?.id ?? null)),
    texts(alarms.map(({ device }) => device)),
    texts(alarms.map(({ kind }) => kind)),
    texts(alarms.map(({ priority }) => priority)),
    smallIntegers(alarms.map(({ priority }) => rank(priority))),
    texts(alarms.map(stateOf)),
    instants(alarms.map(({ openedAt }) => openedAt)),
    // When it was written: who follows changes by this must find also what comes out of a spill.
    instants(changed.map((one) => Math.max(one.entries.at(-1)?.at ?? one.alarm.openedAt, now))),
    instants(alarms.map(({ closed }) => closed?.at ?? null)),
    instants(deadlines.map((deadline) => deadline?.at ?? null)),
    texts(deadlines.map((deadline) => deadline?.what ?? null)),
    texts(alarms.map(({ claim }) => claim?.by ?? null)),
    texts(alarms.map(({ asked }) => arrayLiteral(asked))),
    jsons(alarms),
    bigints(changed.flatMap(({ alarm, entries: made }) => made.map(() => alarm.number))),
    integers(entries.map(({ version }) => version)),
    instants(entries.map(({ at }) => at)),
    instants(entries.map(({ doneAt }) => doneAt ?? null)),
    jsons(entries.map(({ actor }) => actor)),
    jsons(entries.map(({ event }) => event)),
    jsons(entries.map(({ arms }) => arms)),
    JSON.stringify(asks),
  ];
}

function askRows(alarm: Alarm, { event }: TimelineEntry): (Omit<AskRow, 'dueAt'> & { dueAt: string })[] {
  if (event.event !== 'dispatched' && event.event !== 'told') return [];
  return event.recipients.flatMap(({ account, asks }) =>
    asks.map(({ id, channel, dueAt }) => ({ id, alarm: alarm.number, account, channel, rank: rank(alarm.priority), dueAt: toIso(dueAt) })),
  );
}
