/** Sign-in, slowed down after repeated failures, without letting a stranger lock an operator out. */
import { type Clock, type Milliseconds, seconds } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { type Account, type Credentials, checkPassword, usernameOf } from '../people/accounts.ts';
import { Buckets } from './bucket.ts';

export type SignInAnswer =
  | { readonly account: Account }
  | { readonly refused: 'no-accounts' | 'wrong-credentials' }
  | { readonly refused: 'slowed-down'; readonly waitMs: Milliseconds };

export interface SignIn {
  /** @throws CentreError store-away */
  try(username: string, password: string, address: string): Promise<SignInAnswer>;
}

/** As many as Node's pool checks at once; the rest wait in line, so that many who sign in together are no failures. */
const CHECKS_AT_ONCE = 4;
const IN_LINE = 500;

/** An address from which the account has been signed in to is remembered, so many of them. */
const MAX_KNOWN = 10_000;

/**
 * Each failure takes a token of three buckets: the account's from this address, the address's, and the account's from
 * all addresses that it was never signed in from. An attacker elsewhere can empty only the last two, so that an operator
 * at the usual desk gets in; at a new desk the wait is a few seconds. Tokens are taken before the password is checked:
 * a hundred guesses at once are a hundred guesses.
 */
export function createSignIn({ credentials, clock, log }: { credentials: Credentials; clock: Clock; log: Log }): SignIn {
  const pairs = new Buckets(clock, 5, 3000);
  const addresses = new Buckets(clock, 20, 1000);
  const strangers = new Buckets(clock, 20, 3000);
  const known = new Set<string>();
  const line: (() => void)[] = [];
  let checking = 0;

  function remember(pair: string): void {
    known.delete(pair);
    known.add(pair);
    if (known.size <= MAX_KNOWN) return;
    const [oldest] = known;
    if (oldest !== undefined) known.delete(oldest);
  }

  async function attempt(username: string, password: string, address: string): Promise<SignInAnswer> {
    const pair = `${username} ${address}`;
    const taken: readonly (readonly [Buckets, string])[] = [
      [pairs, pair],
      [addresses, address],
      ...(known.has(pair) ? [] : [[strangers, username] as const]),
    ];
    const waitMs = Math.max(...taken.map(([buckets, key]) => buckets.wait(key)));
    if (waitMs > 0) return { refused: 'slowed-down', waitMs };
    for (const [buckets, key] of taken) buckets.take(key);
    const giveBack = (): void => {
      for (const [buckets, key] of taken) buckets.giveBack(key);
    };
    let account: Account | null;
    try {
      account = await checkPassword(credentials, username, password);
    } catch (error) {
      giveBack();
      throw error;
    }
    if (account === null) {
      // The username is not logged: people type their password into the wrong field.
      log.warn('sign-in-refused', { source: address });
      return { refused: (await credentials.any()) ? 'wrong-credentials' : 'no-accounts' };
    }
    giveBack();
    remember(pair);
    return { account };
  }

  return {
    async try(typed, password, address) {
      if (line.length >= IN_LINE) return { refused: 'slowed-down', waitMs: seconds(1) };
      if (checking >= CHECKS_AT_ONCE) await new Promise<void>((resolve) => line.push(resolve));
      else checking += 1;
      try {
        return await attempt(usernameOf(typed), password, address);
      } finally {
        // The place goes to the next in line.
        const next = line.shift();
        if (next === undefined) checking -= 1;
        else next();
      }
    },
  };
}
