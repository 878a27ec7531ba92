/** Signs of life in PostgreSQL: the last of each device and trigger, written over by the next, many in one statement. */
import type { DeviceSeen, LifeSignStore } from '../devices/supervision.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

/** Of one unit; a device that makes up ids must not fill the table. */
const MOST_TRIGGERS = 256;

/** Milliseconds since 1970, `-infinity` or null. */
const at = (column: string): string => `to_timestamp(${column} / 1000.0)`;
/** A place is older than the one that is stored. */
const MOVED = 'excluded.position_at >= coalesce(s.position_at, excluded.position_at)';

// In the order of their keys, so that two processes that write at once cannot deadlock. A last will alone makes no row. The
// commit is not waited for: the next one that is (each five seconds the centre notes that it listens) makes these durable too.
const WRITE_DEVICES = `
insert into device_seen as s (serial, seen_at, via, battery, mains, signal, charging, online, lat, lon, accuracy, position_at, test_at)
select t.serial, coalesce(${at('t.seen_at')}, '-infinity'), t.via, t.battery, t.mains, t.signal, t.charging, t.online, t.lat, t.lon,
  t.accuracy, ${at('t.position_at')}, ${at('t.test_at')}
from unnest($1::text[], $2::float8[], $3::text[], $4::int[], $5::bool[], $6::int[], $7::bool[], $8::bool[], $9::float8[], $10::float8[],
    $11::float8[], $12::float8[], $13::float8[])
  as t(serial, seen_at, via, battery, mains, signal, charging, online, lat, lon, accuracy, position_at, test_at)
join device using (serial), set_config('synchronous_commit', 'off', true)
where t.seen_at is not null or exists (select from device_seen e where e.serial = t.serial)
order by t.serial
on conflict (serial) do update set
  seen_at = greatest(s.seen_at, excluded.seen_at),
  via = excluded.via,
  battery = coalesce(excluded.battery, s.battery),
  mains = coalesce(excluded.mains, s.mains),
  signal = coalesce(excluded.signal, s.signal),
  charging = coalesce(excluded.charging, s.charging),
  online = coalesce(excluded.online, s.online),
  lat = case when ${MOVED} then excluded.lat else s.lat end,
  lon = case when ${MOVED} then excluded.lon else s.lon end,
  accuracy = case when ${MOVED} then excluded.accuracy else s.accuracy end,
  position_at = greatest(s.position_at, excluded.position_at),
  test_at = greatest(s.test_at, excluded.test_at)`;

// Most tell the same of their pendants each time: what says nothing new makes no new row.
const WRITE_TRIGGERS = `
insert into trigger as s (serial, id, seen_at, reports, battery, test_at)
select t.serial, t.id, ${at('t.seen_at')}, t.reports, t.battery, ${at('t.test_at')}
from unnest($1::text[], $2::text[], $3::float8[], $4::bool[], $5::int[], $6::float8[]) as t(serial, id, seen_at, reports, battery, test_at)
join device using (serial), set_config('synchronous_commit', 'off', true)
where exists (select from trigger k where (k.serial, k.id) = (t.serial, t.id))
  or (select count(*) from trigger o where o.serial = t.serial) < $7
order by t.serial, t.id
on conflict (serial, id) do update set
  seen_at = greatest(s.seen_at, excluded.seen_at),
  reports = s.reports or excluded.reports,
  battery = coalesce(excluded.battery, s.battery),
  test_at = greatest(s.test_at, excluded.test_at)
where (s.seen_at, s.battery, s.test_at) is distinct from
    (greatest(s.seen_at, excluded.seen_at), coalesce(excluded.battery, s.battery), greatest(s.test_at, excluded.test_at))
  or excluded.reports and not s.reports`;

type Cell = number | boolean | null;

/** An array as PostgreSQL reads it: made by hand, since the driver's way costs as much as the statement. */
const cells = (values: readonly Cell[]): string => `{${values.map((value) => value ?? 'NULL').join(',')}}`;
const texts = (values: readonly string[]): string => `{${values.map((value) => `"${value.replace(/["\\]/g, '\\$&')}"`).join(',')}}`;

export function createLifeSignStore(postgres: Postgres): LifeSignStore {
  return {
    async writeSeen(seen) {
      const column = (of: (device: DeviceSeen) => Cell): string => cells(seen.map(of));
      await rowsOf(
        postgres,
        WRITE_DEVICES,
        [
          texts(seen.map(({ serial }) => serial)),
          column(({ seenAt }) => seenAt),
          texts(seen.map(({ via }) => via)),
          column(({ battery }) => battery),
          column(({ mains }) => mains),
          column(({ signal }) => signal),
          column(({ charging }) => charging),
          column(({ online }) => online),
          column(({ position }) => position?.lat ?? null),
          column(({ position }) => position?.lon ?? null),
          column(({ position }) => position?.accuracy ?? null),
          column(({ positionAt }) => positionAt),
          column(({ testAt }) => testAt),
        ],
        'write-seen',
      );
      const told = seen.flatMap(({ serial, triggers }) => Array.from(triggers, ([id, one]) => ({ serial, id, ...one })));
      if (told.length === 0) return;
      await rowsOf(
        postgres,
        WRITE_TRIGGERS,
        [
          texts(told.map(({ serial }) => serial)),
          texts(told.map(({ id }) => id)),
          cells(told.map(({ seenAt }) => seenAt)),
          cells(told.map(({ reports }) => reports)),
          cells(told.map(({ battery }) => battery)),
          cells(told.map(({ testAt }) => testAt)),
          MOST_TRIGGERS,
        ],
        'write-triggers',
      );
    },
  };
}
