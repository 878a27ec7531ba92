/** The commands about staff accounts. */
import { ROLES, type Role } from '../alarms/command.ts';
import { toIso } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import { secret } from '../base/ids.ts';
import { ALL_MUNICIPALITIES } from './access.ts';
import { hashPassword, isUsername, passwordFault } from './accounts.ts';
import type { AdminParts, AdminValues } from './admin.ts';
import { phoneOf } from './phone.ts';

/** `--role operator,supervisor` and `--role operator --role supervisor` alike. */
const listOf = (given: readonly string[] | undefined): string[] => (given ?? []).flatMap((one) => one.split(',')).map((one) => one.trim());

/** As it is typed for all municipalities. */
const ALL = 'all';

export async function addUser(username: string, values: AdminValues, parts: AdminParts): Promise<number> {
  const { accounts, known, clock, terminal } = parts;
  const roles = listOf(values.role);
  const given = listOf(values.municipality);
  const municipalities = given.includes(ALL) ? [ALL_MUNICIPALITIES] : given;
  const phone = values.phone === undefined ? '' : phoneOf(values.phone);
  const name = values.name?.trim() ?? '';
  const unserved = given.filter((one) => one !== ALL && !known.municipalities.includes(one));
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

async function newPassword(username: string, values: AdminValues, { terminal, random }: AdminParts): Promise<string> {
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

export async function listUsers({ accounts, terminal }: AdminParts): Promise<number> {
  for (const { account, name, roles, municipalities, disabledAt } of await accounts.list()) {
    const where = municipalities.includes(ALL_MUNICIPALITIES) ? 'all' : municipalities.join(',');
    terminal.say([account, name, roles.join(','), where, ...(disabledAt === null ? [] : [`disabled ${toIso(disabledAt)}`])].join('\t'));
  }
  return 0;
}

export async function setPassword(username: string, values: AdminValues, parts: AdminParts): Promise<number> {
  const there = (await parts.accounts.list()).some(({ account }) => account === username);
  if (!there) throw noSuchAccount(username);
  const password = await newPassword(username, values, parts);
  await parts.accounts.setPassword(username, await hashPassword(password));
  parts.terminal.say(`${username} has a new password and was signed out everywhere.`);
  return 0;
}

export async function setDisabled(username: string, disabled: boolean, { accounts, clock, terminal }: AdminParts): Promise<number> {
  if (!(await accounts.setDisabled(username, disabled ? clock.now() : null))) throw noSuchAccount(username);
  terminal.say(disabled ? `${username} can no longer sign in and was signed out everywhere.` : `${username} can sign in again.`);
  return 0;
}
