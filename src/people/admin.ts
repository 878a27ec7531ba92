/** `npm run admin`: accounts and the register from the command line; how a new centre gets its first supervisor. */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROLES, type Role } from '../alarms/command.ts';
import { type Clock, toIso } from '../base/clock.ts';
import { CentreError, reason } from '../base/errors.ts';
import { type Random, secret } from '../base/ids.ts';
import { ALL_MUNICIPALITIES } from './access.ts';
import { type AccountBook, hashPassword, isUsername, passwordFault } from './accounts.ts';
import { phoneOf } from './phone.ts';
import { type ImportParts, type MadeSecret, type RegisterStore, importRegister } from './register-import.ts';
import type { Terminal } from './terminal.ts';

export interface AdminParts {
  readonly accounts: AccountBook;
  readonly register: RegisterStore;
  readonly known: ImportParts['known'];
  readonly terminal: Terminal;
  /** Where files with secrets go (DATA_DIR). */
  readonly dataDir: string;
  readonly clock: Clock;
  readonly random: Random;
}

export const ADMIN_HELP = `npm run admin -- <command>

  user add <username> --name "<full name>" --role <role,…> --municipality <number,…|all> [--phone <number>]
  user list
  user password <username>
  user disable <username>
  user enable <username>
  import <register.csv> [--dry-run] [--secrets <file>]

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

const wrong = (message: string): CentreError => new CentreError('command-line-invalid', `${message}\n\n${ADMIN_HELP}`);

async function run(argv: readonly string[], parts: AdminParts): Promise<number> {
  const { positionals, values } = parsed(argv);
  const [area, ...rest] = positionals;
  if (values.help === true || area === undefined || area === 'help') {
    parts.terminal.say(ADMIN_HELP);
    return 0;
  }
  if (area === 'import') return importFile(rest, values, parts);
  if (area !== 'user') throw wrong(`There is no command "${area}".`);
  const [command, username, ...more] = rest;
  if (command === 'list') return listUsers(parts);
  if (username === undefined || more.length > 0) throw wrong(`"user ${command ?? ''}" takes one username.`);
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
      throw wrong(`There is no command "user ${command ?? ''}".`);
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

type Values = ReturnType<typeof parsed>['values'];

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    throw wrong(`${reason(error)}.`);
  }
}

/** `--role operator,supervisor` and `--role operator --role supervisor` alike. */
const listOf = (given: readonly string[] | undefined): string[] => (given ?? []).flatMap((one) => one.split(',')).map((one) => one.trim());

async function addUser(username: string, values: Values, parts: AdminParts): Promise<number> {
  const { accounts, known, clock, terminal } = parts;
  const roles = listOf(values.role);
  const given = listOf(values.municipality);
  const municipalities = given.includes('all') ? [ALL_MUNICIPALITIES] : given;
  const phone = values.phone === undefined ? '' : phoneOf(values.phone);
  const name = values.name?.trim() ?? '';
  const unserved = municipalities.filter((one) => one !== ALL_MUNICIPALITIES && !known.municipalities.includes(one));
  const strange = roles.filter((role) => !isRole(role));
  const faults = [
    isUsername(username) ? [] : [`"${username}" cannot be a username: 2 to 32 of a-z 0-9 . _ -, beginning with a letter or digit.`],
    name === '' ? ['--name is missing.'] : [],
    roles.length === 0 ? [`--role is missing (${ROLES.join(', ')}).`] : [],
    strange.map((role) => `--role ${role} is not one of ${ROLES.join(', ')}.`),
    municipalities.length === 0 ? ['--municipality is missing (numbers, or all).'] : [],
    unserved.map((one) => `--municipality ${one} is not one that this centre serves (${known.municipalities.join(', ')}, or all).`),
    phone === null ? [`--phone ${values.phone ?? ''} is not a telephone number.`] : [],
    roles.includes('responder') && phone === '' ? ['--phone is missing: a responder must be reachable by SMS.'] : [],
  ].flat();
  if (faults.length > 0) throw new CentreError('command-line-invalid', faults.join('\n'));
  const there = (await accounts.list()).some(({ account }) => account === username);
  if (there) throw new CentreError('command-line-invalid', `There is already an account ${username}.`);
  const password = await newPassword(username, values, parts);
  const account = { account: username, name, roles: roles.filter(isRole), municipalities, phone: phone ?? '', disabledAt: null };
  const added = await accounts.add(account, await hashPassword(password), clock.now());
  if (!added) throw new CentreError('command-line-invalid', `There is already an account ${username}.`);
  terminal.say(`${username} can sign in now.`);
  return 0;
}

const isRole = (text: string): text is Role => (ROLES as readonly string[]).includes(text);

async function newPassword(username: string, values: Values, { terminal, random }: AdminParts): Promise<string> {
  if (values.generate === true) {
    const made = secret(random, 128);
    terminal.say(`Password of ${username} (shown only now): ${made}`);
    return made;
  }
  const password = values['password-stdin'] === true ? await terminal.readLine() : await terminal.askSecret(`Password for ${username}: `);
  if (password === null) {
    throw new CentreError('command-line-invalid', 'There is no terminal to ask for the password: use --password-stdin or --generate.');
  }
  const fault = passwordFault(password);
  if (fault !== null) throw new CentreError('command-line-invalid', fault);
  if (values['password-stdin'] === true || (await terminal.askSecret('The same again: ')) === password) return password;
  throw new CentreError('command-line-invalid', 'The two passwords are not the same.');
}

const noSuchAccount = (username: string): CentreError => new CentreError('command-line-invalid', `There is no account ${username}.`);

async function listUsers({ accounts, terminal }: AdminParts): Promise<number> {
  for (const { account, name, roles, municipalities, disabledAt } of await accounts.list()) {
    const where = municipalities.includes(ALL_MUNICIPALITIES) ? 'all' : municipalities.join(',');
    terminal.say([account, name, roles.join(','), where, ...(disabledAt === null ? [] : [`disabled ${toIso(disabledAt)}`])].join('\t'));
  }
  return 0;
}

async function setPassword(username: string, values: Values, parts: AdminParts): Promise<number> {
  const there = (await parts.accounts.list()).some(({ account }) => account === username);
  if (!there) throw noSuchAccount(username);
  const password = await newPassword(username, values, parts);
  await parts.accounts.setPassword(username, await hashPassword(password));
  parts.terminal.say(`${username} has a new password and was signed out everywhere.`);
  return 0;
}

async function setDisabled(username: string, disabled: boolean, { accounts, clock, terminal }: AdminParts): Promise<number> {
  if (!(await accounts.setDisabled(username, disabled ? clock.now() : null))) throw noSuchAccount(username);
  terminal.say(disabled ? `${username} can no longer sign in and was signed out everywhere.` : `${username} can sign in again.`);
  return 0;
}

async function importFile(positionals: readonly string[], values: Values, parts: AdminParts): Promise<number> {
  const { terminal, clock, random, known, register, dataDir } = parts;
  const [path, ...more] = positionals;
  if (path === undefined || more.length > 0) throw wrong('"import" takes one file.');
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
