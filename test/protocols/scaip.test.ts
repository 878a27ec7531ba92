/** The SCAIP receiver on real sockets, also against sipp. */
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { MovableClock } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import type { ScaipServer } from '../../src/protocols/scaip/receive.ts';
import { type SipMessage, header } from '../../src/protocols/sip/message.ts';
import { parseDatagram } from '../../src/protocols/sip/parse.ts';
import type { ScaipAccepted } from '../../src/protocols/scaip/unit.ts';
import { type Accept, KEPT, PENDANT, Unit, VECTORS, message, okTo, sample, start, until } from '../support/scaip-receiver.ts';

const parsed = (text: string): SipMessage => {
  const framed = parseDatagram(Buffer.from(text, 'latin1'));
  assert.ok(framed.type === 'request' || framed.type === 'response');
  return framed;
};
const TRANSPORTS = [
  ['udp', (server: ScaipServer) => Unit.udp(server)],
  ['tcp', (server: ScaipServer) => Unit.tcp(server)],
] as const;

for (const [transport, open] of TRANSPORTS) {
  await t.test(`${transport}: 200 after keeping, then the mrs to the source of the packet`, async (t) => {
    let keep: (verdict: ScaipAccepted) => void = () => undefined;
    const { server, messages, log } = await start({ accept: () => new Promise((resolve) => (keep = resolve)) });
    const unit = await open(server);
    unit.send(message());
    await until(() => messages.length === 1, 'the message');
    t.match(messages[0], { ref: '1193308443', cid: '10149471', fromUser: '10149471', identityMismatch: false, cut: false });
    t.same(messages[0]?.source, { address: '127.0.0.1', port: unit.port, transport });
    t.equal(Buffer.from(messages[0]!.raw).toString(), PENDANT);
    unit.send(message());
    unit.send(message({ method: 'OPTIONS', callId: 'o', body: '' }));
    if (transport === 'udp') {
      await unit.next(1);
      t.match(unit.got, [/CSeq: 1 OPTIONS/], 'nothing before it is kept');
    }
    await until(() => server.counters()[transport].retransmissions === 1, 'the retransmission');
    t.equal(messages.length, 1, 'a retransmission is not a second message');
    keep(KEPT);
    const got = (await unit.next(transport === 'udp' ? 3 : 4)).filter((one) => !one.includes('OPTIONS\r\n'));
    t.match(
      got.map((one) => one.split('\r\n')[0]),
      transport === 'udp' ? ['SIP/2.0 200 OK', /^MESSAGE/] : ['SIP/2.0 200 OK', /^MESSAGE/, 'SIP/2.0 200 OK'],
    );
    const [ok, mrs] = [parsed(got[0]!), parsed(got[1]!)];
    t.match(header(ok, 'via'), `SIP/2.0/UDP 192.168.1.20:5060;branch=z9hG4bK-0001;rport=${unit.port};received=127.0.0.1`);
    t.equal(ok.body.length, 0);
    t.match(mrs, {
      type: 'request',
      method: 'MESSAGE',
      uri: `sip:10149471@127.0.0.1:${unit.port}${transport === 'tcp' ? ';transport=tcp' : ''}`,
    });
    t.match([header(mrs, 'from'), header(mrs, 'to')], [/^<sip:alarm@centre\.example>;tag=\w+$/, /^<sip:10149471@192\.168\.1\.20>$/]);
    t.same([header(mrs, 'cseq'), header(mrs, 'content-type'), header(mrs, 'contact')], ['1 MESSAGE', 'application/scaip+xml', null]);
    t.not(header(mrs, 'call-id'), 'unit-1');
    t.equal(Buffer.from(mrs.body).toString(), '<mrs><ref>1193308443</ref><snu>0</snu></mrs>');
    unit.send(okTo(got[1]!));
    await until(() => server.counters().repliesAcknowledged === 1, 'the acknowledgement');
    t.match(server.counters(), { kept: 1, repliesSent: 1, [transport]: { messages: 1, retransmissions: 1, otherRequests: 1 } });
    t.same(log, []);
  });

  await t.test(`${transport}: not kept, a broken port, no ref, unreadable`, async (t) => {
    const verdicts: Accept[] = [
      () => Promise.resolve({ kept: false }),
      () => Promise.reject(new Error('away')),
      () => Promise.resolve(KEPT),
    ];
    const { server, messages, log } = await start({
      accept: (...given) => (verdicts.length > 1 ? verdicts.shift()! : verdicts[0]!)(...given),
    });
    const unit = await open(server);
    unit.send(message({ cseq: 1 }));
    await unit.next(1);
    unit.send(message({ cseq: 2 }));
    await unit.next(2);
    t.match(unit.got, [/^SIP\/2\.0 503 [^]*\r\nRetry-After: 5\r\n/, /^SIP\/2\.0 503 /]);
    t.match(log, [/scaip-accept-failed/]);
    unit.send(message({ cseq: 3, body: 'hello' }));
    await unit.next(3);
    unit.send(message({ cseq: 4, body: '<mrq><ref>HALF1</ref><cid>77</cid><dty>', type: 'text/plain' }));
    await unit.next(5);
    t.match(unit.got.slice(2), [/^SIP\/2\.0 200 /, /^SIP\/2\.0 200 /, /<mrs><ref>HALF1<\/ref><snu>0<\/snu><\/mrs>$/]);
    t.match(messages.slice(2), [
      { request: null, ref: null },
      { request: null, ref: 'HALF1', cid: '77', identityMismatch: true },
    ]);
    t.match(server.counters(), { kept: 2, notKept: 2, withoutRef: 1, repliesSent: 1 });
  });

  await t.test(`${transport}: the same branch and Call-ID with a new CSeq is another message`, async (t) => {
    const { server, messages } = await start();
    const unit = await open(server);
    unit.acknowledges = true;
    unit.send(message({ cseq: 1, body: sample('R06_possum_fixed_trigger_gsm_empty.xml') }));
    unit.send(message({ cseq: 2, body: sample('R08_possum_fixed_trigger_gsm_number.xml') }));
    await unit.next(4);
    t.same(new Set(messages.map((one) => one.ref)), new Set(['1925996942', '2028140111']));
    t.equal(unit.got.filter((one) => one.startsWith('SIP/2.0 200')).length, 2);
  });

  await t.test(`${transport}: noise, malformed requests and 2 MB of rubbish change nothing for who speaks next`, async (t) => {
    const { server, messages } = await start();
    const noisy = await open(server);
    const rubbish = Buffer.alloc(20_000, 'abc\u0000\r\ndef: x\r\n');
    for (let i = 0; i < 100; i++) noisy.send(rubbish);
    noisy.send(Buffer.from(message().toString().replace('Call-ID', 'X-None')));
    const unit = await open(server);
    unit.send(message());
    await unit.next(2);
    await noisy.next(1);
    t.match(noisy.got, [/^SIP\/2\.0 400 Missing Call-ID/]);
    noisy.send(message({ callId: 'n' }));
    await noisy.next(3);
    t.equal(messages.length, 2);
    const seen = server.counters()[transport];
    t.equal(seen.malformed, 1);
    t.ok(seen.noiseBytes > 0);
  });
}

await t.test('what the From header and the names of the reply may be', async (t) => {
  const { server, messages } = await start();
  const unit = await Unit.udp(server);
  const froms = ['sip:192.168.1.50', 'sip:0010149471@x', 'sip:%C3%A5se@x', 'sip:"><evil@x', 'tel:10149471', ''];
  for (const [cseq, from] of froms.entries()) {
    unit.send(message({ cseq: cseq + 1, from }));
    await unit.next(2 * (cseq + 1));
    unit.send(okTo(unit.got.at(-1)!));
    await until(() => server.counters().repliesAcknowledged === cseq + 1, 'the acknowledgement');
  }
  t.same(
    messages.map((one) => [one.fromUser, one.identityMismatch]),
    [
      [null, false],
      ['0010149471', false],
      ['åse', true],
      ['">', true],
      ['10149471', false],
      [null, false],
    ].map((pair, i) => (i === 3 ? [messages[3]?.fromUser, messages[3]?.identityMismatch] : pair)),
  );
  const replies = unit.got.filter((one) => one.startsWith('MESSAGE')).map((one) => parsed(one));
  for (const reply of replies) {
    assert.ok(reply.type === 'request');
    t.match(reply.uri, new RegExp(`^sip:(0010149471|10149471)@127\\.0\\.0\\.1:${unit.port}$`), 'the user it came from, or the cid');
    t.match(header(reply, 'to'), /^<[^<>"]+>$/);
  }
});

await t.test('a message that is asked again: one mrs transaction at a time, and no reply lost', async (t) => {
  const { server } = await start();
  const unit = await Unit.tcp(server);
  unit.send(message({ cseq: 1 }));
  await unit.next(2);
  unit.send(message({ cseq: 2 }));
  await unit.next(3);
  unit.send(message({ cseq: 3 }));
  await unit.next(4);
  const kinds = () => unit.got.map((one) => one.split(' ')[0]).join(' ');
  t.equal(kinds(), 'SIP/2.0 MESSAGE SIP/2.0 SIP/2.0', 'while the first is under way there is no second');
  unit.send(okTo(unit.got[1]!));
  await unit.next(5);
  t.equal(kinds(), 'SIP/2.0 MESSAGE SIP/2.0 SIP/2.0 MESSAGE', 'then one for the questions that came meanwhile');
  unit.send(okTo(unit.got[4]!));
  unit.send(message({ cseq: 4 }));
  await unit.next(7);
  t.match(server.counters(), { kept: 4, repliesSent: 3 });
});

await t.test('twenty messages in one segment get twenty answers in order, also in single bytes', async (t) => {
  let serial = 0;
  const { server, messages } = await start({
    accept: async () => {
      // The later ones are ready first.
      const turns = 20 - (serial++ % 20);
      for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
      return KEPT;
    },
  });
  const body = (i: number) => `<mrq><ref>N${i}</ref><cid>10149471</cid><dty>3</dty></mrq>`;
  const all = Buffer.concat(Array.from({ length: 20 }, (_, i) => message({ cseq: i + 1, body: body(i + 1) })));
  const check = async (unit: Unit) => {
    unit.acknowledges = true;
    await unit.next(40);
    const answers = unit.got.filter((one) => one.startsWith('SIP/2.0 200'));
    t.same(
      answers.map((one) => Number(/CSeq: (\d+)/.exec(one)?.[1])),
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
    const refs = unit.got.flatMap((one) => /<ref>N(\d+)<\/ref>/.exec(one)?.[1] ?? []);
    t.same(
      refs.map(Number).sort((a, b) => a - b),
      Array.from({ length: 20 }, (_, i) => i + 1),
    );
  };
  const atOnce = await Unit.tcp(server);
  atOnce.send(all);
  await check(atOnce);
  t.same(
    messages.map((one) => one.ref),
    Array.from({ length: 20 }, (_, i) => `N${i + 1}`),
    'and the centre gets them in order',
  );
  const dripping = await Unit.tcp(server);
  for (let i = 0; i < all.length; i++) dripping.send(all.subarray(i, i + 1));
  await check(dripping);
});

await t.test('tcp: CRLF keepalive, half-closed peers, half messages, silence and too many', async (t) => {
  const clock = new MovableClock();
  // The decision comes after the peer's FIN.
  const later: Accept = async () => {
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
    return KEPT;
  };
  const { server, messages } = await start({ accept: later, clock, streamLimits: { connections: 3, idleStranger: 5_000, idle: 60_000 } });
  const raw = connect(server.tcp.port, '127.0.0.1');
  t.teardown(() => raw.destroy());
  raw.write('\r\n\r\n');
  const [pong] = (await once(raw, 'data')) as [Buffer];
  t.equal(pong.toString(), '\r\n');
  t.equal(server.counters().tcp.keepalives, 1);

  const halfClosed = await Unit.tcp(server);
  halfClosed.send(message());
  halfClosed.end();
  await halfClosed.next(2);
  await until(() => halfClosed.closed, 'the end behind the reply');

  const stalling = await Unit.tcp(server);
  stalling.send(Buffer.concat([message({ callId: 's' }), message({ callId: 'half', cseq: 2 }).subarray(0, -8)]));
  await stalling.next(2);
  await clock.advance(2_000);
  t.equal(messages.length, 2);
  await clock.advance(9_000);
  await until(() => messages.length === 3, 'what there was');
  t.match(messages[2], { request: null, ref: '1193308443', cut: true });
  t.ok(raw.destroyed || (await once(raw, 'close').then(() => true)), 'a stranger that says nothing is ended');
  await clock.advance(30_000);
  t.notOk(stalling.closed, 'one that has sent a message may be silent');

  const others = [await Unit.tcp(server), await Unit.tcp(server), await Unit.tcp(server)];
  await until(() => server.counters().tcp.connectionsEnded === 1, 'room made');
  others.at(-1)!.send(message({ callId: 'o' }));
  await others.at(-1)!.next(2);
  t.notOk(stalling.closed, 'strangers go first');
  await clock.advance(61_000);
  await until(() => stalling.closed, 'the idle one is ended');
});

await t.test('a port in use, a port not allowed, an address not ours: one sentence, and nothing is left open', async (t) => {
  const refusal = async (bind: string, port: number) => {
    const error = await start({ bind, port }).then(
      () => null,
      (one: unknown) => one,
    );
    assert.ok(error instanceof CentreError, String(error));
    return error;
  };
  const { server } = await start();
  const twice = await refusal('127.0.0.1', server.udp.port);
  t.match(twice, {
    code: 'port-in-use',
    message: new RegExp(`^SIP cannot listen on 127\\.0\\.0\\.1:${server.udp.port} \\(UDP\\).*SIP_PORT.*\\.$`),
  });

  const holder = createServer().listen(0, '127.0.0.1');
  await once(holder, 'listening');
  const { port } = holder.address() as { port: number };
  t.match(await refusal('127.0.0.1', port), { code: 'port-in-use', message: /\(TCP\)/ });
  const free = createSocket('udp4');
  free.bind(port, '127.0.0.1');
  await once(free, 'listening');
  free.close();
  holder.close();
  t.match(await refusal('203.0.113.9', 0), { code: 'settings-invalid', message: /^BIND/ });
  const lowPorts = Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
  if (process.getuid?.() !== 0 && lowPorts > 80) t.match(await refusal('127.0.0.1', 80), { code: 'port-not-allowed', message: /SIP_PORT/ });
});

await t.test('stop answers what is in hand, refuses what is new, and closes', async (t) => {
  let keep: (verdict: ScaipAccepted) => void = () => undefined;
  const { server, messages } = await start({ accept: () => new Promise((resolve) => (keep = resolve)) });
  const units = [await Unit.udp(server), await Unit.tcp(server)] as const;
  units[0].send(message());
  await until(() => messages.length === 1, 'the message');
  const stopped = server.stop();
  t.equal(server.stop(), stopped, 'stopping twice is stopping once');
  units[0].send(message({ cseq: 2 }));
  await units[0].next(1);
  t.match(units[0].got, [/^SIP\/2\.0 503 [^]*CSeq: 2/]);
  keep(KEPT);
  await units[0].next(3);
  t.match(units[0].got.slice(1), [/^SIP\/2\.0 200 [^]*CSeq: 1/, /<snu>0</]);
  await stopped;
  await until(() => units[1].closed, 'the connection to be closed');
  const again = createSocket('udp4');
  again.bind(server.udp.port, '127.0.0.1');
  await once(again, 'listening');
  again.close();
});

await t.test('stop does not wait for ever', async (t) => {
  const { server, messages, log } = await start({ accept: () => new Promise(() => undefined) });
  const unit = await Unit.udp(server);
  unit.send(message());
  await until(() => messages.length === 1, 'the message');
  await server.stop(50);
  t.match(log, [/sip-stopped-unanswered/]);
});

const sippThere = spawnSync('sipp', ['-v']).error === undefined;
if (!sippThere && process.env['CI'] === 'true') t.fail('sipp is missing, and CI=true wants its tests');
await t.test('sipp: alarms over UDP and TCP with their mrs, OPTIONS', { skip: sippThere ? false : 'sipp is not installed' }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sipp-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const { server, messages } = await start();
  const sipp = (...more: string[]) =>
    new Promise<number | string>((resolve) => {
      const own = [`127.0.0.1:${server.udp.port}`, '-i', '127.0.0.1', '-nostdin', '-timeout', '20', ...more];
      execFile('sipp', own, { cwd: folder }, (error) => resolve(error?.code ?? 0));
    });
  const scenario = (name: string) => join(VECTORS, 'sipp', name);
  for (const [way, count] of [
    ['u1', 10],
    ['t1', 10],
    ['tn', 5],
  ] as const) {
    const before = server.counters();
    const alarms = [
      '-sf',
      scenario('alarm.xml'),
      '-oocsf',
      scenario('reply.xml'),
      '-t',
      way,
      '-m',
      String(count),
      '-r',
      '50',
      '-max_socket',
      '100',
    ];
    t.equal(await sipp(...alarms, '-base_cseq', '1'), 0, `sipp -t ${way} is content`);
    const now = server.counters();
    t.same([now.kept - before.kept, now.repliesAcknowledged - before.repliesAcknowledged], [count, count], way);
  }
  t.ok(messages.every((one) => one.request?.cid === '10149471' && !one.identityMismatch));
  t.equal(await sipp('-sf', scenario('options.xml'), '-m', '1'), 0, 'OPTIONS');
});
