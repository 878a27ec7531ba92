/** What SIP needs besides MESSAGE, without sockets: digest, registration, calls, transaction keys, under a movable clock. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import t from 'tap';
import { MovableClock, minutes, seconds } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { allow } from '../../src/protocols/sip/answers.ts';
import { type CoreOptions, type SendRequest, SipCore, noCounts } from '../../src/protocols/sip/core.ts';
import { DigestGate, NONCE_LIFE, digestResponse, ha1, parseDigest } from '../../src/protocols/sip/digest.ts';
import { AnswerLane, type Flow, type Transport } from '../../src/protocols/sip/flow.ts';
import type { SipRequest } from '../../src/protocols/sip/message.ts';
import { parseDatagram } from '../../src/protocols/sip/parse.ts';
import { type Binding, EXPIRES, Registrar, readRegistration } from '../../src/protocols/sip/registrar.ts';
import type { Answer } from '../../src/protocols/sip/write.ts';

interface Parts {
  readonly method?: string;
  readonly uri?: string;
  readonly cseq?: number;
  readonly callId?: string;
  /** null: none. */
  readonly branch?: string | null;
  readonly tag?: string | null;
  readonly to?: string;
  readonly body?: string;
  readonly extra?: readonly string[];
}
function bytesOf(parts: Parts = {}): Buffer {
  const { method = 'MESSAGE', uri = 'sip:alarm@192.0.2.1', cseq = 1, callId = 'c', branch = 'z9hG4bK-0001', tag = '286524' } = parts;
  const { to = '<sip:alarm@192.0.2.1>', body = '', extra = [] } = parts;
  return Buffer.from(
    [
      `${method} ${uri} SIP/2.0`,
      `Via: SIP/2.0/UDP 10.0.0.5:5060;rport${branch === null ? '' : `;branch=${branch}`}`,
      `From: <sip:26317@10.0.0.5>${tag === null ? '' : `;tag=${tag}`}`,
      `To: ${to}`,
      `Call-ID: ${callId}`,
      `CSeq: ${cseq} ${method}`,
      ...extra,
      `Content-Length: ${Buffer.byteLength(body)}`,
      '',
      body,
    ].join('\r\n'),
    'latin1',
  );
}
function requestOf(parts: Parts = {}): SipRequest {
  const framed = parseDatagram(bytesOf(parts));
  assert.equal(framed.type, 'request');
  return framed as SipRequest;
}
const settled = () => new Promise((resolve) => setImmediate(resolve));
let serial = 0;
/** Never the same twice. */
const random = (size: number) => createHash('shake256', { outputLength: size }).update(String(++serial)).digest();

function flowOf(transport: Transport, sent: string[], port = 5060): Flow & { open: boolean } {
  const send = (bytes: Uint8Array) => void sent.push(Buffer.from(bytes).toString('latin1'));
  return {
    transport,
    remote: { address: '203.0.113.9', port },
    local: { address: '192.0.2.1', port: 5060 },
    open: true,
    answers: new AnswerLane(send, transport !== 'udp'),
    send,
  };
}
/** `200 MESSAGE` of each answer. */
const short = (sent: readonly string[]): string[] =>
  sent.map((one) => `${/^SIP\/2\.0 (\d+)/.exec(one)?.[1] ?? 'request'} ${/\r\nCSeq: (.*)/.exec(one)?.[1] ?? ''}`);

// ---- digest ----

const md5 = (text: string) => createHash('md5').update(text, 'latin1').digest('hex');
const sha256 = (text: string) => createHash('sha256').update(text, 'latin1').digest('hex');

await t.test('digest: the examples of RFC 2617 § 3.5 and RFC 7616 § 3.9.1', async (t) => {
  const old = { method: 'GET', uri: '/dir/index.html', nonce: 'dcd98b7102dd2f0e8b11d0f600bfb0c093' };
  const mufasa = ha1('MD5', 'Mufasa', 'testrealm@host.com', 'Circle Of Life');
  t.equal(mufasa, '939e7578ed9e3c518a452acee763bce9');
  const counted = { nc: '00000001', cnonce: '0a4f113b' };
  t.equal(digestResponse('MD5', mufasa, { ...old, counted }), '6629fae49393a05397450978507c4ef1');
  t.equal(digestResponse('MD5', mufasa, { ...old, counted: null }), '670fd8c2df070c60b045671b8b24ff02', 'the form without qop');

  const realm = 'http-auth@example.org';
  const nonce = '7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v';
  const secrets = { md5: ha1('MD5', 'Mufasa', realm, 'Circle of Life'), sha256: ha1('SHA-256', 'Mufasa', realm, 'Circle of Life') };
  const gate = new DigestGate({ clock: new MovableClock(), random, realm });
  const answers: [string, string][] = [
    ['MD5', '8ca523f5e9506fed4657c9700eebdbec'],
    ['SHA-256', '753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1'],
  ];
  for (const [algorithm, response] of answers) {
    const header = (answer = response) =>
      `Authorization: Digest username="Mufasa", realm="${realm}", uri="/dir/index.html", algorithm=${algorithm}, nonce="${nonce}", ` +
      `nc=00000001, cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, response="${answer}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`;
    const get = (value: string) => requestOf({ method: 'GET', uri: '/dir/index.html', extra: [value] });
    // Right, though for a nonce that is not ours: that is what `stale` means.
    t.equal(gate.verify(get(header()), secrets), 'stale', algorithm);
    t.equal(gate.verify(get(header(`0${response.slice(1)}`)), secrets), 'wrong', algorithm);
    t.equal(gate.username(get(header())), 'Mufasa');
  }
});

const REALM = 'responssenter';
const SECRET = 'hO7Jc2b1x0nZ3kq9';
const SECRETS = { md5: md5(`26317:${REALM}:${SECRET}`), sha256: sha256(`26317:${REALM}:${SECRET}`) };

/** A device that can do digest: answers what a challenge says. */
function device(nonce: string) {
  interface Answering {
    readonly algorithm?: 'MD5' | 'SHA-256';
    readonly nc?: number;
    readonly cnonce?: string;
    readonly uri?: string;
    readonly legacy?: boolean;
    readonly realm?: string;
    readonly username?: string;
    readonly secret?: string;
    readonly method?: string;
    readonly nonce?: string;
  }
  return (options: Answering = {}): Record<string, string> => {
    const { algorithm = 'SHA-256', nc = 1, cnonce = '0a4f113b', uri = 'sip:alarm@192.0.2.1', legacy = false } = options;
    const { realm = REALM, username = '26317', secret = SECRET, method = 'MESSAGE' } = options;
    const hash = algorithm === 'MD5' ? md5 : sha256;
    const count = nc.toString(16).padStart(8, '0');
    const used = options.nonce ?? nonce;
    const middle = legacy ? used : `${used}:${count}:${cnonce}:auth`;
    const response = hash(`${hash(`${username}:${realm}:${secret}`)}:${middle}:${hash(`${method}:${uri}`)}`);
    return {
      username: `"${username}"`,
      realm: `"${realm}"`,
      nonce: `"${used}"`,
      uri: `"${uri}"`,
      response: `"${response}"`,
      algorithm,
      ...(legacy ? {} : { cnonce: `"${cnonce}"`, nc: count, qop: 'auth' }),
    };
  };
}
const written = (given: Record<string, string>, header = 'Authorization'): string =>
  `${header}: Digest ${Object.entries(given)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ')}`;
const without = (given: Record<string, string>, ...names: string[]): Record<string, string> =>
  Object.fromEntries(Object.entries(given).filter(([name]) => !names.includes(name)));
const nonceOf = (gate: DigestGate): string => /nonce="([^"]+)"/.exec(gate.challenge(false)[0]?.value ?? '')?.[1] ?? '';

function gateBench() {
  const clock = new MovableClock();
  const gate = new DigestGate({ clock, random, realm: REALM });
  const nonce = nonceOf(gate);
  const verify = (given: Record<string, string> | string[], more: Parts = {}) =>
    gate.verify(requestOf({ ...more, extra: Array.isArray(given) ? given : [written(given)] }), SECRETS);
  return { clock, gate, nonce, verify, answer: device(nonce) };
}

await t.test('digest: the challenge', async (t) => {
  const { gate } = gateBench();
  const fresh = gate.challenge(false);
  t.same(
    fresh.map(({ name, value }) => `${name}: ${value.replace(/nonce="[\w-]{40}"/, 'nonce=""')}`),
    [
      'www-authenticate: Digest realm="responssenter", nonce="", algorithm=SHA-256, qop="auth"',
      'www-authenticate: Digest realm="responssenter", nonce="", algorithm=MD5, qop="auth"',
    ],
  );
  for (const { value } of gate.challenge(true)) t.match(value, /, stale=true$/);
  t.not(nonceOf(gate), nonceOf(gate), 'each has a nonce of its own');
  t.same(
    gate.challenge(false, ['MD5']).map(({ value }) => /algorithm=([^,]*)/.exec(value)?.[1]),
    ['MD5'],
    'for a device that knows no other',
  );
});

await t.test('digest: what devices make of it', async (t) => {
  const { gate, verify, answer } = gateBench();
  let nc = 0;
  const next = (more: Parameters<typeof answer>[0] = {}) => answer({ ...more, nc: ++nc });
  const cases: [string, string, Record<string, string> | string[], Parts?][] = [
    ['SHA-256', 'valid', next()],
    ['MD5', 'valid', next({ algorithm: 'MD5' })],
    ['no algorithm is MD5', 'valid', without(next({ algorithm: 'MD5' }), 'algorithm')],
    ['algorithm quoted, lower case', 'valid', { ...next(), algorithm: '"sha-256"' }],
    ['qop and nc quoted', 'valid', { ...next(), qop: '"auth"', nc: `"${nc.toString(16).padStart(8, '0')}"` }],
    ['response in capitals', 'valid', ((given) => ({ ...given, response: given['response']?.toUpperCase() ?? '' }))(next())],
    ['without qop', 'valid', answer({ legacy: true, algorithm: 'MD5' })],
    ['qop empty', 'valid', { ...answer({ legacy: true }), qop: '""' }],
    ['as for a proxy', 'valid', [written(next(), 'Proxy-Authorization')]],
    ['scheme in lower case, blanks', 'valid', [written(next()).replace('Digest', ' digest ').replaceAll(', ', ' ,\t')]],
    ['names in capitals', 'valid', Object.fromEntries(Object.entries(next()).map(([name, value]) => [name.toUpperCase(), value]))],
    ['values without quotes', 'valid', Object.fromEntries(Object.entries(next()).map(([n, value]) => [n, value.replaceAll('"', '')]))],
    ['another realm before ours', 'valid', [written({ ...next(), realm: '"elsewhere"' }), written(next())]],
    ['both algorithms, one wrong', 'valid', [written({ ...next(), response: '"00"' }), written(next({ algorithm: 'MD5' }))]],
    ['another scheme before ours', 'valid', ['Authorization: Basic MjYzMTc6eA==', written(next())]],
    ['cnonce with a quote, hashed as meant', 'valid', { ...next({ cnonce: 'a"b' }), cnonce: '"a\\"b"' }],
    ['cnonce with a quote, hashed as written', 'valid', next({ cnonce: 'a\\"b' })],
    ['a comma inside quotes', 'valid', next({ cnonce: 'a,response=b' })],
    ['bytes that are no ASCII', 'valid', next({ cnonce: '\u00e5\u00ff' })],
    ['uri with another host', 'valid', next({ uri: 'sip:alarm@centre.example:5061;transport=tls' })],
    ['uri without a user', 'valid', next({ uri: 'sip:192.0.2.1' })],
    ['uri that is none', 'valid', next({ uri: '*' })],
    ['Request-URI without a user', 'valid', next(), { uri: 'sip:192.0.2.1' }],
    ['uri for somebody else', 'wrong', next({ uri: 'sip:boss@192.0.2.1' })],
    ['another secret', 'wrong', next({ secret: 'guess' })],
    ['another method', 'wrong', next({ method: 'REGISTER' })],
    ['qop auth-int', 'wrong', { ...next(), qop: 'auth-int' }],
    ['MD5-sess', 'wrong', { ...next({ algorithm: 'MD5' }), algorithm: 'MD5-sess' }],
    ['no nc', 'wrong', without(next(), 'nc')],
    ['nc that is no number', 'wrong', { ...next(), nc: 'xyz' }],
    ['no response', 'wrong', without(next(), 'response')],
    ['an empty response', 'wrong', { ...next(), response: '""' }],
    ['no nonce', 'wrong', without(next(), 'nonce')],
    ['nothing but the realm and a name', 'wrong', { username: 'x', realm: REALM }],
    ['a name of 64 characters', 'wrong', { ...next(), username: `"${'9'.repeat(64)}"`, response: '"00"' }],
    ['a name of 65 characters', 'absent', { ...next(), username: `"${'9'.repeat(65)}"` }],
    ['another realm', 'absent', next({ realm: 'elsewhere' })],
    ['no realm', 'absent', without(next(), 'realm')],
    ['nothing', 'absent', []],
    ['an empty header', 'absent', ['Authorization: ', 'Authorization: Digest', 'Authorization: Digest ,,,']],
    ['a quote that does not end', 'absent', ['Authorization: Digest realm="responssenter']],
  ];
  for (const [name, verdict, given, more] of cases) t.equal(verify(given, more), verdict, name);
  const name = (...extra: string[]) => gate.username(requestOf({ extra }));
  t.equal(name(written({ ...next(), username: '"26\\317"' })), '26317');
  t.equal(name(written({ ...next(), realm: '"x"' }), written({ ...next(), username: '"other"' })), 'other');
  t.equal(name(), null);
  t.equal(
    gate.verify(requestOf({ extra: [written({ ...next({ secret: 'guess' }), username: '"other"' }), written(next())] }), SECRETS),
    'wrong',
    'two names in one request: the first is the one that was looked up',
  );
});

await t.test('digest: age, replay, and a retransmission that is none', async (t) => {
  const { clock, gate, nonce, verify, answer } = gateBench();
  const first = answer({ nc: 1 });
  t.equal(verify(first, { body: 'a' }), 'valid');
  t.equal(verify(first, { body: 'a' }), 'valid', 'the very same request again');
  t.equal(verify(first, { body: 'b' }), 'stale', 'another body');
  t.equal(verify(first, { body: 'a', cseq: 2 }), 'stale', 'another CSeq');
  t.equal(verify(first, { body: 'a', callId: 'd' }), 'stale', 'another Call-ID');
  t.equal(verify(answer({ nc: 3 })), 'valid');
  t.equal(verify(answer({ nc: 2 })), 'valid', 'overtaken on its way');
  t.equal(verify(answer({ nc: 2, cnonce: 'other' })), 'stale', 'a count is good once');
  for (let nc = 4; nc <= 20; nc++) assert.equal(verify(answer({ nc })), 'valid');
  t.equal(verify(answer({ nc: 1 })), 'stale', 'counts that are forgotten are used up');
  t.equal(verify(answer({ nc: 0xffffffff })), 'valid');

  const second = device(nonceOf(gate));
  t.equal(verify(second({ nc: 1 })), 'valid', 'each nonce has its own count');
  await clock.advance(NONCE_LIFE - 1);
  t.equal(verify(answer({ nc: 30 })), 'valid');
  t.equal(verify(answer({ legacy: true }), { cseq: 9 }), 'valid');
  t.equal(verify(answer({ legacy: true }), { cseq: 10 }), 'valid', 'without qop there is nothing to count');
  await clock.advance(1);
  for (const legacy of [true, false]) t.equal(verify(answer({ nc: 31, legacy })), 'stale', 'five minutes old');
  t.equal(verify(answer({ nc: 31, secret: 'guess' })), 'wrong', 'stale is only who knows the secret');

  const foreign = nonceOf(new DigestGate({ clock, random, realm: REALM }));
  const tampered = `${nonce.slice(0, 9)}${nonce[9] === 'A' ? 'B' : 'A'}${nonce.slice(10)}`;
  for (const other of [foreign, tampered, nonce.slice(1), `${nonce}A`, '', 'x'.repeat(4000)])
    t.equal(verify(answer({ nonce: other })), 'stale', 'as after a restart');
});

await t.test('digest: the memory of counts is bounded, and forgetting opens no door', async (t) => {
  const { clock, gate, verify, answer } = gateBench();
  t.equal(verify(answer()), 'valid');
  await clock.advance(1000);
  let last = answer;
  for (let i = 0; i < 20_000; i++) {
    last = device(nonceOf(gate));
    verify(last({ algorithm: 'MD5' }));
  }
  t.equal(verify(answer({ nc: 2 })), 'stale', 'the oldest is forgotten: none of its counts is good any more');
  t.equal(verify(answer({ nc: 1 })), 'stale');
  t.equal(verify(last({ nc: 2 })), 'valid');
  await clock.advance(NONCE_LIFE);
  t.equal(verify(device(nonceOf(gate))()), 'valid');
});

await t.test('digest: any bytes are read, none is believed', async () => {
  const { gate, nonce } = gateBench();
  const words = fc.constantFrom(
    'Digest ',
    'realm="responssenter"',
    'username="26317"',
    'nonce=',
    `"${nonce}"`,
    'response=',
    '"',
    '\\',
    ',',
    '=',
  );
  const text = fc.array(fc.oneof(words, fc.string({ maxLength: 20, unit: 'binary-ascii' })), { maxLength: 25 }).map((all) => all.join(''));
  fc.assert(
    fc.property(text, text, (value, other) => {
      parseDigest(value);
      const headers = [
        { name: 'authorization', value: `Digest realm="responssenter", username="1", ${value}` },
        { name: 'proxy-authorization', value: other },
      ];
      gate.username({ ...requestOf(), headers });
      assert.notEqual(gate.verify({ ...requestOf(), headers }, SECRETS), 'valid');
    }),
    { numRuns: 1000 },
  );
  const name = fc.stringMatching(/^[a-z][a-z-]{0,15}$/);
  const given = fc.uniqueArray(fc.tuple(name, fc.stringMatching(/^[!#-[\]-~ ]{0,30}$/)), { maxLength: 20, selector: ([one]) => one });
  fc.assert(
    fc.property(given, (pairs) => {
      const value = `Digest ${pairs.map(([one, content]) => `${one}="${content}"`).join(', ')}`;
      assert.deepEqual([...(parseDigest(value) ?? [])], pairs);
    }),
    { numRuns: 300 },
  );
  for (const slow of ['"', '\\', 'a=', 'a="', ' ', ',', 'a', 'a="\\', '\\"']) {
    const begun = process.hrtime.bigint();
    parseDigest(`Digest ${slow.repeat(16_000)}`);
    parseDigest(`Digest a="${slow.repeat(16_000)}`);
    assert.ok(process.hrtime.bigint() - begun < 50_000_000n, slow);
  }
});

// ---- registration ----

function registrarBench(kept: readonly Binding[] = []) {
  const clock = new MovableClock(Date.UTC(2026, 10, 22, 22, 0, 0));
  const rows = new Map(kept.map((one) => [one.unit, one]));
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  const away = { now: false };
  const gates: (() => void)[] = [];
  const slow = { now: false };
  const work = async (run: () => void): Promise<void> => {
    if (slow.now) await new Promise<void>((resolve) => gates.push(resolve));
    if (away.now) throw new Error('store away');
    run();
  };
  const store = {
    load: async () => [...rows.values()],
    save: (one: Binding) => work(() => rows.set(one.unit, one)),
    remove: (unit: string) => work(() => rows.delete(unit)),
  };
  const sent: string[] = [];
  const reached: string[] = [];
  const udpFlowTo = ({ address, port }: { address: string; port: number }) => {
    reached.push(`${address}:${port}`);
    return flowOf('udp', sent, port);
  };
  const registrar = new Registrar({ clock, log, store, udpFlowTo });
  const flow = flowOf('udp', sent);
  let cseq = 0;
  const register = (extra: readonly string[], more: Parts = {}, via: Flow = flow, unit = '26317') =>
    registrar.register(unit, requestOf({ method: 'REGISTER', cseq: ++cseq, ...more, extra }), via);
  return { clock, registrar, register, rows, lines, away, slow, gates, reached, flow, sent };
}
const written200 = (answer: Answer): string =>
  `${answer.status} ${(answer.headers ?? [])
    .filter(({ name }) => name !== 'date')
    .map(({ name, value }) => `${name}: ${value}`)
    .join(' ')}`.trim();
const CONTACT = 'Contact: <sip:26317@10.0.0.5:5060>';
const bound = (left: number): string => `200 contact: <sip:26317@10.0.0.5:5060>;expires=${left}`;

await t.test('REGISTER: what is asked for, and what is granted', async (t) => {
  const cases: [string, string, readonly string[]][] = [
    ['no Expires: the usual', bound(3600), [CONTACT]],
    ['Expires', bound(600), [CONTACT, 'Expires: 600']],
    ['the Contact knows better', bound(900), [`${CONTACT};expires=900`, 'Expires: 600']],
    ['compact, without brackets', bound(120), ['m: sip:26317@10.0.0.5:5060;expires=120']],
    ['more than we grant', bound(7200), [CONTACT, 'Expires: 4294967295']],
    ['the least', bound(60), [CONTACT, 'Expires: 60']],
    ['less than that', '423 min-expires: 60', [CONTACT, 'Expires: 59']],
    ['no number', bound(3600), [CONTACT, 'Expires: soon']],
    ['several: one that stays', bound(600), ['Contact: <sip:old@10.0.0.4>;expires=0, <sip:26317@10.0.0.5:5060>;expires=600']],
    ['several headers', bound(600), ['Contact: <sip:old@10.0.0.4>;expires=0', `${CONTACT};expires=600`]],
    ['parameters and a name', bound(600), [`Contact: "A, b" <sip:26317@10.0.0.5:5060>;+sip.instance="<urn:uuid:1>";expires=600;q=1`]],
    ['nothing: a question', '200', []],
    ['nothing there to remove', '200', [CONTACT, 'Expires: 0']],
    ['all, where there is nothing', '200', ['Contact: *', 'Expires: 0']],
    ['* without Expires', '400', ['Contact: *']],
    ['* with a time', '400', ['Contact: *', 'Expires: 60']],
    ['* and another', '400', ['Contact: *', CONTACT, 'Expires: 0']],
    ['a Contact that cannot be written', '400', ['Contact: <sip:a b>']],
    ['a Contact with a NUL', '400', ['Contact: <sip:a\u0000b@c>']],
    ['a Contact that is no URI', '400', ['Contact: hello']],
  ];
  for (const [name, wanted, extra] of cases) {
    const { register } = registrarBench();
    t.equal(written200(await register(extra)), wanted, name);
  }
  const { register } = registrarBench();
  t.equal((await register([CONTACT])).headers?.find(({ name }) => name === 'date')?.value, 'Sun, 22 Nov 2026 22:00:00 GMT');
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 40, unit: 'binary-ascii' })), fc.string({ maxLength: 12 }), (contacts, expires) => {
      const headers = [...contacts.map((value) => ({ name: 'contact', value })), { name: 'expires', value: expires }];
      const { wants, ...more } = readRegistration({ ...requestOf({ method: 'REGISTER' }), headers });
      assert.ok(wants !== 'binding' || ('expires' in more && more.expires >= EXPIRES.least && more.expires <= EXPIRES.most));
    }),
    { numRuns: 500 },
  );
});

await t.test('REGISTER: refresh, removal, expiry, and the order of requests', async (t) => {
  const { clock, registrar, register, rows } = registrarBench();
  t.equal(written200(await register([CONTACT, 'Expires: 600'])), bound(600));
  t.match(rows.get('26317'), { unit: '26317', transport: 'udp', address: '203.0.113.9', port: 5060, contact: 'sip:26317@10.0.0.5:5060' });
  await clock.advance(seconds(100));
  t.equal(written200(await register([])), bound(500), 'what is left');
  t.equal(written200(await register([CONTACT, 'Expires: 600'])), bound(600), 'a refresh');
  t.match(await register([CONTACT], { cseq: 1 }), { status: 500 }, 'overtaken by a later one');
  t.match(await register([CONTACT, 'Expires: 0'], { cseq: 2 }), { status: 500 });
  t.equal(written200(await register([])), bound(600), 'which left it as it was');
  t.equal(written200(await register([CONTACT], { cseq: 1, callId: 'new' })), bound(3600), 'another Call-ID counts anew');
  await clock.advance(seconds(32));
  t.equal(written200(await register([CONTACT], { cseq: 1, callId: 'new' })), bound(3600), 'after 32 s nothing is on its way any more');
  t.equal(written200(await register(['Contact: <sip:other@10.0.0.5>', 'Expires: 0'])), bound(3600), 'only what is bound is removed');
  t.equal(written200(await register(['Contact: <SIP:26317@10.0.0.5:5060;ob>', 'Expires: 0'])), '200');
  t.same([rows.size, registrar.binding('26317'), registrar.flowOf('26317')], [0, null, null]);
  await register([CONTACT]);
  t.equal(written200(await register(['Contact: *', 'Expires: 0'])), '200');
  t.same([rows.size, registrar.size], [0, 0]);

  await register([CONTACT, 'Expires: 60']);
  await clock.advance(seconds(60) - 1);
  t.ok(registrar.flowOf('26317'));
  await clock.advance(1);
  t.equal(registrar.flowOf('26317'), null);
  await clock.advance(minutes(1));
  t.equal(rows.size, 0, 'swept');
});

await t.test('REGISTER: the flow is what is used, and a restart keeps what it can', async (t) => {
  const { clock, registrar, register, rows, reached, flow, sent } = registrarBench();
  t.equal(registrar.flowOf('26317'), null);
  await register([CONTACT]);
  t.equal(registrar.flowOf('26317'), flow);
  const tcp = flowOf('tcp', sent);
  await register([CONTACT], {}, tcp);
  t.equal(registrar.flowOf('26317'), tcp, 'the newest');
  tcp.open = false;
  t.equal(registrar.flowOf('26317'), null, 'the connection is gone');
  t.ok(registrar.binding('26317'), 'the registration is not');
  await clock.advance(minutes(2));
  t.equal(registrar.flowOf('26317'), null);
  t.same(reached, []);
  await register([CONTACT], {}, flow, '10149471');

  const after = registrarBench([...rows.values(), { ...rows.get('26317')!, unit: 'old', expiresAt: 0 }]);
  await after.clock.advance(minutes(2));
  await after.registrar.load();
  t.equal(after.registrar.flowOf('26317'), null);
  t.ok(after.registrar.binding('26317'));
  t.equal(after.registrar.flowOf('10149471')?.remote.port, 5060);
  t.same(after.reached, ['203.0.113.9:5060'], 'over UDP the source is tried');
  await settled();
  t.notOk(after.rows.has('old'), 'what had expired meanwhile is removed');
  t.equal(written200(await after.register([CONTACT], { cseq: 1 })), bound(3600), 'the order of requests is not kept over a restart');
  const without = new Registrar({
    clock: after.clock,
    log: createLog('silent'),
    store: { load: async () => [...rows.values()], save: async () => undefined, remove: async () => undefined },
    udpFlowTo: () => null,
  });
  await without.load();
  t.equal(without.flowOf('10149471'), null);
});

await t.test('REGISTER: no 200 that a restart would forget', async (t) => {
  const { clock, registrar, register, rows, away, slow, gates, lines, flow, sent } = registrarBench();
  away.now = true;
  t.equal(written200(await register([CONTACT])), '503 retry-after: 5');
  t.equal(registrar.binding('26317'), null);
  t.match(lines, [/sip-binding-not-saved/]);
  t.notMatch(lines.join(''), /10\.0\.0\.5|203\.0\.113\.9/);
  away.now = false;
  await register([CONTACT]);
  away.now = true;
  t.equal((await register([CONTACT, 'Expires: 0'])).status, 503);
  t.equal((await register([CONTACT], {}, flowOf('tcp', sent))).status, 503);
  t.equal(registrar.flowOf('26317'), flow, 'all is as it was');
  await clock.advance(minutes(62));
  t.equal(registrar.binding('26317'), null, 'expired, though it could not be removed');
  t.match(lines.at(-1), /sip-binding-not-removed/);
  away.now = false;

  slow.now = true;
  const first = register([CONTACT, 'Expires: 600']);
  const second = register(['Contact: <sip:second@10.0.0.5>', 'Expires: 700']);
  await settled();
  t.equal(gates.length, 1, 'one at a time for a unit');
  gates.shift()?.();
  t.equal(written200(await first), bound(600));
  await settled();
  gates.shift()?.();
  t.equal(written200(await second), '200 contact: <sip:second@10.0.0.5>;expires=700');
  t.equal(rows.get('26317')?.contact, 'sip:second@10.0.0.5');
});

await t.test('REGISTER: the number of bindings is bounded', async (t) => {
  const { registrar, register } = registrarBench();
  for (let i = 0; i < 20_000; i++) await register([CONTACT], {}, undefined, String(i));
  t.equal(registrar.size, 20_000);
  t.equal((await register([CONTACT], {}, undefined, 'one more')).status, 503);
  t.equal((await register([CONTACT], {}, undefined, '7')).status, 200, 'who is registered stays so');
});
