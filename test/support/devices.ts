/** Devices on real sockets for the scenarios: MQTT by the npm client, SCAIP by the simulator, both with the words of a scenario. */
import mqtt, { type MqttClient } from 'mqtt';
import { RunningClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { SeededRandom } from '../../simulators/random.ts';
import { SipSender } from '../../simulators/scaip/sip-sender.ts';
import type { SipPlace } from '../../simulators/scaip/sip-places.ts';
import { ScaipUnit } from '../../simulators/scaip/unit.ts';
import type { FlavourName } from '../../simulators/scaip/vendors.ts';
import { until } from './stores.ts';

export interface MqttReceipt {
  readonly id: string;
  readonly result: 'received' | 'duplicate';
  readonly alarm: string | null;
}

/** An MQTT device of the demonstration register, connected as the platform contract has it. */
export class MqttDevice {
  readonly #client: MqttClient;
  readonly #topic: string;
  readonly #receipts: MqttReceipt[] = [];
  #count = 0;

  private constructor(client: MqttClient, topic: string) {
    this.#client = client;
    this.#topic = topic;
    client.on('message', (_topic, payload) => this.#receipts.push(JSON.parse(payload.toString()) as MqttReceipt));
  }

  /** @param address `host:port`; the municipality stands in the serial */
  static async connect(address: string, serial: string, password = 'demo-device'): Promise<MqttDevice> {
    const client = await mqtt.connectAsync(`mqtt://${address}`, {
      clientId: serial,
      username: serial,
      password,
      keepalive: 0,
      reconnectPeriod: 0,
    });
    const topic = `nj/v1/${serial.split('-')[1] ?? ''}/${serial}`;
    const device = new MqttDevice(client, topic);
    await client.subscribeAsync(`${topic}/receipt`, { qos: 1 });
    return device;
  }

  /** Resolves with the receipt, which comes when the signal is durable. */
  async sends(kind: 'alarm' | 'restore' | 'test' | 'presence', body: object): Promise<MqttReceipt> {
    const id = 'id' in body ? String(body.id) : `m${++this.#count}`;
    const before = this.#receipts.length;
    await this.publishes(kind, JSON.stringify({ id, ...body }));
    return until(`the receipt of ${id}`, () => this.#receipts.slice(before).find((receipt) => receipt.id === id));
  }

  /** An alarm; resolves with its number. */
  async alarms(type: string, more: object = {}): Promise<string> {
    const { alarm } = await this.sends('alarm', { type, ...more });
    if (alarm === null) throw new Error(`${type} made no alarm`);
    return alarm;
  }

  /** Bytes as they are; resolves at the PUBACK. */
  async publishes(kind: string, payload: string | Buffer): Promise<void> {
    await this.#client.publishAsync(`${this.#topic}/${kind}`, payload, { qos: 1 });
  }

  async stop(): Promise<void> {
    await this.#client.endAsync(true);
  }
}

const SILENT = createLog('silent');
const placeOf = (address: string): SipPlace => ({
  host: address.slice(0, address.lastIndexOf(':')),
  port: Number(address.slice(address.lastIndexOf(':') + 1)),
  transport: 'udp',
});

/** A SCAIP unit on UDP; its own timers run in real time. */
export function scaipUnit(address: string, controllerId: string, flavour: FlavourName = 'essence', password?: string): ScaipUnit {
  return new ScaipUnit({
    controllerId,
    flavour,
    triggers: [{ id: '1', class: 'pendant' }],
    receivers: () => [placeOf(address)],
    heartbeatEvery: null,
    ...(password === undefined ? {} : { password }),
    clock: new RunningClock(),
    random: new SeededRandom(controllerId),
    log: SILENT,
  });
}

/** Sends a body as it is in a SIP MESSAGE and resolves with the receiver's status and its `mrs` status numbers so far. */
export async function scaipBytes(address: string, body: string): Promise<{ status: number; stop: () => Promise<void>; said: string[] }> {
  const said: string[] = [];
  const sender = new SipSender({
    habits: { fromUser: 'unit', fromTag: 'fresh', branch: 'fresh', userAgent: 'scenario' },
    toUser: 'alarm',
    clock: new RunningClock(),
    random: new SeededRandom(body),
    onMessage: (text) => said.push(text),
  });
  const outcome = await sender.message(placeOf(address), body);
  return { status: outcome.kind === 'answered' ? outcome.status : 0, said, stop: () => sender.close() };
}
