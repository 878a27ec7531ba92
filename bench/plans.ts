/** The plans: everything, everything in short, and a handful of everything. */
import type { Milliseconds } from '../src/base/clock.ts';
import type { Load, Plan } from './plan.ts';

const load = (ratePerSecond: number, forMs: Milliseconds, warmUpMs: Milliseconds): Load => ({ ratePerSecond, forMs, warmUpMs });

export const FULL: Plan = {
  size: 'full',
  warmUp: load(1000, 3000, 0),
  rates: [load(50, 10_000, 2000), load(500, 12_000, 2000), load(2000, 5000, 1000)],
  streamRates: [load(500, 12_000, 2000)],
  saturation: { mqtt: load(8000, 1500, 0), scaip: load(4000, 3000, 0) },
  connections: { counts: [1000, 5000, 10_000], rates: [load(500, 5000, 1000)], saturation: load(8000, 1500, 0) },
  storms: [
    { devices: 10_000, secure: false, jitters: [10_000, 0] },
    { devices: 1000, secure: true, jitters: [0] },
  ],
  heartbeats: { devices: 2000, mqtt: load(25_000, 4000, 500), scaip: load(6000, 2000, 0) },
  few: { ...load(200, 10_000, 2000), devices: 5 },
  consoles: { counts: [20, 200], loads: [load(100, 12_000, 2000), load(500, 12_000, 2000)] },
  outage: { devices: 10_000, darkWithinMs: 60_000, lifeAlarms: 400, forMs: 240_000 },
  steady: {
    devices: 10_000,
    signEveryMs: 60_000,
    alarmsPerSecond: 10,
    forMs: 900_000,
    // Ten minutes are judged, behind those in which the feed in Redis fills up to its 20,000 entries.
    warmUpMs: 300_000,
    hour: { minutes: 60, devices: 10_000, alarmsPerSecond: 10 },
  },
  desk: { deadlines: [1000, 10_000, 100_000] },
  archive: {
    sizes: [
      { closed: 10_000, open: 100 },
      { closed: 100_000, open: 1000 },
      { closed: 100_000, open: 10_000 },
    ],
    requests: 200,
  },
  reference: { forMs: 3000, clients: [1, 16, 64] },
  lifeSigns: { units: [1000, 10_000, 100_000], forMs: 15_000, flood: { units: 100_000, ratePerSecond: 25_000, forMs: 15_000 } },
  keeper: { signals: 30_000, inFlight: [1, 51, 512, 5120] },
};

export const QUICK: Plan = {
  size: 'quick',
  warmUp: load(1000, 1500, 0),
  rates: [load(50, 4000, 1000), load(500, 3000, 500), load(2000, 2000, 500)],
  streamRates: [load(500, 3000, 500)],
  saturation: { mqtt: load(8000, 750, 0), scaip: load(4000, 1000, 0) },
  connections: { counts: [1000, 10_000], rates: [], saturation: load(8000, 1000, 0) },
  storms: [
    { devices: 10_000, secure: false, jitters: [0] },
    { devices: 500, secure: true, jitters: [0] },
  ],
  heartbeats: { devices: 1000, mqtt: load(25_000, 1500, 500), scaip: load(6000, 1000, 0) },
  few: { ...load(200, 2500, 500), devices: 5 },
  consoles: { counts: [20, 200], loads: [load(100, 4000, 1000), load(500, 4000, 1000)] },
  outage: { devices: 10_000, darkWithinMs: 20_000, lifeAlarms: 200, forMs: 60_000 },
  steady: {
    devices: 10_000,
    signEveryMs: 60_000,
    alarmsPerSecond: 10,
    forMs: 60_000,
    warmUpMs: 20_000,
    hour: { minutes: 60, devices: 300, alarmsPerSecond: 0.1 },
  },
  desk: { deadlines: [1000, 10_000] },
  archive: {
    sizes: [
      { closed: 10_000, open: 100 },
      { closed: 100_000, open: 1000 },
    ],
    requests: 50,
  },
  reference: { forMs: 700, clients: [1, 16, 64] },
  lifeSigns: { units: [1000, 10_000, 100_000], forMs: 3000, flood: { units: 100_000, ratePerSecond: 25_000, forMs: 3000 } },
  keeper: { signals: 24_000, inFlight: [51, 512, 5120] },
};

export const TRY: Plan = {
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
  consoles: { counts: [1, 5], loads: [load(50, 500, 100)] },
  outage: { devices: 200, darkWithinMs: 2000, lifeAlarms: 10, forMs: 5000 },
  steady: {
    devices: 100,
    signEveryMs: 5000,
    alarmsPerSecond: 4,
    forMs: 6000,
    warmUpMs: 2000,
    hour: { minutes: 1, devices: 20, alarmsPerSecond: 0.5 },
  },
  desk: { deadlines: [50, 200] },
  archive: {
    sizes: [
      { closed: 200, open: 20 },
      { closed: 500, open: 50 },
    ],
    requests: 5,
  },
  reference: { forMs: 200, clients: [1, 4] },
  lifeSigns: { units: [100], forMs: 500, flood: { units: 1000, ratePerSecond: 1000, forMs: 500 } },
  keeper: { signals: 200, inFlight: [1, 16] },
};
