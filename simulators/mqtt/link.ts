/** A device's MQTT connection: keeps each QoS 1 message until its PUBACK, and sends it again, byte for byte, after reconnecting. */
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import type { Clock, Milliseconds, Timer } from '../../src/base/clock.ts';
import { systemCode } from '../../src/base/errors.ts';
import type { Log } from '../../src/base/log.ts';
import type { SeededRandom } from '../random.ts';

export interface LinkTiming {
  /** A QoS 1 message without PUBACK for so long: the connection is taken for dead and made anew. */
  readonly pubackWithin: Milliseconds;
  /** Between attempts to connect: doubled each time from the first to the second figure, with jitter. */
  readonly retryFrom: Milliseconds;
  readonly retryTo: Milliseconds;
  /** MQTT keep-alive, in seconds (the protocol's unit). */
  readonly keepaliveSeconds: number;
}
export const LINK_TIMING: LinkTiming = { pubackWithin: 10_000, retryFrom: 1000, retryTo: 30_000, keepaliveSeconds: 30 };

export interface LinkOptions {
  /** `host:port`, asked anew for each connection; null when nobody knows it (yet). */
  readonly address: () => string | null;
  /** Also the persistent client id and user name, as the platform contract has it. */
  readonly serial: string;
  readonly password: string;
  readonly subscribeTo: readonly string[];
  readonly will: { readonly topic: string; readonly payload: string };
  readonly timing?: Partial<LinkTiming>;
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly log: Log;
  /** After each connecting, before what waits is sent again. */
  readonly onOnline: () => void;
  readonly onMessage: (topic: string, payload: Buffer) => void;
}

interface Waiting {
  readonly topic: string;
  readonly payload: Buffer;
  attempts: number;
  readonly settle: (result: PublishResult) => void;
}

export interface PublishResult {
  readonly acknowledged: boolean;
  readonly attempts: number;
}

export class MqttLink {
  readonly #options: LinkOptions;
  readonly #timing: LinkTiming;
  readonly #outbox = new Set<Waiting>();
  #client: MqttClient | null = null;
  #online = false;
  #cut = false;
  #stopped = false;
  #failures = 0;
  #retry: Timer | null = null;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#timing = { ...LINK_TIMING, ...options.timing };
  }

  get online(): boolean {
    return this.#online;
  }

  /** Starts connecting; whether and when it succeeds is told by `onOnline`. */
  start(): void {
    if (this.#client !== null || this.#cut || this.#stopped) return;
    const { address, serial, password, will, clock } = this.#options;
    const at = address();
    if (at === null) return this.#later();
    const options: IClientOptions = {
      clientId: serial,
      username: serial,
      password,
      clean: false,
      will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 1, retain: false },
      keepalive: this.#timing.keepaliveSeconds,
      // Connecting again and sending again are this file's own work: mqtt's own would not be repeatable.
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
    };
    const client = connect(`mqtt://${at}`, options);
    this.#client = client;
    const deaf = clock.after(this.#timing.pubackWithin, () => client.stream.destroy());
    client.on('error', (error) => this.#options.log.debug('link-failed', { device: serial, code: systemCode(error) ?? 'refused' }));
    client.on('connect', () => {
      deaf.cancel();
      this.#connected(client);
    });
    client.on('message', (topic, payload) => this.#options.onMessage(topic, payload));
    client.on('close', () => {
      deaf.cancel();
      this.#lost(client);
    });
  }

  /** QoS 1: resolves when its PUBACK came, however many connections that took; `acknowledged: false` only when the device was stopped. */
  publish(topic: string, payload: Buffer): Promise<PublishResult> {
    return new Promise((resolve) => {
      const waiting: Waiting = { topic, payload, attempts: 0, settle: resolve };
      if (this.#stopped) return resolve({ acknowledged: false, attempts: 0 });
      this.#outbox.add(waiting);
      if (this.#client !== null && this.#online) this.#send(this.#client, waiting);
    });
  }

  /** QoS 0: sent when the link is up, else forgotten. */
  publishLoosely(topic: string, payload: Buffer): void {
    if (this.#online) this.#client?.publish(topic, payload, { qos: 0 });
  }

  /** The network is gone: no DISCONNECT, so that the broker sends the last will. */
  cut(): void {
    this.#cut = true;
    this.#retry?.cancel();
    this.#client?.stream.destroy();
  }

  restore(): void {
    this.#cut = false;
    this.#failures = 0;
    this.start();
  }

  /** Switches the device off: what was not acknowledged is given up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#retry?.cancel();
    for (const waiting of this.#outbox) waiting.settle({ acknowledged: false, attempts: waiting.attempts });
    this.#outbox.clear();
    const client = this.#client;
    this.#client = null;
    this.#online = false;
    if (client !== null) await client.endAsync(true);
  }

  #connected(client: MqttClient): void {
    if (this.#stopped || this.#client !== client) return;
    this.#failures = 0;
    client.subscribe([...this.#options.subscribeTo], { qos: 1 }, (error) => {
      if (error !== null && !this.#stopped) this.#options.log.warn('subscription-refused', { device: this.#options.serial });
    });
    this.#online = true;
    this.#options.log.info('link-up', { device: this.#options.serial });
    this.#options.onOnline();
    for (const waiting of this.#outbox) this.#send(client, waiting);
  }

  #send(client: MqttClient, waiting: Waiting): void {
    waiting.attempts++;
    const dead = this.#options.clock.after(this.#timing.pubackWithin, () => {
      if (this.#client !== client) return;
      this.#options.log.warn('puback-missing', { device: this.#options.serial, attempt: waiting.attempts });
      client.stream.destroy();
    });
    client.publish(waiting.topic, waiting.payload, { qos: 1, dup: waiting.attempts > 1 }, (error) => {
      dead.cancel();
      // An error means that the connection ended first: the message stays and goes again with the next one.
      if (error !== undefined && error !== null) return;
      this.#outbox.delete(waiting);
      waiting.settle({ acknowledged: true, attempts: waiting.attempts });
    });
  }

  #lost(client: MqttClient): void {
    if (this.#client !== client) return;
    if (this.#online) this.#options.log.warn('link-down', { device: this.#options.serial });
    this.#online = false;
    this.#client = null;
    // Its timers end, and its callbacks are told; what it kept is ours already.
    client.end(true);
    if (this.#stopped || this.#cut) return;
    this.#later();
  }

  #later(): void {
    const { retryFrom, retryTo } = this.#timing;
    const wait = Math.min(retryTo, retryFrom * 2 ** Math.min(this.#failures++, 10));
    this.#retry = this.#options.clock.after(wait * this.#options.random.between(0.7, 1.3), () => this.start());
  }
}
