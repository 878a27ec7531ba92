/** Offers one load over MQTT or SCAIP: every message on its schedule, from a device of its own as long as there are enough. */
import process from 'node:process';
import { type Milliseconds, RunningClock } from '../../src/base/clock.ts';
import { type LoadResult, loadMqtt, loadScaip } from '../../simulators/load.ts';
import { answerParent, sayBegun } from '../job.ts';
import type { Load } from '../plan.ts';
import { MUNICIPALITY, SECRET, controllerIdOf, serialOf } from '../register.ts';

/** `mqtts` and `tls`: MQTT and SIP under TLS. */
export type Protocol = 'mqtt' | 'mqtts' | 'udp' | 'tcp' | 'tls';

export interface LoadJob {
  readonly protocol: Protocol;
  readonly address: string;
  readonly load: Load;
  readonly devices: number;
  /** Of SCAIP: that the units share. Default: each has its own. */
  readonly sockets?: number;
  /** Default: `alarm`. */
  readonly message?: 'alarm' | 'heartbeat';
  /** Of MQTT. Default: 1. */
  readonly qos?: 0 | 1;
  /** At most 8 letters and digits. */
  readonly run: string;
}

export interface LoadOutcome {
  readonly result: LoadResult;
  /** What offering took, from the first message on: the centre did not have it. */
  readonly cpuMs: Milliseconds;
}

const DRAIN_MS = 30_000;

answerParent<LoadJob, LoadOutcome>(async ({ protocol, address, load, devices, sockets, message = 'alarm', qos = 1, run }) => {
  let before = process.cpuUsage();
  const begun = (): void => {
    before = process.cpuUsage();
    sayBegun();
  };
  const plan = { ...load, drainMs: DRAIN_MS, address, run, clock: new RunningClock(), begun };
  const result =
    protocol === 'mqtt' || protocol === 'mqtts'
      ? await loadMqtt({
          ...plan,
          secure: protocol === 'mqtts',
          devices,
          qos,
          kind: message,
          fields: () => (message === 'alarm' ? { type: 'call-button' } : { battery: 80, mains: true, signal: 4 }),
          device: (n) => ({ municipality: MUNICIPALITY, serial: serialOf(n), username: serialOf(n), password: SECRET }),
        })
      : await loadScaip({
          ...plan,
          transport: protocol,
          units: devices,
          ...(sockets === undefined ? {} : { sockets }),
          report: message === 'alarm' ? 'manual-alarm' : 'heartbeat',
          controllerId: controllerIdOf,
        });
  const { user, system } = process.cpuUsage(before);
  return { result, cpuMs: (user + system) / 1000 };
});
