/** `npm run admin`: accounts and the register from the command line; how a new centre gets its first supervisor. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROLES } from '../alarms/command.ts';
import { type Clock, toIso } from '../base/clock.ts';
import { CentreError, reason } from '../base/errors.ts';
import type { Random } from '../base/ids.ts';
import type { AccountBook } from './accounts.ts';
import { addUser, listUsers, setDisabled, setPassword } from './admin-users.ts';
import { type ImportParts, type MadeSecret, type RegisterStore, importRegister } from './register-import.ts';
import type { Terminal } from './terminal.ts';

/** Commands about what this folder knows nothing of: the word they begin with, what the help says of them, and what runs them. */
export interface AdminArea {
  readonly word: string;
  /** Lines of the list of commands. */
  readonly help: string;
  /** @param argv what follows the word @returns the exit code @throws CentreError */
  run(argv: readonly string[]): Promise<number>;
}

export interface AdminParts {
  readonly accounts: AccountBook;
  readonly register: RegisterStore;
  readonly known: ImportParts['known'];
  readonly terminal: Terminal;
  /** Where files with secrets go (DATA_DIR). */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly areas: readonly AdminArea[];
}

const helpOf = ({ areas }: Pick<AdminParts, 'areas'>): string => `npm run admin -- <command>

  user add <username> --name "<full name>" --role <role,…> --municipality <number,…|all> [--phone <number>]
  user list
  user password <username>
  user disable <username>
  user enable <username>
  import <register.csv> [--dry-run] [--secrets <file>]
${areas.map(({ help }) => `${help}\n`).join('')}
Roles: ${ROLES.join(', ')}.
The password is asked for, or read from standard input with --password-stdin, or made and shown once with --generate.
import checks the whole file and writes all of it or nothing (docs/register-import.md). Secrets that it makes for new
MQTT devices go into a file that only you can read.`;

/** @returns the exit code; what is wrong is said on the terminal. @throws CentreError store-away */
export async function runAdmin(argv: readonly string[], parts: AdminParts): Promise<number> {
  try {
    return await run(argv, parts);
  } catch (error) {
    if (!(error instanceof CentreError) || error.kind === 'store') throw error;
    parts.terminal.complain(error.message);
    return 1;
  }
}

const wrong = (message: string, parts: AdminParts): CentreError =>
  new CentreError('command-line-invalid', `${message}\n\n${helpOf(parts)}`);

async function run(argv: readonly string[], parts: AdminParts): Promise<number> {
  const other = parts.areas.find(({ word }) => word === argv[0]);
  if (other !== undefined) return other.run(argv.slice(1));
  const { positionals, values } = parsed(argv, parts);
  const [area, ...rest] = positionals;
  if (values.help === true || area === undefined || area === 'help') {
    parts.terminal.say(helpOf(parts));
    return 0;
  }
  if (area === 'import') return importFile(rest, values, parts);
  if (area !== 'user') throw wrong(`There is no command "${area}".`, parts);
  const [command, username, ...more] = rest;
  if (command === 'list') return listUsers(parts);
  if (username === undefined || more.length > 0) throw wrong(`"user ${command ?? ''}" takes one username.`, parts);
  switch (command) {
    case 'add':
      return addUser(username, values, parts);
    case 'password':
      return setPassword(username, values, parts);
    case 'disable':
      return setDisabled(username, true, parts);
    case 'enable':
      return setDisabled(username, false, parts);
    default:
      throw wrong(`There is no command "user ${command ?? ''}".`, parts);
  }
}

const OPTIONS = {
  help: { type: 'boolean' },
  name: { type: 'string' },
  role: { type: 'string', multiple: true },
  municipality: { type: 'string', multiple: true },
  phone: { type: 'string' },
  'password-stdin': { type: 'boolean' },
  generate: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  secrets: { type: 'string' },
} as const;

export type AdminValues = ReturnType<typeof parsed>['values'];

function parsed(argv: readonly string[], parts: AdminParts) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw wrong(`${reason(error)}.`, parts);
  }
}

async function importFile(positionals: readonly string[], values: AdminValues, parts: AdminParts): Promise<number> {
  const { terminal, clock, random, known, register, dataDir } = parts;
  const [path, ...more] = positionals;
  if (path === undefined || more.length > 0) throw wrong('"import" takes one file.', parts);
  const stamp = toIso(clock.now()).replace(/[:.]/g, '-');
  const secretsPath = values.secrets ?? join(dataDir, `device-secrets-${stamp}.csv`);
  const keepSecrets = async (secrets: readonly MadeSecret[]): Promise<void> => {
    await terminal.writeSecretFile(secretsPath, ['device;secret', ...secrets.map((one) => `${one.serial};${one.secret}`), ''].join('\n'));
  };
  const dryRun = values['dry-run'] === true;
  const result = await importRegister(await terminal.readFile(path), dryRun, { store: register, known, clock, random, keepSecrets });
  if ('faults' in result) {
    for (const { line, message } of result.faults) terminal.complain(`Line ${line}: ${message}`);
    terminal.complain(`${result.faults.length} ${result.faults.length === 1 ? 'fault' : 'faults'}: nothing was imported.`);
    return 1;
  }
  const { households, residents, contacts, devices, secrets } = result;
  const counted = `${households} households, ${residents} residents, ${contacts} contacts, ${devices} devices`;
  terminal.say(dryRun ? `No faults: ${counted} would be imported. Nothing was written.` : `Imported ${counted}.`);
  if (secrets.length > 0) {
    terminal.say(
      dryRun
        ? `${secrets.length} devices would get a new secret.`
        : `${secrets.length} devices got a new secret: see ${secretsPath}, and keep it safe.`,
    );
  }
  return 0;
}
