/** Requests whose answer somebody else decides (MESSAGE, REGISTER): handed on once, answered in time whatever happens. */
import { type Clock, type Milliseconds, type Timer, seconds } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { sourceOf } from './address.ts';
import type { Flow } from './flow.ts';
import type { SipRequest } from './message.ts';
import { ServerTransactions, type TransactionLimits, transactionKey } from './server-transactions.ts';
import { type Answer, UNAVAILABLE } from './write.ts';

/** The answer to a MESSAGE; `afterwards` runs once the answer has been sent. */
export interface MessageAnswer extends Answer {
  readonly afterwards?: () => void;
}

/** CARU's gateway waits 20 s for an answer: later than this a 503 goes out and the device repeats. */
const ANSWER_WITHIN: Milliseconds = seconds(20);

interface ExchangeParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: TransactionLimits;
  /** Answers on a stream leave in the order of the requests; otherwise none waits for another. */
  readonly inOrder: boolean;
  readonly write: (request: SipRequest, answer: Answer, flow: Flow) => Uint8Array;
  /** Log events for an answer that is late and for a handler that failed. */
  readonly events: { readonly late: string; readonly failed: string };
  /** Nothing waits for its answer any more. */
  readonly settled: () => void;
}

export class Exchange {
  readonly #parts: ExchangeParts;
  readonly #transactions: ServerTransactions;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
    this.#transactions = new ServerTransactions(parts.clock, parts.limits);
  }

  /** Requests that wait for their answer. */
  get pending(): number {
    return this.#transactions.pending;
  }

  /**
   * Has a new request decided and answered, repeats the answer of an old one; `full`: nothing was done, there is too
   * much in hand, or `open` is false.
   */
  receive(request: SipRequest, flow: Flow, open: boolean, decide: () => Promise<MessageAnswer>): 'new' | 'again' | 'full' {
    const key = transactionKey(request, flow);
    const admission = this.#transactions.admit(key, open);
    if (admission === 'new') this.#handle(request, flow, key, decide);
    if (admission === 'new' || admission === 'full') return admission;
    if (admission !== 'under-way') flow.send(admission.answer);
    else if (flow.transport !== 'udp') this.#transactions.alsoReply(key, this.#replyAgainTo(flow));
    return 'again';
  }

  #replyTo(flow: Flow): (bytes: Uint8Array, after?: () => void) => void {
    if (this.#parts.inOrder) return flow.answers.reserve();
    return (bytes, after) => {
      flow.send(bytes);
      after?.();
    };
  }

  /** One request that comes again and again takes no room of its own: it has to slow down the connection that it comes on. */
  #replyAgainTo(flow: Flow): (bytes: Uint8Array) => void {
    return this.#parts.inOrder ? flow.answers.reserve() : flow.answers.reserveBeside();
  }

  #handle(request: SipRequest, flow: Flow, key: string, decide: () => Promise<MessageAnswer>): void {
    const { clock, log, write, events, settled } = this.#parts;
    const reply = this.#replyTo(flow);
    let late: Timer | null = null;
    let answered = false;
    const finish = (answer: MessageAnswer): void => {
      if (answered) return;
      answered = true;
      late?.cancel();
      const bytes = write(request, answer, flow);
      // First the one that came first: behind the last of the others a connection may end.
      reply(bytes, answer.afterwards);
      this.#transactions.answered(key, answer.status, bytes, flow);
      if (this.#transactions.pending === 0) settled();
    };
    late = clock.after(ANSWER_WITHIN, () => {
      log.warn(events.late, { protocol: 'sip', source: sourceOf(flow) });
      finish(UNAVAILABLE);
    });
    // An async function: what `decide` throws at once is a rejection too.
    const decided = (async () => decide())();
    decided.then(finish).catch((error: unknown) => {
      log.error(events.failed, { protocol: 'sip', source: sourceOf(flow), error });
      finish(UNAVAILABLE);
    });
  }
}
