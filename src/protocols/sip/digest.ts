/** SIP digest authentication (RFC 2617, 7616, 8760): challenges that need no memory, answers checked for age and replay. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { type Clock, type Milliseconds, minutes } from '../../base/clock.ts';
import type { Random } from '../../base/ids.ts';
import { parseUri } from './address.ts';
import { type SipHeader, type SipRequest, header } from './message.ts';

export type DigestAlgorithm = 'MD5' | 'SHA-256';

/** HA1 of both algorithms, in lower-case hexadecimal: what is kept of a secret. */
export interface DigestSecrets {
  readonly md5: string;
  readonly sha256: string;
}

/**
 * `absent`: no credentials for our realm. `wrong`: they do not prove the secret. `stale`: they do, but for a nonce that is
 * too old, not ours (a restart) or used up: a challenge with `stale=true` lets the device try again without asking anyone.
 */
export type DigestVerdict = 'valid' | 'absent' | 'wrong' | 'stale';

/** How long a nonce is good for. */
export const NONCE_LIFE: Milliseconds = minutes(5);
/** Nonces whose counts are remembered; only who knows a secret can add one. */
export const MAX_NONCES = 20_000;
/** Counts remembered for a nonce, so that datagrams may overtake each other. */
const COUNT_WINDOW = 16;
const MAX_USERNAME = 64;
/** Credentials for our realm that are looked at in one request. */
const MAX_CREDENTIALS = 4;
/** 6 bytes of time, 8 of chance, 16 of HMAC. */
const NONCE_BYTES = { body: 14, whole: 30 } as const;

/** A(1) of RFC 7616 § 3.4.2, hashed: lower-case hexadecimal. */
export function ha1(algorithm: DigestAlgorithm, username: string, realm: string, secret: string): string {
  return hashed(algorithm, Buffer.from(`${username}:${realm}:${secret}`));
}

/** What goes into a response besides HA1; `counted` is null in the form without qop (RFC 2617 § 3.2.2.1). */
export interface DigestInput {
  readonly method: string;
  readonly uri: string;
  readonly nonce: string;
  readonly counted: { readonly nc: string; readonly cnonce: string } | null;
}

/** The response of RFC 7616 § 3.4.1 with qop=auth, or without qop. Texts are Latin-1: bytes as they stood in the header. */
export function digestResponse(algorithm: DigestAlgorithm, ha1Hex: string, { method, uri, nonce, counted }: DigestInput): string {
  const ha2 = hashed(algorithm, Buffer.from(`${method}:${uri}`, 'latin1'));
  const middle = counted === null ? nonce : `${nonce}:${counted.nc}:${counted.cnonce}:auth`;
  return hashed(algorithm, Buffer.from(`${ha1Hex}:${middle}:${ha2}`, 'latin1'));
}

function hashed(algorithm: DigestAlgorithm, bytes: Uint8Array): string {
  return createHash(algorithm === 'MD5' ? 'md5' : 'sha256')
    .update(bytes)
    .digest('hex');
}

/** `name=value` or `name="value"`; linear, since a header may be 16 kB of anything. */
const PARAMETER = /[\s,]*([A-Za-z][A-Za-z0-9*_-]{0,31})\s*=\s*(?:"([^"\\]*(?:\\[^][^"\\]*)*)"|([^\s,"]*))/y;

/**
 * The parameters of a `Digest …` header value, names in lower case, values without their quotes but with their escapes;
 * null when it is another scheme. The first of two counts; reading stops at what is no parameter.
 */
export function parseDigest(value: string): ReadonlyMap<string, string> | null {
  const scheme = /^\s*Digest\s+/i.exec(value);
  if (scheme === null) return null;
  const found = new Map<string, string>();
  PARAMETER.lastIndex = scheme[0].length;
  for (let one = PARAMETER.exec(value); one !== null && found.size < 32; one = PARAMETER.exec(value)) {
    const name = (one[1] ?? '').toLowerCase();
    if (!found.has(name)) found.set(name, one[2] ?? one[3] ?? '');
  }
  PARAMETER.lastIndex = 0;
  return found;
}

/** A quoted string's content without its escapes. */
const unescaped = (text: string): string => text.replace(/\\([^])/g, '$1');

type Credentials = ReadonlyMap<string, string>;
const valueOf = (credentials: Credentials, name: string): string => unescaped(credentials.get(name) ?? '');

/** Instants here are of the monotonic clock. */
interface UsedNonce {
  readonly issuedAt: Milliseconds;
  readonly usedAt: Milliseconds;
  /** Counts and the requests that brought them. */
  readonly counts: Map<number, string>;
  /** Counts up to here are used up. */
  floor: number;
}

/** Challenges and checks for one realm; the nonces of one gate are worth nothing to another, nor after a restart. */
export class DigestGate {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #realm: string;
  readonly #secret: Uint8Array;
  /** By nonce, in the order of first use. */
  readonly #used = new Map<string, UsedNonce>();
  /** Nonces issued up to here whose counts are not remembered count as used up. */
  #forgottenUpTo: Milliseconds = Number.NEGATIVE_INFINITY;

  /** @param parts `realm`: letters, digits, dots and hyphens */
  constructor(parts: { readonly clock: Clock; readonly random: Random; readonly realm: string }) {
    this.#clock = parts.clock;
    this.#random = parts.random;
    this.#realm = parts.realm;
    this.#secret = parts.random(32);
  }

  /**
   * The headers of a 401. MD5 stands first although RFC 8760 § 2.3 would have the stronger one there: what was built to
   * RFC 2617 (units, sipp, npm sip) looks at the first challenge only, and fails on an algorithm that it does not know.
   * With secrets of 128 bits and more MD5 is no weakness here.
   * @param algorithms for a device that stumbles over one it does not know
   */
  challenge(stale: boolean, algorithms: readonly DigestAlgorithm[] = ['MD5', 'SHA-256']): SipHeader[] {
    const nonce = this.#newNonce();
    return algorithms.map((algorithm) => ({
      name: 'www-authenticate',
      value: `Digest realm="${this.#realm}", nonce="${nonce}", algorithm=${algorithm}, qop="auth"${stale ? ', stale=true' : ''}`,
    }));
  }

  /** Who the credentials for our realm say they are of, whether or not they prove it; null when there are none. */
  username(request: SipRequest): string | null {
    const [first] = this.#credentials(request);
    return first === undefined ? null : valueOf(first, 'username');
  }

  /** Whether the credentials prove `secrets`. The same request once more is no replay: it gets the same verdict. */
  verify(request: SipRequest, secrets: DigestSecrets): DigestVerdict {
    const all = this.#credentials(request);
    if (all.length === 0) return 'absent';
    let verdict: DigestVerdict = 'wrong';
    for (const one of all) {
      if (!provesSecret(one, request, secrets)) continue;
      if (this.#isFresh(one, request)) return 'valid';
      verdict = 'stale';
    }
    return verdict;
  }

  /** Several when a device answers both challenges; those of another name than the first are left out. */
  #credentials(request: SipRequest): Credentials[] {
    const ours: Credentials[] = [];
    for (const { name, value } of request.headers) {
      if (name !== 'authorization' && name !== 'proxy-authorization') continue;
      const given = parseDigest(value);
      if (given === null || valueOf(given, 'realm') !== this.#realm) continue;
      const username = valueOf(given, 'username');
      if (username === '' || username.length > MAX_USERNAME) continue;
      if (ours[0] === undefined || valueOf(ours[0], 'username') === username) ours.push(given);
      if (ours.length === MAX_CREDENTIALS) break;
    }
    return ours;
  }

  #isFresh(credentials: Credentials, request: SipRequest): boolean {
    const now = this.#clock.monotonic();
    const nonce = valueOf(credentials, 'nonce');
    const issuedAt = this.#issuedAt(nonce);
    if (issuedAt === null || now - issuedAt >= NONCE_LIFE) return false;
    // Without qop there is no count: such a nonce may be used again until it is too old.
    if (valueOf(credentials, 'qop') === '') return true;
    return this.#count(nonce, issuedAt, Number.parseInt(valueOf(credentials, 'nc'), 16), fingerprint(credentials, request));
  }

  /** True when this count has not been seen, or with this very request. */
  #count(nonce: string, issuedAt: Milliseconds, nc: number, request: string): boolean {
    this.#expire();
    let used = this.#used.get(nonce);
    if (used === undefined) {
      if (issuedAt <= this.#forgottenUpTo) return false;
      used = { issuedAt, usedAt: this.#clock.monotonic(), counts: new Map(), floor: -1 };
      this.#used.set(nonce, used);
    }
    const { counts } = used;
    const before = counts.get(nc);
    if (before !== undefined) return before === request;
    if (nc <= used.floor) return false;
    counts.set(nc, request);
    if (counts.size > COUNT_WINDOW) {
      used.floor = Math.min(...counts.keys());
      counts.delete(used.floor);
    }
    return true;
  }

  #expire(): void {
    const now = this.#clock.monotonic();
    for (const [nonce, { usedAt, issuedAt }] of this.#used) {
      if (usedAt + NONCE_LIFE > now) {
        if (this.#used.size < MAX_NONCES) return;
        this.#forgottenUpTo = Math.max(this.#forgottenUpTo, issuedAt);
      }
      this.#used.delete(nonce);
    }
  }

  #newNonce(): string {
    const body = Buffer.alloc(NONCE_BYTES.body);
    body.writeUIntBE(Math.floor(this.#clock.monotonic()), 0, 6);
    body.set(this.#random(8), 6);
    return Buffer.concat([body, this.#seal(body)]).toString('base64url');
  }

  /** When we made this nonce; null when it is not of our making. */
  #issuedAt(nonce: string): Milliseconds | null {
    if (nonce.length !== NONCE_BYTES.whole / 0.75) return null;
    const bytes = Buffer.from(nonce, 'base64url');
    // One spelling only: another one would have counts of its own.
    if (bytes.length !== NONCE_BYTES.whole || bytes.toString('base64url') !== nonce) return null;
    const body = bytes.subarray(0, NONCE_BYTES.body);
    return timingSafeEqual(this.#seal(body), bytes.subarray(NONCE_BYTES.body)) ? body.readUIntBE(0, 6) : null;
  }

  #seal(body: Uint8Array): Buffer {
    return createHmac('sha256', this.#secret)
      .update(body)
      .digest()
      .subarray(0, NONCE_BYTES.whole - NONCE_BYTES.body);
  }
}

/** Whether the response is the one that HA1 gives; hashed over the texts as sent, with and without their escapes. */
function provesSecret(credentials: Credentials, request: SipRequest, secrets: DigestSecrets): boolean {
  const algorithm = (valueOf(credentials, 'algorithm') || 'MD5').toUpperCase();
  if (algorithm !== 'MD5' && algorithm !== 'SHA-256') return false;
  const response = Buffer.from(valueOf(credentials, 'response').toLowerCase(), 'latin1');
  const qop = valueOf(credentials, 'qop').toLowerCase();
  if (qop !== '' && (qop !== 'auth' || !/^[0-9a-f]{1,8}$/i.test(valueOf(credentials, 'nc')))) return false;
  if (!sameTarget(valueOf(credentials, 'uri'), request.uri)) return false;
  const secret = algorithm === 'MD5' ? secrets.md5 : secrets.sha256;
  return [unescaped, (text: string) => text].some((read) => {
    const part = (name: string): string => read(credentials.get(name) ?? '');
    const counted = qop === '' ? null : { nc: part('nc'), cnonce: part('cnonce') };
    const right = digestResponse(algorithm, secret, { method: request.method, uri: part('uri'), nonce: part('nonce'), counted });
    return response.length === right.length && timingSafeEqual(response, Buffer.from(right, 'latin1'));
  });
}

/**
 * Proxies rewrite the Request-URI, and devices put their own idea of the host into `uri` (RFC 3261 § 22.4): only another
 * user says that the credentials were meant for somebody else.
 */
function sameTarget(given: string, target: string): boolean {
  const meant = parseUri(given)?.user ?? null;
  const asked = parseUri(target)?.user ?? null;
  return meant === null || asked === null || meant === asked;
}

/** The same for a retransmission, another for any other request that carries the same credentials. */
function fingerprint(credentials: Credentials, request: SipRequest): string {
  const parts = [
    request.method,
    request.uri,
    ...['call-id', 'cseq', 'from'].map((name) => header(request, name)),
    credentials.get('cnonce'),
    credentials.get('response'),
  ];
  return createHash('sha256').update(JSON.stringify(parts)).update(request.body).digest('base64url');
}
