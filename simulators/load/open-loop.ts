/** An open-loop generator: sends on schedule whatever the answers do, and measures from the scheduled moment (no coordinated omission). */
import type { Clock, Milliseconds } from '../../src/base/clock.ts';

export interface LoadPlan {
  readonly ratePerSecond: number;
  readonly forMs: Milliseconds;
  /** The first part of `forMs`, sent but not measured. */
  readonly warmUpMs?: Milliseconds;
  /** After the last send: how long answers may still come. What has none then is lost. */
  readonly drainMs?: Milliseconds;
  /** Told when all is connected, before the first message. */
  readonly begun?: () => void;
}

/** How a sender tells what became of one message; each stage counts once. */
export interface Progress {
  /** @param at `Clock.monotonic` of that moment */
  reached(stage: string, at: Milliseconds): void;
  /** Nothing more will come. @param why a few words, the same for the same cause */
  failed(why: string): void;
}

export interface Latencies {
  readonly count: number;
  readonly min: Milliseconds;
  readonly mean: Milliseconds;
  readonly max: Milliseconds;
  readonly percentiles: readonly { readonly p: number; readonly ms: Milliseconds }[];
}

export interface LoadResult {
  /** Messages of the measured part; sent is always the same, as the loop is open. */
  readonly scheduled: number;
  /** By stage: how many of them got there. */
  readonly reached: Readonly<Record<string, number>>;
  /** The same with those of the warm-up: what the other side must have. */
  readonly reachedInAll: Readonly<Record<string, number>>;
  /** Those that did not reach the last stage. */
  readonly lost: number;
  /** Why those failed of which that is known, warm-up included: words and how many. */
  readonly failures: Readonly<Record<string, number>>;
  /** Over UDP: datagrams that had to be sent again. */
  readonly repeated?: number;
  /** From the first measured schedule to the last stamp. */
  readonly spanMs: Milliseconds;
  /** Messages that reached the last stage, for each second of `spanMs`. */
  readonly perSecond: number;
  readonly latencies: Readonly<Record<string, Latencies>>;
  /** How late the generator itself was at worst: beyond some 10 ms the machine had no room for it. */
  readonly generatorLateMs: Milliseconds;
}

const PERCENTILES = [50, 75, 90, 95, 99, 99.9, 99.99] as const;

/** Nearest-rank percentiles of samples in any order. */
export function latenciesOf(samples: Float64Array): Latencies {
  const sorted = samples.toSorted();
  // 99.9 % of 1000 is a little more than 999 in binary: a sliver must not cost a rank.
  const rank = (p: number): number => Math.ceil((p * sorted.length) / 100 - 1e-9);
  const at = (p: number): number => sorted[Math.max(0, rank(p) - 1)] ?? Number.NaN;
  return {
    count: sorted.length,
    min: sorted[0] ?? Number.NaN,
    mean: sorted.reduce((sum, sample) => sum + sample, 0) / sorted.length,
    max: sorted.at(-1) ?? Number.NaN,
    percentiles: PERCENTILES.map((p) => ({ p, ms: at(p) })),
  };
}

/**
 * Calls `send(i, progress)` at its moment for i = 0, 1, 2 …
 * @param stages in the order in which a message reaches them
 */
export async function openLoop(
  plan: LoadPlan,
  stages: readonly string[],
  clock: Clock,
  send: (i: number, progress: Progress) => void,
): Promise<LoadResult> {
  const { ratePerSecond, forMs, warmUpMs = 0, drainMs = 5000 } = plan;
  const all = Math.floor((ratePerSecond * forMs) / 1000);
  const first = Math.min(all, Math.ceil((ratePerSecond * warmUpMs) / 1000));
  const gap = 1000 / ratePerSecond;
  const samples = new Map(stages.map((stage) => [stage, [] as number[]]));
  const failures = new Map<string, number>();
  const inAll = new Map(stages.map((stage) => [stage, 0]));
  const last = stages.at(-1) ?? '';
  plan.begun?.();
  const began = clock.monotonic();
  let next = 0;
  let over = 0;
  let lastStamp = began + first * gap;
  let late = 0;
  let open = true;
  let sentAll = (): void => {};
  let enough = (): void => {};
  const sending = new Promise<void>((resolve) => (sentAll = resolve));
  const drained = new Promise<void>((resolve) => (enough = resolve));

  const progressOf = (i: number): Progress => {
    const left = new Set(stages);
    let ended = false;
    const end = (): void => {
      if (ended) return;
      ended = true;
      if (++over === all) enough();
    };
    return {
      reached: (stage, at) => {
        if (!open || !left.delete(stage)) return;
        inAll.set(stage, (inAll.get(stage) ?? 0) + 1);
        if (i >= first) {
          lastStamp = Math.max(lastStamp, at);
          samples.get(stage)?.push(at - (began + i * gap));
        }
        // The last stage may overtake another one (an mrs its 200).
        if (left.size === 0) end();
      },
      failed: (why) => {
        if (!ended && open) failures.set(why, (failures.get(why) ?? 0) + 1);
        end();
      },
    };
  };
  const tick = (): void => {
    const now = clock.monotonic();
    if (next < all) late = Math.max(late, now - (began + next * gap));
    for (; next < all && began + next * gap <= now; next++) send(next, progressOf(next));
    if (next < all) clock.after(Math.min(1, gap), tick);
    else sentAll();
  };
  tick();
  await sending;
  const timer = clock.after(drainMs, enough);
  if (all > 0) await drained;
  timer.cancel();
  open = false;

  const spanMs = lastStamp - (began + first * gap);
  const arrived = samples.get(last)?.length ?? 0;
  return {
    scheduled: all - first,
    reached: Object.fromEntries([...samples].map(([stage, kept]) => [stage, kept.length])),
    reachedInAll: Object.fromEntries(inAll),
    failures: Object.fromEntries(failures),
    lost: all - first - arrived,
    spanMs,
    perSecond: spanMs > 0 ? (arrived * 1000) / spanMs : 0,
    latencies: Object.fromEntries([...samples].map(([stage, kept]) => [stage, latenciesOf(Float64Array.from(kept))])),
    generatorLateMs: late,
  };
}
