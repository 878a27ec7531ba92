/** Offers one load over MQTT or SCAIP: every message on its schedule, from a device of its own as long as there are enough. */
import { RunningClock } from '../../src/base/clock.ts';
import { type LoadResult, loadMqtt, loadScaip } from '../../simulators/load.ts';
import { answerParent } from '../job.ts';
import type { Load } from '../plan.ts';
import { MUNICIPALITY, SECRET, controllerIdOf, serialOf } from '../register.ts';

export interface LoadJob {
  readonly protocol: 'mqtt' | 'udp' | 'tcp';
  readonly address: string;
  readonly load: Load;
  readonly devices: number;
  /** At most 8 letters and digits. */
  readonly run: string;
}

const DRAIN_MS = 30_000;

answerParent<LoadJob, LoadResult>(({ protocol, address, load, devices, run }) => {
  const plan = { ...load, drainMs: DRAIN_MS, address, run, clock: new RunningClock() };
  return protocol === 'mqtt'
    ? loadMqtt({
        ...plan,
        devices,
        device: (n) => ({ municipality: MUNICIPALITY, serial: serialOf(n), username: serialOf(n), password: SECRET }),
      })
    : loadScaip({ ...plan, transport: protocol, units: devices, controllerId: controllerIdOf });
});
