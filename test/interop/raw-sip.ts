/** Bare sockets that speak as much SIP as a test writes: units with the habits of real ones, and a stand-in for a centre. */
import { type Socket as UdpSocket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import type { Test } from 'tap';
import { hostAndPort } from '../../simulators/addresses.ts';
import { until } from '../support/stores.ts';

export interface Written {
  readonly cid: string;
  readonly body: string;
  /** URI in From; by default the unit's, at a private address. */
  readonly from?: string;
  readonly fromTag?: string;
  readonly callId?: string;
  readonly cseq?: number;
  readonly method?: string;
  readonly headers?: readonly string[];
}

/** A request as units write it: a private address and a constant branch in Via. */
export function written(transport: 'UDP' | 'TCP', { cid, body, ...more }: Written): string {
  const method = more.method ?? 'MESSAGE';
  const lines = [
    `${method} sip:alarm@centre.example SIP/2.0`,
    `Via: SIP/2.0/${transport} 192.168.1.20:5060;branch=z9hG4bK-0001`,
    'Max-Forwards: 70',
    `From: <${more.from ?? `sip:${cid}@192.168.1.20`}>${more.fromTag ?? ';tag=286524'}`,
    'To: <sip:alarm@centre.example>',
    `Call-ID: ${more.callId ?? `call-${cid}-${String(more.cseq ?? 1)}`}`,
    `CSeq: ${more.cseq ?? 1} ${method}`,
    ...(more.headers ?? []),
    'Content-Type: application/scaip+xml',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

/** The 200 to a request, its Vias as they came. */
export function okTo(request: string): string {
  const kept = request.split('\r\n').filter((line) => /^(via|from|to|call-id|cseq):/i.test(line));
  return `${['SIP/2.0 200 OK', ...kept, 'Content-Length: 0'].join('\r\n')}\r\n\r\n`;
}

/** Says 200 to whatever request comes; keeps all that came. */
export class RawUnit {
  said = '';
  ended = false;
  readonly #send: (text: string) => void;
  /** Hangs up. */
  readonly close: () => void;

  private constructor(send: (text: string) => void, close: () => void) {
    this.#send = send;
    this.close = close;
  }

  static async udp(t: Test, address: string): Promise<RawUnit> {
    const { host, port } = hostAndPort(address);
    const socket = createSocket('udp4');
    t.teardown(() => new Promise<void>((resolve) => socket.close(() => resolve())));
    const unit = new RawUnit(
      (text) => socket.send(text, port, host),
      () => {},
    );
    socket.on('message', (bytes) => unit.#heard(bytes.toString()));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return unit;
  }

  static async tcp(t: Test, address: string): Promise<RawUnit> {
    const socket = connect({ ...hostAndPort(address) });
    t.teardown(() => socket.destroy());
    await once(socket, 'connect');
    return RawUnit.over(socket);
  }

  /** On a connection that is there. */
  static over(socket: Socket): RawUnit {
    const unit = new RawUnit(
      (text) => socket.write(text),
      () => socket.destroy(),
    );
    socket.on('data', (bytes: Buffer) => unit.#heard(bytes.toString()));
    socket.on('error', () => {});
    socket.on('close', () => (unit.ended = true));
    return unit;
  }

  sends(text: string): void {
    this.#send(text);
  }

  /** Waits until `pattern` has come. */
  async hears(pattern: RegExp): Promise<void> {
    await until(`${String(pattern)} in ${this.said}`, () => pattern.test(this.said));
  }

  #heard(text: string): void {
    this.said += text;
    for (const request of text.split(/(?=^MESSAGE )/m)) if (request.startsWith('MESSAGE ')) this.#send(okTo(request));
  }
}

/** A centre of the test's own on UDP: takes what comes, and sends when it is told to. */
export class RawCentre {
  readonly heard: string[] = [];
  readonly #socket: UdpSocket;
  /** What it answers a request with; null: nothing. */
  answer: (request: string) => string | null = okTo;
  #from: { address: string; port: number } | null = null;
  #sent = 0;

  private constructor(socket: UdpSocket) {
    this.#socket = socket;
    socket.on('message', (bytes, from) => {
      const text = bytes.toString();
      this.heard.push(text);
      if (text.startsWith('SIP/2.0')) return;
      this.#from = from;
      const answer = this.answer(text);
      if (answer !== null) socket.send(answer, from.port, from.address);
    });
  }

  static async start(t: Test): Promise<RawCentre> {
    const socket = createSocket('udp4');
    t.teardown(() => new Promise<void>((resolve) => socket.close(() => resolve())));
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new RawCentre(socket);
  }

  get address(): string {
    return `127.0.0.1:${this.#socket.address().port}`;
  }

  /** A MESSAGE to a unit, by way of whoever sent last; resolves with the status of its answer. @throws Error when none comes */
  async sends(user: string, body: string, withinMs = 10_000): Promise<number> {
    const callId = `centre-${++this.#sent}-${user}`;
    const lines = [
      `MESSAGE sip:${user}@${this.#from?.address ?? ''}:${this.#from?.port ?? 0} SIP/2.0`,
      `Via: SIP/2.0/UDP ${this.address};branch=z9hG4bK${callId};rport`,
      'Max-Forwards: 70',
      'From: <sip:alarm@centre.example>;tag=c1',
      `To: <sip:${user}@centre.example>`,
      `Call-ID: ${callId}`,
      'CSeq: 1 MESSAGE',
      'Content-Type: application/scaip+xml',
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    const send = (): void => this.#socket.send(`${lines.join('\r\n')}\r\n\r\n${body}`, this.#from?.port ?? 0, this.#from?.address ?? '');
    send();
    const again = setInterval(send, 500);
    const answer = await until(
      `an answer to ${callId}`,
      () => this.heard.find((text) => text.startsWith('SIP/2.0') && !text.startsWith('SIP/2.0 1') && text.includes(`Call-ID: ${callId}`)),
      withinMs,
    ).finally(() => clearInterval(again));
    return Number(answer.slice(8, 11));
  }
}

/** The centre's reply as it goes over the wire. */
export const mrs = (ref: string): string => `<mrs><ref>${ref}</ref><snu>0</snu></mrs>`;
