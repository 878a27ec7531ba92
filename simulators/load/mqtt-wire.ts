/** The few MQTT 3.1.1 packets that a load generator needs, straight on a socket: the generator must cost less than what it measures. */
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Clock, Milliseconds } from '../../src/base/clock.ts';

export interface MqttLogin {
  readonly clientId: string;
  readonly username: string;
  readonly password: string;
}

const CONNACK = 2;
const PUBACK = 4;

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

/** Fixed header with the remaining length in base 128 (MQTT 3.1.1 § 2.2.3). */
function packet(first: number, ...parts: readonly Buffer[]): Buffer {
  const head = [first];
  let length = parts.reduce((sum, part) => sum + part.length, 0);
  do {
    const digit = length % 128;
    length = Math.floor(length / 128);
    head.push(length > 0 ? digit | 0x80 : digit);
  } while (length > 0);
  return Buffer.concat([Buffer.from(head), ...parts]);
}

export interface MqttWireOptions {
  /** Under TLS; the certificate is not looked at, and no session is resumed: each connection is a whole handshake. */
  readonly secure?: boolean;
  /** Gives up after so long. Default: never. */
  readonly within?: Milliseconds;
}

/** One connection that publishes and knows when each PUBACK came. */
export class MqttWire {
  /** Of TCP: under TLS it carries `#socket`. */
  readonly #raw: Socket;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, (at: Milliseconds | null) => void>();
  #held: Buffer = Buffer.alloc(0);
  #packetId = 0;
  #connack: (code: number | null) => void = () => {};

  private constructor(raw: Socket, secure: boolean, clock: Clock) {
    this.#raw = raw;
    this.#socket = secure ? connectTls({ socket: raw, rejectUnauthorized: false }) : raw;
    this.#clock = clock;
    raw.on('error', () => {});
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.#connack(null);
      for (const settle of this.#waiting.values()) settle(null);
      this.#waiting.clear();
    });
  }

  /** Connects and signs in. @throws Error when the broker is away or refuses */
  static async open(host: string, port: number, login: MqttLogin, clock: Clock, options: MqttWireOptions = {}): Promise<MqttWire> {
    const { secure = false, within = null } = options;
    const wire = new MqttWire(connect({ host, port, noDelay: true }), secure, clock);
    const patience = within === null ? null : clock.after(within, () => wire.close());
    const code = await new Promise<number | null>((resolve) => {
      wire.#connack = resolve;
      // User name, password, clean session; no keep-alive.
      const flags = Buffer.from([0x04, 0xc2, 0, 0]);
      wire.#socket.write(packet(0x10, text('MQTT'), flags, text(login.clientId), text(login.username), text(login.password)));
    });
    patience?.cancel();
    if (code === 0) return wire;
    wire.close();
    throw new Error(code === null ? `The broker at ${host}:${port} is away.` : `The broker refused ${login.username} (code ${code}).`);
  }

  /** Calls `settle` once, with the instant (monotonic) of the PUBACK, or null when the connection ended first. */
  publish(topic: string, payload: string, settle: (at: Milliseconds | null) => void): void {
    // At most 65,535 messages can be under way (MQTT 3.1.1 § 2.3.1).
    if (this.#socket.destroyed || this.#waiting.size >= 0xffff) return settle(null);
    do this.#packetId = (this.#packetId % 0xffff) + 1;
    while (this.#waiting.has(this.#packetId));
    this.#waiting.set(this.#packetId, settle);
    const id = Buffer.from([this.#packetId >> 8, this.#packetId & 0xff]);
    this.#socket.write(packet(0x32, text(topic), id, Buffer.from(payload)));
  }

  /** QoS 0: nobody will tell what became of it. */
  tell(topic: string, payload: string): void {
    if (!this.#socket.destroyed) this.#socket.write(packet(0x30, text(topic), Buffer.from(payload)));
  }

  close(): void {
    this.#socket.destroy();
    this.#raw.destroy();
  }

  /** Ends it with a RST: no DISCONNECT, no FIN, and nothing that waits for one. */
  cut(): void {
    this.#raw.resetAndDestroy();
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    for (;;) {
      let length = 0;
      let at = 1;
      let digit = 0x80;
      for (let shift = 0; (digit & 0x80) !== 0; shift += 7) {
        if (at >= this.#held.length) return;
        digit = this.#held[at++] ?? 0;
        length |= (digit & 0x7f) << shift;
      }
      if (this.#held.length < at + length) return;
      this.#packet((this.#held[0] ?? 0) >> 4, this.#held.subarray(at, at + length));
      this.#held = this.#held.subarray(at + length);
    }
  }

  #packet(type: number, body: Buffer): void {
    if (type === CONNACK) this.#connack(body[1] ?? null);
    // It has subscribed to nothing, so nothing else needs an answer.
    if (type !== PUBACK || body.length < 2) return;
    const id = body.readUInt16BE(0);
    const settle = this.#waiting.get(id);
    this.#waiting.delete(id);
    settle?.(this.#clock.monotonic());
  }
}
