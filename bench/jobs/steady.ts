/** An ordinary day: everybody's signs of life, and alarms that simulated operators and responders handle to their end. */
import { RunningClock, toIso } from '../../src/base/clock.ts';
import { hostAndPort } from '../../simulators/addresses.ts';
import type { LoadResult } from '../../simulators/load.ts';
import { MqttWire } from '../../simulators/load/mqtt-wire.ts';
import { type Progress, openLoop } from '../../simulators/load/open-loop.ts';
import { answerParent, sayBegun } from '../job.ts';
import type { SteadyPlan } from '../plan.ts';
import { MUNICIPALITY, SECRET, serialOf } from '../register.ts';
import { workingStaff } from '../staff.ts';

export interface SteadyJob {
  readonly http: string;
  readonly mqtt: string;
  readonly plan: SteadyPlan;
  /** Marks the ids of this run. */
  readonly run: string;
}

export interface SteadyResult {
  /** Stage `puback`. */
  readonly heartbeats: LoadResult;
  /** Stages `shown` and `closed`. */
  readonly alarms: LoadResult;
  readonly commands: number;
  readonly refusals: Readonly<Record<string, number>>;
}

const CONNECTING_AT_ONCE = 50;
const DRAIN_MS = 30_000;
const clock = new RunningClock();

answerParent<SteadyJob, SteadyResult>(async ({ http, mqtt, plan, run }) => {
  const { devices, signEveryMs, alarmsPerSecond, forMs } = plan;
  const { host, port } = hostAndPort(mqtt);
  const wires: MqttWire[] = [];
  for (let from = 0; from < devices; from += CONNECTING_AT_ONCE) {
    const some = Array.from({ length: Math.min(CONNECTING_AT_ONCE, devices - from) }, (_, i) => {
      const serial = serialOf(from + i);
      return MqttWire.open(host, port, { clientId: serial, username: serial, password: SECRET }, clock);
    });
    wires.push(...(await Promise.all(some)));
  }
  const awaited = new Map<string, Progress>();
  const staff = await workingStaff({
    http,
    clock,
    shown: (device, at) => awaited.get(device)?.reached('shown', at),
    closed: (device, at) => {
      awaited.get(device)?.reached('closed', at);
      awaited.delete(device);
    },
  });
  const send = (n: number, kind: string, fields: object, settle: (at: number | null) => void): void => {
    const payload = JSON.stringify({ id: `${run}-${kind}-${n}`, at: toIso(clock.now()), ...fields });
    wires[n % devices]?.publish(`nj/v1/${MUNICIPALITY}/${serialOf(n % devices)}/${kind}`, payload, settle);
  };
  sayBegun();
  const [heartbeats, alarms] = await Promise.all([
    openLoop({ ratePerSecond: (devices * 1000) / signEveryMs, forMs, drainMs: DRAIN_MS }, ['puback'], clock, (n, progress) => {
      send(n, 'heartbeat', { battery: 80, mains: true, signal: 4 }, (at) => {
        if (at === null) progress.failed('connection ended');
        else progress.reached('puback', at);
      });
    }),
    openLoop({ ratePerSecond: alarmsPerSecond, forMs, drainMs: DRAIN_MS }, ['shown', 'closed'], clock, (n, progress) => {
      awaited.set(serialOf(n % devices), progress);
      send(n, 'alarm', { type: n % 5 === 0 ? 'fall' : 'call-button' }, (at) => {
        if (at === null) progress.failed('connection ended');
      });
    }),
  ]);
  staff.end();
  for (const wire of wires) wire.close();
  return { heartbeats, alarms, commands: staff.done(), refusals: staff.refusals() };
});
