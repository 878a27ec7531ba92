/** Sends `<mrs>` replies: each in a MESSAGE of its own, at most one at a time for a source and a reference. */
import type { Log } from '../../base/log.ts';
import type { Outcome } from '../sip/client-transactions.ts';
import { type SendRequest, sourceOf } from '../sip/core.ts';
import type { Flow } from '../sip/flow.ts';
import { CONTENT_TYPE, encodeReply } from './encode.ts';

/** What a reply says and whom it names. */
export interface Reply {
  readonly ref: string;
  readonly uri: string;
  readonly to: string;
  readonly from: string;
  readonly reachedAs: string;
}

export class Replies {
  readonly counts = { repliesSent: 0, repliesAcknowledged: 0, repliesUnanswered: 0 };
  readonly #log: Log;
  /** Source and reference of the replies under way; true: asked for again meanwhile. */
  readonly #underWay = new Map<string, boolean>();

  constructor(log: Log) {
    this.#log = log;
  }

  /**
   * Answers `snu 0` to a source. While the same answer is still being sent to it, a second one waits: the source may be
   * forged, and must not draw more from us than one transaction.
   */
  send(flow: Flow, reply: Reply, send: SendRequest): void {
    const key = `${sourceOf(flow)} ${reply.ref}`;
    if (this.#underWay.has(key)) {
      this.#underWay.set(key, true);
      return;
    }
    this.#underWay.set(key, false);
    this.counts.repliesSent++;
    const own = {
      method: 'MESSAGE',
      uri: reply.uri,
      from: reply.from,
      to: reply.to,
      headers: [{ name: 'content-type', value: CONTENT_TYPE }],
      body: encodeReply({ ref: reply.ref, snu: 0 }),
    };
    void send(flow, own, reply.reachedAs).then((outcome) => {
      // It has the reply, but asked once more before it said so: that question gets its answer too.
      const again = this.#underWay.get(key) === true && acknowledged(outcome);
      this.#underWay.delete(key);
      this.#count(outcome, flow);
      if (again) this.send(flow, reply, send);
    });
  }

  #count(outcome: Outcome, flow: Flow): void {
    const about = { protocol: 'scaip', source: sourceOf(flow) };
    if (acknowledged(outcome)) this.counts.repliesAcknowledged++;
    else this.counts.repliesUnanswered++;
    if (outcome.status === null && outcome.why !== 'stopped') this.#log.info('scaip-reply-unanswered', { ...about, code: outcome.why });
    if (outcome.status !== null && !acknowledged(outcome)) this.#log.info('scaip-reply-refused', { ...about, status: outcome.status });
  }
}

/** Any 2xx: there are peers that answer 202. */
const acknowledged = (outcome: Outcome): boolean => outcome.status !== null && outcome.status < 300;
