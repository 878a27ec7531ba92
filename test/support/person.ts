/** A person at a browser: signed in over real HTTP, with what the live socket shows kept as a console keeps it. */
import { WebSocket } from 'ws';
import type { TimelineView } from '../../src/alarms/view.ts';
import type { AlarmView } from '../../src/alarms/view.ts';
import type { ServerMessage } from '../../src/console/feed-messages.ts';
import { until } from './stores.ts';

export interface Answer<T = Record<string, unknown>> {
  readonly status: number;
  readonly body: T;
}

export class Person {
  readonly account: string;
  readonly #url: string;
  readonly #cookie: string;
  #screen: Screen | null = null;

  private constructor(account: string, url: string, cookie: string) {
    this.account = account;
    this.#url = url;
    this.#cookie = cookie;
  }

  static async signIn(url: string, account: string, password = 'demo'): Promise<Person> {
    const response = await fetch(`${url}/api/v1/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ username: account, password }),
    });
    if (!response.ok) throw new Error(`${account} was not signed in: ${response.status}`);
    await response.text();
    return new Person(account, url, (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '');
  }

  get screen(): Screen | null {
    return this.#screen;
  }

  /** Opens the live socket; resolves when the first picture is there. */
  async open(): Promise<Screen> {
    this.#screen = new Screen(`${this.#url.replace('http', 'ws')}/ws`, this.#cookie);
    await this.#screen.shown();
    return this.#screen;
  }

  async close(): Promise<void> {
    await this.#screen?.close();
    this.#screen = null;
  }

  async get<T = Record<string, unknown>>(path: string): Promise<Answer<T>> {
    return this.#call('GET', path);
  }

  async post<T = Record<string, unknown>>(path: string, body: unknown): Promise<Answer<T>> {
    return this.#call('POST', path, body);
  }

  /** A command on an alarm, whatever comes of it. */
  async tries(number: string, command: string, more: object = {}): Promise<Answer<AlarmView & { code?: string; by?: string }>> {
    return this.post(`/api/v1/alarms/${number}/commands`, { command, ...more });
  }

  /** A command that must not be refused. */
  async does(number: string, command: string, more: object = {}): Promise<AlarmView> {
    const { status, body } = await this.tries(number, command, more);
    if (status !== 200) throw new Error(`${this.account} was refused ${command}: ${status} ${body.code ?? ''}`);
    return body;
  }

  async alarm(number: string): Promise<AlarmView & { timeline: TimelineView[] }> {
    const { status, body } = await this.get<AlarmView & { timeline: TimelineView[] }>(`/api/v1/alarms/${number}`);
    if (status !== 200) throw new Error(`${this.account} does not see alarm ${number}: ${status}`);
    return body;
  }

  async board(state: 'open' | 'closed' = 'open'): Promise<AlarmView[]> {
    return (await this.get<{ alarms: AlarmView[] }>(`/api/v1/alarms?state=${state}`)).body.alarms;
  }

  async #call<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
    const response = await fetch(this.#url + path, {
      method,
      headers: { cookie: this.#cookie, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: (await response.json()) as T };
  }
}

/** What a console holds: the newest version of each alarm that it was told of, closed ones too. */
export class Screen {
  readonly #socket: WebSocket;
  readonly #alarms = new Map<string, AlarmView>();
  /** All that came, in its order. */
  readonly messages: ServerMessage[] = [];
  readonly #pongs: (() => void)[] = [];

  constructor(url: string, cookie: string) {
    this.#socket = new WebSocket(url, { headers: { cookie } });
    this.#socket.on('message', (data: Buffer) => this.#told(JSON.parse(data.toString('utf8')) as ServerMessage));
    this.#socket.on('error', () => undefined);
    this.#socket.on('close', () => {
      for (const pong of this.#pongs.splice(0)) pong();
    });
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** The open alarms on the screen, by number. */
  get board(): AlarmView[] {
    return [...this.#alarms.values()].filter(({ state }) => state !== 'closed').toSorted((a, b) => Number(a.number) - Number(b.number));
  }

  /** Waits until the alarm is on the screen and as described. */
  async shows(number: string, what: string, holds: (alarm: AlarmView) => boolean = () => true): Promise<AlarmView> {
    return until(`alarm ${number} is shown ${what}`, () => {
      const alarm = this.#alarms.get(number);
      return alarm !== undefined && holds(alarm) && alarm;
    });
  }

  async shown(): Promise<void> {
    await until('the first picture', () => this.messages.some(({ type }) => type === 'snapshot'));
  }

  /** Resolves when the centre has answered: what both had sent before has arrived. */
  async roundTrip(): Promise<void> {
    if (!this.isOpen) return;
    await new Promise<void>((resolve) => {
      this.#pongs.push(resolve);
      this.#socket.send('{"type":"ping"}');
    });
  }

  async close(): Promise<void> {
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    const closed = new Promise<void>((resolve) => this.#socket.once('close', () => resolve()));
    this.#socket.close();
    await closed;
  }

  #told(message: ServerMessage): void {
    this.messages.push(message);
    if (message.type === 'pong') this.#pongs.shift()?.();
    if (message.type === 'snapshot') {
      this.#alarms.clear();
      for (const alarm of message.alarms) this.#alarms.set(alarm.number, alarm);
    }
    if (message.type === 'alarm' && (this.#alarms.get(message.alarm.number)?.version ?? 0) < message.alarm.version) {
      this.#alarms.set(message.alarm.number, message.alarm);
    }
    if (message.type === 'gone') this.#alarms.delete(message.number);
  }
}
