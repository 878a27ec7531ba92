/** SIP messages to bytes, and the answer to a request. */
import { createHash } from 'node:crypto';
import { parseNameAddress, receivedVia } from './address.ts';
import { type SipHeader, header, writtenName } from './message.ts';

/** What is written: Content-Length is added, headers are Latin-1 with one character for each byte. */
export interface Outgoing {
  readonly startLine: string;
  readonly headers: readonly SipHeader[];
  readonly body: Uint8Array;
}

/** The bytes of a message. CR and LF cannot get into a header: they become blanks. */
export function serialise({ startLine, headers, body }: Outgoing): Buffer {
  let head = `${oneLine(startLine)}\r\n`;
  for (const { name, value } of headers) {
    if (name !== 'content-length') head += `${writtenName(name)}: ${oneLine(value)}\r\n`;
  }
  head += `Content-Length: ${body.length}\r\n\r\n`;
  return body.length === 0 ? Buffer.from(head, 'latin1') : Buffer.concat([Buffer.from(head, 'latin1'), body]);
}

const oneLine = (text: string): string => text.replace(/[\r\n]/g, ' ');

/** What we answer; a body only where a dialect wants its reply in the answer. */
export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly headers?: readonly SipHeader[];
  readonly body?: Uint8Array;
}

/** With a 503: how long to wait before the next try. */
export const RETRY_AFTER: SipHeader = { name: 'retry-after', value: '5' };
/** Too much in hand, a store that is away, a stop under way: the device repeats. */
export const UNAVAILABLE: Answer = { status: 503, reason: 'Service Unavailable', headers: [RETRY_AFTER] };

/**
 * The response to a request (RFC 3261 § 8.2.6): Via, From, To, Call-ID and CSeq as they came, the top Via completed with
 * where the packet came from, To with `tag` where it had none (null: left as it is, for a 100). Headers that are missing
 * from a malformed request stay away.
 */
export function writeAnswer(
  request: { readonly headers: readonly SipHeader[] },
  answer: Answer,
  to: { readonly source: { readonly address: string; readonly port: number }; readonly tag: string | null },
): Buffer {
  const headers: SipHeader[] = request.headers
    .filter((one) => one.name === 'via')
    .map((via, i) => (i === 0 ? { name: 'via', value: receivedVia(via.value, to.source) } : via));
  for (const name of ['from', 'to', 'call-id', 'cseq']) {
    const value = header(request, name);
    if (value === null) continue;
    const tagged = name === 'to' && to.tag !== null && parseNameAddress(value).tag === null ? `${value};tag=${to.tag}` : value;
    headers.push({ name, value: tagged });
  }
  headers.push(...(answer.headers ?? []));
  return serialise({ startLine: `SIP/2.0 ${answer.status} ${answer.reason}`, headers, body: answer.body ?? new Uint8Array(0) });
}

/** The To tag of our answers: the same for the same request, so that answering needs no memory (RFC 3261 § 8.2.7). */
export function answerTag(secret: Uint8Array, request: { readonly headers: readonly SipHeader[] }): string {
  const hash = createHash('sha256').update(secret);
  for (const name of ['via', 'from', 'call-id', 'cseq']) hash.update(header(request, name) ?? '', 'latin1').update('\n');
  return hash.digest('hex').slice(0, 16);
}
