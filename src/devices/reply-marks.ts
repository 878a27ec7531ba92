/** Marks units that leave the centre's replies unacknowledged, in the store but not with a statement for each reply. */
import { type Clock, type Instant, type Milliseconds, minutes } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';

/** What marking needs of the store. Each call may throw CentreError store-away. */
export interface ReplyMarkStore {
  /** Serials of the units that are marked. */
  marked(): Promise<readonly string[]>;
  /** Since when its replies stay unacknowledged; null takes the mark away. */
  mark(serial: string, since: Instant | null): Promise<void>;
}

export interface ReplyMarks {
  /** Told at each acknowledged reply (`since` null), and when a unit has missed several. */
  note(serial: string, since: Instant | null): void;
  /** Ends after what is being written; never rejects. */
  stop(): Promise<void>;
}

/** So that a mark which another process made goes, too, once the unit answers this one. */
const LOOK_EVERY: Milliseconds = minutes(1);

export function createReplyMarks(parts: { readonly store: ReplyMarkStore; readonly clock: Clock; readonly log: Log }): ReplyMarks {
  const { store, clock, log } = parts;
  let marked: ReadonlySet<string> = new Set();
  /** What is not written yet. */
  const wanted = new Map<string, Instant | null>();
  let writing: Promise<void> | null = null;
  /** Something was noted while it was being written. */
  let more = false;
  const timer = clock.every(LOOK_EVERY, work);
  work();

  function work(): void {
    more = writing !== null;
    writing ??= write()
      .catch((error: unknown) => {
        if (!(error instanceof CentreError)) log.error('reply-marks-not-written', { count: wanted.size, error });
      })
      .finally(() => {
        writing = null;
        if (more) work();
      });
  }

  async function write(): Promise<void> {
    for (const [serial, since] of wanted) {
      await store.mark(serial, since);
      if (wanted.get(serial) === since) wanted.delete(serial);
    }
    marked = new Set(await store.marked());
  }

  return {
    note(serial, since) {
      if (since === null && !marked.has(serial) && !wanted.has(serial)) return;
      const before = wanted.get(serial);
      wanted.set(serial, since);
      if (before !== since) work();
    },
    async stop() {
      timer.cancel();
      while (writing !== null) await writing;
    },
  };
}
