/** What asking people needs: how often each may be sent a gathered message, and ways to find asks and duty quickly. */

export const asks = /* sql */ `
-- One gathered message a minute to one person about anything but life: when the next may go, and which ask led the last.
create table sms_pace (
  account       text primary key,
  ask           uuid not null,
  next_at       timestamptz not null
);
create index ask_pending_account on ask (account) where state = 'pending';
create index ask_pending_rank on ask (priority_rank, try_at) where state = 'pending';
create index duty_at on duty (at);
`;
