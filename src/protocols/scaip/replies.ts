/** Sends `<mrs>` replies: each in a MESSAGE of its own, tried three times, one at a time for each unit or source that may be forged. */
import type { Clock, Milliseconds, Timer } from '../../base/clock.ts';
import { seconds } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Outcome } from '../sip/client-transactions.ts';
import { type SendRequest, sourceOf } from '../sip/core.ts';
import type { Flow } from '../sip/flow.ts';
import { type AcknowledgementParts, Acknowledgements, type RepliedUnit, acknowledged } from './acknowledgements.ts';
import { CONTENT_TYPE } from './encode.ts';
import { type ReplyNames, addressReply } from './read.ts';

/** What is sent, and to whom. */
export interface Reply {
  readonly ref: string;
  /** The `<mrs>` as bytes. */
  readonly body: Uint8Array;
  readonly names: ReplyNames;
  /** Null for a sender that the register does not know. */
  readonly unit: RepliedUnit | null;
  /** The flow on which the request came. */
  readonly flow: Flow;
  readonly send: SendRequest;
}

export interface RepliesParts extends AcknowledgementParts {
  readonly clock: Clock;
  readonly log: Log;
  /** The flow of a registered unit, for when the one on which it sent is gone. */
  readonly flowOf: (unit: string) => Flow | null;
}

/** Transactions for one reply; each is repeated as RFC 3261 has it. */
const TRIES = 3;
/** Different replies that may wait for one unit at one source; beyond, the oldest is left to the unit's next repeat. */
const MOST_WAITING = 32;
/** The same for a source that may be forged: it can be a proxy in front of many units. */
const MOST_WAITING_UNPROVEN = 128;
/** Sources that may be forged and have replies under way; beyond, each reply is one packet. */
const MOST_UNPROVEN = 10_000;
/** So long a reply may keep the next one waiting: its unit may need the next now. */
const PATIENCE: Milliseconds = seconds(2);
const MOST_BESIDE = 4;

interface Errand {
  readonly reply: Reply;
  lane: Lane;
  tries: number;
  /** The same question again, while this answer is under way. */
  again: Reply | null;
  /** It has had its time alone. */
  slow: boolean;
  /** It is not repeated any more, only listened for: another has its turn at a source that may be forged. */
  muted: boolean;
}

/** One receiver of replies. */
interface Lane {
  readonly key: string;
  /** `once`: as unproven, but there are too many of those. */
  readonly kind: 'proven' | 'unproven' | 'once';
  readonly underWay: Map<string, Errand>;
  readonly waiting: Map<string, Reply>;
  hurry: Timer | null;
}

export class Replies {
  readonly counts = { repliesSent: 0, repliesAcknowledged: 0, repliesUnanswered: 0, repliesUndelivered: 0 };
  readonly #parts: RepliesParts;
  readonly #acknowledgements: Acknowledgements;
  /** Of units at sources that are known to receive, and of strangers there. */
  readonly #lanes = new Map<string, Lane>();
  /** By UDP source, of those that have not acknowledged anything yet: the source may be made up, whatever unit it names. */
  readonly #unproven = new Map<string, Lane>();

  constructor(parts: RepliesParts) {
    this.#parts = parts;
    this.#acknowledgements = new Acknowledgements(parts);
  }

  /** Sends a reply now, or when what is under way to the same receiver has ended; the same question while its answer is repeated is one. */
  send(reply: Reply): void {
    const lane = this.#laneOf(reply);
    const same = lane.underWay.get(keyOf(reply));
    if (same !== undefined && !same.muted) {
      same.again = reply;
      return;
    }
    lane.waiting.set(keyOf(reply), reply);
    this.#next(lane);
    const [oldest] = lane.waiting.keys();
    if (lane.waiting.size <= (lane.kind === 'proven' ? MOST_WAITING : MOST_WAITING_UNPROVEN) || oldest === undefined) return;
    lane.waiting.delete(oldest);
    this.counts.repliesUndelivered++;
  }

  /** By unit and source: a unit's place cannot be taken by who only says its name, and a proxy is a source for many units. */
  #laneOf({ unit, flow }: Reply): Lane {
    const source = sourceOf(flow);
    const proven = this.#acknowledgements.receives(flow);
    const lanes = proven ? this.#lanes : this.#unproven;
    const key = proven && unit !== null ? `${unit.name} ${source}` : source;
    const known = lanes.get(key);
    if (known !== undefined) return known;
    const kind = proven ? 'proven' : lanes.size < MOST_UNPROVEN ? 'unproven' : 'once';
    const lane: Lane = { key, kind, underWay: new Map(), waiting: new Map(), hurry: null };
    if (kind !== 'once') lanes.set(key, lane);
    return lane;
  }

  #next(lane: Lane): void {
    for (const [key, reply] of lane.waiting) {
      const alone = [...lane.underWay.values()].every(({ slow }) => slow);
      if (!alone || (lane.kind === 'proven' && lane.underWay.size >= MOST_BESIDE)) break;
      lane.waiting.delete(key);
      lane.hurry?.cancel();
      lane.hurry = null;
      this.#begin({ reply, lane, tries: 0, again: null, slow: false, muted: false });
    }
    if (lane.waiting.size > 0) lane.hurry ??= this.#parts.clock.after(PATIENCE, () => this.#hurry(lane));
    if (lane.waiting.size > 0 || lane.underWay.size > 0) return;
    const lanes = lane.kind === 'proven' ? this.#lanes : this.#unproven;
    if (lanes.get(lane.key) === lane) lanes.delete(lane.key);
  }

  #begin(errand: Errand): void {
    const { reply, lane } = errand;
    lane.underWay.set(keyOf(reply), errand);
    this.counts.repliesSent++;
    const ended = (outcome: Outcome): void => this.#ended(errand, outcome);
    this.#run(errand)
      .catch((error: unknown): Outcome => {
        this.#parts.log.error('scaip-reply-failed', { protocol: 'scaip', source: sourceOf(reply.flow), error });
        return { status: null, why: 'flow-gone' };
      })
      .then(ended, () => undefined);
  }

  /** A unit that does not acknowledge one reply gets the next one all the same; where it may be forged, instead of the first. */
  #hurry(lane: Lane): void {
    lane.hurry = null;
    for (const errand of lane.underWay.values()) {
      errand.slow = true;
      if (lane.kind === 'unproven') errand.muted = true;
    }
    this.#next(lane);
  }

  async #run(errand: Errand): Promise<Outcome> {
    const { reply } = errand;
    const flow = mutable(errand);
    for (;;) {
      errand.tries++;
      const own = {
        method: 'MESSAGE',
        ...addressReply(reply.names, flow),
        headers: [{ name: 'content-type', value: CONTENT_TYPE }],
        body: reply.body,
      };
      const outcome = await reply.send(flow, own, reply.names.reachedAs);
      const again = outcome.status === null && outcome.why === 'no-answer' && errand.tries < TRIES && !errand.muted;
      if (!again) return outcome;
    }
  }

  /** The flow on which the unit registered, when the one on which the request came is gone. */
  #otherFlow({ flow, unit }: Reply): Flow | null {
    const bound = unit === null || flow.open ? null : this.#parts.flowOf(unit.name);
    return bound?.open === true ? bound : null;
  }

  #ended(errand: Errand, outcome: Outcome): void {
    const { reply, again } = errand;
    const { underWay } = errand.lane;
    if (underWay.get(keyOf(reply)) === errand) underWay.delete(keyOf(reply));
    const other = outcome.status === null && outcome.why === 'flow-gone' ? this.#otherFlow(reply) : null;
    if (other === null) this.#count(errand, outcome);
    if (acknowledged(outcome)) this.#proved(sourceOf(reply.flow));
    this.#next(errand.lane);
    // It goes where that source's own replies go: a registration does not prove that its source receives.
    if (other !== null) this.send({ ...(again ?? reply), flow: other });
    // It has the reply, but asked once more before it said so: that question gets its answer too.
    else if (again !== null && acknowledged(outcome)) this.send(again);
  }

  /** A source has shown that it receives: what waited for that goes each its unit's way, what was muted is repeated again. */
  #proved(source: string): void {
    const lane = this.#unproven.get(source);
    if (lane === undefined) return;
    this.#unproven.delete(source);
    lane.hurry?.cancel();
    for (const [key, errand] of lane.underWay) {
      errand.lane = this.#laneOf(errand.reply);
      errand.lane.underWay.set(key, errand);
      errand.slow = true;
      errand.muted = false;
    }
    const waiting = [...lane.waiting];
    lane.waiting.clear();
    for (const [key, reply] of waiting) {
      const own = this.#laneOf(reply);
      own.waiting.set(key, reply);
      this.#next(own);
    }
  }

  #count({ reply: { flow, unit }, muted }: Errand, outcome: Outcome): void {
    const about = { protocol: 'scaip', source: sourceOf(flow) };
    if (acknowledged(outcome)) {
      this.counts.repliesAcknowledged++;
      this.#acknowledgements.heard(flow, unit);
      return;
    }
    if (outcome.status === null && outcome.why === 'flow-gone') this.counts.repliesUndelivered++;
    else this.counts.repliesUnanswered++;
    if (outcome.status !== null) this.#parts.log.info('scaip-reply-refused', { ...about, status: outcome.status });
    else if (outcome.why !== 'stopped') this.#parts.log.info('scaip-reply-unanswered', { ...about, code: outcome.why });
    const missed = outcome.status !== null || outcome.why === 'flow-gone' || (outcome.why === 'no-answer' && !muted);
    if (unit !== null && missed) this.#acknowledgements.missed(flow, unit);
  }
}

const keyOf = ({ unit, ref }: Reply): string => (unit === null ? ref : `${unit.name} ${ref}`);

/** The flow of a reply, silent while that is muted. A connection is itself: it is found again when it is gone. */
function mutable(errand: Errand): Flow {
  const { flow } = errand.reply;
  if (flow.transport !== 'udp') return flow;
  const { transport, remote, local, answers } = flow;
  return {
    ...{ transport, remote, local, answers },
    get open() {
      return flow.open;
    },
    send(bytes) {
      if (!errand.muted) flow.send(bytes);
      if (errand.lane.kind === 'once') errand.muted = true;
    },
  };
}
