/** The leases of claims: what keeps an alarm with its operator as long as that operator's browser is there. */
import { toIso } from '../base/clock.ts';
import type { ClaimLeases } from '../console/claim-keeper.ts';
import { reading } from './alarm-views.ts';
import type { Postgres } from './postgres.ts';

const RENEW = 'update claim_lease set until = $2 where account = any($1::text[]) and until < $2';
const GRACE = 'update claim_lease set until = $1 where until < $1';
// A claim without a lease cannot be renewed by anybody: it counts as lapsed, so that it does not last for ever.
const LAPSED = `select a.number, a.claimed_by as account from alarm a left join claim_lease l on l.alarm = a.number
  where a.closed_at is null and a.claimed_by is not null and (l.until is null or l.until <= $1) order by l.until nulls first limit $2`;

export function createClaimLeases({ pool }: Postgres): ClaimLeases {
  return {
    renew: (accounts, until) =>
      reading(async () => {
        await pool.query(RENEW, [accounts, toIso(until)]);
      }),
    grace: (until) =>
      reading(async () => {
        await pool.query(GRACE, [toIso(until)]);
      }),
    lapsed: (now, limit) => reading(async () => (await pool.query<{ number: string; account: string }>(LAPSED, [toIso(now), limit])).rows),
  };
}
