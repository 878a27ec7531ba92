/** What the centre does with SIP messages, whatever socket they came from: who handles them, order, counters. */
import type { Clock } from '../../base/clock.ts';
import type { Random } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { parseNameAddress, parseUri, uriHost } from './address.ts';
import { FAULT_ANSWERS, NO_SUCH_CALL, allow, answerByMethod, refuseExtensions } from './answers.ts';
import { ClientTransactions, type Outcome, type OwnRequest } from './client-transactions.ts';
import { Exchange, type MessageAnswer } from './exchange.ts';
import type { Flow } from './flow.ts';
import { type HandleCall, InviteTransactions } from './invite.ts';
import { type Framed, type MalformedRequest, type SipHeader, type SipRequest, header } from './message.ts';
import { MESSAGE_LIMITS, REGISTER_LIMITS } from './server-transactions.ts';
import { type Answer, UNAVAILABLE, answerTag, writeAnswer } from './write.ts';

export { sourceOf } from './address.ts';
export { FAULT_ANSWERS, answerByMethod } from './answers.ts';
export type { MessageAnswer } from './exchange.ts';

/** What one listener has seen; grows for ever, for the technicians' page and the metrics. */
export interface ListenerCounters {
  /** MESSAGE requests that were handed on. */
  messages: number;
  /** REGISTER requests that were handed on. */
  registers: number;
  /** INVITE requests that were handed on. */
  calls: number;
  retransmissions: number;
  /** Other requests: OPTIONS, ACK, CANCEL, and what was refused without asking anyone. */
  otherRequests: number;
  malformed: number;
  /** Refused because too much was in hand. */
  overload: number;
  /** Responses that belong to nothing. */
  strayResponses: number;
  keepalives: number;
  /** Bytes that are not SIP, and datagrams that hold none. */
  noiseBytes: number;
  noiseDatagrams: number;
  /** Open now; those turned away or ended for room. 0 on UDP. */
  connections: number;
  connectionsEnded: number;
}

export const noCounts = (): ListenerCounters => ({
  messages: 0,
  registers: 0,
  calls: 0,
  retransmissions: 0,
  otherRequests: 0,
  malformed: 0,
  overload: 0,
  strayResponses: 0,
  keepalives: 0,
  noiseBytes: 0,
  noiseDatagrams: 0,
  connections: 0,
  connectionsEnded: 0,
});

/** Sends a request of ours to the source of a flow; `reachedAs`: the URI by which that source reached us. */
export type SendRequest = (flow: Flow, own: OwnRequest, reachedAs: string) => Promise<Outcome>;
/** Handles a MESSAGE; nothing is answered before its promise resolves. */
export type HandleMessage = (request: SipRequest, flow: Flow, send: SendRequest) => Promise<MessageAnswer>;
/** Handles a REGISTER; nothing is answered before its promise resolves. */
export type HandleRegister = (request: SipRequest, flow: Flow) => Promise<Answer>;

export interface CoreOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly handle: HandleMessage;
  /** Without it REGISTER gets 405. */
  readonly register?: HandleRegister | undefined;
  /** Without it INVITE gets 480. */
  readonly call?: HandleCall | undefined;
  /** The body types that OPTIONS names. */
  readonly accepts: string;
}

export class SipCore {
  readonly #options: CoreOptions;
  readonly #tagSecret: Uint8Array;
  readonly #allow: SipHeader;
  readonly #messages: Exchange;
  readonly #registers: Exchange;
  readonly #calls: InviteTransactions | null;
  readonly #client: ClientTransactions;
  readonly #idle: (() => void)[] = [];
  readonly #send: SendRequest = (flow, own, reachedAs) => this.#request(flow, own, reachedAs);
  #draining = false;

  constructor(options: CoreOptions) {
    const { clock, log, random, register, call } = options;
    this.#options = options;
    this.#tagSecret = random(16);
    this.#allow = allow({ register: register !== undefined, call: call !== undefined });
    const write = (request: SipRequest, answer: Answer, flow: Flow): Uint8Array => this.#write(request, answer, flow);
    const settled = (): void => this.#settled();
    this.#messages = new Exchange({
      ...{ clock, log, write, settled, limits: MESSAGE_LIMITS, inOrder: true },
      events: { late: 'sip-answer-late', failed: 'sip-message-failed' },
    });
    // No order here: an alarm's answer does not wait for a registration that is slow to be kept.
    this.#registers = new Exchange({
      ...{ clock, log, write, settled, limits: REGISTER_LIMITS, inOrder: false },
      events: { late: 'sip-registration-late', failed: 'sip-registration-failed' },
    });
    this.#calls =
      call === undefined
        ? null
        : new InviteTransactions({
            ...{ clock, log, settled, handle: call },
            tag: (request) => answerTag(this.#tagSecret, request),
            write: (request, answer, flow, tag) => this.#write(request, answer, flow, tag),
          });
    this.#client = new ClientTransactions(clock, random);
  }

  /** Takes what a listener framed; returns true when the flow is to be closed behind its answers. */
  receive(framed: Framed, flow: Flow, counters: ListenerCounters): boolean {
    switch (framed.type) {
      case 'request':
        this.#receiveRequest(framed, flow, counters);
        return false;
      case 'response':
        if (!this.#client.receive(framed)) counters.strayResponses++;
        return false;
      case 'malformed':
        counters.malformed++;
        if (framed.method !== 'ACK') this.#answer(framed, FAULT_ANSWERS[framed.fault], flow);
        return framed.fatal;
      case 'ping':
        counters.keepalives++;
        return false;
      case 'noise':
        return false;
    }
  }

  flowGone(flow: Flow): void {
    this.#client.flowGone(flow);
    this.#calls?.flowGone(flow);
  }

  /** From now on new requests are refused with 503; what is in hand goes on. */
  drain(): void {
    this.#draining = true;
  }

  /** Resolves when no request waits for its answer. */
  idle(): Promise<void> {
    if (this.pending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Requests that wait for their answer. */
  get pending(): number {
    return this.#messages.pending + this.#registers.pending + (this.#calls?.undecided ?? 0);
  }

  stop(): void {
    this.#draining = true;
    this.#client.stop();
    this.#calls?.stop();
  }

  #settled(): void {
    if (this.pending === 0) for (const resolve of this.#idle.splice(0)) resolve();
  }

  /**
   * Sends a request of ours to the source of `flow`. Where we listen on every address, the Via names us as that source
   * did in `reachedAs`, the URI of its request.
   */
  #request(flow: Flow, own: OwnRequest, reachedAs: string): Promise<Outcome> {
    const { address, port } = flow.local;
    const everywhere = address === '0.0.0.0' || address === '::';
    const host = (everywhere ? hostOf(reachedAs) : null) ?? uriHost(address);
    return this.#client.request(flow, `${host}:${port}`, own);
  }

  #receiveRequest(request: SipRequest, flow: Flow, counters: ListenerCounters): void {
    const { handle, register } = this.#options;
    const { method } = request;
    const calls = this.#calls;
    const open = !this.#draining;
    const taken = (as: 'messages' | 'registers' | 'calls', admission: 'new' | 'again' | 'full'): void => {
      counters[admission === 'new' ? as : admission === 'again' ? 'retransmissions' : 'overload']++;
      if (admission === 'full') this.#answer(request, UNAVAILABLE, flow);
    };
    // An alarm counts more than the extensions that it asks for: Require is not looked at.
    if (method === 'MESSAGE') {
      taken(
        'messages',
        this.#messages.receive(request, flow, open, () => handle(request, flow, this.#send)),
      );
      return;
    }
    const refusal = refuseAtOnce(request);
    if (method === 'REGISTER' && refusal === null && register !== undefined) {
      taken(
        'registers',
        this.#registers.receive(request, flow, open, () => register(request, flow)),
      );
      return;
    }
    if (method === 'INVITE' && refusal === null && calls !== null) {
      taken('calls', calls.receive(request, flow, open));
      return;
    }
    counters.otherRequests++;
    if (method === 'ACK') calls?.acknowledge(request, flow);
    else if (method !== 'CANCEL' || calls === null || !calls.cancel(request, flow)) {
      const answer = refusal ?? this.#answerAtOnce(method);
      if (answer !== null) this.#answer(request, answer, flow);
    }
  }

  #answerAtOnce(method: string): Answer | null {
    if (method !== 'OPTIONS') return answerByMethod(method, this.#allow);
    return { status: 200, reason: 'OK', headers: [this.#allow, { name: 'accept', value: this.#options.accepts }] };
  }

  /** Without memory: the same request gets the same bytes (RFC 3261 § 8.2.7). */
  #answer(request: SipRequest | MalformedRequest, answer: Answer, flow: Flow): void {
    flow.answers.reserve()(this.#write(request, answer, flow));
  }

  #write(
    request: SipRequest | MalformedRequest,
    answer: Answer,
    flow: Flow,
    tag: string | null = answerTag(this.#tagSecret, request),
  ): Uint8Array {
    return writeAnswer(request, answer, { source: flow.remote, tag });
  }
}

/** What is wrong with a request before anyone is asked: extensions that we lack, a dialog that is not ours. */
function refuseAtOnce(request: SipRequest): Answer | null {
  const { method } = request;
  if (method !== 'INVITE' && method !== 'REGISTER' && method !== 'OPTIONS') return null;
  const refusal = refuseExtensions(request);
  if (refusal !== null || method !== 'INVITE') return refusal;
  return parseNameAddress(header(request, 'to') ?? '').tag === null ? null : NO_SUCH_CALL;
}

/** The host of a URI without its port; null when it cannot be written into a Via. */
function hostOf(uri: string): string | null {
  const hostPort = parseUri(uri)?.hostPort ?? '';
  return /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::\d{1,5})?$/i.exec(hostPort)?.[1] ?? null;
}
