/** The load for benches: many devices, each message on schedule, over MQTT (send → PUBACK) or SCAIP (send → 200 → mrs). */
import { toIso, type Clock } from '../src/base/clock.ts';
import { hostAndPort } from './addresses.ts';
import { MqttWire } from './load/mqtt-wire.ts';
import { openLoop, type LoadPlan, type LoadResult, type Progress } from './load/open-loop.ts';
import { SeededRandom } from './random.ts';
import { SipSender } from './scaip/sip-sender.ts';
import { flavourOf, writeReport } from './scaip/vendors.ts';

export type { LoadPlan, LoadResult } from './load/open-loop.ts';

export interface MqttLoadDevice {
  readonly municipality: string;
  readonly serial: string;
  readonly username: string;
  readonly password: string;
}

export interface MqttLoadOptions extends LoadPlan {
  /** `host:port`. */
  readonly address: string;
  readonly devices: number;
  readonly device: (n: number) => MqttLoadDevice;
  /** Fields of the i-th alarm beside `id` and `at`. Default: a call button. */
  readonly fields?: (i: number) => object;
  /** Marks the ids of this run: two runs with one mark are duplicates of one another. */
  readonly run: string;
  readonly clock: Clock;
}

const CONNECTING_AT_ONCE = 50;

/** Stage: `puback`. @throws Error when a device cannot sign in */
export async function loadMqtt(options: MqttLoadOptions): Promise<LoadResult> {
  const { address, devices, device, run, clock, fields = () => ({ type: 'call-button' }) } = options;
  const { host, port } = hostAndPort(address);
  const wires: { readonly wire: MqttWire; readonly topic: string }[] = [];
  try {
    for (let from = 0; from < devices; from += CONNECTING_AT_ONCE) {
      const numbers = Array.from({ length: Math.min(CONNECTING_AT_ONCE, devices - from) }, (_, i) => from + i);
      wires.push(
        ...(await Promise.all(
          numbers.map(async (n) => {
            const { municipality, serial, username, password } = device(n);
            const wire = await MqttWire.open(host, port, { clientId: serial, username, password }, clock);
            return { wire, topic: `nj/v1/${municipality}/${serial}/alarm` };
          }),
        )),
      );
    }
    return await openLoop(options, ['puback'], clock, (i, progress) => {
      const sender = wires[i % wires.length];
      const payload = JSON.stringify({ id: `${run}-${i}`, at: toIso(clock.now()), ...fields(i) });
      sender?.wire.publish(sender.topic, payload, (at) => (at === null ? progress.failed() : progress.reached('puback', at)));
    });
  } finally {
    for (const { wire } of wires) wire.close();
  }
}

export interface ScaipLoadOptions extends LoadPlan {
  /** `host:port`. */
  readonly address: string;
  readonly transport: 'udp' | 'tcp';
  /** Each with a socket of its own. */
  readonly units: number;
  readonly controllerId: (n: number) => string;
  /** At most 8 letters and digits; marks the references of this run. */
  readonly run: string;
  readonly clock: Clock;
}

/** Stages: `ok` (the 200) and `mrs` (the centre's own MESSAGE with snu 0). UDP is retransmitted as RFC 3261 says. */
export async function loadScaip(options: ScaipLoadOptions): Promise<LoadResult> {
  const { address, transport, units, controllerId, run, clock } = options;
  const place = { ...hostAndPort(address), transport };
  const essence = flavourOf('essence');
  const random = new SeededRandom(`load ${run}`);
  const waiting = new Map<string, Progress>();
  const senders = Array.from({ length: units }, (_, n) => {
    const cid = controllerId(n);
    const onMessage = (body: string): void => {
      const ref = /<ref>([^<]*)<\/ref>\s*<snu>0<\/snu>/.exec(body)?.[1] ?? '';
      waiting.get(ref)?.reached('mrs', clock.monotonic());
      waiting.delete(ref);
    };
    const habits = { ...essence.habits(cid), fromTag: 'fresh' } as const;
    return { cid, sip: new SipSender({ habits, toUser: 'alarm', clock, random: random.fork(cid), onMessage }) };
  });
  const sendOne = async (i: number, progress: Progress): Promise<void> => {
    const sender = senders[i % senders.length];
    const ref = `${run}${i.toString(36)}`;
    waiting.set(ref, progress);
    const body = writeReport(essence, 'manual-alarm', ref, sender?.cid ?? '', null);
    const outcome = await sender?.sip.message(place, body);
    if (outcome?.kind === 'answered' && outcome.status < 300) return progress.reached('ok', clock.monotonic());
    waiting.delete(ref);
    progress.failed();
  };
  try {
    // A sender tells how it ended and never rejects.
    return await openLoop(options, ['ok', 'mrs'], clock, (i, progress) => void sendOne(i, progress));
  } finally {
    await Promise.all(senders.map(({ sip }) => sip.close()));
  }
}
