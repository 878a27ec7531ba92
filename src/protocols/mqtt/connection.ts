/** One device's connection: hands its messages over and answers them in their order, and remembers who it is and what it reads. */
import type { Client } from 'aedes';
import type { Clock } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { ClientCertificate } from './broker-options.ts';
import { type MqttMessage, PAYLOAD_LIMIT } from './message.ts';
import type { PacketGate, Published } from './packet-gate.ts';
import { decodePayload } from './payload.ts';
import { type DeviceAddress, placeOf } from './topic.ts';

/**
 * Takes a message; `kept`: it is durable, or nothing that must be. A throw counts as not kept. It is called again before it has
 * answered, and keeps the messages of one device in the order of the calls.
 */
export type Accept = (message: MqttMessage) => Promise<'kept' | 'not-kept'>;

export interface Will {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
}

export interface Connection {
  readonly gate: PacketGate;
  /** Of the other end, for technicians. */
  readonly address: string;
  readonly certificate: ClientCertificate | null;
  client: Client | null;
  /** Null until its CONNECT was accepted. */
  device: DeviceAddress | null;
  will: Will | null;
  /** Topics that it may read and asked for, with the granted QoS. */
  readonly reads: Map<string, number>;
  /** A message was not kept: nothing behind it may be acknowledged. */
  failed: boolean;
  /** It was not heard of for 1.5 times its keep-alive. */
  silent: boolean;
  /** Settles when all that came so far has been dealt with; never rejects. */
  chain: Promise<void>;
}

export function newConnection(gate: PacketGate, address: string, certificate: ClientCertificate | null): Connection {
  return {
    gate,
    address,
    certificate,
    client: null,
    device: null,
    will: null,
    reads: new Map(),
    failed: false,
    silent: false,
    chain: Promise.resolve(),
  };
}

/** What a device published, as the rest of the centre sees it. */
export function messageOf(device: DeviceAddress, published: Published, will: boolean, receivedAt: number): MqttMessage {
  const { topic, payload, qos, dup } = published;
  return {
    device: device.serial,
    municipality: device.municipality,
    topic,
    ...placeOf(topic, device),
    will,
    qos,
    payload,
    tooLarge: payload.length > PAYLOAD_LIMIT,
    duplicateFlag: dup,
    receivedAt,
    body: decodePayload(payload),
  };
}

/**
 * Hands a message over at once, behind those that came before it on the same connection, and holds its verdict until theirs
 * are known. So what a device sends in one go shares a commit, `accept` keeps their order (a restore never overtakes its
 * alarm), and acknowledgements go out in the order of the messages.
 * @returns `kept`, or `not-kept` also for all that follow one that was not: the device sends them again, in their order
 */
export function inOrder(connection: Connection, message: MqttMessage, accept: Accept, log: Log): Promise<'kept' | 'not-kept'> {
  const attempted = connection.failed ? Promise.resolve('not-kept' as const) : attempt(message, accept, log);
  const verdict = connection.chain.then(async () => {
    const kept = await attempted;
    if (kept === 'not-kept') connection.failed = true;
    return connection.failed ? 'not-kept' : kept;
  });
  connection.chain = verdict.then(() => undefined);
  return verdict;
}

export async function attempt(message: MqttMessage, accept: Accept, log: Log): Promise<'kept' | 'not-kept'> {
  try {
    return await accept(message);
  } catch (error) {
    log.error('mqtt-message-not-accepted', { device: message.device, error });
    return 'not-kept';
  }
}

/** How often a will that could not be kept is tried again: no device stands behind it to repeat it. */
const WILL_ATTEMPTS = 60;
const WILL_RETRY_MS = 1000;

/** Hands a last will over, again and again while the store is away; false: given up. */
export async function executeWill(
  message: MqttMessage,
  tools: { readonly accept: Accept; readonly clock: Clock; readonly log: Log; readonly stopped: () => boolean },
): Promise<boolean> {
  for (let made = 0; made === 0 || (made < WILL_ATTEMPTS && !tools.stopped()); made++) {
    if ((await attempt(message, tools.accept, tools.log)) === 'kept') return true;
    await new Promise<void>((resolve) => {
      tools.clock.after(WILL_RETRY_MS, resolve);
    });
  }
  return false;
}
