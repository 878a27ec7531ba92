/** What the protocols need to remember: credentials, registrations, messages held for their credentials, silence, gaps. */

export const protocols = /* sql */ `
alter table device
  -- It was put into service, or into another home: its silence counts from then.
  add column watched_from timestamptz,
  -- HA1 of SIP digest (RFC 2617, RFC 7616), hexadecimal: the secret itself is shown once and never kept.
  add column sip_ha1_md5 text,
  add column sip_ha1_sha256 text,
  -- SHA-256 of the client certificate (DER) that stands for this device over MQTT.
  add column certificate_sha256 bytea unique;

alter table device_seen
  add column silence text not null default 'none' check (silence in ('none', 'late', 'lost')),
  -- When it was heard again after a silence: what lies behind it could not be heard before.
  add column back_at timestamptz,
  -- A technical signal told of its battery, and none that it was charged again.
  add column battery_low boolean not null default false,
  -- Since when the unit has not acknowledged a reply of ours; null when it does.
  add column reply_unacknowledged_at timestamptz;
create index device_seen_silent on device_seen (silence) where silence <> 'none';

-- A heartbeat overwrites a row: with room on its page no index is touched, and what died is cleared by the next one.
alter table device_seen set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1);

alter table trigger
  -- A heartbeat or a list of its unit told of it: only of such a one silence is a fault. Others are heard when they are pressed.
  add column reports boolean not null default false,
  add column silence text not null default 'none' check (silence in ('none', 'late', 'lost')),
  add column battery_low boolean not null default false;
create index trigger_silent on trigger (silence) where silence <> 'none';
alter table trigger set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1);

-- Alarms without valid credentials of units that need them: shown at due_at unless the same message comes with them.
create table held_signal (
  id            uuid primary key,
  source        text not null,
  digest        bytea not null,
  held_at       timestamptz not null,
  due_at        timestamptz not null,
  signal        jsonb not null,
  raw           bytea not null,
  unique (source, digest)
);
create index held_signal_due on held_signal (due_at);

-- Where a registered SIP unit can be reached, until its registration expires.
create table sip_binding (
  unit          text primary key,
  transport     text not null check (transport in ('udp', 'tcp', 'tls')),
  address       text not null,
  port          int not null,
  contact       text not null,
  registered_at timestamptz not null,
  expires_at    timestamptz not null
);

-- When the centre could hear its devices; the newest span is carried on. Silence outside of these spans is nobody's fault.
create table listening (
  id            bigint generated always as identity primary key,
  from_at       timestamptz not null,
  until_at      timestamptz not null,
  -- When silence was judged last: of several processes one does it.
  judged_at     timestamptz not null
);

-- What is known of a session at an external broker: what came after seen_at and before a new session may be lost.
create table bridge_session (
  client_id     text primary key,
  connected_at  timestamptz not null,
  seen_at       timestamptz not null,
  -- What the session is subscribed to.
  filters       text[] not null default '{}',
  -- Since when it has had these subscriptions for so long that nothing from before can be under way; null: not yet.
  settled_at    timestamptz,
  -- A loss that was noticed and is not yet told.
  gap_from      timestamptz,
  -- The broker gives back to it what it publishes under its own subscription: how a session is proven.
  echoes        boolean not null default false
);
`;
