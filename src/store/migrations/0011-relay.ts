/** How the relay takes what must go out: calls for help first, each alarm by its key whatever the tables held when plans were made. */

export const relay = /* sql */ `
alter table outbox add column priority_rank smallint not null default 3;
create index outbox_order on outbox (priority_rank, id);

-- The most urgent first, then the oldest; with the last row of each alarm its fold, of the same snapshot. Planned while alarm
-- is empty, a plain statement would read all alarms for each row.
create function take_outbox(most int)
returns table (id bigint, alarm bigint, created_at timestamptz, oldest_at timestamptz, fold json) language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
declare
  first_at timestamptz := (select o.created_at from outbox o order by o.id limit 1);
begin
  return query
    select o.id, o.alarm, o.created_at, first_at, case when o.id = o.last then (select a.fold from alarm a where a.number = o.alarm) end
    from (select t.id, t.alarm, t.created_at, t.priority_rank, max(t.id) over (partition by t.alarm) as last from
      (select b.id, b.alarm, b.created_at, b.priority_rank from outbox b order by b.priority_rank, b.id limit most) t) o
    order by o.priority_rank, o.id;
end
$$;

create function alarm_folds(numbers bigint[])
returns table (number bigint, fold json) language plpgsql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off
as $$
begin
  return query select a.number, a.fold from alarm a where a.number = any(numbers);
end
$$;
`;
