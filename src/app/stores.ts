/** Opens the stores of one process: given by URL, or private servers as its children; the schema brought forward. */
import { type Clock, type Milliseconds, RunningClock, sleep } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Random } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';
import { migrate } from '../store/migrate.ts';
import { type Postgres, openPostgres, storeFault } from '../store/postgres.ts';
import { startPrivatePostgres } from '../store/private-postgres.ts';
import { startPrivateRedis } from '../store/private-redis.ts';
import { rowsOf } from '../store/query.ts';
import { type RedisLink, openRedis } from '../store/redis.ts';
import type { CleanUp } from './clean-up.ts';
import { isKnownDatabase, rememberDatabase } from './known-database.ts';

export interface Stores {
  readonly postgres: Postgres;
  readonly redis: RedisLink;
  /** What `pg` takes: a URL, or the private server's socket. */
  readonly databaseUrl: string;
  /** What BullMQ opens its own connections with. */
  readonly redisUrl: string;
}

export interface StoreParts {
  readonly settings: Settings;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly cleanUp: CleanUp;
  /** A database that this data directory has worked with is waited for until then; absent: none is waited for longer than usual. */
  readonly stopping?: AbortSignal;
}

/** A database that is just being started by somebody else gets this long. */
const DATABASE_PATIENCE_MS = 10_000;
/** After that the log says that the start waits. */
const TOLD_AFTER_MS = 2000;
const REDIS_PATIENCE_MS = 1000;
/** A private server first ends its sessions and writes a checkpoint, and is killed only if that takes too long. */
const STORE_PATIENCE_MS = 8000;

/** @throws CentreError database-unreachable, start-interrupted, database-start-failed, redis-missing, redis-start-failed */
export async function openStores(parts: StoreParts): Promise<Stores> {
  const { cleanUp, random, log } = parts;
  const [{ postgres, databaseUrl }, redisUrl] = await both(openDatabaseAt(parts), redisUrlOf(parts));
  const redis = openRedis(redisUrl, log, random);
  cleanUp.add('redis-connections', () => redis.stop());
  await connected(redis);
  return { postgres, redis, databaseUrl, redisUrl };
}

/** Waits for both also when one fails: a store that is still starting could not be stopped. */
async function both<A, B>(one: Promise<A>, other: Promise<B>): Promise<[A, B]> {
  await Promise.allSettled([one, other]);
  return Promise.all([one, other]);
}

/** The database alone: what the command line needs. */
export async function openDatabase(parts: StoreParts): Promise<Postgres> {
  return (await openDatabaseAt(parts)).postgres;
}

async function openDatabaseAt(parts: StoreParts): Promise<Pick<Stores, 'postgres' | 'databaseUrl'>> {
  const { settings, dataDir, clock, log, cleanUp, stopping } = parts;
  const url = settings.DATABASE_URL ?? (await privateDatabase(dataDir, log, cleanUp));
  const postgres = openPostgres(url, log);
  cleanUp.add('database-connections', () => postgres.stop());
  const remembers = settings.DATABASE_URL !== undefined && stopping !== undefined;
  const known = remembers && (await isKnownDatabase(dataDir, url));
  if (known) await awaited(postgres, stopping, log);
  else await reachable(postgres, patience(DATABASE_PATIENCE_MS));
  await migrate(postgres.pool, log);
  await continueTime(postgres, clock);
  // Without it the next start in an outage would not wait: no reason not to start now.
  if (remembers && !known) await rememberDatabase(dataDir, url).catch((error: unknown) => log.warn('database-not-remembered', { error }));
  return { postgres, databaseUrl: url };
}

async function privateDatabase(dataDir: string, log: Log, cleanUp: CleanUp): Promise<string> {
  const server = await startPrivatePostgres({ dataDir, log, clock: new RunningClock() });
  cleanUp.add('postgres', () => server.stop(), STORE_PATIENCE_MS);
  return server.url;
}

async function redisUrlOf({ settings, dataDir, log, cleanUp }: StoreParts): Promise<string> {
  if (settings.REDIS_URL !== undefined) return settings.REDIS_URL;
  const server = await startPrivateRedis({ dataDir, log, clock: new RunningClock() });
  cleanUp.add('redis', () => server.stop(), STORE_PATIENCE_MS);
  return server.url;
}

/** Gives Redis a moment to answer, so that an ordinary start warns of nothing; it may be away all the same (design § 1.8). */
async function connected(redis: RedisLink): Promise<void> {
  const clock = new RunningClock();
  const end = clock.monotonic() + REDIS_PATIENCE_MS;
  while (!redis.connected() && clock.monotonic() < end) await sleep(clock, 10);
}

/** It was there before: this is an outage and no wrong setting, and what lies in the spill must be replayed when it is over. */
async function awaited(postgres: Postgres, stopping: AbortSignal, log: Log): Promise<void> {
  const ended = new Promise<never>((_, reject) => {
    const interrupt = (): void => reject(new CentreError('start-interrupted', 'The start was ended while it waited for the database.'));
    if (stopping.aborted) interrupt();
    stopping.addEventListener('abort', interrupt, { once: true });
  });
  let waits = false;
  const noted = new RunningClock().after(TOLD_AFTER_MS, () => {
    waits = true;
    log.warn('database-awaited');
  });
  try {
    await Promise.race([reachable(postgres, () => !stopping.aborted), ended]);
  } finally {
    noted.cancel();
  }
  if (waits) log.warn('database-back');
}

async function reachable(postgres: Postgres, goesOn: () => boolean): Promise<void> {
  for (;;) {
    try {
      await rowsOf(postgres, 'select 1');
      return;
    } catch (error) {
      if (storeFault(error) === 'refused' || !goesOn()) {
        const message =
          'The database that DATABASE_URL names cannot be used: check the address, the user and the password, and that it runs.';
        throw new CentreError('database-unreachable', message, { cause: error });
      }
      await sleep(new RunningClock(), 250);
    }
  }
}

function patience(span: Milliseconds): () => boolean {
  const clock = new RunningClock();
  const end = clock.monotonic() + span;
  return () => clock.monotonic() <= end;
}

/** Never earlier than the latest instant stored (design § 2, Time): a clock set back must not put new events before old ones. */
async function continueTime(postgres: Postgres, clock: Clock): Promise<void> {
  const latest = 'select greatest((select max(changed_at) from alarm), (select max(until_at) from listening)) as at';
  const [row] = await rowsOf<{ at: Date | null }>(postgres, latest);
  if (row?.at && clock instanceof RunningClock) clock.atLeast(row.at.getTime());
}
