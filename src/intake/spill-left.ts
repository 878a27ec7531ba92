/** What lies in the spill and is not taken over: in order, and of which households the rest waits while theirs is locked. */
import { joiningKey } from '../alarms/correlate.ts';
import { provisionalNumber } from '../alarms/provisional.ts';
import type { Signal } from '../alarms/signal.ts';
import type { Instant } from '../base/clock.ts';
import type { SpillEntry } from './spill-log.ts';
import type { SpilledClaim } from './spill-record.ts';

export interface Left {
  readonly entry: SpillEntry;
  /** Joining key of the signal, or of the signal that is claimed; null: it cannot be read. */
  readonly key: string | null;
  readonly receivedAt: Instant | null;
  readonly number: string | null;
}

/** What a claim waits under whose signal was taken over before. */
export const claimKey = (number: string): string => `claim:${number}`;

export class SpillLeft {
  #all: Left[] = [];
  #signals = 0;
  /** The highest number that was taken over. */
  #upTo = 0;
  /** Joining keys by the provisional numbers of what is here. */
  readonly #keys = new Map<string, string>();
  /** Households that are locked: what is here of them waits, and lets all others pass. */
  readonly #held = new Set<string>();
  /** On their way to the disk, by joining key. */
  readonly #writing = new Map<string, number>();

  get size(): number {
    return this.#all.length;
  }

  get signals(): number {
    return this.#signals;
  }

  oldestAt(): Instant | null {
    return this.#all.find(({ receivedAt }) => receivedAt !== null)?.receivedAt ?? null;
  }

  addSignal(entry: SpillEntry, signal: Signal | null): void {
    const number = signal === null ? null : provisionalNumber(signal.id);
    const key = signal === null ? null : joiningKey(signal);
    if (number !== null && key !== null) this.#keys.set(number, key);
    this.#all.push({ entry, key, number, receivedAt: signal?.receivedAt ?? null });
    this.#signals += 1;
  }

  /** Behind the signal that it is of. */
  addClaim(entry: SpillEntry, claim: Pick<SpilledClaim, 'number'> | null): void {
    const key = claim === null ? null : (this.#keys.get(claim.number) ?? claimKey(claim.number));
    this.#all.push({ entry, key, number: null, receivedAt: null });
  }

  /** The first that need not wait. */
  free(most: number): Left[] {
    if (this.#held.size === 0) return this.#all.slice(0, most);
    const free: Left[] = [];
    for (const one of this.#all) {
      if (free.length >= most) break;
      if (one.key === null || !this.#held.has(one.key)) free.push(one);
    }
    return free;
  }

  ofHousehold(key: string, most: number): Left[] {
    return this.#all.filter((one) => one.key === key).slice(0, most);
  }

  held(): string[] {
    return [...this.#held];
  }

  isHeld(key: string): boolean {
    return this.#held.has(key);
  }

  hold(key: string): void {
    this.#held.add(key);
  }

  /** When nothing of it is here or on its way, the household's next signal need not go behind. */
  releaseWhenEmpty(key: string): void {
    if (!this.#writing.has(key) && !this.#all.some((one) => one.key === key)) this.#held.delete(key);
  }

  /** @returns to be called when it is durable, or is not going to be */
  writing(key: string): () => void {
    this.#writing.set(key, (this.#writing.get(key) ?? 0) + 1);
    return () => {
      const left = (this.#writing.get(key) ?? 0) - 1;
      if (left > 0) this.#writing.set(key, left);
      else this.#writing.delete(key);
    };
  }

  /** @returns up to which number all is taken over; null: nothing changed */
  remove(taken: readonly Left[]): number | null {
    const last = taken.at(-1);
    if (last === undefined) return null;
    // Mostly the first ones, in order.
    if (this.#all[taken.length - 1] === last) this.#all.splice(0, taken.length);
    else {
      const gone = new Set(taken);
      this.#all = this.#all.filter((one) => !gone.has(one));
    }
    for (const { number, entry } of taken) {
      if (number !== null) this.#keys.delete(number);
      if (entry.kind === 'signal') this.#signals -= 1;
    }
    this.#upTo = Math.max(this.#upTo, last.entry.seq);
    const [first] = this.#all;
    return first === undefined ? this.#upTo : first.entry.seq - 1;
  }
}
