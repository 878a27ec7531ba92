/** Signs of life: what supervising a thousand, ten thousand and a hundred thousand units takes, and how many heartbeats a second it stands. */
import { CONFIG_DIR } from './configuration.ts';
import { type Fact, type Figure, percentile } from './figures.ts';
import { runJob } from './job.ts';
import type { LifeSignsJob, LifeSignsResult } from './jobs/life-signs.ts';
import type { Plan } from './plan.ts';
import { databaseBeside } from './references.ts';

/** How often each unit speaks in the table of units. */
const EVERY_S = 60;

/** In-process, without protocol: what the supervision and PostgreSQL can do. */
export async function signsOfLife({ lifeSigns }: Plan, centreUrl: string): Promise<{ figures: Figure[]; facts: readonly Fact[] }> {
  const databaseUrl = await databaseBeside(centreUrl, 'bench_life_signs');
  const figures: Figure[] = [];
  const facts: Fact[] = [];
  const loads = [
    ...lifeSigns.units.map((units) => ({ id: `life-signs-${units}`, units, ratePerSecond: units / EVERY_S, forMs: lifeSigns.forMs })),
    { id: 'life-signs-flood', ...lifeSigns.flood },
  ];
  for (const { id, units, ratePerSecond, forMs } of loads) {
    const job: LifeSignsJob = { databaseUrl, configDir: CONFIG_DIR, units, ratePerSecond, forMs };
    const result = await runJob<LifeSignsJob, LifeSignsResult>('life-signs', job);
    const { fed, spanMs, latencies, feederLateMs, cpuMs, grownMb, judgeMs } = result;
    figures.push({
      id,
      what: `signs of life, ${units} units, heard → stored`,
      offered: ratePerSecond,
      perSecond: (fed * 1000) / spanMs,
      p50: percentile(latencies, 50),
      p99: percentile(latencies, 99),
      max: latencies.max,
      lost: 0,
      lateMs: feederLateMs,
    });
    facts.push(
      { what: `CPU of the supervision [${id}]`, value: (100 * cpuMs.own) / spanMs, unit: '%' },
      { what: `CPU of PostgreSQL [${id}]`, value: (100 * cpuMs.store) / spanMs, unit: '%' },
      { what: `memory that it grew by [${id}]`, value: grownMb, unit: 'MB' },
      { what: `judging, nobody is silent [${id}]`, value: judgeMs.none, unit: 'ms' },
      { what: `judging, everybody is silent, the first 512 [${id}]`, value: judgeMs.all, unit: 'ms' },
    );
  }
  return { figures, facts };
}
