/** What waits for a transaction of intake: calls for help first, and within a joining key in the order in which it came. */
import type { Signal } from '../alarms/signal.ts';

export interface Queued {
  readonly signal: Signal;
  readonly key: string;
}

/** What may be a person in need; all else, however early it came, lets it pass. */
const callsForHelp = ({ meaning: { role } }: Signal): boolean => role === 'need' || role === 'unreadable' || role === 'call';

/** Two lists; all that waits of a joining key is in one of them, so that nothing overtakes an earlier signal of its home. */
export class KeepQueue<T extends Queued> {
  #first: T[] = [];
  #rest: T[] = [];
  readonly #firstKeys = new Map<string, number>();
  readonly #restKeys = new Map<string, number>();

  get size(): number {
    return this.#first.length + this.#rest.length;
  }

  add(one: T): void {
    const { key } = one;
    const first = callsForHelp(one.signal);
    // What its home sent before goes with it.
    if (first && this.#restKeys.has(key)) for (const earlier of this.remove((other) => other.key === key)) this.#addFirst(earlier);
    if (first || this.#firstKeys.has(key)) this.#addFirst(one);
    else {
      this.#rest.push(one);
      count(this.#restKeys, key, 1);
    }
  }

  /** The longest-waiting, calls for help before all others, whose joining key must not wait. */
  take(most: number, mustWait: (key: string) => boolean): T[] {
    const batch: T[] = [];
    this.#first = without(this.#first, batch, most, mustWait);
    const calls = batch.length;
    this.#rest = without(this.#rest, batch, most, mustWait);
    for (const [index, { key }] of batch.entries()) count(index < calls ? this.#firstKeys : this.#restKeys, key, -1);
    return batch;
  }

  has(key: string): boolean {
    return this.#firstKeys.has(key) || this.#restKeys.has(key);
  }

  /** Takes out all that are so. */
  remove(isSo: (one: T) => boolean): T[] {
    const removed = [...this.#first, ...this.#rest].filter(isSo);
    if (removed.length === 0) return removed;
    const gone = new Set(removed);
    for (const { key } of this.#first.filter((one) => gone.has(one))) count(this.#firstKeys, key, -1);
    for (const { key } of this.#rest.filter((one) => gone.has(one))) count(this.#restKeys, key, -1);
    this.#first = this.#first.filter((one) => !gone.has(one));
    this.#rest = this.#rest.filter((one) => !gone.has(one));
    return removed;
  }

  #addFirst(one: T): void {
    this.#first.push(one);
    count(this.#firstKeys, one.key, 1);
  }
}

function count(keys: Map<string, number>, key: string, by: number): void {
  const left = (keys.get(key) ?? 0) + by;
  if (left > 0) keys.set(key, left);
  else keys.delete(key);
}

/** What is left of a list when the batch has been filled up from it; it is not read to its end for that. */
function without<T extends Queued>(list: T[], batch: T[], most: number, mustWait: (key: string) => boolean): T[] {
  if (list.length === 0 || batch.length >= most) return list;
  const left: T[] = [];
  let looked = 0;
  for (; looked < list.length && batch.length < most; looked++) {
    const one = list[looked];
    if (one === undefined) break;
    (mustWait(one.key) ? left : batch).push(one);
  }
  return [...left, ...list.slice(looked)];
}
