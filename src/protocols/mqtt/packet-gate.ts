/** Stands between a socket and the broker: cuts the bytes into MQTT packets, limits them, and hands over only what may be in flight. */
import { Duplex } from 'node:stream';
import type { Socket } from 'node:net';
import { storable } from '../../base/bytes.ts';
import type { Clock } from '../../base/clock.ts';

/*
 * Why the broker does not read the socket itself: it runs all packets of one TCP chunk at once without a cap, takes a
 * packet of 256 MB into memory, forgets a PUBACK when DISCONNECT stands in the same chunk, and ends the connection for a
 * topic that it does not like, which would starve the alarms behind it. So the gate keeps topic and payload of each
 * PUBLISH to itself and gives the broker a stub with a ticket for topic; the broker does the acknowledging.
 *
 *   socket ─bytes─► gate ─packets, PUBLISH as stub `kept/<ticket>`─► broker ─acknowledgements─► gate ─► socket
 */

/** One PUBLISH as it came (MQTT 3.1.1, 3.3). */
export interface Published {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly dup: boolean;
}

export interface GateLimits {
  /** Of a whole packet, in bytes. */
  readonly packet: number;
  /** How many PUBLISH packets the broker has at a time. */
  readonly inFlight: number;
}

type GateRefusal = 'packet-too-large' | 'protocol-error' | 'unsupported-version';
type GateRefused = (code: GateRefusal, detail: string) => void;

const CONNECT = 1;
const PUBLISH = 3;
const DISCONNECT = 14;
const TICKET_TOPIC = 'kept/';
/** Single bytes that trickle in are joined now and then, so that each does not stay a buffer of its own. */
const MANY_CHUNKS = 64;
/** How long a peer that does not read may hold a connection that we have ended. */
const FLUSH_MS = 2000;

interface Packet {
  readonly type: number;
  readonly bytes: Buffer;
  /** Where the fixed header ends. */
  readonly bodyAt: number;
}

/** MQTT 3.1 and 3.1.1. */
const SPOKEN: readonly number[] = [3, 4];
/** CONNACK: unacceptable protocol version (MQTT 3.1.1, 3.2.2.3), and 0x84 without properties (MQTT 5, 3.2.2.2). */
const UNSUPPORTED_3 = Buffer.from([0x20, 2, 0, 1]);
const UNSUPPORTED_5 = Buffer.from([0x20, 3, 0, 0x84, 0]);

/** The protocol level that CONNECT asks for (3.1.2.2), without the flag that bridges set; null when it is cut off before. */
function levelOf({ bytes, bodyAt }: Packet): number | null {
  if (bytes.length < bodyAt + 2) return null;
  const level = bytes[bodyAt + 2 + bytes.readUInt16BE(bodyAt)];
  return level === undefined ? null : level & 0x7f;
}

export class PacketGate extends Duplex {
  readonly #socket: Socket;
  readonly #limits: GateLimits;
  readonly #clock: Clock;
  readonly #refused: GateRefused;
  #chunks: Buffer[] = [];
  #length = 0;
  /** No packet can be complete before so many bytes are there. */
  #need = 2;
  readonly #published = new Map<string, Published>();
  #ticket = 0;
  #inFlight = 0;
  #state: 'awaits-connect' | 'awaits-admission' | 'open' | 'closing' = 'awaits-connect';
  #ended = false;
  #wanted = true;
  #disconnected = false;

  constructor(options: {
    readonly socket: Socket;
    readonly limits: GateLimits;
    readonly clock: Clock;
    /** The bytes cannot be taken; the connection is being closed. */
    readonly refused: GateRefused;
  }) {
    super({ allowHalfOpen: true });
    this.#socket = options.socket;
    this.#limits = options.limits;
    this.#clock = options.clock;
    this.#refused = options.refused;
    const { socket } = options;
    socket.on('data', (chunk: Buffer) => this.#take(chunk));
    // What has been read before the other end went away is still worked through: it may be an alarm.
    const end = (): void => {
      this.#ended = true;
      this.#pump();
    };
    socket.on('end', end);
    socket.on('close', end);
    // 'close' follows and does the work.
    socket.on('error', () => undefined);
  }

  /** The peer said DISCONNECT: its last will is void. */
  get disconnected(): boolean {
    return this.#disconnected;
  }

  /** The connection was accepted: what came behind CONNECT may pass. */
  admit(): void {
    if (this.#state !== 'awaits-admission') return;
    this.#state = 'open';
    this.#pump();
  }

  /** Takes in nothing more; what is in flight is still answered. */
  close(): void {
    this.#state = 'closing';
    this.#socket.pause();
  }

  /** What a stub that came to the broker stands for; null when it is none of this gate's, or was fetched before. */
  fetch(topic: string): Published | null {
    const ticket = topic.slice(TICKET_TOPIC.length);
    const published = this.#published.get(ticket) ?? null;
    this.#published.delete(ticket);
    return published;
  }

  /** A PUBLISH has been dealt with: the next may pass. */
  release(): void {
    this.#inFlight--;
    this.#pump();
  }

  override _read(): void {
    this.#wanted = true;
    this.#pump();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    if (this.#socket.destroyed) return done();
    this.#socket.write(chunk, () => done());
  }

  override _writev(chunks: { readonly chunk: Buffer }[], done: () => void): void {
    this._write(Buffer.concat(chunks.map(({ chunk }) => chunk)), 'buffer', done);
  }

  override _final(done: () => void): void {
    this.#socket.end();
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#state = 'closing';
    this.#published.clear();
    this.#chunks = [];
    if (!this.#socket.destroyed) {
      // Acknowledgements that were written before still go out.
      const timer = this.#clock.after(FLUSH_MS, () => this.#socket.destroy());
      this.#socket.once('close', () => timer.cancel());
      this.#socket.destroySoon();
    }
    done(error);
  }

  #take(chunk: Buffer): void {
    if (this.#state === 'closing') return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#chunks.length > MANY_CHUNKS) this.#join();
    this.#pump();
  }

  #join(): Buffer {
    const [first] = this.#chunks;
    if (this.#chunks.length === 1 && first !== undefined) return first;
    const joined = Buffer.concat(this.#chunks);
    this.#chunks = [joined];
    return joined;
  }

  /** Hands over complete packets for as long as they may pass; stops the socket when they may not. */
  #pump(): void {
    while (this.#state !== 'closing' && this.#wanted && this.#length >= this.#need) {
      const packet = this.#next();
      if (packet === null) break;
      if (!this.#mayPass(packet)) {
        this.#socket.pause();
        return;
      }
      this.#consume(packet.bytes.length);
      this.#pass(packet);
    }
    if (this.#ended && this.#state !== 'closing') {
      const incomplete = this.#length < this.#need || this.#next() === null;
      if (incomplete && this.#inFlight === 0) this.#finish();
      return;
    }
    if (this.#state !== 'closing' && this.#wanted && this.#socket.isPaused()) this.#socket.resume();
    else if (!this.#wanted) this.#socket.pause();
  }

  #finish(): void {
    this.#state = 'closing';
    this.push(null);
  }

  /** Fixed header (MQTT 3.1.1, 2.2): type and flags, then the remaining length, 7 bits a byte, least first, at most four bytes. */
  #next(): Packet | null {
    const buffer = this.#join();
    // Not to wait for the rest of what will never be MQTT.
    if (this.#state === 'awaits-connect' && buffer[0] !== CONNECT << 4)
      return this.#refuse('protocol-error', 'does not begin with CONNECT');
    let length = 0;
    for (let at = 1; at <= 4; at++) {
      const byte = buffer[at];
      if (byte === undefined) {
        this.#need = at + 1;
        return null;
      }
      length += (byte & 0x7f) * 128 ** (at - 1);
      if ((byte & 0x80) !== 0) continue;
      const total = at + 1 + length;
      if (total > this.#limits.packet) return this.#refuse('packet-too-large', `${total} bytes`);
      this.#need = total;
      return buffer.length < total ? null : { type: (buffer[0] ?? 0) >> 4, bytes: buffer.subarray(0, total), bodyAt: at + 1 };
    }
    return this.#refuse('protocol-error', 'no valid packet length');
  }

  #refuse(code: GateRefusal, detail: string): null {
    this.#refused(code, detail);
    this.destroy();
    return null;
  }

  #consume(length: number): void {
    const rest = this.#join().subarray(length);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#length = rest.length;
    this.#need = 2;
  }

  #mayPass({ type }: Packet): boolean {
    if (this.#state === 'awaits-admission') return false;
    if (type === PUBLISH) return this.#inFlight < this.#limits.inFlight;
    // The broker ends the connection at once: what is in flight gets its acknowledgement first.
    return type !== DISCONNECT || this.#inFlight === 0;
  }

  #pass(packet: Packet): void {
    if (this.#state === 'awaits-connect' && packet.type === CONNECT) {
      const level = levelOf(packet);
      if (level !== null && !SPOKEN.includes(level)) {
        // The broker behind would answer all of them in the words of MQTT 3, which a client of MQTT 5 cannot read.
        this.#socket.write(level === 5 ? UNSUPPORTED_5 : UNSUPPORTED_3);
        this.#refuse('unsupported-version', `MQTT level ${level}`);
        return;
      }
      this.#state = 'awaits-admission';
    }
    if (packet.type === DISCONNECT) this.#disconnected = true;
    const bytes = packet.type === PUBLISH && this.#state === 'open' ? this.#stub(packet) : packet.bytes;
    this.#wanted = this.push(bytes);
  }

  /** Keeps a PUBLISH and makes the stub that stands for it; one that is malformed goes as it is, for the broker to refuse. */
  #stub({ bytes, bodyAt }: Packet): Buffer {
    const flags = (bytes[0] ?? 0) & 0x0f;
    const qos = (flags >> 1) & 3;
    if (qos === 3 || bytes.length < bodyAt + 2) return bytes;
    const topicEnd = bodyAt + 2 + bytes.readUInt16BE(bodyAt);
    const payloadAt = topicEnd + (qos === 0 ? 0 : 2);
    if (payloadAt > bytes.length) return bytes;
    const ticket = String(++this.#ticket);
    this.#inFlight++;
    this.#published.set(ticket, {
      topic: storable(bytes.toString('utf8', bodyAt + 2, topicEnd)),
      // A copy: a slice would keep the whole chunk that it came in.
      payload: Uint8Array.prototype.slice.call(bytes, payloadAt),
      qos: qos as 0 | 1 | 2,
      dup: (flags & 8) !== 0,
    });
    const topic = Buffer.from(TICKET_TOPIC + ticket);
    const messageId = bytes.subarray(topicEnd, payloadAt);
    // Without the retain flag: the broker keeps nothing.
    const header = Buffer.from([0x30 | (flags & 0x0e), 2 + topic.length + messageId.length, 0, topic.length]);
    return Buffer.concat([header, topic, messageId]);
  }
}
