/** Simulated operators and a responder: they handle some alarms and leave the others to the ladder. */
import type { AlarmView } from '../../../src/alarms/view.ts';
import WebSocket from 'ws';
import type { Ledger } from './ledger.ts';

const ANSWER_WITHIN_MS = 3000;
const BETWEEN_TRIES_MS = 150;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What each command leaves in the timeline. */
const EVENT_OF: Readonly<Record<string, string>> = {
  claim: 'claimed',
  note: 'noted',
  'confirm-contact': 'contact-confirmed',
  close: 'closed',
  accept: 'accepted',
  arrive: 'arrived',
  dispatch: 'dispatched',
};

export interface Answer {
  readonly status: number;
  readonly body: Partial<AlarmView> & { readonly code?: string };
}

/** Somebody signed in, who turns to the other console when one does not answer. */
export class Person {
  readonly account: string;
  readonly #consoles: readonly string[];
  readonly #ledger: Ledger;
  #cookie = '';
  #turn: number;
  #orders = 0;

  /** @param consoles `http://…`, the preferred one first */
  constructor(account: string, consoles: readonly string[], ledger: Ledger) {
    this.account = account;
    this.#consoles = consoles;
    this.#ledger = ledger;
    this.#turn = 0;
  }

  get cookie(): string {
    return this.#cookie;
  }

  /** Tries until it is let in. @throws Error when the password is refused */
  async signIn(): Promise<void> {
    for (;;) {
      const answer = await this.#once('POST', '/api/v1/session', { username: this.account, password: 'demo' });
      if (answer?.status === 200) return;
      if (answer?.status === 401) throw new Error(`${this.account} is not let in`);
      await pause(BETWEEN_TRIES_MS);
    }
  }

  /** The same key until there is an answer; null when `over` first. What is answered 200 goes into the ledger. */
  async order(
    number: string,
    order: { readonly command: string; readonly [field: string]: unknown },
    over: () => boolean,
  ): Promise<Answer | null> {
    const key = `${this.account}-${process.pid}-${++this.#orders}`;
    while (!over()) {
      const answer = await this.#once('POST', `/api/v1/alarms/${number}/commands`, { ...order, key });
      const definite = answer !== null && (answer.status === 200 || (answer.status >= 400 && answer.status < 500 && answer.status !== 429));
      if (!definite) {
        this.#turn += 1;
        await pause(BETWEEN_TRIES_MS);
        continue;
      }
      if (answer.status === 200) {
        const text = typeof order['text'] === 'string' && order.command === 'note' ? order['text'] : null;
        this.#ledger.write({
          what: 'ordered',
          alarm: number,
          account: this.account,
          event: EVENT_OF[order.command] ?? order.command,
          text,
        });
      }
      return answer;
    }
    return null;
  }

  async #once(method: string, path: string, body: object): Promise<Answer | null> {
    try {
      const response = await fetch(`${this.#consoles[this.#turn % this.#consoles.length] ?? ''}${path}`, {
        method,
        headers: { 'content-type': 'application/json', ...(this.#cookie === '' ? {} : { cookie: this.#cookie }) },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
      });
      const text = await response.text();
      const set = response.headers.get('set-cookie')?.split(';')[0];
      if (set !== undefined && response.status === 200) this.#cookie = set;
      return { status: response.status, body: (text === '' ? {} : JSON.parse(text)) as Answer['body'] };
    } catch {
      return null;
    }
  }
}

interface Provisional {
  readonly device?: string;
  readonly number?: string;
}

/** A console's page on one process: opens its socket again when that ends, and knows what it was shown. */
export class Screen {
  readonly name: string;
  /** The newest of each alarm by number; closed ones go after a while. */
  readonly alarms = new Map<string, AlarmView>();
  /** When (performance.now) a device was last shown open. */
  readonly shown = new Map<string, number>();
  readonly provisional = new Map<string, Provisional>();
  readonly #url: string;
  readonly #person: Person;
  readonly #shownWithoutStore: (alarm: Provisional) => void;
  #socket: WebSocket | null = null;
  #closed = false;
  heardAt = 0;

  constructor(name: string, http: string, person: Person, shownWithoutStore: (alarm: Provisional) => void) {
    this.name = name;
    this.#url = `${http.replace(/^http/, 'ws')}/ws`;
    this.#person = person;
    this.#shownWithoutStore = shownWithoutStore;
    this.#open();
  }

  /** Open, and heard from within the last seconds. */
  get live(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN && performance.now() - this.heardAt < 5000;
  }

  /** Reads nothing any more, until `read`. */
  freeze(): void {
    this.#socket?.pause();
  }

  read(): void {
    this.#socket?.resume();
  }

  close(): void {
    this.#closed = true;
    this.#socket?.terminate();
  }

  #open(): void {
    if (this.#closed) return;
    const socket = new WebSocket(this.#url, { headers: { cookie: this.#person.cookie }, handshakeTimeout: ANSWER_WITHIN_MS });
    this.#socket = socket;
    const openedAt = performance.now();
    // As the page does: a socket on which nothing comes is opened anew.
    const watch = setInterval(() => {
      if (!socket.isPaused && performance.now() - Math.max(this.heardAt, openedAt) > 6000) socket.terminate();
    }, 500);
    socket.on('message', (data) => this.#heard(JSON.parse((data as Buffer).toString()) as Message));
    socket.on('error', () => {});
    socket.on('close', () => {
      clearInterval(watch);
      setTimeout(() => this.#open(), 200);
    });
  }

  #heard(message: Message): void {
    this.heardAt = performance.now();
    switch (message.type) {
      case 'snapshot':
        for (const alarm of message.alarms ?? []) this.#show(alarm);
        break;
      case 'alarm':
        if (message.alarm !== undefined) this.#show(message.alarm as AlarmView);
        break;
      case 'provisional':
        for (const alarm of message.alarms ?? []) this.#showWithoutStore(alarm);
        break;
      case 'provisional-alarm':
        if (message.alarm !== undefined) this.#showWithoutStore(message.alarm);
        break;
      default:
    }
  }

  #show(alarm: AlarmView): void {
    if ((this.alarms.get(alarm.number)?.version ?? 0) >= alarm.version) return;
    this.alarms.set(alarm.number, alarm);
    if (alarm.state === 'closed') setTimeout(() => this.alarms.delete(alarm.number), 30_000).unref();
    else this.shown.set(alarm.device, performance.now());
  }

  #showWithoutStore(alarm: Provisional): void {
    if (alarm.number === undefined || this.provisional.has(alarm.number)) return;
    this.provisional.set(alarm.number, alarm);
    this.#shownWithoutStore(alarm);
  }
}

interface Message {
  readonly type: string;
  readonly alarms?: AlarmView[];
  readonly alarm?: AlarmView | Provisional;
}
