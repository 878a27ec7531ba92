/** Years of closed alarms and a thousand open ones: how long a start takes then, and what the consoles' questions take. */
import { RunningClock } from '../src/base/clock.ts';
import type { Centre } from './centre.ts';
import { type Fact, type Figure, percentile } from './figures.ts';
import { fillArchive, keepTemplates } from './archive-rows.ts';
import { runJob } from './job.ts';
import { type BoardJob, type BoardResult, QUESTIONS, type Question } from './jobs/board.ts';
import type { LoadJob, LoadOutcome } from './jobs/load.ts';
import type { SteadyJob, SteadyResult } from './jobs/steady.ts';
import { memoryOf, residentOf } from './machine.ts';
import { emptied } from './offer.ts';
import { type Plan, devicesOf } from './plan.ts';

/** What is measured, and how it is started again with what is there. */
export interface Restartable {
  readonly centre: Centre;
  restart(): Promise<void>;
}

const clock = new RunningClock();
const TEMPLATES = { ratePerSecond: 10, forMs: 2000, warmUpMs: 0 } as const;
const TEMPLATE_DEVICES = 20;

const WORDS: Readonly<Record<Question, string>> = {
  open: 'a page of open alarms',
  closed: 'a page of closed alarms',
  alarm: 'one alarm with its timeline',
  devices: 'search of devices',
  snapshot: 'WebSocket opened → snapshot',
};

export async function archives(plan: Plan, under: Restartable, add: (...more: Figure[]) => void): Promise<readonly Fact[]> {
  const facts: Fact[] = [];
  await realOnes(under.centre);
  await keepTemplates(under.centre.pool);
  let before: string | null = null;
  let startedBeforeMs: number | null = null;
  for (const size of plan.archive.sizes) {
    const began = clock.monotonic();
    await fillArchive(under.centre.pool, size, devicesOf(plan));
    const filledMs = clock.monotonic() - began;
    await under.restart();
    const { centre } = under;
    const at = `${size.closed}-${size.open}`;
    const what = `${size.closed} closed and ${size.open} open alarms`;
    facts.push(
      { what: `making ${what} [archive-${at}]`, value: filledMs, unit: 'ms' },
      { id: `archive-start-${at}`, what: `start, with ${what}`, value: centre.startMs, unit: 'ms' },
      { what: `memory of the centre, with ${what}`, value: residentOf(centre.ready.pid), unit: 'MB' },
      { what: `memory of centre and stores (PSS), with ${what}`, value: memoryOf(centre.processes()), unit: 'MB' },
    );
    if (startedBeforeMs !== null)
      facts.push({ what: `start, with ${what}, beside the size before`, value: centre.startMs / startedBeforeMs, unit: '×' });
    startedBeforeMs = centre.startMs;
    const { rows } = await centre.pool.query<{ number: string }>(
      'select number::text from alarm where closed_at is not null order by hashint8(number) limit 500',
    );
    const { rows: counted } = await centre.pool.query<{ closed: number; open: number }>(
      'select count(closed_at)::int as closed, (count(*) - count(closed_at))::int as open from alarm',
    );
    const [there] = counted;
    const note =
      there?.closed === size.closed && there.open === size.open ? '' : `ONLY ${there?.closed ?? 0} AND ${there?.open ?? 0} ARE THERE`;
    const job: BoardJob = {
      http: centre.ready.http,
      requests: plan.archive.requests,
      numbers: rows.map(({ number }) => number),
      search: 'BENCH-M-1',
    };
    const answered = await runJob<BoardJob, BoardResult>('board', job);
    const smaller = before;
    add(...QUESTIONS.map((question) => questionFigure(question, answered[question], what, at, smaller, note)));
    before = at;
  }
  return facts;
}

function questionFigure(
  question: Question,
  { perSecond, latencies, bytes }: BoardResult[Question],
  among: string,
  at: string,
  before: string | null,
  note: string,
): Figure {
  return {
    id: `archive-${question}-${at}`,
    what: `${WORDS[question]}, among ${among}`,
    offered: null,
    perSecond,
    p50: percentile(latencies, 50),
    p99: percentile(latencies, 99),
    max: latencies.max,
    lost: 0,
    lateMs: null,
    byLatency: true,
    against: before === null ? [] : [`archive-${question}-${before}`],
    note: [`${(bytes / 1024).toFixed(1)} kB`, note].filter((text) => text !== '').join('; '),
  };
}

/** Twenty that staff have handled to their end, and twenty that wait: what the archive is made of. */
async function realOnes(centre: Centre): Promise<void> {
  await emptied(centre);
  const { http, mqtt } = centre.ready;
  const run = `a${Math.round(clock.monotonic()).toString(36)}`;
  const plan = {
    devices: TEMPLATE_DEVICES,
    signEveryMs: 60_000,
    alarmsPerSecond: TEMPLATES.ratePerSecond,
    forMs: TEMPLATES.forMs,
    warmUpMs: 0,
    hour: { minutes: 0, devices: 0, alarmsPerSecond: 0 },
  };
  const { alarms } = await runJob<SteadyJob, SteadyResult>('steady', { http, mqtt, plan, run });
  if (alarms.lost > 0) throw new Error(`${alarms.lost} of the alarms that the archive is made of were not handled.`);
  await runJob<LoadJob, LoadOutcome>('load', { protocol: 'mqtt', address: mqtt, load: TEMPLATES, devices: TEMPLATE_DEVICES, run });
}
