/** Which database a data directory has worked with: one that was there is waited for, one that never was is a wrong setting. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

const fileIn = (dataDir: string): string => path.join(dataDir, 'database');

/** Where it is, without the account and the password. */
function nameOf(databaseUrl: string): string {
  const { host, pathname } = new URL(databaseUrl);
  return `${host}${pathname}\n`;
}

export async function isKnownDatabase(dataDir: string, databaseUrl: string): Promise<boolean> {
  // What cannot be read is not known: the start says then what is wrong.
  const known = await readFile(fileIn(dataDir), 'utf8').catch(() => null);
  return known === nameOf(databaseUrl);
}

/** @throws Error of the file system */
export async function rememberDatabase(dataDir: string, databaseUrl: string): Promise<void> {
  await writeFile(fileIn(dataDir), nameOf(databaseUrl), { mode: 0o600 });
}
