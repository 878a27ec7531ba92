/** One transaction: begin, work, commit; conflicts retried, a store that is away said by its error. */
import type pg from 'pg';
import type { Milliseconds } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';
import { type Postgres, storeFault } from './postgres.ts';

/** Locks are waited for at most 1 s each (design § 2), so this many tries outlast a stopped process' 2 s. */
const TRIES = 6;
const LOCKED = '55P03';
const TIMED_OUT = '57014';

/** Takes a statement that `work` has sent and whose answer it does not need: it is awaited together with the commit's. */
export type WithCommit = (statement: Promise<unknown>) => void;

type Work<T> = (client: pg.ClientBase, withCommit: WithCommit) => Promise<T>;

/**
 * Runs `work` in a transaction and commits it; `work` may run again after a deadlock or a lock timeout.
 * @param lockWithin waits no longer for a lock, and leaves trying again, also what takes too long, to the caller
 * @throws CentreError household-locked when a lock was not had within `lockWithin`; store-away when there is no connection
 * or it was lost; whatever `work` throws otherwise
 */
export async function inTransaction<T>(postgres: Postgres, work: Work<T>, lockWithin?: Milliseconds): Promise<T> {
  const begin = lockWithin === undefined ? 'begin' : `begin; set local lock_timeout = ${lockWithin}`;
  for (let attempt = 1; ; attempt++) {
    try {
      return await once(postgres, begin, work);
    } catch (error) {
      if (lockWithin !== undefined && systemCode(error) === LOCKED) {
        throw new CentreError(
          'household-locked',
          'Somebody holds a lock that this needs; all else goes on. See pg_stat_activity and pg_locks for who it is.',
          { cause: error },
        );
      }
      const fault = storeFault(error);
      // Locked for so long that trying again did not help: as good as away. Nothing is wrong with what was to be written.
      const isLast = attempt === TRIES || (lockWithin !== undefined && systemCode(error) === TIMED_OUT);
      if (fault === 'away' || (fault === 'conflict' && isLast)) throw storeAway(error);
      if (fault === 'refused') throw error;
    }
  }
}

/** What already says what the store's fault is stays as it is. */
export const storeAway = (cause: unknown): CentreError =>
  cause instanceof CentreError
    ? cause
    : new CentreError('store-away', 'PostgreSQL does not answer, so this could not be done or written down there. Look at its log.', {
        cause,
      });

/** The connection takes statements before it has answered (postgres.ts): `begin` travels with the first, `commit` with the last. */
async function once<T>({ pool }: Postgres, begin: string, work: Work<T>): Promise<T> {
  const client = await pool.connect();
  // The connection may break between two queries; without a listener that would end the process.
  const ignore = (): void => undefined;
  client.on('error', ignore);
  let broken = true;
  let hasBegun = true;
  try {
    const sent: Promise<unknown>[] = [];
    const failed: unknown[] = [];
    const withCommit: WithCommit = (statement) => {
      statement.catch((error: unknown) => failed.push(error));
      sent.push(statement);
    };
    const begun = client.query(begin);
    begun.catch(() => (hasBegun = false));
    withCommit(begun);
    const result = await work(client, withCommit);
    // One that could not even be sent leaves the transaction sound: a commit would keep the others without it.
    if (failed.length > 0) throw failed[0];
    const committed = client.query('commit');
    committed.catch(ignore);
    await Promise.all(sent);
    const { command } = await committed;
    // After a statement that failed PostgreSQL answers a commit with ROLLBACK, and with no error.
    if (command !== 'COMMIT') throw new Error(`the transaction was not committed: ${command}`);
    broken = false;
    return result;
  } catch (error) {
    // Without a beginning, what was sent behind it stood alone: nobody shall have this connection again.
    broken = storeFault(error) === 'away' || !(await rolledBack(client)) || !hasBegun;
    throw error;
  } finally {
    client.off('error', ignore);
    client.release(broken);
  }
}

async function rolledBack(client: pg.ClientBase): Promise<boolean> {
  try {
    await client.query('rollback');
    return true;
  } catch {
    return false;
  }
}
