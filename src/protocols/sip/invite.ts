/** INVITE: a device that calls is refused, until it says that it has heard (RFC 3261 § 17.2.1). No call is accepted, so there are no dialogs. */
import { type Clock, type Milliseconds, type Timer, seconds } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { sourceOf } from './address.ts';
import { NO_ANSWER_TO_CALL } from './answers.ts';
import type { Flow } from './flow.ts';
import { type SipRequest, header } from './message.ts';
import { credentialsOf, inviteKey } from './server-transactions.ts';
import type { Answer } from './write.ts';

/** How a call is refused: a final answer from 300 on (480, 486, 403). */
export interface CallAnswer extends Answer {
  /** Over UDP it is not repeated by itself: who may have forged its source shall not draw a dozen packets there. */
  readonly once?: boolean;
}
export type HandleCall = (request: SipRequest, flow: Flow) => Promise<CallAnswer>;

const T1: Milliseconds = 500;
const T2: Milliseconds = 4000;
const TIMER_H: Milliseconds = 64 * T1;
/** T4: how long further ACKs may come over UDP. */
const TIMER_I: Milliseconds = 5000;
/** A device that calls should soon try elsewhere. */
const DECIDE_WITHIN: Milliseconds = seconds(5);
export const MAX_CALLS = 1000;

const TRYING: Answer = { status: 100, reason: 'Trying' };
const TERMINATED: Answer = { status: 487, reason: 'Request Terminated' };
const OK: Answer = { status: 200, reason: 'OK' };

interface Call {
  readonly key: string;
  readonly request: SipRequest;
  readonly flow: Flow;
  /** `proceeding`: 100 sent. `completed`: refused, waiting for the ACK. `confirmed`: the ACK is there. */
  state: 'proceeding' | 'completed' | 'confirmed';
  /** The last answer; a repeated INVITE gets it again. */
  last: Uint8Array;
  /** What ends this state: the decision is late, timer H, timer I. */
  end: Timer | null;
  /** Timer G. */
  resend: Timer | null;
}

interface InviteParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly handle: HandleCall;
  readonly tag: (request: SipRequest) => string;
  readonly write: (request: SipRequest, answer: Answer, flow: Flow, tag: string | null) => Uint8Array;
  /** No call waits for its decision any more. */
  readonly settled: () => void;
}

export class InviteTransactions {
  readonly #parts: InviteParts;
  readonly #calls = new Map<string, Call>();
  #undecided = 0;

  constructor(parts: InviteParts) {
    this.#parts = parts;
  }

  /** Calls that wait for their decision. */
  get undecided(): number {
    return this.#undecided;
  }

  /** Answers 100 at once and asks the handler; `full`: nothing was done, all room is taken by calls without a decision. */
  receive(request: SipRequest, flow: Flow, open: boolean): 'new' | 'again' | 'full' {
    const key = inviteKey(request, flow);
    const before = this.#calls.get(key);
    if (before !== undefined && before.state !== 'proceeding' && credentialsOf(request) !== credentialsOf(before.request)) {
      // The answer to our 401, from a device that counts its CSeq no further.
      this.#drop(before);
    } else if (before !== undefined) {
      if (before.state !== 'confirmed') flow.send(before.last);
      return 'again';
    }
    if (!open || !this.#hasRoom()) return 'full';
    const timestamp = header(request, 'timestamp');
    // § 8.2.6.1: a 100 carries the Timestamp back.
    const trying = timestamp === null ? TRYING : { ...TRYING, headers: [{ name: 'timestamp', value: timestamp }] };
    const last = this.#parts.write(request, trying, flow, null);
    const call: Call = { key, request, flow, state: 'proceeding', last, end: null, resend: null };
    this.#calls.set(key, call);
    this.#undecided++;
    flow.send(last);
    this.#decide(call);
    return 'new';
  }

  /** Answers a CANCEL 200, and 487 to its INVITE when that has no final answer yet; false when there is no such INVITE. */
  cancel(request: SipRequest, flow: Flow): boolean {
    const { write, tag } = this.#parts;
    const call = this.#calls.get(inviteKey(request, flow));
    if (call === undefined) return false;
    flow.send(write(request, OK, flow, tag(call.request)));
    this.#refuse(call, TERMINATED);
    return true;
  }

  /** Takes an ACK; one for nothing is passed over. */
  acknowledge(request: SipRequest, flow: Flow): void {
    const call = this.#calls.get(inviteKey(request, flow));
    if (call === undefined || call.state !== 'completed') return;
    call.state = 'confirmed';
    call.resend?.cancel();
    call.end?.cancel();
    if (flow.transport === 'udp') call.end = this.#parts.clock.after(TIMER_I, () => this.#drop(call));
    else this.#drop(call);
  }

  flowGone(flow: Flow): void {
    for (const call of this.#calls.values()) if (call.flow === flow) this.#drop(call);
  }

  stop(): void {
    for (const call of this.#calls.values()) this.#drop(call);
  }

  #decide(call: Call): void {
    const { clock, log, handle } = this.#parts;
    const about = { protocol: 'sip', source: sourceOf(call.flow) };
    call.end = clock.after(DECIDE_WITHIN, () => {
      log.warn('sip-call-late', about);
      this.#refuse(call, NO_ANSWER_TO_CALL);
    });
    const decided = (async () => handle(call.request, call.flow))();
    decided
      .then((answer) => {
        // There is no voice path: whatever was meant by it, a 2xx would promise one.
        if (answer.status < 300) throw new Error(`a call cannot be answered ${answer.status}`);
        this.#refuse(call, answer);
      })
      .catch((error: unknown) => {
        log.error('sip-call-failed', { ...about, error });
        this.#refuse(call, NO_ANSWER_TO_CALL);
      });
  }

  /** The final answer, unless there is one: repeated over UDP, if not meant for once, until the ACK comes (G), for 64 × T1 at most (H). */
  #refuse(call: Call, answer: CallAnswer): void {
    if (call.state !== 'proceeding' || this.#calls.get(call.key) !== call) return;
    const { clock, write, tag } = this.#parts;
    call.state = 'completed';
    call.end?.cancel();
    call.last = write(call.request, answer, call.flow, tag(call.request));
    call.flow.send(call.last);
    call.end = clock.after(TIMER_H, () => this.#drop(call));
    if (call.flow.transport === 'udp' && answer.once !== true) this.#resendAfter(call, T1);
    this.#decided();
  }

  #resendAfter(call: Call, interval: Milliseconds): void {
    call.resend = this.#parts.clock.after(interval, () => {
      call.flow.send(call.last);
      this.#resendAfter(call, Math.min(interval * 2, T2));
    });
  }

  #drop(call: Call): void {
    if (this.#calls.get(call.key) !== call) return;
    this.#calls.delete(call.key);
    call.resend?.cancel();
    call.end?.cancel();
    if (call.state === 'proceeding') this.#decided();
  }

  #decided(): void {
    this.#undecided--;
    if (this.#undecided === 0) this.#parts.settled();
  }

  /** Makes room at the cost of the oldest that has been answered: all it loses is that its answer is repeated. */
  #hasRoom(): boolean {
    if (this.#calls.size < MAX_CALLS) return true;
    for (const call of this.#calls.values()) {
      if (call.state === 'proceeding') continue;
      this.#drop(call);
      return true;
    }
    return false;
  }
}
