/**
 * The spill's file: a row of segments in a directory of its own, to which records are appended and synced before they are
 * answered. Holds personal data for as long as PostgreSQL has not taken it over: directory 0700, files 0600.
 *
 * What makes it safe to acknowledge by:
 * - Appends that come together share one `fdatasync`; each is answered after it, in order.
 * - After a failed write or sync nothing of that batch is answered, the segment is given up and the next begins a new one:
 *   what the kernel says about a descriptor whose sync failed once is not to be believed.
 * - A new segment is durable with its name before anything in it is; each begins with the mark of what is done, so that older
 *   ones may go in any order. Numbers go on from the highest found: the newest segment is never removed.
 * - A mark "done" is a saving of work and no more: what is replayed twice is known by its receipt id.
 */
import { chmod } from 'node:fs/promises';
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { reached } from '../base/points.ts';
import { NotSpilled, type OpenedSpill, type SpillFault, type SpillKind, type SpillLog } from '../intake/spill-log.ts';
import { makeFolder } from './made-folders.ts';
import { DiskWatch, unusable } from './spill-disk.ts';
import { MAX_PAYLOAD, encodeFrame, frameSize } from './spill-frame.ts';
import {
  type FoundSegments,
  type OpenSegment,
  type Segment,
  beginSegment,
  doneFrame,
  doneUpTo,
  highestNumber,
  keepAside,
  readSegments,
  syncFolder,
  takeAway,
  undone,
} from './spill-segments.ts';

const SEGMENT_BYTES = 8 * 1024 * 1024;
/** Written with one sync at most. */
const BATCH_BYTES = 1024 * 1024;
/** Waiting for their sync at most; beyond it the disk is too slow to promise anything. */
const MOST_WAITING_BYTES = 16 * 1024 * 1024;

export interface SpillFileParts {
  /** Made where it is missing. */
  readonly folder: string;
  readonly maxBytes: number;
  readonly segmentBytes?: number;
  readonly clock: Clock;
  readonly log: Log;
}

interface Waiting {
  readonly seq: number;
  readonly kind: SpillKind | 'done';
  readonly bytes: Buffer;
  readonly wrote: () => void;
  readonly failed: (error: NotSpilled) => void;
}

/** Reads what is there and begins a segment. A disk that cannot be written does not keep the centre from starting. */
export async function openSpillFile(parts: SpillFileParts): Promise<OpenedSpill> {
  const { folder, log } = parts;
  let found: FoundSegments;
  try {
    makeFolder(folder);
    await chmod(folder, 0o700);
    found = await readSegments(folder, log);
  } catch (error) {
    // Written blindly, its marks could pass over entries that are there and could not be read.
    log.error('spill-folder-not-usable', { path: folder, error });
    return { entries: [], log: unusable(error) };
  }
  const file = new SpillFile(parts, found);
  const entries = undone(found.frames);
  await file.begin();
  if (entries.length > 0) log.warn('spill-found', { count: entries.length, path: folder });
  return { entries, log: file };
}

const sizeOf = (all: readonly Waiting[]): number => all.reduce((sum, { bytes }) => sum + bytes.length, 0);

class SpillFile implements SpillLog {
  readonly #parts: SpillFileParts;
  readonly #disk: DiskWatch;
  #segments: Segment[];
  #aside: number;
  #current: OpenSegment | null = null;
  #seq: number;
  #doneUpTo: number;
  #waiting: Waiting[] = [];
  #waitingBytes = 0;
  #working: Promise<void> = Promise.resolve();
  #isWorking = false;
  /** Being written. */
  #inHand: readonly Waiting[] = [];
  #broken = false;
  #refusedFull = false;

  constructor(parts: SpillFileParts, found: FoundSegments) {
    this.#parts = parts;
    this.#disk = new DiskWatch(parts.clock, (error) => this.#refuseAll(error));
    this.#segments = [...found.segments];
    this.#aside = found.aside;
    this.#seq = highestNumber(found);
    this.#doneUpTo = found.frames.reduce((most, frame) => Math.max(most, doneUpTo(frame)), 0);
  }

  /** Tries to have a segment to write; says whether the disk can be written. */
  async begin(): Promise<void> {
    this.#current ??= await this.#begun();
    await this.#clear();
  }

  append(kind: SpillKind, payload: Uint8Array, spare = 0): Promise<number> {
    if (this.#disk.stuck) return Promise.reject(new NotSpilled('broken'));
    const size = frameSize(payload);
    // Claims are few, one for each alarm at most: what is in must be able to be claimed.
    const bound = kind === 'claim' ? Number.POSITIVE_INFINITY : this.#parts.maxBytes * (1 - spare);
    const full = this.#bytes() + this.#waitingBytes + size > bound;
    // That it takes no technical signals says nothing about calls for help, and a claim nothing about signals.
    if (kind !== 'claim' && (spare === 0 || !full)) this.#refusedFull = full;
    if (full || payload.length > MAX_PAYLOAD) return Promise.reject(new NotSpilled('full'));
    if (this.#waitingBytes + size > MOST_WAITING_BYTES) return Promise.reject(new NotSpilled('broken'));
    this.#seq += 1;
    const seq = this.#seq;
    return new Promise((resolve, reject) => {
      this.#queue({ seq, kind, bytes: encodeFrame({ seq, kind, payload }), wrote: () => resolve(seq), failed: reject });
    });
  }

  done(upTo: number): Promise<void> {
    this.#doneUpTo = Math.max(this.#doneUpTo, upTo);
    this.#seq += 1;
    const seq = this.#seq;
    return new Promise((resolve) => {
      const dealt = (): void => resolve();
      this.#queue({ seq, kind: 'done', bytes: doneFrame(seq, this.#doneUpTo), wrote: dealt, failed: dealt });
    });
  }

  async setAside(name: string, payload: Uint8Array): Promise<void> {
    await keepAside(this.#parts.folder, name, payload);
    this.#aside += 1;
  }

  state(): { bytes: number; fault: SpillFault | null; aside: number } {
    const fault = this.#broken ? 'broken' : this.#refusedFull && this.#bytes() > 0 ? 'full' : null;
    return { bytes: this.#bytes(), fault, aside: this.#aside + this.#segments.filter(({ damaged }) => damaged).length };
  }

  async stop(): Promise<void> {
    // Of a disk that hangs nothing can be closed.
    while (this.#isWorking && !this.#disk.stuck) await this.#disk.endedOrStuck(this.#working);
    if (this.#isWorking) return;
    const current = this.#current;
    this.#current = null;
    await current?.close(true);
  }

  #bytes(): number {
    return this.#segments.reduce((sum, { bytes }) => sum + bytes, this.#current?.bytes() ?? 0);
  }

  #refuseAll(error: NotSpilled): void {
    this.#works(false, error.cause);
    const refused = this.#waiting.filter(({ kind }) => kind !== 'done');
    this.#waiting = this.#waiting.filter(({ kind }) => kind === 'done');
    this.#waitingBytes -= sizeOf(refused);
    for (const { failed } of [...this.#inHand, ...refused]) failed(error);
  }

  /** A disk that hung has answered: whether it takes anything is known by a new segment. */
  async #beginAnew(): Promise<void> {
    await this.#giveUp(true);
    this.#current = await this.#begun();
  }

  #queue(one: Waiting): void {
    this.#waiting.push(one);
    this.#waitingBytes += one.bytes.length;
    if (!this.#isWorking) this.#working = this.#work();
  }

  async #work(): Promise<void> {
    this.#isWorking = true;
    // What comes in the same turn of the event loop shares the first sync.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      this.#inHand = batch;
      const error = await this.#disk.asking(() => this.#write(batch));
      this.#inHand = [];
      this.#waitingBytes -= sizeOf(batch);
      const settle = (one: Waiting): void => (error === null ? one.wrote() : one.failed(error));
      const [marks, entries] = [batch.filter(({ kind }) => kind === 'done'), batch.filter(({ kind }) => kind !== 'done')];
      entries.forEach(settle);
      if (marks.length > 0) {
        await this.#disk.asking(async () => {
          await this.#clear();
          if (this.#disk.stuck) await this.#beginAnew();
        });
      }
      marks.forEach(settle);
    }
    // In the same turn as the look: what is appended from now on begins its own work.
    this.#isWorking = false;
  }

  #take(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const one of this.#waiting) {
      if (count > 0 && bytes + one.bytes.length > BATCH_BYTES) break;
      bytes += one.bytes.length;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  /** Null: all of it is durable. Else nothing of it is answered. */
  async #write(batch: readonly Waiting[]): Promise<NotSpilled | null> {
    try {
      const { segmentBytes = Math.min(SEGMENT_BYTES, this.#parts.maxBytes / 8) } = this.#parts;
      if (this.#current !== null && this.#current.bytes() >= segmentBytes) await this.#giveUp(true);
      this.#current ??= await beginSegment(this.#parts.folder, ++this.#seq, this.#doneUpTo);
      await this.#current.write(batch.map(({ bytes }) => bytes));
      reached('before-spill-sync');
      await this.#current.sync();
      // It has been refused meanwhile: it must not be found at the next start.
      if (this.#disk.stuck) throw new Error('the disk has answered too late');
      const last = batch.reduce((most, { kind, seq }) => (kind === 'done' ? most : Math.max(most, seq)), 0);
      this.#current.wrote(sizeOf(batch), last);
      reached('after-spill-sync');
      this.#works(true);
      return null;
    } catch (error) {
      await this.#giveUp(false);
      this.#works(false, error);
      if (this.#disk.stuck) await this.#beginAnew();
      return new NotSpilled('broken', { cause: error });
    }
  }

  async #begun(): Promise<OpenSegment | null> {
    try {
      const begun = await beginSegment(this.#parts.folder, ++this.#seq, this.#doneUpTo);
      this.#works(true);
      return begun;
    } catch (error) {
      this.#works(false, error);
      return null;
    }
  }

  async #giveUp(clean: boolean): Promise<void> {
    const current = this.#current;
    this.#current = null;
    if (current !== null) this.#segments.push(await current.close(clean));
  }

  #works(yes: boolean, error?: unknown): void {
    const { log, folder } = this.#parts;
    if (!yes && !this.#broken) log.error('spill-not-writable', { path: folder, error });
    if (yes && this.#broken) log.warn('spill-writable-again', { path: folder });
    this.#broken = !yes;
  }

  /** Takes away the segments of which all is done; the last one only when another has begun. */
  async #clear(): Promise<void> {
    const { folder, log } = this.#parts;
    const current = this.#current;
    if (current !== null && current.lastEntry() > 0 && current.lastEntry() <= this.#doneUpTo && this.#waiting.length === 0) {
      const next = await this.#begun();
      if (next !== null) {
        await this.#giveUp(true);
        this.#current = next;
      }
    }
    // Without a newer one the numbers would begin anew at the next start: one must stay.
    const older = this.#current === null ? this.#segments.slice(0, -1) : this.#segments;
    const gone = older.filter(({ lastEntry }) => lastEntry <= this.#doneUpTo);
    if (gone.length === 0) return;
    this.#refusedFull = false;
    for (const segment of gone) {
      try {
        await takeAway(segment);
        this.#segments = this.#segments.filter((one) => one !== segment);
        if (segment.damaged) this.#aside += 1;
      } catch (error) {
        log.warn('spill-segment-not-removed', { path: segment.file, error });
      }
    }
    await syncFolder(folder).catch((error: unknown) => log.warn('spill-folder-not-synced', { path: folder, error }));
  }
}
