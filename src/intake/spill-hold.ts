/** Holding while PostgreSQL is away: what came without credentials goes into the spill at once, marked, within the limits of holding. */
import type { Signal } from '../alarms/signal.ts';
import { CentreError } from '../base/errors.ts';
import { HELD_ROLES, HOLD_LIMITS, type HoldLimits, type Holding } from './hold.ts';
import type { Spill } from './spill.ts';

/**
 * Waiting ten seconds for the credentials takes a store that remembers; without one the alarm is kept now, and the message
 * with credentials, when it comes, joins it. What a source has brought counts until PostgreSQL is back.
 */
export function holdingOrSpill(parts: {
  readonly holding: Holding;
  readonly spill: Pick<Spill, 'keep' | 'orAway' | 'storeAway'>;
  readonly limits?: HoldLimits;
}): Holding {
  const { holding, spill, limits = HOLD_LIMITS } = parts;
  /** Of each source what was kept at once, or is on its way, by its bytes. */
  let kept = new Map<string, Map<string, Promise<unknown>>>();
  let inAll = 0;

  /** Technical ones have places of their own, as when they are held. */
  const sourceKey = ({ source, meaning }: Signal): string => `${meaning.role === 'technical' ? 'technical' : 'need'} ${source}`;

  async function keepAtOnce(signal: Signal): Promise<Awaited<ReturnType<Holding['hold']>>> {
    const key = sourceKey(signal);
    const ofSource = kept.get(key) ?? new Map<string, Promise<unknown>>();
    const digest = Buffer.from(signal.digest).toString('hex');
    const copy = ofSource.get(digest);
    if (copy !== undefined) {
      // Not before the first is durable.
      await copy;
      return 'held';
    }
    const first = ofSource.size === 0;
    if (ofSource.size >= limits.perSource || (inAll >= limits.inAll && !first))
      return signal.meaning.role === 'technical' ? 'full' : 'not-held';
    const keeping = spill.keep({ ...signal, marks: [...signal.marks, 'unauthenticated'] });
    ofSource.set(digest, keeping);
    kept.set(key, ofSource);
    inAll += 1;
    try {
      await keeping;
      return 'held';
    } catch (error) {
      // Once PostgreSQL is back nothing of it counts any more.
      if (kept.get(key) === ofSource) inAll -= 1;
      ofSource.delete(digest);
      throw error;
    }
  }

  return {
    ...holding,
    async hold(signal) {
      if (!HELD_ROLES.includes(signal.meaning.role)) return 'nothing-to-hold';
      try {
        const held = await spill.orAway(() => holding.hold(signal));
        if (inAll > 0) {
          kept = new Map();
          inAll = 0;
        }
        return held;
      } catch (error) {
        if (!(error instanceof CentreError) || !spill.storeAway()) throw error;
        return keepAtOnce(signal);
      }
    },
  };
}
