/** What must be undone when the process stops, in the opposite order of how it was done. */
import type { Log } from '../base/log.ts';

export interface CleanUp {
  /** Remembers how to undo what was just done. */
  add(component: string, undo: () => unknown): void;
  /** Undoes everything, the last first; what fails is logged and keeps nothing else from being undone. */
  run(): Promise<void>;
}

export function createCleanUp(log: Log): CleanUp {
  const steps: { component: string; undo: () => unknown }[] = [];
  return {
    add: (component, undo) => {
      steps.push({ component, undo });
    },
    async run() {
      for (let step = steps.pop(); step !== undefined; step = steps.pop()) {
        try {
          await step.undo();
        } catch (error) {
          log.error('stop-failed', { component: step.component, error });
        }
      }
    },
  };
}
