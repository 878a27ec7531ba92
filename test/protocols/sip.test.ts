/** The SIP layer without sockets: vectors, streams cut anywhere, hostile bytes, transactions under a movable clock. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { MovableClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { parameters, parseNameAddress, parseUri, parseVia, receivedVia, splitList, writableUri } from '../../src/protocols/sip/address.ts';
import { FAULT_ANSWERS, type MessageAnswer, type SendRequest, SipCore, answerByMethod, noCounts } from '../../src/protocols/sip/core.ts';
import { AnswerLane, type Flow, type Transport } from '../../src/protocols/sip/flow.ts';
import { Framer } from '../../src/protocols/sip/framer.ts';
import { type Framed, LIMITS, type SipRequest, header, headerName, writtenName } from '../../src/protocols/sip/message.ts';
import { findStartLine, parseDatagram, parseStartLine } from '../../src/protocols/sip/parse.ts';
import { serialise } from '../../src/protocols/sip/write.ts';

interface Vector {
  readonly name: string;
  readonly lines: readonly string[];
  readonly expect: {
    readonly type: string;
    readonly headers?: Record<string, string>;
    readonly vias?: string[];
    readonly body?: string;
  } & Record<string, unknown>;
}
const VECTORS = JSON.parse(readFileSync(new URL('../vectors/sip/datagrams.json', import.meta.url), 'utf8')) as Vector[];
const bytesOf = (vector: Vector): Buffer => Buffer.from(vector.lines.join('\r\n'));

const BODY = '<mrq><ref>1</ref><cid>26317</cid><dty>3</dty></mrq>';
interface Parts {
  readonly method?: string;
  readonly cseq?: number;
  readonly callId?: string;
  readonly branch?: string;
  readonly tag?: string;
  readonly length?: number | string | null;
  readonly body?: string;
  readonly extra?: string;
}
function request(parts: Parts = {}): Buffer {
  const { method = 'MESSAGE', cseq = 1, callId = 'c', branch = 'z9hG4bK-0001', tag = '286524', body = BODY, extra = '' } = parts;
  const { length = Buffer.byteLength(body) } = parts;
  return Buffer.from(
    `${method} sip:alarm@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.5:5060;branch=${branch};rport\r\n` +
      `From: <sip:26317@10.0.0.5>;tag=${tag}\r\nTo: <sip:alarm@192.0.2.1>\r\nCall-ID: ${callId}\r\nCSeq: ${cseq} ${method}\r\n` +
      `Content-Type: application/scaip+xml\r\n${extra}${length === null ? '' : `Content-Length: ${length}\r\n`}\r\n${body}`,
  );
}
const bodies = (framed: readonly Framed[]): string[] =>
  framed.flatMap((one) => (one.type === 'request' ? [Buffer.from(one.body).toString()] : []));

/** What a vector promises about what was read. */
function matches(test: Tap, framed: Framed | undefined, vector: Vector): void {
  const { headers = {}, vias, body, ...rest } = vector.expect;
  test.match(framed, rest, vector.name);
  if (framed?.type !== 'request' && framed?.type !== 'response') return;
  for (const [name, value] of Object.entries(headers)) test.equal(header(framed, name), value, `${vector.name}: ${name}`);
  if (vias !== undefined)
    test.same(
      framed.headers.filter((one) => one.name === 'via').map((one) => one.value),
      vias,
    );
  if (body !== undefined) test.equal(Buffer.from(framed.body).toString(), body, `${vector.name}: body`);
}
type Tap = Pick<typeof t, 'match' | 'equal' | 'same' | 'ok' | 'fail'>;

await t.test('datagrams are read as the vectors say', async (t) => {
  for (const vector of VECTORS) matches(t, parseDatagram(bytesOf(vector)), vector);
  t.same(parseDatagram(Buffer.from('\r\n\r\n')), { type: 'ping' });
  t.same(parseDatagram(Buffer.alloc(4)), { type: 'ping' }, 'NULs keep a path open too');
  t.same(parseDatagram(Buffer.alloc(0)), { type: 'ping' });
});

await t.test('a datagram is as long as it is, whatever its Content-Length says', async (t) => {
  const longer = parseDatagram(request({ length: 500 })) as SipRequest;
  t.same([Buffer.from(longer.body).toString(), longer.bodyCut], [BODY, true]);
  const shorter = parseDatagram(request({ length: 4 })) as SipRequest;
  t.same([Buffer.from(shorter.body).toString(), Buffer.from(shorter.rest).toString()], ['<mrq', BODY.slice(4)]);
  for (const length of ['many', '-1', '99999999999'])
    t.equal(Buffer.from((parseDatagram(request({ length })) as SipRequest).body).toString(), BODY, length);
  t.match(parseDatagram(request().subarray(0, 100)), { type: 'malformed', fault: 'unterminated-head' });
  t.match(parseDatagram(request({ extra: `X: ${'y'.repeat(LIMITS.head)}\r\n` })), { type: 'malformed', fault: 'head-too-large' });
  t.match(parseDatagram(request({ extra: 'X: y\r\n'.repeat(200) })), { type: 'malformed', fault: 'too-many-headers' });
  const big = parseDatagram(request({ body: 'x'.repeat(60_000) })) as SipRequest;
  t.same([big.body.length, big.bodyCut], [LIMITS.body, true]);
});

await t.test('streams: whole, one byte at a time, cut at every length', async (t) => {
  for (const vector of VECTORS) {
    const bytes = bytesOf(vector);
    const withLength = /content-length|^l:/im.test(bytes.toString());
    const whole = new Framer();
    const once = [...whole.push(bytes), ...whole.settle(true)];
    const single = new Framer();
    const dripped = [...bytes].flatMap((byte) => single.push(Uint8Array.of(byte)));
    dripped.push(...single.settle(true));
    t.same(dripped, once, `${vector.name}: the same in single bytes`);
    if (vector.expect.type !== 'noise') matches(t, once[0], vector);
    if (withLength) t.notOk(single.unfinished, `${vector.name}: nothing is left over`);
    for (let size = 0; size < bytes.length; size++) {
      const framer = new Framer();
      const early = framer.push(bytes.subarray(0, size));
      assert.ok(early.length === 0 || !withLength || early[0]?.type === 'malformed', `${vector.name} cut at ${size}`);
      framer.settle(true);
      assert.ok(!framer.unfinished);
      assert.deepEqual(bodies(framer.push(request())), [BODY], `${vector.name} cut at ${size}: what comes next is read`);
      parseDatagram(bytes.subarray(0, size));
    }
  }
});

await t.test('mirror: what is read and written again reads the same', async (t) => {
  for (const vector of VECTORS) {
    const framed = parseDatagram(bytesOf(vector));
    if (framed.type !== 'request' && framed.type !== 'response') continue;
    const startLine = framed.type === 'request' ? `${framed.method} ${framed.uri} SIP/2.0` : `SIP/2.0 ${framed.status} ${framed.reason}`;
    const again = parseDatagram(serialise({ startLine, headers: framed.headers, body: framed.body }));
    const unsized = (one: Framed) => ('headers' in one ? { ...one, headers: one.headers.filter((h) => h.name !== 'content-length') } : one);
    t.same(unsized(again), unsized(framed), vector.name);
  }
  const token = fc.stringMatching(/^[a-z][a-z-]{1,20}$/);
  const value = fc.stringMatching(/^[!-~\u00a1-\u00ff]([ -~\u00a1-\u00ff]{0,60}[!-~\u00a1-\u00ff])?$/);
  const extra = fc.array(
    fc.record({ name: token.filter((n) => n !== 'via' && n !== 'content-length'), value }, { noNullPrototype: true }),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(extra, fc.uint8Array({ maxLength: 500 }), (more, body) => {
      const own = parseDatagram(request({ body: '' })) as SipRequest;
      const headers = [...own.headers.filter((one) => one.name !== 'content-length'), ...more];
      const again = new Framer().push(serialise({ startLine: 'MESSAGE sip:a@b SIP/2.0', headers, body }));
      assert.equal(again.length, 1);
      const message = again[0] as SipRequest;
      assert.deepEqual(message.headers.slice(0, -1), headers);
      assert.deepEqual(Buffer.from(message.body), Buffer.from(body));
    }),
    { numRuns: 200 },
  );
  t.equal(
    serialise({ startLine: 'X', headers: [{ name: 'to', value: 'a\r\nEvil: 1' }], body: new Uint8Array() })
      .toString()
      .split('\r\n')[1],
    'To: a  Evil: 1',
  );
});

await t.test('several messages in one segment, and every resync', async (t) => {
  const many = Array.from({ length: 20 }, (_, i) => request({ cseq: i + 1, body: `<mrq>${i}</mrq>` }));
  t.same(
    bodies(new Framer().push(Buffer.concat(many))),
    many.map((_, i) => `<mrq>${i}</mrq>`),
  );
  const after = (before: string | Buffer, wanted = [BODY]) => {
    const framer = new Framer();
    t.same(bodies(framer.push(Buffer.concat([Buffer.from(before), request()]))), wanted, JSON.stringify(before.toString().slice(0, 60)));
    return framer;
  };
  t.equal(after('GET / HTTP/1.1\r\nHost: x\r\n\r\n').takeNoise(), 25);
  after('\u0016\u0003\u0001\u0002\u0000\n');
  after('rq>', [BODY]);
  t.equal(after(Buffer.alloc(100_000, 'a')).takeNoise(), 100_000, 'a line of noise too long to keep');
  after(request().subarray(0, 150), [BODY]);
  after('SIP/2.0 200 OK\r\nVia: x\r\n');
  after(`${'MESSAGE sip:a@b SIP/2.0\r\n'}X: ${'y'.repeat(LIMITS.head + 10)}\r\n\r\n`);
  t.same(
    bodies(new Framer().push(Buffer.concat([request({ length: BODY.length - 3 }), request()]))),
    [BODY.slice(0, -3), BODY],
    'declared too short',
  );
  const framer = new Framer();
  t.match(framer.push(request({ length: 'many' })), [{ type: 'malformed', fault: 'bad-content-length', fatal: true }]);
  t.match(new Framer().push(request({ length: `5\r\nContent-Length: 6` })), [{ fault: 'bad-content-length' }], 'two lengths that differ');
});

await t.test('bodies of undeclared, wrong or enormous length on a stream', async (t) => {
  const undeclared = new Framer();
  t.same(undeclared.push(request({ length: null, body: BODY.slice(0, 20) })), []);
  t.same(bodies(undeclared.push(Buffer.concat([Buffer.from(BODY.slice(20)), request({ length: null })]))), [BODY, BODY]);
  t.same(bodies(new Framer().push(request({ length: null, body: '', method: 'OPTIONS' }))), [], 'a Content-Type without a body waits');
  const waits = new Framer();
  waits.push(request({ length: null, body: '' }));
  t.same(bodies(waits.settle(false)), [''], 'until a lull');

  const long = new Framer();
  t.same(long.push(request({ length: BODY.length + 2 })), []);
  t.ok(long.unfinished);
  t.same(bodies(long.settle(false)), [BODY], 'declared too long: whole XML is taken at a lull');
  const swallowed = new Framer();
  swallowed.push(request({ length: BODY.length + 2000 }));
  t.same(swallowed.push(Buffer.concat([Buffer.from('x\r\n'), request()])), []);
  t.same(bodies(swallowed.settle(false)), [BODY, BODY], 'and what it had swallowed with it');
  const half = new Framer();
  half.push(request().subarray(0, -10));
  t.same(half.settle(false), [], 'half an XML waits on');
  const [cut] = half.settle(true) as SipRequest[];
  t.same([cut?.bodyCut, cut?.body.length], [true, BODY.length - 10]);

  const huge = new Framer();
  const out = huge.push(request({ body: 'x'.repeat(100_000) }));
  t.same(
    out.map((one) => one.type === 'request' && [one.body.length, one.bodyCut]),
    [[LIMITS.body, true]],
  );
  t.same(bodies(huge.push(request())), [BODY], 'what is over the limit is read past');
  t.equal(huge.takeNoise(), 0);
});

await t.test('a body that is declared too long takes nothing from the message behind it, however it is cut', async (t) => {
  const second = BODY.replace('<ref>1', '<ref>2');
  const answer =
    'SIP/2.0 200 OK\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=b\r\nFrom: <sip:a@b>\r\nTo: <sip:c@d>\r\nCall-ID: x\r\nCSeq: 1 MESSAGE\r\n';
  const behind: [string, Buffer][] = [
    ['a MESSAGE', request({ cseq: 2, body: second })],
    ['a MESSAGE behind an empty line', Buffer.concat([Buffer.from('\r\n'), request({ cseq: 2, body: second })])],
    ['a REGISTER', request({ cseq: 2, body: second, method: 'REGISTER' })],
    ['a response', Buffer.concat([Buffer.from(`${answer}Content-Length: 0\r\n\r\n`), request({ cseq: 2, body: second })])],
    [
      'another that is too long',
      Buffer.concat([request({ cseq: 2, body: second, length: second.length + 5 }), request({ method: 'OPTIONS', body: '' })]),
    ],
  ];
  const taken = (framed: readonly Framed[]): string[] =>
    bodies(framed)
      .map((one) => one.trim())
      .filter((one) => one !== '');
  for (const [name, next] of behind) {
    for (const over of [1, 2, 7, 8, 9, 40, 300, 700, 30_000, 100_000]) {
      const bytes = Buffer.concat([request({ length: BODY.length + over }), next]);
      const whole = new Framer();
      t.same(taken(whole.push(bytes)), [BODY, second], `${name}, ${over} too long`);
      t.notOk(whole.unfinished);
      const single = new Framer();
      assert.deepEqual(
        taken([...bytes].flatMap((byte) => single.push(Uint8Array.of(byte)))),
        [BODY, second],
        `${name}, ${over}, in single bytes`,
      );
      for (let size = 0; size < bytes.length; size++) {
        const framer = new Framer();
        const both = [...framer.push(bytes.subarray(0, size)), ...framer.push(bytes.subarray(size))];
        assert.ok(both.every((one) => one.type !== 'malformed'));
        assert.deepEqual(taken(both), [BODY, second], `${name}, ${over} too long, cut at ${size}`);
      }
    }
  }
  for (const [name, body] of [
    ['text behind the root', `${BODY}MESSAGES`],
    ['a line that is no start line', `${BODY}\r\nMESSAGE x\r\n`],
    ['a start line in a value', `<mrq><ite>\r\nMESSAGE sip:a@b SIP/2.0\r\n</ite></mrq>`],
    ['a body that is no XML', 'x <a></a>MESSAGE sip:a@b SIP/2.0\r\n'],
    ['blanks', `  ${BODY}\r\n\r\n`],
    ['nothing but blanks', '\r\n'],
    ['no end', '<mrq>'],
  ] as const)
    t.same(bodies(new Framer().push(Buffer.concat([request({ body }), request()]))), [body, BODY], `${name} belongs to the body`);
  const waits = new Framer();
  t.same(waits.push(request({ body: `${BODY}ME` })), []);
  t.same(bodies(waits.settle(false)), [BODY], 'what may become a start line is waited for until a lull');
});

await t.test('keepalives', async (t) => {
  const framer = new Framer();
  t.same(framer.push(Buffer.from('\r\n')), []);
  t.same(framer.push(Buffer.from('\r\n')), [{ type: 'ping' }]);
  t.same(bodies(framer.push(Buffer.concat([Buffer.from('\r\n'), request()]))), [BODY]);
  t.equal(framer.takeNoise(), 0);
});

await t.test('random bytes harm nobody', async () => {
  const words = fc.constantFrom(
    'MESSAGE sip:a SIP/2.0\r\n',
    'Via: ',
    'Content-Length: 9\r\n',
    '\r\n',
    '\r\n\r\n',
    'SIP/2.0 200 \r\n',
    '<mrq>',
    ' ',
    ':',
    ';',
    '"',
    '<',
  );
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    words.map((word) => Buffer.from(word)),
  );
  const input = fc.array(part, { maxLength: 40 }).map((parts) => Buffer.concat(parts));
  fc.assert(
    fc.property(input, fc.integer({ min: 1, max: 50 }), (bytes, step) => {
      parseDatagram(bytes);
      const framer = new Framer();
      for (let at = 0; at < bytes.length; at += step) framer.push(bytes.subarray(at, at + step));
      framer.settle(true);
      framer.settle(true);
      assert.ok(!framer.unfinished);
      assert.equal(bodies(framer.push(request())).at(-1), BODY);
    }),
    { numRuns: 1000 },
  );
});

await t.test('20 MB of noise, and lines made to be slow', async (t) => {
  const framer = new Framer();
  const noise = Buffer.alloc(65_536);
  for (let i = 0; i < noise.length; i++) noise[i] = (i * 7919 + (i >> 8)) & 0xff;
  for (let i = 0; i < 320; i++) framer.push(noise);
  framer.settle(true);
  t.ok(framer.takeNoise() > 19_000_000);
  t.same(bodies(framer.push(request())), [BODY]);
  const slow = [
    'MESSAGE' + ' '.repeat(60_000),
    'Via: SIP/2.0/UDP' + ' '.repeat(16_000),
    `Via: SIP/2.0/UDP a${';received='.repeat(1600)}`,
    '<'.repeat(30_000),
    '</'.repeat(15_000),
  ];
  for (const line of slow) {
    const begun = process.hrtime.bigint();
    parseDatagram(Buffer.from(`${line}\r\n\r\n`));
    parseDatagram(request({ extra: `${line}\r\n` }));
    new Framer().push(request({ length: null, body: line }));
    receivedVia(line.slice(5), { address: '192.0.2.7', port: 1 });
    t.ok(process.hrtime.bigint() - begun < 500_000_000n, line.slice(0, 20));
  }
});

await t.test('addresses', async (t) => {
  t.same(parseNameAddress('"A <b>;tag=no" <sip:x@y;lr>;tag=t1;z'), { uri: 'sip:x@y;lr', tag: 't1' });
  t.same(parseNameAddress('sip:x@y;tag=t2'), { uri: 'sip:x@y', tag: 't2' });
  t.same(parseNameAddress('"a \\" <" <sip:x@y> ; TAG = t3'), { uri: 'sip:x@y', tag: 't3' });
  t.same(parseNameAddress('<sip:x@y>'), { uri: 'sip:x@y', tag: null });
  t.same(parseNameAddress('<sip:x'), { uri: '<sip:x', tag: null });
  t.same(parseNameAddress(''), { uri: null, tag: null });
  t.same(parseUri('sip:26317:pw@host:5060;lr?x=y'), { scheme: 'sip', user: '26317', hostPort: 'host:5060' });
  t.same(parseUri('SIP:%32%3@[2001:db8::1]:5060'), { scheme: 'sip', user: '2%3', hostPort: '[2001:db8::1]:5060' });
  t.same(parseUri('sip:host'), { scheme: 'sip', user: null, hostPort: 'host' });
  t.same(parseUri('sip:@host'), { scheme: 'sip', user: null, hostPort: 'host' });
  t.same(parseUri('tel:+4751;x'), { scheme: 'tel', user: '+4751', hostPort: '' });
  t.equal(parseUri('nothing'), null);
  t.same(parseVia('SIP / 2.0 / udp  Host:5060 ; Branch = z9 ; rport'), {
    transport: 'UDP',
    sentBy: 'host:5060',
    branch: 'z9',
    rport: true,
  });
  t.equal(parseVia('x'), null);
  t.same(splitList('a, "b,c" ,<d,e>,,'), ['a', '"b,c"', '<d,e>']);
  t.equal(parameters('x;a=1;A=2;b').get('a'), '1');
  const source = { address: '203.0.113.9', port: 4321 };
  t.equal(receivedVia('SIP/2.0/UDP 10.0.0.5;rport;branch=b', source), 'SIP/2.0/UDP 10.0.0.5;rport=4321;branch=b;received=203.0.113.9');
  t.equal(receivedVia('SIP/2.0/UDP 10.0.0.5;received=1.2.3.4;rport=9', source), 'SIP/2.0/UDP 10.0.0.5;rport=4321;received=203.0.113.9');
  t.equal(receivedVia('SIP/2.0/UDP 203.0.113.9:5060;branch=b', source), 'SIP/2.0/UDP 203.0.113.9:5060;branch=b');
  t.ok(writableUri('sip:a@b:5060;transport=tcp'));
  for (const uri of ['sip:a>b', 'sip:a b', 'nothing', 'sip:a"b', 'sip:\u00e5']) t.notOk(writableUri(uri), uri);
  t.same(['i', 'L', 'Call-ID', 'z'].map(headerName), ['call-id', 'content-length', 'call-id', 'z']);
  t.same(['call-id', 'cseq', 'max-forwards', 'retry-after'].map(writtenName), ['Call-ID', 'CSeq', 'Max-Forwards', 'Retry-After']);
  t.match(parseStartLine('OPTIONS  sip:a b  sip/2.0 '), { method: 'OPTIONS', uri: 'sip:a b', version: '2.0' });
  for (const line of ['', ' MESSAGE sip:a SIP/2.0', 'MESSAGE SIP/2.0', 'ME:SSAGE a SIP/2.0', 'SIP/2.0 20 OK', 'SIP/2.0'])
    t.equal(parseStartLine(line), null, line);
  t.equal(findStartLine('xx</mrq>MESSAGE sip:a@b SIP/2.0\r'), 8);
  t.equal(findStartLine('xx SIP/2.0 200 OK'), 3);
  for (const line of ['X-Note: a SIP/2.0', 'FETCH sip:a SIP/2.0', 'SIP/2.0 abc', 'MESSAGE b SIP/2.0'])
    t.equal(findStartLine(line), -1, line);
});

interface Held {
  readonly request: SipRequest;
  readonly send: SendRequest;
  readonly answer: (answer: MessageAnswer) => void;
  readonly fail: (error: Error) => void;
}

/** A core with a flow in memory; MESSAGEs are held until the test answers them. */
function bench(transport: Transport = 'udp') {
  const clock = new MovableClock();
  const held: Held[] = [];
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  let serial = 0;
  const random = (size: number) => new Uint8Array(size).fill(++serial);
  const core = new SipCore({
    clock,
    log,
    random,
    accepts: 'application/scaip+xml',
    handle: (one, _flow, send) => new Promise((answer, fail) => held.push({ request: one, send, answer, fail })),
  });
  const sent: string[] = [];
  const counters = noCounts();
  const flow = flowOf(5060);
  function flowOf(port: number): Flow {
    const send = (bytes: Uint8Array) => void sent.push(Buffer.from(bytes).toString('latin1'));
    return {
      transport,
      remote: { address: '203.0.113.9', port },
      local: { address: '0.0.0.0', port: 5060 },
      open: true,
      answers: new AnswerLane(send, transport !== 'udp'),
      send,
    };
  }
  const receive = (bytes: Buffer, via = flow) => core.receive(parseDatagram(bytes), via, counters);
  const settled = () => new Promise((resolve) => setImmediate(resolve));
  return { clock, core, held, lines, sent, counters, flow, flowOf, receive, settled };
}
const OK = { status: 200, reason: 'OK' };

await t.test('a retransmission waits while the answer is under way, then gets the same, until timer J', async (t) => {
  const { clock, held, sent, counters, receive, settled } = bench();
  receive(request());
  receive(request());
  await settled();
  t.equal(held.length, 1);
  t.same(sent, [], 'nothing before the answer');
  held[0]?.answer(OK);
  await settled();
  t.equal(sent.length, 1);
  t.match(sent[0], /^SIP\/2\.0 200 OK\r\nVia: SIP\/2\.0\/UDP 10\.0\.0\.5:5060;branch=z9hG4bK-0001;rport=5060;received=203\.0\.113\.9\r\n/);
  t.match(sent[0], /\r\nTo: <sip:alarm@192\.0\.2\.1>;tag=[0-9a-f]{16}\r\nCall-ID: c\r\nCSeq: 1 MESSAGE\r\nContent-Length: 0\r\n\r\n$/);
  await clock.advance(31_000);
  receive(request());
  t.same([held.length, sent.length, sent[1] === sent[0]], [1, 2, true]);
  await clock.advance(1_000);
  receive(request());
  t.equal(held.length, 2, 'forgotten after 32 s');
  t.match(counters, { messages: 2, retransmissions: 2 });
});

await t.test('every part of the key makes another message', async (t) => {
  const { held, receive, flowOf } = bench();
  receive(request());
  receive(request({ cseq: 2 }));
  receive(request({ callId: 'd' }));
  receive(request({ branch: 'z9hG4bK-0002' }));
  receive(request({ tag: '1' }));
  receive(request({ body: BODY.replace('<ref>1', '<ref>2') }));
  receive(request(), flowOf(5061));
  t.equal(held.length, 7);
  receive(request({ cseq: 2 }));
  t.equal(held.length, 7);
});

await t.test('a handler that fails, and one that is too late, get 503 and no second answer', async (t) => {
  const { clock, held, lines, sent, receive, settled } = bench();
  receive(request());
  held[0]?.fail(new Error('broken'));
  await settled();
  t.match(sent, [/^SIP\/2\.0 503 .*\r\nRetry-After: 5\r\n/s]);
  t.match(lines, [/sip-message-failed/]);
  receive(request({ cseq: 2 }));
  await clock.advance(20_000);
  t.match(sent[1], /^SIP\/2\.0 503/);
  let afterwards = false;
  held[1]?.answer({ ...OK, afterwards: () => (afterwards = true) });
  await settled();
  t.same([sent.length, afterwards], [2, false]);
});

await t.test('answers on a stream leave in the order of the requests, twice for one that came twice', async (t) => {
  const { held, sent, receive, settled } = bench('tcp');
  for (const cseq of [1, 2, 2, 3]) receive(request({ cseq }));
  receive(request({ method: 'OPTIONS', cseq: 9 }));
  t.equal(held.length, 3);
  const order: string[] = [];
  held[2]?.answer({ ...OK, afterwards: () => order.push(`after 3 at ${sent.length}`) });
  held[1]?.answer(OK);
  await settled();
  t.same(sent, []);
  held[0]?.answer({ status: 503, reason: 'No' });
  await settled();
  t.same(
    sent.map((one) => `${one.slice(8, 11)} ${/CSeq: (\d)/.exec(one)?.[1]}`),
    ['503 1', '200 2', '200 2', '200 3', '200 9'],
  );
  t.same(order, ['after 3 at 4']);
  receive(request());
  t.equal(held.length, 4, 'no memory of answered requests: a stream does not retransmit');
});

await t.test('other methods, malformed requests, stray responses', async (t) => {
  const { sent, counters, receive, held } = bench();
  const answers = (...bytes: Buffer[]) => {
    sent.length = 0;
    for (const one of bytes) receive(one);
    return sent.map((one) => one.split('\r\n')[0]);
  };
  t.same(answers(request({ method: 'OPTIONS' })), ['SIP/2.0 200 OK']);
  t.match(sent[0], /\r\nAllow: MESSAGE, OPTIONS\r\nAccept: application\/scaip\+xml\r\n/);
  t.same(answers(request({ method: 'INVITE' }), request({ method: 'ACK' })), ['SIP/2.0 480 Temporarily Unavailable']);
  t.same(answers(request({ method: 'BYE' }), request({ method: 'CANCEL' })), Array(2).fill('SIP/2.0 481 Call/Transaction Does Not Exist'));
  t.same(answers(request({ method: 'REGISTER' }), request({ method: 'FETCH' })), Array(2).fill('SIP/2.0 405 Method Not Allowed'));
  t.match(sent[1], /\r\nAllow: MESSAGE, OPTIONS\r\n/);
  for (const vector of VECTORS.filter((one) => one.expect.type === 'malformed')) {
    const status = vector.expect['fault'] === 'wrong-version' ? 505 : 400;
    t.match(answers(bytesOf(vector)), [new RegExp(`^SIP/2.0 ${status} `)], vector.name);
  }
  t.same(answers(Buffer.from(request({ method: 'ACK' }).toString().replace('Call-ID', 'X'))), [], 'a broken ACK is not answered');
  t.same(answers(Buffer.from('noise\r\n'), bytesOf(VECTORS.find((one) => one.expect.type === 'response')!)), []);
  t.equal(counters.strayResponses, 1);
  t.equal(held.length, 0);
});

await t.test('our own MESSAGE: timers E and F over UDP, one sending over a stream', async (t) => {
  const own = {
    method: 'MESSAGE',
    uri: 'sip:26317@203.0.113.9:5060',
    from: '<sip:alarm@x>',
    to: '<sip:26317@x>',
    headers: [],
    body: Buffer.from('<mrs/>'),
  };
  const times = async (transport: Transport, answerAt: number | null, status = 200) => {
    const { clock, core, held, sent, flow, receive, settled, counters } = bench(transport);
    receive(request());
    held[0]?.answer(OK);
    await settled();
    sent.length = 0;
    let outcome: unknown = null;
    void held[0]?.send(flow, own, 'sip:alarm@centre.example:5060').then((one) => (outcome = one));
    const at: number[] = [];
    for (let ms = 0; ms <= 40_000 && outcome === null; ms += 500) {
      while (at.length < sent.length) at.push(ms);
      if (ms === answerAt) core.receive(parseDatagram(Buffer.from(sent[0]!.replace(/^MESSAGE.*/, `SIP/2.0 ${status} X`))), flow, counters);
      await settled();
      await clock.advance(500);
    }
    return { at, outcome, first: sent[0] ?? '' };
  };
  const silent = await times('udp', null);
  t.same(silent.at, [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]);
  t.same(silent.outcome, { status: null, why: 'no-answer' });
  t.match(
    silent.first,
    /^MESSAGE sip:26317@203\.0\.113\.9:5060 SIP\/2\.0\r\nVia: SIP\/2\.0\/UDP centre\.example:5060;branch=z9hG4bK[0-9a-f]{24};rport\r\nMax-Forwards: 70\r\n/,
  );
  t.match(await times('udp', 1000), { at: [0, 500], outcome: { status: 200 } });
  t.match(await times('udp', 500, 100), { at: [0, 500, 1500, 5500], outcome: { status: null } }, 'a provisional answer slows down');
  t.match(await times('tcp', null), { at: [0], outcome: { why: 'no-answer' } });
  t.match(await times('tcp', 500, 481), { outcome: { status: 481 } });
  const gone = bench('tcp');
  gone.receive(request());
  const ended = gone.held[0]?.send(gone.flow, own, 'sip:x');
  gone.core.flowGone(gone.flow);
  t.same(await ended, { status: null, why: 'flow-gone' });
  t.same(await gone.held[0]?.send({ ...gone.flow, open: false }, own, 'sip:x'), { status: null, why: 'flow-gone' });
});

await t.test('draining: new messages get 503, what is in hand its answer', async (t) => {
  const { core, held, sent, receive, settled } = bench();
  receive(request());
  core.drain();
  let idle = false;
  void core.idle().then(() => (idle = true));
  receive(request());
  receive(request({ cseq: 2 }));
  t.match(sent, [/^SIP\/2\.0 503/]);
  await settled();
  t.notOk(idle);
  held[0]?.answer(OK);
  await settled();
  t.ok(idle);
  t.match(sent[1], /^SIP\/2\.0 200/);
});

await t.test('the page on SIP says what the code does', async (t) => {
  const page = readFileSync(new URL('../../docs/protocols/sip.md', import.meta.url), 'utf8');
  for (const [fault, { status }] of Object.entries(FAULT_ANSWERS)) t.ok(page.includes(`| \`${fault}\` | ${status} |`), fault);
  for (const method of ['INVITE', 'BYE', 'CANCEL', 'REGISTER'])
    t.ok(page.includes(`| \`${method}\` | ${answerByMethod(method)?.status}`), method);
  t.ok(page.includes('| `ACK` | none |') && answerByMethod('ACK') === null);
  for (const [row, limit] of [
    ['start line', LIMITS.startLine],
    ['head', LIMITS.head],
    ['headers', LIMITS.headers],
    ['body kept', LIMITS.body],
  ])
    t.match(page, new RegExp(`\\| ${row} \\| ${limit}( bytes)? \\|`), String(row));
});
