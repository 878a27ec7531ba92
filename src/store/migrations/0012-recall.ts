/** What came before a batch of signals, read in a bounded number of rows however much its senders have sent. */

export const recall = /* sql */ `
-- Each look-up of an earlier message is one entry of these: the newest of the same sender, id and bytes, and any of the same
-- id. Duplicates are never looked for; a device that repeats itself for a day costs nothing here.
create index signal_same on signal (source, message_id, digest, received_at desc) where message_id is not null and verdict <> 'duplicate';
drop index signal_message;
create index signal_bytes on signal (source, digest, received_at desc) where message_id is null and verdict <> 'duplicate';
drop index signal_digest;

-- As in 0004-batches, with the bytes of those that bring an id: devices that give each message the same id have tens of
-- thousands of earlier ones, of which none is a duplicate. "used": the ids that came before, of which no message has the same
-- bytes. The function of fewer arguments stays for processes of the version before that still run.
create function prepare_batch(
  keys text[], id_sources text[], ids text[], id_digests bytea[], bytes_sources text[], digests bytea[], bytes_since timestamptz,
  closed_since timestamptz, opens boolean, fresh int,
  out earlier json, out used json, out alarms json, out closed json, out numbers text[]
) language plpgsql
-- Plans are made once, while the tables may still be empty, and must do for millions of rows: each row by its index, and of an
-- index what the limit asks for and no more.
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
set enable_bitmapscan = off set enable_sort = off
as $$
#variable_conflict use_column
declare
  held int;
begin
  with made as (
    insert into joining (key) select k from unnest(prepare_batch.keys) k order by k on conflict do nothing returning key
  ), locked as (
    select key from joining where key = any(prepare_batch.keys) and (select count(*) from made) >= 0 order by key for update
  )
  select (select count(*) from made)::int + (select count(*) from locked)::int into held;
  if held <> cardinality(prepare_batch.keys) then
    perform key from joining where key = any(prepare_batch.keys) order by key for update;
  end if;

  -- One for each pair of sender and message; and the alarms: everything that is open under the keys, and those, open or
  -- closed, that the earlier messages belong to.
  with by_id as materialized (
    select m.source, m.id as message_id, m.digest, same.received_at, same.alarm, same.marks, other.is_there
    from (select distinct u.source, u.id, u.digest
      from unnest(prepare_batch.id_sources, prepare_batch.ids, prepare_batch.id_digests) as u(source, id, digest)) m
    left join lateral (
      select s.received_at, s.alarm, s.marks from signal s
      where s.source = m.source and s.message_id = m.id and s.digest = m.digest and s.verdict <> 'duplicate'
      order by s.received_at desc limit 1) same on true
    left join lateral (
      select true as is_there from signal s
      where same.received_at is null and s.source = m.source and s.message_id = m.id and s.verdict <> 'duplicate'
      limit 1) other on true
  ), by_bytes as (
    select m.source, null::text as message_id, m.digest, same.received_at, same.alarm, same.marks
    from (select distinct u.source, u.digest from unnest(prepare_batch.bytes_sources, prepare_batch.digests) as u(source, digest)) m
    cross join lateral (
      select s.received_at, s.alarm, s.marks from signal s
      where s.source = m.source and s.digest = m.digest and s.message_id is null and s.verdict <> 'duplicate'
        and s.received_at > prepare_batch.bytes_since
      order by s.received_at desc limit 1) same
  ), before as materialized (
    select source, message_id, digest, received_at, alarm, marks from by_id where received_at is not null
    union all select * from by_bytes
  ), found as (
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
    (select json_agg(json_build_object('source', source, 'message_id', message_id)) from by_id where is_there),
    (select json_agg(found) from found)
  into earlier, used, alarms;

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
`;
