/** SCAIP units on one socket (UDP, TCP or TLS), with the little SIP that a load generator needs: it must cost less than what it measures. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock, Milliseconds } from '../../src/base/clock.ts';

export type ScaipTransport = 'udp' | 'tcp' | 'tls';

/** What became of one message; instants are `Clock.monotonic`. */
export interface ScaipTold {
  /** Its 200. */
  ok(at: Milliseconds): void;
  /** The centre's own MESSAGE with `snu` 0. */
  mrs(at: Milliseconds): void;
  /** Answered otherwise, given up, or its connection ended. */
  failed(why: string): void;
}

interface Sent {
  readonly bytes: Buffer;
  readonly told: ScaipTold;
  readonly sentAt: Milliseconds;
  /** RFC 3261 § 17.1.2.2, timer E; only over UDP. */
  wait: Milliseconds;
  againAt: Milliseconds;
}

interface Way {
  write(bytes: Buffer): void;
  end(): void;
}

/** RFC 3261 table 4: T1, T2, timer F. */
const T1: Milliseconds = 500;
const T2: Milliseconds = 4000;
const GIVE_UP: Milliseconds = 64 * T1;
/** What a device behind a router writes: the receiver answers to where the packet came from. */
const PRIVATE_HOST = '192.168.10.20';
/** What an answer takes over from its request (RFC 3261 § 8.2.6.2). */
const COPIED = /^(?:via|v|from|f|to|t|call-id|i|cseq)\s*:/i;

/** One socket with any number of units behind it, as behind a proxy. */
export class ScaipWire {
  readonly #transport: ScaipTransport;
  readonly #uri: string;
  readonly #clock: Clock;
  readonly #way: Way;
  /** By `ref`, which is the Call-ID too: without an answer, and without an `mrs`. */
  readonly #unanswered = new Map<string, Sent>();
  readonly #unreplied = new Map<string, ScaipTold>();
  #held = '';
  #ended = false;
  /** Datagrams that went out once more. */
  repeated = 0;

  private constructor(transport: ScaipTransport, host: string, port: number, clock: Clock, way: Way) {
    this.#transport = transport;
    this.#uri = `sip:alarm@${host.includes(':') ? `[${host}]` : host}:${port}`;
    this.#clock = clock;
    this.#way = way;
  }

  /** @throws Error when nobody listens there */
  static async open(transport: ScaipTransport, host: string, port: number, clock: Clock): Promise<ScaipWire> {
    try {
      if (transport === 'udp') {
        const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
        socket.connect(port, host);
        await once(socket, 'connect');
        // An ICMP refusal is no news: the message is repeated.
        socket.on('error', () => {});
        const wire = new ScaipWire(transport, host, port, clock, { write: (bytes) => socket.send(bytes), end: () => socket.close() });
        socket.on('message', (bytes) => wire.#message(bytes.toString('latin1')));
        return wire;
      }
      const socket = streamTo(transport, host, port);
      await once(socket, transport === 'tls' ? 'secureConnect' : 'connect');
      socket.on('error', () => {});
      const wire = new ScaipWire(transport, host, port, clock, {
        write: (bytes) => void socket.write(bytes),
        end: () => void socket.destroy(),
      });
      socket.on('data', (chunk: Buffer) => wire.#stream(chunk));
      socket.on('close', () => wire.#gone());
      return wire;
    } catch (error) {
      throw new Error(`The receiver at ${host}:${port} (${transport}) is away.`, { cause: error });
    }
  }

  /** One MESSAGE transaction of its own. `ref` must be new on this socket. */
  message(cid: string, ref: string, body: string, told: ScaipTold): void {
    if (this.#ended) return told.failed('connection ended');
    const bytes = this.#request(cid, ref, body);
    const now = this.#clock.monotonic();
    this.#unanswered.set(ref, { bytes, told, sentAt: now, wait: T1, againAt: now + T1 });
    this.#unreplied.set(ref, told);
    this.#way.write(bytes);
  }

  /** Over UDP: sends again what is due; whoever opened the sockets calls it every 100 ms or so. */
  repeat(): void {
    if (this.#transport !== 'udp' || this.#unanswered.size === 0) return;
    const now = this.#clock.monotonic();
    for (const [ref, sent] of this.#unanswered) {
      if (now - sent.sentAt > GIVE_UP) this.#failed(ref, sent, 'no answer');
      else if (now >= sent.againAt) {
        sent.wait = Math.min(2 * sent.wait, T2);
        sent.againAt = now + sent.wait;
        this.repeated++;
        this.#way.write(sent.bytes);
      }
    }
  }

  /** What is still under way fails. */
  close(): void {
    if (!this.#ended) this.#way.end();
    this.#gone();
  }

  #gone(): void {
    this.#ended = true;
    for (const [ref, sent] of [...this.#unanswered]) this.#failed(ref, sent, 'connection ended');
    for (const told of this.#unreplied.values()) told.failed('connection ended');
    this.#unreplied.clear();
  }

  #failed(ref: string, { told }: Sent, why: string): void {
    this.#unanswered.delete(ref);
    this.#unreplied.delete(ref);
    told.failed(why);
  }

  #request(cid: string, ref: string, body: string): Buffer {
    const head = [
      `MESSAGE ${this.#uri} SIP/2.0`,
      `Via: SIP/2.0/${this.#transport.toUpperCase()} ${PRIVATE_HOST}:5060;branch=z9hG4bK-${ref};rport`,
      'Max-Forwards: 70',
      `From: <sip:${cid}@${PRIVATE_HOST}>;tag=${ref}`,
      `To: <${this.#uri}>`,
      `Call-ID: ${ref}@${PRIVATE_HOST}`,
      'CSeq: 1 MESSAGE',
      'Content-Type: application/scaip+xml',
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`);
  }

  /** Cuts a stream by Content-Length; read as Latin-1, a character is a byte. */
  #stream(chunk: Buffer): void {
    this.#held += chunk.toString('latin1');
    let from = 0;
    for (;;) {
      while (this.#held[from] === '\r' || this.#held[from] === '\n') from++;
      const end = this.#held.indexOf('\r\n\r\n', from);
      if (end < 0) break;
      const length = Number(/^(?:content-length|l)\s*:\s*(\d+)/im.exec(this.#held.slice(from, end))?.[1] ?? 0);
      if (this.#held.length < end + 4 + length) break;
      this.#message(this.#held.slice(from, end + 4 + length));
      from = end + 4 + length;
    }
    this.#held = this.#held.slice(from);
  }

  #message(text: string): void {
    const now = this.#clock.monotonic();
    const end = text.indexOf('\r\n\r\n');
    const status = Number(/^SIP\/2\.0 (\d{3})/.exec(text)?.[1] ?? 0);
    if (status === 0) return this.#asked(text.slice(0, Math.max(0, end)), text.slice(end + 4), now);
    const ref = /^(?:call-id|i)\s*:\s*([^@\s]+)/im.exec(text)?.[1] ?? '';
    const sent = this.#unanswered.get(ref);
    if (sent === undefined) return;
    if (status < 200) sent.wait = T2;
    else if (status >= 300) this.#failed(ref, sent, `answered ${status}`);
    else {
      this.#unanswered.delete(ref);
      sent.told.ok(now);
    }
  }

  /** A request of the centre: every one is answered, also when it comes again. */
  #asked(head: string, body: string, now: Milliseconds): void {
    const lines = head.split('\r\n');
    if (this.#ended || lines[0]?.startsWith('ACK ') !== false) return;
    const copied = lines
      .filter((line) => COPIED.test(line))
      .map((line) => (/^(?:to|t)\s*:(?!.*;\s*tag=)/i.test(line) ? `${line};tag=u` : line));
    this.#way.write(Buffer.from(['SIP/2.0 200 OK', ...copied, 'Content-Length: 0', '', ''].join('\r\n'), 'latin1'));
    const ref = /<ref>([^<]*)<\/ref>\s*<snu>0<\/snu>/.exec(body)?.[1] ?? '';
    this.#unreplied.get(ref)?.mrs(now);
    this.#unreplied.delete(ref);
  }
}

/** The certificate is not looked at: what is measured is the centre. */
const streamTo = (transport: 'tcp' | 'tls', host: string, port: number): Socket =>
  transport === 'tcp' ? connect({ host, port, noDelay: true }) : connectTls({ host, port, rejectUnauthorized: false }).setNoDelay(true);
