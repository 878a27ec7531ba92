/** The only place that touches the machine's time: instants, spans, the running clock and a movable one for tests. */
import process from 'node:process';

/** A point in time: milliseconds since 1970-01-01T00:00Z. Names of instants end in `At`, of deadlines in `By`. */
export type Instant = number & { readonly unit?: 'instant' };
/** A span in milliseconds. */
export type Milliseconds = number & { readonly unit?: 'ms' };
/** A span in seconds, as configuration files write it. */
export type Seconds = number & { readonly unit?: 's' };

export const seconds = (s: Seconds): Milliseconds => (s as number) * 1000;
export const minutes = (m: number): Milliseconds => m * 60_000;

/** RFC 3339 in UTC with milliseconds, as every API and log line of the centre writes an instant. */
export const toIso = (at: Instant): string => new Date(at).toISOString();

/** Reads RFC 3339; null when the text is no instant (never throws: devices send all sorts). */
export function fromIso(text: string): Instant | null {
  const at = Date.parse(text);
  return Number.isNaN(at) ? null : at;
}

/** A pending timer; cancelling one that has fired does nothing. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Wall time, carried on by the monotonic clock: never runs backwards. */
  now(): Instant;
  /** Milliseconds since some fixed point, for measuring spans. */
  monotonic(): Milliseconds;
  /** Runs `run` once, `delay` from now. A timer does not keep the process alive by itself. */
  after(delay: Milliseconds, run: () => void): Timer;
  /** Runs `run` again and again, `period` apart, until cancelled. */
  every(period: Milliseconds, run: () => void): Timer;
}

/** Resolves `delay` later on that clock. */
export function sleep(clock: Clock, delay: Milliseconds): Promise<void> {
  return new Promise((resolve) => {
    clock.after(delay, resolve);
  });
}

/** The machine's monotonic clock; `performance.now` counts from the start of the process. */
const sinceBoot = (): Milliseconds => Number(process.hrtime.bigint() / 1_000_000n);

/** What the wall clock did that the running clock did not follow. */
export interface WallClockJump {
  readonly by: Milliseconds;
}

/**
 * Wall time read once at the start and carried on by the monotonic clock (design § 2, Time): a stepped wall clock
 * cannot fire or postpone deadlines. `atLeast` lifts it above the latest instant that the store holds.
 */
export class RunningClock implements Clock {
  #startedAt: Instant;
  readonly #origin = performance.now();
  #reported = 0;

  /** @param anchor of a clock of another process on this machine, to tell the same time as that one; absent: the wall's time now */
  constructor(anchor?: Instant) {
    this.#startedAt = anchor === undefined ? Date.now() : anchor + sinceBoot();
  }

  now(): Instant {
    return Math.round(this.#startedAt + performance.now() - this.#origin);
  }

  monotonic(): Milliseconds {
    return performance.now();
  }

  after(delay: Milliseconds, run: () => void): Timer {
    const timer = setTimeout(run, Math.max(0, delay)).unref();
    return { cancel: () => clearTimeout(timer) };
  }

  every(period: Milliseconds, run: () => void): Timer {
    const timer = setInterval(run, period).unref();
    return { cancel: () => clearInterval(timer) };
  }

  /** This clock's time when the machine's monotonic clock, which all its processes share, stood at 0. */
  anchor(): Instant {
    return this.now() - sinceBoot();
  }

  /** Never tell a time earlier than `instant`, the latest one that was stored. */
  atLeast(instant: Instant): void {
    const behind = instant - this.now();
    if (behind > 0) this.#startedAt += behind;
  }

  /** How far the wall clock has moved away from this clock since last asked, when that is more than 2 s; else null. */
  wallClockJump(): WallClockJump | null {
    const by = Date.now() - this.now();
    if (Math.abs(by - this.#reported) <= 2000) return null;
    this.#reported = by;
    return { by };
  }
}

interface PlannedRun {
  readonly at: Instant;
  readonly order: number;
  readonly run: () => void;
  readonly period: Milliseconds | null;
}

/** A clock that stands still until it is moved; fires what falls due in order. For tests and simulations. */
export class MovableClock implements Clock {
  #now: Instant;
  #order = 0;
  readonly #planned = new Set<PlannedRun>();

  constructor(start: Instant = Date.UTC(2026, 10, 22, 22, 0, 0)) {
    this.#now = start;
  }

  now(): Instant {
    return this.#now;
  }

  monotonic(): Milliseconds {
    return this.#now as number;
  }

  after(delay: Milliseconds, run: () => void): Timer {
    return this.#plan(this.#now + Math.max(0, delay), run, null);
  }

  every(period: Milliseconds, run: () => void): Timer {
    let current = this.#plan(this.#now + period, again, period);
    const plan = (at: Instant): Timer => this.#plan(at, again, period);
    const now = (): Instant => this.#now;
    let cancelled = false;
    function again(): void {
      run();
      if (!cancelled) current = plan(now() + period);
    }
    return {
      cancel: () => {
        cancelled = true;
        current.cancel();
      },
    };
  }

  /** Moves on by `span`, firing what falls due on the way; what a timer starts without awaiting gets its turn between. */
  async advance(span: Milliseconds): Promise<void> {
    const until = this.#now + span;
    for (;;) {
      const next = this.#next();
      if (next === null || next.at > until) break;
      this.#planned.delete(next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#now = until;
  }

  #next(): PlannedRun | null {
    let first: PlannedRun | null = null;
    for (const planned of this.#planned) {
      if (first === null || planned.at < first.at || (planned.at === first.at && planned.order < first.order)) {
        first = planned;
      }
    }
    return first;
  }

  #plan(at: Instant, run: () => void, period: Milliseconds | null): Timer {
    const planned: PlannedRun = { at, order: this.#order++, run, period };
    this.#planned.add(planned);
    return { cancel: () => this.#planned.delete(planned) };
  }
}
