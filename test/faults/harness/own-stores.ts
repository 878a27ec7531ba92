/** A PostgreSQL and a Redis of the harness' own: real servers that it kills, stops and starts again, with a door past every way. */
import path from 'node:path';
import { Redis } from 'ioredis';
import pg from 'pg';
import { RunningClock } from '../../../src/base/clock.ts';
import { createLog } from '../../../src/base/log.ts';
import { startPrivatePostgres } from '../../../src/store/private-postgres.ts';
import type { PrivateServer } from '../../../src/store/private-server.ts';
import { startPrivateRedis } from '../../../src/store/private-redis.ts';
import type { Target } from './way.ts';

export type StoreName = 'postgres' | 'redis';

export interface OwnStores {
  /** Where it listens, whether it is there or not. */
  target(store: StoreName): Target;
  /** Null while it is down. A server that dies is started again by itself, as a machine's service manager would. */
  pid(store: StoreName): number | null;
  /** Away until `start`. */
  stop(store: StoreName): Promise<void>;
  start(store: StoreName): Promise<void>;
  /** Asks PostgreSQL itself, past the centre and past every way. */
  readonly sql: <Row extends object>(text: string, values?: unknown[]) => Promise<Row[]>;
  /** Asks Redis itself. */
  redis(...command: [string, ...(string | number)[]]): Promise<unknown>;
  close(): Promise<void>;
}

/** @param folder a short path: sockets lie below it */
export async function startOwnStores(folder: string): Promise<OwnStores> {
  const options = { dataDir: folder, log: createLog('silent'), clock: new RunningClock() };
  const begin = {
    postgres: (): Promise<PrivateServer> => startPrivatePostgres(options),
    redis: (): Promise<PrivateServer> => startPrivateRedis(options),
  };
  const [postgres, redis] = await Promise.all([begin.postgres(), begin.redis()]);
  const servers: Record<StoreName, PrivateServer> = { postgres, redis };
  const host = new URL(postgres.url.replace('postgres://', 'http://x').replace('@/', '@x/')).searchParams.get('host') ?? '';
  const pool = new pg.Pool({
    host,
    port: 5432,
    user: 'responssenter',
    database: 'responssenter',
    max: 3,
    application_name: 'faults',
    connectionTimeoutMillis: 2000,
    query_timeout: 20_000,
  });
  pool.on('error', () => {});
  return {
    target: (store) => ({ path: store === 'postgres' ? path.join(host, '.s.PGSQL.5432') : redis.url }),
    pid: (store) => servers[store].pid(),
    stop: (store) => servers[store].stop(),
    async start(store) {
      servers[store] = await begin[store]();
    },
    sql: async <Row extends object>(text: string, values: unknown[] = []) => (await pool.query<Row>(text, values)).rows,
    async redis(...[name, ...args]) {
      const client = new Redis(redis.url, { lazyConnect: true, retryStrategy: () => null, commandTimeout: 3000 });
      client.on('error', () => {});
      try {
        await client.connect();
        return await client.call(name, ...args);
      } finally {
        client.disconnect();
      }
    },
    async close() {
      await pool.end().catch(() => {});
      await Promise.all([servers.postgres.stop(), servers.redis.stop()]);
    },
  };
}
