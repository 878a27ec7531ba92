/** The session cookie: how its token is found in a request, and how a browser is told to keep it or throw it away. */
import type { Milliseconds } from '../base/clock.ts';

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
