/** The words of SIP as this centre needs them: requests, responses, headers, and the limits on what is taken from the network. */

/**
 * A header field. Texts of a head are Latin-1 (one character is one byte), so that what is echoed in a response is
 * echoed byte for byte whatever its encoding; `headerText` makes it readable.
 */
export interface SipHeader {
  /** Lower case, long form: `call-id` also where `i` was sent. */
  readonly name: string;
  /** Unfolded and trimmed; never holds CR or LF. */
  readonly value: string;
}

export interface SipRequest {
  readonly type: 'request';
  /** Upper case. */
  readonly method: string;
  readonly uri: string;
  readonly headers: readonly SipHeader[];
  readonly body: Uint8Array;
  /** Bytes of the datagram behind the declared body; empty on streams. RFC 3261 § 18.3 discards them. */
  readonly rest: Uint8Array;
  /** The body was declared longer than what came or was kept. */
  readonly bodyCut: boolean;
}

export interface SipResponse {
  readonly type: 'response';
  readonly status: number;
  readonly reason: string;
  readonly headers: readonly SipHeader[];
  readonly body: Uint8Array;
}

export type SipMessage = SipRequest | SipResponse;

/** Why a head that is SIP cannot be worked with. */
export type HeadFault =
  | 'missing-via'
  | 'missing-from'
  | 'missing-to'
  | 'missing-call-id'
  | 'missing-cseq'
  | 'bad-cseq'
  | 'bad-content-length'
  | 'unterminated-head'
  | 'too-many-headers'
  | 'head-too-large'
  | 'wrong-version';

/** A request whose headers can be read but not worked with: it is answered 400 (505, 513) and not delivered. */
export interface MalformedRequest {
  readonly type: 'malformed';
  readonly method: string;
  readonly headers: readonly SipHeader[];
  readonly fault: HeadFault;
  /** Where the next message begins cannot be known: the stream is closed behind the answer. */
  readonly fatal: boolean;
}

/** What came out of bytes: `ping` is a keepalive (CRLF CRLF, or blanks in a datagram), `noise` is not SIP. */
export type Framed = SipMessage | MalformedRequest | { readonly type: 'ping' } | { readonly type: 'noise' };

/** Checked before memory is taken. Real alarms are 110–170 bytes of body in less than 1 kB of head. */
export const LIMITS = {
  startLine: 4096,
  head: 16_384,
  headers: 128,
  /** What is kept of a body; the rest of a longer one is read past. */
  body: 32_768,
} as const;

const COMPACT: Readonly<Record<string, string>> = {
  a: 'accept-contact',
  b: 'referred-by',
  c: 'content-type',
  d: 'request-disposition',
  e: 'content-encoding',
  f: 'from',
  i: 'call-id',
  j: 'reject-contact',
  k: 'supported',
  l: 'content-length',
  m: 'contact',
  o: 'event',
  r: 'refer-to',
  s: 'subject',
  t: 'to',
  u: 'allow-events',
  v: 'via',
  x: 'session-expires',
  y: 'identity',
};

/** The long, lower-case name of a header (RFC 3261 § 7.3.3 and the IANA register of compact forms). */
export function headerName(raw: string): string {
  const name = raw.toLowerCase();
  return name.length === 1 ? (COMPACT[name] ?? name) : name;
}

const WRITTEN: Readonly<Record<string, string>> = { 'call-id': 'Call-ID', cseq: 'CSeq', 'www-authenticate': 'WWW-Authenticate' };

/** A header's name as it is usually written: `Max-Forwards`. */
export function writtenName(name: string): string {
  return WRITTEN[name] ?? name.replace(/(^|-)[a-z]/g, (letters) => letters.toUpperCase());
}

/** The first value of a header; null when absent. `name` in lower case. */
export function header(message: { readonly headers: readonly SipHeader[] }, name: string): string | null {
  return message.headers.find((one) => one.name === name)?.value ?? null;
}
