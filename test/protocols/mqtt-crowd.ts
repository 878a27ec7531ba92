/** A part of the devices of mqtt-many.test.ts, as a process of its own: connects them, lets each publish, and once more all at once. */
import process from 'node:process';
import { RunningClock } from '../../src/base/clock.ts';
import { MqttWire } from '../../simulators/load/mqtt-wire.ts';

const [host = '', port = '', first = '', count = ''] = process.argv.slice(2);
const clock = new RunningClock();
const numbers = Array.from({ length: Number(count) }, (_, n) => Number(first) + n);
const wires = new Map<number, MqttWire>();

/** Connects; a listening queue that is full is tried again, as a device does. */
async function open(n: number): Promise<MqttWire> {
  const login = { clientId: `d${n}`, username: `D-${n}`, password: 'x' };
  for (let attempt = 1; ; attempt++) {
    try {
      return await MqttWire.open(host, Number(port), login, clock);
    } catch (error) {
      if (attempt === 20) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100 * attempt));
    }
  }
}

/** True when it was acknowledged. */
const publish = (wire: MqttWire, n: number, id: string): Promise<boolean> =>
  new Promise((resolve) => {
    wire.publish(`nj/v1/1103/D-${n}/alarm`, JSON.stringify({ id, type: 'fall' }), (at) => resolve(at !== null));
  });

async function connectAndPublish(n: number, id: string): Promise<boolean> {
  const wire = await open(n);
  wires.set(n, wire);
  return publish(wire, n, id);
}

/** Devices that come up one after the other, `width` under way at a time. */
async function inTurn(width: number, id: string): Promise<number> {
  let acknowledged = 0;
  const left = [...numbers];
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let n = left.pop(); n !== undefined; n = left.pop()) if (await connectAndPublish(n, id)) acknowledged++;
    }),
  );
  return acknowledged;
}

process.on('message', (order: 'connect' | 'storm' | 'end') => {
  if (order === 'end') process.exit(0);
  for (const wire of wires.values()) wire.close();
  wires.clear();
  const run = order === 'connect' ? inTurn(50, 'first') : inTurn(numbers.length, 'after the storm');
  run.then(
    (acknowledged) => process.send?.({ acknowledged }),
    (error: unknown) => process.send?.({ acknowledged: 0, error: String(error) }),
  );
});
process.send?.('ready');
