/** Sends `<mrs>` replies: each in a MESSAGE of its own, tried three times, one at a time for each unit or unknown source. */
import type { Clock, Instant, Milliseconds, Timer } from '../../base/clock.ts';
import { seconds } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Outcome } from '../sip/client-transactions.ts';
import { type SendRequest, sourceOf } from '../sip/core.ts';
import type { Flow } from '../sip/flow.ts';
import { CONTENT_TYPE } from './encode.ts';
import { type ReplyNames, addressReply } from './read.ts';

/** What is sent, and to whom. */
export interface Reply {
  readonly ref: string;
  /** The `<mrs>` as bytes. */
  readonly body: Uint8Array;
  readonly names: ReplyNames;
  /** Null for a sender that the register does not know. */
  readonly unit: { readonly name: string; readonly serial: string } | null;
  /** The flow on which the request came. */
  readonly flow: Flow;
  readonly send: SendRequest;
}

export interface RepliesParts {
  readonly clock: Clock;
  readonly log: Log;
  /** The flow of a registered unit, for when the one on which it sent is gone. */
  readonly flowOf: (unit: string) => Flow | null;
  /** Since when a unit has not acknowledged what it was sent; null: it does. Told at each acknowledgement. */
  readonly unacknowledged: (serial: string, since: Instant | null) => void;
}

/** Transactions for one reply; each is repeated as RFC 3261 has it. */
const TRIES = 3;
/** Different replies that may wait for one receiver; beyond, the oldest is left to the unit's next repeat. */
const MOST_WAITING = 32;
/** Unknown sources that replies are under way to. */
const MOST_STRANGERS = 10_000;
/** So long a reply may keep the next one waiting where a source cannot be forged or is known: its unit may need the next now. */
const PATIENCE: Milliseconds = seconds(2);
const MOST_BESIDE = 4;
/** Replies in a row without an acknowledgement, after which the unit is marked. */
const MISSES = 3;

interface Errand {
  readonly reply: Reply;
  tries: number;
  /** The same question again, while this answer is under way. */
  again: Reply | null;
  /** It has had its time alone. */
  slow: boolean;
}

/** One receiver of replies. */
interface Lane {
  readonly key: string;
  /** The source may be made up: never more than one transaction is drawn from us for it. */
  readonly forgeable: boolean;
  readonly underWay: Map<string, Errand>;
  readonly waiting: Map<string, Reply>;
  hurry: Timer | null;
}

export class Replies {
  readonly counts = { repliesSent: 0, repliesAcknowledged: 0, repliesUnanswered: 0, repliesUndelivered: 0 };
  readonly #parts: RepliesParts;
  readonly #lanes = new Map<string, Lane>();
  readonly #misses = new Map<string, { count: number; readonly since: Instant }>();
  #strangers = 0;

  constructor(parts: RepliesParts) {
    this.#parts = parts;
  }

  /** Sends a reply now, or when what is under way to the same receiver has ended; the same question meanwhile is one. */
  send(reply: Reply): void {
    const lane = this.#laneOf(reply);
    if (lane === null) {
      this.counts.repliesUndelivered++;
      return;
    }
    const same = lane.underWay.get(reply.ref);
    if (same !== undefined) {
      same.again = reply;
      return;
    }
    lane.waiting.set(reply.ref, reply);
    this.#next(lane);
    const [oldest] = lane.waiting.keys();
    if (lane.waiting.size > MOST_WAITING && oldest !== undefined) {
      lane.waiting.delete(oldest);
      this.counts.repliesUndelivered++;
    }
  }

  /** By unit and source: a unit's place cannot be taken by who only says its name, and a proxy is a source for many units. */
  #laneOf({ unit, flow }: Reply): Lane | null {
    const source = sourceOf(flow);
    const key = unit === null ? source : `${unit.name} ${source}`;
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    const forgeable = unit === null && flow.transport === 'udp';
    if (forgeable && this.#strangers >= MOST_STRANGERS) return null;
    if (forgeable) this.#strangers++;
    const lane: Lane = { key, forgeable, underWay: new Map(), waiting: new Map(), hurry: null };
    this.#lanes.set(key, lane);
    return lane;
  }

  #next(lane: Lane): void {
    for (const [ref, reply] of lane.waiting) {
      const alone = [...lane.underWay.values()].every(({ slow }) => slow);
      if (!alone || lane.underWay.size >= (lane.forgeable ? 1 : MOST_BESIDE)) break;
      lane.waiting.delete(ref);
      lane.hurry?.cancel();
      lane.hurry = null;
      const errand: Errand = { reply, tries: 0, again: null, slow: false };
      lane.underWay.set(ref, errand);
      this.counts.repliesSent++;
      const ended = (outcome: Outcome): void => this.#ended(lane, errand, outcome);
      this.#run(errand)
        .catch((error: unknown): Outcome => {
          this.#parts.log.error('scaip-reply-failed', { protocol: 'scaip', source: sourceOf(reply.flow), error });
          return { status: null, why: 'flow-gone' };
        })
        .then(ended, () => undefined);
    }
    if (lane.waiting.size > 0 && !lane.forgeable) lane.hurry ??= this.#parts.clock.after(PATIENCE, () => this.#hurry(lane));
    if (lane.waiting.size > 0 || lane.underWay.size > 0) return;
    this.#lanes.delete(lane.key);
    if (lane.forgeable) this.#strangers--;
  }

  /** A unit that does not acknowledge one reply gets the next one all the same. */
  #hurry(lane: Lane): void {
    lane.hurry = null;
    for (const errand of lane.underWay.values()) errand.slow = true;
    this.#next(lane);
  }

  async #run(errand: Errand): Promise<Outcome> {
    const { reply } = errand;
    for (;;) {
      const flow = this.#flowFor(reply);
      if (flow === null) return { status: null, why: 'flow-gone' };
      errand.tries++;
      const own = {
        method: 'MESSAGE',
        ...addressReply(reply.names, flow),
        headers: [{ name: 'content-type', value: CONTENT_TYPE }],
        body: reply.body,
      };
      const outcome = await reply.send(flow, own, reply.names.reachedAs);
      const again = outcome.status === null && (outcome.why === 'no-answer' || outcome.why === 'flow-gone') && errand.tries < TRIES;
      if (!again) return outcome;
    }
  }

  /** The flow on which the request came; when it is gone, the one on which the unit registered. */
  #flowFor({ flow, unit }: Reply): Flow | null {
    if (flow.open) return flow;
    const bound = unit === null ? null : this.#parts.flowOf(unit.name);
    return bound?.open === true ? bound : null;
  }

  #ended(lane: Lane, { reply, again }: Errand, outcome: Outcome): void {
    lane.underWay.delete(reply.ref);
    this.#count(reply, outcome);
    // It has the reply, but asked once more before it said so: that question gets its answer too.
    if (again !== null && acknowledged(outcome)) lane.waiting.set(again.ref, again);
    this.#next(lane);
  }

  #count({ flow, unit }: Reply, outcome: Outcome): void {
    const { log, unacknowledged } = this.#parts;
    const about = { protocol: 'scaip', source: sourceOf(flow) };
    if (acknowledged(outcome)) {
      this.counts.repliesAcknowledged++;
      if (unit !== null) {
        this.#misses.delete(unit.serial);
        unacknowledged(unit.serial, null);
      }
      return;
    }
    if (outcome.status === null && outcome.why === 'flow-gone') this.counts.repliesUndelivered++;
    else this.counts.repliesUnanswered++;
    if (outcome.status !== null) log.info('scaip-reply-refused', { ...about, status: outcome.status });
    else if (outcome.why !== 'stopped') log.info('scaip-reply-unanswered', { ...about, code: outcome.why });
    const missed = outcome.status !== null || outcome.why === 'no-answer' || outcome.why === 'flow-gone';
    if (unit !== null && missed) this.#missed(unit.serial);
  }

  #missed(serial: string): void {
    const { clock, unacknowledged } = this.#parts;
    const misses = this.#misses.get(serial) ?? { count: 0, since: clock.now() };
    misses.count++;
    this.#misses.set(serial, misses);
    if (misses.count === MISSES) unacknowledged(serial, misses.since);
  }
}

/** Any 2xx: there are peers that answer 202. */
const acknowledged = (outcome: Outcome): boolean => outcome.status !== null && outcome.status < 300;
