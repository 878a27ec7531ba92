/**
 * The data directory of one centre: made, checked, and held by one process at a time, whatever a kill -9 left in it.
 *
 *   DATA_DIR/
 *     lock/<n>      who holds it: the highest n, if the process that it names still lives
 *     ready.json    where the centre listens; there only while it does
 *     database      where the database that DATABASE_URL names is, once it was there
 *     run/          sockets of the private stores
 *     postgres/ redis/ postgres.log redis.log
 */
import { constants } from 'node:fs';
import { access, link, mkdir, open, readFile, readdir, realpath, rename, rm, unlink } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { CentreError, systemCode } from '../base/errors.ts';
import { makeFolder } from './made-folders.ts';
import { startOf } from './processes.ts';

export interface DataDir {
  /** Absolute, links resolved. */
  readonly path: string;
  /** Writes `DATA_DIR/ready.json` whole or not at all. */
  writeReady(ready: unknown): Promise<void>;
  /** Removes ready.json and lets go of the directory. Doing it twice does no harm. */
  release(): Promise<void>;
}

const READY = 'ready.json';
const LOCK = 'lock';
const FREE = '';

/** Tells apart the claims of one process. */
let claims = 0;

/**
 * Makes `folder` where it is missing (0700) and takes it for this process.
 * @throws CentreError data-dir-not-writable, data-dir-in-use (naming the process that holds it)
 */
export async function openDataDir(folder: string): Promise<DataDir> {
  const absolute = path.resolve(folder);
  try {
    return await take(absolute);
  } catch (error) {
    throw sentenceFor(error, absolute);
  }
}

async function take(absolute: string): Promise<DataDir> {
  makeFolder(absolute);
  const folder = await realpath(absolute);
  await access(folder, constants.R_OK | constants.W_OK | constants.X_OK);
  const lock = await takeLock(folder);
  const ready = path.join(folder, READY);
  await rm(ready, { force: true });
  let held = true;
  return {
    path: folder,
    writeReady: (content) => replaceFile(ready, `${JSON.stringify(content, null, 2)}\n`),
    release: async () => {
      if (!held) return;
      held = false;
      await rm(ready, { force: true });
      await replaceFile(lock, FREE);
    },
  };
}

/**
 * The lock is a row of numbered files, of which the highest counts. Who wants it makes the next number with link(2),
 * which only one can; a file that counts is never deleted, only followed or (by its owner) emptied. So no number is
 * ever given twice, and clearing a dead owner's lock cannot clear the one that a third process has just taken.
 * @returns the file that says that this process holds it
 */
async function takeLock(folder: string): Promise<string> {
  const locks = path.join(folder, LOCK);
  await mkdir(locks, { recursive: true, mode: 0o700 });
  claims += 1;
  const claim = path.join(locks, `claim-${process.pid}-${claims}`);
  await writeWhole(claim, `${process.pid} ${startOf(process.pid) ?? 'unknown'}\n`);
  try {
    for (;;) {
      const highest = await highestIn(locks);
      const holder = highest === 0 ? null : await holderOf(path.join(locks, String(highest)));
      if (holder !== null) throw inUse(folder, holder);
      const own = path.join(locks, String(highest + 1));
      if (!(await linked(claim, own))) continue;
      // Somebody who counted more slowly may have made a number that had been cleared away already.
      if ((await highestIn(locks)) === highest + 1) {
        await clearBelow(locks, highest + 1);
        return own;
      }
      await unlink(own);
    }
  } finally {
    await rm(claim, { force: true });
  }
}

async function highestIn(locks: string): Promise<number> {
  const numbers = (await readdir(locks)).filter((name) => /^\d+$/.test(name)).map(Number);
  return Math.max(0, ...numbers);
}

/** The process that the lock file names, when it still lives; what cannot be read was left by a crash of the machine. */
async function holderOf(file: string): Promise<number | null> {
  const text = await readFile(file, 'utf8').catch(() => FREE);
  const [, pid = '', start = ''] = /^(\d+) (\S+)\n$/.exec(text) ?? [];
  return pid !== '' && startOf(Number(pid)) === start ? Number(pid) : null;
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

async function clearBelow(locks: string, own: number): Promise<void> {
  for (const name of await readdir(locks)) {
    if (/^\d+$/.test(name) && Number(name) < own) await rm(path.join(locks, name), { force: true });
  }
}

async function replaceFile(file: string, content: string): Promise<void> {
  await writeWhole(`${file}.new`, content);
  await rename(`${file}.new`, file);
}

async function writeWhole(file: string, content: string): Promise<void> {
  const handle = await open(file, 'w', 0o600);
  try {
    await handle.writeFile(content);
    await handle.datasync();
  } finally {
    await handle.close();
  }
}

const inUse = (folder: string, pid: number): CentreError =>
  new CentreError(
    'data-dir-in-use',
    `DATA_DIR ${folder} is in use by the centre with process number ${pid}: stop that one first, or give this one another DATA_DIR.`,
  );

/** What the system said about the directory, as one sentence; anything else is a bug and stays what it is. */
function sentenceFor(error: unknown, folder: string): unknown {
  const said: Readonly<Record<string, string>> = {
    EACCES: 'this account has no right to write there',
    EPERM: 'this account has no right to write there',
    EROFS: 'it is on a file system that is read-only',
    ENOTDIR: 'a part of that path is a file',
    EEXIST: 'there is a file of that name',
    ENOSPC: 'the disk is full',
    EDQUOT: 'the quota of this account is used up',
    ENAMETOOLONG: 'that path is too long',
  };
  const why = said[systemCode(error) ?? ''];
  if (why === undefined) return error;
  return new CentreError('data-dir-not-writable', `DATA_DIR ${folder} cannot be used, because ${why}: mend that, or set DATA_DIR.`, {
    cause: error,
  });
}
