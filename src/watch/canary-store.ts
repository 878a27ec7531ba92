/** What the canary needs of the store. */
import type { CanaryProtocol } from '../alarms/canary.ts';
import type { Instant } from '../base/clock.ts';

/** All throw CentreError store-away; `setUp` also canary-name-taken. */
export interface CanaryStore {
  /** Makes, or mends, its households, devices and accounts, and opens its sessions (by the SHA-256 of their tokens). */
  setUp(given: CanarySetUp): Promise<void>;
  /**
   * Takes the round of that protocol when it is due (`by`), and puts the next one off until `next`; of several watches one gets
   * it. Null: it is not due.
   */
  claim(protocol: CanaryProtocol, by: Instant, next: Instant): Promise<CanaryTurn | null>;
  /** How the last rounds went, by protocol, whichever watch did them. */
  standing(): Promise<ReadonlyMap<CanaryProtocol, CanaryStanding>>;
  /** Keeps how a round went. */
  ended(protocol: CanaryProtocol, at: Instant, fine: boolean): Promise<void>;
  /** Deletes some of what was closed before, with all that belongs to it. */
  forget(before: Instant): Promise<void>;
  /** Ends its sessions. */
  leave(tokens: CanarySetUp['tokens']): Promise<void>;
}

export interface CanarySetUp {
  readonly at: Instant;
  readonly tokens: { readonly operator: Uint8Array; readonly responder: Uint8Array };
  /** Of the devices, where no other watch has lately pressed with others. */
  readonly secrets: Readonly<Record<CanaryProtocol, string>>;
}

export interface CanaryStanding {
  /** Of the last round that went well. */
  readonly fineAt: Instant | null;
  /** Rounds that went well since the last that did not. */
  readonly inRow: number;
}

export interface CanaryTurn {
  /** Counts the rounds of the protocol, of all watches. */
  readonly turn: number;
  readonly secret: string;
}
