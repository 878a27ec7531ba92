/** What PostgreSQL knows of the whole centre, as figures for monitoring: counts and ages, nothing of anybody. */
import { CANARY_MUNICIPALITY } from '../alarms/canary.ts';
import { type Instant, toIso } from '../base/clock.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

export interface CentreFigures {
  readonly open: readonly { readonly priority: string; readonly state: string; readonly count: number }[];
  /** Age of the oldest alarm about a person that nobody has claimed, sent anybody to, or spoken to the person about; 0: none. */
  readonly oldestUnclaimedSeconds: number;
  readonly claims: number;
  /** Asks to responders that were not sent yet and are due. */
  readonly asksDue: number;
  /** Signals without credentials that wait for them. */
  readonly held: number;
  readonly silent: readonly { readonly silence: string; readonly count: number }[];
  readonly refusals: readonly { readonly protocol: string; readonly code: string; readonly count: number }[];
  readonly outboxRows: number;
}

const FIGURES = `select
  (select coalesce(json_agg(o), '[]') from (select priority, state, count(*)::int as count from alarm
    where closed_at is null and municipality <> $1 group by 1, 2) o) as open,
  (select coalesce(extract(epoch from $2::timestamptz - min(opened_at)), 0)::float8 from alarm
    where closed_at is null and state = 'waiting' and priority_rank < 3 and fold->>'contact' is null and municipality <> $1) as "oldestUnclaimedSeconds",
  (select count(*)::int from alarm where closed_at is null and claimed_by is not null and municipality <> $1) as claims,
  (select count(*)::int from (select 1 from ask where state = 'pending' and try_at <= $2 limit 10000) due) as "asksDue",
  (select count(*)::int from (select 1 from held_signal limit 100000) waiting) as held,
  (select coalesce(json_agg(s), '[]') from (select silence, count(*)::int as count from device_seen
    where silence <> 'none' group by 1) s) as silent,
  (select coalesce(json_agg(r), '[]') from (select protocol, code, sum(count)::float8 as count from refusal_count group by 1, 2) r) as refusals,
  (select count(*)::int from (select 1 from outbox limit 100000) rows) as "outboxRows"`;

/** @throws CentreError store-away */
export async function readFigures(postgres: Postgres, now: Instant): Promise<CentreFigures> {
  const [row] = await rowsOf<CentreFigures>(postgres, FIGURES, [CANARY_MUNICIPALITY, toIso(now)]);
  if (row === undefined) throw new TypeError('a select of scalars has no row');
  return row;
}
