/** SIP over TCP (and TLS, given a server that speaks it): connections with limits on number, silence, backlog and memory. */
import type { Server, Socket } from 'node:net';
import { type Clock, type Milliseconds, minutes, seconds } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { type ListenerCounters, type SipCore, noCounts } from './core.ts';
import { AnswerLane, type Endpoint, type Flow, plainAddress } from './flow.ts';
import { Framer } from './framer.ts';
import type { Framed } from './message.ts';

export interface StreamLimits {
  readonly connections: number;
  /** A connection that has sent at least one SIP message may be silent this long. */
  readonly idle: Milliseconds;
  /** One that has sent none. */
  readonly idleStranger: Milliseconds;
  /** A message has begun and no byte has come for this long: what is there is taken. */
  readonly stalled: Milliseconds;
  /** A message that trickles in longer than this ends the connection. */
  readonly trickling: Milliseconds;
}

export const STREAM_LIMITS: StreamLimits = {
  connections: 10_000,
  idle: minutes(60),
  idleStranger: seconds(30),
  stalled: seconds(10),
  trickling: seconds(30),
};
/** Requests of one connection without an answer, before it is read no further. */
const MAX_WAITING = 100;
/** Bytes that a peer leaves unread before its connection is ended. */
const MAX_UNREAD = 256 * 1024;
const SWEEP: Milliseconds = seconds(1);
const PONG = Buffer.from('\r\n');

export interface StreamListener {
  readonly local: Endpoint;
  readonly counters: ListenerCounters;
  stop(): Promise<void>;
}

export interface StreamOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly transport: 'tcp' | 'tls';
  readonly limits: StreamLimits;
}

/** Listens with `server`, created with `allowHalfOpen`. @throws the system's error (`EADDRINUSE`, `EACCES` …) */
export async function listenStream(
  core: SipCore,
  server: Server,
  bind: string,
  port: number,
  options: StreamOptions,
): Promise<StreamListener> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: bind, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { clock, log, limits } = options;
  const counters = noCounts();
  const connections = new Set<Connection>();

  server.on('error', (error) => log.warn('sip-tcp-listener-failed', { protocol: 'sip', error }));
  server.on(options.transport === 'tls' ? 'secureConnection' : 'connection', (socket: Socket) => {
    if (connections.size >= limits.connections) {
      counters.connectionsEnded++;
      const ended = leastUseful(connections);
      if (ended === null) {
        socket.destroy();
        return;
      }
      ended.destroy();
    }
    const connection = new Connection(core, socket, counters, options, () => {
      connections.delete(connection);
      counters.connections = connections.size;
    });
    connections.add(connection);
    counters.connections = connections.size;
  });
  const sweep = clock.every(SWEEP, () => {
    for (const connection of connections) connection.sweep();
  });

  const bound = server.address();
  return {
    local: typeof bound === 'object' && bound !== null ? { address: bound.address, port: bound.port } : { address: bind, port },
    counters,
    stop: async () => {
      sweep.cancel();
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      await Promise.all([...connections].map((connection) => connection.close()));
      await closed;
    },
  };
}

/** Whom to end for room: a stranger before a device, the one silent for longest; never one that waits for an answer. */
function leastUseful(connections: ReadonlySet<Connection>): Connection | null {
  let least: Connection | null = null;
  for (const one of connections) {
    if (one.flow.answers.waiting > 0) continue;
    const worse = least === null || (one.known === least.known ? one.lastByteAt < least.lastByteAt : !one.known);
    if (worse) least = one;
  }
  return least;
}

class Connection {
  readonly flow: Flow;
  /** Has sent a SIP message. */
  known = false;
  /** On the monotonic clock. */
  lastByteAt: Milliseconds;
  readonly #core: SipCore;
  readonly #socket: Socket;
  readonly #counters: ListenerCounters;
  readonly #options: StreamOptions;
  readonly #framer = new Framer();
  /** Since when a message is unfinished. */
  #begunAt: Milliseconds | null = null;
  /** Nothing more is read; the connection is ended behind the last answer. */
  #ending = false;

  constructor(core: SipCore, socket: Socket, counters: ListenerCounters, options: StreamOptions, gone: () => void) {
    this.#core = core;
    this.#socket = socket;
    this.#counters = counters;
    this.#options = options;
    this.lastByteAt = options.clock.monotonic();
    this.flow = {
      transport: options.transport,
      remote: { address: plainAddress(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 },
      local: { address: plainAddress(socket.localAddress ?? ''), port: socket.localPort ?? 0 },
      answers: new AnswerLane(
        (bytes) => this.#send(bytes),
        true,
        () => this.#answered(),
      ),
      get open() {
        return !socket.destroyed && socket.writable;
      },
      send: (bytes) => this.#send(bytes),
    };
    socket.setNoDelay(true);
    // Finds peers that are gone without a word.
    socket.setKeepAlive(true, 60_000);
    socket.on('data', (chunk: Buffer) => this.#receive(chunk));
    socket.on('end', () => this.#peerEnded());
    socket.on('error', (error) => options.log.debug('sip-connection-failed', { protocol: 'sip', error }));
    socket.on('close', () => {
      gone();
      core.flowGone(this.flow);
    });
  }

  /** Once a second: what has stalled is settled, who is silent for too long is ended. */
  sweep(): void {
    const { clock, limits } = this.#options;
    const now = clock.monotonic();
    // We are the ones who do not read: what is missing waits in the system.
    if (this.#socket.isPaused()) this.lastByteAt = now;
    const quiet = now - this.lastByteAt;
    if (this.#framer.unfinished) {
      if (quiet >= SWEEP) this.#take(this.#framer.settle(quiet >= limits.stalled));
      if (this.#begunAt !== null && now - this.#begunAt >= limits.trickling) this.destroy();
    } else if (this.flow.answers.waiting === 0 && quiet >= (this.known ? limits.idle : limits.idleStranger)) this.destroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Ends the connection once what was written has been handed to the system; at most a second. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) {
        resolve();
        return;
      }
      const late = this.#options.clock.after(SWEEP, () => this.destroy());
      this.#socket.once('close', () => {
        late.cancel();
        resolve();
      });
      this.#socket.end(() => this.destroy());
    });
  }

  #receive(chunk: Buffer): void {
    if (this.#ending) return;
    this.lastByteAt = this.#options.clock.monotonic();
    this.#take(this.#framer.push(chunk));
    if (this.flow.answers.waiting >= MAX_WAITING) this.#socket.pause();
  }

  #take(messages: readonly Framed[]): void {
    this.#counters.noiseBytes += this.#framer.takeNoise();
    for (const framed of messages) {
      if (this.#ending) break;
      if (framed.type === 'ping') this.#send(PONG);
      else if (framed.type !== 'noise') this.known = true;
      if (this.#core.receive(framed, this.flow, this.#counters)) this.#endBehindAnswers();
    }
    if (!this.#framer.unfinished || messages.length > 0) this.#begunAt = null;
    if (this.#framer.unfinished) this.#begunAt ??= this.#options.clock.monotonic();
  }

  /** The peer has said all: half a message is settled, and the connection ends behind the answers. */
  #peerEnded(): void {
    if (!this.#ending) this.#take(this.#framer.settle(true));
    this.#endBehindAnswers();
  }

  #endBehindAnswers(): void {
    this.#ending = true;
    if (this.flow.answers.waiting === 0) this.#socket.end();
  }

  #answered(): void {
    if (this.#ending) this.#endBehindAnswers();
    else if (this.#socket.isPaused() && this.flow.answers.waiting < MAX_WAITING / 2) this.#socket.resume();
  }

  #send(bytes: Uint8Array): void {
    if (!this.flow.open) return;
    this.#socket.write(bytes);
    if (this.#socket.writableLength > MAX_UNREAD) this.destroy();
  }
}
