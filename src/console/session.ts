/** Sessions: a random token in a cookie, its hash in the store, and a short memory so that not every request asks the store. */
import { createHash } from 'node:crypto';
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { minutes, seconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import { type Random, secret } from '../base/ids.ts';
import type { Viewer } from '../people/access.ts';

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
  /** Opens one; the token goes into the cookie and nowhere else. */
  open(username: string): Promise<{ readonly token: string; readonly maxAge: Milliseconds }>;
  /** Who a request or an upgrade comes from, by its Cookie header; null without a valid session. */
  viewer(cookieHeader: string | undefined): Promise<Viewer | null>;
  end(cookieHeader: string | undefined): Promise<void>;
}

/** A shift and what hangs over from it; each use carries the session on, but not for ever. */
export const SESSION_SPAN: Milliseconds = minutes(12 * 60);
const LONGEST: Milliseconds = minutes(7 * 24 * 60);
const EXTEND_EVERY: Milliseconds = minutes(10);
/** How long an answer of the store is trusted: a disabled account is out after this. */
const FRESH: Milliseconds = seconds(5);
/** While the store is away, people stay signed in on what was known last. */
const STALE: Milliseconds = minutes(15);
const MAX_REMEMBERED = 5000;

const COOKIE = 'session';
/** What `secret` makes of 256 bits; anything else is not looked up. */
const TOKEN = /^[A-Za-z0-9_-]{43}$/;

/** The session token in a Cookie header (RFC 6265 § 4.2.1); null when there is none that could be ours. */
export function tokenIn(cookieHeader: string | undefined): string | null {
  for (const pair of (cookieHeader ?? '').split(';')) {
    const [name, value] = pair.trim().split('=', 2);
    if (name === COOKIE && value !== undefined && TOKEN.test(value)) return value;
  }
  return null;
}

/** The Set-Cookie header for a token; null takes the cookie away. Strict: it is sent from our own pages only. */
export function cookieOf(token: string | null, maxAge: Milliseconds, secure: boolean): string {
  const age = token === null ? 0 : Math.floor(maxAge / 1000);
  return `${COOKIE}=${token ?? ''}; Path=/; Max-Age=${age}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
}

const digestOf = (token: string): Uint8Array => createHash('sha256').update(token).digest();

interface Remembered {
  readonly session: StoredSession;
  readonly askedAt: Instant;
}

export function createSessions({ store, clock, random }: { store: SessionStore; clock: Clock; random: Random }): Sessions {
  const remembered = new Map<string, Remembered>();

  function remember(token: string, session: StoredSession, askedAt: Instant): void {
    remembered.delete(token);
    remembered.set(token, { session, askedAt });
    if (remembered.size <= MAX_REMEMBERED) return;
    const [oldest] = remembered.keys();
    if (oldest !== undefined) remembered.delete(oldest);
  }

  async function find(token: string): Promise<StoredSession | null> {
    const now = clock.now();
    const before = remembered.get(token);
    if (before !== undefined && now - before.askedAt < FRESH && before.session.expiresAt > now) return before.session;
    let session: StoredSession | null;
    try {
      session = await store.find(digestOf(token), now);
    } catch (error) {
      const away = error instanceof CentreError && error.kind === 'store';
      if (away && before !== undefined && now - before.askedAt < STALE && before.session.expiresAt > now) return before.session;
      throw error;
    }
    if (session === null) remembered.delete(token);
    else remember(token, await carriedOn(token, session, now), now);
    return session;
  }

  async function carriedOn(token: string, session: StoredSession, now: Instant): Promise<StoredSession> {
    const until = Math.min(now + SESSION_SPAN, session.createdAt + LONGEST);
    if (until - session.expiresAt < EXTEND_EVERY) return session;
    await store.extend(digestOf(token), until);
    return { ...session, expiresAt: until };
  }

  return {
    async open(username) {
      const token = secret(random, 256);
      const now = clock.now();
      await store.open(digestOf(token), username, now, now + SESSION_SPAN);
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
      await store.end(digestOf(token));
    },
  };
}
