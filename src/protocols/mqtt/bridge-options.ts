/** What the bridge is given and gives: where the external broker is, what it remembers of its sessions, and whom to hand messages to. */
import type { Clock, Instant, Milliseconds, Seconds } from '../../base/clock.ts';
import type { Random } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import type { MqttMessage, MqttReceipt } from './message.ts';

/** PEM; `cert` and `key` together: the centre's own client certificate. */
export interface BridgeTls {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

export interface BrokerPlace {
  readonly host: string;
  readonly port: number;
  readonly secure: boolean;
  readonly username?: string;
  readonly password?: string;
  /** Asked before each connection, so that renewed files count from the next one on. */
  readonly tls: () => Promise<BridgeTls>;
}

/** What is known of one session at the broker. */
export interface BridgeSession {
  readonly clientId: string;
  /** When this session was made. */
  readonly connectedAt: Instant;
  /** When it was last known to be whole: when what the broker answered last was sent, never later. */
  readonly seenAt: Instant;
  readonly filters: readonly string[];
  /** Since when it has had these subscriptions for so long that nothing from before can be under way; null: not yet. */
  readonly settledAt: Instant | null;
  /** The beginning of a loss that is not yet told. */
  readonly gapFrom: Instant | null;
  /** The broker gives back what the bridge publishes under its own subscription. */
  readonly echoes: boolean;
}

/** What the bridge needs of the store. Each method: @throws CentreError store-away */
export interface BridgeSessionStore {
  load(): Promise<BridgeSession[]>;
  save(session: BridgeSession): Promise<void>;
  forget(clientId: string): Promise<void>;
}

/** Messages that the broker took between the two instants may never arrive. */
export interface BridgeGap {
  readonly clientId: string;
  readonly from: Instant;
  readonly until: Instant;
  readonly filters: readonly string[];
}

/** Takes one message; `reply` sends the receipt before the broker gets its acknowledgement. A throw counts as not kept. */
export type BridgeAccept = (message: MqttMessage, reply: (receipt: MqttReceipt) => void) => Promise<'kept' | 'not-kept'>;

export interface BridgeOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly broker: BrokerPlace;
  readonly clientId: string;
  /** Topic filters below `nj/v1/`. */
  readonly filters: readonly string[];
  /** Beyond one the municipalities are divided among so many connections. */
  readonly connections: number;
  readonly municipalities: readonly string[];
  /** Where the centre is at home: for messages whose topic names no municipality. */
  readonly ownMunicipality: string;
  readonly sessions: BridgeSessionStore;
  readonly accept: BridgeAccept;
  /** Shows a loss. Must recognise the same one by `clientId` and `from`. Throws when it is not durable. */
  readonly gap: (gap: BridgeGap) => Promise<void>;
  /** A retained message that says nothing about now was not taken. */
  readonly retained: (clientId: string, topic: string) => void;
  readonly limits?: Partial<BridgeLimits>;
}

export interface BridgeLimits {
  readonly keepalive: Seconds;
  readonly connectWithin: Milliseconds;
  /** Between two attempts: from the first to the second, at random. */
  readonly retryAfter: readonly [Milliseconds, Milliseconds];
  readonly rememberEvery: Milliseconds;
  /** How long the proof of a session may take. */
  readonly proofWithin: Milliseconds;
  readonly settledAfter: Milliseconds;
  readonly resubscribeEvery: Milliseconds;
  /** How long the broker is asked to keep the session while the centre is away. */
  readonly sessionExpiry: Seconds;
  readonly stopWithin: Milliseconds;
}

export const BRIDGE_LIMITS: BridgeLimits = {
  keepalive: 15,
  connectWithin: 10_000,
  retryAfter: [1000, 30_000],
  rememberEvery: 5000,
  proofWithin: 10_000,
  settledAfter: 600_000,
  resubscribeEvery: 60_000,
  sessionExpiry: 7 * 24 * 3600,
  stopWithin: 2000,
};

export interface BridgeCounters {
  readonly connects: number;
  readonly received: number;
  readonly notKept: number;
  readonly gaps: number;
  readonly receiptsSent: number;
}

export interface MqttBridge {
  /** Null: all connections read what they should. Else which do not, and why, in one sentence. */
  fault(): string | null;
  /** Since when all connections have read what they should without a break: when the last of them became able to; null while any is not. */
  readySince(): Instant | null;
  counters(): BridgeCounters;
  /** What is in hand is finished and acknowledged; the sessions stay at the broker. */
  stop(): Promise<void>;
}
