/** The reference point of the keeper: the rows that it has just made, inserted once more from values that are ready, with no rules. */
import pg from 'pg';
import { RunningClock } from '../../src/base/clock.ts';
import { type Latencies, latenciesOf } from '../../simulators/load/open-loop.ts';
import { answerParent } from '../job.ts';

export interface BatchedRowsJob {
  /** In which the keeper has kept signals that all opened an alarm. */
  readonly databaseUrl: string;
  /** Signals to one commit. */
  readonly batch: number;
  /** Connections at once. */
  readonly lanes: number;
}

export interface BatchedRowsResult {
  readonly signals: number;
  readonly perSecond: number;
  /** Of a batch. */
  readonly latencies: Latencies;
}

/** In the order in which they refer to each other; each by the number of its alarm. */
const TABLES = [
  { table: 'joining', order: 'select t.* from joining t join alarm a on a.joining_key = t.key order by a.number' },
  { table: 'alarm', order: 'select t.* from alarm t order by t.number' },
  { table: 'timeline', order: 'select t.* from timeline t order by t.alarm, t.version' },
  { table: 'signal', order: 'select t.* from signal t order by t.alarm' },
  { table: 'outbox', order: 'select t.* from outbox t order by t.alarm' },
] as const;
const clock = new RunningClock();

interface Column {
  readonly name: string;
  readonly type: string;
}

/** Without what the database makes itself. */
async function columnsOf(pool: pg.Pool, table: string): Promise<Column[]> {
  const { rows } = await pool.query<Column>(
    `select attname as name, format_type(atttypid, atttypmod) as type from pg_attribute
     where attrelid = $1::regclass and attnum > 0 and not attisdropped and attidentity = '' and attgenerated = '' order by attnum`,
    [table],
  );
  return rows;
}

const literal = (value: string | null): string => (value === null ? 'NULL' : `"${value.replace(/["\\]/g, '\\$&')}"`);

answerParent<BatchedRowsJob, BatchedRowsResult>(async ({ databaseUrl, batch, lanes }) => {
  const pool = new pg.Pool({ connectionString: databaseUrl, max: lanes });
  const parts: string[] = [];
  const sets: { readonly size: number; readonly values: readonly (readonly (string | null)[])[] }[] = [];
  let parameters = 0;
  for (const { table, order } of TABLES) {
    const columns = await columnsOf(pool, table);
    const texts = columns.map(({ name }) => `${name}::text`).join(', ');
    const { rows } = await pool.query<(string | null)[]>({ text: `select ${texts} from (${order}) t`, rowMode: 'array' });
    const names = columns.map(({ name }) => name).join(', ');
    const given = columns.map((_, n) => `$${parameters + n + 1}::text[]`).join(', ');
    const typed = columns.map(({ name, type }) => `${name}::${type}`).join(', ');
    parts.push(`i_${table} as (insert into ${table} (${names}) select ${typed} from unnest(${given}) as r(${names}))`);
    parameters += columns.length;
    sets.push({ size: rows.length, values: columns.map((_, n) => rows.map((row) => row[n] ?? null)) });
  }
  const signals = sets[3]?.size ?? 0;
  const batches: string[][] = [];
  for (let from = 0; from < signals; from += batch) {
    const shares = sets.map(({ size, values }) => {
      // An alarm may have more than one row of a table: as many of each go with it.
      const each = size / signals;
      return values.map(
        (column) =>
          `{${column
            .slice(from * each, (from + batch) * each)
            .map(literal)
            .join(',')}}`,
      );
    });
    batches.push(shares.flat());
  }
  await pool.query('truncate signal, timeline, outbox, ask, claim_lease, alarm, joining');
  const text = `with ${parts.join(', ')} select 1`;
  const samples: number[] = [];
  const began = clock.monotonic();
  let next = 0;
  await Promise.all(
    Array.from({ length: lanes }, async () => {
      const connection = await pool.connect();
      for (let values = batches[next++]; values !== undefined; values = batches[next++]) {
        const sent = clock.monotonic();
        await connection.query('begin');
        await connection.query({ name: 'rows', text, values });
        await connection.query('commit');
        samples.push(clock.monotonic() - sent);
      }
      connection.release();
    }),
  );
  const spanMs = clock.monotonic() - began;
  const { rows } = await pool.query<{ n: number }>('select count(*)::int as n from alarm');
  await pool.end();
  if (rows[0]?.n !== signals) throw new Error(`Only ${rows[0]?.n ?? 0} of ${signals} alarms were inserted.`);
  return { signals, perSecond: (signals * 1000) / spanMs, latencies: latenciesOf(Float64Array.from(samples)) };
});
