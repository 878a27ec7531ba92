/** What the centre does with SIP messages, whatever socket they came from: answers, transactions, order, counters. */
import { type Clock, type Timer, type Milliseconds, seconds } from '../../base/clock.ts';
import type { Random } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { parseUri, uriHost } from './address.ts';
import { ClientTransactions, type Outcome, type OwnRequest } from './client-transactions.ts';
import type { Flow } from './flow.ts';
import type { Framed, HeadFault, MalformedRequest, SipHeader, SipRequest } from './message.ts';
import { ServerTransactions, transactionKey } from './server-transactions.ts';
import { type Answer, UNAVAILABLE, answerTag, writeAnswer } from './write.ts';

export { RETRY_AFTER } from './write.ts';

/** What one listener has seen; grows for ever, for the technicians' page and the metrics. */
export interface ListenerCounters {
  /** MESSAGE requests that were handed on. */
  messages: number;
  retransmissions: number;
  /** Other requests: OPTIONS, and what was refused by method. */
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

/** The answer to a MESSAGE; `afterwards` runs once the answer has been sent. */
export interface MessageAnswer extends Answer {
  readonly afterwards?: () => void;
}
/** Sends a request of ours to the source of a flow; `reachedAs`: the URI by which that source reached us. */
export type SendRequest = (flow: Flow, own: OwnRequest, reachedAs: string) => Promise<Outcome>;
/** Handles a MESSAGE; nothing is answered before its promise resolves. */
export type HandleMessage = (request: SipRequest, flow: Flow, send: SendRequest) => Promise<MessageAnswer>;

export interface CoreOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  readonly handle: HandleMessage;
  /** The body types that OPTIONS names. */
  readonly accepts: string;
}

/** CARU's gateway waits 20 s for an answer: later than this a 503 goes out and the device repeats. */
const ANSWER_WITHIN: Milliseconds = seconds(20);
const ALLOW: SipHeader = { name: 'allow', value: 'MESSAGE, OPTIONS' };

/** The answer to a head that cannot be worked with. */
export const FAULT_ANSWERS: Readonly<Record<HeadFault, Answer>> = {
  'missing-via': { status: 400, reason: 'Missing Via' },
  'missing-from': { status: 400, reason: 'Missing From' },
  'missing-to': { status: 400, reason: 'Missing To' },
  'missing-call-id': { status: 400, reason: 'Missing Call-ID' },
  'missing-cseq': { status: 400, reason: 'Missing CSeq' },
  'bad-cseq': { status: 400, reason: 'Bad CSeq' },
  'bad-content-length': { status: 400, reason: 'Bad Content-Length' },
  'unterminated-head': { status: 400, reason: 'Unterminated Header' },
  'too-many-headers': { status: 400, reason: 'Too Many Headers' },
  'head-too-large': { status: 513, reason: 'Message Too Large' },
  'wrong-version': { status: 505, reason: 'Version Not Supported' },
};

/** The answer to a request that is neither MESSAGE nor OPTIONS; null: none (ACK is never answered). */
export function answerByMethod(method: string): Answer | null {
  if (method === 'ACK') return null;
  if (method === 'INVITE') return { status: 480, reason: 'Temporarily Unavailable' };
  if (method === 'BYE' || method === 'CANCEL') return { status: 481, reason: 'Call/Transaction Does Not Exist' };
  return { status: 405, reason: 'Method Not Allowed', headers: [ALLOW] };
}

export class SipCore {
  readonly #options: CoreOptions;
  readonly #tagSecret: Uint8Array;
  readonly #server: ServerTransactions;
  readonly #client: ClientTransactions;
  readonly #idle: (() => void)[] = [];
  #draining = false;

  constructor(options: CoreOptions) {
    this.#options = options;
    this.#tagSecret = options.random(16);
    this.#server = new ServerTransactions(options.clock);
    this.#client = new ClientTransactions(options.clock, options.random);
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

  flowGone(flow: Flow): void {
    this.#client.flowGone(flow);
  }

  /** From now on new MESSAGEs are refused with 503; what is in hand goes on. */
  drain(): void {
    this.#draining = true;
  }

  /** Resolves when no MESSAGE waits for its answer. */
  idle(): Promise<void> {
    if (this.#server.pending === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** MESSAGEs that wait for their answer. */
  get pending(): number {
    return this.#server.pending;
  }

  stop(): void {
    this.#draining = true;
    this.#client.stop();
  }

  #receiveRequest(request: SipRequest, flow: Flow, counters: ListenerCounters): void {
    if (request.method === 'MESSAGE') {
      this.#receiveMessage(request, flow, counters);
      return;
    }
    counters.otherRequests++;
    const answer =
      request.method === 'OPTIONS'
        ? { status: 200, reason: 'OK', headers: [ALLOW, { name: 'accept', value: this.#options.accepts }] }
        : answerByMethod(request.method);
    if (answer !== null) this.#answer(request, answer, flow);
  }

  #receiveMessage(request: SipRequest, flow: Flow, counters: ListenerCounters): void {
    const key = transactionKey(request, flow);
    const admission = this.#server.admit(key, !this.#draining);
    if (admission === 'new') {
      counters.messages++;
      this.#handle(request, flow, key);
    } else if (admission === 'full') {
      counters.overload++;
      this.#answer(request, UNAVAILABLE, flow);
    } else {
      counters.retransmissions++;
      if (admission !== 'under-way') flow.send(admission.answer);
      else if (flow.transport !== 'udp') this.#server.alsoReply(key, flow.answers.reserve());
    }
  }

  #handle(request: SipRequest, flow: Flow, key: string): void {
    const { clock, log, handle } = this.#options;
    const reply = flow.answers.reserve();
    let late: Timer | null = null;
    let answered = false;
    const finish = (answer: MessageAnswer): void => {
      if (answered) return;
      answered = true;
      late?.cancel();
      const bytes = this.#write(request, answer, flow);
      this.#server.answered(key, bytes, flow);
      reply(bytes, answer.afterwards);
      if (this.#server.pending === 0) for (const resolve of this.#idle.splice(0)) resolve();
    };
    late = clock.after(ANSWER_WITHIN, () => {
      log.warn('sip-answer-late', { protocol: 'sip', source: sourceOf(flow) });
      finish(UNAVAILABLE);
    });
    const failed = (error: unknown): void => {
      log.error('sip-message-failed', { protocol: 'sip', source: sourceOf(flow), error });
      finish(UNAVAILABLE);
    };
    const send: SendRequest = (to, own, reachedAs) => this.#request(to, own, reachedAs);
    handle(request, flow, send).then(finish).catch(failed);
  }

  #answer(request: SipRequest | MalformedRequest, answer: Answer, flow: Flow): void {
    flow.answers.reserve()(this.#write(request, answer, flow));
  }

  #write(request: SipRequest | MalformedRequest, answer: Answer, flow: Flow): Uint8Array {
    return writeAnswer(request, answer, { source: flow.remote, tag: answerTag(this.#tagSecret, request) });
  }
}

/** A source for the log: `udp:192.0.2.7:5060`. */
export const sourceOf = (flow: Flow): string => `${flow.transport}:${uriHost(flow.remote.address)}:${flow.remote.port}`;

/** The host of a URI without its port; null when it cannot be written into a Via. */
function hostOf(uri: string): string | null {
  const hostPort = parseUri(uri)?.hostPort ?? '';
  return /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9.-]{1,253})(?::\d{1,5})?$/i.exec(hostPort)?.[1] ?? null;
}
