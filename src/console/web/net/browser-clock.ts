/** The browser's clock, set after the centre's: ages and deadlines count in server time, whatever the machine's clock says. */
import type { Clock, Instant, Milliseconds, Timer } from '../../../base/clock.ts';

/** A difference from the centre's clock smaller than this is the network's delay, and not followed: ages must not twitch. */
const FOLLOWED_MS = 400;

export class BrowserClock implements Clock {
  #offset: number = Date.now() - performance.now();

  now(): Instant {
    return performance.now() + this.#offset;
  }

  monotonic(): Milliseconds {
    return performance.now();
  }

  after(delay: Milliseconds, run: () => void): Timer {
    const timer = setTimeout(run, Math.max(0, delay));
    return { cancel: () => clearTimeout(timer) };
  }

  every(period: Milliseconds, run: () => void): Timer {
    const timer = setInterval(run, period);
    return { cancel: () => clearInterval(timer) };
  }

  /** The centre says that it is now `instant` there. */
  set(instant: Instant): void {
    const offset = instant - performance.now();
    if (Math.abs(offset - this.#offset) > FOLLOWED_MS) this.#offset = offset;
  }
}
