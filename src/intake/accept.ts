/** Accepting: one interpreted message becomes a kept signal, or a sign of life; the answer says whether it may be acknowledged. */
import { createHash } from 'node:crypto';
import type { Sender, Signal } from '../alarms/signal.ts';
import { storable } from '../base/bytes.ts';
import type { Clock, Instant } from '../base/clock.ts';
import { type Random, receiptId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { type Interpretation, type SeenFacts, duringTest } from '../devices/interpret.ts';
import type { Keeper, Receipt } from './keep.ts';

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
  seen(serial: string, facts: SeenFacts, at: Instant): void;
  /** A message of life from a sender that the register does not know. */
  unknown(source: string, protocol: 'mqtt' | 'scaip', at: Instant): void;
}

export type Accept = (incoming: Incoming) => Promise<Accepted>;

/** @returns takes one message; `kept: false` means: no acknowledgement, the device must repeat it */
export function createAccept(parts: {
  readonly keeper: Keeper;
  readonly noting: Noting;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}): Accept {
  const { keeper, noting, clock, random, log } = parts;
  return async ({ protocol, sender, raw, interpretation: asSent }) => {
    const at = clock.now();
    const inTest = sender.testUntil !== null && at < sender.testUntil;
    const interpretation = inTest ? duringTest(asSent) : asSent;
    const messageId = interpretation.messageId === null ? null : storable(interpretation.messageId, ID_LIMIT);
    if (interpretation.what === 'life-sign') {
      if (sender.serial === null) noting.unknown(sender.source, protocol, at);
      else noting.seen(sender.serial, interpretation.seen, at);
      return { kept: true, messageId, receipt: null, at };
    }
    const { meaning, marks } = interpretation;
    const signal: Signal = {
      id: receiptId(at, random),
      receivedAt: at,
      protocol,
      messageId,
      raw: raw.subarray(0, RAW_LIMIT),
      digest: createHash('sha256').update(raw).digest(),
      source: sender.source,
      device: sender.device,
      municipality: sender.municipality,
      household: sender.household,
      meaning,
      marks: sender.serial === null && !marks.includes('unknown-device') ? [...marks, 'unknown-device'] : marks,
    };
    try {
      const receipt = await keeper.keep(signal);
      if (sender.serial !== null) noting.seen(sender.serial, interpretation.seen, at);
      return { kept: true, messageId, receipt, at };
    } catch (error) {
      log.error('signal-not-acknowledged', { signal: signal.id, device: sender.device, protocol, error });
      return { kept: false };
    }
  };
}
