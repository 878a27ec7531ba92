/** Says in the log who was refused: the first of each source at once, what follows as a count, so that nobody fills the disk by it. */
import type { Clock, Milliseconds } from '../base/clock.ts';
import type { Log } from '../base/log.ts';

const TELL_EVERY_MS: Milliseconds = 60_000;
/** Those of further sources are counted together. */
const MOST_SOURCES = 1000;

export interface Refusals {
  add(source: string, code: string): void;
  stop(): void;
}

/** @param event of the log line, with `source`, `code` of the last and, from the second on, `count` */
export function createRefusals({ event, clock, log }: { readonly event: string; readonly clock: Clock; readonly log: Log }): Refusals {
  const since = new Map<string, { count: number; code: string }>();
  const timer = clock.every(TELL_EVERY_MS, tell);

  function tell(): void {
    for (const [source, one] of since) {
      // Quiet for a whole turn: the next is a first one again.
      if (one.count === 0) since.delete(source);
      else log.warn(event, { source, ...one });
      one.count = 0;
    }
  }

  return {
    add(source, code) {
      const from = since.has(source) || since.size < MOST_SOURCES ? source : 'others';
      const one = since.get(from);
      if (one === undefined) {
        since.set(from, { count: 0, code });
        log.warn(event, { source: from, code });
        return;
      }
      one.count += 1;
      one.code = code;
    },
    stop() {
      tell();
      timer.cancel();
    },
  };
}
