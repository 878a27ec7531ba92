/** The demonstration's people: accounts with a known password, and the households of config/demo/register.csv. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Role } from '../alarms/command.ts';
import type { Clock } from '../base/clock.ts';
import { CentreError, reason } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Random } from '../base/ids.ts';
import { ALL_MUNICIPALITIES } from './access.ts';
import { type AccountBook, hashPassword } from './accounts.ts';
import { type ImportParts, type RegisterStore, importRegister } from './register-import.ts';

export const DEMO_PASSWORD = 'demo';

interface DemoAccount {
  readonly account: string;
  readonly name: string;
  readonly roles: readonly Role[];
  readonly municipalities: readonly string[];
  readonly phone: string;
}

const everywhere = [ALL_MUNICIPALITIES];

/** interfaces.md, Demonstration. */
export const DEMO_ACCOUNTS: readonly DemoAccount[] = [
  { account: 'operator', name: 'Kari Operatør', roles: ['operator'], municipalities: everywhere, phone: '' },
  { account: 'operator2', name: 'Ola Operatør', roles: ['operator'], municipalities: everywhere, phone: '' },
  { account: 'sola', name: 'Sunniva Sola', roles: ['operator'], municipalities: ['1124'], phone: '' },
  { account: 'natt', name: 'Nils Nattpatrulje', roles: ['responder'], municipalities: everywhere, phone: '+4759003001' },
  { account: 'natt2', name: 'Nora Nattpatrulje', roles: ['responder'], municipalities: everywhere, phone: '+4759003002' },
  { account: 'teknisk', name: 'Terje Tekniker', roles: ['technician'], municipalities: everywhere, phone: '+4759003003' },
  { account: 'leder', name: 'Lise Leder', roles: ['supervisor'], municipalities: everywhere, phone: '+4759003004' },
];

export interface DemoParts {
  readonly configDir: string;
  readonly accounts: AccountBook;
  readonly register: RegisterStore;
  readonly known: ImportParts['known'];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/**
 * Puts the demonstration's accounts and register in, at each start: what is there already stays or becomes the same.
 * @throws CentreError register-invalid with every fault of the file, store-away
 */
export async function seedDemo({ configDir, accounts, register, known, clock, random, log }: DemoParts): Promise<void> {
  const there = new Set((await accounts.list()).map(({ account }) => account));
  const missing = DEMO_ACCOUNTS.filter(({ account }) => !there.has(account));
  if (missing.length > 0) {
    const passwordHash = await hashPassword(DEMO_PASSWORD);
    for (const account of missing) await accounts.add({ ...account, disabledAt: null }, passwordHash, clock.now());
  }
  const path = join(configDir, 'demo', 'register.csv');
  const file = await readFile(path).catch((error: unknown) => {
    throw new CentreError('register-invalid', `The demonstration's register ${path} cannot be read: ${reason(error)}.`, { cause: error });
  });
  // Every device of the file has its secret in the file: none is made.
  const result = await importRegister(file, false, { store: register, known, clock, random, keepSecrets: () => Promise.resolve() });
  if ('faults' in result) {
    const lines = result.faults.map(({ line, message }) => `${path}, line ${line}: ${message}`);
    throw new CentreError('register-invalid', lines.join('\n'));
  }
  log.info('demo-seeded', { count: result.households });
}
