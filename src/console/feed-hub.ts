/** The hub: reads the feed once for all sockets of a console process, and PostgreSQL in its place while the feed is away. */
import type { AlarmView } from '../alarms/view.ts';
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { fromIso, minutes } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { type AlarmSource, type FeedPosition, type FeedSource, NO_POSITION, compareIds, feedIdOf } from './feed-source.ts';
import { type Held, Replica, heldOf } from './replica.ts';

/** Without an answer of the feed for this long, changes are read from PostgreSQL (design § 2, Feed). */
const SILENT_MS: Milliseconds = 2000;
const LOOK_EVERY_MS: Milliseconds = 1000;
/** What is older than this and did not come over a feed that answers was missed (a relay that is stuck). */
const SETTLED_MS: Milliseconds = 1500;
/** An alarm's instant of change is taken before its commit: so far back each look begins. */
const OVERLAP_MS: Milliseconds = 5000;
/** Every so many looks all open alarms are compared, whatever their instants say. */
const FULL_LOOK = 20;
const FULL_LOOK_SILENT = 5;
const RETRY_MS: Milliseconds = 250;
const CLOSED_REMEMBERED: Milliseconds = minutes(10);
/**
 * What was loaded may be ahead of the feed: it is let through when it comes over it, since it is known. For so long after
 * a load, a console that resumes gets a snapshot.
 */
const LOAD_SETTLES_MS: Milliseconds = 3000;
/** More missed entries than this, and a snapshot is the shorter way. */
const RESUME_AT_MOST = 2000;

/** One alarm's change as the sockets learn of it. */
export interface HubChange {
  readonly feed: string;
  readonly before: Held | null;
  readonly after: Held;
}

export interface HubListener {
  changed(change: HubChange): void;
  /** Everything may be different: each socket gets a snapshot. */
  replaced(): void;
}

export interface HubStats {
  readonly mode: 'starting' | 'feed' | 'fallback' | 'blind';
  /** From a signal's receipt to its arrival here, of the last one that came over the feed. */
  readonly lagMs: Milliseconds;
  readonly open: number;
  /** Changes that were found in PostgreSQL although the feed answered. */
  readonly repaired: number;
  /** How often everything was loaded: at the start, and after each change of epoch or gap. */
  readonly loads: number;
}

export interface FeedHub {
  readonly replica: Replica;
  /** False until the alarms were read for the first time: nobody can be shown anything. */
  loaded(): boolean;
  /** Whether the feed, or PostgreSQL in its place, was really read within the last seconds: else no pulse is sent. */
  alive(): boolean;
  /** When the feed or PostgreSQL was read last: what is held is from then. The start, before the first time. */
  readAt(): Instant;
  feedId(): string;
  listen(listener: HubListener): void;
  /**
   * What came since the feed id `resume` up to `feedId()` as it is now, in order, the newest version of each alarm;
   * null when that cannot be told. Changes that come meanwhile go to the listener.
   */
  since(resume: string): Promise<readonly Held[] | null>;
  stats(): HubStats;
  stop(): Promise<void>;
}

export interface HubParts {
  readonly source: FeedSource;
  readonly alarms: AlarmSource;
  readonly clock: Clock;
  readonly log: Log;
}

export function startFeedHub({ source, alarms, clock, log }: HubParts): FeedHub {
  const replica = new Replica();
  const listeners: HubListener[] = [];
  let position: FeedPosition = NO_POSITION;
  let loaded = false;
  let stopped = false;
  let endPause = (): void => undefined;
  // Instants of the monotonic clock; null: not since the start, or not since the feed turned out to be another.
  let feedReadAt: Milliseconds | null = null;
  let storeReadAt: Milliseconds | null = null;
  let loadedAt: Milliseconds | null = null;
  let lastReadAt: Milliseconds = clock.monotonic();
  let lookedUpTo: Instant = clock.now();
  let looks = 0;
  let looking: Promise<void> | null = null;
  let silent = false;
  let lagMs = 0;
  let repaired = 0;
  let loads = 0;

  const within = (at: Milliseconds | null, span: Milliseconds): boolean => at !== null && clock.monotonic() - at <= span;
  const feedAnswers = (): boolean => within(feedReadAt, SILENT_MS);
  const alive = (): boolean => loaded && (feedAnswers() || within(storeReadAt, SILENT_MS + LOOK_EVERY_MS));

  const timer = clock.every(LOOK_EVERY_MS, () => {
    if (looking !== null || stopped) return;
    looking = look().finally(() => {
      looking = null;
    });
  });
  const reading = readOn();

  return {
    replica,
    alive,
    readAt: () => clock.now() - (clock.monotonic() - lastReadAt),
    loaded: () => loaded,
    feedId: () => feedIdOf(position),
    listen: (listener) => {
      listeners.push(listener);
    },
    since,
    stats: () => ({ mode: mode(), lagMs, open: replica.size, repaired, loads }),
    async stop() {
      stopped = true;
      timer.cancel();
      endPause();
      await Promise.all([reading, looking]);
    },
  };

  function mode(): HubStats['mode'] {
    if (!loaded) return 'starting';
    if (feedAnswers()) return 'feed';
    return alive() ? 'fallback' : 'blind';
  }

  /** Opens the feed and reads it, over and over, until it is stopped. */
  async function readOn(): Promise<void> {
    let failed = false;
    while (!stopped) {
      try {
        await follow();
        failed = false;
      } catch (error) {
        if (!failed) log.warn('feed-lost', { error });
        failed = true;
        await pause();
      }
    }
  }

  /** Reads until the feed turns out to be another, or leaves a gap. */
  async function follow(): Promise<void> {
    const opened = await source.open();
    const goesOn = loaded && opened.epoch === position.epoch && compareIds(opened.first, position.id) <= 0;
    if (!goesOn) {
      // What was read of another feed tells nothing of this one.
      feedReadAt = null;
      await load({ epoch: opened.epoch, id: opened.id });
    }
    while (!stopped) {
      const read = await source.read(position);
      if ('lost' in read) {
        if (read.lost !== 'connection') log.warn('feed-changed', { code: read.lost });
        // Another epoch, or entries that are gone: only a new picture tells what happened meanwhile.
        if (read.lost === 'gap') position = NO_POSITION;
        return;
      }
      feedReadAt = clock.monotonic();
      lastReadAt = feedReadAt;
      for (const { id, view, json } of read.entries) {
        position = { epoch: position.epoch, id };
        deliver(heldOf(view, false, json));
      }
      position = { epoch: position.epoch, id: read.last };
      if (read.entries.length > 0) measure(read.entries.at(-1)?.view);
    }
  }

  /** Reads everything that is open; `from` was read before, so that what changes meanwhile comes after it. */
  async function load(from: FeedPosition): Promise<void> {
    const now = clock.now();
    const startedAt = clock.monotonic();
    const { open, closed } = await alarms.all(now - CLOSED_REMEMBERED);
    if (stopped) return;
    replica.replace(
      open.map((view) => heldOf(view, false)),
      closed,
      now,
    );
    position = from;
    lookedUpTo = now;
    loaded = true;
    // A feed that has nothing to say answers only after its first wait; what was just read here is no older for that.
    storeReadAt = startedAt;
    lastReadAt = Math.max(lastReadAt, startedAt);
    loadedAt = clock.monotonic();
    loads += 1;
    for (const listener of listeners) listener.replaced();
  }

  /** Once a second: while the feed is silent in its place, else behind it. */
  async function look(): Promise<void> {
    looks += 1;
    const answers = feedAnswers();
    if (silent === answers) {
      silent = !answers;
      if (loaded) log.warn(silent ? 'feed-fallback-began' : 'feed-fallback-ended');
    }
    // Behind a feed that answers, every second look is enough.
    if (answers && looks % 2 === 1) return;
    try {
      const startedAt = clock.monotonic();
      if (loaded) await catchUp(answers);
      else if (!answers) await load(NO_POSITION);
      if (!loaded) return;
      storeReadAt = startedAt;
      lastReadAt = Math.max(lastReadAt, startedAt);
    } catch (error) {
      if (silent) log.warn('feed-fallback-failed', { error });
    }
  }

  async function catchUp(answers: boolean): Promise<void> {
    const now = clock.now();
    const full = looks % (answers ? FULL_LOOK : FULL_LOOK_SILENT) === 0;
    const until = answers ? now - SETTLED_MS : null;
    const changed = await alarms.versions(lookedUpTo - OVERLAP_MS, until);
    const missed = newer(changed);
    if (full) {
      const open = await alarms.versions(null, null);
      for (const number of newer(open)) missed.add(number);
      const numbers = new Set(open.map(({ number }) => number));
      for (const number of replica.openNumbers()) if (!numbers.has(number)) missed.add(number);
    }
    const views = missed.size === 0 ? [] : await alarms.these([...missed]);
    for (const view of views) {
      if (deliver(heldOf(view, true)) && answers) repaired += 1;
    }
    lookedUpTo = until ?? now;
  }

  function newer(versions: readonly { readonly number: string; readonly version: number }[]): Set<string> {
    const numbers = new Set<string>();
    for (const { number, version } of versions) if (version > replica.version(number)) numbers.add(number);
    return numbers;
  }

  function deliver(next: Held): boolean {
    const applied = replica.apply(next, clock.now());
    if (applied === null) return false;
    const change: HubChange = { feed: feedIdOf(position), before: applied.before, after: next };
    for (const listener of listeners) listener.changed(change);
    return true;
  }

  async function since(resume: string): Promise<readonly Held[] | null> {
    const upTo = position;
    if (upTo === NO_POSITION || within(loadedAt, LOAD_SETTLES_MS) || !resume.startsWith(`${upTo.epoch}.`)) return null;
    const ahead = replica.aheadOfFeed();
    const entries = await source.between(resume, upTo, RESUME_AT_MOST).catch(() => null);
    if (entries === null) return null;
    const newest = new Map<string, Held>();
    for (const { view, json } of entries) put(newest, heldOf(view, false, json));
    for (const held of ahead) put(newest, held);
    return [...newest.values()];
  }

  function measure(view: AlarmView | undefined): void {
    if (view === undefined || view.version !== view.lastSignalVersion) return;
    lagMs = Math.max(0, clock.now() - (fromIso(view.lastSignalAt) ?? clock.now()));
  }

  /** Ended early by `stop`. */
  async function pause(): Promise<void> {
    await new Promise<void>((resolve) => {
      endPause = resolve;
      clock.after(RETRY_MS, resolve);
    });
  }
}

/** Keeps the newest version of each alarm, in the order of these versions. */
function put(newest: Map<string, Held>, held: Held): void {
  if ((newest.get(held.number)?.version ?? 0) >= held.version) return;
  newest.delete(held.number);
  newest.set(held.number, held);
}
