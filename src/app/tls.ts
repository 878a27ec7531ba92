/** Certificate and key of the TLS listeners, read from the files that the settings name. */
import { readFile } from 'node:fs/promises';
import { CentreError, reason } from '../base/errors.ts';
import type { Settings } from '../base/settings.ts';

/** PEM; null when the settings name none. @throws CentreError settings-invalid when a file cannot be read */
export async function tlsOf({ TLS_CERT, TLS_KEY }: Settings): Promise<{ cert: string; key: string } | null> {
  if (TLS_CERT === undefined || TLS_KEY === undefined) return null;
  return { cert: await pem('TLS_CERT', TLS_CERT), key: await pem('TLS_KEY', TLS_KEY) };
}

async function pem(setting: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CentreError('settings-invalid', `${setting} names ${file}, which cannot be read: ${reason(error)}.`, { cause: error });
  }
}
