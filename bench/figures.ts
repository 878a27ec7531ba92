/** The figures of one run as plain data, how they compare with their reference points, and whether they reach their aims. Pure. */
import type { Milliseconds } from '../src/base/clock.ts';
import type { LoadResult } from '../simulators/load.ts';
import type { Latencies } from '../simulators/load/open-loop.ts';

/** One row of the table and of the result file. */
export interface Figure {
  /** Names it within a run; ratios refer to it. */
  readonly id: string;
  readonly what: string;
  /** Messages a second that were offered; null where there is no schedule. */
  readonly offered: number | null;
  readonly perSecond: number | null;
  readonly p50: Milliseconds | null;
  readonly p99: Milliseconds | null;
  readonly max: Milliseconds | null;
  /** Sent in the measured part and never answered; they are in no percentile. */
  readonly lost: number;
  /** How late the generator was at worst: the figure means little when this is not small against it. */
  readonly lateMs: Milliseconds | null;
  /** Figures of this run with nothing of the centre in them, or of the same with a tenth of it. */
  readonly against?: readonly string[];
  /** Nothing was offered, but one question was asked after the other: latencies are what is compared. */
  readonly byLatency?: true;
  readonly note?: string;
  /** Acknowledged, and not in the database: a promise that was broken. Such a figure reaches no aim, and the run fails. */
  readonly unkept?: number;
}

/** What a run could not measure, and what to do about it: said in the table, not left out. */
export function unmeasured(id: string, what: string, why: string): Figure {
  const none = { offered: null, perSecond: null, p50: null, p99: null, max: null, lateMs: null };
  return { ...none, id, what, lost: 0, note: `NOT MEASURED: ${why}` };
}

/** A reference point, the measure that is compared and the quotient. */
export interface Ratio {
  readonly to: string;
  readonly by: 'perSecond' | 'p50' | 'p99';
  readonly times: number;
}

/** Nearest-rank percentile; NaN when there is none of that rank. */
export const percentile = (latencies: Latencies, p: number): Milliseconds =>
  latencies.percentiles.find((one) => one.p === p)?.ms ?? Number.NaN;

const finite = (ms: Milliseconds): Milliseconds | null => (Number.isFinite(ms) ? ms : null);

/** A stage of a load as a figure. */
export function figureOf(
  result: LoadResult,
  stage: string,
  about: Pick<Figure, 'id' | 'what' | 'offered'> & Partial<Pick<Figure, 'against' | 'note' | 'unkept'>>,
): Figure {
  const latencies = result.latencies[stage];
  const reached = result.reached[stage] ?? 0;
  const failures = Object.entries(result.failures).map(([why, count]) => `${count} × ${why}`);
  const { repeated = 0 } = result;
  const again = repeated === 0 ? [] : [`${repeated} datagrams sent again`];
  const note = [about.note ?? '', ...failures, ...again].filter((text) => text !== '').join('; ');
  return {
    ...about,
    ...(note === '' ? {} : { note }),
    perSecond: result.spanMs > 0 ? (reached * 1000) / result.spanMs : null,
    p50: latencies === undefined ? null : finite(percentile(latencies, 50)),
    p99: latencies === undefined ? null : finite(percentile(latencies, 99)),
    max: latencies === undefined ? null : finite(latencies.max),
    lost: result.scheduled - reached,
    lateMs: result.generatorLateMs,
  };
}

/** Compared by throughput where one of the two is saturated (no p50 that means anything), else by latency. */
export function ratiosOf(figure: Figure, all: readonly Figure[]): Ratio[] {
  return (figure.against ?? []).flatMap((id) => {
    const reference = all.find((one) => one.id === id);
    if (reference === undefined) return [];
    const closedLoop = figure.offered === null && figure.byLatency !== true;
    const saturated = closedLoop || (figure.perSecond !== null && figure.perSecond < 0.95 * (figure.offered ?? 0));
    const kinds = saturated ? (['perSecond'] as const) : (['p50', 'p99'] as const);
    return kinds.flatMap((by) => {
      const [own, other] = [figure[by], reference[by]];
      return own === null || other === null || other === 0 ? [] : [{ to: id, by, times: own / other }];
    });
  });
}

/** Of start time, memory, CPU, and what was counted: a name and a value with its unit. */
export interface Fact {
  /** Aims refer to it. */
  readonly id?: string;
  readonly what: string;
  readonly value: number;
  /** Empty: a count. */
  readonly unit: 'ms' | 'MB' | 'MB/min' | 'ms CPU' | '%' | '×' | '';
}

export interface Aim {
  readonly what: string;
  /** Id of a figure; with the measure `value`, of a fact. */
  readonly figure: string;
  readonly measure: 'perSecond' | 'p99' | 'max' | 'value';
  readonly wanted: number;
}

const durable = (way: string, figure: string, wanted = 3000): Aim => {
  return { what: `durable signals a second, ${way}, at saturation`, figure, measure: 'perSecond', wanted };
};
const quick = (what: string, figure: string): Aim => ({ what: `device → ${what} p99 at 500/s, ms`, figure, measure: 'p99', wanted: 10 });
const never = (what: string, figure: string): Aim => ({ what, figure, measure: 'value', wanted: 0 });
const flat = (whose: string, figure: string, wanted: number): Aim => ({
  what: `memory of ${whose} grows by, MB/min`,
  figure,
  measure: 'value',
  wanted,
});
const back = (how: string, figure: string): Aim => {
  return { what: `10000 devices back after a cut, ${how}: the last, ms`, figure, measure: 'max', wanted: 30_000 };
};

export const AIMS: readonly Aim[] = [
  durable('keeper without protocol', 'keeper-512', 10_000),
  durable('MQTT', 'mqtt-saturated', 5000),
  durable('MQTT with 10000 connections', 'connections-10000-saturated'),
  durable('SCAIP over UDP', 'scaip-saturated'),
  durable('SCAIP over TCP', 'scaip-tcp-saturated'),
  durable('SCAIP over TLS', 'scaip-tls-saturated'),
  quick('PUBACK', 'mqtt-500'),
  quick('200 over UDP', 'scaip-500'),
  quick('200 over TCP', 'scaip-tcp-500'),
  quick('200 over TLS', 'scaip-tls-500'),
  { what: 'heartbeats a second, supervision alone', figure: 'life-signs-flood', measure: 'perSecond', wanted: 20_000 },
  { what: 'heartbeats a second, MQTT QoS 0', figure: 'heartbeats-mqtt-0', measure: 'perSecond', wanted: 20_000 },
  { what: 'heartbeats a second, MQTT QoS 1', figure: 'heartbeats-mqtt-1', measure: 'perSecond', wanted: 20_000 },
  { what: 'heartbeats a second, SCAIP over UDP', figure: 'heartbeats-scaip', measure: 'perSecond', wanted: 20_000 },
  back('all at once', 'storm-10000-at-once'),
  back('each within 10 s', 'storm-10000-within-10s'),
  { what: 'device → every one of 200 consoles p99 at 500/s, ms', figure: 'consoles-200-500', measure: 'p99', wanted: 50 },
  { what: 'device → every one of 200 consoles p99 at 100/s, ms', figure: 'consoles-200-100', measure: 'p99', wanted: 100 },
  { what: '10000 deadlines due in the same second, the last, ms', figure: 'deadlines-10000', measure: 'max', wanted: 5000 },
  never('deadlines passed while a more urgent one waited', 'deadlines-10000-out-of-order'),
  { what: 'outage: a life alarm on the console, the last, ms', figure: 'outage-life', measure: 'max', wanted: 1000 },
  never('outage: life alarms behind a technical one', 'outage-life-behind'),
  never('outage: people woken by a technical alarm', 'outage-woken'),
  flat('the centre, ten minutes of work', 'steady-centre-slope', 1),
  flat('the stores, ten minutes of work', 'steady-stores-slope', 1),
  flat('the heap, an hour of clock', 'steady-hour-slope', 0.1),
];

export interface Judged extends Aim {
  /** Null: not measured in this run. */
  readonly got: number | null;
  readonly reached: boolean;
}

/** A figure with lost messages, or with acknowledged ones that are not there, reaches no aim. */
export function judge(aims: readonly Aim[], figures: readonly Figure[], facts: readonly Fact[] = []): Judged[] {
  return aims.map((aim) => {
    const { figure: id, measure, wanted } = aim;
    if (measure === 'value') {
      const got = facts.find((fact) => fact.id === id)?.value ?? null;
      return { ...aim, got, reached: got !== null && got <= wanted };
    }
    const figure = figures.find((one) => one.id === id);
    const got = figure?.[measure] ?? null;
    const enough = got !== null && (measure === 'perSecond' ? got >= wanted : got < wanted);
    return { ...aim, got, reached: enough && figure?.lost === 0 && (figure.unkept ?? 0) === 0 };
  });
}
