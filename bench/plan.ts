/** What a run measures: its parts, their loads and their numbers of devices; and the arguments that say which. */
import type { Milliseconds } from '../src/base/clock.ts';
import { FULL, QUICK, TRY } from './plans.ts';

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
  /** Each number of consoles under each load. */
  readonly consoles: { readonly counts: readonly number[]; readonly loads: readonly Load[] };
  readonly outage: OutagePlan;
  readonly steady: SteadyPlan;
  /** So many due in the same second. */
  readonly desk: { readonly deadlines: readonly number[] };
  readonly archive: { readonly sizes: readonly ArchiveSize[]; readonly requests: number };
  readonly reference: { readonly forMs: Milliseconds; readonly clients: readonly number[] };
  /** Units that speak once a minute, for so long each; and a flood of heartbeats. */
  readonly lifeSigns: {
    readonly units: readonly number[];
    readonly forMs: Milliseconds;
    readonly flood: { readonly units: number; readonly ratePerSecond: number; readonly forMs: Milliseconds };
  };
  readonly keeper: { readonly signals: number; readonly inFlight: readonly number[] };
}

/** An area without power: its devices tell of it, go dark, and are found silent, while people press their buttons. */
export interface OutagePlan {
  readonly devices: number;
  /** Within it all of them go dark. */
  readonly darkWithinMs: Milliseconds;
  /** Spread over `forMs`, over both protocols in turn. */
  readonly lifeAlarms: number;
  readonly forMs: Milliseconds;
}

/** An ordinary day: everybody's signs of life, and alarms that operators and responders handle to their end. */
export interface SteadyPlan {
  readonly devices: number;
  readonly signEveryMs: Milliseconds;
  readonly alarmsPerSecond: number;
  readonly forMs: Milliseconds;
  /** Of it, memory is not looked at. */
  readonly warmUpMs: Milliseconds;
  /** An hour of a clock that is moved, in one process. */
  readonly hour: { readonly minutes: number; readonly devices: number; readonly alarmsPerSecond: number };
}

export interface ArchiveSize {
  readonly closed: number;
  readonly open: number;
}

export const messagesOf = ({ ratePerSecond, forMs }: Load): number => Math.floor((ratePerSecond * forMs) / 1000);

/** So many devices must be in the register, of each protocol. */
export const devicesOf = (plan: Plan): number => {
  const { warmUp, rates, streamRates, saturation, consoles, connections, storms, heartbeats, outage, steady } = plan;
  return Math.max(
    ...[warmUp, ...rates, ...streamRates, saturation.mqtt, saturation.scaip, ...consoles.loads].map(messagesOf),
    ...connections.counts,
    ...storms.map(({ devices }) => devices),
    heartbeats.devices,
    outage.lifeAlarms,
    steady.devices,
  );
};

/** Connections of SCAIP over TCP and TLS: as many as the proxies of a region might have, with many messages on each. */
export const STREAMS = 64;

/** Of open alarms: the most that one may ask for at once. */
export const LARGEST_PAGE = 500;

export const PARTS = [
  'reference',
  'keeper',
  'desk',
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
  'outage',
  'steady',
  'hour',
  'start',
  'archive',
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
