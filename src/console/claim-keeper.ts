/** Keeps claims with operators whose browser is there, and returns those whose operator has gone. */
import type { Desk } from '../alarms/desk.ts';
import { CLAIM_LEASE_MS } from '../alarms/desk.ts';
import type { Clock, Instant } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';

/** Every call throws CentreError store-away. */
export interface ClaimLeases {
  /** All leases of these accounts hold at least until then. */
  renew(accounts: readonly string[], until: Instant): Promise<void>;
  /** Every lease holds at least until then: after a time in which nobody could renew. */
  grace(until: Instant): Promise<void>;
  /** Claims whose lease is over, the longest first. */
  lapsed(now: Instant, limit: number): Promise<readonly { readonly number: string; readonly account: string }[]>;
}

const RENEW_MS = 2000;
const SWEEP_MS = 500;
const LIMIT = 100;
/** After such a pause (a store away, a process stopped, a start) nobody can have renewed: everybody gets a lease anew. */
const BLIND_MS = 3000;

export interface ClaimKeeper {
  /**
   * A request or a socket came from this account: it is there. Renews at once when it was not there in the last round
   * (an operator who comes back in the tenth second keeps the claim), else with the next one; cheap enough for every request.
   */
  renew(account: string): void;
  stop(): void;
}

/** Renews, every 2 s, the leases of the accounts that have a socket open or sent a request since. */
export function startClaimKeeper({ leases, openAccounts, clock, log }: KeeperParts): ClaimKeeper {
  let present: ReadonlySet<string> = new Set();
  const heard = new Set<string>();
  let busy = false;
  let away = false;
  const timer = clock.every(RENEW_MS, () => {
    if (busy) return;
    present = new Set([...openAccounts(), ...heard]);
    heard.clear();
    if (present.size === 0) return;
    busy = true;
    keep([...present], () => {
      busy = false;
    });
  });
  return {
    renew: (account) => {
      const expected = present.has(account) || heard.has(account);
      heard.add(account);
      if (!expected) keep([account], () => undefined);
    },
    stop: () => timer.cancel(),
  };

  function keep(accounts: readonly string[], done: () => void): void {
    leases
      .renew(accounts, clock.now() + CLAIM_LEASE_MS)
      .then(
        () => {
          away = false;
        },
        (error: unknown) => {
          if (!away) log.warn('claims-not-renewed', { error });
          away = true;
        },
      )
      .finally(done);
  }
}

export interface KeeperParts {
  readonly leases: ClaimLeases;
  readonly openAccounts: () => readonly string[];
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Finds claims whose lease is over, without a lock, and orders `lapse-claim`; the desk checks the lease again under the
 * alarm's lock. At its start, and after every time in which it could not look, all leases are given 10 s anew: a restart
 * or an outage must not take the alarms from operators who were there all the time.
 */
export function startLeaseSweep({ desk, leases, clock, log }: SweepParts): { stop(): Promise<void> } {
  let lookedAt: number | null = null;
  let running: Promise<void> | null = null;
  let away = false;
  const timer = clock.every(SWEEP_MS, look);
  look();
  return {
    async stop() {
      timer.cancel();
      await running;
    },
  };

  function look(): void {
    if (running !== null) return;
    running = sweep().finally(() => {
      running = null;
    });
  }

  async function sweep(): Promise<void> {
    const startedAt = clock.monotonic();
    try {
      if (lookedAt === null || startedAt - lookedAt > BLIND_MS) await leases.grace(clock.now() + CLAIM_LEASE_MS);
      else await returnLapsed();
      lookedAt = startedAt;
      away = false;
    } catch (error) {
      const storeAway = isAway(error);
      if (storeAway) lookedAt = null;
      if (!storeAway) log.error('lease-sweep-failed', { error });
      else if (!away) log.warn('lease-sweep-away', { error });
      away = storeAway;
    }
  }

  async function returnLapsed(): Promise<void> {
    for (const { number, account } of await leases.lapsed(clock.now(), LIMIT)) {
      try {
        const answer = await desk.order({ ...LAPSE, number, command: { command: 'lapse-claim', by: account } });
        if ('alarm' in answer) log.info('claim-returned', { alarm: number, account });
      } catch (error) {
        if (isAway(error)) throw error;
        // One alarm that cannot be changed keeps no other from being returned.
        log.error('claim-not-returned', { alarm: number, error });
      }
    }
  }
}

const LAPSE = { actor: { type: 'centre', part: 'sweep' }, version: null, doneAt: null, key: null } as const;

const isAway = (error: unknown): boolean => error instanceof CentreError && error.kind === 'store';

export interface SweepParts {
  readonly desk: Desk;
  readonly leases: ClaimLeases;
  readonly clock: Clock;
  readonly log: Log;
}
