/** Who acknowledges replies: which UDP sources can receive, hence are not forged, and which units never say that they got one. */
import { type Clock, type Instant, type Milliseconds, minutes } from '../../base/clock.ts';
import type { Outcome } from '../sip/client-transactions.ts';
import { sourceOf } from '../sip/core.ts';
import type { Flow } from '../sip/flow.ts';

/** A unit of the register, as a reply to it needs it. */
export interface RepliedUnit {
  readonly name: string;
  readonly serial: string;
  /** Its message came with valid credentials. */
  readonly authenticated: boolean;
}

/** So long a source that has acknowledged a reply counts as one that receives. */
const RECEIVES_FOR: Milliseconds = minutes(60);
/** Sources that are remembered; beyond, who has not acknowledged for longest is forgotten. */
const MOST_SOURCES = 50_000;
/** So long a unit is believed to be where it last acknowledged: two of the longest heartbeats. */
const BELONGS_FOR: Milliseconds = minutes(2 * 24 * 60);
/** Replies in a row without an acknowledgement, after which the unit is marked. */
const MISSES = 3;

export interface AcknowledgementParts {
  readonly clock: Clock;
  /** Since when a unit has not acknowledged what it was sent; null: it does. Told at each acknowledgement. */
  readonly unacknowledged: (serial: string, since: Instant | null) => void;
}

/** Any 2xx: there are peers that answer 202. */
export const acknowledged = (outcome: Outcome): boolean => outcome.status !== null && outcome.status < 300;

export class Acknowledgements {
  readonly #parts: AcknowledgementParts;
  /** UDP sources and when they last acknowledged, the longest ago first. */
  readonly #sources = new Map<string, Milliseconds>();
  /** By serial: from which address each unit last acknowledged. */
  readonly #heard = new Map<string, { readonly address: string; readonly at: Milliseconds }>();
  /** By serial; `address` is null in a row that credentials vouch for. */
  readonly #misses = new Map<string, { readonly address: string | null; count: number; readonly since: Instant }>();

  constructor(parts: AcknowledgementParts) {
    this.#parts = parts;
  }

  /** Whether what is at the other end is known to receive what it is sent: a connection, or a source that has acknowledged lately. */
  receives(flow: Flow): boolean {
    if (flow.transport !== 'udp') return true;
    const at = this.#sources.get(sourceOf(flow));
    return at !== undefined && this.#parts.clock.monotonic() - at < RECEIVES_FOR;
  }

  /** A reply was acknowledged on this flow. */
  heard(flow: Flow, unit: RepliedUnit | null): void {
    const at = this.#parts.clock.monotonic();
    if (flow.transport === 'udp') {
      const source = sourceOf(flow);
      this.#sources.delete(source);
      this.#sources.set(source, at);
      const [longest] = this.#sources.keys();
      if (this.#sources.size > MOST_SOURCES && longest !== undefined) this.#sources.delete(longest);
    }
    if (unit === null) return;
    this.#heard.set(unit.serial, { address: flow.remote.address, at });
    this.#misses.delete(unit.serial);
    this.#parts.unacknowledged(unit.serial, null);
  }

  /** A reply had all its tries in vain. Who only says the name of a unit that is elsewhere cannot get it marked. */
  missed(flow: Flow, { serial, authenticated }: RepliedUnit): void {
    const { clock, unacknowledged } = this.#parts;
    const { address } = flow.remote;
    const heard = this.#heard.get(serial);
    const isElsewhere = heard !== undefined && heard.address !== address && clock.monotonic() - heard.at < BELONGS_FOR;
    if (!authenticated && isElsewhere) return;
    const vouched = authenticated ? null : address;
    const before = this.#misses.get(serial);
    const row = before?.address === vouched ? before : { address: vouched, count: 0, since: clock.now() };
    row.count++;
    this.#misses.set(serial, row);
    if (row.count === MISSES) unacknowledged(serial, row.since);
  }
}
