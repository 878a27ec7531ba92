/** What the watch finds: one row for each thing that it looks at. */

export const audit = /* sql */ `
-- Written by the watch over and over: how old a row is tells whether it still looks, fine whether all is well.
create table watch_report (
  name    text primary key,
  at      timestamptz not null,
  fine    boolean not null,
  -- What was found, in codes and counts; nothing about persons.
  detail  jsonb not null default '{}'
);
-- Overwritten each second: with room on its page no index is touched.
alter table watch_report set (fillfactor = 20);
`;
