/** One connection of the bridge to the external broker, from CONNECT to its end; the client library is used nowhere else. */
import type { Socket } from 'node:net';
import mqtt, { type IClientOptions, type IConnackPacket, type IPublishPacket, type MqttClient } from 'mqtt';
import type { Clock, Instant } from '../../base/clock.ts';
import { systemCode } from '../../base/errors.ts';
import type { BridgeLimits, BridgeTls, BrokerPlace } from './bridge-options.ts';
import type { Delivered } from './bridge-message.ts';
import { withinTime } from './connections.ts';

/** The library's own packet is a subset of what is needed here. */
interface Handlers {
  /**
   * Called for the next before the last has answered, in their order. False: it could not be kept; the connection ends, and
   * neither it nor what came behind it is acknowledged.
   */
  readonly deliver: (message: Delivered) => Promise<boolean>;
  readonly connected: (connack: { readonly sessionPresent: boolean }) => void;
  /** Once, with a short stable word or code that says why. */
  readonly ended: (why: string) => void;
}

/** Else a broker sends all that has waited at once, and the answers to SUBSCRIBE and PINGREQ stand behind it. */
const MOST_UNACKNOWLEDGED = 20;
/** MQTT 3.1.1, 3.4; in MQTT 5 the shortest form, for success. */
const PUBACK = 0x40;
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
  /** Packet numbers of what is to be acknowledged. */
  readonly #owed = new WeakMap<object, number>();
  #inFlight = 0;
  #inHand: Promise<void> = Promise.resolve();
  #goOn: (() => void) | null = null;
  readonly #now: () => Instant;
  #pingedAt: Instant | null = null;
  #answeredAt: Instant | null = null;
  /** The broker does not speak the version that was tried. */
  versionRefused = false;

  constructor(parts: {
    readonly broker: BrokerPlace;
    readonly tls: BridgeTls;
    readonly clientId: string;
    readonly version: 4 | 5;
    readonly limits: BridgeLimits;
    readonly now: () => Instant;
    readonly handlers: Handlers;
  }) {
    const { broker, tls, clientId, version, limits, handlers } = parts;
    this.#handlers = handlers;
    this.#now = parts.now;
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
      ...(version === 5 ? { properties: { sessionExpiryInterval: limits.sessionExpiry, receiveMaximum: MOST_UNACKNOWLEDGED } } : {}),
      keepalive: limits.keepalive,
      connectTimeout: limits.connectWithin,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      manualConnect: true,
    };
    const client = mqtt.connect(options);
    this.#client = client;
    // The library takes one message at a time and acknowledges it itself, so that each would wait for a commit of its own. It
    // is told that nothing is to be acknowledged (QoS 0); that is done here, in order, when a message is kept.
    client.on('packetsend', ({ cmd }) => {
      if (cmd === 'pingreq') this.#pingedAt ??= this.#now();
    });
    client.on('packetreceive', (packet) => {
      if (packet.cmd === 'pingresp') {
        this.#answered(this.#pingedAt);
        this.#pingedAt = null;
      }
      if (packet.cmd !== 'publish' || packet.qos !== 1 || packet.messageId === undefined) return;
      this.#owed.set(packet, packet.messageId);
      packet.qos = 0;
    });
    client.handleMessage = (packet, done) => this.#deliver(packet, done);
    client.on('connect', (connack: IConnackPacket) => handlers.connected({ sessionPresent: connack.sessionPresent }));
    client.on('error', (error) => this.#note(error));
    client.on('disconnect', ({ reasonCode }) => (this.#why ||= `DISCONNECT ${reasonCode ?? 0}`));
    client.on('close', () => this.#end());
    client.connect();
    // Acknowledgements are small, and must not wait for each other.
    (client.stream as Partial<Socket>).setNoDelay?.(true);
  }

  /** Settles when all that came so far has been dealt with. */
  get inHand(): Promise<void> {
    return this.#inHand;
  }

  /** When the last PINGREQ or receipt that the broker has answered was sent: until then it had the session. Null: none yet. */
  get answeredAt(): Instant | null {
    return this.#answeredAt;
  }

  get over(): boolean {
    return this.#over;
  }

  #deliver(packet: IPublishPacket, done: () => void): void {
    const { topic, dup, retain } = packet;
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload;
    const number = this.#owed.get(packet);
    const kept = this.#handlers.deliver({ topic, payload, qos: number === undefined ? 0 : 1, dup, retain });
    this.#inHand = this.#inHand.then(async () => this.#settle(await kept, number));
    if (++this.#inFlight < MOST_UNACKNOWLEDGED) done();
    else this.#goOn = done;
  }

  #settle(kept: boolean, number: number | undefined): void {
    // What is acknowledged late, on another connection, may stand for another message there.
    if (this.#over) return;
    if (!kept) return this.destroy('not-kept');
    if (number !== undefined) this.#client.stream.write(Buffer.from([PUBACK, 2, number >> 8, number & 0xff]));
    this.#inFlight--;
    const goOn = this.#goOn;
    this.#goOn = null;
    goOn?.();
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
    const sentAt = this.#now();
    this.#client.publish(topic, Buffer.from(payload), { qos }, (_error, packet) => {
      this.#receiptsUnderWay -= qos;
      // A refusal is an answer too; and the library puts PINGREQ off at each.
      if (packet?.cmd === 'puback') this.#answered(sentAt);
    });
    return true;
  }

  #answered(sentAt: Instant | null): void {
    if (sentAt !== null) this.#answeredAt = Math.max(sentAt, this.#answeredAt ?? sentAt);
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
