/** The bench's register: thousands of devices, each in a household of its own, put in with SQL; and the emptying between measures. */
import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { Instant } from '../src/base/clock.ts';
import { OUTAGE_MODEL } from './configuration.ts';

/** What MQTT devices sign in with; its SHA-256 is in the register, as for every device. */
export const SECRET = 'bench-secret';
export const MUNICIPALITY = '1103';

export const serialOf = (n: number): string => `BENCH-M-${n}`;
/** Controller ids are digits. */
export const controllerIdOf = (n: number): string => String(70_000_000 + n);

/** The n-th unit of the outage: four of five speak MQTT, one SCAIP. */
export const outageOf = (n: number): { readonly mqtt: boolean; readonly serial: string } => {
  return n % 5 === 4 ? { mqtt: false, serial: `BENCH-P-${n}` } : { mqtt: true, serial: `BENCH-O-${n}` };
};
export const outageIdOf = (n: number): string => String(80_000_000 + n);

const HOUSEHOLDS = `
insert into household (id, municipality, name)
select 'bench-' || kind || n, $2, 'Bench ' || kind || n from generate_series(0, $1::int - 1) n, unnest(array['m', 's']) kind
on conflict do nothing`;
const MQTT_DEVICES = `
insert into device (serial, municipality, household_id, protocol, model, secret_sha256)
select 'BENCH-M-' || n, $2, 'bench-m' || n, 'mqtt', 'generic/stationary', $3 from generate_series(0, $1::int - 1) n
on conflict do nothing`;
const SCAIP_UNITS = `
insert into device (serial, municipality, household_id, protocol, controller_id, model)
select 'BENCH-S-' || n, $2, 'bench-s' || n, 'scaip', (70000000 + n)::text, 'essence/generic' from generate_series(0, $1::int - 1) n
on conflict do nothing`;

const OUTAGE_HOUSEHOLDS = `
insert into household (id, municipality, name)
select 'bench-o' || n, $2, 'Bench o' || n from generate_series(0, $1::int - 1) n on conflict do nothing`;
const OUTAGE_UNITS = `
insert into device (serial, municipality, household_id, protocol, controller_id, model, secret_sha256)
select case when n % 5 = 4 then 'BENCH-P-' else 'BENCH-O-' end || n, $2, 'bench-o' || n, case when n % 5 = 4 then 'scaip' else 'mqtt' end,
  case when n % 5 = 4 then (80000000 + n)::text end, $4, case when n % 5 <> 4 then $3::bytea end
from generate_series(0, $1::int - 1) n on conflict do nothing`;

/** So many units that are missed within half a minute. */
export async function fillOutage(pool: pg.Pool, count: number): Promise<void> {
  await pool.query(OUTAGE_HOUSEHOLDS, [count, MUNICIPALITY]);
  await pool.query(OUTAGE_UNITS, [count, MUNICIPALITY, createHash('sha256').update(SECRET).digest(), OUTAGE_MODEL]);
  await pool.query('analyze household, device');
}

/** `count` devices of each protocol. */
export async function fillRegister(pool: pg.Pool, count: number): Promise<void> {
  await pool.query(HOUSEHOLDS, [count, MUNICIPALITY]);
  await pool.query(MQTT_DEVICES, [count, MUNICIPALITY, createHash('sha256').update(SECRET).digest()]);
  await pool.query(SCAIP_UNITS, [count, MUNICIPALITY]);
  await pool.query('analyze household, device');
}

/**
 * Takes all signals and alarms out, so that each message of the next measure opens an alarm again, and whoever was heard: else
 * supervision would miss the devices of the measures before. Vacuumed, as a database with rows that died a moment ago is not
 * what a centre has; but before the emptying: of tables that were vacuumed while empty PostgreSQL believes that they stay so, and
 * the centre's statements would be planned to read each from end to end. A centre that runs has an archive.
 */
export async function emptyAlarms(pool: pg.Pool): Promise<void> {
  await pool.query('vacuum analyze signal, alarm, outbox, timeline');
  await pool.query('truncate signal, timeline, outbox, ask, claim_lease, command_key, alarm');
  await pool.query(`delete from device_seen where serial like 'BENCH-%'`);
  await pool.query('vacuum analyze joining, device_seen');
}

/** How many devices of the bench were heard since then, by what is stored. */
export async function countSeen(pool: pg.Pool, since: Instant): Promise<number> {
  const { rows } = await pool.query<{ seen: number }>(
    `select count(*)::int as seen from device_seen where serial like 'BENCH-%' and seen_at >= to_timestamp($1 / 1000.0)`,
    [since],
  );
  return rows[0]?.seen ?? 0;
}

/** What the centre itself says that it kept. */
export async function countAlarms(pool: pg.Pool): Promise<{ readonly alarms: number; readonly signals: number; readonly outbox: number }> {
  const { rows } = await pool.query<{ alarms: number; signals: number; outbox: number }>(
    `select (select count(*) from alarm)::int as alarms, (select count(*) from signal)::int as signals,
      (select count(*) from outbox)::int as outbox`,
  );
  return rows[0] ?? { alarms: 0, signals: 0, outbox: 0 };
}
