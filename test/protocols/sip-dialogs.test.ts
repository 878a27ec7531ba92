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
import { DigestGate, MAX_NONCES, NONCE_LIFE, digestResponse, ha1, parseDigest } from '../../src/protocols/sip/digest.ts';
import { AnswerLane, type Flow, type Transport } from '../../src/protocols/sip/flow.ts';
import { MAX_CALLS } from '../../src/protocols/sip/invite.ts';
import type { SipRequest } from '../../src/protocols/sip/message.ts';
import { parseDatagram } from '../../src/protocols/sip/parse.ts';
import { type Binding, EXPIRES, MAX_BINDINGS, Registrar, readRegistration } from '../../src/protocols/sip/registrar.ts';
import { MESSAGE_LIMITS, REGISTER_LIMITS } from '../../src/protocols/sip/server-transactions.ts';
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
      'www-authenticate: Digest realm="responssenter", nonce="", algorithm=MD5, qop="auth"',
      'www-authenticate: Digest realm="responssenter", nonce="", algorithm=SHA-256, qop="auth"',
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
  let spelt = nonceOf(gate);
  while (!spelt.includes('-')) spelt = nonceOf(gate);
  t.equal(verify(device(spelt)()), 'valid');
  t.equal(verify(device(spelt.replaceAll('-', '+'))()), 'stale', 'spelt otherwise, it would have a count of its own');
});

await t.test('digest: the memory of counts is bounded, and forgetting opens no door', async (t) => {
  const { clock, gate, verify, answer } = gateBench();
  t.equal(verify(answer()), 'valid');
  await clock.advance(1000);
  let last = answer;
  for (let i = 0; i < MAX_NONCES; i++) {
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
    assert.ok(process.hrtime.bigint() - begun < 200_000_000n, slow);
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
  t.match(await register([CONTACT], { cseq: 3 }), { status: 500 }, 'the same CSeq is none that is higher');
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
  rows.set('10149471', { ...rows.get('26317')!, unit: '10149471' });
  await registrar.load();
  t.equal(registrar.flowOf('10149471'), flow, 'who registers before all is loaded is not set back');
  rows.set('10149471', after.rows.get('10149471')!);
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

  const refresh = register([CONTACT, 'Expires: 7200']);
  await clock.advance(minutes(15));
  t.equal(registrar.binding('26317'), null, 'expires while its refresh is being kept');
  while (gates.length > 0) {
    gates.shift()?.();
    await settled();
  }
  t.equal(written200(await refresh), bound(7200));
  await settled();
  t.ok(rows.has('26317') && registrar.binding('26317'), 'the sweep behind it leaves it alone');
});

await t.test('REGISTER: the number of bindings is bounded', async (t) => {
  const { registrar, register } = registrarBench();
  for (let i = 0; i < MAX_BINDINGS; i++) await register([CONTACT], {}, undefined, String(i));
  t.equal(registrar.size, MAX_BINDINGS);
  t.equal((await register([CONTACT], {}, undefined, 'one more')).status, 503);
  t.equal((await register([CONTACT], {}, undefined, '7')).status, 200, 'who is registered stays so');
});

// ---- the core ----

interface Held {
  readonly request: SipRequest;
  readonly answer: (answer: Answer) => void;
  readonly fail: (error: Error) => void;
}

/** A core whose handlers wait for the test; `call` and `register` null: there is none. */
function coreBench(transport: Transport = 'udp', options: Partial<CoreOptions> = {}) {
  const clock = new MovableClock();
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push(line) });
  const messages: Held[] = [];
  const registers: Held[] = [];
  const calls: Held[] = [];
  const sends: SendRequest[] = [];
  const holdIn = (list: Held[]) => (request: SipRequest) =>
    new Promise<Answer>((answer, fail) => void list.push({ request, answer, fail }));
  const core = new SipCore({
    clock,
    log,
    random,
    accepts: 'application/scaip+xml',
    handle: (request, _flow, send) => {
      sends.push(send);
      return holdIn(messages)(request);
    },
    register: holdIn(registers),
    call: holdIn(calls),
    ...options,
  });
  const sent: string[] = [];
  const flow = flowOf(transport, sent);
  const counters = noCounts();
  const receive = (parts: Parts = {}, via: Flow = flow) => core.receive(parseDatagram(bytesOf(parts)), via, counters);
  /** What has been sent since last asked. */
  const news = (): string[] => short(sent.splice(0));
  return { clock, core, lines, messages, registers, calls, sends, sent, flow, counters, receive, news };
}
const BUSY: Answer = { status: 486, reason: 'Busy Here' };
const OK: Answer = { status: 200, reason: 'OK' };
const INVITE: Parts = { method: 'INVITE' };
const ACK: Parts = { method: 'ACK' };
const CANCEL: Parts = { method: 'CANCEL' };

await t.test('the transaction key: what counts as another message, and what as the same again', async (t) => {
  // Two MESSAGEs one after the other; how many are handed on.
  const cases: [string, number, Parts, Parts][] = [
    ['the same', 1, {}, {}],
    ['same branch and Call-ID, a new CSeq', 2, { cseq: 1 }, { cseq: 2 }],
    ['same branch and Call-ID, a smaller CSeq', 2, { cseq: 2 }, { cseq: 1 }],
    ['same branch and CSeq, another Call-ID', 2, { callId: 'a' }, { callId: 'b' }],
    ['Call-IDs that differ in case', 2, { callId: 'a' }, { callId: 'A' }],
    ['another branch', 2, { branch: 'z9hG4bK-0001' }, { branch: 'z9hG4bK-0002' }],
    ['a branch without the cookie, a new CSeq', 2, { branch: '1', cseq: 1 }, { branch: '1', cseq: 2 }],
    ['no branch, the same', 1, { branch: null }, { branch: null }],
    ['no branch, a new CSeq', 2, { branch: null, cseq: 1 }, { branch: null, cseq: 2 }],
    ['no branch, another Call-ID', 2, { branch: null, callId: 'a' }, { branch: null, callId: 'b' }],
    ['no branch, and one', 2, { branch: null }, { branch: 'null' }],
    ['no From tag, the same', 1, { tag: null }, { tag: null }],
    ['no From tag, a new CSeq', 2, { tag: null, cseq: 1 }, { tag: null, cseq: 2 }],
    ['another From tag', 2, { tag: '1' }, { tag: '2' }],
    ['no From tag, and one', 2, { tag: null }, { tag: 'null' }],
    ['a To tag makes no difference', 1, {}, { to: '<sip:alarm@192.0.2.1>;tag=x' }],
    ['neither branch nor tag, the same', 1, { branch: null, tag: null }, { branch: null, tag: null }],
    ['neither branch nor tag, another body', 2, { branch: null, tag: null, body: 'a' }, { branch: null, tag: null, body: 'b' }],
    ['the answer to a 401, under the same CSeq', 2, {}, { extra: ['Authorization: Digest response="1"'] }],
    ['other credentials', 2, { extra: ['Authorization: Digest response="1"'] }, { extra: ['Authorization: Digest response="2"'] }],
    ['the same credentials', 1, { extra: ['Authorization: Digest response="1"'] }, { extra: ['Authorization: Digest response="1"'] }],
    ['credentials for a proxy', 2, {}, { extra: ['Proxy-Authorization: Digest response="1"'] }],
    ['all the same but the body', 2, { body: '<ref>1</ref>' }, { body: '<ref>2</ref>' }],
  ];
  for (const [name, wanted, first, second] of cases) {
    for (const answered of [false, true]) {
      const { receive, messages, counters } = coreBench();
      receive(first);
      if (answered) {
        messages[0]?.answer(OK);
        await settled();
      }
      receive(second);
      t.same([messages.length, counters.retransmissions], [wanted, 2 - wanted], `${name}${answered ? ', answered' : ''}`);
    }
  }
});

await t.test('what failed on our side is decided anew when it comes again, what the device did wrong is not', async (t) => {
  for (const method of ['MESSAGE', 'REGISTER']) {
    for (const [status, times] of [
      [200, 1],
      [401, 1],
      [403, 1],
      [500, 2],
      [503, 2],
      [600, 1],
    ] as const) {
      const { receive, messages, registers, news } = coreBench();
      const held = method === 'MESSAGE' ? messages : registers;
      receive({ method });
      held[0]?.answer({ status, reason: 'X' });
      await settled();
      receive({ method });
      held[1]?.answer(OK);
      await settled();
      t.same(
        [held.length, news()],
        [times, [`${status} 1 ${method}`, `${times === 1 ? status : 200} 1 ${method}`]],
        `${status} to ${method}`,
      );
    }
  }
  const { receive, calls, news } = coreBench();
  const proven = { ...INVITE, extra: ['Authorization: Digest response="1"'] };
  receive(INVITE);
  receive(proven);
  t.equal(calls.length, 1, 'a call that waits for its decision is not put out');
  calls[0]?.answer({ status: 401, reason: 'Unauthorized' });
  await settled();
  receive(ACK);
  news();
  receive(proven);
  calls[1]?.answer(BUSY);
  await settled();
  receive(proven);
  t.same([calls.length, news()], [2, ['100 1 INVITE', '486 1 INVITE', '486 1 INVITE']], 'a call with credentials under the same CSeq');
});

await t.test('REGISTER: handed on once, answered in time, and never in the way of an alarm', async (t) => {
  const { clock, core, registers, messages, news, lines, receive, counters } = coreBench();
  const register = { method: 'REGISTER' };
  receive(register);
  receive(register);
  t.same([registers.length, news()], [1, []]);
  registers[0]?.answer(OK);
  await settled();
  receive(register);
  t.same([registers.length, news()], [1, ['200 1 REGISTER', '200 1 REGISTER']]);
  receive({ ...register, cseq: 2 });
  registers[1]?.fail(new Error('broken'));
  await settled();
  receive({ ...register, cseq: 3 });
  await clock.advance(seconds(20));
  t.same(news(), ['503 2 REGISTER', '503 3 REGISTER']);
  t.match(lines, [/sip-registration-failed/, /sip-registration-late/]);
  t.match(counters, { registers: 3, retransmissions: 2, messages: 0 });

  for (let cseq = 10; cseq < 1100; cseq++) receive({ ...register, cseq });
  t.equal(registers.length, 1003);
  t.equal(news().filter((one) => one.startsWith('503')).length, 90, 'a flood is refused');
  receive({ cseq: 9 });
  t.equal(messages.length, 1, 'an alarm is not');
  let idle = false;
  void core.idle().then(() => (idle = true));
  messages[0]?.answer(OK);
  await settled();
  t.notOk(idle);
  for (const { answer } of registers) answer(OK);
  await settled();
  t.ok(idle);

  const stream = coreBench('tcp');
  stream.receive(register);
  stream.receive({ cseq: 5 });
  stream.receive({ ...register });
  stream.messages[0]?.answer(OK);
  await settled();
  t.same(stream.news(), ['200 5 MESSAGE'], 'an alarm does not wait for a registration');
  stream.registers[0]?.answer(OK);
  await settled();
  t.same(stream.news(), ['200 1 REGISTER', '200 1 REGISTER'], 'twice for one that came twice');

  const again = coreBench('tcp');
  for (let i = 0; i < 500; i++) again.receive(register);
  t.same([again.registers.length, again.flow.answers.waiting], [1, 499], 'one that comes again and again slows its connection down');
  again.receive({ ...register, cseq: 2 });
  t.equal(again.flow.answers.waiting, 499, 'others have a limit of their own');
  again.registers[0]?.answer(OK);
  await settled();
  t.same([again.news().length, again.flow.answers.waiting], [500, 0]);

  const thrown = coreBench('udp', {
    register: () => {
      throw new Error('at once');
    },
  });
  thrown.receive(register);
  await settled();
  t.same(thrown.news(), ['503 1 REGISTER']);
});

/** When what was sent, in milliseconds from now. */
async function timeline(bench: ReturnType<typeof coreBench>, until: number): Promise<string[]> {
  await settled();
  const seen: string[] = bench.news().map((one) => `0 ${one}`);
  for (let at = 500; at <= until; at += 500) {
    await bench.clock.advance(500);
    seen.push(...bench.news().map((one) => `${at} ${one}`));
  }
  return seen;
}

await t.test('INVITE: 100 at once, then a refusal that is repeated until the ACK (timers G, H, I)', async (t) => {
  const silent = coreBench();
  silent.receive({ ...INVITE, extra: ['Timestamp: 54'] });
  t.match(silent.sent[0], /^SIP\/2\.0 100 Trying\r\n/);
  t.match(silent.sent[0], /\r\nTo: <sip:alarm@192\.0\.2\.1>\r\n.*\r\nTimestamp: 54\r\n/s, 'no tag yet');
  silent.receive(INVITE);
  t.same(silent.news(), ['100 1 INVITE', '100 1 INVITE']);
  silent.calls[0]?.answer(BUSY);
  await settled();
  t.match(silent.sent[0], /\r\nTo: <sip:alarm@192\.0\.2\.1>;tag=[0-9a-f]{16}\r\n/);
  const at = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
  t.same(
    await timeline(silent, 60_000),
    at.map((ms) => `${ms} 486 1 INVITE`),
    'no ACK: given up after 32 s',
  );
  t.equal(silent.calls.length, 1);
  silent.receive(INVITE);
  t.equal(silent.calls.length, 2, 'and then it is another call');

  const heard = coreBench();
  heard.receive(INVITE);
  heard.calls[0]?.answer(BUSY);
  await timeline(heard, 1000);
  heard.receive(INVITE);
  t.same(heard.news(), ['486 1 INVITE'], 'a repeated INVITE gets the answer again');
  for (const stranger of [{ cseq: 2 }, { branch: 'z9hG4bK-x' }, { callId: 'x' }, { tag: 'x' }]) heard.receive({ ...ACK, ...stranger });
  t.same(await timeline(heard, 500), ['500 486 1 INVITE'], 'an ACK for something else changes nothing');
  heard.receive({ ...ACK, to: '<sip:alarm@192.0.2.1>;tag=any' });
  heard.receive(ACK);
  heard.receive(INVITE);
  t.same(await timeline(heard, 4500), [], 'heard: silence');
  t.equal(heard.calls.length, 1);
  await heard.clock.advance(500);
  heard.receive(ACK);
  t.same(heard.news(), [], 'an ACK is never answered');
  heard.receive(INVITE);
  t.equal(heard.calls.length, 2, 'timer I has ended it');
  t.match(heard.counters, { calls: 2, retransmissions: 2, messages: 0 });

  const slow = coreBench();
  slow.receive(INVITE);
  slow.calls[0]?.answer(BUSY);
  await timeline(slow, 31_500);
  slow.receive(ACK);
  await timeline(slow, 4500);
  slow.receive(INVITE);
  t.equal(slow.calls.length, 1, 'heard at the last moment: timer I counts from the ACK');

  const stream = coreBench('tcp');
  stream.receive({ cseq: 7 });
  stream.receive(INVITE);
  stream.calls[0]?.answer(BUSY);
  t.same(
    await timeline(stream, 40_000),
    ['0 100 1 INVITE', '0 486 1 INVITE', '20000 503 7 MESSAGE'],
    'once over a stream, without waiting',
  );
  stream.receive(INVITE);
  stream.calls[1]?.answer(BUSY);
  await settled();
  stream.receive(ACK);
  stream.receive(INVITE);
  t.equal(stream.calls.length, 3, 'timer I is 0 on a stream');
  stream.core.flowGone(stream.flow);
  t.equal(stream.core.pending, 0);
  stream.calls[2]?.answer(BUSY);
  await settled();
  t.same(stream.news(), ['100 1 INVITE', '486 1 INVITE', '100 1 INVITE'], 'nothing on a connection that is gone');
});

await t.test('INVITE: an answer that is meant for once is not repeated by itself, but to the INVITE that comes again', async (t) => {
  const bench = coreBench('udp', { call: () => Promise.resolve({ status: 403, reason: 'Forbidden', once: true }) });
  const { receive, news } = bench;
  receive(INVITE);
  t.same(await timeline(bench, 10_000), ['0 100 1 INVITE', '0 403 1 INVITE']);
  receive(INVITE);
  t.same(news(), ['403 1 INVITE']);
  receive(ACK);
  receive(INVITE);
  t.same([await timeline(bench, 5000), bench.counters.calls], [[], 1], 'the ACK is absorbed');
});

await t.test('CANCEL, BYE, and what belongs to no call', async (t) => {
  const bench = coreBench();
  const { receive, news, calls } = bench;
  receive(CANCEL);
  receive({ method: 'BYE' });
  receive(ACK);
  receive({ ...INVITE, to: '<sip:alarm@192.0.2.1>;tag=dialog' });
  t.same(news(), ['481 1 CANCEL', '481 1 BYE', '481 1 INVITE']);
  t.equal(calls.length, 0);

  receive(INVITE);
  for (const stranger of [{ cseq: 2 }, { branch: 'z9hG4bK-x' }, { callId: 'x' }, { tag: 'x' }]) receive({ ...CANCEL, ...stranger });
  receive(CANCEL, flowOf('udp', [], 9));
  t.equal(news().filter((one) => one.startsWith('481')).length, 4, 'somebody else cancels nothing');
  receive(CANCEL);
  const tags = bench.sent.map((one) => /\r\nTo: [^\r]*;tag=([^\r]*)/.exec(one)?.[1]);
  t.equal(tags[0], tags[1], 'one To tag for both (§ 9.2)');
  t.same(news(), ['200 1 CANCEL', '487 1 INVITE']);
  calls[0]?.answer(BUSY);
  await settled();
  t.same(news(), [], 'the decision comes too late');
  receive(CANCEL);
  t.same(news(), ['200 1 CANCEL'], 'a repeated CANCEL');
  t.same(await timeline(bench, 1500), ['500 487 1 INVITE', '1500 487 1 INVITE']);
  receive(ACK);
  t.same(await timeline(bench, 10_000), []);
  receive(CANCEL);
  t.same(news(), ['481 1 CANCEL']);

  receive({ ...INVITE, cseq: 2 });
  calls[1]?.answer(BUSY);
  await settled();
  receive({ ...CANCEL, cseq: 2 });
  t.same(news(), ['100 2 INVITE', '486 2 INVITE', '200 2 CANCEL'], 'refused already: 200 and nothing more');
  receive({ ...CANCEL, cseq: 2, extra: ['Require: x'] });
  t.same(news(), ['200 2 CANCEL'], 'Require means nothing in a CANCEL');
});

await t.test('INVITE: a decision that is late, fails or cannot be, and a flood', async (t) => {
  const bench = coreBench();
  const { receive, news, calls, clock, messages, core, counters } = bench;
  receive({ ...INVITE, cseq: 1 });
  calls[0]?.fail(new Error('broken'));
  receive({ ...INVITE, cseq: 2 });
  calls[1]?.answer(OK);
  await settled();
  t.same(news(), ['100 1 INVITE', '100 2 INVITE', '480 1 INVITE', '480 2 INVITE'], 'no call is accepted, whatever the handler says');
  for (const cseq of [1, 2]) receive({ ...ACK, cseq });
  receive({ ...INVITE, cseq: 3 });
  await clock.advance(5000);
  t.same(news(), ['100 3 INVITE', '480 3 INVITE']);
  t.match(bench.lines, [/sip-call-failed/, /sip-call-failed/, /sip-call-late/]);
  receive({ ...ACK, cseq: 3 });
  await clock.advance(6000);

  for (let cseq = 10; cseq < 1110; cseq++) receive({ ...INVITE, cseq });
  t.match(news().slice(999, 1001), ['100 1009 INVITE', '503 1010 INVITE'], 'all room is taken by calls without a decision');
  t.same([calls.length, counters.overload], [1003, 100]);
  receive({ cseq: 9 });
  messages[0]?.answer(OK);
  await settled();
  t.same(news(), ['200 9 MESSAGE'], 'an alarm is not disturbed');
  calls[500]?.answer(BUSY);
  await settled();
  receive({ ...INVITE, cseq: 2000 });
  t.same(news(), ['486 507 INVITE', '100 2000 INVITE'], 'one that has its answer makes room');

  core.drain();
  let idle = false;
  void core.idle().then(() => (idle = true));
  receive({ ...INVITE, cseq: 3000 });
  receive({ method: 'REGISTER' });
  t.same(news(), ['503 3000 INVITE', '503 1 REGISTER'], 'nothing new while stopping');
  await clock.advance(5000);
  t.ok(idle, 'what is in hand is answered');
  core.stop();
  news();
  t.same(await timeline(bench, 5000), [], 'and nothing is repeated after the stop');
});

await t.test('OPTIONS says what is handled; what is required and unknown is refused, but not an alarm', async (t) => {
  const all = coreBench();
  const allowed = (bench: ReturnType<typeof coreBench>, method = 'OPTIONS') => {
    bench.sent.length = 0;
    bench.receive({ method, cseq: 99 });
    return /\r\nAllow: ([^\r]*)/.exec(bench.sent[0] ?? '')?.[1];
  };
  t.equal(allowed(all), 'MESSAGE, OPTIONS, REGISTER, INVITE, ACK, CANCEL');
  t.equal(allowed(all, 'SUBSCRIBE'), 'MESSAGE, OPTIONS, REGISTER, INVITE, ACK, CANCEL');
  t.equal(allowed(coreBench('udp', { call: undefined })), 'MESSAGE, OPTIONS, REGISTER');
  t.equal(allowed(coreBench('udp', { register: undefined }), 'REGISTER'), 'MESSAGE, OPTIONS, INVITE, ACK, CANCEL');
  t.equal(allowed(coreBench('udp', { register: undefined, call: undefined })), 'MESSAGE, OPTIONS');

  const { receive, news, sent, messages, registers, calls } = coreBench();
  for (const method of ['OPTIONS', 'REGISTER', 'INVITE']) {
    receive({ method, extra: ['Require: 100rel, outbound', 'Require: path'] });
    t.match(sent[0], /^SIP\/2\.0 420 Bad Extension\r\n.*\r\nUnsupported: 100rel, outbound, path\r\n/s, method);
    sent.length = 0;
  }
  receive({ method: 'OPTIONS', extra: ['Require: a b, <x>'] });
  t.match(sent.splice(0), [/ 420 .*\r\nUnsupported: \r\n/s], 'what cannot be a tag is not echoed');
  receive({ method: 'OPTIONS', extra: ['Require: ', 'Proxy-Require: x', 'Max-Forwards: 0'] });
  t.same(news(), ['200 1 OPTIONS'], 'we are the end: there is nothing to forward');
  receive({ extra: ['Require: x', 'Max-Forwards: 0'] });
  receive({ ...INVITE, extra: ['Max-Forwards: 0'] });
  receive({ method: 'REGISTER', extra: ['Max-Forwards: 0'] });
  t.same([messages.length, calls.length, registers.length], [1, 1, 1]);
});

await t.test('our own requests: who challenges us, answers that come again (timer K), answers to nothing', async (t) => {
  for (const transport of ['udp', 'tcp'] as const) {
    for (const status of [200, 202, 302, 401, 407, 481, 503, 603]) {
      const { clock, core, receive, sends, messages, sent, flow, counters } = coreBench(transport);
      receive();
      messages[0]?.answer(OK);
      await settled();
      sent.length = 0;
      const own = { method: 'MESSAGE', uri: 'sip:26317@x', from: '<sip:a@x>', to: '<sip:b@x>', headers: [], body: Buffer.from('<mrs/>') };
      const outcome = sends[0]?.(flow, own, 'sip:x');
      const respond = (code: number, change: (text: string) => string = (text) => text) =>
        core.receive(parseDatagram(Buffer.from(change(sent[0]!.replace(/^MESSAGE.*/, `SIP/2.0 ${code} X`)))), flow, counters);
      respond(status, (text) => text.replace('1 MESSAGE', '1 INVITE'));
      respond(status, (text) => text.replace(/branch=\w+/, 'branch=z9hG4bKother'));
      respond(status, (text) => text.replace(/;branch=\w+/, ''));
      t.equal(counters.strayResponses, 3, 'another method, another branch, none');
      respond(100);
      respond(status);
      t.same(await outcome, { status }, `${status} over ${transport}`);
      respond(status);
      t.equal(counters.strayResponses, transport === 'udp' ? 3 : 4);
      await clock.advance(5000);
      respond(status);
      t.equal(counters.strayResponses, transport === 'udp' ? 4 : 5, 'after timer K');
      await clock.advance(60_000);
      t.equal(sent.length, 1, 'not sent again: not with credentials either');
    }
  }
});

await t.test('the page on SIP says what the code does', async (t) => {
  const numbers = new Intl.NumberFormat('en');
  const page = readFileSync(new URL('../../docs/protocols/sip.md', import.meta.url), 'utf8');
  for (const row of [
    `| granted | ${EXPIRES.usual} s unless asked for otherwise, ${EXPIRES.least} to ${EXPIRES.most} s |`,
    `| age of a nonce | ${NONCE_LIFE / 60_000} min |`,
    `\`Allow: ${allow({ register: true, call: true }).value}\``,
    `| calls in hand | ${numbers.format(MAX_CALLS)} |`,
    `| REGISTERs in hand | ${numbers.format(REGISTER_LIMITS.pending)} |`,
    `| answers to REGISTER remembered | ${numbers.format(REGISTER_LIMITS.answered)} |`,
    `| MESSAGEs in hand | ${numbers.format(MESSAGE_LIMITS.pending)} |`,
    `| answers remembered | ${numbers.format(MESSAGE_LIMITS.answered)} |`,
    `| bindings | ${numbers.format(MAX_BINDINGS)} |`,
    `| nonces whose counts are remembered | ${numbers.format(MAX_NONCES)} |`,
  ])
    t.ok(page.includes(row), row);
  for (const verdict of ['valid', 'absent', 'wrong', 'stale']) t.ok(page.includes(`| \`${verdict}\` |`), verdict);
});
