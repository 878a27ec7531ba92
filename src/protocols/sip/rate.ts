/** Whose messages are taken when there are too many: token buckets of a minute, in bounded memory, that never let strangers starve a unit. */
import type { Clock, Milliseconds } from '../../base/clock.ts';

/** What a request asks: each sort is counted by itself, so that none keeps another out. */
export type Asked = 'alarm' | 'heartbeat' | 'registration' | 'call';

/** Requests a minute; as many may come at once. */
export interface RateLimitsPerMinute {
  /** Messages of all senders together that the register does not know. */
  readonly strangersInAll: number;
  /** Their registrations, and as many calls: they are refused anyway. */
  readonly strangersOther: number;
  /** One of them, of each sort. */
  readonly perStranger: number;
  /** Each sort of a unit of the register, from one address: whoever else takes its name does so from another. */
  readonly perUnit: number;
  /** All strangers of one address; null where many units share one (NAT, a proxy in front). */
  readonly perAddress: number | null;
}

/**
 * Far above what units send (one alarm, some repeats, a heartbeat a minute). Strangers together get less than may be in hand at
 * once (core), so that there is always room for units of the register.
 */
export const RATE_LIMITS: RateLimitsPerMinute = {
  strangersInAll: 6000,
  strangersOther: 1200,
  perStranger: 1200,
  perUnit: 6000,
  perAddress: null,
};

export interface Sender {
  /** A unit's id, or whatever a stranger calls itself. */
  readonly unit: string;
  /** The register holds the unit. */
  readonly known: boolean;
  readonly address: string;
  /** `alarm`: whatever is not surely a heartbeat. */
  readonly asks: Asked;
}

const MINUTE: Milliseconds = 60_000;
/** Buckets of each sort; beyond, the one used least recently is forgotten, which is to say full again. */
const MAX_BUCKETS = 20_000;
/** Longer names are no unit's. */
const MAX_NAME = 128;

export class RateLimits {
  readonly #units: Buckets;
  readonly #strangers: Buckets;
  readonly #addresses: Buckets | null;
  readonly #strangersInAll: Buckets;
  readonly #strangersOther: Buckets;

  constructor(parts: { readonly clock: Clock; readonly limits?: Partial<RateLimitsPerMinute>; readonly maxBuckets?: number }) {
    const { clock, maxBuckets = MAX_BUCKETS } = parts;
    const { strangersInAll, strangersOther, perStranger, perUnit, perAddress } = { ...RATE_LIMITS, ...parts.limits };
    this.#units = new Buckets(clock, perUnit, maxBuckets);
    this.#strangers = new Buckets(clock, perStranger, maxBuckets);
    this.#addresses = perAddress === null ? null : new Buckets(clock, perAddress, maxBuckets);
    this.#strangersInAll = new Buckets(clock, strangersInAll, 1);
    this.#strangersOther = new Buckets(clock, strangersOther, 2);
  }

  /** Whether a request of that sender is within the limits now; only then it counts. */
  admit({ unit, known, address, asks }: Sender): boolean {
    const name = unit.slice(0, MAX_NAME);
    if (known) return takeOfEach([[this.#units, `${asks} ${address} ${name}`]]);
    // A stranger says what it likes of its messages: alarms and heartbeats are one.
    const sort = asks === 'heartbeat' ? 'alarm' : asks;
    const asked: [Buckets, string][] = [
      [this.#strangers, `${sort} ${name}`],
      [sort === 'alarm' ? this.#strangersInAll : this.#strangersOther, sort],
    ];
    if (this.#addresses !== null) asked.push([this.#addresses, `${sort} ${address}`]);
    return takeOfEach(asked);
  }

  /** Buckets that are kept. */
  get size(): number {
    const inAll = this.#strangersInAll.size + this.#strangersOther.size;
    return this.#units.size + this.#strangers.size + inAll + (this.#addresses?.size ?? 0);
  }
}

/** All or nothing: who is refused by one bucket takes nothing from the others. */
function takeOfEach(asked: readonly (readonly [Buckets, string])[]): boolean {
  if (!asked.every(([buckets, key]) => buckets.has(key))) return false;
  for (const [buckets, key] of asked) buckets.take(key);
  return true;
}

interface Level {
  readonly tokens: number;
  readonly at: Milliseconds;
}

class Buckets {
  readonly #clock: Clock;
  readonly #perMinute: number;
  readonly #max: number;
  /** In the order of use. */
  readonly #levels = new Map<string, Level>();

  constructor(clock: Clock, perMinute: number, max: number) {
    this.#clock = clock;
    this.#perMinute = perMinute;
    this.#max = max;
  }

  get size(): number {
    return this.#levels.size;
  }

  has(key: string): boolean {
    return this.#tokens(key) >= 1;
  }

  take(key: string): void {
    const tokens = this.#tokens(key) - 1;
    this.#levels.delete(key);
    this.#levels.set(key, { tokens, at: this.#clock.monotonic() });
    if (this.#levels.size <= this.#max) return;
    const oldest = this.#levels.keys().next();
    if (!oldest.done) this.#levels.delete(oldest.value);
  }

  #tokens(key: string): number {
    const level = this.#levels.get(key);
    if (level === undefined) return this.#perMinute;
    return Math.min(this.#perMinute, level.tokens + ((this.#clock.monotonic() - level.at) / MINUTE) * this.#perMinute);
  }
}
