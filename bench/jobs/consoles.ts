/** Opens consoles, lets devices send on schedule, and measures until the first and until the last of the consoles has each alarm. */
import { RunningClock } from '../../src/base/clock.ts';
import { WebSocket } from 'ws';
import { type LoadResult } from '../../simulators/load.ts';
import { MqttWire } from '../../simulators/load/mqtt-wire.ts';
import { type Progress, openLoop } from '../../simulators/load/open-loop.ts';
import { answerParent } from '../job.ts';
import { type Load, messagesOf } from '../plan.ts';
import { MUNICIPALITY, SECRET, serialOf } from '../register.ts';

export interface ConsolesJob {
  /** Where the consoles connect: `http://host:port`. */
  readonly http: string;
  /** Null: the bare fan-out, which has no sign-in and no devices. */
  readonly mqtt: string | null;
  readonly consoles: number;
  readonly load: Load;
}

/** Stages of a message; `first` and `last` of the consoles that have its alarm. */
export const STAGES = ['first', 'last'] as const;

const DRAIN_MS = 10_000;
const clock = new RunningClock();
const DEVICE = Buffer.from('"device":"');

/** Who is still to be shown the alarm of a device. */
interface Awaited {
  readonly progress: Progress;
  left: number;
}

answerParent<ConsolesJob, LoadResult>(async ({ http, mqtt, consoles, load }) => {
  const awaited = new Map<string, Awaited>();
  const cookie = mqtt === null ? '' : await signIn(http);
  const sockets = await Promise.all(Array.from({ length: consoles }, () => openConsole(http, cookie, awaited)));
  const send = mqtt === null ? await bareSender(http) : await deviceSender(mqtt, messagesOf(load));
  const result = await openLoop({ ...load, drainMs: DRAIN_MS }, STAGES, clock, (i, progress) => {
    awaited.set(serialOf(i), { progress, left: consoles });
    send(i);
  });
  for (const socket of sockets) socket.terminate();
  return result;
});

async function signIn(http: string): Promise<string> {
  const answer = await fetch(`${http}/api/v1/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'operator', password: 'demo' }),
  });
  const cookie = answer.headers.get('set-cookie')?.split(';')[0];
  if (cookie === undefined) throw new Error(`Signing in failed with status ${answer.status}.`);
  return cookie;
}

/** Resolves with its first message: from then on it is shown what happens. */
async function openConsole(http: string, cookie: string, awaited: Map<string, Awaited>): Promise<WebSocket> {
  const socket = new WebSocket(`${http.replace('http', 'ws')}/ws`, {
    headers: cookie === '' ? {} : { cookie },
    perMessageDeflate: false,
    skipUTF8Validation: true,
  });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('unexpected-response', (_request, response) => reject(new Error(`A console was answered ${response.statusCode}.`)));
    socket.once('message', () => {
      resolve(socket);
      socket.on('message', (frame: Buffer) => shown(frame, awaited));
    });
  });
}

/** Cheap on purpose, as it is done for each console: the device's serial is cut out, the rest is not read. */
function shown(frame: Buffer, awaited: Map<string, Awaited>): void {
  const at = frame.indexOf(DEVICE);
  if (at < 0) return;
  const from = at + DEVICE.length;
  const one = awaited.get(frame.toString('latin1', from, frame.indexOf('"', from)));
  if (one === undefined) return;
  const now = clock.monotonic();
  one.progress.reached('first', now);
  if (--one.left === 0) one.progress.reached('last', now);
}

async function bareSender(http: string): Promise<(i: number) => void> {
  const socket = new WebSocket(`${http.replace('http', 'ws')}/send`, { perMessageDeflate: false });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return (i) => socket.send(serialOf(i));
}

async function deviceSender(mqtt: string, count: number): Promise<(i: number) => void> {
  const [host = '', port = ''] = mqtt.split(':');
  const wires: MqttWire[] = [];
  for (let n = 0; n < count; n++) {
    const login = { clientId: serialOf(n), username: serialOf(n), password: SECRET };
    wires.push(await MqttWire.open(host, Number(port), login, clock));
  }
  return (i) => {
    const payload = JSON.stringify({ id: `console-${i}`, type: 'call-button' });
    wires[i]?.publish(`nj/v1/${MUNICIPALITY}/${serialOf(i)}/alarm`, payload, () => undefined);
  };
}
