/** Whether PostgreSQL serves others while it has failed at something: a commit under the locks that keeping takes. */
import type { Milliseconds } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';
import type { Postgres } from './postgres.ts';
import { inTransaction, storeAway } from './transaction.ts';

/** What keeping locks of tables, then a record in the write-ahead log that nobody reads: the commit must reach the disk. */
const PROBE = `lock table joining, signal, alarm, timeline in row exclusive mode;
select pg_logical_emit_message(true, 'responssenter', 'probe')`;
const PROBE_WITHIN_MS: Milliseconds = 400;

/** @throws CentreError store-away, household-locked: it does not commit just now */
export const probe = (postgres: Postgres): Promise<void> =>
  inTransaction(postgres, async (client) => void (await client.query(PROBE)), PROBE_WITHIN_MS);

/**
 * What may be the fault of the rows that a statement met: its time limit, a conflict that does not end, damaged data (SQLSTATE
 * classes 40 and XX, 57014, 23505).
 */
const OF_ITS_ROWS = /^(40|XX|57014$|23505$)/;

/** What a failure of the store means for those who may try again in parts: the error for them, household-failing or store-away. */
export async function failingOrAway(postgres: Postgres, error: unknown): Promise<CentreError> {
  const cause = error instanceof CentreError ? error.cause : error;
  if (!OF_ITS_ROWS.test(systemCode(cause) ?? '')) return storeAway(error);
  try {
    await probe(postgres);
  } catch {
    return storeAway(error);
  }
  return new CentreError(
    'household-failing',
    'PostgreSQL serves others and fails at this, so it is tried household by household. See its log for the statement.',
    { cause },
  );
}
