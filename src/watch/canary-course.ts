/** The course of one round of the canary: its steps in order, how long each took, and which one it ended at. */
import type { Clock, Milliseconds } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';

/** In their order. `nodes` and `store` come before a round, when there is nobody to press at or to ask. */
export const CANARY_STEPS = [
  'store',
  'nodes',
  'console',
  'tidy',
  'connect',
  'press',
  'reply',
  'board',
  'ladder',
  'page',
  'claim',
  'accept',
  'arrive',
  'report',
  'contact',
  'close',
] as const;
export type CanaryStep = (typeof CANARY_STEPS)[number];

/** Why a step failed, as a short code; nothing of anybody's data. */
export class CanaryFault extends Error {
  readonly why: string;

  constructor(why: string) {
    super(`The canary's step failed: ${why}.`);
    this.name = 'CanaryFault';
    this.why = why;
  }
}

export const whyOf = (error: unknown): string =>
  error instanceof CanaryFault ? error.why : error instanceof CentreError ? error.code : (systemCode(error) ?? 'failed');

/** The steps of one round, within one limit for all of them. */
export class Course {
  readonly #clock: Clock;
  readonly #begunAt: Milliseconds;
  readonly #abort = new AbortController();
  readonly #tookMs: Partial<Record<CanaryStep, number>> = {};
  readonly #limit: { cancel(): void };
  #step: CanaryStep | null = null;

  constructor(clock: Clock, within: Milliseconds) {
    this.#clock = clock;
    this.#begunAt = clock.monotonic();
    this.#limit = clock.after(within, () => this.end('no-answer'));
  }

  /** The step that is under way, or that failed. */
  get step(): CanaryStep | null {
    return this.#step;
  }

  get tookMs(): Readonly<Partial<Record<CanaryStep, number>>> {
    return this.#tookMs;
  }

  get tookInAllMs(): number {
    return Math.round(this.#clock.monotonic() - this.#begunAt);
  }

  /** Does one step; whatever hangs in it is left when the round's time is over. @throws what `work` throws, CanaryFault */
  async take<T>(step: CanaryStep, work: () => Promise<T>): Promise<T> {
    this.#step = step;
    const from = this.#clock.monotonic();
    try {
      return await this.within(work());
    } finally {
      this.#tookMs[step] = Math.round(this.#clock.monotonic() - from);
    }
  }

  /** @throws CanaryFault when the round ends first */
  within<T>(work: Promise<T>): Promise<T> {
    const { signal } = this.#abort;
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(faultOf(signal));
      if (signal.aborted) ended();
      signal.addEventListener('abort', ended, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', ended));
    });
  }

  async pause(span: Milliseconds): Promise<void> {
    await this.within(new Promise<void>((resolve) => void this.#clock.after(span, resolve)));
  }

  /** Ends the round where it is (its time is over, or the watch stops); a second end changes nothing. */
  end(why: string): void {
    this.#limit.cancel();
    this.#abort.abort(new CanaryFault(why));
  }
}

const faultOf = (signal: AbortSignal): CanaryFault => (signal.reason instanceof CanaryFault ? signal.reason : new CanaryFault('ended'));
