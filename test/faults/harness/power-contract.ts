/** How power cuts, full disks and stepped clocks are called: they have a runner of their own, which may not be able to run here. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface PowerOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly log: (line: string) => void;
}

interface PowerFigures {
  readonly cuts: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly doubled: number;
  readonly seconds: number;
  /** Whatever else was not as promised, a sentence each. */
  readonly faults: readonly string[];
  /** Why it could not be tried here. */
  readonly skipped?: string;
}

export interface PowerResult extends PowerFigures {
  readonly name: string;
}

type PowerRun = (options: PowerOptions) => Promise<PowerFigures>;

const RUNNER = new URL('../power/power.ts', import.meta.url);
export const POWER_SCENARIOS = { 'power-cuts': 'powerCuts', 'disk-full': 'diskFull', 'clock-steps': 'clockSteps' } as const;

/** How many cuts, fillings of each disk and steps: once, and with `--rounds`. */
const ROUNDS = { 'power-cuts': [20, 100], 'disk-full': [1, 3], 'clock-steps': [6, 24] } as const;

/** Runs one of them; null when its runner is not there. */
export async function runPower(name: keyof typeof POWER_SCENARIOS, options: PowerOptions): Promise<PowerResult | null> {
  if (!existsSync(fileURLToPath(RUNNER))) return null;
  const runner = (await import(RUNNER.href)) as Readonly<Record<string, PowerRun | undefined>>;
  const run = runner[POWER_SCENARIOS[name]];
  return run === undefined ? null : { name, ...(await run({ ...options, rounds: ROUNDS[name][options.rounds > 1 ? 1 : 0] })) };
}
