/** Units that nobody registered: the first sign of life of each becomes one technical signal, all that follow are only counted. */
import { createHash } from 'node:crypto';
import type { Sender, Signal } from '../alarms/signal.ts';
import { type Instant, type Milliseconds, minutes, toIso } from '../base/clock.ts';
import { type Random, receiptId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Keeper } from './keep.ts';

/** Made-up names must not fill the board: more are told in the next hour, and counted all the time. */
const MOST_AN_HOUR = 20;
const HOUR: Milliseconds = minutes(60);
/** Those that were told longest ago are forgotten first. */
const MOST_REMEMBERED = 5000;

export interface Strangers {
  /** A sign of life of a sender that the register does not know; never waits, as its acknowledgement must not. */
  heard(sender: Sender, protocol: Signal['protocol'], raw: Uint8Array, at: Instant): void;
}

export function createStrangers(parts: { readonly keeper: Pick<Keeper, 'keep'>; readonly random: Random; readonly log: Log }): Strangers {
  const { keeper, random, log } = parts;
  const told = new Set<string>();
  let hour = { from: Number.NEGATIVE_INFINITY, count: 0 };

  async function tell(signal: Signal): Promise<void> {
    try {
      await keeper.keep(signal);
    } catch (error) {
      // Told with its next sign of life.
      told.delete(signal.source);
      log.warn('stranger-not-told', { source: signal.source, protocol: signal.protocol, error });
    }
  }

  return {
    heard({ source, device, municipality, household }, protocol, raw, at) {
      if (told.has(source)) return;
      if (at - hour.from >= HOUR) hour = { from: at, count: 0 };
      if (hour.count >= MOST_AN_HOUR) return;
      hour.count += 1;
      if (told.size >= MOST_REMEMBERED)
        for (const oldest of told) {
          told.delete(oldest);
          break;
        }
      told.add(source);
      // The same for every sign of life of a day: a second process, or this one started again, makes a duplicate of it.
      const messageId = `first-sign-of-life ${toIso(at).slice(0, 10)}`;
      void tell({
        id: receiptId(at, random),
        receivedAt: at,
        protocol,
        source,
        device,
        municipality,
        household,
        messageId,
        raw,
        digest: createHash('sha256').update(`${source} ${messageId}`).digest(),
        meaning: {
          role: 'technical',
          kind: 'fault',
          priority: 'technical',
          trigger: '',
          text: 'En enhet som ikke er registrert, melder seg med livstegn',
        },
        marks: ['unknown-device', 'supervision'],
      });
    },
  };
}
