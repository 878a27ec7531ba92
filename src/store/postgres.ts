/** Opens PostgreSQL: one pool with the timeouts of design § 2, kysely over it, and the error that says that the store is away. */
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { CentreError, systemCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Database } from './schema.ts';

/**
 * A stopped process must not hold the others (design § 2, One lock per alarm). A database of somebody else's may compile what
 * looks expensive to its planner: that takes longer than any statement of ours.
 */
const SETTINGS = '-c lock_timeout=1000 -c statement_timeout=3000 -c idle_in_transaction_session_timeout=2000 -c jit=off';

/** Longer than any statement may take: an answer that has not come by then will not come on this connection. */
const QUERY_TIMEOUT_MS = 4000;

/** Dates without a time (a resident's birthday) stay text: as instants they would move with the time zone. */
const DATE_OID = 1082;
pg.types.setTypeParser(DATE_OID, (text) => text);

export interface Postgres {
  readonly pool: pg.Pool;
  readonly db: Kysely<Database>;
  stop(): Promise<void>;
}

/** @param size how many connections at most; the private server takes 100 in all */
export function openPostgres(url: string, log: Log, size = 16): Postgres {
  const pool = new pg.Pool({
    connectionString: url,
    max: size,
    options: SETTINGS,
    connectionTimeoutMillis: 2000,
    // `statement_timeout` is the server's: of a server whose host is gone nobody hears it.
    query_timeout: QUERY_TIMEOUT_MS,
    // Connections that PostgreSQL's end dropped without a word are found by the query that follows, not by a timer.
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    application_name: 'responssenter',
    // A statement need not wait for the answer to the one before it: half of the round trips of a transaction.
    pipeline: true,
  });
  let stopped = false;
  // Without a listener an idle connection that breaks would end the process.
  pool.on('error', (error) => {
    if (!stopped) log.warn('database-connection-lost', { error });
  });
  // The same for one that is lent out when it breaks: its query fails and says so, but kysely listens to nothing else.
  pool.on('connect', (client) => client.on('error', () => undefined));
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
  return {
    pool,
    db,
    async stop() {
      stopped = true;
      await db.destroy();
      // kysely ends only a pool that it has used itself; an idle connection would keep the process alive for 30 s.
      if (!pool.ending) await pool.end();
    },
  };
}

/**
 * SQLSTATE classes of a store that is away, starting, stopping, closed to connections, full or out of them; and whatever the
 * system, the resolver of names or TLS say on the way to it.
 */
const AWAY = /^(08|53|57P|58|25006$|55000$|25P0[2-4]$|E(?!RR_)[A-Z]|ERR_(TLS|SSL|SOCKET)_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/;
/** Internal conflicts that are retried unseen: deadlock, serialization, lock timeout, a row that somebody else made first. */
const CONFLICT = /^(40|55P03$|57014$|23505$)/;

/** What a failed statement means for the one who asked. */
export function storeFault(error: unknown): 'away' | 'conflict' | 'refused' {
  if (error instanceof CentreError && error.kind === 'store') return 'away';
  const code = systemCode(error);
  if (code === null) return isConnectionLoss(error) ? 'away' : 'refused';
  if (CONFLICT.test(code)) return 'conflict';
  return AWAY.test(code) ? 'away' : 'refused';
}

/** The driver reports a connection that ended under a statement, or that could not be had in time, without a code. */
function isConnectionLoss(error: unknown): boolean {
  return (
    error instanceof Error &&
    /^(Connection terminated|Query read timeout|timeout exceeded when trying to connect|Client has encountered a connection error)/.test(
      error.message,
    )
  );
}
