/** One connection of the bridge to the external broker, from CONNECT to its end; the client library is used nowhere else. */
import mqtt, { type IClientOptions, type IConnackPacket, type IPublishPacket, type MqttClient } from 'mqtt';
import type { Clock } from '../../base/clock.ts';
import { systemCode } from '../../base/errors.ts';
import type { BridgeLimits, BridgeTls, BrokerPlace } from './bridge-options.ts';
import type { Delivered } from './bridge-message.ts';
import { withinTime } from './connections.ts';

/** The library's own packet is a subset of what is needed here. */
interface Handlers {
  /** False: it could not be kept, and the connection ends without its acknowledgement. */
  readonly deliver: (message: Delivered) => Promise<boolean>;
  readonly connected: (connack: { readonly sessionPresent: boolean }) => void;
  /** Once, with a short stable word or code that says why. */
  readonly ended: (why: string) => void;
}

/** Receipts that the broker has not acknowledged; beyond them they go without guarantee. */
const MOST_RECEIPTS_UNDER_WAY = 1000;
/** MQTT 5, 3.2.2.2 and 3.1.2.2: the broker does not speak the version; 1 is its word in MQTT 3.1.1. */
const UNSUPPORTED_VERSION: readonly unknown[] = [1, 0x84];
const FAILURE = 0x80;

/**
 * A client of its own for each connection: the library's reconnecting would carry acknowledgements of one session over into
 * the next, where the same packet number is another message.
 */
export class BridgeConnection {
  readonly #client: MqttClient;
  readonly #handlers: Handlers;
  #over = false;
  #why = '';
  #receiptsUnderWay = 0;
  /** The broker does not speak the version that was tried. */
  versionRefused = false;

  constructor(parts: {
    readonly broker: BrokerPlace;
    readonly tls: BridgeTls;
    readonly clientId: string;
    readonly version: 4 | 5;
    readonly limits: BridgeLimits;
    readonly handlers: Handlers;
  }) {
    const { broker, tls, clientId, version, limits, handlers } = parts;
    this.#handlers = handlers;
    const { host, port, secure, username, password } = broker;
    const options: IClientOptions = {
      protocol: secure ? 'mqtts' : 'mqtt',
      host,
      port,
      ...(secure ? tls : {}),
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      clientId,
      protocolVersion: version,
      clean: false,
      ...(version === 5 ? { properties: { sessionExpiryInterval: limits.sessionExpiry } } : {}),
      keepalive: limits.keepalive,
      connectTimeout: limits.connectWithin,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      manualConnect: true,
    };
    const client = mqtt.connect(options);
    this.#client = client;
    // The library acknowledges when this calls back, and reads nothing more before: messages are kept one at a time, in order.
    client.handleMessage = (packet, done) => void this.#deliver(packet, done);
    client.on('connect', (connack: IConnackPacket) => handlers.connected({ sessionPresent: connack.sessionPresent }));
    client.on('error', (error) => this.#note(error));
    client.on('disconnect', ({ reasonCode }) => (this.#why ||= `DISCONNECT ${reasonCode ?? 0}`));
    client.on('close', () => this.#end());
    client.connect();
  }

  get over(): boolean {
    return this.#over;
  }

  async #deliver(packet: IPublishPacket, done: () => void): Promise<void> {
    const { topic, qos, dup, retain } = packet;
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload;
    const kept = await this.#handlers.deliver({ topic, payload, qos, dup, retain });
    // What is acknowledged late, on another connection, may stand for another message there.
    if (this.#over) return;
    if (kept) done();
    else this.destroy('not-kept');
  }

  /** @returns for each filter: `granted` with its guarantee, `without-guarantee`, or `refused`; null when the connection ended */
  subscribe(filters: readonly string[]): Promise<readonly ('granted' | 'without-guarantee' | 'refused')[] | null> {
    return new Promise((resolve) => {
      // Retained messages only when the subscription is new (MQTT 5); in MQTT 3.1.1 they come each time.
      this.#client.subscribe([...filters], { qos: 1, rh: 1 }, (error, granted, packet) => {
        if (this.#over) return resolve(null);
        const codes = packet?.granted ?? (error === null ? granted?.map(({ qos }) => qos) : undefined);
        if (codes === undefined) return resolve(null);
        resolve(codes.map((code) => (Number(code) >= FAILURE ? 'refused' : Number(code) === 1 ? 'granted' : 'without-guarantee')));
      });
    });
  }

  async unsubscribe(filters: readonly string[]): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#client.unsubscribe([...filters], () => resolve());
    });
  }

  /** With QoS 1, not waited for; lost with the connection. False: the connection is over. */
  publish(topic: string, payload: Uint8Array): boolean {
    if (this.#over) return false;
    const qos = this.#receiptsUnderWay < MOST_RECEIPTS_UNDER_WAY ? 1 : 0;
    this.#receiptsUnderWay += qos;
    this.#client.publish(topic, Buffer.from(payload), { qos }, () => {
      this.#receiptsUnderWay -= qos;
    });
    return true;
  }

  destroy(why: string): void {
    this.#why ||= why;
    this.#client.stream.destroy();
    this.#end();
  }

  /** Says good-bye. `forGood`: the broker may forget the session. */
  async end(clock: Clock, forGood: boolean): Promise<void> {
    if (this.#over) return;
    const properties = { sessionExpiryInterval: 0 };
    const ended = new Promise<void>((resolve) => {
      this.#client.once('close', resolve);
      this.#client.end(false, forGood ? { properties } : {});
    });
    await withinTime(clock, ended, 500);
    this.destroy('ended');
  }

  #note(error: Error): void {
    const code: unknown = 'code' in error ? error.code : null;
    this.versionRefused ||= UNSUPPORTED_VERSION.includes(code);
    // Texts of errors stay out: codes say it, and hold nothing that was configured.
    this.#why ||= systemCode(error) ?? (typeof code === 'number' ? `CONNACK ${code}` : 'no answer');
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#handlers.ended(this.#why === '' ? 'closed by the broker' : this.#why);
  }
}
