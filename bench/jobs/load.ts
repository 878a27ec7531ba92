/** Offers one load over MQTT or SCAIP: every message on its schedule, from a device of its own as long as there are enough. */
import process from 'node:process';
import { type Milliseconds, RunningClock } from '../../src/base/clock.ts';
import { type LoadResult, loadMqtt, loadScaip } from '../../simulators/load.ts';
import { answerParent, sayBegun } from '../job.ts';
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

export interface LoadOutcome {
  readonly result: LoadResult;
  /** What offering took, from the first message on: the centre did not have it. */
  readonly cpuMs: Milliseconds;
}

const DRAIN_MS = 30_000;

answerParent<LoadJob, LoadOutcome>(async ({ protocol, address, load, devices, run }) => {
  const plan = { ...load, drainMs: DRAIN_MS, address, run, clock: new RunningClock() };
  let before = process.cpuUsage();
  const begin = (): void => {
    before = process.cpuUsage();
    sayBegun();
  };
  if (protocol !== 'mqtt') begin();
  const loading =
    protocol === 'mqtt'
      ? loadMqtt({
          ...plan,
          devices,
          fields: (i) => {
            if (i === 0) begin();
            return { type: 'call-button' };
          },
          device: (n) => ({ municipality: MUNICIPALITY, serial: serialOf(n), username: serialOf(n), password: SECRET }),
        })
      : loadScaip({ ...plan, transport: protocol, units: devices, controllerId: controllerIdOf });
  const result = await loading;
  const { user, system } = process.cpuUsage(before);
  return { result, cpuMs: (user + system) / 1000 };
});
