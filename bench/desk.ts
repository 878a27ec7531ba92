/** Deadlines that are all due in the same second: a thousand, ten thousand; the sweep and the desk in one process, beside bare rows. */
import type pg from 'pg';
import { CONFIG_DIR } from './configuration.ts';
import { type Fact, type Figure, percentile } from './figures.ts';
import { runJob } from './job.ts';
import type { DeadlinesJob, DeadlinesResult } from './jobs/deadlines.ts';
import { parentOf } from './machine.ts';
import type { Plan } from './plan.ts';
import { databaseBeside } from './references.ts';

/** While the deadlines pass, operators claim alarms among them. */
const CLAIMS_PER_SECOND = 20;
/** As the desk writes. */
const BATCH = 128;

export async function manyDeadlines(
  { desk }: Plan,
  pool: pg.Pool,
  centreUrl: string,
  add: (...more: Figure[]) => void,
): Promise<readonly Fact[]> {
  const databaseUrl = await databaseBeside(centreUrl, 'bench_deadlines');
  const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid');
  const databasePid = parentOf(rows[0]?.pid ?? 0);
  const facts: Fact[] = [];
  let tenth = '';
  for (const deadlines of desk.deadlines) {
    const about = { databaseUrl, configDir: CONFIG_DIR, deadlines, sweeps: 1, redisUrl: null, databasePid, referenceBatch: BATCH };
    const done = await runJob<DeadlinesJob, DeadlinesResult>('deadlines', { ...about, claimsPerSecond: CLAIMS_PER_SECOND });
    const id = `deadlines-${deadlines}`;
    const bare = `${id}-bare`;
    const none = { offered: null, p50: null, p99: null, lost: 0, lateMs: null };
    add({
      ...none,
      id,
      what: `${deadlines} deadlines due at once, the sweep's start → the last one's commit`,
      perSecond: done.perSecond,
      max: done.allDoneMs,
      against: [bare, ...(tenth === '' ? [] : [tenth])],
    });
    const { reference, databaseCpuMsPerDeadline: inDatabase } = done;
    const { perSecond } = reference;
    const what = `bare commit of the rows of ${deadlines} deadlines, ${BATCH} each, 2 clients`;
    add({ ...none, id: bare, what, perSecond, max: (deadlines * 1000) / perSecond });
    const cpu = (whose: string, value: number): Fact => ({ what: `CPU of ${whose} for each deadline [${id}]`, value, unit: 'ms CPU' });
    facts.push(
      { what: `the last of those about life [${id}]`, value: done.lifeDoneMs, unit: 'ms' },
      { id: `${id}-out-of-order`, what: `passed while a more urgent one waited [${id}]`, value: done.outOfOrder, unit: '' },
      cpu('the desk', done.cpuMsPerDeadline),
      cpu('the bare rows', reference.cpuMsPerDeadline),
      // Less than nothing where connections ended meanwhile: what they used went with them.
      ...(inDatabase === null || inDatabase < 0 ? [] : [cpu('PostgreSQL', inDatabase)]),
      ...(done.claims === null
        ? []
        : [{ what: `an operator's claim meanwhile, p99 [${id}]`, value: percentile(done.claims, 99), unit: 'ms' } as const]),
    );
    tenth = id;
  }
  return facts;
}
