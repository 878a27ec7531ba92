/** A PostgreSQL and a Redis of a test file's own, on a temporary directory, with the schema made. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { RunningClock } from '../../src/base/clock.ts';
import { type Log, createLog } from '../../src/base/log.ts';
import { migrate } from '../../src/store/migrate.ts';
import { type Postgres, openPostgres } from '../../src/store/postgres.ts';
import { startPrivatePostgres } from '../../src/store/private-postgres.ts';
import { startPrivateRedis } from '../../src/store/private-redis.ts';
import type { PrivateServer } from '../../src/store/private-server.ts';

export interface Stores {
  readonly postgres: Postgres;
  readonly databaseServer: PrivateServer;
  readonly redisServer: PrivateServer;
  /** Every table without rows again; the alarm numbers go on. */
  empty(): Promise<void>;
  stop(): Promise<void>;
}

export const SILENT: Log = createLog('silent');

/** Takes about 2 s. `log` for a test that wants to see, or count, lines. */
export async function startStores(log: Log = SILENT): Promise<Stores> {
  const dataDir = mkdtempSync(path.join(tmpdir(), 'responssenter-test-'));
  const clock = new RunningClock();
  const [databaseServer, redisServer] = await Promise.all([
    startPrivatePostgres({ dataDir, log, clock }),
    startPrivateRedis({ dataDir, log, clock }),
  ]);
  const postgres = openPostgres(databaseServer.url, log);
  await migrate(postgres.pool, log);
  return {
    postgres,
    databaseServer,
    redisServer,
    async empty() {
      const found = await postgres.pool.query<{ name: string }>(
        `select quote_ident(tablename) as name from pg_tables where schemaname = 'public' and tablename <> 'migration'`,
      );
      await postgres.pool.query(`truncate ${found.rows.map(({ name }) => name).join(', ')}`);
    },
    async stop() {
      await postgres.stop();
      await Promise.all([databaseServer.stop(), redisServer.stop()]);
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

/** Waits until `holds` does (an answer of null, undefined or false means not yet), asking every few milliseconds. */
export async function until<T>(what: string, holds: () => T | Promise<T>, withinMs = 10_000): Promise<Exclude<NonNullable<T>, false>> {
  const end = performance.now() + withinMs;
  for (;;) {
    const answer = await holds();
    if (answer !== null && answer !== undefined && answer !== false) return answer as Exclude<NonNullable<T>, false>;
    if (performance.now() > end) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
