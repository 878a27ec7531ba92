/** The tables as kysely sees them; migrations/ is what makes them. Instants are `Date` here and numbers everywhere else. */
import type { ColumnType, Generated, JSONColumnType } from 'kysely';
import type { Alarm } from '../alarms/alarm.ts';
import type { Actor } from '../alarms/command.ts';
import type { AlarmEvent } from '../alarms/event.ts';
import type { Meaning } from '../alarms/signal.ts';

type Json<T extends object> = JSONColumnType<T, string, string>;
type NullableJson<T extends object> = ColumnType<T | null, string | null, string | null>;
/** `bigint` columns come back as text. */
type BigintText = ColumnType<string, string, string>;
type TextList = ColumnType<string[], readonly string[] | undefined, readonly string[]>;

export interface Database {
  household: {
    id: string;
    municipality: string;
    name: string;
    address: Generated<string>;
    postcode: Generated<string>;
    place: Generated<string>;
    zone: Generated<string>;
    lat: number | null;
    lon: number | null;
    access: ColumnType<Record<string, string>, string | undefined, string>;
    notes: Generated<string>;
    updated_at: ColumnType<Date, Date | undefined, Date>;
  };
  resident: {
    id: string;
    household_id: string;
    name: string;
    born: ColumnType<string | null, string | null, string | null>;
    phone: Generated<string>;
    language: Generated<string>;
    hearing: Generated<string>;
    health: Generated<string>;
    away: Generated<string>;
    notes: Generated<string>;
  };
  contact: {
    id: string;
    household_id: string;
    rank: number;
    name: string;
    relation: Generated<string>;
    phone: string;
    has_key: Generated<boolean>;
  };
  device: {
    serial: string;
    municipality: string;
    household_id: string | null;
    protocol: 'mqtt' | 'scaip';
    controller_id: string | null;
    model: Generated<string>;
    state: Generated<string>;
    secret_sha256: Buffer | null;
    sip_ha1_md5: Generated<string | null>;
    sip_ha1_sha256: Generated<string | null>;
    certificate_sha256: Generated<Buffer | null>;
    test_until: Date | null;
    created_at: ColumnType<Date, Date | undefined, Date>;
  };
  device_seen: {
    serial: string;
    seen_at: Date;
    via: Generated<string>;
    battery: number | null;
    mains: boolean | null;
    signal: number | null;
    charging: boolean | null;
    online: boolean | null;
    lat: number | null;
    lon: number | null;
    accuracy: number | null;
    position_at: Date | null;
    test_at: Date | null;
  };
  trigger: {
    serial: string;
    id: string;
    name: Generated<string>;
    room: Generated<string>;
    seen_at: Date | null;
    battery: number | null;
    test_at: Date | null;
  };
  refusal_count: {
    protocol: string;
    source: string;
    code: string;
    count: BigintText;
    first_at: Date;
    last_at: Date;
    detail: Generated<string>;
  };
  account: {
    username: string;
    name: string;
    password_hash: string;
    roles: TextList;
    municipalities: TextList;
    phone: Generated<string>;
    created_at: Date;
    disabled_at: Date | null;
  };
  session: {
    token_sha256: Buffer;
    username: string;
    created_at: Date;
    expires_at: Date;
  };
  duty: {
    id: Generated<string>;
    account: string;
    team: string;
    command: 'on' | 'off' | 'take-over';
    at: Date;
    until: Date;
    given_by: string;
    from_account: string | null;
  };
  card_opening: {
    id: Generated<string>;
    at: Date;
    account: string;
    role: string;
    household_id: string;
    alarm: string | null;
    why: string;
  };
  joining: { key: string };
  signal: {
    id: string;
    received_at: Date;
    protocol: string;
    source: string;
    device: string;
    municipality: string;
    household_id: string | null;
    message_id: string | null;
    digest: Buffer;
    raw: Buffer;
    meaning: NullableJson<Meaning>;
    marks: TextList;
    verdict: 'opened' | 'repeated' | 'joined' | 'kept' | 'duplicate';
    alarm: string | null;
  };
  alarm: {
    number: BigintText;
    version: number;
    municipality: string;
    joining_key: string;
    lane: string;
    lane_key: string;
    household_id: string | null;
    device: string;
    kind: string;
    priority: string;
    priority_rank: number;
    state: string;
    opened_at: Date;
    changed_at: Date;
    closed_at: Date | null;
    deadline_at: Date | null;
    deadline_what: string | null;
    claimed_by: string | null;
    asked: TextList;
    fold: Json<Alarm>;
  };
  claim_lease: { alarm: BigintText; account: string; until: Date };
  timeline: {
    alarm: BigintText;
    version: number;
    at: Date;
    done_at: Date | null;
    actor: Json<Actor>;
    event: Json<AlarmEvent>;
    arms: ColumnType<Record<string, number | null>, string, string>;
  };
  command_key: {
    account: string;
    key: string;
    alarm: BigintText;
    answer: ColumnType<unknown, string, string>;
    at: Date;
  };
  outbox: { id: Generated<string>; alarm: BigintText; version: number; created_at: Date; priority_rank: Generated<number> };
  ask: {
    id: string;
    alarm: BigintText;
    account: string;
    channel: string;
    priority_rank: number;
    state: 'pending' | 'sent' | 'delivered' | 'failed' | 'withdrawn';
    due_at: Date;
    try_at: Date;
    attempts: Generated<number>;
    provider_id: string | null;
    recorded_at: Date | null;
    created_at: Date;
  };
}
