/** Rows of an archive: copies of alarms that were really handled, with their timelines and signals, made set-based in the database. */
import type pg from 'pg';
import type { ArchiveSize } from './plan.ts';
import { MUNICIPALITY } from './register.ts';

/** What is there becomes the pattern; the tables are emptied. */
export async function keepTemplates(pool: pg.Pool): Promise<void> {
  await pool.query('create schema if not exists bench');
  for (const table of ['alarm', 'timeline', 'signal']) {
    await pool.query(`drop table if exists bench.${table}`);
    await pool.query(`create table bench.${table} as select * from public.${table}`);
  }
  await pool.query('truncate signal, timeline, outbox, ask, claim_lease, command_key, alarm');
}

/**
 * $1 how many, $2 whether closed ones, $3 households, $4 how many are there already, $5 municipality. Each is in a household of
 * its own as long as there are enough: no two open needs of one. Closed ones lie a quarter of an hour apart, open ones a second.
 */
const CHOOSE = `
create table bench.copy as
with pattern as (
  select number, row_number() over (order by number) - 1 as place, count(*) over () as patterns, opened_at
  from bench.alarm where (closed_at is not null) = $2::boolean
)
select nextval('alarm_number') as number, p.number as pattern, 'bench-m' || (n % $3::int) as household, 'BENCH-M-' || (n % $3::int) as device,
  'household:bench-m' || (n % $3::int) as joining_key, $5::text as municipality, n,
  -- By so much it lies later than its pattern.
  date_trunc('milliseconds', now() - (case when $2::boolean then n * interval '15 min' + interval '1 day' else (n % 3600) * interval '1 s' end) - p.opened_at) as later
from generate_series($4::int, $4::int + $1::int - 1) n join pattern p on p.place = n % p.patterns`;

const MS = (column: string): string => `(extract(epoch from ${column}) * 1000)::bigint`;
const ALARMS = `
insert into alarm (number, version, municipality, joining_key, lane, lane_key, household_id, device, kind, priority, priority_rank, state,
  opened_at, changed_at, closed_at, deadline_at, deadline_what, claimed_by, asked, fold)
select c.number, a.version, c.municipality, c.joining_key, a.lane, a.lane_key, c.household, c.device, a.kind, a.priority, a.priority_rank, a.state,
  a.opened_at + c.later, a.changed_at + c.later, a.closed_at + c.later, w.due_at, a.deadline_what, a.claimed_by, a.asked,
  a.fold::jsonb || jsonb_build_object('number', c.number::text, 'device', c.device, 'openedAt', ${MS('a.opened_at + c.later')},
    'lastSignalAt', ${MS('a.opened_at + c.later')}, 'household', jsonb_build_object('id', c.household, 'name', 'Bench ' || c.household, 'zone', ''))
    || case when a.closed_at is null then jsonb_build_object('waits', jsonb_build_object(a.deadline_what, ${MS('w.due_at')}))
       else jsonb_build_object('closed', a.fold::jsonb->'closed' || jsonb_build_object('at', ${MS('a.closed_at + c.later')})) end
from bench.copy c join bench.alarm a on a.number = c.pattern
-- Nobody is asked while the questions are measured.
cross join lateral (select case when a.closed_at is null then date_trunc('milliseconds', now() + interval '1 day' + c.n * interval '1 s') end as due_at) w`;
const TIMELINES = `
insert into timeline (alarm, version, at, done_at, actor, event, arms)
select c.number, t.version, t.at + c.later, t.done_at + c.later, t.actor, t.event, t.arms
from bench.copy c join bench.timeline t on t.alarm = c.pattern`;
const SIGNALS = `
insert into signal (id, received_at, protocol, source, device, municipality, household_id, message_id, digest, raw, meaning, marks, verdict, alarm)
select gen_random_uuid(), s.received_at + c.later, s.protocol, 'mqtt:' || c.device, c.device, c.municipality, c.household,
  s.message_id || '-' || c.number, sha256(c.number::text::bytea), s.raw, s.meaning, s.marks, s.verdict, c.number
from bench.copy c join bench.signal s on s.alarm = c.pattern`;

/** Adds what is missing. @param households of the bench's register */
export async function fillArchive(pool: pg.Pool, size: ArchiveSize, households: number): Promise<void> {
  const { rows } = await pool.query<ArchiveSize>(
    'select count(closed_at)::int as closed, (count(*) - count(closed_at))::int as open from alarm',
  );
  const there = rows[0] ?? { closed: 0, open: 0 };
  for (const state of ['closed', 'open'] as const) {
    const missing = size[state] - there[state];
    if (missing <= 0) continue;
    await pool.query('drop table if exists bench.copy');
    // No parameters in statements that make tables: these are numbers and a constant.
    const values: readonly string[] = [`${missing}`, `${state === 'closed'}`, `${households}`, `${there[state]}`, `'${MUNICIPALITY}'`];
    await pool.query(CHOOSE.replace(/\$(\d)/g, (_, n: string) => values[Number(n) - 1] ?? 'null'));
    await pool.query('insert into joining (key) select distinct joining_key from bench.copy on conflict do nothing');
    for (const text of [ALARMS, TIMELINES, SIGNALS]) await pool.query(text);
  }
  await pool.query('vacuum analyze joining, signal, alarm, timeline');
}
