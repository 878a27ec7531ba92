/** Makes folders so that they, and what is then made durable in them, are still there after a power cut. */
import { closeSync, fsyncSync, mkdirSync, openSync } from 'node:fs';
import path from 'node:path';

/** A new, renamed or removed name is on the disk for certain only when its folder was synced (fsync(2)). */
export function syncNames(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes `folder` (absolute) and those above it where they are missing (0700), and syncs the name of each. */
export function makeFolder(folder: string): void {
  const first = mkdirSync(folder, { recursive: true, mode: 0o700 });
  if (first === undefined) return;
  for (let made = folder; ; made = path.dirname(made)) {
    syncNames(path.dirname(made));
    if (made === first || made === path.dirname(made)) return;
  }
}
