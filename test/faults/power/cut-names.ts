/** Takes back names (made, renamed, removed) that no sync has brought to the disk: which may go, and how they go. */
import { linkSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import type { Entry } from './journal.ts';

const NAME_KINDS = new Set(['create', 'unlink', 'rename', 'link', 'mkdir', 'rmdir']);
export const isName = ({ kind }: Entry): boolean => NAME_KINDS.has(kind);

/**
 * Those changes of names that a power cut may take back, first to last.
 *
 * A sync of the folder brings the names in it to the disk. Outside of `posix` a sync of the file itself brings its own name
 * along, as ext4, xfs and btrfs do; fdatasync does so only for a file that is new. What a change on the disk rests upon
 * (an earlier one of the same name, or the folder above) is on the disk too: no name has a history that contradicts itself.
 * @param posix tells of a path that nothing but a sync of its folder counts there: its folder may be gone with all in it
 */
export function looseNames(entries: readonly Entry[], posix: (path: string) => boolean): Entry[] {
  const folders = new Map<number, number>();
  const files = new Map<number, number>();
  const newFiles = new Map<number, number>();
  let all = 0;
  const raise = (map: Map<number, number>, { ino, a }: Entry): unknown => map.set(ino, Math.max(map.get(ino) ?? 0, a));
  for (const entry of entries) {
    if (entry.kind === 'sync-all') all = Math.max(all, entry.a);
    if (entry.kind !== 'sync') continue;
    raise(newFiles, entry);
    if (!entry.dataOnly) raise(files, entry);
    if (!entry.dataOnly) raise(folders, entry);
  }
  const covers = (map: Map<number, number>, ino: number, seq: number): boolean => (map.get(ino) ?? 0) > seq;
  const isSynced = (entry: Entry): boolean => {
    const { seq, kind, dir, dir2, ino } = entry;
    if (all > seq || covers(folders, dir, seq) || (dir2 !== 0 && covers(folders, dir2, seq))) return true;
    if (posix(kind === 'rename' ? entry.path2 : entry.path) || kind === 'unlink' || kind === 'rmdir') return false;
    return covers(kind === 'create' ? newFiles : files, ino, seq);
  };
  const restsOn = new Set<string>();
  const restsIn = new Set<string>();
  const loose: Entry[] = [];
  for (const entry of entries.filter(isName).toReversed()) {
    const names = entry.path2 === '' ? [entry.path] : [entry.path, entry.path2];
    if (!isSynced(entry) && !names.some((name) => restsOn.has(name) || (restsIn.has(name) && !posix(name)))) {
      loose.push(entry);
      continue;
    }
    for (const name of names) {
      restsOn.add(name);
      for (const folder of foldersOf(name)) restsIn.add(folder);
    }
  }
  return loose.toReversed();
}

function foldersOf(name: string): string[] {
  const all: string[] = [];
  for (let end = name.lastIndexOf('/'); end > 0; end = name.lastIndexOf('/', end - 1)) all.push(name.slice(0, end));
  return all;
}

/** Takes these back, last to first. */
export function takeBackNames(entries: readonly Entry[]): void {
  for (const { kind, path, path2, grave } of entries.toReversed()) {
    if (kind === 'create' || kind === 'link') rmSync(path, { force: true });
    else if (kind === 'mkdir') rmSync(path, { recursive: true, force: true });
    else if (kind === 'rmdir') mkdirSync(path, { mode: 0o700 });
    else if (kind === 'unlink' && grave !== '') linkSync(grave, path);
    else if (kind === 'rename') {
      renameSync(path2, path);
      if (grave !== '') linkSync(grave, path2);
    }
  }
}
