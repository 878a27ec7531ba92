/** Silence in PostgreSQL: the spans in which the centre listened, and who is late, lost or back, found in one statement. */
import { joiningKey, technicalKey } from '../alarms/correlate.ts';
import { type Instant, toIso } from '../base/clock.ts';
import type { Found, SilenceStore } from '../devices/silence-watch.ts';
import { BATTERY_CHARGED, BATTERY_LOW, type Silence, UNSUPERVISED_STATES } from '../devices/silence.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

/** Two processes at once make one longer span, or, at the very start, two that overlap. */
const LISTENED = `
with newest as (
  select id, judged_at from listening order by id desc limit 1 for update
), carried as (
  update listening l set until_at = greatest(l.until_at, $1),
    judged_at = case when l.judged_at <= $1::timestamptz - $3::float8 * interval '1 ms' then $1 else l.judged_at end
  from newest where l.id = newest.id and l.until_at >= $1::timestamptz - $2::float8 * interval '1 ms'
  returning newest.judged_at <= $1::timestamptz - $3::float8 * interval '1 ms' as mine
), begun as (
  insert into listening (from_at, until_at, judged_at) select $1, $1, $1 where not exists (select from carried) returning true as mine
)
select mine from carried union all select mine from begun`;

/** A centre that starts and falls every minute must not fill the table; what lies before the spans that are kept counts as a pause. */
const MOST_SPANS = 2000;
const FORGET = `delete from listening where id <= (select id from listening order by id desc offset ${MOST_SPANS} limit 1)`;
const SPANS = `select from_at, until_at from listening where until_at > $1 order by id desc limit ${MOST_SPANS}`;

/** Passes over who speaks, and who is lost and stays so, by the row alone: by far the most are one of the two, even when all are silent. */
const mayHaveStep = (row: string, latestCut: string, earliestCut: string): string => `(
    case ${row}.silence when 'none' then ${row}.seen_at < ${latestCut} when 'late' then true else ${row}.seen_at >= ${earliestCut} end
    or case when ${row}.battery_low then ${row}.battery >= ${BATTERY_CHARGED} else ${row}.battery < ${BATTERY_LOW} end)`;

/**
 * $1 cut-offs by model, $2 the model of all others, $3 now, $4 states that nobody supervises, $5 and $8 the latest and the
 * earliest cut-off by which a unit is late, $6 and $9 those for triggers. In no order: where more are silent than the limit, the
 * search ends when it has found enough, and who was told is found no more. $10 since when the bridge is read: who was heard
 * over it last is expected from then on only, and not at all while it is not read (null).
 */
const FIND = `
with cut as (
  select * from jsonb_to_recordset($1::jsonb)
    as c(model text, late timestamptz, lost timestamptz, "triggerLate" timestamptz, "triggerLost" timestamptz)
), unit as (
  select s.serial, '' as trigger, s.silence, s.seen_at, greatest(s.seen_at, d.watched_from, case when d.test_until <= $3 then d.test_until end,
      case when s.via = 'bridge' then $10::timestamptz end) as counts_from,
    coalesce(d.test_until > $3, false) or (s.via = 'bridge' and $10::timestamptz is null) as excused, s.battery, s.battery_low, d.model, d.municipality, d.household_id,
    coalesce(own.late, other.late) as late, coalesce(own.lost, other.lost) as lost
  from device_seen s join device d using (serial) left join cut own using (model) cross join (select late, lost from cut where model = $2) other
  where ${mayHaveStep('s', '$5', '$8')} and d.state <> all ($4)
), part as (
  select t.serial, t.id as trigger, t.silence, t.seen_at,
    greatest(t.seen_at, s.back_at, d.watched_from, case when d.test_until <= $3 then d.test_until end,
      case when s.via = 'bridge' then $10::timestamptz end) as counts_from,
    coalesce(d.test_until > $3, false) or (s.via = 'bridge' and $10::timestamptz is null) or s.silence <> 'none' or s.seen_at < coalesce(own.late, other.late) as excused,
    t.battery, t.battery_low, d.model, d.municipality, d.household_id,
    coalesce(own."triggerLate", other."triggerLate") as late, coalesce(own."triggerLost", other."triggerLost") as lost
  from trigger t join device_seen s using (serial) join device d using (serial) left join cut own using (model)
    cross join (select late, "triggerLate", "triggerLost" from cut where model = $2) other
  where t.reports and t.seen_at is not null and ${mayHaveStep('t', '$6', '$9')} and d.state <> all ($4)
), step as (
  select *,
    case
      when silence <> 'none' and late > '-infinity' and seen_at >= late then 2
      when excused then null
      when silence <> 'lost' and counts_from < lost then 1
      when silence = 'none' and counts_from < late then 3
    end as silent,
    case when battery_low then battery >= ${BATTERY_CHARGED} else battery < ${BATTERY_LOW} and not excused end as charge
  from (select * from unit union all select * from part) watched
)
select step.serial, step.trigger, step.silence, step.seen_at, step.counts_from, step.excused, step.battery, step.battery_low, step.model,
  step.municipality, h.id as household_id, h.name as household_name, h.zone
from step left join household h on h.id = step.household_id
where silent is not null or charge
limit $7`;

interface FoundRow {
  readonly serial: string;
  readonly trigger: string;
  readonly silence: Silence;
  readonly seen_at: Date;
  readonly counts_from: Date;
  readonly excused: boolean;
  readonly battery: number | null;
  readonly battery_low: boolean;
  readonly model: string;
  readonly municipality: string;
  readonly household_id: string | null;
  readonly household_name: string | null;
  readonly zone: string | null;
}

const OPEN = `
select k.id from unnest($1::text[], $2::text[], $3::text[]) as k(id, joining_key, lane_key)
join alarm a on a.joining_key = k.joining_key and a.lane = 'technical' and a.lane_key = k.lane_key and a.closed_at is null`;

/** Only a unit that was lost gives its triggers their time anew: one that is late each night would excuse them for ever. */
const REMEMBER = `
with told as (
  select * from jsonb_to_recordset($1::jsonb) as t(serial text, trigger text, silence text, low boolean)
), units as (
  update device_seen s set silence = coalesce(t.silence, s.silence), battery_low = coalesce(t.low, s.battery_low),
    back_at = case when s.silence = 'lost' and t.silence = 'none' then $2 else s.back_at end
  from told t where t.trigger = '' and s.serial = t.serial
)
update trigger s set silence = coalesce(t.silence, s.silence), battery_low = coalesce(t.low, s.battery_low)
from told t where s.serial = t.serial and s.id = t.trigger`;

/** Before every instant: who has not been missed for that long cannot have been. */
const isoOf = (cut: Instant | null): string => (cut === null ? '-infinity' : toIso(cut));
/** The latest or earliest; a missing one is before all others. */
const edgeOf = (edge: (...all: number[]) => number, cuts: readonly (Instant | null)[]): string => {
  const at = edge(...cuts.map((cut) => cut ?? Number.NEGATIVE_INFINITY));
  return isoOf(Number.isFinite(at) ? at : null);
};

export function createSilenceStore(postgres: Postgres): SilenceStore {
  return {
    async listened(at, pause, judgeEvery) {
      const [row] = await rowsOf<{ mine: boolean }>(postgres, LISTENED, [toIso(at), pause, judgeEvery]);
      return row?.mine ?? false;
    },
    async spans(since) {
      await rowsOf(postgres, FORGET);
      const rows = await rowsOf<{ from_at: Date; until_at: Date }>(postgres, SPANS, [toIso(since)]);
      return rows.map((row) => ({ from: row.from_at.getTime(), until: row.until_at.getTime() }));
    },
    async find(cuts, otherModels, now, limit, bridgeSince) {
      const rows = await rowsOf<FoundRow>(postgres, FIND, [
        JSON.stringify(
          cuts.map(({ model, late, lost, triggerLate, triggerLost }) => ({
            model,
            late: isoOf(late),
            lost: isoOf(lost),
            triggerLate: isoOf(triggerLate),
            triggerLost: isoOf(triggerLost),
          })),
        ),
        otherModels,
        toIso(now),
        UNSUPERVISED_STATES,
        edgeOf(
          Math.max,
          cuts.map(({ late }) => late),
        ),
        edgeOf(
          Math.max,
          cuts.map(({ triggerLate }) => triggerLate),
        ),
        limit,
        edgeOf(
          Math.min,
          cuts.map(({ late }) => late),
        ),
        edgeOf(
          Math.min,
          cuts.map(({ triggerLate }) => triggerLate),
        ),
        bridgeSince === null ? null : toIso(bridgeSince),
      ]);
      return rows.map(foundOf);
    },
    async open(signals) {
      const rows = await rowsOf<{ id: string }>(postgres, OPEN, [
        signals.map(({ id }) => id),
        signals.map(joiningKey),
        signals.map(technicalKey),
      ]);
      return new Set(rows.map(({ id }) => id));
    },
    async remember(told, at) {
      const rows = told.map(({ serial, trigger, steps }) => ({
        serial,
        trigger,
        silence: steps.includes('back') ? 'none' : (steps.find((step) => step === 'late' || step === 'lost') ?? null),
        low: steps.includes('battery-low') ? true : steps.includes('battery-charged') ? false : null,
      }));
      await rowsOf(postgres, REMEMBER, [JSON.stringify(rows), toIso(at)]);
    },
  };
}

function foundOf(row: FoundRow): Found {
  const { serial, trigger, silence, excused, battery, model, municipality } = row;
  return {
    serial,
    trigger,
    silence,
    seenAt: row.seen_at.getTime(),
    countsFrom: row.counts_from.getTime(),
    excused,
    battery,
    batteryLow: row.battery_low,
    model,
    municipality,
    household: row.household_id === null ? null : { id: row.household_id, name: row.household_name ?? '', zone: row.zone ?? '' },
  };
}
