/** Our own requests: retransmitted over UDP until answered, given up after 64 × T1 (RFC 3261 § 17.1.2). */
import type { Clock, Milliseconds, Timer } from '../../base/clock.ts';
import type { Random } from '../../base/ids.ts';
import { parseVia } from './address.ts';
import type { Flow } from './flow.ts';
import { type SipHeader, type SipResponse, header } from './message.ts';
import { parseCSeq } from './parse.ts';
import { serialise } from './write.ts';

const T1 = 500;
const T2 = 4000;
const TIMER_F = 64 * T1;
/** T4: how long the final answer may come again over UDP. */
const TIMER_K = 5000;
/** Beyond this many at once (a flood of forged sources) requests are sent once and not watched. */
const MAX_UNDER_WAY = 20_000;

/** A request of ours; Via, Call-ID, CSeq and Max-Forwards are added. */
export interface OwnRequest {
  readonly method: string;
  readonly uri: string;
  /** From (without tag), To and what else is needed. */
  readonly from: string;
  readonly to: string;
  readonly headers: readonly SipHeader[];
  readonly body: Uint8Array;
}

/** How it ended: the status of the final answer, or why there is none. */
export type Outcome =
  | { readonly status: number }
  | { readonly status: null; readonly why: 'no-answer' | 'flow-gone' | 'not-watched' | 'stopped' };

interface Transaction {
  readonly flow: Flow;
  readonly method: string;
  readonly bytes: Uint8Array;
  readonly end: (outcome: Outcome) => void;
  interval: number;
  retransmit: Timer | null;
  giveUp: Timer | null;
}

export class ClientTransactions {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #byBranch = new Map<string, Transaction>();
  /** Branches with their final answer over UDP, until timer K; in the order of ending, which is the order of expiry. */
  readonly #ended = new Map<string, Milliseconds>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  get underWay(): number {
    return this.#byBranch.size;
  }

  /** Sends a request on a flow and waits for the final answer. @param sentBy our host and port for the Via */
  request(flow: Flow, sentBy: string, own: OwnRequest): Promise<Outcome> {
    if (!flow.open) return Promise.resolve({ status: null, why: 'flow-gone' });
    const branch = `z9hG4bK${this.#hex(12)}`;
    const bytes = serialise({
      startLine: `${own.method} ${own.uri} SIP/2.0`,
      headers: [
        { name: 'via', value: `SIP/2.0/${flow.transport.toUpperCase()} ${sentBy};branch=${branch};rport` },
        { name: 'max-forwards', value: '70' },
        { name: 'from', value: `${own.from};tag=${this.#hex(8)}` },
        { name: 'to', value: own.to },
        { name: 'call-id', value: this.#hex(16) },
        { name: 'cseq', value: `1 ${own.method}` },
        ...own.headers,
      ],
      body: own.body,
    });
    flow.send(bytes);
    if (this.#byBranch.size >= MAX_UNDER_WAY) return Promise.resolve({ status: null, why: 'not-watched' });
    return new Promise((end) =>
      this.#start(branch, { flow, method: own.method, bytes, end, interval: T1, retransmit: null, giveUp: null }),
    );
  }

  /** Takes a response, matched by branch and method (§ 17.1.3); false when it belongs to no request of ours. */
  receive(response: SipResponse): boolean {
    const branch = parseVia(header(response, 'via') ?? '')?.branch ?? '';
    const transaction = this.#byBranch.get(branch);
    if (transaction === undefined) return (this.#ended.get(branch) ?? 0) > this.#clock.monotonic();
    if (parseCSeq(header(response, 'cseq') ?? '')?.method !== transaction.method) return false;
    // A provisional answer slows retransmission down to T2 (§ 17.1.2.2, Proceeding).
    if (response.status < 200) transaction.interval = T2;
    else {
      this.#end(branch, { status: response.status });
      if (transaction.flow.transport === 'udp') this.#remember(branch);
    }
    return true;
  }

  /** The connection is gone: what was under way on it ends now. */
  flowGone(flow: Flow): void {
    for (const [branch, transaction] of this.#byBranch) {
      if (transaction.flow === flow) this.#end(branch, { status: null, why: 'flow-gone' });
    }
  }

  stop(): void {
    for (const branch of this.#byBranch.keys()) this.#end(branch, { status: null, why: 'stopped' });
  }

  #start(branch: string, transaction: Transaction): void {
    this.#byBranch.set(branch, transaction);
    transaction.giveUp = this.#clock.after(TIMER_F, () => this.#end(branch, { status: null, why: 'no-answer' }));
    if (transaction.flow.transport === 'udp') this.#retransmitLater(transaction);
  }

  #retransmitLater(transaction: Transaction): void {
    transaction.retransmit = this.#clock.after(transaction.interval, () => {
      transaction.flow.send(transaction.bytes);
      transaction.interval = Math.min(transaction.interval * 2, T2);
      this.#retransmitLater(transaction);
    });
  }

  #end(branch: string, outcome: Outcome): void {
    const transaction = this.#byBranch.get(branch);
    if (transaction === undefined) return;
    this.#byBranch.delete(branch);
    transaction.retransmit?.cancel();
    transaction.giveUp?.cancel();
    transaction.end(outcome);
  }

  /** Answers that come again belong to somebody (timer K). */
  #remember(branch: string): void {
    const now = this.#clock.monotonic();
    for (const [old, until] of this.#ended) {
      if (until > now && this.#ended.size < MAX_UNDER_WAY) break;
      this.#ended.delete(old);
    }
    this.#ended.set(branch, now + TIMER_K);
  }

  #hex(size: number): string {
    return Buffer.from(this.#random(size)).toString('hex');
  }
}
