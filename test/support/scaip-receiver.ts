/** The SCAIP receiver on real sockets with a centre that a test plays, and units that speak raw SIP to it. */
import { type Socket as UdpSocket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { type Clock, type Instant, RunningClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { type ScaipMessage, type ScaipOptions, type ScaipServer, startScaip } from '../../src/protocols/scaip/receive.ts';
import type { ScaipAccepted, ScaipCall, ScaipUnit } from '../../src/protocols/scaip/unit.ts';
import { DigestGate } from '../../src/protocols/sip/digest.ts';
import type { Flow } from '../../src/protocols/sip/flow.ts';

export const VECTORS = fileURLToPath(new URL('../vectors/', import.meta.url));
export const sample = (name: string): Buffer => readFileSync(join(VECTORS, 'scaip', name));
export const PENDANT = sample('R05_possum_pendant_gsm_empty.xml').toString().trim();

export type Accept = (message: ScaipMessage, proof: { readonly authenticated: boolean }) => Promise<ScaipAccepted>;
export const KEPT: ScaipAccepted = { kept: true, firstOfNeed: true };

/** Of a unit that is not in the register. */
export const STRANGER: ScaipUnit = {
  known: false,
  name: '',
  serial: null,
  profile: { dialect: 'mrs-message', voiceNumber: 'as-configured' },
  secrets: null,
  mustAuthenticate: false,
};

/** What a test plays of the centre; what it leaves out keeps everything and knows nobody. */
export interface Played extends Partial<Pick<ScaipOptions, 'streamLimits' | 'voice' | 'strict' | 'admit' | 'bind' | 'port'>> {
  readonly clock?: Clock;
  readonly accept?: Accept;
  readonly hold?: (message: ScaipMessage) => Promise<'held' | 'nothing-to-hold' | 'not-held'>;
  readonly call?: (call: ScaipCall, proof: { readonly authenticated: boolean }) => Promise<ScaipAccepted>;
  readonly holdCall?: (call: ScaipCall) => Promise<'held' | 'nothing-to-hold' | 'not-held'>;
  /** Units of the register by controller id. */
  readonly units?: Readonly<Record<string, Partial<ScaipUnit>>>;
  readonly flowOf?: (unit: string) => Flow | null;
}

export interface Started {
  readonly server: ScaipServer;
  readonly messages: ScaipMessage[];
  readonly calls: ScaipCall[];
  readonly registered: string[];
  readonly refused: string[];
  /** Serials and since when. */
  readonly unacknowledged: [string, Instant | null][];
  readonly log: string[];
}

export async function start(played: Played = {}): Promise<Started> {
  const { clock = new RunningClock(), units = {} } = played;
  const messages: ScaipMessage[] = [];
  const calls: ScaipCall[] = [];
  const registered: string[] = [];
  const refused: string[] = [];
  const unacknowledged: [string, Instant | null][] = [];
  const lines: string[] = [];
  const log = createLog('debug', { write: (line) => void lines.push(line) });
  const { streamLimits = {}, accept = () => Promise.resolve(KEPT), hold = () => Promise.resolve('held') } = played;
  const { call = () => Promise.resolve(KEPT), holdCall = () => Promise.resolve('held') } = played;
  const server = await startScaip({
    clock,
    log,
    random: systemRandom,
    bind: played.bind ?? '127.0.0.1',
    port: played.port ?? 0,
    streamLimits,
    lookUp: ({ cid, user, address }) => {
      const name = cid ?? user ?? address;
      const unit = units[name];
      return Promise.resolve(unit === undefined ? { ...STRANGER, name } : { ...STRANGER, known: true, name, serial: `S-${name}`, ...unit });
    },
    messages: {
      accept: (message, proof) => {
        messages.push(message);
        return accept(message, proof);
      },
      hold,
    },
    calls: {
      accept: (one, proof) => {
        calls.push(one);
        return call(one, proof);
      },
      hold: holdCall,
    },
    digest: new DigestGate({ clock, random: systemRandom, realm: 'responssenter' }),
    admit: played.admit ?? (() => true),
    registrar: {
      register: (unit) => {
        registered.push(unit);
        return Promise.resolve({ status: 200, reason: 'OK' });
      },
      flowOf: played.flowOf ?? (() => null),
    },
    refused: ({ code, source, detail }) => void refused.push(`${code} ${source} ${detail}`),
    unacknowledged: (serial, since) => void unacknowledged.push([serial, since]),
    voice: played.voice ?? { answer: 'none' },
    strict: played.strict ?? false,
  });
  t.teardown(() => server.stop(100));
  return { server, messages, calls, registered, refused, unacknowledged, log: lines };
}

export async function until(condition: () => boolean, what: string | (() => string)): Promise<void> {
  const deadline = process.hrtime.bigint() + 5_000_000_000n;
  while (!condition()) {
    if (process.hrtime.bigint() > deadline) throw new Error(`waited in vain for: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export interface Call {
  /** Header lines more, each with its end. */
  readonly more?: string;
  readonly to?: string;
  readonly body?: string | Uint8Array;
  readonly cseq?: number;
  readonly callId?: string;
  readonly method?: string;
  readonly from?: string;
  readonly type?: string;
}
export function message({
  body = PENDANT,
  cseq = 1,
  callId = 'unit-1',
  method = 'MESSAGE',
  from = 'sip:10149471@192.168.1.20',
  type = 'application/scaip+xml',
  to = 'sip:alarm@centre.example',
  more = '',
}: Call = {}): Buffer {
  const head =
    `${method} sip:alarm@centre.example:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.20:5060;branch=z9hG4bK-0001;rport\r\n` +
    `Contact: <sip:10149471@192.168.1.20:5060>\r\nFrom: <${from}>;tag=286524\r\nTo: <${to}>\r\n` +
    `Call-ID: ${callId}\r\nCSeq: ${cseq} ${method}\r\n${more}Content-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)]);
}
export const okTo = (one: string): Buffer =>
  Buffer.from(
    `${one
      .slice(0, one.indexOf('\r\n\r\n'))
      .replace(/^MESSAGE.*/, 'SIP/2.0 200 OK')
      .replace(/\r\nContent-.*/g, '')}\r\nContent-Length: 0\r\n\r\n`,
  );

/** A unit that records what it gets; over TCP the stream is cut into messages. */
export class Unit {
  readonly got: string[] = [];
  /** Whether it answers what it is sent. */
  acknowledges = false;
  readonly #udp: UdpSocket | null;
  readonly #tcp: Socket | null;
  readonly #port: number;
  closed = false;

  private constructor(udp: UdpSocket | null, tcp: Socket | null, port: number) {
    this.#udp = udp;
    this.#tcp = tcp;
    this.#port = port;
    let text = '';
    udp?.on('message', (bytes) => this.#take(bytes.toString('latin1')));
    tcp?.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
      for (let end = wholeMessage(text); end > 0; end = wholeMessage(text)) {
        const one = text.slice(0, end);
        text = text.slice(end);
        this.#take(one);
      }
    });
    for (const event of ['end', 'close']) tcp?.on(event, () => (this.closed = true));
    tcp?.on('error', () => undefined);
    t.teardown(() => this.close());
  }

  static async udp(server: Pick<ScaipServer, 'udp'>, address = '127.0.0.1'): Promise<Unit> {
    const socket = createSocket('udp4').bind(0, address);
    await once(socket, 'listening');
    return new Unit(socket, null, server.udp.port);
  }

  static async tcp(server: Pick<ScaipServer, 'tcp'>): Promise<Unit> {
    const socket = connect({ port: server.tcp.port, host: '127.0.0.1', allowHalfOpen: true });
    await once(socket, 'connect');
    return new Unit(null, socket, server.tcp.port);
  }

  get port(): number {
    return this.#udp?.address().port ?? this.#tcp?.localPort ?? 0;
  }
  send(bytes: Uint8Array): void {
    this.#udp?.send(bytes, this.#port, '127.0.0.1');
    this.#tcp?.write(bytes);
  }
  /** The bodies of the replies so far. */
  get replies(): string[] {
    return this.got.filter((one) => one.startsWith('MESSAGE')).map((one) => one.slice(one.indexOf('\r\n\r\n') + 4));
  }
  #take(one: string): void {
    this.got.push(one);
    if (this.acknowledges && one.startsWith('MESSAGE')) this.send(okTo(one));
  }
  end(): void {
    this.#tcp?.end();
  }
  async next(count: number): Promise<string[]> {
    await until(
      () => this.got.length >= count,
      () => `${count} messages, there are ${this.got.length}`,
    );
    return this.got;
  }
  close(): void {
    if (!this.closed) this.#udp?.close();
    this.#tcp?.destroy();
    this.closed = true;
  }
}
function wholeMessage(text: string): number {
  const end = text.indexOf('\r\n\r\n');
  const length = /^Content-Length: (\d+)/im.exec(text)?.[1];
  if (end === -1 || length === undefined) return 0;
  return text.length >= end + 4 + Number(length) ? end + 4 + Number(length) : 0;
}
