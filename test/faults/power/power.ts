/** The scenarios of power, disks and clocks, as `npm run faults` calls them (docs/power-cuts.md). */
export type { PowerOptions, PowerResult } from './field.ts';
export { clockSteps } from './clock-steps.ts';
export { diskFull } from './disk-full.ts';
export { powerCuts } from './power-cuts.ts';
