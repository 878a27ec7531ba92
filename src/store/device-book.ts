/** Devices in PostgreSQL as the command line lists and changes them. */
import { CANARY_MUNICIPALITY } from '../alarms/canary.ts';
import { type Instant, toIso } from '../base/clock.ts';
import type { BookedDevice, DeviceBook } from '../devices/book.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

interface BookRow {
  readonly serial: string;
  readonly protocol: 'mqtt' | 'scaip';
  readonly controller_id: string | null;
  readonly municipality: string;
  readonly household_id: string | null;
  readonly model: string;
  readonly state: string;
  readonly has_secret: boolean;
  readonly certificate_sha256: Buffer | null;
  readonly test_until: Date | null;
  readonly seen_at: Date | null;
  readonly reply_unacknowledged_at: Date | null;
}

const BOOK = `
  select d.serial, d.protocol, d.controller_id, d.municipality, d.household_id, d.model, d.state, d.certificate_sha256, d.test_until,
    case d.protocol when 'mqtt' then d.secret_sha256 is not null else d.sip_ha1_md5 is not null end as has_secret,
    s.seen_at, s.reply_unacknowledged_at
  from device d left join device_seen s on s.serial = d.serial`;
/** What the centre watches itself with is no device of anybody's: here it does not exist. */
const OF_PEOPLE = `municipality <> '${CANARY_MUNICIPALITY}'`;
const PAGE = 1000;
const LIST = `${BOOK} left join household h on h.id = d.household_id
  where ($1::text is null or strpos(lower(concat_ws(' ', d.serial, d.controller_id, h.id, h.name)), lower($1)) > 0)
    and ($2::text is null or d.municipality = $2) and d.serial > $3 and d.${OF_PEOPLE}
  order by d.serial limit ${PAGE}`;
const FIND = `${BOOK}
  where (d.serial = $1 or (d.protocol = 'scaip' and ltrim(d.controller_id, '0') = ltrim($1, '0'))) and d.${OF_PEOPLE} order by d.serial <> $1 limit 1`;
const REFUSALS = `
  select code, count::int, last_at from refusal_count r
  where r.source in ($1, $2) and (r.protocol = $3 or (r.protocol = 'sip' and $3 = 'scaip')) order by last_at desc limit 20`;
// HA1 holds the controller id: it fits only as long as the unit has that one.
const SET_SECRET = `
  update device set secret_sha256 = $4, sip_ha1_md5 = $5, sip_ha1_sha256 = $6
  where serial = $1 and protocol = $2 and controller_id is not distinct from $3 returning serial`;
/** In service anew, or elsewhere: its silence counts from now, and what was told of it belongs to the time before. */
const FROM_NOW = `
  , unit as (update device_seen set silence = 'none' where serial = $1 and exists (select from changed)),
  parts as (update trigger set silence = 'none' where serial = $1 and exists (select from changed))`;
const SET_STATE = `
  with changed as (update device set state = $2, watched_from = now() where serial = $1 returning serial)${FROM_NOW}
  select serial from changed`;
const MOVE = `
  with changed as (
    update device d set household_id = h.id, municipality = h.municipality, watched_from = now()
    from household h where d.serial = $1 and h.id = $2 and h.${OF_PEOPLE} returning d.municipality
  )${FROM_NOW}
  select municipality from changed`;

const instant = (date: Date | null): Instant | null => date?.getTime() ?? null;
/** What is typed may hold anything; PostgreSQL takes no NUL. */
const typed = (text: string): string => text.replaceAll('\0', '');

function bookedOf(row: BookRow): BookedDevice {
  const { serial, protocol, municipality, model, state } = row;
  return {
    serial,
    protocol,
    municipality,
    model,
    state,
    controllerId: row.controller_id,
    household: row.household_id,
    hasSecret: row.has_secret,
    hasCertificate: row.certificate_sha256 !== null,
    certificateSha256: row.certificate_sha256,
    testUntil: instant(row.test_until),
    lastSeenAt: instant(row.seen_at),
    replyUnacknowledgedAt: instant(row.reply_unacknowledged_at),
  };
}

export function createDeviceBook(postgres: Postgres): DeviceBook {
  return {
    async list({ search, municipality, after }) {
      const values = [search === null ? null : typed(search), municipality, after];
      return (await rowsOf<BookRow>(postgres, LIST, values)).map(bookedOf);
    },
    async find(name) {
      const [row] = await rowsOf<BookRow>(postgres, FIND, [typed(name)]);
      return row === undefined ? null : bookedOf(row);
    },
    async refusals({ serial, controllerId, protocol }) {
      const rows = await rowsOf<{ code: string; count: number; last_at: Date }>(postgres, REFUSALS, [serial, controllerId, protocol]);
      return rows.map(({ code, count, last_at: lastAt }) => ({ code, count, lastAt: lastAt.getTime() }));
    },
    async setSecret({ serial, protocol, controllerId }, kept) {
      const sha256 = kept?.protocol === 'mqtt' ? Buffer.from(kept.sha256) : null;
      const ha1 = kept?.protocol === 'scaip' ? kept.ha1 : null;
      const values = [serial, protocol, controllerId, sha256, ha1?.md5 ?? null, ha1?.sha256 ?? null];
      return (await rowsOf(postgres, SET_SECRET, values)).length > 0;
    },
    async ownerOf(certificateSha256) {
      const text = 'select serial from device where certificate_sha256 = $1';
      return (await rowsOf<{ serial: string }>(postgres, text, [Buffer.from(certificateSha256)]))[0]?.serial ?? null;
    },
    async setCertificate(serial, sha256) {
      const text = `update device set certificate_sha256 = $2 where serial = $1 and protocol = 'mqtt'`;
      await rowsOf(postgres, text, [serial, sha256 === null ? null : Buffer.from(sha256)]);
    },
    async setTestWindow(serial, until) {
      await rowsOf(postgres, 'update device set test_until = $2 where serial = $1', [serial, until === null ? null : toIso(until)]);
    },
    async setState(serial, state) {
      await rowsOf(postgres, SET_STATE, [serial, state]);
    },
    async move(serial, household) {
      return (await rowsOf<{ municipality: string }>(postgres, MOVE, [serial, typed(household)]))[0]?.municipality ?? null;
    },
  };
}
