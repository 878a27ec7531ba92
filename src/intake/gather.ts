/** Gathers questions that come while one is under way, so that they share the next: one statement, one commit for all of them. */
import { CentreError } from '../base/errors.ts';

/** Beyond so many the next one is refused at once: it bounds the memory that a store which hangs can take. */
export const MOST_GATHERED = 10_000;

/**
 * @param most so many at once
 * @param work answers all, in their order
 * @returns takes one and gives its answer. A store that is away fails all that were asked together; after any other error each
 * is tried alone, so that one which cannot be processed harms only itself. With too many waiting: CentreError store-away.
 */
export function gathering<T, R>(most: number, work: (all: readonly T[]) => Promise<readonly R[]>): (one: T) => Promise<R> {
  interface Waiting {
    readonly one: T;
    readonly done: (answer: R) => void;
    readonly failed: (error: unknown) => void;
  }
  let waiting: Waiting[] = [];
  let working = false;

  async function run(): Promise<void> {
    if (working) return;
    working = true;
    while (waiting.length > 0) {
      const batch = waiting.slice(0, most);
      waiting = waiting.slice(most);
      await answer(batch);
    }
    working = false;
  }

  async function answer(batch: readonly Waiting[]): Promise<void> {
    try {
      const answers = await work(batch.map(({ one }) => one));
      if (answers.length !== batch.length) throw new RangeError('there are not as many answers as questions');
      batch.forEach(({ done }, index) => done(answers[index] as R));
    } catch (error) {
      if (error instanceof CentreError || batch.length === 1) for (const { failed } of batch) failed(error);
      else for (const one of batch) await answer([one]);
    }
  }

  return (one) =>
    new Promise<R>((done, failed) => {
      if (waiting.length >= MOST_GATHERED) {
        failed(new CentreError('store-away', `${MOST_GATHERED} wait already: PostgreSQL is too slow. Look at its load.`));
        return;
      }
      waiting.push({ one, done, failed });
      void run();
    });
}
