/** Counts what was refused or could not be placed, per device or address: for technicians, not a row each. */
import { storable } from '../base/bytes.ts';
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';

export interface Refusal {
  readonly protocol: 'mqtt' | 'scaip' | 'sip';
  /** Serial, controller id or address. */
  readonly source: string;
  /** Stable word: `unknown-device`, `wrong-password`, `packet-too-large` … */
  readonly code: string;
  /** For the reader: a topic, a size; never what a message held. */
  readonly detail: string;
}

export interface RefusalCount extends Refusal {
  readonly count: number;
  readonly firstAt: Instant;
  readonly lastAt: Instant;
}

/** What counting needs of the store. */
export interface RefusalStore {
  /** Adds these counts to the stored ones. @throws CentreError store-away */
  addRefusals(counts: readonly RefusalCount[]): Promise<void>;
}

export interface Refusals {
  count(refusal: Refusal): void;
  /** Writes what is gathered now; never rejects. */
  flush(): Promise<void>;
  stop(): Promise<void>;
}

const WRITE_EVERY_MS: Milliseconds = 1000;
/** Different ones between two writes; the rest is counted under one name, so that made-up names fill nothing. */
const MOST_DIFFERENT = 200;
export const OTHERS = '(others)';

export function createRefusals(parts: { readonly clock: Clock; readonly log: Log; readonly store: RefusalStore }): Refusals {
  const { clock, log, store } = parts;
  let gathered = new Map<string, RefusalCount>();
  let writing: Promise<void> | null = null;
  const timer = clock.every(WRITE_EVERY_MS, () => void flush());

  function add(one: RefusalCount): void {
    const key = `${one.protocol} ${one.code} ${one.source}`;
    const known = gathered.get(key);
    if (known === undefined && gathered.size >= MOST_DIFFERENT && one.source !== OTHERS) return add({ ...one, source: OTHERS, detail: '' });
    gathered.set(
      key,
      known === undefined ? one : { ...one, count: known.count + one.count, firstAt: Math.min(known.firstAt, one.firstAt) },
    );
  }

  function flush(): Promise<void> {
    writing ??= write().finally(() => {
      writing = null;
    });
    return writing;
  }

  async function write(): Promise<void> {
    const counts = [...gathered.values()];
    if (counts.length === 0) return;
    gathered = new Map();
    try {
      await store.addRefusals(counts);
    } catch (error) {
      if (!(error instanceof CentreError)) return log.error('refusals-not-written', { count: counts.length, error });
      for (const one of counts) add(one);
    }
  }

  return {
    count({ protocol, source, code, detail }) {
      const at = clock.now();
      add({ protocol, source: storable(source, 128), code, detail: storable(detail, 200), count: 1, firstAt: at, lastAt: at });
    },
    flush,
    async stop() {
      timer.cancel();
      await flush();
      await flush();
    },
  };
}
