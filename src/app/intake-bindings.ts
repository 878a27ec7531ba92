/** SIP registrations while PostgreSQL is away: kept in memory and written later, so that a unit that registers can also alarm. */
import type { Clock, Milliseconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Spill } from '../intake/spill.ts';
import type { Binding, BindingStore } from '../protocols/sip/registrar.ts';

const RETRY_MS: Milliseconds = 2000;

/**
 * A registration that a crash loses before PostgreSQL is back is made anew by its unit (at most after two hours); a unit that is
 * refused may never send its alarm.
 */
export function bindingsOrLater(parts: {
  readonly store: BindingStore;
  readonly spill: Pick<Spill, 'orAway' | 'storeAway'>;
  readonly clock: Clock;
  readonly log: Log;
}): BindingStore & { stop(): void } {
  const { store, spill, clock, log } = parts;
  /** By unit; null: to be removed. */
  const later = new Map<string, Binding | null>();
  let writing = false;
  const timer = clock.every(RETRY_MS, () => void write());

  async function write(): Promise<void> {
    if (writing || spill.storeAway()) return;
    writing = true;
    try {
      for (const [unit, binding] of later) {
        await (binding === null ? store.remove(unit) : store.save(binding));
        if (later.get(unit) === binding) later.delete(unit);
      }
    } catch (error) {
      if (!(error instanceof CentreError)) log.error('sip-bindings-not-written', { count: later.size, error });
    } finally {
      writing = false;
    }
  }

  async function orLater(unit: string, binding: Binding | null, work: () => Promise<void>): Promise<void> {
    try {
      await spill.orAway(work);
      later.delete(unit);
    } catch (error) {
      if (!(error instanceof CentreError) || !spill.storeAway()) throw error;
      later.set(unit, binding);
    }
  }

  return {
    load: () => store.load(),
    save: (binding) => orLater(binding.unit, binding, () => store.save(binding)),
    remove: (unit) => orLater(unit, null, () => store.remove(unit)),
    stop: () => timer.cancel(),
  };
}
