/** What is measured with little or nothing of the centre: a bare broker, bare commits, a bare fan-out, and the keeper alone. */
import pg from 'pg';
import type { Milliseconds } from '../src/base/clock.ts';
import type { LoadResult } from '../simulators/load.ts';
import type { Latencies } from '../simulators/load/open-loop.ts';
import { startAedes } from './brokers.ts';
import { CONFIG_DIR } from './configuration.ts';
import { type Figure, figureOf, percentile } from './figures.ts';
import { runJob, runServer } from './job.ts';
import type { BatchedRowsJob, BatchedRowsResult } from './jobs/batched-rows.ts';
import type { CommitsJob, CommitsResult } from './jobs/commits.ts';
import type { ConsolesJob } from './jobs/consoles.ts';
import type { KeeperJob, KeeperResult } from './jobs/keeper.ts';
import type { LoadJob, LoadOutcome } from './jobs/load.ts';
import { type Load, type Plan, messagesOf } from './plan.ts';

/** As the keeper has it. */
const BATCHED = { batch: 128, lanes: 2 } as const;

/** @param databaseUrl the centre's private PostgreSQL */
export async function referencePoints(plan: Plan, databaseUrl: string): Promise<Figure[]> {
  const figures: Figure[] = [];
  const url = await databaseBeside(databaseUrl, 'bench_commits');
  for (const clients of plan.reference.clients) {
    const job: CommitsJob = { databaseUrl: url, clients, forMs: plan.reference.forMs };
    const { perSecond, latencies } = await runJob<CommitsJob, CommitsResult>('commits', job);
    figures.push(closedLoop(`commit-${clients}`, `bare commit of one row, ${clients} clients`, perSecond, latencies));
  }
  for (const load of plan.rates) figures.push(await bareBroker(`aedes-${load.ratePerSecond}`, load, `at ${load.ratePerSecond}/s`));
  figures.push(await bareBroker('aedes-saturated', plan.saturation.mqtt, 'at saturation'));
  for (const count of plan.consoles.counts) {
    for (const load of plan.consoles.loads) figures.push(await fannedOut(count, load));
  }
  return figures;
}

/** Where a load of its own would disturb nothing of the centre's: another database of the same server. */
export async function databaseBeside(url: string, name: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rowCount } = await client.query('select 1 from pg_database where datname = $1', [name]);
  if (rowCount === 0) await client.query(`create database ${name}`);
  await client.end();
  return url.replace('@/responssenter?', `@/${name}?`);
}

/** Each of the clients waits for its answer: there is no schedule that it could be late for. */
export function closedLoop(id: string, what: string, perSecond: number, latencies: Latencies): Figure {
  const at = (p: number): Milliseconds => percentile(latencies, p);
  return { id, what, offered: null, perSecond, p50: at(50), p99: at(99), max: latencies.max, lost: 0, lateMs: null };
}

async function bareBroker(id: string, load: Load, at: string): Promise<Figure> {
  const server = await startAedes();
  const job: LoadJob = { protocol: 'mqtt', address: server.address, load, devices: messagesOf(load), run: id };
  const { result } = await runJob<LoadJob, LoadOutcome>('load', job);
  await server.stop();
  return figureOf(result, 'puback', { id, what: `bare aedes ${at}, device → PUBACK`, offered: load.ratePerSecond });
}

/** What the sockets alone take. */
async function fannedOut(consoles: number, load: Load): Promise<Figure> {
  const server = await runServer<object, string>('bare-fan-out', {});
  const result = await runJob<ConsolesJob, LoadResult>('consoles', { http: `http://${server.answer}`, mqtt: null, consoles, load });
  await server.stop();
  const what = `bare ws at ${load.ratePerSecond}/s, sender → the last of ${consoles}`;
  return figureOf(result, 'last', { id: `fan-out-${consoles}-${load.ratePerSecond}`, what, offered: load.ratePerSecond });
}

/**
 * In-process, without protocol, relay and console: what the intake's transaction alone can do. Beside it the same rows without
 * rules, and itself with a tenth in flight: how it grows.
 */
export async function throughTheKeeper({ keeper }: Plan, centreUrl: string): Promise<Figure[]> {
  const databaseUrl = await databaseBeside(centreUrl, 'bench_keeper');
  const figures: Figure[] = [];
  let tenth = '';
  for (const inFlight of keeper.inFlight) {
    const signals = inFlight === 1 ? Math.min(3000, keeper.signals) : keeper.signals;
    const { perSecond, latencies, opened } = await runJob<KeeperJob, KeeperResult>('keeper', {
      databaseUrl,
      configDir: CONFIG_DIR,
      signals,
      inFlight,
    });
    const figure = closedLoop(`keeper-${inFlight}`, `keeper without protocol, ${inFlight} in flight`, perSecond, latencies);
    const against = [`batched-${BATCHED.batch}`, 'commit-64', ...(tenth === '' ? [] : [tenth])];
    figures.push({
      ...figure,
      against,
      ...(opened === signals ? {} : { note: `ONLY ${opened} OF ${signals} OPENED`, unkept: signals - opened }),
    });
    tenth = figure.id;
  }
  const { perSecond, latencies } = await runJob<BatchedRowsJob, BatchedRowsResult>('batched-rows', { databaseUrl, ...BATCHED });
  const what = `bare commit of the keeper's rows, ${BATCHED.batch} signals each, ${BATCHED.lanes} clients`;
  return [...figures, closedLoop(`batched-${BATCHED.batch}`, what, perSecond, latencies)];
}
