/** The load for benches: many devices, each message on schedule, over MQTT (send → PUBACK) or SCAIP (send → 200 → mrs). */
import { toIso, type Clock } from '../src/base/clock.ts';
import { hostAndPort } from './addresses.ts';
import { MqttWire } from './load/mqtt-wire.ts';
import { openLoop, type LoadPlan, type LoadResult, type Progress } from './load/open-loop.ts';
import { type ScaipTransport, ScaipWire } from './load/scaip-wire.ts';
import { type ScaipReport, flavourOf, writeReport } from './scaip/vendors.ts';

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
  readonly secure?: boolean;
  readonly devices: number;
  readonly device: (n: number) => MqttLoadDevice;
  /** The last level of the topic. Default: `alarm`. */
  readonly kind?: string;
  /** With 0 only the last message of each device goes with QoS 1: its PUBACK tells that those before were taken too. */
  readonly qos?: 0 | 1;
  /** Fields of the i-th message beside `id` and `at`. Default: a call button. */
  readonly fields?: (i: number) => object;
  /** Marks the ids of this run: two runs with one mark are duplicates of one another. */
  readonly run: string;
  readonly clock: Clock;
}

const CONNECTING_AT_ONCE = 50;

interface Sender {
  readonly wire: MqttWire;
  readonly topic: string;
  /** Sent with QoS 0, and nothing behind it acknowledged yet. */
  readonly loose: Progress[];
}

/** Stage: `puback`. With QoS 0 it is reached with the PUBACK of the device's last message. @throws Error when a device cannot sign in */
export async function loadMqtt(options: MqttLoadOptions): Promise<LoadResult> {
  const { devices, run, clock, qos = 1, fields = () => ({ type: 'call-button' }) } = options;
  const senders: Sender[] = [];
  const all = Math.floor((options.ratePerSecond * options.forMs) / 1000);
  try {
    await inBatches(devices, async (n) => void senders.push(await openSender(options, n)));
    return await openLoop(options, ['puback'], clock, (i, progress) => {
      const sender = senders[i % senders.length];
      if (sender === undefined) return progress.failed('no connection');
      const payload = JSON.stringify({ id: `${run}-${i}`, at: toIso(clock.now()), ...fields(i) });
      if (qos === 0 && i + senders.length < all) {
        sender.loose.push(progress);
        return sender.wire.tell(sender.topic, payload);
      }
      const told = [...sender.loose.splice(0), progress];
      sender.wire.publish(sender.topic, payload, (at) => {
        for (const one of told)
          if (at === null) one.failed('connection ended');
          else one.reached('puback', at);
      });
    });
  } finally {
    for (const { wire } of senders) wire.close();
  }
}

async function openSender({ address, secure = false, device, kind = 'alarm', clock }: MqttLoadOptions, n: number): Promise<Sender> {
  const { municipality, serial, username, password } = device(n);
  const { host, port } = hostAndPort(address);
  const wire = await MqttWire.open(host, port, { clientId: serial, username, password }, clock, { secure });
  return { wire, topic: `nj/v1/${municipality}/${serial}/${kind}`, loose: [] };
}

/** For 0 up to `count`, some at once: a listener's queue has an end. */
async function inBatches(count: number, open: (n: number) => Promise<void>): Promise<void> {
  for (let from = 0; from < count; from += CONNECTING_AT_ONCE) {
    await Promise.all(Array.from({ length: Math.min(CONNECTING_AT_ONCE, count - from) }, (_, i) => open(from + i)));
  }
}

export interface ScaipLoadOptions extends LoadPlan {
  /** `host:port`. */
  readonly address: string;
  readonly transport: ScaipTransport;
  readonly units: number;
  /** Sockets that the units share in turn. Default: each has its own. */
  readonly sockets?: number;
  readonly controllerId: (n: number) => string;
  /** Default: `manual-alarm`. */
  readonly report?: ScaipReport;
  /** At most 8 letters and digits; marks the references of this run. */
  readonly run: string;
  readonly clock: Clock;
}

const REPEAT_EVERY_MS = 100;

/** Stages: `ok` (the 200) and `mrs` (the centre's own MESSAGE with snu 0). UDP is retransmitted as RFC 3261 says. @throws Error when nobody listens */
export async function loadScaip(options: ScaipLoadOptions): Promise<LoadResult> {
  const { address, transport, units, sockets = units, controllerId, report = 'manual-alarm', run, clock } = options;
  const { host, port } = hostAndPort(address);
  const essence = flavourOf('essence');
  const wires: ScaipWire[] = [];
  const repeating = clock.every(REPEAT_EVERY_MS, () => {
    for (const wire of wires) wire.repeat();
  });
  try {
    await inBatches(Math.min(sockets, units), async () => void wires.push(await ScaipWire.open(transport, host, port, clock)));
    const result = await openLoop(options, ['ok', 'mrs'], clock, (i, progress) => {
      const unit = i % units;
      const ref = `${run}${i.toString(36)}`;
      const cid = controllerId(unit);
      wires[unit % wires.length]?.message(cid, ref, writeReport(essence, report, ref, cid, null), {
        ok: (at) => progress.reached('ok', at),
        mrs: (at) => progress.reached('mrs', at),
        failed: (why) => progress.failed(why),
      });
    });
    return { ...result, repeated: wires.reduce((sum, wire) => sum + wire.repeated, 0) };
  } finally {
    repeating.cancel();
    for (const wire of wires) wire.close();
  }
}
