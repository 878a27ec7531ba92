/** What stands outside a centre in tests on real processes: people with a session and a socket, devices that repeat until they are heard. */
import { connect } from 'node:net';
import { RunningClock } from '../../src/base/clock.ts';
import type { AlarmView, TimelineView } from '../../src/alarms/view.ts';
import WebSocket from 'ws';
import { MqttWire } from '../../simulators/load/mqtt-wire.ts';
import { SeededRandom } from '../../simulators/random.ts';
import { SipSender } from '../../simulators/scaip/sip-sender.ts';
import { hostAndPort } from '../../simulators/addresses.ts';
import { flavourOf } from '../../simulators/scaip/vendors.ts';
import type { ReadyFile } from './process.ts';

export const clock = new RunningClock();

export interface Answer<Body = Record<string, unknown>> {
  readonly status: number;
  readonly body: Body;
}

/** Somebody who is signed in. */
export interface Person {
  get<Body = Record<string, unknown>>(path: string): Promise<Answer<Body>>;
  /** Open alarms of that device, newest last. */
  alarmsOf(device: string): Promise<AlarmView[]>;
  alarms(state?: 'open' | 'closed'): Promise<AlarmView[]>;
  alarm(number: string): Promise<AlarmView & { readonly timeline: TimelineView[] }>;
  order(number: string, body: object): Promise<Answer<AlarmView & { readonly code?: string; readonly by?: string }>>;
  socket(): Console;
}

export async function call<Body>(
  http: string,
  method: string,
  path: string,
  body?: object,
  cookie = '',
): Promise<Answer<Body> & { cookie: string }> {
  const response = await fetch(`${http}${path}`, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(cookie === '' ? {} : { cookie }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(20_000),
  });
  const text = await response.text();
  const set = response.headers.get('set-cookie')?.split(';')[0] ?? '';
  return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Body, cookie: set };
}

/** @throws Error when the centre lets them not in */
export async function signIn({ http }: Pick<ReadyFile, 'http'>, username: string, password = 'demo'): Promise<Person> {
  const { status, body, cookie } = await call(http, 'POST', '/api/v1/session', { username, password });
  if (status !== 200) throw new Error(`${username} cannot sign in: ${JSON.stringify(body)}`);
  const get = <Body>(path: string): Promise<Answer<Body>> => call<Body>(http, 'GET', path, undefined, cookie);
  const alarms = async (state = 'open'): Promise<AlarmView[]> => {
    const all: AlarmView[] = [];
    let cursor: string | undefined = '';
    while (cursor !== undefined) {
      const more: string = cursor === '' ? '' : `&cursor=${encodeURIComponent(cursor)}`;
      const page: Answer<{ alarms: AlarmView[]; next?: string }> = await get(`/api/v1/alarms?state=${state}&limit=500${more}`);
      if (page.status !== 200) throw new Error(`alarms: ${JSON.stringify(page)}`);
      all.push(...page.body.alarms);
      cursor = page.body.next;
    }
    return all;
  };
  return {
    get,
    alarms,
    alarmsOf: async (device) =>
      (await alarms()).filter((alarm) => alarm.device === device).toSorted((a, b) => Number(a.number) - Number(b.number)),
    alarm: async (number) => (await get<AlarmView & { timeline: TimelineView[] }>(`/api/v1/alarms/${number}`)).body,
    order: (number, order) => call(http, 'POST', `/api/v1/alarms/${number}/commands`, order, cookie),
    socket: () => new Console(http, cookie),
  };
}

/** A console's socket, as a page keeps it: what it was shown and when; opened again when it is ended. */
export class Console {
  /** When each alarm (`number`) was first shown. */
  readonly shownAt = new Map<string, number>();
  readonly latest = new Map<string, AlarmView>();
  /** When anything came last. */
  heardAt = 0;
  /** The longest time without a word while it was open for longer than that. */
  longestSilence = 0;
  opened = 0;
  readonly #url: string;
  readonly #cookie: string;
  #socket: WebSocket | null = null;
  #closed = false;

  constructor(http: string, cookie: string) {
    this.#url = `${http.replace(/^http/, 'ws')}/ws`;
    this.#cookie = cookie;
    this.#open();
  }

  close(): void {
    this.#closed = true;
    this.#socket?.terminate();
  }

  #open(): void {
    if (this.#closed) return;
    const socket = new WebSocket(this.#url, { headers: { cookie: this.#cookie } });
    this.#socket = socket;
    socket.on('open', () => (this.opened += 1));
    socket.on('message', (data) => this.#heard(JSON.parse((data as Buffer).toString()) as Message));
    socket.on('error', () => {});
    socket.on('close', () => setTimeout(() => this.#open(), 250).unref());
  }

  #heard(message: Message): void {
    const now = clock.monotonic();
    if (this.heardAt > 0) this.longestSilence = Math.max(this.longestSilence, now - this.heardAt);
    this.heardAt = now;
    for (const alarm of message.type === 'snapshot' ? message.alarms : message.type === 'alarm' ? [message.alarm] : []) {
      if (!this.shownAt.has(alarm.number)) this.shownAt.set(alarm.number, now);
      if ((this.latest.get(alarm.number)?.version ?? 0) < alarm.version) this.latest.set(alarm.number, alarm);
    }
  }
}

type Message =
  | { type: 'snapshot'; alarms: AlarmView[] }
  | { type: 'alarm'; alarm: AlarmView }
  | { type: 'pulse' | 'resumed' | 'gone' | 'pong' };

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** An MQTT device with a memory: what it was not acknowledged it sends again, the same bytes, on a new connection. */
export class MqttDevice {
  readonly #ready: () => ReadyFile | null;
  readonly serial: string;
  readonly #municipality: string;
  readonly #password: string;
  #wire: MqttWire | null = null;

  constructor(ready: () => ReadyFile | null, serial: string, municipality = serial.slice(3, 7), password = 'demo-device') {
    this.#ready = ready;
    this.serial = serial;
    this.#municipality = municipality;
    this.#password = password;
  }

  /** One try; true when it was acknowledged. */
  async publish(payload: string, kind = 'alarm'): Promise<boolean> {
    const ready = this.#ready();
    if (ready === null) return false;
    try {
      if (this.#wire === null) {
        const { host, port } = hostAndPort(ready.mqtt);
        const login = { clientId: this.serial, username: this.serial, password: this.#password };
        this.#wire = await inTime(MqttWire.open(host, port, login, clock), 5000);
      }
      const wire = this.#wire;
      const topic = `nj/v1/${this.#municipality}/${this.serial}/${kind}`;
      const at = await inTime(new Promise<number | null>((resolve) => wire.publish(topic, payload, resolve)), 8000);
      if (at === null) this.close();
      return at !== null;
    } catch {
      this.close();
      return false;
    }
  }

  /** Until it is acknowledged, or `over`; true when it was. */
  async press(payload: string, over: () => boolean = () => false): Promise<boolean> {
    while (!over()) {
      if (await this.publish(payload)) return true;
      await pause(100);
    }
    return false;
  }

  close(): void {
    this.#wire?.close();
    this.#wire = null;
  }
}

/** A SCAIP unit that repeats its message until `mrs` with `snu 0` has come. */
export class ScaipUnit {
  readonly cid: string;
  readonly #ready: () => ReadyFile | null;
  readonly #transport: 'udp' | 'tcp';
  readonly #sip: SipSender;
  readonly #heard = new Map<string, () => void>();
  /** Every mrs that came, as `ref snu`. */
  readonly replies: string[] = [];

  constructor(ready: () => ReadyFile | null, cid: string, transport: 'udp' | 'tcp') {
    this.cid = cid;
    this.#ready = ready;
    this.#transport = transport;
    const habits = { ...flavourOf('essence').habits(cid), fromTag: 'fresh' } as const;
    const timers = { t1: 500, t2: 4000, answerWithin: 4000 };
    const random = new SeededRandom(`${cid} ${transport}`);
    this.#sip = new SipSender({ habits, toUser: 'alarm', timers, clock, random, onMessage: (body) => this.#onMessage(body) });
  }

  /** One try; true when the 200 and then the mrs came. */
  async send(ref: string, body: string): Promise<boolean> {
    const ready = this.#ready();
    if (ready === null) return false;
    const replied = inTime(new Promise<void>((resolve) => this.#heard.set(ref, resolve)), 5000).then(
      () => true,
      () => false,
    );
    const place = { ...hostAndPort(this.#transport === 'udp' ? ready.sipUdp : ready.sipTcp), transport: this.#transport };
    const outcome = await this.#sip.message(place, body);
    return outcome.kind === 'answered' && outcome.status === 200 && (await replied);
  }

  async press(ref: string, body: string, over: () => boolean = () => false): Promise<boolean> {
    while (!over()) {
      if (await this.send(ref, body)) return true;
      await pause(100);
    }
    return false;
  }

  async close(): Promise<void> {
    await this.#sip.close();
  }

  #onMessage(body: string): void {
    const [, ref = '', snu = ''] = /<ref>([^<]*)<\/ref>\s*<snu>(\d+)<\/snu>/.exec(body) ?? [];
    this.replies.push(`${ref} ${snu}`);
    if (snu === '0') this.#heard.get(ref)?.();
  }
}

/** Rejects when it takes longer. */
async function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error('too late')), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Opens it, writes what is given, and waits until it is ended or nothing is left to write. */
export function writeRaw(address: string, chunks: Iterable<Buffer>): Promise<void> {
  const { host, port } = hostAndPort(address);
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.on('error', () => {});
    socket.on('close', () => resolve());
    socket.on('data', () => {});
    socket.on('connect', () => {
      for (const chunk of chunks) socket.write(chunk);
      socket.end();
    });
    socket.setTimeout(1500, () => socket.destroy());
  });
}

/** A register of `count` households in Stavanger, each with an MQTT device F-<n> and a SCAIP unit 7000<n>. */
export function registerOf(count: number): string {
  const lines = ['household;municipality;name;address;zone;resident;device;protocol;controller_id;model;secret'];
  for (let n = 0; n < count; n++) {
    const own = `F-${n};1103`;
    lines.push(`${own};Prøvehusstand ${n};Prøveveien ${n};Hundvåg;Prøve Person ${n};F-${n};mqtt;;;demo-device`);
    lines.push(`U-${n};1103;Prøvehusstand U${n};Prøveveien ${n}B;Hundvåg;Prøve Person U${n};;scaip;${7000 + n};;`);
  }
  return `${lines.join('\n')}\n`;
}
