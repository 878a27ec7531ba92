/** A device on the shared platform (its MQTT contract, version 1): builds the payloads, counts its ids, waits for PUBACK and receipt. */
import { toIso, type Clock, type Milliseconds, type Timer } from '../../src/base/clock.ts';
import type { Log } from '../../src/base/log.ts';
import type { Delivery } from '../device.ts';
import type { SeededRandom } from '../random.ts';
import { garbageOf } from './garbage.ts';
import { MqttLink, type LinkTiming } from './link.ts';

/** Fields of a payload beside `id` and `at`. */
export type Fields = Readonly<Record<string, unknown>>;
export type Upward = 'alarm' | 'restore' | 'presence' | 'test';

export interface MqttUnitOptions {
  readonly serial: string;
  /** Four digits. */
  readonly municipality: string;
  readonly password: string;
  readonly address: () => string | null;
  /** Null for a device that sends no heartbeat of its own accord. */
  readonly heartbeatEvery: Milliseconds | null;
  /** After PUBACK: how long the device waits for its receipt before it says so in its log. */
  readonly receiptWithin?: Milliseconds;
  readonly link?: Partial<LinkTiming>;
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly log: Log;
}

interface Sent {
  readonly kind: Upward;
  readonly id: string;
  readonly fields: Fields;
  readonly payload: Buffer;
}

interface AwaitedReceipt {
  readonly id: string;
  came: boolean;
  wake: () => void;
}

export class MqttUnit {
  readonly serial: string;
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly log: Log;
  readonly link: MqttLink;
  /** Percent; told in each heartbeat. */
  battery = 92;
  mains: boolean | null = null;
  /** The device's clock minus the true time. */
  clockOff: Milliseconds = 0;
  readonly #options: MqttUnitOptions;
  readonly #base: string;
  /** Whoever waits for a receipt; two may wait for the same id, when a message is sent twice. */
  readonly #receipts = new Set<AwaitedReceipt>();
  readonly #run: string;
  #count = 0;
  #last: Sent | null = null;
  #heartbeat: Timer | null = null;
  readonly #lies: SeededRandom;
  #stopped = false;

  constructor(options: MqttUnitOptions) {
    const { serial, municipality, clock, random, log } = options;
    this.serial = serial;
    this.clock = clock;
    this.random = random;
    this.log = log;
    this.#options = options;
    this.#base = `nj/v1/${municipality}/${serial}`;
    // Ids differ between two starts with the same seed, as those of a real device do.
    this.#run = Math.floor(clock.now() / 1000).toString(36);
    this.#lies = random.fork('lies');
    this.link = new MqttLink({
      address: options.address,
      serial,
      password: options.password,
      subscribeTo: [`${this.#base}/receipt`, `${this.#base}/command`],
      will: { topic: `${this.#base}/status`, payload: JSON.stringify({ online: false }) },
      ...(options.link === undefined ? {} : { timing: options.link }),
      clock,
      random: random.fork('link'),
      log,
      onOnline: () => this.status({ online: true }),
      onMessage: (topic, payload) => this.#centreSaid(topic, payload),
    });
  }

  start(): void {
    this.link.start();
    const { heartbeatEvery } = this.#options;
    if (heartbeatEvery === null) return;
    const first = this.random.fork('heartbeat').between(0, Math.min(heartbeatEvery, 5000));
    this.#heartbeat = this.clock.after(first, () => {
      this.heartbeat();
      this.#heartbeat = this.clock.every(heartbeatEvery, () => this.heartbeat());
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#heartbeat?.cancel();
    for (const awaited of this.#receipts) awaited.wake();
    await this.link.stop();
  }

  /** Sends a message that counts (QoS 1, with an id) and resolves when it was acknowledged and its receipt came, or did not. */
  tell(kind: Upward, fields: Fields): Promise<Delivery> {
    const id = `${this.#run}-${++this.#count}`;
    const payload = Buffer.from(JSON.stringify({ id, at: this.at(), ...fields }));
    const sent: Sent = { kind, id, fields, payload };
    this.#last = sent;
    return this.#deliver(sent);
  }

  /** The same need again, in a new message. */
  async repeat(): Promise<readonly Delivery[]> {
    return this.#last === null ? [] : [await this.tell(this.#last.kind, this.#last.fields)];
  }

  /** The very same bytes again. */
  async duplicate(): Promise<readonly Delivery[]> {
    return this.#last === null ? [] : [await this.#deliver(this.#last)];
  }

  heartbeat(): void {
    const mains = this.mains === null ? {} : { mains: this.mains };
    this.#loosely('heartbeat', { battery: Math.round(this.battery), signal: 4, ...mains });
  }

  status(fields: Fields): void {
    this.#loosely('status', fields);
  }

  position(position: Fields): void {
    this.#loosely('position', { position });
  }

  /** One of the things that a broken device has been seen to send, on a topic of its own or not. */
  async lie(): Promise<Delivery> {
    const lie = garbageOf(`${this.#run}-${++this.#count}`, this.#lies);
    this.log.info('garbage-sent', { device: this.serial, code: lie.name });
    const { acknowledged, attempts } = await this.link.publish(`${this.#base}/${lie.topic}`, lie.payload);
    return { id: lie.name, result: acknowledged ? 'delivered' : 'stopped', attempts, tookMs: 0 };
  }

  /** The time as the device has it. */
  at(): string {
    return toIso(this.clock.now() + this.clockOff);
  }

  async #deliver(sent: Sent): Promise<Delivery> {
    const began = this.clock.monotonic();
    const code = typeof sent.fields['type'] === 'string' ? `${sent.kind} ${sent.fields['type']}` : sent.kind;
    this.log.info('report-began', { device: this.serial, code, signal: sent.id });
    const receipt = this.#receipt(sent.id);
    const { acknowledged, attempts } = await this.link.publish(`${this.#base}/${sent.kind}`, sent.payload);
    const received = acknowledged && (await receipt.within(this.#options.receiptWithin ?? 10_000));
    receipt.forget();
    const tookMs = Math.round(this.clock.monotonic() - began);
    const result = received ? 'delivered' : this.#stopped ? 'stopped' : 'not-delivered';
    this.log[received ? 'info' : 'warn'](`report-${result}`, { device: this.serial, code, signal: sent.id, attempt: attempts, tookMs });
    return { id: sent.id, result, attempts, tookMs };
  }

  #receipt(id: string): { within(span: Milliseconds): Promise<boolean>; forget(): void } {
    const awaited: AwaitedReceipt = { id, came: false, wake: () => {} };
    this.#receipts.add(awaited);
    return {
      within: (span) => {
        if (awaited.came || this.#stopped) return Promise.resolve(awaited.came);
        return new Promise((resolve) => {
          const done = (): void => {
            timer.cancel();
            resolve(awaited.came);
          };
          const timer = this.clock.after(span, done);
          awaited.wake = done;
        });
      },
      forget: () => this.#receipts.delete(awaited),
    };
  }

  #centreSaid(topic: string, payload: Buffer): void {
    if (!topic.endsWith('/receipt')) return;
    try {
      const receipt: unknown = JSON.parse(payload.toString('utf8'));
      if (typeof receipt === 'object' && receipt !== null && 'id' in receipt && typeof receipt.id === 'string') {
        for (const awaited of this.#receipts) {
          if (awaited.id !== receipt.id) continue;
          awaited.came = true;
          awaited.wake();
        }
        return;
      }
    } catch {
      // Told below.
    }
    this.log.warn('receipt-not-understood', { device: this.serial, bytes: payload.length });
  }

  #loosely(kind: 'heartbeat' | 'status' | 'position', fields: Fields): void {
    this.link.publishLoosely(`${this.#base}/${kind}`, Buffer.from(JSON.stringify({ at: this.at(), ...fields })));
  }
}
