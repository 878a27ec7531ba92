/** The first schema: register, people, signals, alarms, timeline, outbox, asks, duty, sessions, refusals. */

export const main = /* sql */ `
-- People and devices: the register.
create table household (
  id            text primary key,
  municipality  text not null,
  name          text not null,
  address       text not null default '',
  postcode      text not null default '',
  place         text not null default '',
  zone          text not null default '',
  lat           double precision,
  lon           double precision,
  -- How to get in: door, floor, code, key box, lock. Shown on the card and to the responder who accepted.
  access        jsonb not null default '{}',
  notes         text not null default '',
  updated_at    timestamptz not null default now()
);
create index household_municipality on household (municipality);

create table resident (
  id            text primary key,
  household_id  text not null references household,
  name          text not null,
  born          date,
  phone         text not null default '',
  language      text not null default '',
  hearing       text not null default '',
  health        text not null default '',
  away          text not null default '',
  notes         text not null default ''
);
create index resident_household on resident (household_id);

create table contact (
  id            text primary key,
  household_id  text not null references household,
  rank          int not null,
  name          text not null,
  relation      text not null default '',
  phone         text not null,
  has_key       boolean not null default false
);
create index contact_household on contact (household_id);

create table device (
  serial        text primary key,
  municipality  text not null,
  household_id  text references household,
  protocol      text not null check (protocol in ('mqtt', 'scaip')),
  controller_id text unique,
  model         text not null default 'generic/generic',
  state         text not null default 'in-service',
  -- SHA-256 of the generated secret; the secret itself is shown once and never kept.
  secret_sha256 bytea,
  test_until    timestamptz,
  created_at    timestamptz not null default now()
);
create index device_household on device (household_id);
create index device_municipality on device (municipality);

-- Signs of life are not rows of their own: the last one overwrites the one before.
create table device_seen (
  serial        text primary key references device on delete cascade,
  seen_at       timestamptz not null,
  via           text not null default '',
  battery       int,
  mains         boolean,
  signal        int,
  charging      boolean,
  online        boolean,
  lat           double precision,
  lon           double precision,
  accuracy      double precision,
  position_at   timestamptz,
  test_at       timestamptz
);

create table trigger (
  serial        text not null references device on delete cascade,
  id            text not null,
  name          text not null default '',
  room          text not null default '',
  seen_at       timestamptz,
  battery       int,
  test_at       timestamptz,
  primary key (serial, id)
);

-- What was refused or could not be placed, counted per device or address and shown to technicians.
create table refusal_count (
  protocol      text not null,
  source        text not null,
  code          text not null,
  count         bigint not null default 0,
  first_at      timestamptz not null,
  last_at       timestamptz not null,
  detail        text not null default '',
  primary key (protocol, source, code)
);

-- Staff.
create table account (
  username      text primary key,
  name          text not null,
  password_hash text not null,
  roles         text[] not null,
  -- Municipality numbers, or '*' for all.
  municipalities text[] not null,
  phone         text not null default '',
  created_at    timestamptz not null,
  disabled_at   timestamptz
);

create table session (
  -- SHA-256 of the cookie: a copy of the database signs nobody in.
  token_sha256  bytea primary key,
  username      text not null references account,
  created_at    timestamptz not null,
  expires_at    timestamptz not null
);

-- Commands of duty: the newest row of an account and team decides over the plan, until its time is over.
create table duty (
  id            bigint generated always as identity primary key,
  account       text not null,
  team          text not null,
  command       text not null check (command in ('on', 'off', 'take-over')),
  at            timestamptz not null,
  until         timestamptz not null,
  given_by      text not null,
  from_account  text
);
create index duty_account on duty (account, id desc);

create table card_opening (
  id            bigint generated always as identity primary key,
  at            timestamptz not null,
  account       text not null,
  role          text not null,
  household_id  text not null,
  alarm         bigint,
  why           text not null
);
create index card_opening_household on card_opening (household_id, at);

-- Signals and alarms: the truth.
create table joining (
  -- One row to lock per household ('household:h1') or unknown sender ('source:scaip:26317').
  key           text primary key
);

create sequence alarm_number start 1001;

create table signal (
  id            uuid primary key,
  received_at   timestamptz not null,
  protocol      text not null,
  source        text not null,
  device        text not null,
  municipality  text not null,
  household_id  text,
  message_id    text,
  digest        bytea not null,
  raw           bytea not null,
  -- What the device's model made of it; null when its processing failed.
  meaning       jsonb,
  marks         text[] not null default '{}',
  verdict       text not null check (verdict in ('opened', 'repeated', 'joined', 'kept', 'duplicate')),
  alarm         bigint
);
create index signal_message on signal (source, message_id, received_at desc);
create index signal_digest on signal (source, digest, received_at desc);
create index signal_alarm on signal (alarm) where alarm is not null;

create table alarm (
  number        bigint primary key,
  version       int not null,
  municipality  text not null,
  joining_key   text not null,
  lane          text not null,
  -- What an open alarm is joined by, within its joining key: '' for a need, device and kind for a technical one.
  lane_key      text not null,
  household_id  text,
  device        text not null,
  kind          text not null,
  priority      text not null,
  priority_rank smallint not null,
  state         text not null,
  opened_at     timestamptz not null,
  changed_at    timestamptz not null,
  closed_at     timestamptz,
  deadline_at   timestamptz,
  deadline_what text,
  claimed_by    text,
  asked         text[] not null default '{}',
  -- The fold of the timeline (src/alarms/alarm.ts).
  fold          jsonb not null
);
-- Joining is safe under concurrency because of this index, whatever the locks do.
create unique index alarm_open on alarm (joining_key, lane, lane_key) where closed_at is null;
create index alarm_due on alarm (deadline_at) where closed_at is null;
create index alarm_board on alarm (priority_rank, opened_at, number) where closed_at is null;
create index alarm_closed on alarm (closed_at desc, number desc) where closed_at is not null;
create index alarm_household on alarm (household_id, opened_at desc);
create index alarm_joining_closed on alarm (joining_key, closed_at desc) where closed_at is not null;
create index alarm_changed on alarm (changed_at);

-- An operator's claim holds as long as this lease is renewed; not an event, since it changes every few seconds.
create table claim_lease (
  alarm         bigint primary key references alarm,
  account       text not null,
  until         timestamptz not null
);
create index claim_lease_account on claim_lease (account);
create index claim_lease_until on claim_lease (until);

create table timeline (
  alarm         bigint not null references alarm,
  version       int not null,
  at            timestamptz not null,
  done_at       timestamptz,
  actor         jsonb not null,
  event         jsonb not null,
  arms          jsonb not null default '{}',
  primary key (alarm, version)
);

-- An account's command that was carried out, by its idempotency key.
create table command_key (
  account       text not null,
  key           text not null,
  alarm         bigint not null,
  answer        jsonb not null,
  at            timestamptz not null,
  primary key (account, key)
);

-- What the relay must still publish; a row goes when it was published.
create table outbox (
  id            bigint generated always as identity primary key,
  alarm         bigint not null,
  version       int not null,
  created_at    timestamptz not null
);

-- One request to one person over one channel. Pending until the result was recorded, whatever a queue says.
create table ask (
  id            uuid primary key,
  alarm         bigint not null references alarm,
  account       text not null,
  channel       text not null,
  priority_rank smallint not null,
  state         text not null check (state in ('pending', 'sent', 'delivered', 'failed', 'withdrawn')),
  due_at        timestamptz not null,
  -- When it is tried (again); pushed forward by each lease and each failure.
  try_at        timestamptz not null,
  attempts      int not null default 0,
  provider_id   text,
  recorded_at   timestamptz,
  created_at    timestamptz not null
);
create index ask_pending on ask (try_at) where state = 'pending';
create index ask_alarm on ask (alarm);
create index ask_sent on ask (recorded_at) where state = 'sent';
`;
