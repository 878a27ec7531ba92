/**
 * The server of the direct stream: tells console processes what lies in the spill, and takes their claims, without any store.
 *
 * Lines of JSON, each ended by LF. The client's first line is `{"hello":"<token>"}` with the centre's secret; from then on it is
 * sent DirectNews objects (`whole` first) and `{"pulse":true}` every 2 s. It may send
 * `{"ask":"<id>","claim":{"number","account","roles","at"}}` and is answered `{"answer":"<id>","result":ProvisionalAnswer}`, or
 * `{"failed":"<id>"}` when the claim could not be made durable: then nobody has the alarm.
 *
 * Limits: 64 connections (a new one takes the place of the oldest that has not said hello, else it is closed), 64 KiB a line of a
 * client, 5 s for the hello, 1 MiB that a client has not read (it is ended and begins anew). A `whole` names the most urgent alarms; where there are more than a line takes, each of the
 * others follows as a line of its own, as fast as the client reads.
 */
import { X509Certificate, createHash, timingSafeEqual } from 'node:crypto';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { ROLES, type Role } from '../alarms/command.ts';
import type { DirectNews, ProvisionalAlarm } from '../alarms/provisional.ts';
import type { Clock, Milliseconds, Timer } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { createRefusals } from './refusals.ts';
import type { Spill } from './spill.ts';

export const DIRECT_LIMITS = { connections: 64, line: 64 * 1024, outstanding: 1024 * 1024, whole: 512 * 1024 } as const;
export const HELLO_WITHIN_MS: Milliseconds = 5000;
export const PULSE_EVERY_MS: Milliseconds = 2000;
/** What a client is given ahead of its reading while it is told the rest of a long list. */
const AHEAD_BYTES = 128 * 1024;

const RANK: Readonly<Record<ProvisionalAlarm['priority'], number>> = { life: 0, urgent: 1, care: 2, technical: 3 };

export interface DirectTls {
  current(): { readonly cert: string; readonly key: string };
  onChange(listener: (pair: { readonly cert: string; readonly key: string }) => void): () => void;
}

export interface DirectStream {
  readonly port: number;
  /** SHA-256 of the certificate in use, hexadecimal; null: plain TCP. */
  sha256(): string | null;
  counts(): { readonly connected: number; readonly refused: number; readonly ended: number };
  stop(): Promise<void>;
}

/** @throws CentreError port-in-use, port-not-allowed */
export async function startDirectStream(parts: {
  readonly spill: Pick<Spill, 'claim' | 'listen' | 'provisional' | 'storeAway'>;
  /** The centre's secret; whoever knows it is a console of this centre. */
  readonly token: string;
  readonly bind: string;
  readonly port: number;
  readonly tls: DirectTls | null;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<DirectStream> {
  const { spill, tls, clock, log } = parts;
  const token = digest(parts.token);
  const clients = new Set<Client>();
  const counts = { refused: 0, ended: 0 };
  const refusals = createRefusals({ event: 'direct-client-refused', clock, log });
  const serve = (socket: Socket): void => {
    if (clients.size >= DIRECT_LIMITS.connections) {
      counts.refused += 1;
      // Whoever only opens connections keeps no console out.
      const stranger = [...clients].find(({ known }) => !known);
      if (stranger === undefined) {
        socket.destroy();
        return;
      }
      clients.delete(stranger);
      stranger.end();
    }
    const client = new Client(socket, {
      spill,
      clock,
      knows: (shown) => timingSafeEqual(digest(shown), token),
      refused: (code) => {
        counts.refused += 1;
        refusals.add(socket.remoteAddress ?? '', code);
      },
      ended: (code) => {
        counts.ended += 1;
        log.warn('direct-client-ended', { source: socket.remoteAddress ?? '', code });
      },
      failed: (error) => log.error('direct-claim-failed', { error }),
      gone: () => clients.delete(client),
    });
    clients.add(client);
  };
  let sha256: string | null = null;
  let server: Server;
  let unfollow = (): void => undefined;
  if (tls === null) server = createServer(serve);
  else {
    const secure = createTlsServer(tls.current(), serve);
    sha256 = fingerprint(tls.current().cert);
    unfollow = tls.onChange((pair) => {
      secure.setSecureContext(pair);
      sha256 = fingerprint(pair.cert);
    });
    secure.on('tlsClientError', () => (counts.refused += 1));
    server = secure;
  }
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    // Also those whose TLS handshake is not ended.
    if (sockets.size > DIRECT_LIMITS.connections * 2) socket.destroy();
  });
  await listening(server, parts.bind, parts.port);
  server.on('error', (error) => log.error('direct-stream-failed', { error }));
  const unlisten = spill.listen((news) => {
    for (const client of clients) client.tell(news);
  });
  const pulse = clock.every(PULSE_EVERY_MS, () => {
    for (const client of clients) client.pulse();
  });
  return {
    port: (server.address() as AddressInfo).port,
    sha256: () => sha256,
    counts: () => ({ connected: [...clients].filter(({ known }) => known).length, ...counts }),
    async stop() {
      pulse.cancel();
      refusals.stop();
      unlisten();
      unfollow();
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

interface ClientParts {
  readonly spill: Pick<Spill, 'claim' | 'provisional' | 'storeAway'>;
  readonly clock: Clock;
  readonly knows: (token: string) => boolean;
  readonly refused: (code: string) => void;
  readonly ended: (code: string) => void;
  /** A fault of ours. */
  readonly failed: (error: unknown) => void;
  readonly gone: () => void;
}

class Client {
  readonly #socket: Socket;
  readonly #parts: ClientParts;
  readonly #hello: Timer;
  #rest = '';
  /** Numbers that are to be told after a `whole` that did not take them. */
  #untold: string[] = [];
  known = false;

  constructor(socket: Socket, parts: ClientParts) {
    this.#socket = socket;
    this.#parts = parts;
    this.#hello = parts.clock.after(HELLO_WITHIN_MS, () => this.#refuse('no-hello'));
    socket.setNoDelay(true);
    socket.setEncoding('utf8');
    socket.on('error', () => undefined);
    socket.on('data', (text: string) => this.#hear(text));
    socket.on('drain', () => this.#tellRest());
    socket.on('close', () => {
      this.#hello.cancel();
      parts.gone();
    });
  }

  end(): void {
    this.#hello.cancel();
    this.#socket.destroy();
  }

  tell(news: DirectNews): void {
    if (!this.known) return;
    if (news.news === 'whole') this.#tellWhole();
    else this.#write(news);
  }

  pulse(): void {
    if (this.known) this.#write({ pulse: true });
  }

  #hear(text: string): void {
    this.#rest += text;
    for (let end = this.#rest.indexOf('\n'); end !== -1; end = this.#rest.indexOf('\n')) {
      const line = this.#rest.slice(0, end);
      this.#rest = this.#rest.slice(end + 1);
      if (!this.#take(line)) return;
    }
    if (this.#rest.length > DIRECT_LIMITS.line) this.#refuse('line-too-long');
  }

  /** False: the connection is ended. */
  #take(line: string): boolean {
    const said = parsed(line);
    if (this.known) {
      const ask = askOf(said);
      if (ask === null) return this.#refuse('not-understood');
      void this.#claim(ask);
      return true;
    }
    if (typeof said['hello'] !== 'string' || !this.#parts.knows(said['hello'])) return this.#refuse('wrong-token');
    this.#hello.cancel();
    this.known = true;
    this.#tellWhole();
    return true;
  }

  async #claim({ ask, number, account, roles, at }: Ask): Promise<void> {
    try {
      this.#write({ answer: ask, result: await this.#parts.spill.claim(number, { account, roles }, at) });
    } catch (error) {
      if (!(error instanceof CentreError)) this.#parts.failed(error);
      this.#write({ failed: ask });
    }
  }

  #tellWhole(): void {
    const { spill } = this.#parts;
    const all = spill.provisional().toSorted((a, b) => RANK[a.priority] - RANK[b.priority]);
    let bytes = 0;
    const fitting = all.findIndex((alarm) => (bytes += Buffer.byteLength(JSON.stringify(alarm)) + 1) > DIRECT_LIMITS.whole);
    const count = fitting === -1 ? all.length : fitting;
    this.#untold = all.slice(count).map(({ number }) => number);
    this.#write({ news: 'whole', storeAway: spill.storeAway(), alarms: all.slice(0, count) });
    this.#tellRest();
  }

  /** What was replayed meanwhile is passed over; what was claimed is told as it is now. */
  #tellRest(): void {
    if (this.#untold.length === 0) return;
    const now = new Map(this.#parts.spill.provisional().map((alarm) => [alarm.number, alarm]));
    let told = 0;
    for (const number of this.#untold) {
      if (this.#socket.writableLength > AHEAD_BYTES) break;
      told += 1;
      const alarm = now.get(number);
      if (alarm !== undefined) this.#write({ news: 'alarm', alarm });
    }
    this.#untold = this.#untold.slice(told);
  }

  #write(line: object): void {
    if (this.#socket.destroyed) return;
    this.#socket.write(`${JSON.stringify(line)}\n`);
    if (this.#socket.writableLength <= DIRECT_LIMITS.outstanding) return;
    this.#parts.ended('too-slow');
    this.#socket.destroy();
  }

  #refuse(code: string): false {
    this.#parts.refused(code);
    this.#socket.destroy();
    return false;
  }
}

interface Ask {
  readonly ask: string;
  readonly number: string;
  readonly account: string;
  readonly roles: readonly Role[];
  readonly at: number;
}

function askOf(said: Record<string, unknown>): Ask | null {
  const { ask, claim } = said;
  if (typeof ask !== 'string' || typeof claim !== 'object' || claim === null) return null;
  const { number, account, roles, at } = claim as Record<string, unknown>;
  if (typeof number !== 'string' || typeof account !== 'string' || typeof at !== 'number' || !Number.isFinite(at)) return null;
  return { ask, number, account, at, roles: Array.isArray(roles) ? ROLES.filter((role) => roles.includes(role)) : [] };
}

const parsed = (line: string): Record<string, unknown> => {
  try {
    return Object(JSON.parse(line)) as Record<string, unknown>;
  } catch {
    return {};
  }
};

const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

const fingerprint = (cert: string): string => new X509Certificate(cert).fingerprint256.replaceAll(':', '').toLowerCase();

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const code = systemCode(error) === 'EACCES' ? 'port-not-allowed' : 'port-in-use';
      reject(new CentreError(code, `DIRECT_PORT ${port} on ${host} cannot be listened on: choose another port.`, { cause: error }));
    });
    server.listen({ host, port }, () => {
      server.removeAllListeners('error');
      resolve();
    });
  });
}
