/** A device's SIP side: sends MESSAGE with the timers of RFC 3261 § 17.1.2 and answers what the centre sends back. */
import type { Clock, Milliseconds, Timer } from '../../src/base/clock.ts';
import type { SeededRandom } from '../random.ts';
import { authorization } from './digest.ts';
import { SipWire, type Reply, type SipPlace } from './sip-places.ts';
import { exchangeOf, header, writeAnswer, writeSip, type SipText } from './sip-text.ts';

/** How one MESSAGE ended on the SIP level. */
export type SipOutcome =
  | { readonly kind: 'answered'; readonly status: number }
  | { readonly kind: 'timeout' }
  | { readonly kind: 'unreachable'; readonly code: string }
  | { readonly kind: 'given-up' };

/** RFC 3261 table 4: T1, T2, and timer F = 64 × T1. */
export interface SipTimers {
  readonly t1: Milliseconds;
  readonly t2: Milliseconds;
  readonly answerWithin: Milliseconds;
}
export const SIP_TIMERS: SipTimers = { t1: 500, t2: 4000, answerWithin: 32_000 };

/** What of a vendor's SIP stack a receiver can see. */
export interface SipHabits {
  /** From user; null for a stack that has none. */
  readonly fromUser: string | null;
  /** Some stacks use one tag for ever, some none. */
  readonly fromTag: string | null | 'fresh';
  /** Some stacks never change the branch. */
  readonly branch: string | 'fresh';
  readonly userAgent: string;
}

export interface SipSenderOptions {
  readonly habits: SipHabits;
  /** Request-URI and To user at the receiver. */
  readonly toUser: string;
  readonly password?: string;
  readonly timers?: SipTimers;
  readonly clock: Clock;
  readonly random: SeededRandom;
  /** A MESSAGE of the centre, once (its retransmissions are answered but not told). */
  readonly onMessage: (body: string) => void;
}

interface Exchange {
  readonly place: SipPlace;
  /** Told once the receiver has said 1xx: it is at work, so the device repeats only every T2. */
  proceeding: boolean;
  settle(outcome: SipOutcome, answer?: SipText): void;
}

/** Devices sit behind routers and write the address that they know, which no receiver can reach. */
const PRIVATE_HOST = '192.168.10.20';
const REMEMBERED = 64;

export class SipSender {
  readonly #options: SipSenderOptions;
  readonly #timers: SipTimers;
  readonly #wire: SipWire;
  readonly #open = new Map<string, Exchange>();
  readonly #answered: string[] = [];
  #cseq: number;
  /** How many requests went out, retransmissions counted. */
  sent = 0;

  constructor(options: SipSenderOptions) {
    this.#options = options;
    this.#timers = options.timers ?? SIP_TIMERS;
    this.#cseq = options.random.whole(1, 9999);
    this.#wire = new SipWire({
      arrived: (message, reply) => this.#arrived(message, reply),
      broken: (place) => this.#broken(place),
    });
  }

  /**
   * Sends `body` as one MESSAGE transaction and resolves with how it ended; never rejects.
   * When `enough` is aborted, waiting and retransmitting end (`given-up`).
   */
  async message(place: SipPlace, body: string, contentType = 'application/scaip+xml', enough?: AbortSignal): Promise<SipOutcome> {
    const callId = `${this.#fresh(16)}@${PRIVATE_HOST}`;
    const first = await this.#transaction(place, callId, body, contentType, [], enough);
    const { password, habits } = this.#options;
    if (first.answer === undefined || password === undefined) return first.outcome;
    const challenge = header(first.answer, 'www-authenticate') || header(first.answer, 'proxy-authenticate');
    const proof = authorization(challenge, habits.fromUser ?? '', password, this.#uri(place), this.#fresh(8));
    if (proof === null) return first.outcome;
    const name = first.answer.status === 407 ? 'Proxy-Authorization' : 'Authorization';
    return (await this.#transaction(place, callId, body, contentType, [[name, proof]], enough)).outcome;
  }

  /** The cable is out: nothing arrives either way until `restoreLink`. */
  cutLink(): void {
    this.#wire.cut();
  }

  restoreLink(): void {
    this.#wire.restore();
  }

  async close(): Promise<void> {
    for (const exchange of [...this.#open.values()]) exchange.settle({ kind: 'given-up' });
    await this.#wire.close();
  }

  #transaction(
    place: SipPlace,
    callId: string,
    body: string,
    contentType: string,
    extra: readonly (readonly [string, string])[],
    enough: AbortSignal | undefined,
  ): Promise<{ outcome: SipOutcome; answer?: SipText }> {
    const { clock } = this.#options;
    const { t1, t2, answerWithin } = this.#timers;
    const cseq = ++this.#cseq;
    const bytes = this.#request(place, callId, cseq, body, contentType, extra);
    const key = `${callId} ${cseq}`;
    return new Promise((resolve) => {
      let timerE: Timer | null = null;
      let over = false;
      const timerF = clock.after(answerWithin, () => exchange.settle({ kind: 'timeout' }));
      const giveUp = (): void => exchange.settle({ kind: 'given-up' });
      const exchange: Exchange = {
        place,
        proceeding: false,
        settle: (outcome, answer) => {
          if (over) return;
          over = true;
          timerE?.cancel();
          timerF.cancel();
          enough?.removeEventListener('abort', giveUp);
          this.#open.delete(key);
          resolve(answer === undefined ? { outcome } : { outcome, answer });
        },
      };
      const send = async (): Promise<void> => {
        this.sent++;
        const failed = await this.#wire.send(bytes, place);
        if (failed !== null) exchange.settle({ kind: 'unreachable', code: failed });
      };
      const again = (wait: Milliseconds): void => {
        timerE = clock.after(wait, () => {
          void send();
          again(exchange.proceeding ? t2 : Math.min(2 * wait, t2));
        });
      };
      this.#open.set(key, exchange);
      if (enough?.aborted === true) return giveUp();
      enough?.addEventListener('abort', giveUp);
      void send();
      if (place.transport === 'udp') again(t1);
    });
  }

  #arrived(message: SipText, reply: Reply): void {
    if (message.status !== null) {
      const exchange = this.#open.get(exchangeOf(message));
      if (exchange === undefined) return;
      if (message.status < 200) exchange.proceeding = true;
      else if (message.status === 401 || message.status === 407) exchange.settle({ kind: 'answered', status: message.status }, message);
      else exchange.settle({ kind: 'answered', status: message.status });
      return;
    }
    const tag = this.#fresh(8);
    if (message.method === 'ACK') return;
    if (message.method !== 'MESSAGE' && message.method !== 'OPTIONS') return reply(writeAnswer(message, 405, 'Method Not Allowed', tag));
    reply(writeAnswer(message, 200, 'OK', tag));
    if (message.method === 'OPTIONS' || this.#answered.includes(exchangeOf(message))) return;
    this.#answered.push(exchangeOf(message));
    if (this.#answered.length > REMEMBERED) this.#answered.shift();
    this.#options.onMessage(message.body);
  }

  #broken(place: SipPlace): void {
    for (const exchange of [...this.#open.values()]) {
      if (exchange.place.transport === 'tcp' && exchange.place.host === place.host && exchange.place.port === place.port) {
        exchange.settle({ kind: 'unreachable', code: 'ECONNRESET' });
      }
    }
  }

  #request(
    place: SipPlace,
    callId: string,
    cseq: number,
    body: string,
    contentType: string,
    extra: readonly (readonly [string, string])[],
  ): Buffer {
    const { habits } = this.#options;
    const branch = habits.branch === 'fresh' ? `z9hG4bK-${this.#fresh(12)}` : habits.branch;
    const fromTag = habits.fromTag === 'fresh' ? this.#fresh(8) : habits.fromTag;
    const fromUri = habits.fromUser === null ? `sip:${PRIVATE_HOST}` : `sip:${habits.fromUser}@${place.host}`;
    return writeSip(
      `MESSAGE ${this.#uri(place)} SIP/2.0`,
      [
        ['Via', `SIP/2.0/${place.transport.toUpperCase()} ${PRIVATE_HOST}:5060;branch=${branch};rport`],
        ['Max-Forwards', '70'],
        ['From', `<${fromUri}>${fromTag === null ? '' : `;tag=${fromTag}`}`],
        ['To', `<${this.#uri(place)}>`],
        ['Call-ID', callId],
        ['CSeq', `${cseq} MESSAGE`],
        ['User-Agent', habits.userAgent],
        ...extra,
        ['Content-Type', contentType],
      ],
      body,
    );
  }

  #uri(place: SipPlace): string {
    const host = place.host.includes(':') ? `[${place.host}]` : place.host;
    return `sip:${this.#options.toUser}@${host}:${place.port}`;
  }

  #fresh(length: number): string {
    return this.#options.random.text('0123456789abcdef', length);
  }
}
