/** One notifier out of one for each channel; a channel that was not set up fails by name. */
import type { Notifier } from '../escalation/ask.ts';

/** @param sms null when no gateway is set up */
export function createNotifier({ page, sms }: { page: Notifier; sms: Notifier | null }): Notifier {
  return {
    async notify(notice) {
      switch (notice.channel) {
        case 'page':
          return page.notify(notice);
        case 'sms':
          return sms === null ? { result: 'failed', why: 'no-gateway', retry: false } : sms.notify(notice);
      }
    },
  };
}
