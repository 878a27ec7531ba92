/** Takes back bytes of one file that no sync has brought to the disk, sector by sector, as if each was written back or not. */
import { closeSync, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import type { Entry } from './journal.ts';

export interface Chance {
  /** From 0 to below 1. */
  readonly random: () => number;
  /** Bytes that a disk writes whole or not at all: 512 or 4096. */
  readonly sector: number;
  /** Everything that was not synced goes; else any part of it. */
  readonly everything: boolean;
}

/**
 * @param changes writes and resizes of this file that were not synced, first to last
 * @param syncedWrites the `seq` of those that were made with O_DSYNC and returned
 * @returns how many of them lost something
 */
export function takeBackContents(file: string, changes: readonly Entry[], syncedWrites: ReadonlySet<number>, chance: Chance): number {
  if (changes.length === 0) return 0;
  const last = changes.findLastIndex(({ seq }) => syncedWrites.has(seq));
  // Blocks that a truncation gave away do not come back under a longer file: it is kept with all before it, or is the first to go.
  const stages = chance.everything ? [last + 1] : [...[...changes.keys()].filter((n) => n > last && isShrink(changes[n])), changes.length];
  const end = stages[Math.floor(chance.random() * stages.length)] ?? changes.length;
  const floors = changes.slice(0, end).flatMap((change, n) => {
    if (isShrink(change)) return [{ from: change.a, to: Infinity, floor: n + 1 }];
    return syncedWrites.has(change.seq) ? [{ from: change.a, to: change.a + change.b, floor: n + 1 }] : [];
  });
  const kept = new Map<number, number>();
  /** How many of the changes this sector has seen. */
  const versionOf = (sector: number): number => {
    const known = kept.get(sector);
    if (known !== undefined) return known;
    const [start, stop] = [sector * chance.sector, (sector + 1) * chance.sector];
    const floor = floors.reduce((most, { from, to, floor: one }) => (from < stop && to > start ? Math.max(most, one) : most), 0);
    const version = chance.everything ? floor : between(floor, end, chance);
    kept.set(sector, version);
    return version;
  };

  const fd = openSync(file, 'r+');
  try {
    let touched = 0;
    for (let n = changes.length - 1; n >= 0; n--) {
      const change = changes[n]!;
      const [from, to] = change.kind === 'write' ? [change.a, change.a + change.b] : [change.a, Math.max(change.a, change.c)];
      const lost = runs(from, to, chance.sector, (sector) => versionOf(sector) <= n);
      for (const [start, stop] of lost) restore(fd, change, start, stop);
      if (lost.length > 0) touched += 1;
    }
    const least = floors.reduce((most, { floor }) => Math.max(most, floor), 0);
    const seen = chance.everything ? least : between(least, end, chance);
    const size = seen === 0 ? changes[0]!.c : sizeAfter(changes[seen - 1]!);
    if (size !== fstatSync(fd).size) ftruncateSync(fd, size);
    return touched;
  } finally {
    closeSync(fd);
  }
}

const isShrink = (change: Entry | undefined): boolean => change?.kind === 'resize' && change.a < change.c;
const sizeAfter = ({ kind, a, b, c }: Entry): number => (kind === 'resize' ? a : Math.max(c, a + b));

/** Often the one end or the other, as disks do; else any. */
function between(low: number, high: number, { random }: Chance): number {
  const die = random();
  if (die < 0.4) return low;
  return die < 0.7 ? high : low + Math.floor(random() * (high - low + 1));
}

/** The parts of [from, to) whose sectors are lost. */
function runs(from: number, to: number, sector: number, isLost: (sector: number) => boolean): [number, number][] {
  const found: [number, number][] = [];
  for (let at = from; at < to;) {
    const stop = Math.min(to, (Math.floor(at / sector) + 1) * sector);
    if (isLost(Math.floor(at / sector))) {
      const before = found.at(-1);
      if (before?.[1] === at) before[1] = stop;
      else found.push([at, stop]);
    }
    at = stop;
  }
  return found;
}

/** The old bytes, and nothing (zeros) where there were none. */
function restore(fd: number, { a, old }: Entry, start: number, stop: number): void {
  const had = Math.min(stop, a + old.length);
  if (had > start) writeSync(fd, old, start - a, had - start, start);
  const blank = Math.max(start, a + old.length);
  if (stop > blank && blank < fstatSync(fd).size) writeSync(fd, Buffer.alloc(stop - blank), 0, stop - blank, blank);
}
