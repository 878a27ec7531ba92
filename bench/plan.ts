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
  /** `try`: a handful of everything, to see that the bench runs; its figures say nothing. */
  readonly size: 'full' | 'quick' | 'try';
  /** Sent before anything is measured: a centre that runs has its code compiled and its connections open. */
  readonly warmUp: Load;
  /** At these rates the latency counts. */
  readonly rates: readonly Load[];
  /** The same for SCAIP over TCP and TLS. */
  readonly streamRates: readonly Load[];
  /** Offered beyond what can be kept up with: the throughput counts. */
  readonly saturation: { readonly mqtt: Load; readonly scaip: Load };
  /** So many devices connected, whoever of them speaks. */
  readonly connections: { readonly counts: readonly number[]; readonly rates: readonly Load[]; readonly saturation: Load };
  /** All cut at once; a storm for each jitter. */
  readonly storms: readonly { readonly devices: number; readonly secure: boolean; readonly jitters: readonly Milliseconds[] }[];
  readonly heartbeats: { readonly devices: number; readonly mqtt: Load; readonly scaip: Load };
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
export const devicesOf = (plan: Plan): number => {
  const { warmUp, rates, streamRates, saturation, consoles, connections, storms, heartbeats } = plan;
  return Math.max(
    ...[warmUp, ...rates, ...streamRates, saturation.mqtt, saturation.scaip, consoles.load].map(messagesOf),
    ...connections.counts,
    ...storms.map(({ devices }) => devices),
    heartbeats.devices,
  );
};

/** Connections of SCAIP over TCP and TLS: as many as the proxies of a region might have, with many messages on each. */
export const STREAMS = 64;

const load = (ratePerSecond: number, forMs: Milliseconds, warmUpMs: Milliseconds): Load => ({ ratePerSecond, forMs, warmUpMs });

const FULL: Plan = {
  size: 'full',
  warmUp: load(1000, 3000, 0),
  rates: [load(100, 10_000, 2000), load(500, 12_000, 2000), load(2000, 5000, 1000)],
  streamRates: [load(500, 12_000, 2000)],
  saturation: { mqtt: load(8000, 1500, 0), scaip: load(4000, 3000, 0) },
  connections: { counts: [1000, 5000, 10_000], rates: [load(500, 5000, 1000)], saturation: load(8000, 1500, 0) },
  storms: [
    { devices: 10_000, secure: false, jitters: [10_000, 0] },
    { devices: 1000, secure: true, jitters: [0] },
  ],
  heartbeats: { devices: 2000, mqtt: load(25_000, 4000, 500), scaip: load(6000, 2000, 0) },
  few: { ...load(200, 10_000, 2000), devices: 5 },
  consoles: { counts: [1, 200], load: load(100, 12_000, 2000) },
  reference: { forMs: 3000, clients: [1, 16, 64] },
  lifeSigns: { units: [1000, 10_000, 100_000], forMs: 15_000, flood: { units: 100_000, ratePerSecond: 25_000, forMs: 15_000 } },
  keeper: { signals: 20_000, inFlight: [1, 64, 512] },
};

const QUICK: Plan = {
  size: 'quick',
  warmUp: load(1000, 1500, 0),
  rates: [load(500, 3000, 500), load(2000, 2000, 500)],
  streamRates: [load(500, 3000, 500)],
  saturation: { mqtt: load(8000, 750, 0), scaip: load(4000, 1000, 0) },
  connections: { counts: [1000, 10_000], rates: [], saturation: load(8000, 1000, 0) },
  storms: [
    { devices: 10_000, secure: false, jitters: [0] },
    { devices: 500, secure: true, jitters: [0] },
  ],
  heartbeats: { devices: 1000, mqtt: load(25_000, 1500, 500), scaip: load(6000, 1000, 0) },
  few: { ...load(200, 2500, 500), devices: 5 },
  consoles: { counts: [200], load: load(100, 4000, 1000) },
  reference: { forMs: 700, clients: [1, 16, 64] },
  lifeSigns: { units: [1000, 10_000, 100_000], forMs: 3000, flood: { units: 100_000, ratePerSecond: 25_000, forMs: 3000 } },
  keeper: { signals: 5000, inFlight: [64, 512] },
};

const TRY: Plan = {
  size: 'try',
  warmUp: load(100, 200, 0),
  rates: [load(100, 500, 100)],
  streamRates: [load(100, 500, 100)],
  saturation: { mqtt: load(400, 500, 0), scaip: load(400, 500, 0) },
  connections: { counts: [50, 100], rates: [load(100, 300, 0)], saturation: load(400, 500, 0) },
  storms: [
    { devices: 100, secure: false, jitters: [1000, 0] },
    { devices: 20, secure: true, jitters: [0] },
  ],
  heartbeats: { devices: 50, mqtt: load(1000, 500, 100), scaip: load(400, 500, 0) },
  few: { ...load(50, 500, 100), devices: 5 },
  consoles: { counts: [1, 5], load: load(50, 500, 100) },
  reference: { forMs: 200, clients: [1, 4] },
  lifeSigns: { units: [100], forMs: 500, flood: { units: 1000, ratePerSecond: 1000, forMs: 500 } },
  keeper: { signals: 200, inFlight: [1, 16] },
};

export const PARTS = [
  'reference',
  'keeper',
  'mqtt',
  'few',
  'connections',
  'storm',
  'scaip',
  'scaip-tcp',
  'scaip-tls',
  'heartbeats',
  'life-signs',
  'consoles',
  'start',
] as const;
export type Part = (typeof PARTS)[number];

export interface Asked {
  readonly plan: Plan;
  readonly parts: readonly Part[];
  /** Where the centre writes CPU profiles; null: it is not profiled. */
  readonly profileTo: string | null;
}

/**
 * Reads the arguments: `--quick` or `--try`, `--only mqtt,keeper`, `--profile <folder>`.
 * @returns what is asked, or one sentence on what is wrong
 */
export function readArguments(args: readonly string[]): Asked | { readonly wrong: string } {
  let plan = FULL;
  let parts: readonly Part[] = PARTS;
  let profileTo: string | null = null;
  const left = [...args];
  for (let word = left.shift(); word !== undefined; word = left.shift()) {
    if (word === '--quick') plan = QUICK;
    else if (word === '--try') plan = TRY;
    else if (word === '--only') {
      const named = (left.shift() ?? '').split(',');
      const unknown = named.filter((name) => !(PARTS as readonly string[]).includes(name));
      if (unknown.length > 0) return { wrong: `There is no part "${unknown.join(', ')}"; there are ${PARTS.join(', ')}.` };
      parts = PARTS.filter((part) => named.includes(part));
    } else if (word === '--profile') {
      profileTo = left.shift() ?? '';
      if (profileTo === '') return { wrong: 'Name the folder that the profiles are written to: --profile <folder>.' };
    } else return { wrong: `"${word}" is not known: npm run bench -- [--quick | --try] [--only ${PARTS.join(',')}] [--profile <folder>].` };
  }
  return { plan, parts, profileTo };
}
