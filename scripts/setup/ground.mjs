/** What every part of the set-up stands on: the root folder, running a tool, and the sentence for what cannot be done. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

export const ROOT = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));

export const inRoot = (...names) => path.join(ROOT, ...names);

/** Something that this command may not, or cannot, do: its message is one sentence that says what to run. */
export class CannotSetUp extends Error {}

/**
 * Runs a program to its end without input.
 * @returns {{fine: boolean, output: string}} what it wrote, standard output first
 */
export function run(program, args, { cwd = ROOT, env = process.env } = {}) {
  const ended = spawnSync(program, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 64 * 1024 * 1024 });
  if (ended.error !== undefined) return { fine: false, output: ended.error.message };
  return { fine: ended.status === 0, output: ended.stdout + ended.stderr };
}

/** The first file of that name on PATH, or null. */
export function onPath(program) {
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    if (folder !== '' && existsSync(path.join(folder, program))) return path.join(folder, program);
  }
  return null;
}

/** One digest of the contents of files and of their names; a missing file counts as empty. */
export function digest(files) {
  const hash = createHash('sha256');
  for (const file of files) {
    hash.update(`${path.relative(ROOT, file)}\0`);
    if (existsSync(file)) hash.update(readFileSync(file));
    hash.update('\0');
  }
  return hash.digest('hex');
}

/** What a stamp says, or an empty text. */
export const readStamp = (file) => (existsSync(file) ? readFileSync(file, 'utf8') : '');

/** Writes a stamp so that nobody ever reads half of it. */
export function writeStamp(file, text) {
  writeFileSync(`${file}.${process.pid}`, text);
  renameSync(`${file}.${process.pid}`, file);
}

/** Turns "no rights" and "disk full" into a sentence; anything else is a bug and stays what it is. */
export function sentenceFor(error, what) {
  if (error?.code === 'EACCES' || error?.code === 'EPERM' || error?.code === 'EROFS') {
    const whose = process.getuid?.() === 0 ? '' : ', or run the command once as the owner of the folder';
    return new CannotSetUp(`${what} cannot be written in ${ROOT}: give this user the right to write there${whose}.`);
  }
  if (error?.code === 'ENOSPC') return new CannotSetUp(`The disk of ${ROOT} is full: make room, then run the command again.`);
  return error;
}
