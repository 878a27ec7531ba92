/** SIP on real sockets: UDP, TCP and TLS, IPv6 and wildcards, noise and floods, certificates, and who is taken when there are too many. */
import assert from 'node:assert/strict';
import { type Socket as UdpSocket, createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type Socket, connect } from 'node:net';
import { networkInterfaces, tmpdir } from 'node:os';
import path from 'node:path';
import { type ConnectionOptions, type TLSSocket, connect as connectTls } from 'node:tls';
import fc from 'fast-check';
import t from 'tap';
import { openTlsIdentity } from '../../src/app/tls.ts';
import { type Clock, MovableClock, RunningClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { readSettings } from '../../src/base/settings.ts';
import { listen as listenMqtt } from '../../src/protocols/mqtt/listen.ts';
import { MAX_UNREAD, MAX_WAITING, STREAM_LIMITS, type StreamLimits } from '../../src/protocols/sip/connection.ts';
import { type HandleMessage, type HandleRegister } from '../../src/protocols/sip/core.ts';
import { type Transport, plainAddress } from '../../src/protocols/sip/flow.ts';
import { Framer } from '../../src/protocols/sip/framer.ts';
import { type SipServer, startSip } from '../../src/protocols/sip/listen.ts';
import { type Framed, LIMITS, header } from '../../src/protocols/sip/message.ts';
import { parseDatagram } from '../../src/protocols/sip/parse.ts';
import { type Asked, RATE_LIMITS, RateLimits, type Sender } from '../../src/protocols/sip/rate.ts';
import type { TlsIdentitySource } from '../../src/protocols/sip/tls.ts';
import { type TestCertificate, testCertificate, withoutOpenssl } from '../support/certificates.ts';

type Tap = Pick<typeof t, 'teardown'>;
const FIRST: TestCertificate = withoutOpenssl === false ? testCertificate('first.example') : { cert: '', key: '' };
const TRANSPORTS: readonly Transport[] = withoutOpenssl === false ? ['udp', 'tcp', 'tls'] : ['udp', 'tcp'];
const STREAMS = TRANSPORTS.filter((one) => one !== 'udp');
const IPV6 = Object.values(networkInterfaces()).some((one) => one?.some(({ address }) => address === '::1'));
const withoutIpv6 = IPV6 ? false : 'this machine has no IPv6';

async function until(condition: () => boolean, what: string | (() => string)): Promise<void> {
  const deadline = process.hrtime.bigint() + 20_000_000_000n;
  while (!condition()) {
    if (process.hrtime.bigint() > deadline) throw new Error(`waited in vain for: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

interface Started {
  readonly server: SipServer;
  readonly handled: string[];
  readonly failed: string[];
  readonly lines: string[];
  readonly identity: TlsIdentitySource & { renew(pair: TestCertificate): void };
}
interface StartOptions {
  readonly clock?: Clock;
  readonly bind?: string;
  readonly limits?: Partial<StreamLimits>;
  readonly handle?: HandleMessage;
  readonly register?: HandleRegister;
}

/** A server on every transport whose MESSAGEs are answered 200, unless `handle` does something else. */
async function start(
  t: Tap,
  { clock = new RunningClock(), bind = '127.0.0.1', limits = {}, handle, register }: StartOptions = {},
): Promise<Started> {
  const handled: string[] = [];
  const failed: string[] = [];
  const lines: string[] = [];
  let pair = FIRST;
  const listeners = new Set<(pair: TestCertificate) => void>();
  const identity = {
    current: () => pair,
    onChange(listener: (pair: TestCertificate) => void) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    renew(renewed: TestCertificate) {
      pair = renewed;
      for (const listener of listeners) listener(renewed);
    },
  };
  const server = await startSip({
    clock,
    log: createLog('debug', { write: (line) => void lines.push(line) }),
    random: systemRandom,
    bind,
    port: 0,
    ...(withoutOpenssl === false
      ? { tls: { identity, port: 0, handshakeFailed: (address: string, code: string) => failed.push(`${address} ${code}`) } }
      : {}),
    streamLimits: limits,
    accepts: 'application/scaip+xml',
    register,
    handle: (request, flow, send) => {
      handled.push(header(request, 'cseq') ?? '');
      return handle?.(request, flow, send) ?? Promise.resolve({ status: 200, reason: 'OK' });
    },
  });
  t.teardown(() => server.stop(50));
  return { server, handled, failed, lines, identity };
}

const portOf = (server: SipServer, transport: Transport): number => server[transport]!.port;

/** A device, or something worse, at the other end of a socket. */
class Peer {
  text = '';
  closed = false;
  readonly udp: UdpSocket | null;
  readonly stream: Socket | null;
  readonly #answers: string[] = [];
  #readUpTo = 0;
  readonly #to: { readonly port: number; readonly address: string };

  private constructor(udp: UdpSocket | null, stream: Socket | null, to: { port: number; address: string }) {
    this.udp = udp;
    this.stream = stream;
    this.#to = to;
    udp?.on('message', (bytes) => (this.text += bytes.toString('latin1')));
    stream?.on('data', (bytes: Buffer) => (this.text += bytes.toString('latin1')));
    stream?.on('error', () => undefined);
    for (const event of ['end', 'close']) stream?.on(event, () => (this.closed = true));
  }

  static async to(t: Tap, server: SipServer, transport: Transport, address = '127.0.0.1', options: ConnectionOptions = {}): Promise<Peer> {
    const to = { port: portOf(server, transport), address };
    let peer: Peer;
    if (transport === 'udp') {
      const udp = createSocket(address.includes(':') ? 'udp6' : 'udp4').bind(0, address);
      await once(udp, 'listening');
      peer = new Peer(udp, null, to);
    } else if (transport === 'tcp') {
      const stream = connect({ host: address, port: to.port, allowHalfOpen: true });
      await once(stream, 'connect');
      peer = new Peer(null, stream, to);
    } else {
      const stream = connectTls({ host: address, port: to.port, rejectUnauthorized: false, ALPNProtocols: [], ...options });
      peer = new Peer(null, stream, to);
      await once(stream, 'secureConnect');
    }
    t.teardown(() => peer.close());
    return peer;
  }

  /** A TCP connection that has not begun to speak TLS. */
  static async raw(t: Tap, server: SipServer, transport: Transport, localAddress = '127.0.0.1'): Promise<Peer> {
    const stream = connect({ host: '127.0.0.1', port: portOf(server, transport), localAddress });
    const peer = new Peer(null, stream, { port: 0, address: '' });
    await once(stream, 'connect');
    t.teardown(() => peer.close());
    return peer;
  }

  get port(): number {
    return this.udp?.address().port ?? this.stream?.localPort ?? 0;
  }
  send(bytes: Uint8Array | string): void {
    const sent = Buffer.from(bytes as Uint8Array);
    this.udp?.send(sent, this.#to.port, this.#to.address);
    this.stream?.write(sent);
  }
  /** Written and taken by the system, so that a flood does not pile up on our side. */
  async pump(bytes: Uint8Array): Promise<void> {
    if (this.stream !== null) await new Promise((resolve) => this.stream?.write(bytes, resolve));
    else await new Promise((resolve) => this.udp?.send(bytes, this.#to.port, this.#to.address, resolve));
  }
  /** Status and CSeq of every answer that came, in order. */
  answers(): readonly string[] {
    const pattern = /^SIP\/2\.0 (\d+) [^]*?^CSeq: (\d+) [^]*?\r\n\r\n/gm;
    pattern.lastIndex = this.#readUpTo;
    for (let one = pattern.exec(this.text); one !== null; one = pattern.exec(this.text)) {
      this.#answers.push(`${one[1]} ${one[2]}`);
      this.#readUpTo = pattern.lastIndex;
    }
    return this.#answers;
  }
  async answered(cseq: number, status = 200): Promise<void> {
    await until(
      () => this.answers().includes(`${status} ${cseq}`),
      () => `an answer to ${cseq}; there is ${JSON.stringify(this.text.slice(-400))}`,
    );
  }
  /** As devices do: over UDP the request is repeated until it is answered. */
  async ask(bytes: Uint8Array, cseq: number): Promise<void> {
    this.send(bytes);
    const again = this.udp === null ? null : setInterval(() => this.send(bytes), 500);
    await this.answered(cseq).finally(() => clearInterval(again ?? undefined));
  }
  close(): void {
    this.udp?.close();
    this.stream?.destroy();
  }
}

const BODY = '<mrq><ref>1</ref><cid>26317</cid><dty>3</dty></mrq>';
function request(cseq: number, { method = 'MESSAGE', transport = 'tcp', body = BODY, callId = 'c' } = {}): Buffer {
  return Buffer.from(
    `${method} sip:alarm@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/${transport.toUpperCase()} 10.0.0.5:5060;branch=z9hG4bK-1;rport\r\n` +
      `Contact: <sip:26317@10.0.0.5:5060>\r\nFrom: <sip:26317@10.0.0.5>;tag=286524\r\nTo: <sip:alarm@192.0.2.1>\r\nCall-ID: ${callId}\r\n` +
      `CSeq: ${cseq} ${method}\r\nContent-Type: application/scaip+xml\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
const OK = { status: 200, reason: 'OK' };
const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);

// ---------------------------------------------------------------------------------------------------------------------
// What every transport does.

for (const bind of ['127.0.0.1', '0.0.0.0', '::1', '::']) {
  const skip = bind.includes(':') ? withoutIpv6 : false;
  await t.test(`bound to ${bind}: answers, and what we ask ourselves, go to the source of the packet`, { skip }, async (t) => {
    const asked: unknown[] = [];
    const { server } = await start(t, {
      bind,
      handle: (message, flow, send) => {
        const own = {
          method: 'MESSAGE',
          uri: 'sip:26317@10.0.0.5',
          from: '<sip:a@b>',
          to: '<sip:26317@b>',
          headers: [],
          body: Buffer.from('<mrs/>'),
        };
        const afterwards = () => void send(flow, own, message.uri).then((outcome) => asked.push(outcome));
        return Promise.resolve({ ...OK, afterwards });
      },
    });
    const addresses = bind === '::' ? ['::1', '127.0.0.1'] : bind === '0.0.0.0' ? ['127.0.0.1'] : [bind];
    for (const address of addresses) {
      for (const transport of TRANSPORTS) {
        const peer = await Peer.to(t, server, transport, address);
        peer.send(request(7, { transport }));
        await peer.answered(7);
        await until(() => peer.text.includes('<mrs/>'), 'our own message');
        t.match(
          peer.text,
          new RegExp(
            `^Via: SIP/2\\.0/${transport.toUpperCase()} 10\\.0\\.0\\.5:5060;branch=z9hG4bK-1;rport=${peer.port};received=${address}\r$`,
            'm',
          ),
        );
        const via = /^MESSAGE .*\r\nVia: (SIP\/2\.0\/\w+ \S+?);/m.exec(peer.text)?.[1] ?? '';
        const named = bind === '::' || bind === '0.0.0.0' ? (transport === 'udp' ? '192.0.2.1' : address) : address;
        const host = named.includes(':') ? `[${named}]` : named;
        t.equal(via, `SIP/2.0/${transport.toUpperCase()} ${host}:${portOf(server, transport)}`);
        asked.length = 0;
        peer.send(
          `${/^MESSAGE [^]*?\r\n\r\n/m
            .exec(peer.text)?.[0]
            .replace(/^MESSAGE.*/, 'SIP/2.0 200 OK')
            .replace(/Content-Length: \d+/, 'Content-Length: 0')}`,
        );
        await until(() => asked.length > 0, 'the outcome of our own message');
        t.same(
          asked,
          [OK].map(({ status }) => ({ status })),
          `${transport} to ${address}`,
        );
      }
    }
  });
}

await t.test('a way to an address from which nothing came', async (t) => {
  for (const bind of IPV6 ? ['127.0.0.1', '::', '::1'] : ['127.0.0.1']) {
    const { server } = await start(t, { bind });
    const address = bind === '::1' ? '::1' : '127.0.0.1';
    const peer = await Peer.to(t, server, 'udp', address);
    const flow = server.flowTo({ address, port: peer.port });
    t.match(flow, { transport: 'udp', open: true, remote: { address, port: peer.port } });
    flow.send(Buffer.from('to the binding'));
    await until(() => peer.text === 'to the binding', bind);
    for (const nowhere of [
      { address: 'unit.example', port: 5060 },
      { address, port: 0 },
      { address, port: 70_000 },
      ...(bind === '127.0.0.1' ? [{ address: '2001:db8::1', port: 5060 }] : []),
    ]) {
      const closed = server.flowTo(nowhere);
      t.notOk(closed.open, JSON.stringify(nowhere));
      closed.send(Buffer.from('lost'));
    }
    await server.stop(50);
    flow.send(Buffer.from('too late, and nothing is thrown'));
  }
  t.same(
    ['::ffff:192.0.2.7', 'fe80::1%eth0', '2001:db8::1', '192.0.2.7'].map((one) => plainAddress(one)),
    ['192.0.2.7', 'fe80::1', '2001:db8::1', '192.0.2.7'],
  );
});

await t.test('twenty messages in one segment get twenty answers in order; one that is cut at every byte gets one', async (t) => {
  const { server, handled } = await start(t, {
    // The later ones are decided first.
    handle: async (message) => {
      for (let turn = Number.parseInt(header(message, 'cseq') ?? '', 10); turn < 22; turn++)
        await new Promise((resolve) => setImmediate(resolve));
      return OK;
    },
  });
  for (const transport of STREAMS) {
    handled.length = 0;
    const peer = await Peer.to(t, server, transport);
    peer.send(Buffer.concat(upTo(20).map((cseq) => request(cseq, { transport }))));
    await peer.answered(20);
    t.same(
      peer.answers(),
      upTo(20).map((cseq) => `200 ${cseq}`),
      transport,
    );
    t.equal(handled.length, 20);
    peer.stream?.setNoDelay(true);
    for (const byte of request(21, { transport })) await peer.pump(Uint8Array.of(byte));
    await peer.answered(21);
    t.equal(peer.answers().length, 21);
  }
});

await t.test('keepalives are answered on streams, and OPTIONS in any number, while others are served', async (t) => {
  const { server } = await start(t);
  for (const transport of STREAMS) {
    const peer = await Peer.to(t, server, transport);
    peer.send('\r\n\r\n');
    await until(() => peer.text === '\r\n', 'a pong');
    peer.send(Buffer.concat([request(1, { method: 'OPTIONS' }), Buffer.from('\r\n\r\n'), request(2)]));
    await peer.answered(2);
    t.match(peer.text.slice(2), /^SIP\/2\.0 200 OK\r\n[^]*\r\n\r\n\r\nSIP\/2\.0 200 OK\r\n/, 'in their place');
    const busy = await Peer.to(t, server, transport);
    const other = await Peer.to(t, server, transport);
    busy.send(Buffer.concat(upTo(3000).map((cseq) => request(cseq, { method: 'OPTIONS', body: '' }))));
    other.send(request(1));
    await other.answered(1);
    await busy.answered(3000);
    t.same(
      busy.answers(),
      upTo(3000).map((cseq) => `200 ${cseq}`),
      `${transport}: each once and in order`,
    );
  }
  for (const transport of STREAMS) {
    const stray = await Peer.to(t, server, transport);
    const response = request(1)
      .toString()
      .replace(/^MESSAGE.*/, 'SIP/2.0 200 OK');
    stray.send(Buffer.from(response.repeat(1000)));
    stray.send(request(2));
    await stray.answered(2);
    t.equal(server.counters()[transport]!.strayResponses, 1000, `${transport}: what needs no answer is read past`);
  }
  const udp = await Peer.to(t, server, 'udp');
  udp.send('\r\n\r\n');
  udp.send(Buffer.alloc(4));
  for (const cseq of upTo(500)) await udp.pump(request(cseq, { method: 'OPTIONS', body: '' }));
  await udp.answered(500);
  t.ok(udp.text.startsWith('SIP/2.0 200'), 'a keepalive over UDP gets no answer');
  t.equal(server.counters().udp.keepalives, 2);
});

await t.test('a REGISTER that comes again and again while it is being kept slows down its own connection', async (t) => {
  const open: (() => void)[] = [];
  const { server, handled } = await start(t, {
    register: () => new Promise((resolve) => open.push(() => resolve({ status: 200, reason: 'OK' }))),
  });
  const busy = await Peer.to(t, server, 'tcp');
  const other = await Peer.to(t, server, 'tcp');
  const again = request(1, { method: 'REGISTER', body: '' });
  busy.send(Buffer.concat([...upTo(2000).map(() => again), request(2)]));
  await until(() => server.counters().tcp.retransmissions >= MAX_WAITING, 'as many as may wait');
  other.send(request(3));
  await other.answered(3);
  const { retransmissions } = server.counters().tcp;
  t.ok(retransmissions < MAX_WAITING * 2, `${retransmissions} were read`);
  t.same(handled, ['3 MESSAGE']);
  while (!handled.includes('2 MESSAGE')) {
    for (const go of open.splice(0)) go();
    await new Promise((resolve) => setImmediate(resolve));
  }
  for (const go of open.splice(0)) go();
  await busy.answered(2);
});

// ---------------------------------------------------------------------------------------------------------------------
// Noise, silence and floods.

await t.test('20 MB of noise on each listener changes nothing for the device that speaks next', { timeout: 60_000 }, async (t) => {
  const { server } = await start(t, { handle: () => Promise.resolve(OK) });
  const noise = systemRandom(4 * 1024 * 1024);
  for (const transport of TRANSPORTS) {
    const device = await Peer.to(t, server, transport);
    device.send(request(1));
    await device.answered(1);
    const noisy = await Peer.to(t, server, transport);
    const size = transport === 'udp' ? 32 * 1024 : 64 * 1024;
    for (let round = 0; round < 5; round++) {
      for (let at = 0; at < noise.length; at += size) await noisy.pump(noise.subarray(at, at + size));
    }
    await device.ask(request(2), 2);
    noisy.send(transport === 'udp' ? '' : '\r\n');
    await noisy.ask(request(3), 3);
    const next = await Peer.to(t, server, transport);
    await next.ask(request(4), 4);
    // What the system throws away because nobody fetched it in time is not counted.
    t.ok(server.counters()[transport]!.noiseBytes > (transport === 'udp' ? 1 : 19) * 1024 * 1024, `${transport}: counted`);
  }
});

/** Moves the clock on until something has happened. */
async function advanceUntil(clock: MovableClock, condition: () => boolean, what: string, step = 1000): Promise<void> {
  await until(() => {
    void clock.advance(step);
    return condition();
  }, what);
}

await t.test('who is silent, half open, or does not listen, is ended; a device is not', async (t) => {
  for (const transport of STREAMS) {
    const clock = new MovableClock();
    const begunAt = clock.now();
    const { server } = await start(t, { clock });
    const device = await Peer.to(t, server, transport);
    device.send(request(1));
    await device.answered(1);
    const silent = await Peer.to(t, server, transport);
    const half = await Peer.to(t, server, transport);
    half.send(request(2).subarray(0, 60));
    await advanceUntil(clock, () => silent.closed && half.closed, 'the silent ones to be ended');
    t.ok(clock.now() - begunAt >= 30_000, 'a stranger has 30 s');
    const deaf = await Peer.to(t, server, transport);
    deaf.stream?.pause();
    const asking = Buffer.concat(upTo(60).map((cseq) => request(cseq, { method: 'OPTIONS', callId: 'y'.repeat(2000) })));
    // Until both systems' buffers are full and nothing more is taken from us.
    while ((deaf.stream?.writableLength ?? 0) < 4 * asking.length) {
      deaf.send(asking);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    const half2 = await Peer.to(t, server, transport);
    half2.send(request(3));
    await half2.answered(3);
    half2.stream?.end();
    await until(() => half2.closed, 'the end of a peer that has said all');
    device.send(request(4));
    await device.answered(4);
    await advanceUntil(clock, () => server.counters()[transport]!.connections === 1, 'the deaf one to be ended');
    device.send(request(5));
    await device.answered(5);
    t.notOk(device.closed);
    await advanceUntil(clock, () => device.closed, 'the device that was silent for an hour', 60_000);
    t.ok(clock.now() - begunAt >= 3_600_000);
  }
});

await t.test('a full house ends strangers first, and what all together hold is bounded', async (t) => {
  for (const transport of STREAMS) {
    const clock = new MovableClock();
    const { server } = await start(t, { clock, limits: { connections: 3, held: 60_000 } });
    const device = await Peer.to(t, server, transport);
    device.send(request(1));
    await device.answered(1);
    const strangers = [await Peer.to(t, server, transport), await Peer.to(t, server, transport)];
    await until(() => server.counters()[transport]!.connections === 3, 'three connections');
    strangers.push(await Peer.to(t, server, transport));
    await until(() => strangers[0]!.closed, 'the oldest stranger to be ended');
    device.send(request(2));
    await device.answered(2);
    strangers[1]!.send(
      Buffer.concat([
        Buffer.from(`MESSAGE sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nContent-Length: ${LIMITS.body}\r\n\r\n`),
        Buffer.alloc(30_000, 'x'),
      ]),
    );
    strangers[2]!.send(
      Buffer.concat([
        Buffer.from(`MESSAGE sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nContent-Length: ${LIMITS.body}\r\n\r\n`),
        Buffer.alloc(32_000, 'x'),
      ]),
    );
    await advanceUntil(clock, () => strangers[1]!.closed || strangers[2]!.closed, 'one that holds much to be ended');
    device.send(request(3));
    await device.answered(3);
  }
});

await t.test('TLS: 1.2 and 1.3, nothing older; what fails is counted and told', { skip: withoutOpenssl }, async (t) => {
  const { server, failed, lines } = await start(t, { limits: { handshake: 500 } });
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const peer = await Peer.to(t, server, 'tls', '127.0.0.1', { minVersion: version, maxVersion: version });
    peer.send(request(1));
    await peer.answered(1);
    t.equal((peer.stream as TLSSocket).getProtocol(), version);
  }
  t.same(failed, []);
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  await t.rejects(Peer.to(t, server, 'tls', '127.0.0.1', old));
  await until(() => failed.length === 1, 'the old version to be told');
  t.match(failed[0], /^127\.0\.0\.1 ERR_SSL_/);
  const plain = await Peer.raw(t, server, 'tls');
  plain.send(request(1));
  await until(() => plain.closed && failed.length === 2, 'plain SIP on the TLS port to be ended');
  t.match(failed[1], /^127\.0\.0\.1 ERR_SSL_/);
  const gone = await Peer.raw(t, server, 'tls');
  gone.close();
  await until(() => failed.length === 3, 'one that went away');
  t.equal(failed[2], '127.0.0.1 too-slow', 'it may have closed its half only');
  t.match(server.counters().tls, { handshakesFailed: 3, handshakesUnderWay: 0 });
  await until(() => lines.some((line) => line.includes('sip-tls-handshakes-failed')), 'a line in the log');
});

await t.test('a flood of handshakes that never end hurts only the place it comes from', { skip: withoutOpenssl }, async (t) => {
  const clock = new MovableClock();
  const { server, failed } = await start(t, { clock, bind: '0.0.0.0', limits: { handshakes: 5 } });
  const slow = await Peer.raw(t, server, 'tls', '127.0.0.2');
  const flood: Peer[] = [];
  for (let i = 0; i < 20; i++) flood.push(await Peer.raw(t, server, 'tls', '127.0.0.3'));
  await until(
    () => failed.length === 16,
    () => `sixteen to be ended: ${failed.join()}`,
  );
  t.same(new Set(failed), new Set(['127.0.0.3 too-many']));
  t.match(server.counters().tls, { handshakesUnderWay: 5 });
  const device = await Peer.to(t, server, 'tls');
  device.send(request(1));
  await device.answered(1);
  const late = connectTls({ socket: slow.stream!, rejectUnauthorized: false });
  await once(late, 'secureConnect');
  late.write(request(2));
  await once(late, 'data');
  t.pass('one that began before the flood, from elsewhere, is served');
  await advanceUntil(clock, () => flood.every(({ closed }) => closed), 'the last of the flood to run out of time');
  t.equal(failed.at(-1), '127.0.0.3 too-slow');
  t.match(server.counters().tls, { handshakesUnderWay: 0 });
  device.send(request(3));
  await device.answered(3);
});

await t.test('a port that is taken is named with its setting, and nothing stays open', { skip: withoutOpenssl }, async (t) => {
  const { server, identity } = await start(t);
  const { port } = server.tls!;
  const options = {
    clock: new RunningClock(),
    log: createLog('silent'),
    random: systemRandom,
    bind: '127.0.0.1',
    accepts: '',
    handle: () => Promise.resolve(OK),
  };
  await t.rejects(startSip({ ...options, port: 0, tls: { identity, port } }), {
    code: 'port-in-use',
    message: new RegExp(`^SIP cannot listen on 127\\.0\\.0\\.1:${port} \\(TLS\\).*SIPS_PORT`),
  });
  const plain = await startSip({ ...options, port: 0 });
  t.same([plain.tls, plain.counters().tls], [null, null], 'without a certificate there is no TLS');
  await plain.stop();
});

// ---------------------------------------------------------------------------------------------------------------------
// Certificates.

await t.test('a renewed certificate is used at once, and who is connected stays so', { skip: withoutOpenssl }, async (t) => {
  const { server, identity } = await start(t);
  const nameOf = (peer: Peer) => (peer.stream as TLSSocket).getPeerCertificate().subject.CN;
  const before = await Peer.to(t, server, 'tls');
  t.equal(nameOf(before), 'first.example');
  identity.renew(testCertificate('second.example'));
  const after = await Peer.to(t, server, 'tls');
  t.equal(nameOf(after), 'second.example');
  for (const peer of [before, after]) {
    peer.send(request(1));
    await peer.answered(1);
  }
  await t.rejects(
    Peer.to(t, server, 'tls', '127.0.0.1', { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    'still 1.2 or newer',
  );
});

await t.test(
  'certificate files: looked at every minute and when told to, and only a pair that fits is taken',
  { skip: withoutOpenssl },
  async (t) => {
    const directory = mkdtempSync(path.join(tmpdir(), 'tls-identity-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const [certFile, keyFile] = [path.join(directory, 'cert.pem'), path.join(directory, 'key.pem')];
    const write = (cert: string, key: string): void => {
      writeFileSync(certFile, cert);
      writeFileSync(keyFile, key);
    };
    const settings = readSettings({ TLS_CERT: certFile, TLS_KEY: keyFile });
    const clock = new MovableClock(Date.now());
    const lines: string[] = [];
    const log = createLog('debug', { write: (line) => void lines.push(line) });
    const open = () => openTlsIdentity({ settings, clock, log });
    t.equal(await openTlsIdentity({ settings: readSettings({}), clock, log }), null);
    await t.rejects(open(), { code: 'settings-invalid', message: /^TLS_CERT names .*cannot be read/ });
    const [second, third] = [testCertificate('second.example'), testCertificate('third.example', 10)];
    write(FIRST.cert, second.key);
    await t.rejects(open(), { code: 'settings-invalid', message: /^TLS_CERT and TLS_KEY name .* cannot be used together/ });
    write(FIRST.cert, FIRST.key);
    const identity = (await open())!;
    t.teardown(() => identity.stop());
    const changes: string[] = [];
    const forget = identity.onChange(({ cert }) => changes.push(cert));
    const lookedAt = async () => {
      await clock.advance(60_000);
      await identity.reload();
    };
    const errors = () => lines.filter((line) => line.includes('certificate-refused'));

    write(second.cert, FIRST.key);
    await clock.advance(60_000);
    write(second.cert, second.key);
    await clock.advance(60_000);
    await until(() => changes.length === 1, 'the second certificate');
    t.same([identity.current().cert, errors().length], [second.cert, 0], 'a pair that was half written is not complained of');
    t.ok(lines.some((line) => line.includes('certificate-renewed')));

    write('nothing', second.key);
    await advanceUntil(clock, () => errors().length > 0, 'a line about the pair that does not fit', 60_000);
    t.equal(errors().length, 1, 'once');
    t.match(errors()[0], /TLS_CERT and TLS_KEY .*put a certificate/);
    for (let minute = 0; minute < 5; minute++) await clock.advance(60_000);
    await identity.reload();
    t.equal(errors().length, 2, 'and again when somebody asks for it');
    t.equal(identity.current().cert, second.cert, 'the old one stays');
    rmSync(keyFile);
    await identity.reload();
    t.match(errors()[2], /TLS_KEY names .*cannot be read/);

    t.notOk(lines.some((line) => line.includes('certificate-ends-soon')));
    write(third.cert, third.key);
    await identity.reload();
    t.same(changes, [second.cert, third.cert]);
    const warnings = () => lines.filter((line) => line.includes('certificate-ends-soon')).length;
    t.equal(warnings(), 1);
    t.ok(Math.abs(identity.endsAt() - clock.now() - 10 * 86_400_000) < 3_600_000);
    await lookedAt();
    t.equal(warnings(), 1, 'told once a day');
    await clock.advance(86_400_000);
    await until(() => warnings() === 2, 'the next day');
    forget();
    write(FIRST.cert, FIRST.key);
    await identity.reload();
    t.same([changes.length, identity.current().cert], [2, FIRST.cert]);
    await clock.advance(11 * 86_400_000);
    write(third.cert, third.key);
    await identity.reload();
    t.equal(identity.current().cert, FIRST.cert, 'one that has ended does not take the place of one that has not');
  },
);

await t.test('the MQTT listener takes a renewed certificate too', { skip: withoutOpenssl }, async (t) => {
  let renew: (pair: TestCertificate) => void = () => undefined;
  const onChange = (listener: (pair: TestCertificate) => void) => {
    renew = listener;
    return () => (renew = () => undefined);
  };
  const options = {
    bind: '127.0.0.1',
    port: 0,
    setting: 'MQTTS_PORT',
    connected: (socket: Socket) => void socket.destroy(),
    handshakeFailed: () => undefined,
  } as const;
  const server = await listenMqtt({ ...options, tls: { ...FIRST, onChange } });
  t.teardown(() => server.close());
  const nameNow = async () => {
    const { port } = server.address() as { port: number };
    const socket = connectTls({ host: '127.0.0.1', port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    const { CN } = socket.getPeerCertificate().subject;
    socket.on('error', () => undefined).destroy();
    return CN;
  };
  t.equal(await nameNow(), 'first.example');
  renew(testCertificate('second.example'));
  t.equal(await nameNow(), 'second.example');
});

// ---------------------------------------------------------------------------------------------------------------------
// The framer under nasty input, and the rate limits.

const HEAD = 'MESSAGE sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a\r\nFrom: a\r\nTo: a\r\nCall-ID: a\r\nCSeq: 1 MESSAGE\r\nContent-Type: x\r\n';
const fill = (text: string, size: number): Buffer => Buffer.from(text.repeat(Math.ceil(size / text.length)).slice(0, size), 'latin1');
const after = (text: string, filler: Buffer): Buffer => Buffer.concat([Buffer.from(text), filler]);
const K64 = 64 * 1024;
const NASTY: readonly (readonly [string, Buffer])[] = [
  ['LF', fill('\n', K64)],
  ['CR', fill('\r', K64)],
  ['CRLF', fill('\r\n', K64)],
  ['NUL', Buffer.alloc(K64)],
  ['keepalives between noise', fill('\n\nx\n', K64)],
  ['short lines', fill('x\n', K64)],
  ['SIP/2.0 in one line', fill('SIP/2.0 ', K64)],
  ['SIP/2.0 in lines', fill('SIP/2.0 \n', K64)],
  ['status lines', fill('SIP/2.0 200\n', K64)],
  ['request lines', fill('A b SIP/2.0\n', K64)],
  ['heads of one line', fill('A b SIP/2.0\n\n', K64)],
  ['a long line', fill('a', K64)],
  ['long lines', fill(`${'a'.repeat(LIMITS.startLine - 1)}\n`, K64)],
  ['a long header', after('MESSAGE sip:a SIP/2.0\r\nX: ', fill('a', K64))],
  ['many headers', after('MESSAGE sip:a SIP/2.0\r\n', fill('a:b\r\n', K64))],
  ['lines that are no headers', after('MESSAGE sip:a SIP/2.0\r\n', fill('a\n', K64))],
  ['folds', after('MESSAGE sip:a SIP/2.0\r\nVia: SIP/2.0/TCP a', fill('\r\n ', K64))],
  ['a list of Via', after('MESSAGE sip:a SIP/2.0\r\nVia: ', Buffer.concat([fill('a,', 16_000), Buffer.from('\r\n\r\n')]))],
  ['an XML body without an end', after(`${HEAD}\r\n<mrq>`, fill('a', K64))],
  ['an XML body of closing tags', after(`${HEAD}\r\n<mrq>`, fill('</mr', K64))],
  ['an XML body of brackets', after(`${HEAD}\r\n`, fill('<', K64))],
  ['an XML body of long names', after(`${HEAD}\r\n`, fill(`<${'a'.repeat(63)} `, K64))],
  ['a body of blanks', after(`${HEAD}\r\n`, fill(' ', K64))],
  ['a body that never ends', after(`${HEAD}Content-Length: 4000000000\r\n\r\n`, fill('\n', K64))],
  ['a long XML body of closing tags', after(`${HEAD}Content-Length: 32768\r\n\r\n<mrq>`, fill('</mr', K64))],
  ['a long XML body, then blanks', after(`${HEAD}Content-Length: 32768\r\n\r\n<mrq></mrq>`, fill(' ', K64))],
  ['a long XML body, then half a start line', after(`${HEAD}Content-Length: 32768\r\n\r\n<mrq></mrq>MESSAGE sip:`, fill('a', K64))],
  ['XML bodies of 1 too much', fill(`${HEAD}Content-Length: 5\r\n\r\n<a/>`, K64)],
  ['XML bodies of much too much', fill(`${HEAD}Content-Length: 32768\r\n\r\n<a></a>`, K64)],
  ['small messages', fill(`${HEAD}Content-Length: 0\r\n\r\n`, K64)],
];

/** Milliseconds of work, the least of some tries: other programs on the machine, and what is compiled the first time, do not count. */
function workOf(run: () => void, enough: number): number {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 6 && least > enough / 4; round++) {
    const begun = process.cpuUsage();
    run();
    least = Math.min(least, process.cpuUsage(begun).user / 1000);
  }
  return least;
}

await t.test('no input takes the framer long, whole or in single bytes, and none makes it keep much', async (t) => {
  const table: string[] = [];
  for (const [name, bytes] of NASTY) {
    const whole = workOf(() => new Framer().push(bytes), 50);
    const datagram = workOf(() => parseDatagram(bytes), 50);
    let most = 0;
    const dripped = workOf(() => {
      const framer = new Framer();
      for (let at = 0; at < bytes.length; at++) {
        framer.push(bytes.subarray(at, at + 1));
        if (at % 1024 === 0) most = Math.max(most, framer.held);
      }
      framer.settle(false);
      framer.settle(true);
    }, 500);
    table.push(
      `${name}: ${whole.toFixed(1)} ms whole, ${datagram.toFixed(1)} ms as a datagram, ${dripped.toFixed(0)} ms in ${bytes.length} single bytes`,
    );
    t.ok(whole < 50 && datagram < 50, `${name}: ${whole} and ${datagram} ms`);
    t.ok(dripped < 500, `${name} in single bytes: ${dripped} ms`);
    t.ok(most <= LIMITS.head + LIMITS.body, `${name}: ${most} bytes kept`);
    const framer = new Framer();
    framer.push(bytes);
    framer.settle(true);
    framer.settle(true);
    const next = name === 'a body that never ends' ? [] : framer.push(request(1));
    if (name !== 'a body that never ends')
      assert.ok(
        next.some((one) => one.type === 'request' && Buffer.from(one.body).toString() === BODY),
        name,
      );
  }
  for (const line of table) t.comment(line);
});

await t.test('bodies without a length end at the same byte however they are cut', async (t) => {
  const bodies = [
    '<mrq><cid>1</cid></mrq>',
    ' \r\n<?xml version="1.0"?><!-- x --><mrq/><a></mrq >',
    '<m></m></mrq>',
    '< <1><_a:b.c-d>x</_a:b.c-d\n>',
  ];
  const read = (framed: readonly Framed[]) => framed.map((one) => (one.type === 'request' ? Buffer.from(one.body).toString() : one.type));
  for (const body of bodies) {
    const bytes = Buffer.from(`${HEAD}\r\n${body}`);
    const once = new Framer();
    const wanted = [...read(once.push(bytes)), ...read(once.settle(true))];
    for (const step of [1, 2, 3, 7]) {
      const framer = new Framer();
      const got: string[] = [];
      for (let at = 0; at < bytes.length; at += step) got.push(...read(framer.push(bytes.subarray(at, at + step))));
      got.push(...read(framer.settle(true)));
      t.same(got, wanted, `${body} by ${step}`);
    }
  }
});

await t.test('rate limits: whatever strangers do, a unit of the register is taken', async (t) => {
  const limits = { strangersInAll: 20, strangersOther: 7, perStranger: 5, perUnit: 10, perAddress: null };
  const asked = fc.constantFrom<Asked>('alarm', 'heartbeat', 'registration', 'call');
  const name = fc.constantFrom('26317', '10149471', 'a', 'b', 'c', '', 'x'.repeat(300));
  const address = fc.constantFrom('192.0.2.1', '192.0.2.2', '2001:db8::1');
  const step = fc.record({ unit: name, address, asks: asked, wait: fc.integer({ min: 0, max: 2000 }) });
  for (const perAddress of [null, 3]) {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 300 }), fc.integer({ min: 1, max: 8 }), (steps, maxBuckets) => {
        const clock = new MovableClock();
        const rates = new RateLimits({ clock, limits: { ...limits, perAddress }, maxBuckets });
        const begunAt = clock.now();
        let taken = 0;
        let heard = begunAt - 6000;
        for (const { wait, ...who } of steps) {
          void clock.advance(wait);
          if (rates.admit({ ...who, known: false }) && (who.asks === 'alarm' || who.asks === 'heartbeat')) taken++;
          // Ten a minute are allowed: one every six seconds, in the midst of them and from the same address.
          if (clock.now() - heard >= 6000) {
            heard = clock.now();
            assert.ok(rates.admit({ unit: '26317', known: true, address: '192.0.2.1', asks: who.asks }));
          }
          assert.ok(rates.size <= 3 * maxBuckets + 3);
        }
        const minutesGone = (clock.now() - begunAt) / 60_000;
        assert.ok(taken <= limits.strangersInAll * (1 + minutesGone) + 1e-6);
      }),
      { numRuns: 200 },
    );
  }
  const clock = new MovableClock();
  const rates = new RateLimits({ clock, limits });
  const admitted = (count: number, who: Sender) => upTo(count).filter(() => rates.admit(who)).length;
  const stranger = (unit: string, from = '192.0.2.9', asks: Asked = 'alarm') => ({ unit, known: false, address: from, asks });
  t.equal(upTo(50).filter((i) => rates.admit(stranger(`r${i}`, '192.0.2.9', 'registration'))).length, 7);
  t.equal(upTo(50).filter((i) => rates.admit(stranger(`r${i}`, '192.0.2.9', 'call'))).length, 7, 'calls are another sort');
  t.equal(admitted(50, stranger('a')), 5);
  t.equal(admitted(50, stranger('a', '192.0.2.10')), 5 - 5, 'a stranger by its name, wherever it is');
  t.equal(admitted(50, stranger('b')), 5, 'per address is off: the next one there is taken');
  t.equal(upTo(50).filter((i) => rates.admit(stranger(`n${i}`))).length, 10, 'all strangers together');
  const unit = { unit: '26317', known: true, address: '192.0.2.9', asks: 'alarm' } as const;
  for (const asks of ['heartbeat', 'registration', 'call'] as const) t.equal(admitted(50, { ...unit, asks }), 10, asks);
  t.equal(admitted(50, unit), 10, 'a unit has its own share for alarms, whatever else comes in its name, and no more');
  t.equal(admitted(1, { ...unit, address: '192.0.2.1' }), 1, 'who takes its name elsewhere does not take its share');
  await clock.advance(6000);
  t.equal(admitted(50, unit), 1, 'it comes back evenly');
  t.equal(admitted(50, stranger('z')), 2);
  const perAddress = new RateLimits({ clock, limits: { ...limits, perAddress: 3 } });
  t.equal(upTo(50).filter((i) => perAddress.admit(stranger(`n${i}`))).length, 3);
  t.ok(perAddress.admit(stranger('n', '192.0.2.77')));
  t.ok(perAddress.admit(unit), 'a unit behind the same address is taken');
  const many = new RateLimits({ clock, limits: { strangersInAll: 1e6 }, maxBuckets: 100 });
  for (const i of upTo(5000)) many.admit({ unit: `${i}`, known: i % 2 === 0, address: `${i}`, asks: 'alarm' });
  t.ok(many.size <= 400, `${many.size} buckets`);
});

await t.test('the page on SIP says what the limits are', async (t) => {
  const page = readFileSync(new URL('../../docs/protocols/sip.md', import.meta.url), 'utf8');
  const { connections, idle, idleStranger, stalled, trickling, handshakes, handshake, held } = STREAM_LIMITS;
  const { strangersInAll, strangersOther, perStranger, perUnit, perAddress } = RATE_LIMITS;
  for (const row of [
    `| connections | ${connections.toLocaleString('en')} over TCP`,
    `| silence | ${idle / 60_000} min, ${idleStranger / 1000} s for`,
    `| TLS handshakes under way | ${handshakes} |`,
    `| a TLS handshake | ${handshake / 1000} s |`,
    `| a message that trickles in | ${trickling / 1000} s |`,
    `| a half-open connection to which nothing is owed | ${stalled / 1000} s |`,
    `at ${MAX_UNREAD / 1024} KiB, it is ended |`,
    `| unanswered requests on one connection | ${MAX_WAITING} |`,
    `hold together | ${held / 1024 / 1024} MiB |`,
    `does not know | ${strangersInAll} |`,
    `their REGISTERs, and as many INVITEs | ${strangersOther} |`,
    `by its name | ${perStranger} |`,
    `from one address | ${perUnit} |`,
  ])
    t.ok(page.includes(row), row);
  t.equal(perAddress, null);
});
