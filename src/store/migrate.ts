/** Brings the schema forward at every start: forward only, each migration once, safe when several processes start at once. */
import type pg from 'pg';
import type { Log } from '../base/log.ts';
import { main } from './migrations/0001-main.ts';
import { asks } from './migrations/0002-asks.ts';
import { protocols } from './migrations/0003-protocols.ts';
import { batches } from './migrations/0004-batches.ts';
import { register } from './migrations/0005-register.ts';
import { spill } from './migrations/0006-spill.ts';
import { audit } from './migrations/0007-audit.ts';
import { canary } from './migrations/0008-canary.ts';
import { deadlines } from './migrations/0009-deadlines.ts';
import { intake } from './migrations/0010-intake.ts';
import { relay } from './migrations/0011-relay.ts';
import { recall } from './migrations/0012-recall.ts';
import { aliasClaims } from './migrations/0013-alias-claims.ts';

/** In order, never edited once released: a mistake is mended by the next one. */
const MIGRATIONS: readonly { readonly name: string; readonly sql: string }[] = [
  { name: '0001-main', sql: main },
  { name: '0002-asks', sql: asks },
  { name: '0003-protocols', sql: protocols },
  { name: '0004-batches', sql: batches },
  { name: '0005-register', sql: register },
  { name: '0006-spill', sql: spill },
  { name: '0007-audit', sql: audit },
  { name: '0008-canary', sql: canary },
  { name: '0009-deadlines', sql: deadlines },
  { name: '0010-intake', sql: intake },
  { name: '0011-relay', sql: relay },
  { name: '0012-recall', sql: recall },
  { name: '0013-alias-claims', sql: aliasClaims },
];

/** Any number that nothing else in the database uses: ASCII "migr". */
const LOCK = 0x6d696772;

/** The driver's own limit on an answer, which is short for everything else. */
const PATIENTLY = { query_timeout: 3_600_000 };

/** Runs what has not been run, one transaction each, under an advisory lock that a second start waits for. */
export async function migrate(pool: pg.Pool, log: Log): Promise<void> {
  const client = await pool.connect();
  try {
    // Waiting for another start, or building an index over a large archive, may take longer than a query of the centre.
    await client.query('set statement_timeout = 0; set lock_timeout = 0');
    await client.query({ ...PATIENTLY, text: 'select pg_advisory_lock($1)', values: [LOCK] });
    await client.query('create table if not exists migration (name text primary key, at timestamptz not null default now())');
    const done = await client.query<{ name: string }>('select name from migration');
    const names = new Set(done.rows.map((row) => row.name));
    for (const { name, sql } of MIGRATIONS) {
      if (names.has(name)) continue;
      await client.query({ ...PATIENTLY, text: `begin; ${sql}; insert into migration (name) values ('${name}'); commit` });
      log.info('migration-run', { component: name });
    }
    await client.query('select pg_advisory_unlock($1)', [LOCK]);
  } finally {
    // Not back to the pool: this connection has other timeouts, and its end frees the lock whatever happened.
    client.release(true);
  }
}
