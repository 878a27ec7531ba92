/** A synthetic SCAIP unit's SIP side over UDP: requests with their repeats and credentials, and what the centre sends to it. */
import { type Socket, createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { CANARY_CONTROLLER } from '../alarms/canary.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { systemCode } from '../base/errors.ts';
import type { Random } from '../base/ids.ts';
import { decodeReply } from '../protocols/scaip/decode.ts';
import { parseVia, uriHost } from '../protocols/sip/address.ts';
import { digestResponse, ha1, parseDigest } from '../protocols/sip/digest.ts';
import { type SipHeader, type SipResponse, header } from '../protocols/sip/message.ts';
import { parseDatagram } from '../protocols/sip/parse.ts';
import { serialise, writeAnswer } from '../protocols/sip/write.ts';
import { CanaryFault } from './canary-course.ts';
import type { Press } from './canary-mqtt.ts';

/** RFC 3261 § 17.1.2: a request is repeated after T1, then after twice as long each time, at most T2. */
const T1 = 500;
const T2 = 4000;

export class SyntheticUnit {
  readonly #press: Press & { readonly random: Random };
  readonly #socket: Socket;
  readonly #target: { readonly address: string; readonly port: number };
  readonly #asked = new Map<string, (response: SipResponse) => void>();
  readonly #broken: Promise<never>;
  #replied: (body: Uint8Array) => void = () => undefined;
  #challenge: { readonly realm: string; readonly nonce: string; readonly algorithm: 'MD5' | 'SHA-256' } | null = null;
  #counted = 0;
  #cseq = 0;

  private constructor(press: Press & { readonly random: Random }, socket: Socket) {
    this.#press = press;
    this.#socket = socket;
    this.#target = targetOf(press.address);
    this.#broken = new Promise((_resolve, reject) => {
      socket.on('error', (error) => reject(new CanaryFault(systemCode(error) ?? 'socket-failed')));
    });
    this.#broken.catch(() => undefined);
    socket.on('message', (bytes) => this.#arrived(bytes));
  }

  /** Connected, so that a port where nobody listens is told at once. */
  static async open(press: Press & { readonly random: Random }): Promise<SyntheticUnit> {
    const { address, port } = targetOf(press.address);
    const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
    const unit = new SyntheticUnit(press, socket);
    const connected = new Promise<void>((resolve) => socket.connect(port, address, resolve));
    try {
      await press.course.within(Promise.race([connected, unit.#broken]));
      return unit;
    } catch (error) {
      unit.close();
      throw error;
    }
  }

  /** Sends a request, with credentials once they were asked for; the final answer to it. */
  async ask(method: 'REGISTER' | 'MESSAGE', body: Uint8Array, headers: readonly SipHeader[]): Promise<SipResponse> {
    const first = await this.#transaction(method, body, headers);
    if (first.status !== 401 || !this.#takeChallenge(first)) return first;
    return this.#transaction(method, body, headers);
  }

  /** Resolves with the `mrs` for that reference. @throws CanaryFault when it says anything but "ok" */
  async reply(ref: string): Promise<void> {
    const replied = new Promise<void>((resolve, reject) => {
      this.#replied = (body) => {
        const reply = decodeReply(body);
        if (reply?.ref !== ref) return;
        if (reply.snu === 0) resolve();
        else reject(new CanaryFault(`mrs-${reply.snu ?? 'unreadable'}`));
      };
    });
    await Promise.race([replied, this.#broken]);
  }

  close(): void {
    this.#socket.removeAllListeners();
    this.#socket.on('error', () => undefined);
    this.#socket.close();
  }

  async #transaction(method: 'REGISTER' | 'MESSAGE', body: Uint8Array, more: readonly SipHeader[]): Promise<SipResponse> {
    const { clock, course } = this.#press;
    const bytes = this.#request(method, body, more);
    const { branch } = bytes;
    const answered = new Promise<SipResponse>((resolve) => this.#asked.set(branch, resolve));
    let again: Timer = repeat(
      clock,
      T1,
      () => this.#send(bytes.written),
      (timer) => (again = timer),
    );
    this.#send(bytes.written);
    try {
      return await course.within(Promise.race([answered, this.#broken]));
    } finally {
      again.cancel();
      this.#asked.delete(branch);
    }
  }

  #request(method: 'REGISTER' | 'MESSAGE', body: Uint8Array, more: readonly SipHeader[]): { branch: string; written: Buffer } {
    const { address, port } = this.#target;
    const own = this.#socket.address();
    const branch = `z9hG4bK${this.#hex(12)}`;
    const host = `${uriHost(address)}:${port}`;
    const uri = `sip:${host}`;
    const me = `<sip:${CANARY_CONTROLLER}@${host}>`;
    const headers = [
      { name: 'via', value: `SIP/2.0/UDP ${uriHost(own.address)}:${own.port};branch=${branch};rport` },
      { name: 'max-forwards', value: '70' },
      { name: 'from', value: `${me};tag=${this.#hex(8)}` },
      // A registration names whom it is about (RFC 3261 § 10.2).
      { name: 'to', value: method === 'REGISTER' ? me : `<${uri}>` },
      { name: 'call-id', value: this.#hex(16) },
      { name: 'cseq', value: `${++this.#cseq} ${method}` },
      ...this.#credentials(method, uri),
      ...more,
    ];
    return { branch, written: serialise({ startLine: `${method} ${uri} SIP/2.0`, headers, body }) };
  }

  #takeChallenge(response: SipResponse): boolean {
    for (const { name, value } of response.headers) {
      const asked = name === 'www-authenticate' ? parseDigest(value) : null;
      const { realm, nonce, algorithm = 'MD5' } = Object.fromEntries(asked ?? []);
      if (realm === undefined || nonce === undefined || (algorithm !== 'MD5' && algorithm !== 'SHA-256')) continue;
      this.#challenge = { realm, nonce, algorithm };
      this.#counted = 0;
      if (algorithm === 'SHA-256') break;
    }
    return this.#challenge !== null;
  }

  #credentials(method: string, uri: string): SipHeader[] {
    if (this.#challenge === null) return [];
    const { realm, nonce, algorithm } = this.#challenge;
    const counted = { nc: (++this.#counted).toString(16).padStart(8, '0'), cnonce: this.#hex(8) };
    const secret = ha1(algorithm, CANARY_CONTROLLER, realm, this.#press.secret);
    const response = digestResponse(algorithm, secret, { method, uri, nonce, counted });
    const parts = [
      `username="${CANARY_CONTROLLER}"`,
      `realm="${realm}"`,
      `nonce="${nonce}"`,
      `uri="${uri}"`,
      `response="${response}"`,
      `algorithm=${algorithm}`,
      'qop=auth',
      `nc=${counted.nc}`,
      `cnonce="${counted.cnonce}"`,
    ];
    return [{ name: 'authorization', value: `Digest ${parts.join(', ')}` }];
  }

  #arrived(bytes: Buffer): void {
    const framed = parseDatagram(bytes);
    if (framed.type === 'response' && framed.status >= 200) {
      this.#asked.get(parseVia(header(framed, 'via') ?? '')?.branch ?? '')?.(framed);
    } else if (framed.type === 'request' && framed.method === 'MESSAGE') {
      this.#send(writeAnswer(framed, { status: 200, reason: 'OK' }, { source: this.#target, tag: this.#hex(8) }));
      this.#replied(framed.body);
    }
  }

  #send(bytes: Buffer): void {
    this.#socket.send(bytes, () => undefined);
  }

  #hex(size: number): string {
    return Buffer.from(this.#press.random(size)).toString('hex');
  }
}

function repeat(clock: Clock, wait: number, run: () => void, renewed: (timer: Timer) => void): Timer {
  const timer = clock.after(wait, () => {
    run();
    renewed(repeat(clock, Math.min(2 * wait, T2), run, renewed));
  });
  return timer;
}

/** `host:port`, `[::1]:5060`; `localhost` is the IPv4 loopback, as the listener has it. */
function targetOf(text: string): { readonly address: string; readonly port: number } {
  const colon = text.lastIndexOf(':');
  const host = text.slice(0, colon).replace(/^\[(.*)\]$/, '$1');
  return { address: host === 'localhost' ? '127.0.0.1' : host, port: Number(text.slice(colon + 1)) };
}
