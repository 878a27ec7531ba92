/** What one run measures: rates, spans and numbers of devices, for the short run and the full one. */
import type { Milliseconds } from '../src/base/clock.ts';

/** One open-loop load in which every message comes from another device: each opens an alarm of its own. */
export interface Load {
  readonly ratePerSecond: number;
  readonly forMs: Milliseconds;
  /** The first part, sent but not measured. */
  readonly warmUpMs: Milliseconds;
}

export interface Plan {
  readonly quick: boolean;
  /** Sent before anything is measured: a centre that runs has its code compiled and its connections open. */
  readonly warmUp: Load;
  /** At these rates the latency counts. */
  readonly rates: readonly Load[];
  /** Offered beyond what can be kept up with: the throughput counts. */
  readonly saturation: { readonly mqtt: Load; readonly scaip: Load };
  /** Few devices that all speak at once: the messages of one household wait for one another. */
  readonly few: Load & { readonly devices: number };
  readonly consoles: { readonly counts: readonly number[]; readonly load: Load };
  readonly reference: { readonly forMs: Milliseconds; readonly clients: readonly number[] };
  /** Units that speak once a minute, for so long each; and a flood of heartbeats. */
  readonly lifeSigns: {
    readonly units: readonly number[];
    readonly forMs: Milliseconds;
    readonly flood: { readonly units: number; readonly ratePerSecond: number; readonly forMs: Milliseconds };
  };
  readonly keeper: { readonly signals: number; readonly inFlight: readonly number[] };
}

export const messagesOf = ({ ratePerSecond, forMs }: Load): number => Math.floor((ratePerSecond * forMs) / 1000);

/** So many devices must be in the register, of each protocol. */
export const devicesOf = ({ warmUp, rates, saturation, consoles }: Plan): number =>
  Math.max(...[warmUp, ...rates, saturation.mqtt, saturation.scaip, consoles.load].map(messagesOf));

const load = (ratePerSecond: number, forMs: Milliseconds, warmUpMs: Milliseconds): Load => ({ ratePerSecond, forMs, warmUpMs });

const FULL: Plan = {
  quick: false,
  warmUp: load(1000, 3000, 0),
  rates: [load(100, 15_000, 3000), load(500, 15_000, 3000), load(2000, 6000, 1000)],
  saturation: { mqtt: load(8000, 1500, 0), scaip: load(4000, 3000, 0) },
  few: { ...load(200, 10_000, 2000), devices: 5 },
  consoles: { counts: [1, 200], load: load(100, 15_000, 3000) },
  reference: { forMs: 3000, clients: [1, 16, 64] },
  lifeSigns: { units: [1000, 10_000, 100_000], forMs: 25_000, flood: { units: 100_000, ratePerSecond: 25_000, forMs: 15_000 } },
  keeper: { signals: 20_000, inFlight: [1, 64, 512] },
};

const QUICK: Plan = {
  quick: true,
  warmUp: load(1000, 1500, 0),
  rates: [load(500, 3000, 500), load(2000, 2000, 500)],
  saturation: { mqtt: load(8000, 750, 0), scaip: load(4000, 1000, 0) },
  few: { ...load(200, 2500, 500), devices: 5 },
  consoles: { counts: [200], load: load(100, 4000, 1000) },
  reference: { forMs: 700, clients: [1, 16, 64] },
  lifeSigns: { units: [1000, 10_000, 100_000], forMs: 3000, flood: { units: 100_000, ratePerSecond: 25_000, forMs: 3000 } },
  keeper: { signals: 5000, inFlight: [64, 512] },
};

export const PARTS = ['reference', 'keeper', 'mqtt', 'few', 'scaip', 'consoles', 'life-signs', 'start'] as const;
export type Part = (typeof PARTS)[number];

export interface Asked {
  readonly plan: Plan;
  readonly parts: readonly Part[];
  /** Where the centre writes CPU profiles; null: it is not profiled. */
  readonly profileTo: string | null;
}

/**
 * Reads the arguments: `--quick`, `--only mqtt,keeper`, `--profile <folder>`.
 * @returns what is asked, or one sentence on what is wrong
 */
export function readArguments(args: readonly string[]): Asked | { readonly wrong: string } {
  let plan = FULL;
  let parts: readonly Part[] = PARTS;
  let profileTo: string | null = null;
  const left = [...args];
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    if (word === '--quick') plan = QUICK;
    else if (word === '--only') {
      const named = (left.shift() ?? '').split(',');
      const unknown = named.filter((name) => !(PARTS as readonly string[]).includes(name));
      if (unknown.length > 0) return { wrong: `There is no part "${unknown.join(', ')}"; there are ${PARTS.join(', ')}.` };
      parts = PARTS.filter((part) => named.includes(part));
    } else if (word === '--profile') {
      profileTo = left.shift() ?? '';
      if (profileTo === '') return { wrong: 'Name the folder that the profiles are written to: --profile <folder>.' };
    } else return { wrong: `"${word}" is not known: npm run bench -- [--quick] [--only ${PARTS.join(',')}] [--profile <folder>].` };
  }
  return { plan, parts, profileTo };
}
