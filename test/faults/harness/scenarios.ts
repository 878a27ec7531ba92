/** All scenarios, in the order in which they run. */
import { atPoints, calm, randomKills } from './kills.ts';
import { network } from './network.ts';
import { poison } from './poison.ts';
import type { Scenario } from './scenario.ts';
import { rolling, twoStarts } from './starts.ts';
import { stops } from './stops.ts';
import { upgrade } from './upgrade.ts';

export const SCENARIOS: readonly Scenario[] = [calm, rolling, randomKills, ...atPoints, ...stops, ...network, poison, twoStarts, upgrade];
