/** The open alarms as one console process holds them in memory: what its sockets have been told, and in which version. */
import type { Milliseconds } from '../base/clock.ts';
import { type Instant, fromIso } from '../base/clock.ts';
import type { AlarmPriority } from '../alarms/signal.ts';
import type { AlarmView } from '../alarms/view.ts';
import { type Sighting, type Viewer, scopeOf, sightOf } from '../people/access.ts';
import { type BoardCounts, TECHNICAL_SHOWN } from './board.ts';
import type { Checksum } from './feed-checksum.ts';

/** One alarm: what decides who sees it and in which order, and its view written once for all. */
export interface Held {
  readonly number: string;
  readonly version: number;
  readonly sighting: Sighting;
  readonly open: boolean;
  readonly openedAt: Instant;
  /** The AlarmView as JSON. */
  readonly json: string;
  /** Came from PostgreSQL and not (yet) over the feed: a console that resumes would not find it there. */
  readonly ahead: boolean;
}

export interface Picture {
  readonly alarms: readonly Held[];
  readonly counts: BoardCounts;
  readonly complete: boolean;
}

/** How long a closed alarm's version is remembered, so that a late, older change does not bring it back. */
const CLOSED_KEPT: Milliseconds = 10 * 60_000;
const CLOSED_KEPT_AT_MOST = 20_000;

const RANK: Readonly<Record<AlarmPriority, number>> = { life: 0, urgent: 1, care: 2, technical: 3 };

/** Most urgent first, then oldest; equal instants by number, which rises. */
const byUrgency = (a: Held, b: Held): number =>
  RANK[a.sighting.priority] - RANK[b.sighting.priority] || a.openedAt - b.openedAt || Number(a.number) - Number(b.number);

export function heldOf(view: AlarmView, ahead: boolean, json = JSON.stringify(view)): Held {
  const closedAt = view.closedAt === null ? null : fromIso(view.closedAt);
  const { municipality, priority, asked, responder } = view;
  return {
    number: view.number,
    version: view.version,
    sighting: { municipality, priority, asked, responder, closedAt },
    open: view.closedAt === null,
    openedAt: fromIso(view.openedAt) ?? 0,
    json,
    ahead,
  };
}

/** The same for two viewers exactly when they see the same open alarms: what is worked out for one serves the other. */
export function scopeKey(viewer: Viewer): string {
  const { municipalities, everything, technical, askedAccount } = scopeOf(viewer, 0);
  const where = municipalities === null ? '*' : municipalities.toSorted().join(',');
  return everything ? `${where}|all` : `${where}|${technical ? 'technical' : ''}|${askedAccount ?? ''}`;
}

export class Replica {
  readonly #open = new Map<string, Held>();
  readonly #closed = new Map<string, { readonly held: Held | null; readonly version: number; readonly at: Instant }>();
  #revision = 0;

  /** Rises with every change. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#open.size;
  }

  /** The version that is held of an open or lately closed alarm; 0 when there is none. */
  version(number: string): number {
    return this.#open.get(number)?.version ?? this.#closed.get(number)?.version ?? 0;
  }

  openNumbers(): Iterable<string> {
    return this.#open.keys();
  }

  /** Takes everything that is open anew, and the versions of what was closed lately. */
  replace(open: Iterable<Held>, closed: Iterable<{ readonly number: string; readonly version: number }>, now: Instant): void {
    this.#revision += 1;
    this.#open.clear();
    for (const held of open) this.#open.set(held.number, held);
    for (const { number, version } of closed) this.#rememberClosed(number, version, null, now);
    this.#forget(now);
  }

  /**
   * Takes one change in. Null: that version or a later one is held. Else what was held before (`before` null: nothing),
   * from which each viewer's message follows.
   */
  apply(next: Held, now: Instant): { readonly before: Held | null } | null {
    if (next.version <= this.version(next.number)) {
      if (!next.ahead) this.#cameOverTheFeed(next);
      return null;
    }
    this.#revision += 1;
    const before = this.#open.get(next.number) ?? this.#closed.get(next.number)?.held ?? null;
    if (next.open) {
      this.#open.set(next.number, next);
      this.#closed.delete(next.number);
    } else {
      this.#open.delete(next.number);
      this.#rememberClosed(next.number, next.version, next, now);
    }
    return { before };
  }

  /** What a viewer sees now: all life, urgent and care alarms, the first 200 technical ones, and counts. */
  picture(viewer: Viewer, now: Instant): Picture {
    const seen = this.#seen(viewer, now).sort(byUrgency);
    const counts = { life: 0, urgent: 0, care: 0, technical: 0 };
    for (const held of seen) counts[held.sighting.priority] += 1;
    // The technical ones are the last.
    const alarms = seen.slice(0, seen.length - counts.technical + Math.min(counts.technical, TECHNICAL_SHOWN));
    return { alarms, counts, complete: alarms.length === seen.length };
  }

  sums(viewer: Viewer, now: Instant): { readonly checksum: Checksum; readonly counts: BoardCounts } {
    const counts = { life: 0, urgent: 0, care: 0, technical: 0 };
    let versions = 0;
    let technicalVersions = 0;
    const seen = this.#seen(viewer, now);
    for (const held of seen) {
      counts[held.sighting.priority] += 1;
      versions += held.version;
      if (held.sighting.priority === 'technical') technicalVersions += held.version;
    }
    const needs = { count: seen.length - counts.technical, versions: versions - technicalVersions };
    return { checksum: { count: seen.length, versions, needs }, counts };
  }

  /** Alarms whose newest version went out without the feed. */
  aheadOfFeed(): Held[] {
    const ahead: Held[] = [];
    for (const held of this.#open.values()) if (held.ahead) ahead.push(held);
    for (const { held } of this.#closed.values()) if (held?.ahead === true) ahead.push(held);
    return ahead;
  }

  #seen(viewer: Viewer, now: Instant): Held[] {
    const seen: Held[] = [];
    for (const held of this.#open.values()) if (sightOf(viewer, held.sighting, now) !== null) seen.push(held);
    return seen;
  }

  #cameOverTheFeed({ number, version }: Held): void {
    const open = this.#open.get(number);
    if (open?.ahead === true && open.version === version) this.#open.set(number, { ...open, ahead: false });
    const closed = this.#closed.get(number);
    if (closed?.held?.ahead === true && closed.version === version) {
      this.#closed.set(number, { ...closed, held: { ...closed.held, ahead: false } });
    }
  }

  #rememberClosed(number: string, version: number, held: Held | null, at: Instant): void {
    if (version < (this.#closed.get(number)?.version ?? 0)) return;
    // Taken out first, so that the map stays in the order of closing.
    this.#closed.delete(number);
    this.#closed.set(number, { held, version, at });
    this.#forget(at);
  }

  #forget(now: Instant): void {
    for (const [number, { at }] of this.#closed) {
      if (this.#closed.size <= CLOSED_KEPT_AT_MOST && now - at < CLOSED_KEPT) return;
      this.#closed.delete(number);
    }
  }
}
