/** A process that sweeps held alarms until it is killed: what held.test.ts kills. Arguments: the database, how long a lease holds (ms). */
import process from 'node:process';
import { joiningKey } from '../../src/alarms/correlate.ts';
import { RunningClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { createHolding } from '../../src/intake/hold.ts';
import { createKeeper } from '../../src/intake/keep.ts';
import { createHeldStore } from '../../src/store/held.ts';
import { openPostgres } from '../../src/store/postgres.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { ladderFor } from '../support/alarms.ts';

const log = createLog('silent');
const postgres = openPostgres(process.argv[2] ?? '', log, 4);
const keeper = createKeeper({ store: createSignalStore(postgres, () => undefined), ladderFor, keyOf: joiningKey, log });
createHolding({ store: createHeldStore(postgres), keeper, clock: new RunningClock(), log, lease: Number(process.argv[3]) });
process.stdin.resume();
