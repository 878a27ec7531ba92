/** Accepting: one interpreted message becomes a kept signal, or a sign of life; the answer says whether it may be acknowledged. */
import { createHash } from 'node:crypto';
import type { Sender, Signal } from '../alarms/signal.ts';
import { storable } from '../base/bytes.ts';
import type { Clock, Instant } from '../base/clock.ts';
import { type Random, receiptId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { reached } from '../base/points.ts';
import { type Interpretation, type InterpretedSignal, type LifeSignSort, type SeenFacts, duringTest } from '../devices/interpret.ts';
import type { Keeper, Receipt } from './keep.ts';
import { createStrangers } from './strangers.ts';

/** Of a payload at most this much is kept (platform contract; SCAIP messages are far shorter). */
const RAW_LIMIT = 8 * 1024;
const ID_LIMIT = 64;

/** Who sent it, as the register has it, and how the device is to be read. */
export interface KnownSender extends Sender {
  /** The serial in the register; null when it is not there. */
  readonly serial: string | null;
  /** Until when messages of this device are tests. */
  readonly testUntil: Instant | null;
}

export interface Incoming {
  readonly protocol: 'mqtt' | 'scaip';
  readonly sender: KnownSender;
  readonly raw: Uint8Array;
  readonly interpretation: Interpretation;
}

/** What a protocol may tell the device. */
export type Accepted =
  | { readonly kept: true; readonly messageId: string | null; readonly receipt: Receipt | null; readonly at: Instant }
  | { readonly kept: false };

/** What accepting notes beside the signal: signs of life, and what technicians must see. */
export interface Noting {
  seen(serial: string, facts: SeenFacts, at: Instant, sort: LifeSignSort | 'signal'): void;
  /** A message of life from a sender that the register does not know. */
  unknown(source: string, protocol: 'mqtt' | 'scaip', at: Instant): void;
}

export type Accept = (incoming: Incoming) => Promise<Accepted>;

/** What a message means at that moment: in a test window of its device, that it came through. */
export function interpretationAt({ sender, interpretation }: Incoming, at: Instant): Interpretation {
  return sender.testUntil !== null && at < sender.testUntil ? duringTest(interpretation) : interpretation;
}

/** The signal that a message becomes, with a receipt id of its own. */
export function signalOf({ protocol, sender, raw }: Incoming, interpretation: InterpretedSignal, at: Instant, random: Random): Signal {
  const { messageId, meaning, marks } = interpretation;
  return {
    id: receiptId(at, random),
    receivedAt: at,
    protocol,
    messageId: messageId === null ? null : storable(messageId, ID_LIMIT),
    raw: raw.subarray(0, RAW_LIMIT),
    digest: createHash('sha256').update(raw).digest(),
    source: sender.source,
    device: sender.device,
    municipality: sender.municipality,
    household: sender.household,
    meaning,
    marks: sender.serial === null && !marks.includes('unknown-device') ? [...marks, 'unknown-device'] : marks,
  };
}

/** @returns takes one message; `kept: false` means: no acknowledgement, the device must repeat it */
export function createAccept(parts: {
  readonly keeper: Keeper;
  readonly noting: Noting;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}): Accept {
  const { keeper, noting, clock, random, log } = parts;
  const strangers = createStrangers({ keeper, random, log });
  return async (incoming) => {
    const { protocol, sender, raw } = incoming;
    const at = clock.now();
    const interpretation = interpretationAt(incoming, at);
    const messageId = interpretation.messageId === null ? null : storable(interpretation.messageId, ID_LIMIT);
    if (interpretation.what === 'life-sign') {
      if (sender.serial === null) {
        noting.unknown(sender.source, protocol, at);
        strangers.heard(sender, protocol, raw.subarray(0, RAW_LIMIT), at);
      } else noting.seen(sender.serial, interpretation.seen, at, interpretation.sort);
      return { kept: true, messageId, receipt: null, at };
    }
    const signal = signalOf(incoming, interpretation, at, random);
    reached('received');
    try {
      const receipt = await keeper.keep(signal);
      if (sender.serial !== null) noting.seen(sender.serial, interpretation.seen, at, 'signal');
      return { kept: true, messageId, receipt, at };
    } catch (error) {
      log.error('signal-not-acknowledged', { signal: signal.id, device: sender.device, protocol, error });
      return { kept: false };
    }
  };
}
