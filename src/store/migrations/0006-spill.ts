/** The nodes of a centre and what the spill leaves behind: provisional numbers as aliases. */

export const spill = /* sql */ `
-- Processes of this centre that live; who has not been heard for 15 s is dead.
create table node (
  id uuid primary key,
  roles text[] not null,
  -- host:port of the direct stream, and the SHA-256 of its certificate where it speaks TLS.
  direct text,
  direct_sha256 text,
  http text,
  mqtt text,
  sip_udp text,
  heard_at timestamptz not null
);

-- What an alarm was called while its signal lay in a spill. Without a reference: an alias is written after its alarm.
create table alarm_alias (alias text primary key, alarm bigint not null);

-- What the processes of this centre prove to one another that they belong to it.
create table centre_secret (name text primary key, secret text not null, made_at timestamptz not null);
`;
