/** A synthetic operator or responder: a client of the console over HTTP and WebSocket, as a browser is one. */
import { request as overHttp } from 'node:http';
import { request as overHttps } from 'node:https';
import { TLSSocket } from 'node:tls';
import { WebSocket } from 'ws';
import type { TimelineView, AlarmView } from '../alarms/view.ts';
import { type Clock, fromIso } from '../base/clock.ts';
import { systemCode } from '../base/errors.ts';
import { CanaryFault } from './canary-course.ts';

interface Waiting {
  readonly holds: (alarm: AlarmView) => boolean;
  readonly found: (alarm: AlarmView) => void;
  readonly lost: (fault: CanaryFault) => void;
}

/**
 * The centre's own certificate names the address that people type, while this goes to each node's own: it is not compared.
 * What this could be robbed of is a session that sees nobody's alarms. That it has run out is told, for people are refused then.
 */
const UNCOMPARED = { rejectUnauthorized: false };

export class SyntheticPerson {
  readonly #base: string;
  readonly #cookie: string;
  readonly #clock: Clock;
  readonly #socket: WebSocket;
  readonly #alarms = new Map<string, AlarmView>();
  readonly #waiting = new Set<Waiting>();
  #fault: CanaryFault | null = null;

  /** @param base `http://host:port` or `https://…` of a console */
  private constructor(base: string, token: string, clock: Clock, begun: (fault: CanaryFault | null) => void) {
    this.#base = base.replace(/\/$/, '');
    this.#cookie = `session=${token}`;
    this.#clock = clock;
    this.#socket = new WebSocket(`${this.#base.replace(/^http/, 'ws')}/ws`, { headers: { cookie: this.#cookie }, ...UNCOMPARED });
    this.#socket.on('message', (data: Buffer) => {
      if (this.#told(data)) begun(null);
    });
    this.#socket.on('upgrade', ({ socket }) => {
      const expired = expiry(socket, clock);
      if (expired !== null) this.#ended(expired, begun);
    });
    this.#socket.on('unexpected-response', (_request, { statusCode }) => this.#ended(new CanaryFault(`http-${statusCode ?? 0}`), begun));
    this.#socket.on('error', (error) => this.#ended(new CanaryFault(systemCode(error) ?? 'socket-failed'), begun));
    this.#socket.on('close', (code) => this.#ended(new CanaryFault(`socket-closed-${code}`), begun));
  }

  /** Opens the live socket; resolves with the first picture. `gone` is given the person at once, to be closed whatever happens. */
  static enter(base: string, token: string, clock: Clock, made: (person: SyntheticPerson) => void): Promise<SyntheticPerson> {
    return new Promise((resolve, reject) => {
      const person: SyntheticPerson = new SyntheticPerson(base, token, clock, (fault) => {
        if (fault === null) resolve(person);
        else reject(fault);
      });
      made(person);
    });
  }

  /** What the screen shows of that device. */
  of(device: string): readonly AlarmView[] {
    return [...this.#alarms.values()].filter((alarm) => alarm.device === device);
  }

  /** Resolves when the screen shows such an alarm; over the live socket only. @throws CanaryFault when the socket ends */
  sees(holds: (alarm: AlarmView) => boolean): Promise<AlarmView> {
    const there = [...this.#alarms.values()].find((alarm) => holds(alarm));
    if (there !== undefined) return Promise.resolve(there);
    if (this.#fault !== null) return Promise.reject(this.#fault);
    return new Promise((found, lost) => this.#waiting.add({ holds, found, lost }));
  }

  /** @throws CanaryFault with the refusal's code */
  async orders(number: string, command: string, more: Readonly<Record<string, unknown>> = {}): Promise<AlarmView> {
    return (await this.#asked('POST', `/api/v1/alarms/${number}/commands`, { command, ...more })) as AlarmView;
  }

  /** What is open, as the list has it. */
  async board(): Promise<readonly AlarmView[]> {
    return ((await this.#asked('GET', '/api/v1/alarms?state=open')) as { alarms: AlarmView[] }).alarms;
  }

  async timeline(number: string): Promise<readonly TimelineView[]> {
    return ((await this.#asked('GET', `/api/v1/alarms/${number}`)) as { timeline: TimelineView[] }).timeline;
  }

  leave(): void {
    this.#fault ??= new CanaryFault('left');
    this.#socket.terminate();
  }

  /** @returns true for the first picture */
  #told(data: Buffer): boolean {
    const message = JSON.parse(data.toString('utf8')) as { type: string; alarms?: AlarmView[]; alarm?: AlarmView; number?: string };
    if (message.type === 'snapshot') this.#alarms.clear();
    if (message.type === 'gone') this.#alarms.delete(message.number ?? '');
    const news = message.type === 'snapshot' ? (message.alarms ?? []) : message.type === 'alarm' && message.alarm ? [message.alarm] : [];
    for (const alarm of news) {
      if (alarm.version > (this.#alarms.get(alarm.number)?.version ?? 0)) this.#alarms.set(alarm.number, alarm);
      for (const one of this.#waiting) {
        if (!one.holds(alarm)) continue;
        this.#waiting.delete(one);
        one.found(alarm);
      }
    }
    return message.type === 'snapshot';
  }

  #ended(fault: CanaryFault, begun: (fault: CanaryFault) => void): void {
    this.#fault ??= fault;
    for (const { lost } of this.#waiting) lost(this.#fault);
    this.#waiting.clear();
    begun(this.#fault);
    this.#socket.terminate();
  }

  #asked(method: 'GET' | 'POST', path: string, body?: object): Promise<unknown> {
    const url = new URL(this.#base + path);
    const headers = { cookie: this.#cookie, ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    return new Promise((resolve, reject) => {
      const options = { method, headers, agent: false, ...(url.protocol === 'https:' ? UNCOMPARED : {}) };
      const asking = (url.protocol === 'https:' ? overHttps : overHttp)(url, options, (response) => {
        const chunks: Buffer[] = [];
        const expired = expiry(response.socket, this.#clock);
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const answer = read(Buffer.concat(chunks));
          const { statusCode = 0 } = response;
          if (expired !== null) reject(expired);
          else if (statusCode === 200) resolve(answer);
          else reject(new CanaryFault(codeOf(answer) ?? `http-${statusCode}`));
        });
      });
      asking.on('error', reject);
      asking.end(body === undefined ? undefined : JSON.stringify(body));
    });
  }
}

function read(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return null;
  }
}

const codeOf = (answer: unknown): string | null =>
  typeof answer === 'object' && answer !== null && 'code' in answer && typeof answer.code === 'string' ? answer.code : null;

function expiry(socket: unknown, clock: Clock): CanaryFault | null {
  if (!(socket instanceof TLSSocket)) return null;
  const endsAt = fromIso(socket.getPeerCertificate().valid_to);
  return endsAt !== null && endsAt < clock.now() ? new CanaryFault('certificate-expired') : null;
}
