/** Where the private stores put their sockets: a folder that only this account can enter, with a path that is short enough. */
import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { CentreError, systemCode } from '../base/errors.ts';

/** Longest path of a Unix socket that Linux takes (sun_path, 108 bytes with its end). */
const LONGEST_SOCKET_PATH = 107;

/**
 * A folder (0700) for sockets named at most like `socket`: below DATA_DIR where the path is short enough, else in the
 * system's folder for temporary files, under a name made from DATA_DIR.
 * @throws CentreError data-dir-not-writable when another account has taken that name
 */
export function socketFolder(dataDir: string, socket: string): string {
  const near = path.join(dataDir, 'run');
  if (Buffer.byteLength(path.join(near, socket)) <= LONGEST_SOCKET_PATH) {
    mkdirSync(near, { recursive: true, mode: 0o700 });
    return near;
  }
  const digest = createHash('sha256').update(dataDir).digest('hex').slice(0, 16);
  const far = path.join(tmpdir(), `responssenter-${digest}`);
  try {
    mkdirSync(far, { mode: 0o700 });
  } catch (error) {
    if (systemCode(error) !== 'EEXIST') throw error;
  }
  const found = lstatSync(far);
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o077) === 0) return far;
  throw new CentreError(
    'data-dir-not-writable',
    `${far} belongs to somebody else: remove it, or set DATA_DIR to a path under 80 characters.`,
  );
}
