/** What a card shows, read from PostgreSQL, and the log of its openings. */
import type { Alarm } from '../alarms/alarm.ts';
import { type AlarmView, viewOf } from '../alarms/view.ts';
import { toIso } from '../base/clock.ts';
import type { CardDevice, CardStore } from '../console/card.ts';
import type { Access, Contact, Household, Resident } from '../people/household.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

interface HouseholdRow extends Omit<Household, 'access'> {
  readonly access: Access;
}

interface DeviceRow {
  readonly serial: string;
  readonly model: string;
  readonly protocol: string;
  readonly seen_at: Date | null;
  readonly battery: number | null;
}

interface TriggerRow {
  readonly id: string;
  readonly name: string;
  readonly room: string;
  readonly seen_at: Date | null;
  readonly battery: number | null;
}

interface OpeningRow {
  readonly at: Date;
  readonly account: string;
  readonly role: string;
  readonly alarm: string | null;
  readonly why: string;
}

const isoOrNull = (at: Date | null): string | null => (at === null ? null : toIso(at.getTime()));

export function createCardStore(postgres: Postgres): CardStore {
  return {
    async opened(household, { at, account, role, alarm, why }) {
      const text = 'insert into card_opening (at, account, role, household_id, alarm, why) values ($1, $2, $3, $4, $5, $6)';
      await rowsOf(postgres, text, [toIso(at), account, role, household, alarm, why]);
    },
    async household(id) {
      const text = 'select id, municipality, name, address, postcode, place, zone, lat, lon, access, notes from household where id = $1';
      const [row] = await rowsOf<HouseholdRow>(postgres, text, [id]);
      return row ?? null;
    },
    residents: (household) =>
      rowsOf<Resident>(
        postgres,
        'select id, name, born, phone, language, hearing, health, away, notes from resident where household_id = $1 order by id',
        [household],
      ),
    contacts: (household) =>
      rowsOf<Contact>(
        postgres,
        'select rank, name, relation, phone, has_key as "hasKey" from contact where household_id = $1 order by rank',
        [household],
      ),
    async device(serial) {
      const text = `select d.serial, d.model, d.protocol, s.seen_at, s.battery
        from device d left join device_seen s using (serial) where d.serial = $1`;
      const [row] = await rowsOf<DeviceRow>(postgres, text, [serial]);
      if (row === undefined) return null;
      const triggers = await rowsOf<TriggerRow>(
        postgres,
        'select id, name, room, seen_at, battery from trigger where serial = $1 order by id',
        [serial],
      );
      const device: CardDevice = {
        serial: row.serial,
        model: row.model,
        protocol: row.protocol,
        lastSeenAt: isoOrNull(row.seen_at),
        battery: row.battery,
        triggers: triggers.map(({ seen_at: seenAt, ...trigger }) => ({ ...trigger, seenAt: isoOrNull(seenAt) })),
      };
      return device;
    },
    async earlier({ number, household, device, municipality }, limit) {
      const whose = household === null ? 'a.household_id is null and a.device = $1' : 'a.household_id = $1';
      const text = `select a.fold from alarm a where ${whose} and a.municipality = $2 and a.number <> $3
        order by a.opened_at desc, a.number desc limit $4`;
      const rows = await rowsOf<{ fold: Alarm }>(postgres, text, [household ?? device, municipality, number, limit]);
      return rows.map(({ fold }): AlarmView => viewOf(fold));
    },
    async newestRaw(number) {
      const text = 'select raw from signal where alarm = $1 order by received_at desc, id desc limit 1';
      const [row] = await rowsOf<{ raw: Buffer }>(postgres, text, [number]);
      return row?.raw ?? null;
    },
    async openings(household, limit) {
      const text = `select at, account, role, alarm::text as alarm, why from card_opening where household_id = $1
        order by at desc, id desc limit $2`;
      const rows = await rowsOf<OpeningRow>(postgres, text, [household, limit]);
      return rows.map(({ at, ...opening }) => ({ ...opening, at: at.getTime() }));
    },
  };
}
