/** One statement outside a transaction: its rows, or the error that says that the store is away. */
import type pg from 'pg';
import { type Postgres, storeFault } from './postgres.ts';
import { storeAway } from './transaction.ts';

/**
 * @param name of a statement that is asked often: it is parsed and planned once on each connection
 * @throws CentreError store-away when there is no connection, it was lost, or the statement waited too long
 */
export async function rowsOf<T extends pg.QueryResultRow>(
  { pool }: Postgres,
  text: string,
  values: readonly unknown[] = [],
  name?: string,
): Promise<T[]> {
  try {
    return (await pool.query<T>({ text, values: [...values], ...(name === undefined ? {} : { name }) })).rows;
  } catch (error) {
    if (storeFault(error) === 'refused') throw error;
    throw storeAway(error);
  }
}
