/** Bytes to SIP messages: start lines, heads and whole datagrams. Never throws; what cannot be read has a name. */
import { parseVia, splitList } from './address.ts';
import { type Framed, type HeadFault, LIMITS, type SipHeader, header, headerName } from './message.ts';

type StartLine =
  | { readonly type: 'request'; readonly method: string; readonly uri: string; readonly version: string }
  | { readonly type: 'response'; readonly status: number; readonly reason: string; readonly version: string };

/** A head that was read. */
export interface Head {
  readonly start: StartLine;
  readonly headers: readonly SipHeader[];
  /** Bytes; null: not told; `invalid`: no number, or several that differ. */
  readonly contentLength: number | null | 'invalid';
  readonly fault: HeadFault | null;
}

const METHOD = /^[A-Za-z0-9!%*_+`'~.-]{1,32}$/;
const VERSION = /^SIP\/(\d{1,3}\.\d{1,3})$/i;
const KNOWN_METHOD = /(?:MESSAGE|OPTIONS|REGISTER|INVITE|ACK|BYE|CANCEL)$/;
const LF = 0x0a;
const CR = 0x0d;

/** Reads a request or status line; null when it is neither. Written without backtracking: lines are up to 4 kB of anything. */
export function parseStartLine(line: string): StartLine | null {
  const text = line.trimEnd();
  const space = text.search(/[ \t]/);
  if (space === -1) return null;
  const first = text.slice(0, space);
  const status = VERSION.exec(first);
  if (status !== null) {
    const rest = text.slice(space).trimStart();
    if (!/^\d{3}(?:[ \t]|$)/.test(rest)) return null;
    return { type: 'response', status: Number(rest.slice(0, 3)), reason: rest.slice(4).trim(), version: status[1] ?? '' };
  }
  const last = Math.max(text.lastIndexOf(' '), text.lastIndexOf('\t'));
  const version = VERSION.exec(text.slice(last + 1));
  const uri = text.slice(space, last).trim();
  if (version === null || uri === '' || !METHOD.test(first)) return null;
  return { type: 'request', method: first.toUpperCase(), uri, version: version[1] ?? '' };
}

/**
 * Where in a line that is no start line one begins after all: a body that was longer than declared runs into the
 * request line behind it. Only known methods and `SIP/2.0 ddd`; −1 when none.
 */
export function findStartLine(line: string): number {
  const text = line.trimEnd();
  const response = text.lastIndexOf('SIP/2.0 ');
  if (response !== -1 && /^\d{3}(?: |$)/.test(text.slice(response + 8))) return response;
  if (!text.endsWith(' SIP/2.0')) return -1;
  const beforeUri = text.lastIndexOf(' ', text.length - 9);
  if (beforeUri === -1 || !/^[A-Za-z][A-Za-z0-9+.-]*:/.test(text.slice(beforeUri + 1, beforeUri + 32))) return -1;
  const method = KNOWN_METHOD.exec(text.slice(Math.max(0, beforeUri - 8), beforeUri));
  return method === null ? -1 : beforeUri - method[0].length;
}

/** Reads a head without its blank line; null when its first line is no start line. At most `LIMITS.head` bytes. */
export function parseHead(bytes: Uint8Array): Head | null {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1').split('\n');
  const start = parseStartLine(withoutReturns(lines[0] ?? ''));
  if (start === null) return null;
  const headers: SipHeader[] = [];
  let tooMany = false;
  for (const [name, value] of fields(lines)) {
    const values = name === 'via' ? splitList(value) : [value];
    if (headers.length + values.length > LIMITS.headers) {
      tooMany = true;
      break;
    }
    for (const one of values) headers.push({ name, value: one });
  }
  const contentLength = lengthOf(headers);
  return { start, headers, contentLength, fault: tooMany ? 'too-many-headers' : faultOf(start, headers) };
}

/** A bare CR inside a line would split the line for another reader: it becomes a blank. */
const withoutReturns = (line: string): string => (line.endsWith('\r') ? line.slice(0, -1) : line).replaceAll('\r', ' ');

/** Names and unfolded values; a line that is no header is left out, since an alarm does not fail for it. */
function* fields(lines: readonly string[]): Generator<[string, string]> {
  let name: string | null = null;
  let parts: string[] = [];
  for (let i = 1; i < lines.length; i++) {
    const line = withoutReturns(lines[i] ?? '');
    if (line.startsWith(' ') || line.startsWith('\t')) {
      parts.push(line.trim());
      continue;
    }
    if (name !== null) yield [name, parts.join(' ').trim()];
    const colon = line.indexOf(':');
    const raw = colon === -1 ? '' : line.slice(0, colon).trimEnd();
    name = METHOD.test(raw) ? headerName(raw) : null;
    parts = [line.slice(colon + 1).trim()];
  }
  if (name !== null) yield [name, parts.join(' ').trim()];
}

function lengthOf(headers: readonly SipHeader[]): number | null | 'invalid' {
  let length: number | null = null;
  for (const { name, value } of headers) {
    if (name !== 'content-length') continue;
    if (!/^\d{1,10}$/.test(value) || (length !== null && length !== Number(value))) return 'invalid';
    length = Number(value);
  }
  return length;
}

function faultOf(start: StartLine, headers: readonly SipHeader[]): HeadFault | null {
  const message = { headers };
  if (start.version !== '2.0') return 'wrong-version';
  if (parseVia(header(message, 'via') ?? '') === null) return 'missing-via';
  if (!header(message, 'from')) return 'missing-from';
  if (!header(message, 'to')) return 'missing-to';
  if (!header(message, 'call-id')) return 'missing-call-id';
  const cseq = header(message, 'cseq');
  if (!cseq) return 'missing-cseq';
  const parsed = parseCSeq(cseq);
  if (parsed === null || (start.type === 'request' && parsed.method !== start.method)) return 'bad-cseq';
  return null;
}

/** `4711 MESSAGE`; null when it is not that, or above 2³²−1 (RFC 3261 § 8.1.1.5). */
export function parseCSeq(value: string): { readonly number: number; readonly method: string } | null {
  const match = /^(\d{1,20})[ \t]+(\S{1,32})$/.exec(value);
  const number = Number(match?.[1]);
  return match === null || number > 0xffff_ffff ? null : { number, method: (match[2] ?? '').toUpperCase() };
}

/** A head and its body as a message, or as a request to be answered 400; a faulty response is noise. */
export function assemble(head: Head, body: Uint8Array, rest: Uint8Array, bodyCut: boolean, fault: HeadFault | null = head.fault): Framed {
  const { start, headers } = head;
  if (start.type === 'response') {
    return fault === null ? { type: 'response', status: start.status, reason: start.reason, headers, body } : { type: 'noise' };
  }
  if (fault !== null) return { type: 'malformed', method: start.method, headers, fault, fatal: fault === 'bad-content-length' };
  return { type: 'request', method: start.method, uri: start.uri, headers, body, rest, bodyCut };
}

/** Where the blank line behind a head ends, and where it begins, from `from`; null when it is not there yet. */
export function findHeadEnd(bytes: Uint8Array, from: number): { readonly head: number; readonly body: number } | null {
  let line = from;
  for (;;) {
    const lf = bytes.indexOf(LF, line);
    if (lf === -1) return null;
    if (lf === line || (lf === line + 1 && bytes[line] === CR)) return { head: line, body: lf + 1 };
    line = lf + 1;
  }
}

/**
 * Reads one datagram, which holds one message (RFC 3261 § 18.3). Its length is the truth: a body declared longer is
 * taken as far as it came and marked, what is behind a shorter one goes into `rest`, a wrong Content-Length is ignored.
 */
export function parseDatagram(bytes: Uint8Array): Framed {
  let from = 0;
  while (from < bytes.length && isBlank(bytes[from] ?? 0)) from++;
  if (from === bytes.length) return { type: 'ping' };
  const message = bytes.subarray(from);
  const lineEnd = message.subarray(0, LIMITS.startLine).indexOf(LF);
  if (lineEnd === -1) return { type: 'noise' };
  const end = findHeadEnd(message.subarray(0, LIMITS.head), lineEnd + 1);
  const head = parseHead(message.subarray(0, Math.min(end?.head ?? message.length, LIMITS.head)));
  if (head === null) return { type: 'noise' };
  const nothing = new Uint8Array(0);
  if (end === null) return assemble(head, nothing, nothing, true, message.length > LIMITS.head ? 'head-too-large' : 'unterminated-head');
  const there = message.subarray(end.body);
  const declared = typeof head.contentLength === 'number' ? head.contentLength : there.length;
  const kept = Math.min(declared, there.length, LIMITS.body);
  return assemble(head, copy(there, 0, kept), copy(there, Math.min(declared, there.length), LIMITS.body), kept < declared);
}

/** Not `bytes.slice`: of a Buffer that is a view, which would keep the whole datagram for as long as the body is kept. */
const copy = (bytes: Uint8Array, from: number, to: number): Uint8Array => Uint8Array.prototype.slice.call(bytes, from, to);

/** CR, LF, blank and NUL: what devices send to keep a path through a NAT open. */
export const isBlank = (byte: number): boolean => byte === LF || byte === CR || byte === 0x20 || byte === 0;
