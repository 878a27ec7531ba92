/** The register in PostgreSQL, as an import finds and writes it: set-based, all of it or nothing. */
import { createHash } from 'node:crypto';
import type pg from 'pg';
import { type Instant, toIso } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { HouseholdDraft } from '../people/register-draft.ts';
import type { DeviceWrite, RegisterStore } from '../people/register-import.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';
import { inTransaction } from './transaction.ts';

interface DeviceRow {
  readonly serial: string;
  readonly household: string | null;
  readonly protocol: string;
  readonly controllerId: string | null;
  readonly hasCredentials: boolean;
}

/** So many households and devices go into one statement, which must end within its 3 s. */
const AT_ONCE = 1000;

const HOUSEHOLDS = `
  insert into household (id, municipality, name, address, postcode, place, zone, lat, lon, access, notes, updated_at)
  select id, municipality, name, address, postcode, place, zone, lat, lon, access, notes, $2
  from jsonb_to_recordset($1::jsonb) as h(id text, municipality text, name text, address text, postcode text, place text, zone text,
    lat double precision, lon double precision, access jsonb, notes text)
  on conflict (id) do update set name = excluded.name, address = excluded.address, postcode = excluded.postcode,
    place = excluded.place, zone = excluded.zone, lat = excluded.lat, lon = excluded.lon, access = excluded.access,
    notes = excluded.notes, updated_at = excluded.updated_at
  where household.municipality = excluded.municipality`;

const RESIDENTS = `
  insert into resident (id, household_id, name, born, phone, language, hearing, health, away, notes)
  select id, household, name, born, phone, language, hearing, health, away, notes
  from jsonb_to_recordset($1::jsonb) as r(id text, household text, name text, born date, phone text, language text, hearing text,
    health text, away text, notes text)`;

const CONTACTS = `
  insert into contact (id, household_id, rank, name, relation, phone, has_key)
  select household || '/' || rank, household, rank, name, relation, phone, "hasKey"
  from jsonb_to_recordset($1::jsonb) as c(household text, rank int, name text, relation text, phone text, "hasKey" boolean)`;

const DEVICES = `
  insert into device (serial, municipality, household_id, protocol, controller_id, model, secret_sha256, created_at)
  select serial, municipality, household, protocol, "controllerId", model, decode("secretSha256", 'hex'), $2
  from jsonb_to_recordset($1::jsonb) as d(serial text, municipality text, household text, protocol text, "controllerId" text,
    model text, "secretSha256" text)
  on conflict (serial) do update set municipality = excluded.municipality, household_id = excluded.household_id,
    controller_id = excluded.controller_id, model = excluded.model,
    secret_sha256 = coalesce(excluded.secret_sha256, device.secret_sha256)
  where (device.household_id is null or device.household_id = excluded.household_id) and device.protocol = excluded.protocol`;

const TRIGGERS = `
  insert into trigger (serial, id, name, room)
  select serial, id, name, room from jsonb_to_recordset($1::jsonb) as t(serial text, id text, name text, room text)
  on conflict (serial, id) do update set name = excluded.name, room = excluded.room`;

export function createRegisterStore(postgres: Postgres): RegisterStore {
  return {
    async find(households, serials, controllerIds) {
      const text = 'select id, municipality from household where id = any($1)';
      const homes = await rowsOf<{ id: string; municipality: string }>(postgres, text, [households]);
      const devices = await rowsOf<DeviceRow>(
        postgres,
        `select serial, household_id as household, protocol, controller_id as "controllerId", num_nonnulls(secret_sha256, sip_ha1_md5, certificate_sha256) > 0 as "hasCredentials"
         from device where serial = any($1) or ltrim(controller_id, '0') = any($2)`,
        [serials, controllerIds],
      );
      return { households: new Map(homes.map(({ id, municipality }) => [id, municipality])), devices };
    },
    write: (households, devices, at) =>
      inTransaction(postgres, async (client) => {
        for (const part of parts(households)) await writeHouseholds(client, part, at);
        for (const part of parts(devices)) await writeDevices(client, part, at);
      }),
  };
}

function parts<T>(all: readonly T[]): T[][] {
  return Array.from({ length: Math.ceil(all.length / AT_ONCE) }, (_, index) => all.slice(index * AT_ONCE, (index + 1) * AT_ONCE));
}

/** Rows of a household that an import may not touch are left out by its `where`: then somebody was faster. */
const expectAll = (written: number | null, given: number): void => {
  if (written === given) return;
  throw new CentreError(
    'register-invalid',
    'The register was changed by somebody else meanwhile: nothing was imported. Run the import again.',
  );
};

async function writeHouseholds(client: pg.ClientBase, drafts: readonly HouseholdDraft[], at: Instant): Promise<void> {
  const homes = drafts.map(({ household }) => household);
  const { rowCount } = await client.query(HOUSEHOLDS, [JSON.stringify(homes), toIso(at)]);
  expectAll(rowCount, homes.length);
  const withResidents = drafts.filter(({ residents }) => residents.length > 0);
  await client.query('delete from resident where household_id = any($1)', [withResidents.map(({ household }) => household.id)]);
  const residents = withResidents.flatMap(({ household, residents: all }) => all.map((one) => ({ ...one, household: household.id })));
  await client.query(RESIDENTS, [JSON.stringify(residents)]);
  const withContacts = drafts.filter(({ contacts }) => contacts.length > 0);
  await client.query('delete from contact where household_id = any($1)', [withContacts.map(({ household }) => household.id)]);
  const contacts = withContacts.flatMap(({ household, contacts: all }) => all.map((one) => ({ ...one, household: household.id })));
  await client.query(CONTACTS, [JSON.stringify(contacts)]);
}

async function writeDevices(client: pg.ClientBase, devices: readonly DeviceWrite[], at: Instant): Promise<void> {
  const rows = devices.map(({ secret, triggers: _triggers, ...device }) => ({
    ...device,
    secretSha256: secret === null ? null : createHash('sha256').update(secret).digest('hex'),
  }));
  const { rowCount } = await client.query(DEVICES, [JSON.stringify(rows), toIso(at)]);
  expectAll(rowCount, rows.length);
  const triggers = devices.flatMap(({ serial, triggers: all }) => all.map((one) => ({ ...one, serial })));
  await client.query(TRIGGERS, [JSON.stringify(triggers)]);
}
