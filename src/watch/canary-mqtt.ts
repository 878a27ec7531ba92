/** A synthetic device that presses over MQTT: connects, publishes an alarm, and waits for PUBACK and receipt. */
import { type IClientOptions, type MqttClient, connect } from 'mqtt';
import { CANARY_MUNICIPALITY, canaryDevice } from '../alarms/canary.ts';
import { type Clock, type Milliseconds, seconds, toIso } from '../base/clock.ts';
import { systemCode } from '../base/errors.ts';
import { topicFor } from '../protocols/mqtt/topic.ts';
import { CanaryFault, type Course } from './canary-course.ts';

export interface Press {
  /** `host:port`, or `mqtts://host:port`. */
  readonly address: string;
  readonly secret: string;
  /** Of this press; no other has it. */
  readonly id: string;
  readonly course: Course;
  readonly clock: Clock;
}

/** The node may not have heard of the device yet, or of its new secret. */
export const AGAIN_AFTER: Milliseconds = seconds(0.5);
const DEVICE = { serial: canaryDevice('mqtt'), municipality: CANARY_MUNICIPALITY };
/** MQTT 3.1.1, 3.2.2.3: bad user name or password, not authorized. */
const REFUSED: readonly unknown[] = [4, 5];

/** @throws CanaryFault */
export async function pressOverMqtt({ address, secret, id, course, clock }: Press): Promise<void> {
  const client = await course.take('connect', () => connected(address, secret, course));
  try {
    const receipt = topicFor(DEVICE, 'receipt');
    const received = new Promise<void>((resolve, reject) => {
      client.on('message', (topic, payload) => {
        const read = receiptIn(payload);
        if (topic !== receipt || read?.id !== id) return;
        if (read.result === 'received') resolve();
        else reject(new CanaryFault(`receipt-${read.result}`));
      });
      client.on('close', () => reject(new CanaryFault('connection-closed')));
    });
    // It may fail while nobody waits for it yet.
    received.catch(() => undefined);
    await course.take('press', async () => {
      await client.subscribeAsync(receipt, { qos: 1 });
      const body = JSON.stringify({ id, at: toIso(clock.now()), type: 'call-button', text: 'Canary' });
      await client.publishAsync(topicFor(DEVICE, 'alarm'), body, { qos: 1 });
    });
    await course.take('reply', () => received);
  } finally {
    client.end(true);
  }
}

async function connected(address: string, secret: string, course: Course): Promise<MqttClient> {
  for (;;) {
    const outcome = await attempt(address, secret, course);
    if (typeof outcome !== 'string') return outcome;
    await course.pause(AGAIN_AFTER);
  }
}

/** A broker that answers but does not know the device is asked again; one that does not answer is a fault. */
async function attempt(address: string, password: string, course: Course): Promise<MqttClient | 'not-known-yet'> {
  const { serial } = DEVICE;
  const options: IClientOptions = {
    clientId: serial,
    username: serial,
    password,
    clean: true,
    reconnectPeriod: 0,
    // The certificate names the address that devices are given, and this goes to each node's own (see canary-person.ts).
    rejectUnauthorized: false,
  };
  const client = connect(address.includes('://') ? address : `mqtt://${address}`, options);
  const begun = new Promise<MqttClient | 'not-known-yet'>((resolve, reject) => {
    client.once('connect', () => resolve(client));
    client.on('error', (error) => {
      if ('code' in error && REFUSED.includes(error.code)) resolve('not-known-yet');
      else reject(new CanaryFault(systemCode(error) ?? 'connection-failed'));
    });
    client.once('close', () => reject(new CanaryFault('connection-closed')));
  });
  let keep = false;
  try {
    const outcome = await course.within(begun);
    keep = outcome === client;
    return outcome;
  } finally {
    if (!keep) client.end(true);
  }
}

function receiptIn(payload: Buffer): { readonly id: unknown; readonly result: string } | null {
  try {
    const read: unknown = JSON.parse(payload.toString('utf8'));
    return typeof read === 'object' && read !== null && 'id' in read && 'result' in read
      ? { id: read.id, result: String(read.result) }
      : null;
  } catch {
    return null;
  }
}
