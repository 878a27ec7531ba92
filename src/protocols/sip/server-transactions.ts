/** Remembers requests and their answers, so that a retransmission gets the same answer and no second alarm (RFC 3261 § 17.2). */
import { createHash } from 'node:crypto';
import type { Clock, Instant } from '../../base/clock.ts';
import { parseNameAddress, parseVia } from './address.ts';
import type { Flow } from './flow.ts';
import { type SipRequest, header } from './message.ts';
import { parseCSeq } from './parse.ts';

/** Timer J, 64 × T1: how long an answer over UDP is repeated (RFC 3261 § 17.2.2; streams need none). */
export const TIMER_J = 32_000;

/** How many requests may wait for their answer, and how many answers are remembered. */
export interface TransactionLimits {
  readonly pending: number;
  readonly answered: number;
}
export const MESSAGE_LIMITS: TransactionLimits = { pending: 10_000, answered: 50_000 };
/** Room of its own: however many REGISTER come, MESSAGE has its room. */
export const REGISTER_LIMITS: TransactionLimits = { pending: 1000, answered: 5000 };

/**
 * The key of a request: method, sent-by, branch, Call-ID, CSeq number, From tag; and beyond RFC 3261 § 17.2.3 the source,
 * the body and the credentials. Devices send constant branches, tags and perhaps Call-IDs, and answer a 401 under the same
 * CSeq; behind NATs many have the same sent-by: a match by mistake would swallow an alarm, a miss costs a duplicate that
 * intake recognises.
 */
export function transactionKey(request: SipRequest, flow: Flow): string {
  return hashed([request.method, ...keyParts(request, flow), credentialsOf(request)], request.body);
}

/** The credentials of a request, all of them as they came. */
export function credentialsOf({ headers }: SipRequest): string {
  return headers
    .filter(({ name }) => name === 'authorization' || name === 'proxy-authorization')
    .map(({ value }) => value)
    .join('\n');
}

/** The key that an INVITE shares with its ACK and its CANCEL (RFC 3261 § 9.2, 17.2.3). */
export function inviteKey(request: SipRequest, flow: Flow): string {
  return hashed(keyParts(request, flow), NO_BODY);
}

const NO_BODY = new Uint8Array(0);
type KeyPart = string | number | null | undefined;

function keyParts(request: SipRequest, flow: Flow): KeyPart[] {
  const via = parseVia(header(request, 'via') ?? '');
  return [
    via?.sentBy,
    via?.branch,
    header(request, 'call-id'),
    parseCSeq(header(request, 'cseq') ?? '')?.number,
    parseNameAddress(header(request, 'from') ?? '').tag,
    flow.transport,
    flow.remote.address,
    flow.remote.port,
  ];
}

const hashed = (parts: readonly KeyPart[], body: Uint8Array): string =>
  createHash('sha256').update(JSON.stringify(parts)).update(body).digest('base64url');

/** What is to be done with a request: handle it, wait for the answer under way, repeat the answer, or refuse for too much in hand. */
export type Admission = 'new' | 'under-way' | 'full' | { readonly answer: Uint8Array };
type Reply = (bytes: Uint8Array) => void;

interface Answered {
  readonly bytes: Uint8Array;
  readonly until: Instant;
}

export class ServerTransactions {
  readonly #clock: Clock;
  readonly #limits: TransactionLimits;
  /** With the replies of those that came again over a stream, where each request gets its answer. */
  readonly #pending = new Map<string, Reply[]>();
  /** In the order of answering, which is the order of expiry. */
  readonly #answered = new Map<string, Answered>();

  constructor(clock: Clock, limits: TransactionLimits) {
    this.#clock = clock;
    this.#limits = limits;
  }

  /** Requests that wait for their answer. */
  get pending(): number {
    return this.#pending.size;
  }

  /** Looks a request up, and takes a new one in while `open`. */
  admit(key: string, open: boolean): Admission {
    this.#expire();
    if (this.#pending.has(key)) return 'under-way';
    const answered = this.#answered.get(key);
    if (answered !== undefined) return { answer: answered.bytes };
    if (!open || this.#pending.size >= this.#limits.pending) return 'full';
    this.#pending.set(key, []);
    return 'new';
  }

  /** One more reply for a request that is under way. */
  alsoReply(key: string, reply: Reply): void {
    this.#pending.get(key)?.push(reply);
  }

  /**
   * The answer is there; over UDP it is kept for timer J, the oldest going first when there are too many. A failure of
   * ours (5xx) is not: repeating the request is harmless, and the next try may go well.
   */
  answered(key: string, status: number, bytes: Uint8Array, flow: Flow): void {
    for (const reply of this.#pending.get(key) ?? []) reply(bytes);
    this.#pending.delete(key);
    if (flow.transport !== 'udp' || (status >= 500 && status < 600)) return;
    this.#answered.set(key, { bytes, until: this.#clock.monotonic() + TIMER_J });
    const oldest = this.#answered.keys().next();
    if (this.#answered.size > this.#limits.answered && !oldest.done) this.#answered.delete(oldest.value);
  }

  #expire(): void {
    const now = this.#clock.monotonic();
    for (const [key, { until }] of this.#answered) {
      if (until > now) return;
      this.#answered.delete(key);
    }
  }
}
