/** What the spill makes of a disk that does not answer, or that cannot be used at all. */
import type { Clock, Milliseconds } from '../base/clock.ts';
import { NotSpilled, type SpillLog } from '../intake/spill-log.ts';

/** A disk that has not answered for so long is as good as broken: what waits for it is refused. */
const STUCK_AFTER_MS: Milliseconds = 5000;

/** Watches over what the disk is asked, one after another. */
export class DiskWatch {
  readonly #clock: Clock;
  readonly #refuse: (error: NotSpilled) => void;
  #stuck = false;
  #tell = (): void => undefined;

  /** @param refuse told once of work that is not answered in time: nothing that waits may be answered otherwise any more */
  constructor(clock: Clock, refuse: (error: NotSpilled) => void) {
    this.#clock = clock;
    this.#refuse = refuse;
  }

  /** It has not answered for long, and still does not. */
  get stuck(): boolean {
    return this.#stuck;
  }

  async asking<T>(work: () => Promise<T>): Promise<T> {
    const timer = this.#clock.after(STUCK_AFTER_MS, () => {
      this.#stuck = true;
      this.#refuse(new NotSpilled('broken', { cause: new Error(`the disk has not answered for ${STUCK_AFTER_MS} ms`) }));
      this.#tell();
    });
    try {
      return await work();
    } finally {
      timer.cancel();
      this.#stuck = false;
    }
  }

  /** Resolves when the work is ended, or the disk does not answer. */
  async endedOrStuck(work: Promise<void>): Promise<void> {
    if (this.#stuck) return;
    await Promise.race([work, new Promise<void>((resolve) => (this.#tell = resolve))]);
  }
}

/** In place of a spill whose folder cannot be used: it takes nothing. */
export function unusable(cause: unknown): SpillLog {
  return {
    append: () => Promise.reject(new NotSpilled('broken', { cause })),
    done: () => Promise.resolve(),
    setAside: () => Promise.reject(new NotSpilled('broken', { cause })),
    state: () => ({ bytes: 0, fault: 'broken', aside: 0 }),
    stop: () => Promise.resolve(),
  };
}
