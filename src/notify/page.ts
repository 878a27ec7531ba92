/** The page channel: an ask is on the screen of whoever has the responder page open, by the live feed; this only finds out. */
import type { Log } from '../base/log.ts';
import type { Notifier } from '../escalation/ask.ts';

/** Whether an account has a page open now. May throw: Redis, which knows it, may be away. */
export interface PagePresence {
  isPresent(account: string): Promise<boolean>;
}

export function createPage(presence: PagePresence, log: Log): Notifier {
  return {
    async notify({ account, reference }) {
      try {
        const present = await presence.isPresent(account);
        return present ? { result: 'delivered' } : { result: 'failed', why: 'no-page-open', retry: false };
      } catch (error) {
        // The page itself may well be there, fed from PostgreSQL; but we cannot know, and the SMS must not wait for it.
        log.warn('presence-unknown', { ask: reference, channel: 'page', error });
        return { result: 'failed', why: 'no-page-open', retry: false };
      }
    },
  };
}
