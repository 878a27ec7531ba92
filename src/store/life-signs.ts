/** Signs of life in PostgreSQL: the last of each device and trigger, written over by the next, many in one statement. */
import { type Instant, toIso } from '../base/clock.ts';
import type { LifeSignStore } from '../devices/supervision.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

/** Of one unit; a device that makes up ids must not fill the table. */
const MOST_TRIGGERS = 256;
// In the order of their keys, so that two processes that write at once cannot deadlock. A last will alone makes no row.
const WRITE_SEEN = `
  with told as (
    select t.* from jsonb_to_recordset($1::jsonb) as t(serial text, "seenAt" timestamptz, "toldAt" timestamptz, via text, battery int,
      mains boolean, signal int, charging boolean, online boolean, lat double precision, lon double precision, accuracy double precision,
      "positionAt" timestamptz, "testAt" timestamptz)
    join device using (serial) order by serial
  ), devices as (
    insert into device_seen as s (serial, seen_at, via, battery, mains, signal, charging, online, lat, lon, accuracy, position_at, test_at)
    select serial, coalesce("seenAt", '-infinity'), via, battery, mains, signal, charging, online, lat, lon, accuracy, "positionAt", "testAt"
    from told
    where "seenAt" is not null or exists (select from device_seen e where e.serial = told.serial)
    on conflict (serial) do update set
      seen_at = greatest(s.seen_at, excluded.seen_at),
      via = excluded.via,
      battery = coalesce(excluded.battery, s.battery),
      mains = coalesce(excluded.mains, s.mains),
      signal = coalesce(excluded.signal, s.signal),
      charging = coalesce(excluded.charging, s.charging),
      online = coalesce(excluded.online, s.online),
      lat = case when excluded.position_at >= coalesce(s.position_at, excluded.position_at) then excluded.lat else s.lat end,
      lon = case when excluded.position_at >= coalesce(s.position_at, excluded.position_at) then excluded.lon else s.lon end,
      accuracy = case when excluded.position_at >= coalesce(s.position_at, excluded.position_at) then excluded.accuracy else s.accuracy end,
      position_at = greatest(s.position_at, excluded.position_at),
      test_at = greatest(s.test_at, excluded.test_at)
  )
  insert into trigger as s (serial, id, seen_at, reports, battery, test_at)
  select t.serial, t.id, t."seenAt", t.reports, t.battery, t."testAt"
  from jsonb_to_recordset($2::jsonb) as t(serial text, id text, "seenAt" timestamptz, reports boolean, battery int, "testAt" timestamptz)
  join device using (serial)
  where (select count(*) from trigger o where o.serial = t.serial) < $3
    or exists (select from trigger k where (k.serial, k.id) = (t.serial, t.id))
  order by t.serial, t.id
  on conflict (serial, id) do update set
    seen_at = greatest(s.seen_at, excluded.seen_at),
    reports = s.reports or excluded.reports,
    battery = coalesce(excluded.battery, s.battery),
    test_at = greatest(s.test_at, excluded.test_at)`;

const isoOrNull = (at: Instant | null): string | null => (at === null ? null : toIso(at));

export function createLifeSignStore(postgres: Postgres): LifeSignStore {
  return {
    async writeSeen(seen) {
      const devices = seen.map(({ position, triggers: _triggers, ...one }) => ({
        ...one,
        seenAt: isoOrNull(one.seenAt),
        toldAt: toIso(one.toldAt),
        positionAt: isoOrNull(one.positionAt),
        testAt: isoOrNull(one.testAt),
        lat: position?.lat ?? null,
        lon: position?.lon ?? null,
        accuracy: position?.accuracy ?? null,
      }));
      const triggers = seen.flatMap((device) =>
        [...device.triggers].map(([id, { seenAt, reports, battery, testAt }]) => ({
          serial: device.serial,
          id,
          seenAt: isoOrNull(seenAt),
          reports,
          battery,
          testAt: isoOrNull(testAt),
        })),
      );
      await rowsOf(postgres, WRITE_SEEN, [JSON.stringify(devices), JSON.stringify(triggers), MOST_TRIGGERS]);
    },
  };
}
