/** Reads what shim.c recorded: one file for each process, put in order by the number that all of them share. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

export const KINDS = [
  'none',
  'write',
  'resize',
  'sync',
  'synced-write',
  'sync-all',
  'create',
  'unlink',
  'rename',
  'link',
  'mkdir',
  'rmdir',
  'unsupported',
] as const;
export type Kind = (typeof KINDS)[number];

/** One record; which of the numbers mean something depends on the kind. Inode numbers are unique as long as nothing is buried for good. */
export interface Entry {
  readonly seq: number;
  readonly kind: Kind;
  /** fdatasync and not fsync. */
  readonly dataOnly: boolean;
  readonly ino: number;
  /** The folders of the first and second name. */
  readonly dir: number;
  readonly dir2: number;
  /** write: offset; resize: new size; sync: covers what has a lower `seq`; synced-write: the write's `seq`. */
  readonly a: number;
  /** write: length. */
  readonly b: number;
  /** write, resize: size before. */
  readonly c: number;
  /** write, resize: the old bytes from `a` on. */
  readonly old: Buffer;
  readonly path: string;
  readonly path2: string;
  /** Where what lost its name can be found. */
  readonly grave: string;
}

const MAGIC = 0x52575031;
const HEAD = 96;

/** All records of a journal folder, first to last. A torn one at the end of a file is what its process was writing when it was killed. */
export function readJournal(folder: string): Entry[] {
  const entries: Entry[] = [];
  for (const name of readdirSync(folder)) {
    if (!name.endsWith('.log')) continue;
    const bytes = readFileSync(path.join(folder, name));
    for (let at = 0; at + HEAD <= bytes.length;) {
      const total = bytes.readUInt32LE(at + 4);
      if (bytes.readUInt32LE(at) !== MAGIC || total < HEAD) throw new Error(`${name} is no journal at ${at}`);
      if (at + total > bytes.length) break;
      entries.push(entryOf(bytes.subarray(at, at + total)));
      at += total;
    }
  }
  return entries.toSorted((one, other) => one.seq - other.seq);
}

function entryOf(bytes: Buffer): Entry {
  const long = (at: number): number => Number(bytes.readBigUInt64LE(at));
  const kind = KINDS[bytes.readUInt32LE(16)] ?? 'none';
  const lengths = [bytes.readUInt32LE(80), bytes.readUInt32LE(84), bytes.readUInt32LE(88)] as const;
  const first = bytes.subarray(HEAD, HEAD + lengths[0]);
  const second = bytes.subarray(HEAD + lengths[0], HEAD + lengths[0] + lengths[1]);
  const third = bytes.subarray(HEAD + lengths[0] + lengths[1], HEAD + lengths[0] + lengths[1] + lengths[2]);
  const isContent = kind === 'write' || kind === 'resize';
  return {
    seq: long(8),
    kind,
    dataOnly: bytes.readUInt32LE(20) === 1,
    ino: long(32),
    dir: long(40),
    dir2: long(48),
    a: long(56),
    b: long(64),
    c: long(72),
    old: isContent ? first : Buffer.alloc(0),
    path: isContent ? '' : first.toString(),
    path2: second.toString(),
    grave: third.toString(),
  };
}
