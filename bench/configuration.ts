/** The configuration of the centre under test: the shipped one, and a model whose units are missed within half a minute. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** What the parts in one process read. */
export const CONFIG_DIR = fileURLToPath(new URL('../config', import.meta.url));
export const OUTAGE_MODEL = 'bench/outage';

/**
 * As short as a model's spans can be: lost after 12 s and the 20 s that supervision adds. What their codes mean is as in
 * `generic/generic`.
 */
const OUTAGE_FILE = {
  name: 'A unit of the bench that is missed at once',
  class: 'stationary-alarm',
  supervision: {
    signEverySeconds: 10,
    lateAfterSeconds: 11,
    lostAfterSeconds: 12,
    triggerLateAfterSeconds: 129_600,
    triggerLostAfterSeconds: 190_080,
  },
};

/** @returns the folder */
export function makeConfiguration(folder: string): string {
  const made = path.join(folder, 'config');
  cpSync(CONFIG_DIR, made, { recursive: true });
  const model = path.join(made, 'models', `${OUTAGE_MODEL}.json`);
  mkdirSync(path.dirname(model), { recursive: true });
  writeFileSync(model, JSON.stringify(OUTAGE_FILE));
  return made;
}
