/** What makes intake cheap for PostgreSQL: documents as text, no look-ups that prove what one statement has just written. */

export const intake = /* sql */ `
-- Documents are written once and read whole: as json they are stored as they come, as jsonb they are taken apart at each write
-- and put together at each read, which was a third of what a signal cost. What no query could look into is kept out by the writer.
alter table alarm alter column fold type json;
alter table timeline alter column arms drop default;
alter table timeline alter column actor type json, alter column event type json, alter column arms type json;
alter table timeline alter column arms set default '{}';
alter table signal alter column meaning type json;

-- Alarms and their timelines are written by one statement and removed by one transaction; the auditor compares them. A foreign
-- key would lock and look up the alarm for each entry.
alter table timeline drop constraint timeline_alarm_fkey;

-- Bytes are asked for only where a message brings no id.
drop index signal_digest;
create index signal_digest on signal (source, digest, received_at desc) where message_id is null;

-- Gives the documents as they are stored now; else as in 0009-deadlines.
drop function due_deadlines;
create function due_deadlines(due_by timestamptz, most int, besides bigint[])
returns table (fold json, deadline_at timestamptz, deadline_what text) language plpgsql stable
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
`;
