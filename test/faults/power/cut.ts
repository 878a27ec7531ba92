/** The power cut: what was recorded and not synced is taken back, all of it or any part, and the records begin anew. */
import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import { takeBackContents } from './cut-contents.ts';
import { isName, looseNames, takeBackNames } from './cut-names.ts';
import { type Entry, readJournal } from './journal.ts';

export interface CutOptions {
  /** Folders whose files were recorded. */
  readonly roots: readonly string[];
  /** Whether this name is on the disk only when its folder was synced, as POSIX has it. */
  readonly posix: (path: string) => boolean;
  readonly journal: string;
  readonly graves: string;
  readonly random: () => number;
  /** True: everything that was not synced is gone. False: any part of it. */
  readonly everything: boolean;
}

export interface CutReport {
  /** Writes and resizes that lost something, and all that were recorded. */
  readonly writesLost: number;
  readonly writes: number;
  /** Changes of names that were taken back, and all. */
  readonly namesLost: number;
  readonly names: number;
  readonly syncs: number;
}

/**
 * Changes the files below the roots to what a disk might hold; nothing may have them open.
 * @throws Error when something happened there that the shim cannot record
 */
export function cut(options: CutOptions): CutReport {
  const { roots, posix, journal, graves, random, everything } = options;
  const entries = readJournal(journal);
  const strange = entries.find(({ kind }) => kind === 'unsupported');
  if (strange !== undefined) throw new Error(`the power shim cannot record this: ${strange.path}`);

  const loose = looseNames(entries, posix);
  const kept = everything ? 0 : Math.floor(random() * (loose.length + 1));
  takeBackNames(loose.slice(kept));

  const chance = { random, everything, sector: random() < 0.5 ? 512 : 4096 };
  const { changes, syncedWrites } = unsynced(entries);
  let writesLost = 0;
  for (const [ino, file] of filesBelow(roots)) writesLost += takeBackContents(file, changes.get(ino) ?? [], syncedWrites, chance);
  forgetRecords(journal, graves);
  return {
    writesLost,
    writes: entries.filter(isContent).length,
    namesLost: loose.length - kept,
    names: entries.filter(isName).length,
    syncs: entries.filter(({ kind }) => kind === 'sync' || kind === 'sync-all').length,
  };
}

/** What is on the disk now is the disk; nothing that records may run. The last records stay beside for who looks for a cause. */
export function forgetRecords(journal: string, graves: string): void {
  const last = `${journal}.last`;
  rmSync(last, { recursive: true, force: true });
  if (existsSync(journal)) renameSync(journal, last);
  rmSync(graves, { recursive: true, force: true });
  for (const folder of [journal, graves]) mkdirSync(folder, { recursive: true, mode: 0o700 });
}

const isContent = ({ kind }: Entry): boolean => kind === 'write' || kind === 'resize';

function unsynced(entries: readonly Entry[]): { changes: Map<number, Entry[]>; syncedWrites: Set<number> } {
  const upto = new Map<number, number>();
  const syncedWrites = new Set<number>();
  let all = 0;
  for (const { kind, ino, a } of entries) {
    if (kind === 'sync') upto.set(ino, Math.max(upto.get(ino) ?? 0, a));
    else if (kind === 'sync-all') all = Math.max(all, a);
    else if (kind === 'synced-write') syncedWrites.add(a);
  }
  const changes = new Map<number, Entry[]>();
  for (const entry of entries) {
    if (!isContent(entry) || entry.seq < Math.max(all, upto.get(entry.ino) ?? 0)) continue;
    const list = changes.get(entry.ino);
    if (list === undefined) changes.set(entry.ino, [entry]);
    else list.push(entry);
  }
  return { changes, syncedWrites };
}

function filesBelow(roots: readonly string[]): Map<number, string> {
  const found = new Map<number, string>();
  for (const root of roots) {
    if (lstatSync(root, { throwIfNoEntry: false }) === undefined) continue;
    for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
      const file = path.join(entry.parentPath, entry.name);
      if (entry.isFile()) found.set(lstatSync(file).ino, file);
    }
  }
  return found;
}
