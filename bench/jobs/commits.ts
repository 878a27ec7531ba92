/** The reference point of keeping: one small row and its commit, over and over, from a number of clients at once. */
import pg from 'pg';
import { RunningClock, type Milliseconds } from '../../src/base/clock.ts';
import { type Latencies, latenciesOf } from '../../simulators/load/open-loop.ts';
import { answerParent } from '../job.ts';

export interface CommitsJob {
  readonly databaseUrl: string;
  readonly clients: number;
  readonly forMs: Milliseconds;
}

export interface CommitsResult {
  readonly perSecond: number;
  readonly latencies: Latencies;
}

/** About what a signal holds. */
const BODY = 'x'.repeat(300);

answerParent<CommitsJob, CommitsResult>(async ({ databaseUrl, clients, forMs }) => {
  const clock = new RunningClock();
  const pool = new pg.Pool({ connectionString: databaseUrl, max: clients });
  await pool.query('create table if not exists bench_commit (id bigint generated always as identity primary key, body text not null)');
  const connections = await Promise.all(Array.from({ length: clients }, () => pool.connect()));
  const samples: number[] = [];
  const warmUntil = clock.monotonic() + 300;
  const end = warmUntil + forMs;
  await Promise.all(
    connections.map(async (connection) => {
      for (let began = clock.monotonic(); began < end; began = clock.monotonic()) {
        await connection.query({ name: 'commit', text: 'insert into bench_commit (body) values ($1)', values: [BODY] });
        if (began >= warmUntil) samples.push(clock.monotonic() - began);
      }
    }),
  );
  const spanMs = clock.monotonic() - warmUntil;
  for (const connection of connections) connection.release();
  await pool.query('truncate bench_commit');
  await pool.end();
  return { perSecond: (samples.length * 1000) / spanMs, latencies: latenciesOf(Float64Array.from(samples)) };
});
