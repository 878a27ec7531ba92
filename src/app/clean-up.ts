/** What must be undone when the process stops, in the opposite order of how it was done. */
import { type Milliseconds, RunningClock, sleep } from '../base/clock.ts';
import type { Log } from '../base/log.ts';

/** A part that hangs (a store whose host is gone) must not keep the others from stopping. */
const USUAL_PATIENCE_MS: Milliseconds = 3000;

export interface CleanUp {
  /** Remembers how to undo what was just done, and how long that may take. */
  add(component: string, undo: () => unknown, patience?: Milliseconds): void;
  /** Undoes everything, the last first; what fails is logged and keeps nothing else from being undone. */
  run(): Promise<void>;
}

export function createCleanUp(log: Log): CleanUp {
  const steps: { component: string; undo: () => unknown; patience: Milliseconds }[] = [];
  return {
    add: (component, undo, patience = USUAL_PATIENCE_MS) => {
      steps.push({ component, undo, patience });
    },
    async run() {
      for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
        try {
          await within(step.patience, step.undo());
        } catch (error) {
          log.error('stop-failed', { component: step.component, error });
        }
      }
    },
  };
}

async function within(patience: Milliseconds, undoing: unknown): Promise<void> {
  const late = sleep(new RunningClock(), patience).then(() => Promise.reject(new Error(`it did not stop within ${patience} ms`)));
  await Promise.race([undoing, late]);
}
