/** Sessions: a random token in a cookie, its hash in the store, and a memory that serves while the store is away or slow. */
import { createHash } from 'node:crypto';
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { minutes, seconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import { type Random, secret } from '../base/ids.ts';
import type { Viewer } from '../people/access.ts';
import { tokenIn } from './session-cookie.ts';

export interface StoredSession {
  readonly viewer: Viewer;
  readonly createdAt: Instant;
  readonly expiresAt: Instant;
}

/** What sessions need of the store. All @throws CentreError store-away. */
export interface SessionStore {
  open(tokenSha256: Uint8Array, username: string, at: Instant, expiresAt: Instant): Promise<void>;
  /** The session with its account as it is now; null when there is none, it has expired, or the account was disabled. */
  find(tokenSha256: Uint8Array, now: Instant): Promise<StoredSession | null>;
  extend(tokenSha256: Uint8Array, expiresAt: Instant): Promise<void>;
  end(tokenSha256: Uint8Array): Promise<void>;
}

export interface Sessions {
  /**
   * Opens one; the token goes into the cookie and nowhere else.
   * @throws CentreError store-away
   */
  open(username: string): Promise<{ readonly token: string; readonly maxAge: Milliseconds }>;
  /**
   * Who a request or an upgrade comes from, by its Cookie header; null without a valid session. While the store is away or
   * slow it is who it was when the store was asked last, for as long as the session runs, 12 h at most: nobody is signed
   * out in the middle of an alarm. It never waits longer than 0.5 s, and not at all once the store is known to be away.
   * @throws CentreError store-away for a session that this process has not seen before
   */
  viewer(cookieHeader: string | undefined): Promise<Viewer | null>;
  /** Here at once, whatever the store does; in a store that is away, as soon as it is back. */
  end(cookieHeader: string | undefined): Promise<void>;
  /** Whether the store did not answer when it was asked last; asks it again in the background. */
  storeAway(): boolean;
}

/** A shift and what hangs over from it; each use carries the session on, but not for ever. */
export const SESSION_SPAN: Milliseconds = minutes(12 * 60);
const LONGEST: Milliseconds = minutes(7 * 24 * 60);
const EXTEND_EVERY: Milliseconds = minutes(10);
/** How long an answer of the store is trusted: a disabled account is out after this. */
const FRESH: Milliseconds = seconds(5);
/** While the store is away, people stay signed in on what was known last, a shift long. */
const STALE: Milliseconds = SESSION_SPAN;
/** How long a request waits for a slow store before memory answers. */
const PATIENCE: Milliseconds = 500;
/** How often a store that is away is asked again, by one request for all. */
const PROBE_EVERY: Milliseconds = seconds(1);
const MAX_REMEMBERED = 5000;

/** The digest of no token: who asks for it only wants to know whether there is an answer. */
const NOBODY = new Uint8Array(32);
const digestOf = (token: string): Uint8Array => createHash('sha256').update(token).digest();

interface Remembered {
  readonly session: StoredSession;
  readonly askedAt: Instant;
}

export function createSessions({ store, clock, random }: { store: SessionStore; clock: Clock; random: Random }): Sessions {
  const remembered = new Map<string, Remembered>();
  /** Questions under way, one a session. */
  const asking = new Map<string, Promise<StoredSession | null>>();
  /** Signed out here, while the store could not be told. */
  const ended = new Set<string>();
  let away = false;
  let probedAt: Milliseconds = Number.NEGATIVE_INFINITY;

  function remember(token: string, session: StoredSession, askedAt: Instant): void {
    remembered.delete(token);
    remembered.set(token, { session, askedAt });
    if (remembered.size > MAX_REMEMBERED) dropFirst(remembered);
  }

  /** Asks the store, and notes whether it answers: within `PATIENCE`, or at all. */
  async function heard<T>(question: Promise<T>): Promise<T> {
    const late = clock.after(PATIENCE, () => (away = true));
    try {
      const answer = await question;
      away = false;
      if (ended.size > 0) void endInStore();
      return answer;
    } catch (error) {
      if (isAway(error)) away = true;
      throw error;
    } finally {
      late.cancel();
    }
  }

  function ask(token: string): Promise<StoredSession | null> {
    const under = asking.get(token);
    if (under !== undefined) return under;
    const now = clock.now();
    const answer = heard(store.find(digestOf(token), now))
      .then(async (session) => {
        // Signed out, or asked anew, since: this answer is of yesterday.
        if (asking.get(token) !== answer) return null;
        if (session === null) remembered.delete(token);
        else {
          remember(token, session, now);
          await carryOn(token, session, now);
        }
        return session;
      })
      .finally(() => {
        if (asking.get(token) === answer) asking.delete(token);
      });
    asking.set(token, answer);
    return answer;
  }

  async function carryOn(token: string, session: StoredSession, now: Instant): Promise<void> {
    const expiresAt = Math.min(now + SESSION_SPAN, session.createdAt + LONGEST);
    if (expiresAt - session.expiresAt < EXTEND_EVERY) return;
    try {
      await heard(store.extend(digestOf(token), expiresAt));
    } catch (error) {
      // It still runs as long as it did; the next question carries it on.
      if (isAway(error)) return;
      throw error;
    }
    if (remembered.get(token)?.session === session) remember(token, { ...session, expiresAt }, now);
  }

  async function find(token: string): Promise<StoredSession | null> {
    if (ended.has(token)) return null;
    const now = clock.now();
    const before = remembered.get(token);
    const known = before !== undefined && before.session.expiresAt > now ? before : null;
    if (known !== null && now - known.askedAt < FRESH) return known.session;
    const held = known !== null && now - known.askedAt < STALE ? known.session : null;
    if (away) {
      probe();
      if (held !== null) return held;
      throw new CentreError('store-away', 'This session cannot be looked up while the database is away.');
    }
    try {
      return await inTime(ask(token));
    } catch (error) {
      // Unless it was ended meanwhile.
      if (held !== null && isAway(error)) return remembered.has(token) ? held : null;
      throw error;
    }
  }

  /** @throws CentreError store-away when there is no answer in time; the question goes on, and its answer counts when it comes */
  function inTime<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const late = clock.after(PATIENCE, () => {
        reject(new CentreError('store-away', 'The database has not answered in time.'));
      });
      answer.then(resolve, reject).finally(() => {
        late.cancel();
      });
    });
  }

  function probe(): void {
    if (clock.monotonic() - probedAt >= PROBE_EVERY) void probeNow();
  }

  async function probeNow(): Promise<void> {
    // None begins while one is under way, however long that takes.
    probedAt = Number.POSITIVE_INFINITY;
    try {
      await heard(store.find(NOBODY, clock.now()));
    } catch {
      // Still away: `heard` has noted it.
    }
    probedAt = clock.monotonic();
  }

  async function endInStore(): Promise<void> {
    for (const token of ended) {
      try {
        await store.end(digestOf(token));
        ended.delete(token);
      } catch {
        // Told again after its next answer.
        return;
      }
    }
  }

  return {
    async open(username) {
      const token = secret(random, 256);
      const now = clock.now();
      await heard(store.open(digestOf(token), username, now, now + SESSION_SPAN));
      // The cookie outlives the session's span, since use carries the session on; the store decides.
      return { token, maxAge: LONGEST };
    },
    async viewer(cookieHeader) {
      const token = tokenIn(cookieHeader);
      return token === null ? null : ((await find(token))?.viewer ?? null);
    },
    async end(cookieHeader) {
      const token = tokenIn(cookieHeader);
      if (token === null) return;
      remembered.delete(token);
      asking.delete(token);
      ended.add(token);
      if (ended.size > MAX_REMEMBERED) dropFirst(ended);
      if (away) {
        probe();
        return;
      }
      try {
        await inTime(heard(store.end(digestOf(token))).then(() => ended.delete(token)));
      } catch (error) {
        if (!isAway(error)) throw error;
      }
    },
    storeAway() {
      if (away) probe();
      return away;
    },
  };
}

const isAway = (error: unknown): boolean => error instanceof CentreError && error.kind === 'store';

function dropFirst(all: { keys(): Iterable<string>; delete(key: string): boolean }): void {
  for (const first of all.keys()) {
    all.delete(first);
    return;
  }
}
