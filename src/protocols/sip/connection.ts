/** One SIP connection over TCP or TLS: bytes in, answers out in order, limits on silence, backlog and memory. */
import type { Socket } from 'node:net';
import { type Clock, type Milliseconds, minutes, seconds } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { ListenerCounters, SipCore } from './core.ts';
import { AnswerLane, type Flow, plainAddress } from './flow.ts';
import { Framer } from './framer.ts';
import type { Framed } from './message.ts';

export interface StreamLimits {
  /** Open at a time, on each of TCP and TLS. */
  readonly connections: number;
  /** A connection that has sent at least one SIP message may be silent this long. */
  readonly idle: Milliseconds;
  /** One that has sent none. */
  readonly idleStranger: Milliseconds;
  /** A message has begun and no byte has come for this long: what is there is taken. */
  readonly stalled: Milliseconds;
  /** A message that trickles in longer than this ends the connection, and so do answers that are not taken for so long. */
  readonly trickling: Milliseconds;
  /** TLS handshakes under way at a time, and how long one may take. */
  readonly handshakes: number;
  readonly handshake: Milliseconds;
  /** Bytes that all connections of a listener may hold together: half messages, and answers that were not taken. */
  readonly held: number;
}

export const STREAM_LIMITS: StreamLimits = {
  connections: 10_000,
  idle: minutes(60),
  idleStranger: seconds(30),
  stalled: seconds(10),
  trickling: seconds(30),
  handshakes: 2000,
  handshake: seconds(10),
  held: 128 * 1024 * 1024,
};
/** Requests of one connection without an answer, before it is read no further. */
export const MAX_WAITING = 100;
/** Bytes that a peer leaves unread before its connection is ended; from 16 KiB on (Node's own mark) it is read no further. */
export const MAX_UNREAD = 256 * 1024;
/** How often connections look at the clock. */
export const SWEEP: Milliseconds = seconds(1);
/** A segment is taken in slices; after so many messages other connections have their turn. */
const SLICE = 4096;
const MAX_AT_ONCE = 100;
const PONG = Buffer.from('\r\n');

export interface StreamOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly transport: 'tcp' | 'tls';
  readonly limits: StreamLimits;
}

export class Connection {
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
  /** Since when the peer does not take what it is sent. */
  #unreadAt: Milliseconds | null = null;
  /** A pong waits in the socket: another would say no more. */
  #ponging = false;
  /** Nothing more is read; the connection is ended behind the last answer. */
  #ending = false;
  /** Since when nothing is owed to a peer whose half of the connection may be open still. */
  #endedAt: Milliseconds | null = null;

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
    socket.on('drain', () => this.#drained());
    socket.on('end', () => this.#peerEnded());
    socket.on('error', (error) => options.log.debug('sip-connection-failed', { protocol: 'sip', error }));
    socket.on('close', () => {
      gone();
      core.flowGone(this.flow);
    });
  }

  /** Bytes that are kept for it: the message that has begun, and what the peer has not taken yet. */
  get held(): number {
    return this.#framer.held + this.#socket.writableLength;
  }

  /** Once a second: what has stalled is settled, who is silent or deaf for too long is ended. */
  sweep(): void {
    const { clock, limits } = this.#options;
    const now = clock.monotonic();
    const deaf = this.#unreadAt !== null && now - this.#unreadAt >= limits.trickling;
    if (deaf || (this.#endedAt !== null && now - this.#endedAt >= limits.stalled)) {
      this.destroy();
      return;
    }
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
    // One write for the answers to one segment.
    this.#socket.cork();
    let messages = 0;
    let at = 0;
    while (at < chunk.length && !this.#ending && messages < MAX_AT_ONCE && !this.#mustWait()) {
      messages += this.#take(this.#framer.push(chunk.subarray(at, at + SLICE)));
      at += SLICE;
    }
    this.#socket.uncork();
    if (this.#ending || (at >= chunk.length && !this.#mustWait())) return;
    this.#socket.pause();
    if (at < chunk.length) this.#socket.unshift(chunk.subarray(at));
    setImmediate(() => this.#readOn());
  }

  /** @returns how many messages these were */
  #take(messages: readonly Framed[]): number {
    this.#counters.noiseBytes += this.#framer.takeNoise();
    for (const framed of messages) {
      if (this.#ending) break;
      if (framed.type === 'ping') this.#pong();
      else if (framed.type !== 'noise') this.known = true;
      if (this.#core.receive(framed, this.flow, this.#counters)) this.#endBehindAnswers();
    }
    if (!this.#framer.unfinished || messages.length > 0) this.#begunAt = null;
    if (this.#framer.unfinished) this.#begunAt ??= this.#options.clock.monotonic();
    return messages.length;
  }

  /** The peer has said all: half a message is settled, and the connection ends behind the answers. */
  #peerEnded(): void {
    if (!this.#ending) this.#take(this.#framer.settle(true));
    this.#endBehindAnswers();
  }

  #endBehindAnswers(): void {
    this.#ending = true;
    if (this.flow.answers.waiting > 0 || this.#endedAt !== null) return;
    this.#endedAt = this.#options.clock.monotonic();
    this.#socket.end();
    // What it goes on to send is thrown away, lest it should block its end of the connection.
    this.#socket.resume();
  }

  #answered(): void {
    if (this.#ending) this.#endBehindAnswers();
    else this.#readOn();
  }

  #drained(): void {
    this.#unreadAt = null;
    this.#readOn();
  }

  #readOn(): void {
    if (!this.#socket.isPaused() || this.flow.answers.waiting >= MAX_WAITING / 2 || this.#unreadAt !== null) return;
    this.#socket.resume();
  }

  #mustWait(): boolean {
    return this.flow.answers.waiting >= MAX_WAITING || this.#unreadAt !== null;
  }

  #pong(): void {
    if (this.#ponging || !this.flow.open) return;
    this.#ponging = true;
    this.#socket.write(PONG, () => {
      this.#ponging = false;
    });
  }

  #send(bytes: Uint8Array): void {
    if (!this.flow.open) return;
    const taken = this.#socket.write(bytes);
    if (this.#socket.writableLength > MAX_UNREAD) this.destroy();
    else if (!taken) this.#unreadAt ??= this.#options.clock.monotonic();
  }
}
