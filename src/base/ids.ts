/** Makes the identifiers of the centre: receipt ids that sort by time, and secrets. */
import { randomFillSync } from 'node:crypto';
import type { Instant } from './clock.ts';

/** Random bytes; handed in so that a test can repeat a run. */
export type Random = (size: number) => Uint8Array;

/** Asked for in advance: a call to the generator costs as much for a few bytes as for thousands. */
const POOL_BYTES = 4096;
const pool = new Uint8Array(POOL_BYTES);
let used = POOL_BYTES;

/** Of the system's cryptographic generator. No byte is given out twice, and none stays behind here. */
export const systemRandom: Random = (size) => {
  if (size > POOL_BYTES) return randomFillSync(new Uint8Array(size));
  if (used + size > POOL_BYTES) {
    randomFillSync(pool);
    used = 0;
  }
  const given = pool.slice(used, used + size);
  pool.fill(0, used, used + size);
  used += size;
  return given;
};

/** RFC 9562 UUID version 7: 48 bits of milliseconds, then random; sorts by the instant it was made. */
export function receiptId(at: Instant, random: Random): string {
  const bytes = new Uint8Array(16);
  new DataView(bytes.buffer).setUint32(0, Math.floor(at / 0x10000));
  new DataView(bytes.buffer).setUint16(4, at % 0x10000);
  bytes.set(random(10), 6);
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = Buffer.from(bytes).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** A secret of `bits` bits (at least 128), in base64url: for devices, sessions and private stores. */
export function secret(random: Random, bits = 192): string {
  return Buffer.from(random(Math.ceil(bits / 8))).toString('base64url');
}
