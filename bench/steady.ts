/** An ordinary day for minutes, and for an hour of a moved clock: does memory stay as it is while all goes on. */
import path from 'node:path';
import { RunningClock } from '../src/base/clock.ts';
import type { Centre } from './centre.ts';
import { CONFIG_DIR } from './configuration.ts';
import { type Fact, type Figure, figureOf } from './figures.ts';
import { runJob } from './job.ts';
import type { SteadyJob, SteadyResult } from './jobs/steady.ts';
import type { SteadyHourJob, SteadyHourResult } from './jobs/steady-hour.ts';
import { anonymousOf, cpuOf, residentOf } from './machine.ts';
import { emptied } from './offer.ts';
import type { Plan } from './plan.ts';

const clock = new RunningClock();
const LOOK_EVERY_MS = 1000;
/** Pages of the stores are walked to be counted: seldom. */
const WALK_EVERY_MS = 10_000;
/** Of so long the lowest counts: what a collection leaves, not what waits for one. */
const WINDOW_MS = 10_000;
/** In less, a process has not seen all that it keeps. */
const JUDGED_FROM_MS = 300_000;

interface Sample {
  /** In minutes. */
  readonly at: number;
  readonly mb: number;
}

/** The lowest of each window. */
export function floors(samples: readonly Sample[], window: number): Sample[] {
  const lowest = new Map<number, Sample>();
  for (const sample of samples) {
    const place = Math.floor(sample.at / window + 1e-9);
    const known = lowest.get(place);
    if (known === undefined || sample.mb < known.mb) lowest.set(place, sample);
  }
  return [...lowest.values()];
}

/** MB in a minute, by least squares; 0 for less than two samples. */
export function slopeOf(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number): number => samples.reduce((sum, one) => sum + of(one), 0) / samples.length;
  const [at, mb] = [mean((one) => one.at), mean((one) => one.mb)];
  const spread = samples.reduce((sum, one) => sum + (one.at - at) ** 2, 0);
  return spread === 0 || samples.length < 2 ? 0 : samples.reduce((sum, one) => sum + (one.at - at) * (one.mb - mb), 0) / spread;
}

/** The part in real time. */
export async function minutesOfIt(centre: Centre, { steady: plan }: Plan, add: (...more: Figure[]) => void): Promise<Fact[]> {
  await emptied(centre);
  const { http, mqtt, pid } = centre.ready;
  const own: Sample[] = [];
  const stores: Sample[] = [];
  const storePids = (): number[] => centre.processes().filter((one) => one !== pid);
  let began = clock.monotonic();
  let cpu = cpuOf([pid]);
  const at = (): number => (clock.monotonic() - began) / 60_000;
  const run = `s${Math.round(clock.monotonic()).toString(36)}`;
  const timers: { cancel(): void }[] = [];
  const result = await runJob<SteadyJob, SteadyResult>('steady', { http, mqtt, plan, run }, () => {
    began = clock.monotonic();
    cpu = cpuOf([pid]);
    timers.push(
      clock.every(LOOK_EVERY_MS, () => own.push({ at: at(), mb: residentOf(pid) })),
      clock.every(WALK_EVERY_MS, () => stores.push({ at: at(), mb: anonymousOf(storePids()) })),
    );
  });
  for (const timer of timers) timer.cancel();
  const spent = cpuOf([pid]) - cpu;
  const { heartbeats, alarms, commands, refusals } = result;
  const refused = Object.entries(refusals).map(([code, count]) => `${count} × ${code}`);
  const note = [`${commands} commands`, ...refused].join('; ');
  const { rows } = await centre.pool.query<{ open: number }>('select count(*)::int as open from alarm where closed_at is null');
  const what = `${plan.devices} devices at ${plan.signEveryMs / 1000} s`;
  add(
    figureOf(heartbeats, 'puback', {
      id: 'steady-heartbeats',
      what: `${what}: heartbeat → PUBACK`,
      offered: (plan.devices * 1000) / plan.signEveryMs,
    }),
    figureOf(alarms, 'shown', {
      id: 'steady-shown',
      what: 'beside them alarms: device → an operator is shown it',
      offered: plan.alarmsPerSecond,
    }),
    figureOf(alarms, 'closed', {
      id: 'steady-closed',
      what: 'the same alarms: device → handled and closed',
      offered: plan.alarmsPerSecond,
      note,
    }),
  );
  const judged = plan.forMs >= JUDGED_FROM_MS;
  const after = ({ at: minute }: Sample): boolean => minute * 60_000 >= plan.warmUpMs;
  const lowest = floors(own.filter(after), WINDOW_MS / 60_000);
  const storesAfter = stores.filter(after);
  return [
    {
      ...(judged ? { id: 'steady-centre-slope' } : {}),
      what: 'steady: memory of the centre grows by',
      value: slopeOf(lowest),
      unit: 'MB/min',
    },
    {
      ...(judged ? { id: 'steady-stores-slope' } : {}),
      what: 'steady: memory of its stores grows by (without shared buffers)',
      value: slopeOf(storesAfter),
      unit: 'MB/min',
    },
    { what: 'steady: memory of the centre after the warm-up', value: lowest[0]?.mb ?? Number.NaN, unit: 'MB' },
    { what: 'steady: memory of the centre at the end', value: lowest.at(-1)?.mb ?? Number.NaN, unit: 'MB' },
    { what: 'steady: memory of its stores at the end', value: storesAfter.at(-1)?.mb ?? Number.NaN, unit: 'MB' },
    { what: 'steady: CPU of the centre, of a core', value: (100 * spent) / plan.forMs, unit: '%' },
    { what: 'steady: alarms that are not closed at the end', value: rows[0]?.open ?? Number.NaN, unit: '' },
  ];
}

/** The part in which a clock is moved. */
export async function hourOfIt({ steady: { hour } }: Plan, folder: string): Promise<Fact[]> {
  const job: SteadyHourJob = { dataDir: path.join(folder, 'hour'), configDir: CONFIG_DIR, plan: hour };
  const { heap, heartbeats, alarms, closed, commands, refusals, warnings, tookMs } = await runJob<SteadyHourJob, SteadyHourResult>(
    'steady-hour',
    job,
  );
  // The first looks see code that is compiled and caches that fill.
  const settled = heap.slice(Math.floor(heap.length / 4)).map(({ minute, mb }) => ({ at: minute, mb }));
  const name = `${hour.minutes} min of clock`;
  const refused = Object.values(refusals).reduce((sum, count) => sum + count, 0);
  const whole = hour.minutes >= 60;
  return [
    {
      ...(whole ? { id: 'steady-hour-slope' } : {}),
      what: `${name}: the heap grows by, for each minute of it`,
      value: slopeOf(settled),
      unit: 'MB/min',
    },
    { what: `${name}: heap after a quarter of it, collected`, value: settled[0]?.mb ?? Number.NaN, unit: 'MB' },
    { what: `${name}: heap at the end, collected`, value: settled.at(-1)?.mb ?? Number.NaN, unit: 'MB' },
    { what: `${name}: heartbeats`, value: heartbeats, unit: '' },
    { what: `${name}: alarms`, value: alarms, unit: '' },
    { what: `${name}: alarms that were not handled to their end`, value: alarms - closed, unit: '' },
    { what: `${name}: commands`, value: commands, unit: '' },
    { what: `${name}: commands that were refused`, value: refused, unit: '' },
    ...Object.entries(warnings).map(([event, value]) => ({ what: `${name}: lines "${event}" in the log`, value, unit: '' }) as const),
    { what: `${name}: took`, value: tookMs, unit: 'ms' },
  ];
}
