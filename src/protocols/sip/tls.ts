/** SIP over TLS: a listener whose certificate can be renewed, and whose handshakes are limited in time and number. */
import type { Socket } from 'node:net';
import { type Server, createServer } from 'node:tls';
import type { Milliseconds } from '../../base/clock.ts';
import { systemCode } from '../../base/errors.ts';
import { SWEEP, type StreamOptions } from './connection.ts';
import type { ListenerCounters, SipCore } from './core.ts';
import { plainAddress } from './flow.ts';
import { type StreamListener, listenStream } from './tcp.ts';

/** PEM. */
interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** Where the certificate comes from, now and when it is renewed. */
export interface TlsIdentitySource {
  current(): TlsPair;
  /** Calls back with each new pair; what comes back ends that. */
  onChange(listener: (pair: TlsPair) => void): () => void;
}

export interface TlsListening {
  readonly identity: TlsIdentitySource;
  /** 0 takes a free one. */
  readonly port: number;
  /** A handshake that came to nothing: the other end's address, and the code of what went wrong (`ERR_SSL_…`, `too-slow`, `too-many`). */
  readonly handshakeFailed?: (address: string, code: string) => void;
}

export interface TlsCounters extends ListenerCounters {
  handshakesUnderWay: number;
  handshakesFailed: number;
}

export interface TlsListener extends Omit<StreamListener, 'counters'> {
  counters(): TlsCounters;
}

/** @throws the system's error (`EADDRINUSE`, `EACCES` …) */
export async function listenTls(core: SipCore, bind: string, tls: TlsListening, options: StreamOptions): Promise<TlsListener> {
  // Half-open: the answers to what came before a peer closed its half are still owed.
  const server = createServer({ ...secureContextOf(tls.identity.current()), allowHalfOpen: true });
  const handshakes = new Handshakes(server, options, tls.handshakeFailed ?? (() => undefined));
  const forget = tls.identity.onChange((pair) => server.setSecureContext(secureContextOf(pair)));
  try {
    const stream = await listenStream(core, server, bind, tls.port, options);
    return {
      local: stream.local,
      counters: () => ({ ...stream.counters, handshakesUnderWay: handshakes.underWay, handshakesFailed: handshakes.failed }),
      stop: async () => {
        forget();
        const stopped = stream.stop();
        // Behind the closing of the listener: none can begin or become a connection any more.
        handshakes.stop();
        await stopped;
      },
    };
  } catch (error) {
    forget();
    handshakes.stop();
    throw error;
  }
}

/** All that a secure context depends on: a renewed one replaces the whole, and leaves connections that are open alone. */
const secureContextOf = ({ cert, key }: TlsPair) => ({ cert, key, minVersion: 'TLSv1.2' }) as const;

interface Handshake {
  /** The other end's address and port, which the raw socket and the secure one have in common. */
  readonly key: string;
  readonly raw: Socket;
  readonly address: string;
  readonly begunAt: Milliseconds;
  /** What TLS said was wrong. */
  code: string;
}

/** How often failures are told in the log. */
const TELL_EVERY: Milliseconds = 60_000;

/** Follows each connection from its first packet until it is secure or gone. */
class Handshakes {
  failed = 0;
  readonly #options: StreamOptions;
  readonly #report: (address: string, code: string) => void;
  /** By key, in the order of coming. */
  readonly #underWay = new Map<string, Handshake>();
  readonly #perAddress = new Map<string, Set<Handshake>>();
  readonly #sweep: { cancel(): void };
  #told = { failed: 0, at: Number.NEGATIVE_INFINITY };
  #lastCode = '';

  constructor(server: Server, options: StreamOptions, report: (address: string, code: string) => void) {
    this.#options = options;
    this.#report = report;
    server.on('connection', (raw: Socket) => this.#begin(raw));
    server.on('secureConnection', (socket) => this.#forget(this.#underWay.get(keyOf(socket))));
    server.on('tlsClientError', (error, socket) => {
      const one = this.#underWay.get(keyOf(socket));
      if (one !== undefined) one.code = systemCode(error) ?? 'unknown';
    });
    this.#sweep = options.clock.every(SWEEP, () => this.#look());
  }

  get underWay(): number {
    return this.#underWay.size;
  }

  stop(): void {
    this.#sweep.cancel();
    for (const { raw } of this.#underWay.values()) raw.destroy();
  }

  #begin(raw: Socket): void {
    if (this.#underWay.size >= this.#options.limits.handshakes) this.#makeRoom();
    const key = keyOf(raw);
    const address = plainAddress(raw.remoteAddress ?? '');
    const one: Handshake = { key, raw, address, begunAt: this.#options.clock.monotonic(), code: 'closed' };
    this.#forget(this.#underWay.get(key));
    this.#underWay.set(key, one);
    const siblings = this.#perAddress.get(address);
    if (siblings === undefined) this.#perAddress.set(address, new Set([one]));
    else siblings.add(one);
    raw.once('close', () => {
      if (this.#underWay.get(key) === one) this.#fail(one, one.code);
    });
  }

  /** It has become a connection, or come to nothing. */
  #forget(one: Handshake | undefined): void {
    if (one === undefined) return;
    this.#underWay.delete(one.key);
    const siblings = this.#perAddress.get(one.address);
    siblings?.delete(one);
    if (siblings?.size === 0) this.#perAddress.delete(one.address);
  }

  #fail(one: Handshake, code: string): void {
    this.#forget(one);
    this.failed++;
    this.#lastCode = code;
    this.#report(one.address, code);
    one.raw.destroy();
  }

  /** The oldest of the address that has most: a flood from one place hurts that place. */
  #makeRoom(): void {
    let most: ReadonlySet<Handshake> = new Set();
    for (const siblings of this.#perAddress.values()) if (siblings.size > most.size) most = siblings;
    const [oldest] = most;
    if (oldest !== undefined) this.#fail(oldest, 'too-many');
  }

  #look(): void {
    const { clock, log, limits } = this.#options;
    const now = clock.monotonic();
    for (const one of this.#underWay.values()) {
      if (now - one.begunAt < limits.handshake) break;
      this.#fail(one, 'too-slow');
    }
    if (this.failed === this.#told.failed || now - this.#told.at < TELL_EVERY) return;
    const count = this.failed - this.#told.failed;
    log.warn('sip-tls-handshakes-failed', { protocol: 'sip', count, code: this.#lastCode });
    this.#told = { failed: this.failed, at: now };
  }
}

const keyOf = (socket: Socket): string => `${socket.remoteAddress ?? ''} ${socket.remotePort ?? ''}`;
