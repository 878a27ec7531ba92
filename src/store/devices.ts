/** Devices in PostgreSQL: the register as intake asks it, refusals, and the list for technicians. */
import { CANARY_MUNICIPALITY } from '../alarms/canary.ts';
import { toIso } from '../base/clock.ts';
import type { DevicePage } from '../console/api-schema.ts';
import type { DeviceQuery, ListDevices } from '../console/desk-routes.ts';
import { credentialState } from '../devices/credentials.ts';
import type { Models } from '../devices/models.ts';
import type { RefusalStore } from '../devices/refusals.ts';
import type { DeviceSource } from '../devices/register-following.ts';
import type { DeviceRecord } from '../devices/register.ts';
import { UNSUPERVISED_STATES } from '../devices/silence.ts';
import { ALL_MUNICIPALITIES, type Viewer } from '../people/access.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

interface RecordRow {
  readonly serial: string;
  readonly municipality: string;
  readonly protocol: 'mqtt' | 'scaip';
  readonly controller_id: string | null;
  readonly model: string;
  readonly state: string;
  readonly secret_sha256: Buffer | null;
  readonly sip_ha1_md5: string | null;
  readonly sip_ha1_sha256: string | null;
  readonly certificate_sha256: Buffer | null;
  readonly test_until: Date | null;
  readonly household_id: string | null;
  readonly household_name: string | null;
  readonly zone: string | null;
}

const CHANGES = 'select until::text, serials from register_changes($1::xid8, $2)';

export function createDeviceSource(postgres: Postgres): DeviceSource {
  return {
    async changes(since, most) {
      const values = [since?.toString() ?? null, most];
      const [row] = await rowsOf<{ until: string; serials: string[] }>(postgres, CHANGES, values, 'register-changes');
      if (row === undefined) throw new TypeError('register_changes gave no row');
      return { until: BigInt(row.until), serials: row.serials };
    },
    async page(after, most) {
      return (await rowsOf<RecordRow>(postgres, 'select * from register_page($1, $2)', [after, most], 'register-page')).map(recordOf);
    },
    async records(serials) {
      return (await rowsOf<RecordRow>(postgres, 'select * from register_records($1)', [serials], 'register-records')).map(recordOf);
    },
  };
}

function recordOf(row: RecordRow): DeviceRecord {
  const { serial, municipality, protocol, model, state } = row;
  const household = row.household_id === null ? null : { id: row.household_id, name: row.household_name ?? '', zone: row.zone ?? '' };
  return {
    serial,
    municipality,
    household,
    protocol,
    controllerId: row.controller_id,
    model,
    state,
    secretSha256: row.secret_sha256,
    sipHa1: row.sip_ha1_md5 === null || row.sip_ha1_sha256 === null ? null : { md5: row.sip_ha1_md5, sha256: row.sip_ha1_sha256 },
    certificateSha256: row.certificate_sha256,
    testUntil: row.test_until?.getTime() ?? null,
  };
}

/** So many different refusals are kept; the names in them can be made up by anybody. */
const MOST_REFUSALS = 10_000;
// Those of devices of the register always find room. For the rest the oldest of nobody's give way; while there is room, none is looked for.
const ADD_REFUSALS = `
  with told as (
    select r.* from jsonb_to_recordset($1::jsonb)
      as r(protocol text, source text, code text, count bigint, "firstAt" timestamptz, "lastAt" timestamptz, detail text)
  ), too_many as (
    select greatest(0, (select count(*) from refusal_count) - $2 + (select count(*) from told
      where not exists (select from refusal_count k where (k.protocol, k.source, k.code) = (told.protocol, told.source, told.code)))) as n
  ), gone as (
    delete from refusal_count where (protocol, source, code) in (
      select r.protocol, r.source, r.code from refusal_count r
      where not exists (select from device d where (d.protocol, d.serial) = (r.protocol, r.source))
        and not exists (select from device d where (d.protocol, d.controller_id) = (r.protocol, r.source))
        and not exists (select from told where (told.protocol, told.source, told.code) = (r.protocol, r.source, r.code))
      order by r.last_at limit (select n from too_many) for update of r skip locked)
  )
  insert into refusal_count as s (protocol, source, code, count, first_at, last_at, detail)
  select protocol, source, code, count, "firstAt", "lastAt", detail from told
  order by protocol, source, code
  on conflict (protocol, source, code) do update set
    count = s.count + excluded.count, last_at = greatest(s.last_at, excluded.last_at), detail = excluded.detail`;

export function createRefusalStore(postgres: Postgres): RefusalStore {
  return {
    async addRefusals(counts) {
      const rows = counts.map((one) => ({ ...one, firstAt: toIso(one.firstAt), lastAt: toIso(one.lastAt) }));
      await rowsOf(postgres, ADD_REFUSALS, [JSON.stringify(rows), MOST_REFUSALS]);
    },
  };
}

type ListedDevice = DevicePage['devices'][number];
interface ListRow extends Omit<ListedDevice, 'lastSeenAt' | 'replyUnacknowledgedAt' | 'protocol' | 'credentials'> {
  readonly protocol: 'mqtt' | 'scaip';
  readonly hasSecret: boolean;
  readonly hasCertificate: boolean;
  readonly lastSeenAt: Date | null;
  readonly replyUnacknowledgedAt: Date | null;
}

/** Rows as JSON come with PostgreSQL's way of writing an instant; this is ours. */
const ISO = (column: string): string => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
const REFUSED_OF = `r.source in (d.serial, d.controller_id) and r.protocol = d.protocol`;
/** Of what nobody expects to speak, silence is not told. */
const EXPECTED = 'd.state <> all ($6)';
const LIST = `
  select d.serial, d.municipality, h.name as "householdName", d.model, d.protocol, d.state, s.seen_at as "lastSeenAt", s.battery, s.mains, s.online,
    case when ${EXPECTED} then coalesce(s.silence, 'none') else 'none' end as silence, s.reply_unacknowledged_at as "replyUnacknowledgedAt", d.certificate_sha256 is not null as "hasCertificate",
    case d.protocol when 'mqtt' then d.secret_sha256 is not null else d.sip_ha1_md5 is not null end as "hasSecret",
    (select coalesce(jsonb_agg(jsonb_build_object('id', t.id, 'name', t.name, 'room', t.room, 'seenAt', ${ISO('t.seen_at')}, 'battery', t.battery,
      'silence', case when ${EXPECTED} then t.silence else 'none' end)
      order by t.id), '[]') from trigger t where t.serial = d.serial) as triggers,
    (select coalesce(jsonb_agg(jsonb_build_object('code', r.code, 'count', r.count, 'lastAt', ${ISO('r.last_at')}) order by r.last_at desc), '[]')
      from refusal_count r where ${REFUSED_OF}) as refusals
  from device d left join household h on h.id = d.household_id left join device_seen s on s.serial = d.serial
  where case when $1::text[] is null then d.municipality <> '${CANARY_MUNICIPALITY}' else d.municipality = any($1) end
    and ($2::text is null or strpos(lower(concat_ws(' ', d.serial, d.controller_id, h.name)), lower($2)) > 0)
    and (not $3 or exists (select from refusal_count r where ${REFUSED_OF}))
    and ($4::text is null or d.serial > $4)
    and (not $7 or ${EXPECTED} and (s.silence <> 'none' or exists (select from trigger t where t.serial = d.serial and t.silence <> 'none')))
  order by d.serial limit $5`;

interface RefusalRow {
  readonly protocol: string;
  readonly source: string;
  readonly code: string;
  readonly count: string;
  readonly last_at: Date;
}

// What is in the register is told with its device; nobody's municipality is known of the rest.
const STRANGERS = `
  select r.protocol, r.source, r.code, r.count, r.last_at from refusal_count r
  where not exists (select from device d where ${REFUSED_OF})
    and ($1::text is null or strpos(lower(r.source), lower($1)) > 0)
  order by r.last_at desc limit 200`;

export function createDeviceList(postgres: Postgres, models: Pick<Models, 'get'>): ListDevices {
  return async (viewer: Viewer, { search, refused, silent, cursor, limit }: DeviceQuery): Promise<DevicePage> => {
    const municipalities = viewer.municipalities.includes(ALL_MUNICIPALITIES) ? null : viewer.municipalities;
    const after = cursor === null ? null : Buffer.from(cursor, 'base64url').toString('latin1').replaceAll('\0', '');
    const wanted = search?.replaceAll('\0', '') ?? null;
    const values = [municipalities, wanted, refused, after, limit + 1, UNSUPERVISED_STATES, silent];
    const rows = await rowsOf<ListRow>(postgres, LIST, values);
    const strangers = cursor === null ? await rowsOf<RefusalRow>(postgres, STRANGERS, [wanted]) : [];
    const devices = rows.slice(0, limit).map(({ hasSecret, hasCertificate, lastSeenAt, replyUnacknowledgedAt, ...row }) => ({
      ...row,
      lastSeenAt: lastSeenAt?.toISOString() ?? null,
      replyUnacknowledgedAt: replyUnacknowledgedAt?.toISOString() ?? null,
      credentials: credentialState({ protocol: row.protocol, hasSecret, hasCertificate }, models.get(row.model).scaip),
    }));
    const last = devices.at(-1);
    return {
      devices,
      refusals: strangers.map(({ last_at, count, ...one }) => ({ ...one, count: Number(count), lastAt: last_at.toISOString() })),
      ...(rows.length > limit && last !== undefined ? { next: Buffer.from(last.serial, 'latin1').toString('base64url') } : {}),
    };
  };
}
