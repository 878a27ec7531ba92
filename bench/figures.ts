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
  /** Figures of this run with nothing of the centre in them. */
  readonly against?: readonly string[];
  readonly note?: string;
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
  about: Pick<Figure, 'id' | 'what' | 'offered'> & Partial<Pick<Figure, 'against' | 'note'>>,
): Figure {
  const latencies = result.latencies[stage];
  const reached = result.reached[stage] ?? 0;
  return {
    ...about,
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
    const saturated = figure.offered === null || (figure.perSecond !== null && figure.perSecond < 0.95 * figure.offered);
    const kinds = saturated ? (['perSecond'] as const) : (['p50', 'p99'] as const);
    return kinds.flatMap((by) => {
      const [own, other] = [figure[by], reference[by]];
      return own === null || other === null || other === 0 ? [] : [{ to: id, by, times: own / other }];
    });
  });
}

export interface Aim {
  readonly what: string;
  readonly figure: string;
  readonly measure: 'perSecond' | 'p99';
  readonly wanted: number;
}

/** Issue 2, point 10. */
export const AIMS: readonly Aim[] = [
  { what: 'durable alarms a second, MQTT, at saturation', figure: 'mqtt-saturated', measure: 'perSecond', wanted: 3000 },
  { what: 'durable alarms a second, SCAIP, at saturation', figure: 'scaip-saturated', measure: 'perSecond', wanted: 3000 },
  { what: 'device → PUBACK p99 at 500/s, ms', figure: 'mqtt-500', measure: 'p99', wanted: 25 },
  { what: 'device → SCAIP 200 p99 at 500/s, ms', figure: 'scaip-500', measure: 'p99', wanted: 25 },
  { what: 'heartbeats a second', figure: 'life-signs-flood', measure: 'perSecond', wanted: 20_000 },
  { what: 'device → every one of 200 consoles p99 at 100/s, ms', figure: 'consoles-200', measure: 'p99', wanted: 100 },
];

export interface Judged extends Aim {
  /** Null: not measured in this run. */
  readonly got: number | null;
  readonly reached: boolean;
}

/** A figure with lost messages reaches no aim. */
export function judge(aims: readonly Aim[], figures: readonly Figure[]): Judged[] {
  return aims.map((aim) => {
    const figure = figures.find(({ id }) => id === aim.figure);
    const got = figure?.[aim.measure] ?? null;
    const enough = got !== null && (aim.measure === 'perSecond' ? got >= aim.wanted : got < aim.wanted);
    return { ...aim, got, reached: enough && figure?.lost === 0 };
  });
}
