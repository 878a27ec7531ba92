/** A process that holds a data directory and runs both private stores: what the tests kill. Prints one line of JSON when both can be used. */
import process from 'node:process';
import { RunningClock } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { createLog } from '../../src/base/log.ts';
import { openDataDir } from '../../src/store/data-dir.ts';
import { startPrivatePostgres } from '../../src/store/private-postgres.ts';
import { startPrivateRedis } from '../../src/store/private-redis.ts';

const options = { log: createLog('silent'), clock: new RunningClock() };
const stops: (() => Promise<void>)[] = [];
try {
  const dataDir = await openDataDir(process.argv[2] ?? '');
  const given = { ...options, dataDir: dataDir.path };
  stops.push(() => dataDir.release());
  const redis = await startPrivateRedis(given);
  stops.push(() => redis.stop());
  const postgres = await startPrivatePostgres(given);
  stops.push(() => postgres.stop());
  await dataDir.writeReady({ pid: process.pid });
  console.log(JSON.stringify({ postgres: { url: postgres.url, pid: postgres.pid() }, redis: { url: redis.url, pid: redis.pid() } }));
  // Stops when its input ends; a signal to its group changes nothing.
  process.on('SIGTERM', () => {});
  process.on('SIGINT', () => {});
  for await (const _ of process.stdin);
} catch (error) {
  if (!(error instanceof CentreError)) throw error;
  console.log(JSON.stringify({ refused: error.code, sentence: error.message }));
  process.exitCode = 1;
} finally {
  for (const stop of stops.toReversed()) await stop();
}
