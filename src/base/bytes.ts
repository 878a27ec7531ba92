/** Text out of bytes that came from a network, made fit to store and show. */
import { createHash } from 'node:crypto';

// NUL and lone surrogates are refused by PostgreSQL's text and jsonb: one of them would fail the whole statement.
// eslint-disable-next-line no-control-regex
const UNSTORABLE = /\u0000|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;

/** The text with NUL and lone surrogates replaced by U+FFFD; at most `limit` UTF-16 units, never half a character. */
export function storable(text: string, limit = 4096): string {
  const cut = text.length > limit ? text.slice(0, limit) : text;
  return cut.replace(UNSTORABLE, '\uFFFD');
}

/**
 * A name that a stranger gave itself, short enough for an index and a log line: what is longer becomes its beginning and a
 * hash of the whole, so that two names stay two.
 */
export function shortName(name: string, limit = 64): string {
  if (name.length <= limit) return storable(name, limit);
  return `${storable(name, limit / 2)}~${createHash('sha256').update(name).digest('hex').slice(0, 16)}`;
}

/** Bytes as text: UTF-8 where it is, else Latin-1, so that an operator can always read something. */
export function readable(bytes: Uint8Array, limit = 8192): string {
  const cut = bytes.subarray(0, limit);
  try {
    return storable(new TextDecoder('utf-8', { fatal: true }).decode(cut), limit);
  } catch {
    return storable(Buffer.from(cut).toString('latin1'), limit);
  }
}
