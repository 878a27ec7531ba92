/** Staff accounts: what a username may look like, how passwords are kept and checked, and what sign-in needs of the store. */
import { hash, verify } from '@node-rs/argon2';
import type { Instant } from '../base/clock.ts';
import type { Viewer } from './access.ts';

export interface Account extends Viewer {
  /** E.164, or empty. */
  readonly phone: string;
  readonly disabledAt: Instant | null;
}

/** What sign-in needs of the store. */
export interface Credentials {
  /** The account and its password's hash, disabled ones too; null when there is none. @throws CentreError store-away */
  find(username: string): Promise<{ readonly account: Account; readonly passwordHash: string } | null>;
  /** Whether anybody can sign in at all: a new centre has nobody. */
  any(): Promise<boolean>;
}

/** What the command line needs of the store to keep accounts. A change of password or a disabling ends the account's sessions. */
export interface AccountBook {
  list(): Promise<readonly Account[]>;
  /** False when the username is taken. */
  add(account: Account, passwordHash: string, at: Instant): Promise<boolean>;
  /** False when there is no such account. */
  setPassword(username: string, passwordHash: string): Promise<boolean>;
  setDisabled(username: string, at: Instant | null): Promise<boolean>;
}

/** Short, lower case, and safe in logs and addresses. */
const USERNAME = /^[a-z0-9][a-z0-9._-]{1,31}$/;
export const isUsername = (text: string): boolean => USERNAME.test(text);
/** As people type it: capitals and spaces around are forgiven. */
export const usernameOf = (typed: string): string => typed.trim().toLowerCase();

export const MIN_PASSWORD = 10;
const MAX_PASSWORD = 1024;

/** Why a password cannot be taken; null when it can. Length alone counts (NIST SP 800-63B § 3.1.1). */
export function passwordFault(password: string): string | null {
  if (password.length < MIN_PASSWORD) return `The password must have at least ${MIN_PASSWORD} characters.`;
  return password.length > MAX_PASSWORD ? `The password may have at most ${MAX_PASSWORD} characters.` : null;
}

/** OWASP's first choice for argon2id (the package's default algorithm): 19 MiB, two passes; some 20 ms, off the event loop. */
const ARGON2 = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };

/** A PHC string, with its own salt and parameters. Unicode is normalised: a password typed on another keyboard is the same. */
export const hashPassword = (password: string): Promise<string> => hash(password.normalize('NFKC'), ARGON2);

/** Checked when the username is unknown, so that the answer takes as long as for a known one. */
let decoy: Promise<string> | null = null;

/**
 * The account that goes with the password, or null; equally slow whether the username is unknown, disabled or the
 * password wrong, so that time tells nobody which usernames exist.
 */
export async function checkPassword(credentials: Credentials, username: string, password: string): Promise<Account | null> {
  const found = await credentials.find(username);
  decoy ??= hashPassword('no account has this password');
  const expected = found?.passwordHash ?? (await decoy);
  const right = await matches(expected, password);
  return found !== null && right && found.account.disabledAt === null ? found.account : null;
}

async function matches(passwordHash: string, password: string): Promise<boolean> {
  if (password.length > MAX_PASSWORD) return false;
  return verify(passwordHash, password.normalize('NFKC'));
}
