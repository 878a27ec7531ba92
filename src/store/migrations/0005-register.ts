/** How intake follows changes of the register: each row that matters to it carries the transaction that changed it last. */

export const register = /* sql */ `
-- What a reader has not seen yet, it finds by number: whatever was committed before its last look had ended, or was still
-- running and is not below the oldest transaction that ran then. So it looks again from there, in whatever order writers
-- commit. A number drawn under a lock would say the same, but an import of ten thousand devices would hold that lock for
-- seconds, and two writers could wait for each other.
alter table device add column changed xid8 not null default '0';
alter table household add column changed xid8 not null default '0';
alter table device alter column changed set default pg_current_xact_id();
create index device_changed on device (changed);
create index household_changed on household (changed);

-- Devices that are not there any more. The empty serial: all of them.
create table device_gone (
  serial  text primary key,
  changed xid8 not null
);
create index device_gone_changed on device_gone (changed);

create function note_changed() returns trigger language plpgsql as $$
begin
  new.changed := pg_current_xact_id();
  return new;
end
$$;
-- Only what intake reads; what a household's card says, or when a device is watched from, is nothing to it.
create trigger device_changed before update on device for each row
  when ((old.serial, old.municipality, old.household_id, old.protocol, old.controller_id, old.model, old.state, old.secret_sha256,
      old.sip_ha1_md5, old.sip_ha1_sha256, old.certificate_sha256, old.test_until)
    is distinct from (new.serial, new.municipality, new.household_id, new.protocol, new.controller_id, new.model, new.state,
      new.secret_sha256, new.sip_ha1_md5, new.sip_ha1_sha256, new.certificate_sha256, new.test_until))
  execute function note_changed();
create trigger household_changed before update on household for each row
  when ((old.name, old.zone) is distinct from (new.name, new.zone)) execute function note_changed();

create function note_gone() returns trigger language plpgsql as $$
begin
  insert into device_gone (serial, changed) values (case tg_op when 'TRUNCATE' then '' else old.serial end, pg_current_xact_id())
  on conflict (serial) do update set changed = excluded.changed;
  return null;
end
$$;
create trigger device_gone after delete on device for each row execute function note_gone();
create trigger device_renamed after update of serial on device for each row
  when (old.serial <> new.serial) execute function note_gone();
create trigger devices_gone after truncate on device for each statement execute function note_gone();

-- find_devices stays for processes of the version before this one.
create view device_record as
  select d.serial, d.municipality, d.protocol, d.controller_id, d.model, d.state, d.secret_sha256, d.sip_ha1_md5, d.sip_ha1_sha256,
    d.certificate_sha256, d.test_until, d.household_id, h.name as household_name, h.zone
  from device d left join household h on h.id = d.household_id;

-- Serials of what may have changed in transactions that are not below "since" (null: none), and where to look from next
-- time. Numbers that are still to come belong to another life of these rows, before they were restored from a copy.
create function register_changes(since xid8, most int, out until xid8, out serials text[])
language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
declare
  beyond xid8 := pg_snapshot_xmax(pg_current_snapshot());
begin
  until := pg_snapshot_xmin(pg_current_snapshot());
  serials := array(
    select c.serial from (
      select d.serial from device d where d.changed >= since and d.changed < beyond
      union
      select d.serial from household h join device d on d.household_id = h.id where h.changed >= since and h.changed < beyond
      union
      select g.serial from device_gone g where g.changed >= since and g.changed < beyond
    ) c limit most);
end
$$;

create function register_page(after text, most int) returns setof device_record language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  return query select * from device_record r where r.serial > register_page.after order by r.serial limit register_page.most;
end
$$;

create function register_records(serials text[]) returns setof device_record language plpgsql stable
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off
as $$
begin
  return query select * from device_record r where r.serial = any(register_records.serials);
end
$$;
`;
