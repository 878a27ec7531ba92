/** The harness' own books: what was sent, what was acknowledged to whom and when, which commands were answered. Only ever appended to. */

/** Wall clock and monotonic clock of the harness, milliseconds. */
export interface Moment {
  readonly at: number;
  readonly mono: number;
}

export type LedgerEntry = Moment &
  (
    | { readonly what: 'sent'; readonly unit: string; readonly id: string }
    /** `via`: the intake process that answered. */
    | { readonly what: 'acknowledged'; readonly unit: string; readonly id: string; readonly via: string }
    /** Answered 200: `event` must stand in the timeline, of that account, once for each `text` where there is one. */
    | {
        readonly what: 'ordered';
        readonly alarm: string;
        readonly account: string;
        readonly event: string;
        readonly text: string | null;
      }
    /** A console showed a need that no store has yet. */
    | { readonly what: 'shown-without-store'; readonly unit: string; readonly console: string }
    /** `store`: steps that fall due meanwhile cannot be done. */
    | { readonly what: 'fault-began'; readonly fault: string; readonly store: boolean }
    | { readonly what: 'fault-ended'; readonly fault: string; readonly store: boolean }
  );

type Entry<What extends LedgerEntry['what']> = Extract<LedgerEntry, { what: What }>;
type Unstamped<E> = E extends LedgerEntry ? Omit<E, keyof Moment> : never;

export interface Span {
  readonly from: number;
  readonly to: number;
}

export class Ledger {
  readonly #entries: LedgerEntry[] = [];

  write(entry: Unstamped<LedgerEntry>): void {
    this.#entries.push({ ...entry, at: Date.now(), mono: performance.now() } as LedgerEntry);
  }

  /** How many entries there are: where a scenario begins. */
  get length(): number {
    return this.#entries.length;
  }

  /** Those of a kind, from a place in the book on. */
  of<What extends LedgerEntry['what']>(what: What, from = 0): Entry<What>[] {
    return this.#entries.slice(from).filter((entry): entry is Entry<What> => entry.what === what);
  }

  /** When a store was away by the harness' own doing, wall clock; one that has not ended lasts until `now`. */
  storeAway(now: number, from = 0): Span[] {
    const spans: Span[] = [];
    const open = new Map<string, number>();
    for (const entry of this.#entries.slice(from)) {
      if (entry.what === 'fault-began' && entry.store) open.set(entry.fault, entry.at);
      const since = entry.what === 'fault-ended' ? open.get(entry.fault) : undefined;
      if (entry.what !== 'fault-ended' || since === undefined) continue;
      spans.push({ from: since, to: entry.at });
      open.delete(entry.fault);
    }
    return [...spans, ...[...open.values()].map((since) => ({ from: since, to: now }))];
  }
}
