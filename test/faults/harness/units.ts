/** Devices that repeat until they are acknowledged, and turn to the other intake when one does not answer. */
import { type Clock, RunningClock } from '../../../src/base/clock.ts';
import { MqttWire } from '../../../simulators/load/mqtt-wire.ts';
import { SeededRandom } from '../../../simulators/random.ts';
import { SipSender } from '../../../simulators/scaip/sip-sender.ts';
import { flavourOf } from '../../../simulators/scaip/vendors.ts';
import type { Ledger } from './ledger.ts';

/** How the devices reach one intake process: ports on loopback. */
export interface Door {
  /** Of the process behind it. */
  readonly name: string;
  readonly mqtt: number;
  readonly sipUdp: number;
  readonly sipTcp: number;
}

export interface UnitOptions {
  readonly doors: readonly Door[];
  readonly ledger: Ledger;
  readonly clock?: Clock;
}

/** Long enough for a centre that is busy; a device that waits longer for nothing is a person who waits. */
const ANSWER_WITHIN_MS = 2500;
const BETWEEN_TRIES_MS = 100;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** A device with a memory of one message. */
export abstract class Unit {
  /** As the centre knows it: serial or controller id. */
  readonly name: string;
  protected readonly clock: Clock;
  readonly #doors: readonly Door[];
  readonly #ledger: Ledger;
  #turn: number;

  constructor(name: string, { doors, ledger, clock = new RunningClock() }: UnitOptions) {
    this.name = name;
    this.clock = clock;
    this.#doors = doors;
    this.#ledger = ledger;
    // Half of them prefer the one, half the other.
    this.#turn = Number(/\d+$/.exec(name)?.[0] ?? 0);
  }

  /** Sends a message until it is acknowledged; false when `over` first. A message of the same id has the same bytes. */
  async press(id: string, over: () => boolean = () => false): Promise<boolean> {
    this.#ledger.write({ what: 'sent', unit: this.name, id });
    while (!over()) {
      const door = this.#doors[this.#turn % this.#doors.length];
      if (door === undefined) return false;
      if (await this.tryOnce(id, door)) {
        this.#ledger.write({ what: 'acknowledged', unit: this.name, id, via: door.name });
        return true;
      }
      this.#turn += 1;
      await pause(BETWEEN_TRIES_MS);
    }
    return false;
  }

  protected abstract tryOnce(id: string, door: Door): Promise<boolean>;
  abstract close(): Promise<void>;
}

export class MqttUnit extends Unit {
  #wire: MqttWire | null = null;
  #to: Door | null = null;

  protected async tryOnce(id: string, door: Door): Promise<boolean> {
    try {
      if (this.#to !== door) this.#hangUp();
      this.#to = door;
      const login = { clientId: this.name, username: this.name, password: 'demo-device' };
      this.#wire ??= await MqttWire.open('127.0.0.1', door.mqtt, login, this.clock, { within: ANSWER_WITHIN_MS });
      const wire = this.#wire;
      const topic = `nj/v1/1103/${this.name}/alarm`;
      const payload = JSON.stringify({ id, type: 'call-button' });
      const at = await within(ANSWER_WITHIN_MS, new Promise<number | null>((resolve) => wire.publish(topic, payload, resolve)));
      if (at === null) this.#hangUp();
      return at !== null;
    } catch {
      this.#hangUp();
      return false;
    }
  }

  #hangUp(): void {
    this.#wire?.close();
    this.#wire = null;
  }

  close(): Promise<void> {
    this.#hangUp();
    return Promise.resolve();
  }
}

export class ScaipUnit extends Unit {
  readonly #transport: 'udp' | 'tcp';
  readonly #sip: SipSender;
  readonly #heard = new Map<string, () => void>();

  constructor(cid: string, transport: 'udp' | 'tcp', options: UnitOptions) {
    super(cid, options);
    this.#transport = transport;
    this.#sip = new SipSender({
      habits: { ...flavourOf('essence').habits(cid), fromTag: 'fresh' },
      toUser: 'alarm',
      timers: { t1: 500, t2: 4000, answerWithin: ANSWER_WITHIN_MS },
      clock: this.clock,
      random: new SeededRandom(`${cid} ${transport}`),
      onMessage: (body) => {
        const [, ref = '', snu = ''] = /<ref>([^<]*)<\/ref>\s*<snu>(\d+)<\/snu>/.exec(body) ?? [];
        if (snu === '0') this.#heard.get(ref)?.();
      },
    });
  }

  /** Acknowledged is what has its 200 and its `mrs` with `snu` 0. */
  protected async tryOnce(ref: string, door: Door): Promise<boolean> {
    const replied = within(ANSWER_WITHIN_MS, new Promise<true>((resolve) => this.#heard.set(ref, () => resolve(true))));
    const place = { host: '127.0.0.1', port: this.#transport === 'udp' ? door.sipUdp : door.sipTcp, transport: this.#transport };
    const body = `<mrq><ref>${ref}</ref><cid>${this.name}</cid><dty>3</dty><stc>10</stc></mrq>`;
    const outcome = await this.#sip.message(place, body);
    const kept = outcome.kind === 'answered' && outcome.status === 200 && (await replied) === true;
    this.#heard.delete(ref);
    if (!kept) {
      // As a device that gives up on a connection: the next try gets a new one.
      this.#sip.cutLink();
      this.#sip.restoreLink();
    }
    return kept;
  }

  close(): Promise<void> {
    return this.#sip.close();
  }
}

/** Null when it takes longer; never rejects. */
async function within<T>(ms: number, work: Promise<T>): Promise<T | null> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
