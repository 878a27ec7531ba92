/** Token buckets by key: how often something may happen, with a burst, in bounded memory. */
import type { Clock, Milliseconds } from '../base/clock.ts';

interface Level {
  readonly tokens: number;
  readonly at: Milliseconds;
}

/** Full buckets are forgotten first; beyond this many, the least recently used. */
const MAX_KEYS = 20_000;

export class Buckets {
  readonly #levels = new Map<string, Level>();
  readonly #burst: number;
  readonly #refillMs: Milliseconds;
  readonly #clock: Clock;

  /** @param burst tokens of a full bucket @param refillMs how long one token takes to come back */
  constructor(clock: Clock, burst: number, refillMs: Milliseconds) {
    this.#clock = clock;
    this.#burst = burst;
    this.#refillMs = refillMs;
  }

  /** How long until `key` has a token; 0 when it has one now. */
  wait(key: string): Milliseconds {
    const tokens = this.#tokens(key);
    return tokens >= 1 ? 0 : Math.ceil((1 - tokens) * this.#refillMs);
  }

  take(key: string): void {
    this.#set(key, Math.max(0, this.#tokens(key) - 1));
  }

  giveBack(key: string): void {
    this.#set(key, Math.min(this.#burst, this.#tokens(key) + 1));
  }

  #tokens(key: string): number {
    const level = this.#levels.get(key);
    if (level === undefined) return this.#burst;
    return Math.min(this.#burst, level.tokens + (this.#clock.monotonic() - level.at) / this.#refillMs);
  }

  #set(key: string, tokens: number): void {
    this.#levels.delete(key);
    if (tokens >= this.#burst) return;
    this.#levels.set(key, { tokens, at: this.#clock.monotonic() });
    if (this.#levels.size <= MAX_KEYS) return;
    const [oldest] = this.#levels.keys();
    if (oldest !== undefined) this.#levels.delete(oldest);
  }
}
