/** The dead man's switch: an outside monitor is called while all is well, and raises the alarm itself when it is not called. */
import { request as overHttp } from 'node:http';
import { request as overHttps } from 'node:https';
import { type Clock, type Milliseconds, seconds } from '../base/clock.ts';
import { systemCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';

export interface DeadMan {
  /** One call, which says that all is well; never rejects. True: it was answered 2xx. */
  call(): Promise<boolean>;
  counts(): { readonly called: number; readonly failed: number };
  /** Ends a call that is under way. */
  stop(): void;
}

const PATIENCE: Milliseconds = seconds(5);

/**
 * GET, nothing sent along, no redirect followed: where it leads is a matter of the settings alone. A failure is logged when it
 * begins and when it ends; the address, which is often a secret, never.
 */
export function createDeadMan({ url, clock, log }: { readonly url: string; readonly clock: Clock; readonly log: Log }): DeadMan {
  const stopping = new AbortController();
  let called = 0;
  let failed = 0;
  let failing = false;

  function answer(): Promise<number | string> {
    return new Promise((resolve) => {
      const target = new URL(url);
      const asking = (target.protocol === 'https:' ? overHttps : overHttp)(target, {
        agent: false,
        signal: stopping.signal,
        headers: { 'user-agent': 'responssenter' },
      });
      const limit = clock.after(PATIENCE, () => settle('no-answer'));
      const settle = (outcome: number | string): void => {
        limit.cancel();
        asking.destroy();
        resolve(outcome);
      };
      asking.on('response', ({ statusCode = 0 }) => settle(statusCode));
      asking.on('error', (error) => settle(systemCode(error) ?? 'failed'));
      asking.end();
    });
  }

  return {
    async call() {
      const outcome = await answer();
      const answered = typeof outcome === 'number' && outcome >= 200 && outcome < 300;
      called += 1;
      if (!answered) failed += 1;
      if (!answered && !failing)
        log.error('dead-man-not-reached', { setting: 'DEAD_MAN_URL', code: typeof outcome === 'number' ? `http-${outcome}` : outcome });
      if (answered && failing) log.info('dead-man-reached-again');
      failing = !answered;
      return answered;
    },
    counts: () => ({ called, failed }),
    stop: () => stopping.abort(),
  };
}
