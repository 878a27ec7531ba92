/** What the desk asks for each batch of commands, and what the sweep asks at each look: planned once, in one round trip. */

export const deadlines = /* sql */ `
-- The most urgent first, and among them the longest overdue: read in this order, however many are due.
create index alarm_due_by_rank on alarm (priority_rank, deadline_at) where closed_at is null;
drop index alarm_due;

-- Locks alarms in the order of their numbers, then reads them, their leases, and the answers that were stored with these keys:
-- each statement sees what was committed before it began. With "waits", those that somebody else has locked are waited for;
-- without it they are left out, so that a batch never waits for a lock while it holds others.
create function lock_alarms(
  numbers bigint[], waits boolean, accounts text[], keys text[],
  out alarms json, out leases json, out answers json
) language plpgsql
-- Plans are made once, while the tables may still be empty, and must do for millions of rows: each row by its index.
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  if lock_alarms.waits then
    with held as (
      select a.number::text, a.fold, a.joining_key, a.lane_key from alarm a
      where a.number = any(lock_alarms.numbers) order by a.number for update
    )
    select json_agg(held) into alarms from held;
  else
    with held as (
      select a.number::text, a.fold, a.joining_key, a.lane_key from alarm a
      where a.number = any(lock_alarms.numbers) order by a.number for update skip locked
    )
    select json_agg(held) into alarms from held;
  end if;
  select json_object_agg(l.alarm, (extract(epoch from l.until) * 1000)::float8) into leases
  from claim_lease l where l.alarm = any(lock_alarms.numbers);
  if cardinality(lock_alarms.keys) > 0 then
    select json_agg(json_build_object('account', k.account, 'key', k.key, 'answer', k.answer)) into answers
    from unnest(lock_alarms.accounts, lock_alarms.keys) as m(account, key)
    join command_key k on k.account = m.account and k.key = m.key;
  end if;
end
$$;

-- Open alarms whose deadline is over, without a lock. Rank by rank, so that the index gives them in their order and the
-- limit ends the reading.
create function due_deadlines(due_by timestamptz, most int, besides bigint[])
returns table (fold jsonb, deadline_at timestamptz, deadline_what text) language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  left_over int := most;
  found_here int;
begin
  for rank in 0..3 loop
    exit when left_over <= 0;
    return query
      select a.fold, a.deadline_at, a.deadline_what from alarm a
      where a.closed_at is null and a.priority_rank = rank and a.deadline_at <= due_by and a.number <> all(besides)
      order by a.deadline_at limit left_over;
    get diagnostics found_here = row_count;
    left_over := left_over - found_here;
  end loop;
end
$$;

-- What changes of alarms do to their pending asks: each effect is about an alarm, one account of it or all (null), and leaves
-- alone the asks that were made after it. Rows are locked in the order of their ids, here and wherever several asks are
-- written: two batches cannot wait for each other in a circle.
-- "state || ''", here and below: a plan that is made while the table is empty would else take one of the indexes of what is
-- pending, and read all of it, ten thousands of rows, for the few of an alarm. "lateral … offset 0" is for
-- the same: such a plan would else go through all asks there ever were, and look for each whether it is about one of the alarms.
create function change_asks(withdrawn jsonb, hastened jsonb, at timestamptz) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  ids uuid[];
begin
  if jsonb_array_length(withdrawn) > 0 then
    ids := array(
      select found.id from jsonb_to_recordset(withdrawn) as e(alarm bigint, account text, besides uuid[]) cross join lateral (
        select k.id from ask k where k.alarm = e.alarm and k.state || '' = 'pending'
          and (e.account is null or e.account = k.account) and k.id <> all(e.besides) offset 0) found);
    ids := array(select k.id from ask k where k.id = any(ids) and k.state || '' = 'pending' order by k.id for update);
    update ask set state = 'withdrawn', recorded_at = change_asks.at where id = any(ids);
  end if;
  -- Delays and the pace of messages are for what is not about life.
  if jsonb_array_length(hastened) > 0 then
    ids := array(
      select found.id from jsonb_to_recordset(hastened) as e(alarm bigint, besides uuid[]) cross join lateral (
        select k.id from ask k where k.alarm = e.alarm and k.state || '' = 'pending' and k.attempts = 0
          and k.id <> all(e.besides) offset 0) found);
    ids := array(
      select k.id from ask k where k.id = any(ids) and k.state || '' = 'pending' and k.attempts = 0 order by k.id for update);
    update ask set priority_rank = 0, due_at = least(due_at, change_asks.at), try_at = least(try_at, change_asks.at)
    where id = any(ids);
  end if;
end
$$;

-- Pending asks that are to be tried before an instant, the most urgent first: read as due_deadlines.
drop index ask_pending;
create function due_asks(from_rank int, to_rank int, until timestamptz, most int)
returns table (id uuid, try_at timestamptz) language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  left_over int := most;
  found_here int;
begin
  for rank in from_rank..to_rank loop
    exit when left_over <= 0;
    return query
      select k.id, k.try_at from ask k where k.state = 'pending' and k.priority_rank = rank and k.try_at <= until
      order by k.try_at limit left_over;
    get diagnostics found_here = row_count;
    left_over := left_over - found_here;
  end loop;
end
$$;

-- Takes those that are pending and due. An SMS about anything but life is only found,
-- and not locked: its person's pace decides about it, and a message that gathers leaves out what is locked, for a minute.
-- Skip locked: what somebody else is taking is not waited for, and no two leases can wait for each other.
create function lease_asks(ids uuid[], now timestamptz, until timestamptz)
returns table (
  id uuid, alarm bigint, account text, channel text, due_at timestamptz, attempt int, priority text, municipality text, zone text,
  phone text, paced boolean
) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
#variable_conflict use_column
begin
  return query
    with wanted as (
      select k.id, a.priority, a.municipality, a.fold->'household'->>'zone' as zone, coalesce(p.phone, '') as phone
      from ask k join alarm a on a.number = k.alarm left join account p on p.username = k.account and p.disabled_at is null
      where k.id = any(lease_asks.ids) and k.state || '' = 'pending' and k.try_at <= lease_asks.now
        and not (k.channel = 'sms' and a.priority_rank > 0)
      order by k.id for update of k skip locked
    ), taken as (
      update ask k set try_at = lease_asks.until, attempts = k.attempts + 1 from wanted w where k.id = w.id
      returning k.id, k.alarm, k.account, k.channel, k.due_at, k.attempts, w.priority, w.municipality, w.zone, w.phone, false
    )
    select * from taken
    union all select k.id, null, k.account, null, null, null, null, null, null, null, true
      from ask k join alarm a on a.number = k.alarm
      where k.id = any(lease_asks.ids) and k.state || '' = 'pending' and k.try_at <= lease_asks.now
        and k.channel = 'sms' and a.priority_rank > 0;
end
$$;

-- How asks went; a sent one keeps the instant of sending, and is looked for a report later. What was withdrawn stays so.
create function record_asks(results jsonb) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  with told as (
    select * from jsonb_to_recordset(results) as r(id uuid, outcome text, provider_id text, recorded_at timestamptz, try_at timestamptz)
  ), locked as (
    select k.id from ask k where k.id = any(array(select t.id from told t)) order by k.id for update
  )
  update ask k set state = t.outcome, provider_id = coalesce(t.provider_id, k.provider_id), recorded_at = t.recorded_at, try_at = t.try_at
  from locked l join told t on t.id = l.id
  where k.id = l.id and k.state in ('pending', 'sent') and k.state <> t.outcome;
end
$$;

-- These people's other asks about these alarms are due now: a channel has failed, waiting for the next helps nobody.
create function hasten_asks(alarms bigint[], accounts text[], now timestamptz) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  ids uuid[];
begin
  ids := array(
    select found.id from unnest(hasten_asks.alarms, hasten_asks.accounts) as m(alarm, account) cross join lateral (
      select k.id from ask k where k.alarm = m.alarm and k.account = m.account and k.state || '' = 'pending'
        and k.due_at > hasten_asks.now offset 0) found);
  ids := array(
    select k.id from ask k where k.id = any(ids) and k.state || '' = 'pending' and k.due_at > hasten_asks.now order by k.id for update);
  update ask set due_at = hasten_asks.now, try_at = hasten_asks.now where id = any(ids);
end
$$;
`;
