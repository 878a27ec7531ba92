/** The devices' ends of the sockets, in a process of their own: connected once, they say what they are asked to. */
import { RunningClock } from '../../src/base/clock.ts';
import { hostAndPort } from '../../simulators/addresses.ts';
import { MqttWire } from '../../simulators/load/mqtt-wire.ts';
import { answerParent, answerQuestions } from '../job.ts';
import { MUNICIPALITY, SECRET, serialOf } from '../register.ts';

export interface DevicesJob {
  readonly mqtt: string;
  readonly devices: number;
}

/** What a device is to publish. */
export interface Saying {
  /** The device is the `n % devices`th. */
  readonly n: number;
  readonly kind: 'heartbeat' | 'alarm';
  readonly fields: object;
  /** ISO 8601, of the clock that the centre goes by. */
  readonly at: string;
}

const CONNECTING_AT_ONCE = 50;
const clock = new RunningClock();
const wires: MqttWire[] = [];

answerParent<DevicesJob, { readonly connected: number }>(async ({ mqtt, devices }) => {
  const { host, port } = hostAndPort(mqtt);
  for (let from = 0; from < devices; from += CONNECTING_AT_ONCE) {
    const some = Array.from({ length: Math.min(CONNECTING_AT_ONCE, devices - from) }, (_, i) => {
      const serial = serialOf(from + i);
      return MqttWire.open(host, port, { clientId: serial, username: serial, password: SECRET }, clock);
    });
    wires.push(...(await Promise.all(some)));
  }
  answerQuestions<readonly Saying[], { readonly acknowledged: number }>(async (sayings) => {
    await Promise.all(sayings.map(said));
    return { acknowledged: sayings.length };
  });
  return { connected: wires.length };
}, true);

function said({ n, kind, fields, at }: Saying): Promise<void> {
  return new Promise((resolve, reject) => {
    const device = n % wires.length;
    const payload = JSON.stringify({ id: `${kind}-${n}`, at, ...fields });
    wires[device]?.publish(`nj/v1/${MUNICIPALITY}/${serialOf(device)}/${kind}`, payload, (acknowledged) => {
      if (acknowledged === null) reject(new Error('A device lost its connection.'));
      else resolve();
    });
  });
}
