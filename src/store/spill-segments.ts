/** The segments of the spill on the disk: found and read at the start, begun, written, and taken away when all of one is done. */
import { type FileHandle, open, readFile, readdir, rename, unlink } from 'node:fs/promises';
import path from 'node:path';
import type { Log } from '../base/log.ts';
import type { SpillEntry } from '../intake/spill-log.ts';
import { type Frame, encodeFrame, scanFrames } from './spill-frame.ts';

const SEGMENT = /^(\d{15})\.spill$/;
/** Of segments that are kept because they were damaged, and of records that nobody could deal with. */
const ASIDE = /\.(damaged|aside)$/;

/** A segment that is not written any more. */
export interface Segment {
  readonly file: string;
  readonly bytes: number;
  /** Number of its last signal or claim; 0: it holds none. */
  readonly lastEntry: number;
  /** Kept for a technician when it is done. */
  readonly damaged: boolean;
}

export interface FoundSegments {
  readonly segments: readonly Segment[];
  readonly frames: readonly Frame[];
  readonly aside: number;
}

/**
 * Reads all segments in order. A record that was torn off at the very end, as a crash leaves it, is cut off; whatever else is
 * no record is reported, and its segment kept. Doing it twice finds the same.
 * @throws when the directory cannot be read
 */
export async function readSegments(folder: string, log: Log): Promise<FoundSegments> {
  const names = await readdir(folder);
  const found = names.filter((name) => SEGMENT.test(name)).toSorted();
  const segments: Segment[] = [];
  const frames: Frame[] = [];
  let aside = names.filter((name) => ASIDE.test(name)).length;
  for (const [index, name] of found.entries()) {
    const file = path.join(folder, name);
    try {
      const { read, segment } = await readSegment(file, index === found.length - 1, log);
      frames.push(...read);
      segments.push(segment);
    } catch (error) {
      // For a technician: were it read at a later start, newer marks would pass over what it holds.
      log.error('spill-segment-unreadable', { path: file, error });
      await takeAway({ file, damaged: true });
      aside += 1;
    }
  }
  return { segments, frames, aside };
}

async function readSegment(file: string, isLast: boolean, log: Log): Promise<{ read: readonly Frame[]; segment: Segment }> {
  const bytes = await readFile(file);
  const { frames, damages, tornAt } = scanFrames(bytes);
  let length = bytes.length;
  let damaged = damages.length > 0;
  if (tornAt !== null && isLast) {
    await cutOff(file, tornAt);
    log.warn('spill-torn-tail-cut', { path: file, bytes: length - tornAt });
    length = tornAt;
  } else if (tornAt !== null) damaged = true;
  if (damaged) {
    const lost = damages.reduce((sum, { from, to }) => sum + to - from, tornAt === null ? 0 : length - tornAt);
    log.error('spill-segment-damaged', { path: file, bytes: lost, count: damages.length });
  }
  return { read: frames, segment: { file, bytes: length, lastEntry: lastEntryOf(frames), damaged } };
}

const lastEntryOf = (frames: readonly Frame[]): number =>
  frames.reduce((last, { kind, seq }) => (kind === 'done' ? last : Math.max(last, seq)), 0);

async function cutOff(file: string, at: number): Promise<void> {
  const handle = await open(file, 'r+');
  try {
    await handle.truncate(at);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The highest number that was given; a segment of which nothing can be read says at least by its name where it began. */
export const highestNumber = ({ frames, segments }: FoundSegments): number =>
  [...segments.map(({ file }) => Number.parseInt(path.basename(file), 10) || 0), ...frames.map(({ seq }) => seq)].reduce(
    (most, number) => Math.max(most, number),
    0,
  );

/** Makes what was created, renamed or removed in the folder durable. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The one segment that is being written. After any failure it is given up: a descriptor that failed to sync is not trusted again. */
export interface OpenSegment {
  readonly file: string;
  bytes(): number;
  lastEntry(): number;
  /** Appends them all; nothing of them is durable before `sync`. */
  write(frames: readonly Buffer[]): Promise<void>;
  sync(): Promise<void>;
  /** They are durable. */
  wrote(bytes: number, lastEntry: number): void;
  /** Ends it; `clean`: nothing stands behind what is durable. Never rejects. */
  close(clean: boolean): Promise<Segment>;
}

/** Begins a segment whose first record says what is done, and makes it durable with its name. */
export async function beginSegment(folder: string, seq: number, doneUpTo: number): Promise<OpenSegment> {
  const file = path.join(folder, `${String(seq).padStart(15, '0')}.spill`);
  const handle = await open(file, 'ax', 0o600);
  const first = doneFrame(seq, doneUpTo);
  try {
    await writeAll(handle, first);
    await handle.datasync();
    await syncFolder(folder);
  } catch (error) {
    await handle.close().catch(() => undefined);
    await unlink(file).catch(() => undefined);
    throw error;
  }
  let bytes = first.length;
  let lastEntry = 0;
  return {
    file,
    bytes: () => bytes,
    lastEntry: () => lastEntry,
    write: (frames) => writeAll(handle, Buffer.concat(frames)),
    sync: () => handle.datasync(),
    wrote(more, last) {
      bytes += more;
      lastEntry = Math.max(lastEntry, last);
    },
    async close(clean) {
      let damaged = false;
      if (!clean)
        damaged = await handle.truncate(bytes).then(
          () => false,
          () => true,
        );
      await handle.close().catch(() => undefined);
      return { file, bytes, lastEntry, damaged };
    },
  };
}

export const doneFrame = (seq: number, upTo: number): Buffer => {
  const payload = Buffer.alloc(6);
  payload.writeUIntBE(upTo, 0, 6);
  return encodeFrame({ seq, kind: 'done', payload });
};

/** Up to where a mark says that all is done. */
export const doneUpTo = ({ kind, payload }: Frame): number => (kind === 'done' && payload.length === 6 ? payload.readUIntBE(0, 6) : 0);

async function writeAll(handle: FileHandle, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const { bytesWritten } = await handle.write(bytes, at, bytes.length - at);
    at += bytesWritten;
  }
}

/** In order, each once. */
export function undone(frames: readonly Frame[]): SpillEntry[] {
  const upTo = frames.reduce((most, frame) => Math.max(most, doneUpTo(frame)), 0);
  const left = new Map<number, SpillEntry>();
  for (const { seq, kind, payload } of frames) if (kind !== 'done' && seq > upTo) left.set(seq, { seq, kind, payload });
  return [...left.values()].toSorted((a, b) => a.seq - b.seq);
}

/** A file of its own for what nobody could deal with, durable. @throws when it cannot be written */
export async function keepAside(folder: string, name: string, payload: Uint8Array): Promise<void> {
  const handle = await open(path.join(folder, `${name.replaceAll(/[^\w-]/g, '_')}.aside`), 'w', 0o600);
  try {
    await handle.writeFile(payload);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await syncFolder(folder);
}

/** A segment that is done goes; a damaged one is kept under another name. */
export async function takeAway({ file, damaged }: Pick<Segment, 'file' | 'damaged'>): Promise<void> {
  await (damaged ? rename(file, `${file}.damaged`) : unlink(file));
}
