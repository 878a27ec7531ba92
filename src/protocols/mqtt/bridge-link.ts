/** Keeps one session at the external broker alive: connects again and again, proves the session, subscribes, and remembers. */
import type { Instant, Timer } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { BridgeConnection } from './bridge-connection.ts';
import { onEnded, retryDelay } from './bridge-end.ts';
import { type Delivered, readDelivered } from './bridge-message.ts';
import type { BridgeLimits, BridgeOptions, BridgeSession } from './bridge-options.ts';
import { onConnected, onRefused, onSeen, onSubscribed } from './bridge-session.ts';
import { type BridgeShare, echoTopic } from './bridge-topics.ts';
import { nextTurn, withinTime } from './connections.ts';
import type { MqttMessage } from './message.ts';
import { encodeReceipt } from './payload.ts';
import { topicFor } from './topic.ts';

export interface LinkParts {
  readonly options: BridgeOptions;
  readonly limits: BridgeLimits;
  readonly share: BridgeShare;
  readonly known: BridgeSession | null;
  readonly log: Log;
  /** Another connection reads this message for certain. */
  readonly leaves: (message: MqttMessage) => boolean;
  readonly count: (what: 'connects' | 'received' | 'notKept' | 'gaps' | 'receiptsSent') => void;
}

/** Ends what is being done for a connection that is over. */
class Over extends Error {}

export class BridgeLink {
  readonly #parts: LinkParts;
  readonly #echo: string | null;
  #session: BridgeSession | null;
  #connection: BridgeConnection | null = null;
  #readyAt: Instant | null = null;
  #fault = 'not connected yet';
  #attempt = 0;
  #refusalToldAt: Instant | null = null;
  #version: 4 | 5 = 5;
  #stopped = false;
  #wake: () => void = () => undefined;
  #writing: Promise<void> = Promise.resolve();
  /** Something came over the session before it was subscribed anew. */
  #proven: (whole: boolean) => void = () => undefined;
  #echoed: string | null = null;
  readonly #remembering: Timer;

  constructor(parts: LinkParts) {
    this.#parts = parts;
    this.#session = parts.known;
    const { clientId, filters } = parts.share;
    this.#echo = filters.flatMap((filter) => echoTopic(filter, clientId, parts.options.ownMunicipality) ?? [])[0] ?? null;
    this.#remembering = parts.options.clock.every(parts.limits.rememberEvery, () => void this.#remember());
  }

  get share(): BridgeShare {
    return this.#parts.share;
  }

  /** What it reads has been its own for so long that nothing from before can be under way. */
  get settled(): boolean {
    return this.#session !== null && this.#session.settledAt !== null;
  }

  /** Since when it has read all that it should without a break; null while it does not. */
  get readyAt(): Instant | null {
    return this.#readyAt;
  }

  /** Null: it reads all that it should. */
  get fault(): string | null {
    return this.#readyAt === null ? `${this.#parts.share.clientId}: ${this.#fault}` : null;
  }

  /** Runs until `stop`; never rejects. */
  async run(): Promise<void> {
    while (!this.#stopped) {
      await this.#connectOnce();
      if (this.#stopped) return;
      await this.#pause();
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    const inHand = this.#connection?.inHand ?? Promise.resolve();
    this.#remembering.cancel();
    this.#wake();
    await withinTime(this.#parts.options.clock, inHand, this.#parts.limits.stopWithin);
    await this.#remember();
    // The acknowledgement of what was in hand goes out first.
    await nextTurn();
    await this.#connection?.end(this.#parts.options.clock, false);
  }

  /** The session is of no use any more: the broker and the centre forget it. */
  async endForGood(): Promise<void> {
    this.#stopped = true;
    this.#remembering.cancel();
    await this.#connection?.end(this.#parts.options.clock, true);
    await this.#parts.options.sessions.forget(this.#parts.share.clientId);
  }

  async #connectOnce(): Promise<void> {
    const { options, limits, share } = this.#parts;
    try {
      const tls = await options.broker.tls();
      const why = await new Promise<string>((ended) => {
        const connection: BridgeConnection = new BridgeConnection({
          broker: options.broker,
          tls,
          clientId: share.clientId,
          version: this.#version,
          limits,
          now: () => options.clock.now(),
          handlers: {
            deliver: (message) => this.#deliver(connection, message),
            connected: ({ sessionPresent }) => void this.#establish(connection, sessionPresent),
            ended,
          },
        });
        this.#connection = connection;
      });
      this.#ended(why);
    } catch (error) {
      this.#parts.log.error('bridge-not-connected', { source: share.clientId, error });
      this.#fault = 'its certificates cannot be used';
    }
    this.#connection = null;
    this.#proven(false);
  }

  #ended(why: string): void {
    const { options, share, log } = this.#parts;
    if (this.#readyAt !== null) this.#attempt = 0;
    this.#readyAt = null;
    if (this.#stopped) return;
    const now = options.clock.now();
    const lowered = this.#connection?.versionRefused === true && this.#version === 5;
    if (lowered) this.#version = 4;
    const { level, event, fault } = onEnded(why, { now, attempt: this.#attempt, lowered, refusalToldAt: this.#refusalToldAt });
    this.#fault = fault;
    if (event === 'bridge-credentials-refused') this.#refusalToldAt = now;
    log[level](event, { source: share.clientId, code: why, attempt: this.#attempt + 1 });
  }

  async #pause(): Promise<void> {
    const { options, limits } = this.#parts;
    const share = new DataView(Uint8Array.from(options.random(4)).buffer).getUint32(0) / 2 ** 32;
    const delay = retryDelay(limits.retryAfter, ++this.#attempt, share);
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      options.clock.after(delay, resolve);
    });
  }

  async #establish(connection: BridgeConnection, sessionPresent: boolean): Promise<void> {
    const { share, options, log, count } = this.#parts;
    count('connects');
    this.#fault = 'connected, not subscribed yet';
    try {
      const whole = sessionPresent && (await this.#isWhole(connection));
      await this.#save(connection, onConnected(this.#session, whole));
      await this.#subscribe(connection);
    } catch (error) {
      if (error instanceof Over) return;
      log.warn('bridge-not-established', { source: share.clientId, error });
      connection.destroy('not established');
    }
    if (this.#session?.echoes === false && this.#readyAt !== null) this.#askForEcho(connection, options.clock.now());
  }

  /** Anything that comes before SUBSCRIBE comes over a subscription that the session has kept. */
  async #isWhole(connection: BridgeConnection): Promise<boolean> {
    const { options, limits, share, log } = this.#parts;
    // Where the broker has never given back an echo, there is only its word.
    if (this.#session?.echoes !== true || this.#echo === null) return true;
    const proof = new Promise<boolean>((resolve) => (this.#proven = resolve));
    this.#askForEcho(connection, options.clock.now());
    const timer = options.clock.after(limits.proofWithin, () => this.#proven(false));
    const whole = await proof;
    timer.cancel();
    if (connection.over) throw new Over();
    if (!whole) log.warn('bridge-session-empty', { source: share.clientId });
    return whole;
  }

  async #subscribe(connection: BridgeConnection): Promise<void> {
    const { share, options, log, count } = this.#parts;
    const { clientId, filters } = share;
    const answers = filters.length === 0 ? [] : await connection.subscribe(filters);
    if (connection.over) throw new Over();
    const refused = filters.filter((_filter, index) => answers?.[index] !== 'granted');
    if (refused.length > 0) return this.#refused(connection, refused);
    const left = this.#session?.filters.filter((filter) => !filters.includes(filter)) ?? [];
    if (left.length > 0) await connection.unsubscribe(left);
    const from = this.#session?.gapFrom ?? null;
    const until = options.clock.now();
    if (from !== null) {
      const told = this.#session?.filters ?? filters;
      await options.gap({ clientId, from, until, filters: told });
      log.error('bridge-session-lost', { source: clientId, byMs: until - from });
      count('gaps');
    }
    await this.#save(connection, onSubscribed(this.#session, clientId, filters, until));
    this.#readyAt = options.clock.now();
    this.#refusalToldAt = null;
    log.info('bridge-ready', { source: clientId, count: filters.length });
  }

  async #refused(connection: BridgeConnection, refused: readonly string[]): Promise<void> {
    const { share, options, limits, log } = this.#parts;
    this.#readyAt = null;
    this.#fault = `the broker does not grant it ${refused.join(', ')} with QoS 1: look at the broker's access rules`;
    log.error('bridge-subscription-refused', { source: share.clientId, path: refused.join(','), count: refused.length });
    await this.#save(connection, onRefused(this.#session));
    options.clock.after(limits.resubscribeEvery, () => void this.#subscribeAgain(connection));
  }

  async #subscribeAgain(connection: BridgeConnection): Promise<void> {
    if (connection.over || this.#stopped) return;
    try {
      await this.#subscribe(connection);
    } catch {
      connection.destroy('not established');
    }
  }

  #askForEcho(connection: BridgeConnection, now: Instant): void {
    if (this.#echo === null) return;
    this.#echoed = String(now);
    connection.publish(this.#echo, Buffer.from(this.#echoed));
  }

  async #deliver(connection: BridgeConnection, delivered: Delivered): Promise<boolean> {
    // What arrives during a stop gets no answer: it comes again.
    if (this.#stopped || connection.over) return new Promise(() => undefined);
    this.#proven(true);
    const { options, share, count } = this.#parts;
    const read = readDelivered(delivered, {
      clientId: share.clientId,
      ownMunicipality: options.ownMunicipality,
      receivedAt: options.clock.now(),
    });
    if (read === 'down') this.#hearEcho(delivered);
    if (read === 'retained') options.retained(share.clientId, delivered.topic);
    if (typeof read === 'string') return true;
    if (this.#parts.leaves(read)) return true;
    count('received');
    return this.#keep(connection, read);
  }

  async #keep(connection: BridgeConnection, message: MqttMessage): Promise<boolean> {
    const { options, log, count } = this.#parts;
    const device = { serial: message.device, municipality: message.municipality };
    try {
      const verdict = await options.accept(message, (receipt) => {
        // Before the acknowledgement of the message on the same connection: if either is lost, both come again.
        if (connection.publish(topicFor(device, 'receipt'), encodeReceipt(receipt))) count('receiptsSent');
      });
      if (verdict === 'not-kept') count('notKept');
      return verdict === 'kept';
    } catch (error) {
      log.error('mqtt-message-not-accepted', { device: message.device, error });
      count('notKept');
      return false;
    }
  }

  #hearEcho({ topic, payload }: Delivered): void {
    if (topic !== this.#echo || this.#readyAt === null || Buffer.from(payload).toString() !== this.#echoed) return;
    if (this.#session !== null) this.#session = { ...this.#session, echoes: true };
  }

  async #remember(): Promise<void> {
    const { options, limits, share, log } = this.#parts;
    if (this.#session === null || this.#readyAt === null || this.#connection?.over !== false) return;
    const now = options.clock.now();
    try {
      await this.#write(onSeen(this.#session, this.#connection.answeredAt, now, now - this.#readyAt, limits.settledAfter));
    } catch (error) {
      log.debug('bridge-session-not-remembered', { source: share.clientId, error });
    }
  }

  /** @throws Over, CentreError store-away */
  async #save(connection: BridgeConnection, session: BridgeSession | null): Promise<void> {
    if (session !== null && session !== this.#session) await this.#write(session);
    if (connection.over) throw new Over();
  }

  /** One after the other: an older state must not be written over a newer one. @throws CentreError store-away */
  #write(session: BridgeSession): Promise<void> {
    const written = this.#writing.then(async () => {
      await this.#parts.options.sessions.save(session);
      this.#session = { ...session, echoes: session.echoes || this.#session?.echoes === true };
    });
    this.#writing = written.catch(() => undefined);
    return written;
  }
}
