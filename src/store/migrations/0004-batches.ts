/** What intake asks for each batch of signals: senders, locks, what came before, numbers; planned once, in few round trips. */

export const batches = /* sql */ `
-- Each statement sees what was committed before it began: the recall sees what others did while this waited for their locks.
create function prepare_batch(
  keys text[], id_sources text[], ids text[], bytes_sources text[], digests bytea[], bytes_since timestamptz,
  closed_since timestamptz, opens boolean, fresh int,
  out earlier json, out alarms json, out closed json, out numbers text[]
) language plpgsql
-- Plans are made once, while the tables may still be empty, and must do for millions of rows: each row by its index.
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  held int;
begin
  -- Makes the keys that are not there and locks all, in order: two batches cannot wait for each other in a circle, and the
  -- household always comes before its alarms. A key that somebody else made while this waited is neither made nor seen
  -- here: then fewer are held than were asked for, and the next statement, which sees it, locks it.
  with made as (
    insert into joining (key) select k from unnest(prepare_batch.keys) k order by k on conflict do nothing returning key
  ), locked as (
    select key from joining where key = any(prepare_batch.keys) and (select count(*) from made) >= 0 order by key for update
  )
  select (select count(*) from made)::int + (select count(*) from locked)::int into held;
  if held <> cardinality(prepare_batch.keys) then
    perform key from joining where key = any(prepare_batch.keys) order by key for update;
  end if;

  -- Earlier messages with the same id, or without id the same bytes, one for each pair of sender and message; and the
  -- alarms: everything that is open under the keys, and those, open or closed, that the earlier messages belong to.
  with by_id as (
    select distinct on (s.source, s.message_id, s.digest) s.source, s.message_id, s.digest, s.received_at, s.alarm, s.marks
    from unnest(prepare_batch.id_sources, prepare_batch.ids) as m(source, id)
    join signal s on s.source = m.source and s.message_id = m.id
    where s.verdict <> 'duplicate'
    order by s.source, s.message_id, s.digest, s.received_at desc
  ), by_bytes as (
    select distinct on (s.source, s.digest) s.source, null::text as message_id, s.digest, s.received_at, s.alarm, s.marks
    from unnest(prepare_batch.bytes_sources, prepare_batch.digests) as m(source, digest)
    join signal s on s.source = m.source and s.digest = m.digest
    where s.received_at > prepare_batch.bytes_since and s.message_id is null and s.verdict <> 'duplicate'
    order by s.source, s.digest, s.received_at desc
  ), before as materialized (select * from by_id union all select * from by_bytes),
  found as (
    select a.fold, a.joining_key, a.lane, a.lane_key from alarm a
    where a.number = any(array(
      select o.number from alarm o where o.closed_at is null and o.joining_key = any(prepare_batch.keys)
      union select b.alarm from before b where b.alarm is not null))
    order by a.number for update
  )
  select
    (select json_agg(json_build_object('source', source, 'message_id', message_id, 'digest', encode(digest, 'hex'),
      'at', (extract(epoch from received_at) * 1000)::float8, 'alarm', alarm::text,
      'unproven', 'unauthenticated' = any(marks))) from before),
    (select json_agg(found) from found)
  into earlier, alarms;

  -- What opening takes: the needs that were closed last, and numbers. Asked after the alarms were locked: the desk may have
  -- closed one while the statement before waited for its row.
  if opens then
    select json_agg(c) into closed from (
      select distinct on (a.joining_key) a.joining_key, a.number::text, (extract(epoch from a.closed_at) * 1000)::float8 as at
      from alarm a
      where a.joining_key = any(prepare_batch.keys) and a.lane = 'need' and a.closed_at > prepare_batch.closed_since
      order by a.joining_key, a.closed_at desc
    ) c;
  end if;
  numbers := array(select nextval('alarm_number')::text from generate_series(1, fresh));
end
$$;

-- Who these devices are; asked for most messages, and planned once.
create function find_devices(serials text[], controller_ids text[])
returns table (
  serial text, municipality text, protocol text, controller_id text, model text, state text, secret_sha256 bytea,
  sip_ha1_md5 text, sip_ha1_sha256 text, certificate_sha256 bytea, test_until timestamptz,
  household_id text, household_name text, zone text
) language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  return query
    select d.serial, d.municipality, d.protocol, d.controller_id, d.model, d.state, d.secret_sha256,
      d.sip_ha1_md5, d.sip_ha1_sha256, d.certificate_sha256, d.test_until, h.id, h.name, h.zone
    from device d left join household h on h.id = d.household_id
    where d.protocol = 'mqtt' and d.serial = any(serials)
    union all
    select d.serial, d.municipality, d.protocol, d.controller_id, d.model, d.state, d.secret_sha256,
      d.sip_ha1_md5, d.sip_ha1_sha256, d.certificate_sha256, d.test_until, h.id, h.name, h.zone
    from device d left join household h on h.id = d.household_id
    where d.protocol = 'scaip' and d.controller_id = any(controller_ids);
end
$$;
`;
