/** Tells the centre's other parts which accounts have a page open (a responder's page can be reached at once). */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';

/** @throws CentreError store-away: then nobody knows, and nobody may rely on a page being open */
export interface Presence {
  /** Keeps the accounts present for 10 s from now. */
  renew(accounts: readonly string[]): Promise<void>;
  isPresent(account: string): Promise<boolean>;
}

const EVERY_MS = 3000;

/** Renews all the time who has a socket open; `opened` at once, so that a page is there as soon as it is. */
export function keepPresence({ presence, openAccounts, clock, log }: PresenceParts): { opened(account: string): void; stop(): void } {
  let away = false;
  const timer = clock.every(EVERY_MS, () => {
    const accounts = openAccounts();
    if (accounts.length > 0) renew(accounts);
  });
  return { opened: (account) => renew([account]), stop: () => timer.cancel() };

  function renew(accounts: readonly string[]): void {
    presence.renew(accounts).then(
      () => {
        away = false;
      },
      (error: unknown) => {
        if (!away) log.warn('presence-not-kept', { error });
        away = true;
      },
    );
  }
}

export interface PresenceParts {
  readonly presence: Presence;
  readonly openAccounts: () => readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}
