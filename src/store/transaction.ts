/** One transaction: begin, work, commit; conflicts retried, a store that is away said by its error. */
import type pg from 'pg';
import { CentreError } from '../base/errors.ts';
import { type Postgres, storeFault } from './postgres.ts';

/** Locks are waited for at most 1 s each (design § 2), so this many tries outlast a stopped process' 2 s. */
const TRIES = 6;

/**
 * Runs `work` in a transaction and commits it; `work` may run again after a deadlock or a lock timeout.
 * @throws CentreError store-away when there is no connection or it was lost; whatever `work` throws otherwise
 */
export async function inTransaction<T>(postgres: Postgres, work: (client: pg.ClientBase) => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await once(postgres, work);
    } catch (error) {
      const fault = storeFault(error);
      // Locked for so long that trying again did not help: as good as away. Nothing is wrong with what was to be written.
      if (fault === 'away' || (fault === 'conflict' && attempt === TRIES)) throw storeAway(error);
      if (fault === 'refused') throw error;
    }
  }
}

export const storeAway = (cause: unknown): CentreError =>
  new CentreError('store-away', 'PostgreSQL does not answer: nothing is acknowledged until it does. Look at its log.', { cause });

async function once<T>({ pool }: Postgres, work: (client: pg.ClientBase) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  // The connection may break between two queries; without a listener that would end the process.
  const ignore = (): void => undefined;
  client.on('error', ignore);
  let broken = true;
  try {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    broken = false;
    return result;
  } catch (error) {
    broken = storeFault(error) === 'away' || !(await rolledBack(client));
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
