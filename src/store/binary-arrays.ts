/**
 * Columns of many rows as arrays in PostgreSQL's binary form (array_recv): for `unnest($1::text[], $2::bigint[], …)`, which
 * costs both ends a fraction of what JSON text does. The driver sends a Buffer as a binary parameter.
 */
import { Buffer } from 'node:buffer';
import type { Instant } from '../base/clock.ts';

/** Of pg_type: they never change. */
const OID = { bytea: 17, int8: 20, int2: 21, int4: 23, text: 25, timestamptz: 1184, json: 114 } as const;
/** Dimensions, a flag for nulls, the elements' type, the length, the first subscript; four bytes each. */
const HEADER = 20;
/** PostgreSQL counts microseconds from 2000-01-01. */
const EPOCH_MS = 946_684_800_000;
const WORD = 2 ** 32;

/** Grows as needed and is used again; what is returned are copies. */
let scratch = Buffer.allocUnsafe(64 * 1024);

/** @returns room for at least `size` bytes from `at` on, with what was written before */
function room(at: number, size: number): Buffer {
  if (at + size > scratch.length) scratch = Buffer.concat([scratch.subarray(0, at)], Math.max(2 * scratch.length, at + size));
  return scratch;
}

/** @param write writes one at the offset and gives how many bytes it took */
function array<T>(oid: number, values: readonly (T | null)[], write: (value: T, at: number) => number): Buffer {
  if (values.length === 0) {
    const empty = Buffer.alloc(12);
    empty.writeInt32BE(oid, 8);
    return empty;
  }
  let at = HEADER;
  let nulls = 0;
  for (const value of values) {
    room(at, 4);
    if (value === null) {
      nulls = 1;
      scratch.writeInt32BE(-1, at);
      at += 4;
      continue;
    }
    const size = write(value, at + 4);
    scratch.writeInt32BE(size, at);
    at += 4 + size;
  }
  scratch.writeInt32BE(1, 0);
  scratch.writeInt32BE(nulls, 4);
  scratch.writeInt32BE(oid, 8);
  scratch.writeInt32BE(values.length, 12);
  scratch.writeInt32BE(1, 16);
  return Buffer.from(scratch.subarray(0, at));
}

/** UTF-16 takes at most three bytes of UTF-8 a unit. */
const writeText = (value: string, at: number): number => room(at, 3 * value.length).write(value, at, 'utf8');

/** What a column of type json would take and no query could look into: an escaped NUL, or half a character. */
const UNREADABLE = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/;

function writeJson(value: unknown, at: number): number {
  const text = JSON.stringify(value);
  if (text.includes('\\u') && UNREADABLE.test(text)) throw new RangeError('there is a NUL or half a character in what is to be stored');
  return writeText(text, at);
}

function writeBytes(value: Uint8Array, at: number): number {
  room(at, value.length).set(value, at);
  return value.length;
}

function writeInt64(value: number, at: number): number {
  if (!Number.isSafeInteger(value)) throw new RangeError('no whole number that can be counted on');
  const high = Math.floor(value / WORD);
  room(at, 8).writeInt32BE(high, at);
  scratch.writeUInt32BE(value - high * WORD, at + 4);
  return 8;
}

/** Microseconds of the year 2286 are beyond 2⁵³: multiplied in halves. */
function writeInstant(value: Instant, at: number): number {
  const ms = Math.round(value - EPOCH_MS);
  if (!Number.isSafeInteger(ms)) throw new RangeError('no instant');
  const high = Math.floor(ms / WORD);
  const low = (ms - high * WORD) * 1000;
  room(at, 8).writeInt32BE(high * 1000 + Math.floor(low / WORD), at);
  scratch.writeUInt32BE(low % WORD, at + 4);
  return 8;
}
const writeInt32 = (value: number, at: number): number => room(at, 4).writeInt32BE(value, at) - at;
const writeInt16 = (value: number, at: number): number => room(at, 2).writeInt16BE(value, at) - at;

/** For `text[]`, and for all that SQL casts from text. A NUL is refused by PostgreSQL, a lone surrogate becomes U+FFFD. */
export const texts = (values: readonly (string | null)[]): Buffer => array(OID.text, values, writeText);

/** For `json[]`; null is SQL's. @throws RangeError when a text holds a NUL or a lone surrogate */
export const jsons = (values: readonly unknown[]): Buffer => array(OID.json, values, writeJson);

/** For `bytea[]`. */
export const byteStrings = (values: readonly Uint8Array[]): Buffer => array(OID.bytea, values, writeBytes);

/** For `bigint[]`. @param values decimal, as PostgreSQL's driver gives them @throws RangeError beyond 2⁵³ */
export const bigints = (values: readonly (string | null)[]): Buffer =>
  array(OID.int8, values, (value, at) => writeInt64(Number(value), at));

/** For `int[]`. @throws RangeError */
export const integers = (values: readonly number[]): Buffer => array(OID.int4, values, writeInt32);

/** For `smallint[]`. @throws RangeError */
export const smallIntegers = (values: readonly number[]): Buffer => array(OID.int2, values, writeInt16);

/** For `timestamptz[]`. @throws RangeError when one is no instant */
export const instants = (values: readonly (Instant | null)[]): Buffer => array(OID.timestamptz, values, writeInstant);

/** One value of `text[]` as text, for an array of arrays: `unnest` would take one apart to its last element. */
export const arrayLiteral = (values: readonly string[]): string =>
  values.length === 0 ? '{}' : `{${values.map((value) => `"${value.replaceAll(/["\\]/g, String.raw`\$&`)}"`).join(',')}}`;
