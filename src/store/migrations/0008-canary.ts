/** The synthetic household that proves each minute that alarms get through. */

export const canary = /* sql */ `
-- The rounds of the canary, one row a protocol: of several watches, who puts next_at off does the round.
create table canary_round (
  protocol      text primary key check (protocol in ('mqtt', 'scaip')),
  next_at       timestamptz not null,
  -- Rounds so far; each goes to the next node.
  turn          bigint not null default 0,
  -- Of the last round that went well, and how many have since the last that did not.
  fine_at       timestamptz,
  in_row        int not null default 0,
  -- Of its device, in the clear: all watches press with it. It opens alarms in the canary's household, and nothing else.
  secret        text not null
);

-- What is deleted after a day is found without reading through the archive.
create index alarm_canary on alarm (closed_at) where municipality = 'canary';
create index signal_canary on signal (received_at) where municipality = 'canary';
`;
