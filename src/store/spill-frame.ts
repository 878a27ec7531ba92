/**
 * How a record lies in the spill's file. Pure.
 *
 *   offset  0  magic      4   "RSP1"
 *           4  length     4   of the payload, at most 1 MB
 *           8  kind       1
 *           9  seq        6
 *          15  check      4   CRC-32 of the fifteen bytes before
 *          19  payload
 *        19+n  check      4   CRC-32 of the payload
 *
 * The header has a check of its own: a length that was damaged must not pass for a record that was torn off.
 */
import { crc32 } from 'node:zlib';

export type FrameKind = 'signal' | 'claim' | 'done';

export interface Frame {
  readonly seq: number;
  readonly kind: FrameKind;
  readonly payload: Buffer;
}

/** Bytes that are no record. */
export interface Damage {
  readonly from: number;
  readonly to: number;
}

export interface Scanned {
  readonly frames: readonly Frame[];
  readonly damages: readonly Damage[];
  /** Where a record begins that was not written to its end; null: the file ends with a whole one, or with damage. */
  readonly tornAt: number | null;
}

const MAGIC = Buffer.from('RSP1', 'latin1');
const HEADER = 19;
const TAIL = 4;
export const MAX_PAYLOAD = 1024 * 1024;
const KINDS: readonly FrameKind[] = ['signal', 'claim', 'done'];

export const frameSize = (payload: Uint8Array): number => HEADER + payload.length + TAIL;

export function encodeFrame({ seq, kind, payload }: { seq: number; kind: FrameKind; payload: Uint8Array }): Buffer {
  const bytes = Buffer.alloc(frameSize(payload));
  MAGIC.copy(bytes);
  bytes.writeUInt32BE(payload.length, 4);
  bytes.writeUInt8(KINDS.indexOf(kind) + 1, 8);
  bytes.writeUIntBE(seq, 9, 6);
  bytes.writeUInt32BE(crc32(bytes.subarray(0, 15)), 15);
  bytes.set(payload, HEADER);
  bytes.writeUInt32BE(crc32(payload), HEADER + payload.length);
  return bytes;
}

/**
 * Reads a segment from its beginning. Bytes that are no record are passed over up to the next whole one: what is behind a
 * damage is found all the same.
 */
export function scanFrames(bytes: Buffer): Scanned {
  const frames: Frame[] = [];
  const damages: Damage[] = [];
  let at = 0;
  while (at < bytes.length) {
    const frame = frameAt(bytes, at);
    if (typeof frame === 'object') {
      frames.push(frame);
      at += frameSize(frame.payload);
      continue;
    }
    const next = nextFrame(bytes, at + 1);
    if (next === null) {
      // A power cut may leave bytes that were promised and never written: they read as zeros.
      if (frame === 'cut' || bytes.subarray(at).every((byte) => byte === 0)) return { frames, damages, tornAt: at };
      damages.push({ from: at, to: bytes.length });
      break;
    }
    damages.push({ from: at, to: next });
    at = next;
  }
  return { frames, damages, tornAt: null };
}

/** `cut`: the bytes end before the record does. `wrong`: they are no record. */
function frameAt(bytes: Buffer, at: number): Frame | 'cut' | 'wrong' {
  const left = bytes.length - at;
  const begun = Math.min(left, MAGIC.length);
  if (bytes.compare(MAGIC, 0, begun, at, at + begun) !== 0) return 'wrong';
  if (left < HEADER) return 'cut';
  const kind = KINDS[bytes.readUInt8(at + 8) - 1];
  const length = bytes.readUInt32BE(at + 4);
  if (crc32(bytes.subarray(at, at + 15)) !== bytes.readUInt32BE(at + 15) || kind === undefined || length > MAX_PAYLOAD) return 'wrong';
  if (left < HEADER + length + TAIL) return 'cut';
  const payload = bytes.subarray(at + HEADER, at + HEADER + length);
  if (crc32(payload) !== bytes.readUInt32BE(at + HEADER + length)) return 'wrong';
  return { seq: bytes.readUIntBE(at + 9, 6), kind, payload };
}

function nextFrame(bytes: Buffer, from: number): number | null {
  for (let at = bytes.indexOf(MAGIC, from); at !== -1; at = bytes.indexOf(MAGIC, at + 1)) {
    if (typeof frameAt(bytes, at) === 'object') return at;
  }
  return null;
}
