/** The scenarios of power, disks and clocks, as `npm run faults` calls them (docs/power-cuts.md). */
export type { PowerOptions, PowerResult } from './field.ts';
export { powerCuts } from './power-cuts.ts';
