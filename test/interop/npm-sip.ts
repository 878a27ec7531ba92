/** A unit on npm `sip`, which this project did not write: sends MESSAGE, answers digest challenges, REGISTERs, and says 200 to the mrs. */
// @ts-expect-error It has no types; those of what is used stand below.
import sipModule from 'sip';
// @ts-expect-error The same.
import digestModule from 'sip/digest.js';
import type { Test } from 'tap';
import { hostAndPort } from '../../simulators/addresses.ts';
import { until } from '../support/stores.ts';
import { type Certificate, fileText, freePort } from './centre.ts';

interface SipMessage {
  readonly method?: string;
  readonly status?: number;
  readonly uri?: string;
  readonly headers: Record<string, unknown>;
  readonly content?: string;
}
interface SipStack {
  send(message: SipMessage, answered?: (response: SipMessage) => void): void;
  destroy(): void;
}
interface Credentials {
  readonly user: string;
  readonly password: string;
}

const sip = sipModule as {
  create(options: object, onRequest: (request: SipMessage) => void): SipStack;
  makeResponse(request: SipMessage, status: number, reason: string): SipMessage;
};
const digest = digestModule as {
  signRequest(session: object, request: SipMessage, challenge: SipMessage, credentials: Credentials): void;
};

/** Not that of the centre: a request to its own host is one to itself for this library. */
const OWN_ADDRESS = '127.0.0.2';

export type UnitTransport = 'udp' | 'tcp' | 'tls';

export class NpmSipUnit {
  /** Bodies of the centre's MESSAGEs, once each. */
  readonly heard: string[] = [];
  readonly #cid: string;
  readonly #target: string;
  readonly #port: number;
  readonly #stack: SipStack;
  readonly #password: string | undefined;
  #cseq = 0;

  /** @param address `host:port` of the centre, or of what stands before it */
  static async start(t: Test, cid: string, address: string, transport: UnitTransport, more: Extras = {}): Promise<NpmSipUnit> {
    const unit = new NpmSipUnit(cid, address, transport, await freePort(OWN_ADDRESS), await freePort(OWN_ADDRESS), more);
    t.teardown(() => unit.#stack.destroy());
    return unit;
  }

  private constructor(cid: string, address: string, transport: UnitTransport, port: number, tlsPort: number, more: Extras) {
    const { host, port: target } = hostAndPort(address);
    this.#cid = cid;
    this.#port = port;
    this.#password = more.password;
    this.#target = `${host}:${target}${transport === 'udp' ? '' : `;transport=${transport}`}`;
    const { certificate } = more;
    const tls = certificate && { key: fileText(certificate.key), cert: fileText(certificate.cert), ca: fileText(certificate.cert) };
    this.#stack = sip.create(
      { port, tls_port: tlsPort, address: OWN_ADDRESS, tcp: transport === 'tcp', udp: transport === 'udp', ...(tls && { tls }) },
      (request) => {
        if (request.method === 'MESSAGE') this.heard.push(request.content ?? '');
        this.#stack.send(sip.makeResponse(request, 200, 'OK'));
      },
    );
  }

  /** Sends a body; the status of the last answer, after a challenge where there was one. */
  async message(body: string): Promise<number> {
    return this.#request('MESSAGE', `sip:alarm@${this.#target}`, { 'content-type': 'application/scaip+xml' }, body);
  }

  async register(expires: number): Promise<number> {
    const contact = [{ uri: `sip:${this.#cid}@${OWN_ADDRESS}:${this.#port}`, params: {} }];
    return this.#request('REGISTER', `sip:${this.#target}`, { contact, expires: String(expires) }, '');
  }

  async options(): Promise<number> {
    return this.#request('OPTIONS', `sip:alarm@${this.#target}`, {}, '');
  }

  async invite(): Promise<number> {
    const contact = [{ uri: `sip:${this.#cid}@${OWN_ADDRESS}:${this.#port}`, params: {} }];
    return this.#request('INVITE', `sip:alarm@${this.#target}`, { contact }, '');
  }

  /** Waits for the mrs to `ref` with `snu 0`. */
  async receipt(ref: string): Promise<void> {
    const wanted = new RegExp(`^<mrs><ref>${ref}</ref><snu>0</snu>`);
    await until(`the mrs for ${ref}`, () => this.heard.some((body) => wanted.test(body)));
  }

  async #request(method: string, uri: string, headers: Record<string, unknown>, content: string): Promise<number> {
    const callId = `${Math.random().toString(36).slice(2)}@npm-sip`;
    const of = (): SipMessage => ({
      method,
      uri,
      headers: {
        from: { uri: `sip:${this.#cid}@${OWN_ADDRESS}`, params: { tag: callId.slice(0, 8) } },
        to: { uri: method === 'REGISTER' ? `sip:${this.#cid}@${OWN_ADDRESS}` : uri },
        'call-id': callId,
        cseq: { method, seq: ++this.#cseq },
        'max-forwards': 70,
        ...headers,
      },
      content,
    });
    const first = await this.#answerTo(of());
    if (first.status !== 401 || this.#password === undefined) return first.status ?? 0;
    const again = of();
    digest.signRequest({}, again, first, { user: this.#cid, password: this.#password });
    return (await this.#answerTo(again)).status ?? 0;
  }

  #answerTo(request: SipMessage): Promise<SipMessage> {
    return new Promise((resolve) => {
      this.#stack.send(request, (response) => {
        if ((response.status ?? 0) >= 200) resolve(response);
      });
    });
  }
}

interface Extras {
  readonly password?: string;
  readonly certificate?: Certificate;
}
