/** A bell that may not ring for months: who waits for it beside something else leaves nothing behind when that something came. */

export interface Bell {
  ring(): void;
  /**
   * What `work` gives, or rejects with `rung()` when the bell rings first. `Promise.race` on one promise that lasts would keep
   * a reaction, and what it holds, for each call until then.
   */
  orRung<T>(work: Promise<T>): Promise<T>;
}

/** @param rung what those are told who wait when it rings */
export function createBell(rung: () => Error): Bell {
  const waiting = new Set<() => void>();
  return {
    ring() {
      for (const wake of waiting) wake();
    },
    async orRung(work) {
      let wake = (): void => undefined;
      const rings = new Promise<never>((_resolve, reject) => {
        wake = () => reject(rung());
      });
      waiting.add(wake);
      try {
        return await Promise.race([work, rings]);
      } finally {
        waiting.delete(wake);
      }
    },
  };
}
