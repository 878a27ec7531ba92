/** What the SCAIP receiver answers: credentials, limits, replies and their delivery, calls, registrations; on real sockets. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { authorization } from '../../simulators/scaip/digest.ts';
import { MovableClock, minutes, seconds } from '../../src/base/clock.ts';
import { decodeBody } from '../../src/protocols/scaip/decode.ts';
import type { ScaipMessage } from '../../src/protocols/scaip/read.ts';
import { strictStatus } from '../../src/protocols/scaip/strict.ts';
import type { ScaipUnit } from '../../src/protocols/scaip/unit.ts';
import { type VoiceNumber, type VoicePolicy, voiceFor } from '../../src/protocols/scaip/voice.ts';
import type { Flow } from '../../src/protocols/sip/flow.ts';
import { RateLimits } from '../../src/protocols/sip/rate.ts';
import { type Accept, type Call, KEPT, Unit, message, okTo, sample, start, until } from '../support/scaip-receiver.ts';

const body = (ref: string, more = ''): string => `<mrq><ref>${ref}</ref><cid>10149471</cid><dty>3</dty>${more}</mrq>`;
const ok = (ref: string, more = ''): string => `<mrs><ref>${ref}</ref><snu>0</snu>${more}</mrs>`;
const statusOf = (one: string | undefined): number => Number(one?.split(' ')[1]);

await t.test('strict: the status numbers of the reference, the first that fits', (t) => {
  const minimal = '<ref>A1</ref><cid>26317</cid><dty>3</dty>';
  const table: [string | Buffer, number, string][] = [
    [`<mrq>${minimal}</mrq>`, 0, 'the mandatory three'],
    [`<?xml version="1.0" encoding="UTF-8"?>\n<mrq>${minimal}</mrq>\n`, 0, 'with a declaration'],
    [`<mrq>${minimal}<sco>0</sco><crd>gsm:</crd><crd>sip:</crd><stc>0010</stc><ame>1</ame></mrq>`, 0, 'sco 0 and two crd'],
    [`<mrq>${minimal}<lge><geo>58.97,5.73</geo><tim>2024-05-12T22:14+02:00</tim></lge></mrq>`, 0, 'a position'],
    [`<mrq>${minimal}<lte>${'å'.repeat(32)}</lte></mrq>`, 0, 'characters are counted, not bytes'],
    [`<mrq>${minimal}<ite>a &amp; b</ite></mrq>`, 0, 'an entity'],
    [`<mrq>${minimal}<ite>${'x'.repeat(1300)}</ite></mrq>`, 1, 'too long as a whole'],
    ['hello', 2, 'no XML'],
    ['', 2, 'nothing'],
    [`<mrq>${minimal}`, 2, 'cut'],
    [`<scaip>${minimal}</scaip>`, 2, 'another root'],
    [`<MRQ>${minimal}</MRQ>`, 2, 'capitals'],
    [`<mrq xmlns="x">${minimal}</mrq>`, 2, 'an attribute'],
    [`<mrq>${minimal}<ite>a & b</ite></mrq>`, 2, 'a bare ampersand'],
    [`<mrq>${minimal}<xyz>1</xyz></mrq>`, 2, 'an unknown element'],
    [`<mrq>${minimal}<ref>A2</ref></mrq>`, 2, 'an element twice'],
    [`<mrq>${minimal}<geo>58.97,5.73</geo></mrq>`, 2, 'a position outside lge'],
    [`<mrq>${minimal}<stc><a>1</a></stc></mrq>`, 2, 'an element within a value'],
    [Buffer.from(`<mrq>${minimal}<lte>Kjøkken</lte></mrq>`, 'latin1'), 2, 'not UTF-8'],
    ['<mrq><cid>26317</cid><dty>3</dty></mrq>', 7, 'no ref'],
    ['<mrq><ref>A1</ref><dty>3</dty></mrq>', 7, 'no cid'],
    ['<mrq><ref>A1</ref><cid>26317</cid></mrq>', 7, 'no dty'],
    ['<mrq><ref>A1</ref><cid></cid><dty>3</dty></mrq>', 7, 'an empty cid'],
    [`<mrq><ref>A1</ref><cid>26317</cid><stc>x</stc></mrq>`, 7, 'missing goes before wrong'],
    ['<mrq><ref>A-1</ref><cid>26317</cid><dty>3</dty></mrq>', 3, 'ref'],
    [`<mrq><ref>${'1'.repeat(17)}</ref><cid>26317</cid><dty>3</dty></mrq>`, 3, 'a ref of 17'],
    ['<mrq><ref>A1</ref><cid> 26317</cid><dty>3</dty></mrq>', 3, 'a blank in cid'],
    [`<mrq>${minimal}<mty>XX</mty></mrq>`, 3, 'mty'],
    [`<mrq>${minimal}<stc>00010</stc></mrq>`, 3, 'five digits of stc'],
    [`<mrq>${minimal}<did>123456789</did></mrq>`, 3, 'nine characters of did'],
    [`<mrq>${minimal}<crd>+4790000000</crd></mrq>`, 3, 'crd without a scheme'],
    [`<mrq>${minimal}<ste></ste></mrq>`, 2, 'an element of replies'],
    [`<mrq>${minimal}<stt></stt></mrq>`, 3, 'an empty text'],
    [`<mrq>${minimal}<lge><tim>yesterday</tim></lge></mrq>`, 3, 'tim'],
  ];
  for (const [xml, snu, what] of table) t.equal(strictStatus(typeof xml === 'string' ? Buffer.from(xml) : xml), snu, what);
  for (const file of ['R01_essence_heartbeat.xml', 'R05_possum_pendant_gsm_empty.xml', 'R09_telealarm_malfunction.xml']) {
    t.equal(strictStatus(sample(file)), 0, `${file}, which a real device sent`);
  }
  t.equal(strictStatus(sample('R11_doro_alarm_space_in_cid.xml')), 3);
  t.end();
});

await t.test('voice: who is told to call, and whom', (t) => {
  const queue = 'sip:queue@192.0.2.1';
  const number: VoicePolicy = { answer: 'call', number: '+4759000001' };
  const uri: VoicePolicy = { answer: 'call', number: queue };
  const say = (policy: VoicePolicy, more = '', firstOfNeed = true, voiceNumber: VoiceNumber = 'as-configured') =>
    voiceFor(policy, { request: decodeBody(Buffer.from(body('1', more))).request, firstOfNeed, voiceNumber });
  t.equal(say({ answer: 'none' }), null);
  t.same(say({ answer: 'programmed' }), { mre: 1, cre: 61 });
  t.same(say(uri), { mre: 1, cre: 62, tnu: queue });
  t.same(say(number), { mre: 1, cre: 62, tnu: 'tel:+4759000001' });
  t.same(say(number, '<crd>gsm:</crd>'), { mre: 1, cre: 62, tnu: 'gsm:+4759000001' }, 'by the way that the unit calls');
  t.same(say(number, '<crd>tel:</crd>', true, 'gsm'), { mre: 1, cre: 62, tnu: 'gsm:+4759000001' }, 'the profile goes first');
  t.same(say(uri, '', true, 'tel'), { mre: 1, cre: 62, tnu: queue }, 'an address is no number');
  for (const policy of [number, uri, { answer: 'programmed' } as const]) {
    t.same(say(policy, '', false), { mre: 0 }, 'a further message, a technical one, information');
    for (const more of ['<crd>no-voice:</crd>', '<mreq>4</mreq>', '<mty>PI</mty>', '<mty>RE</mty>', '<mty>IN</mty>', '<mty>XX</mty>']) {
      t.same(say(policy, more), { mre: 0 }, more);
    }
    t.same(voiceFor(policy, { request: null, firstOfNeed: true, voiceNumber: 'sip' }), { mre: 0 }, 'unreadable');
  }
  t.end();
});

const SECRET = 'bright-meadow-9';
const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const A1 = `10149471:responssenter:${SECRET}`;
const PROVING: Partial<ScaipUnit> = { mustAuthenticate: true, secrets: { md5: md5(A1), sha256: sha256(A1) } };

/** The header that a unit answers a 401 with; the simulator's own arithmetic. */
function proof(answer: string | undefined, algorithm: 'MD5' | 'SHA-256', secret = SECRET): string {
  const challenge = (answer ?? '')
    .split('\r\n')
    .find((line) => line.startsWith('WWW-Authenticate') && line.includes(`algorithm=${algorithm}`));
  const value = authorization((challenge ?? '').replace(/^[^:]*: /, ''), '10149471', secret, 'sip:alarm@centre.example:5060', 'c0ffee');
  return `Authorization: ${value ?? ''}\r\n`;
}

/** The same for another method, with MD5. */
function proofFor(method: string, asked: string): string {
  const challenge = /WWW-Authenticate: (.*algorithm=MD5.*)/.exec(asked)?.[1] ?? '';
  const nonce = /nonce="([^"]+)"/.exec(challenge)?.[1] ?? '';
  const uri = 'sip:alarm@centre.example:5060';
  const response = md5(`${md5(A1)}:${nonce}:00000001:c0ffee:auth:${md5(`${method}:${uri}`)}`);
  return (
    `Authorization: Digest username="10149471", realm="responssenter", nonce="${nonce}", uri="${uri}", response="${response}", ` +
    'algorithm=MD5, qop=auth, nc=00000001, cnonce="c0ffee"\r\n'
  );
}

for (const algorithm of ['MD5', 'SHA-256'] as const) {
  await t.test(`credentials with ${algorithm}: held before the 401, then taken as any other`, async (t) => {
    const clock = new MovableClock();
    const events: string[] = [];
    const accept: Accept = ({ ref }, { authenticated }) => {
      events.push(`accepted ${ref} ${authenticated ? 'proven' : 'unproven'}`);
      return Promise.resolve(KEPT);
    };
    const hold = ({ ref }: { ref: string | null }) => {
      events.push(`held ${ref}`);
      return Promise.resolve('held' as const);
    };
    const { server, refused } = await start({ clock, accept, hold, units: { '10149471': PROVING } });
    const unit = await Unit.udp(server);
    unit.acknowledges = true;
    unit.send(message({ body: body('K1') }));
    await unit.next(1);
    t.match(unit.got[0], /^SIP\/2\.0 401 Unauthorized/);
    t.match(
      [...unit.got[0]!.matchAll(/WWW-Authenticate: Digest realm="responssenter".*?algorithm=([\w-]+)/g)].map((one) => one[1]),
      ['MD5', 'SHA-256'],
    );
    t.notMatch(unit.got[0], /stale/);
    t.same(events, ['held K1']);
    unit.send(message({ cseq: 2, body: body('K1'), more: proof(unit.got[0], algorithm) }));
    await unit.next(3);
    t.match(unit.got[1], /^SIP\/2\.0 200 /);
    t.same(unit.replies, [ok('K1')]);
    t.same(events, ['held K1', 'accepted K1 proven']);
    unit.send(message({ cseq: 3, body: body('K2'), more: proof(unit.got[0], algorithm, 'a guess') }));
    await unit.next(4);
    t.match(unit.got[3], /^SIP\/2\.0 401 /);
    t.notMatch(unit.got[3], /stale/);
    t.same(refused, ['wrong-credentials 10149471 MESSAGE'], 'and being asked is no refusal');
    await clock.advance(minutes(6));
    t.equal(refused.length, 1, 'nor is it one later, since the credentials came');
    unit.send(message({ cseq: 4, body: body('K3'), more: proof(unit.got[0], algorithm) }));
    await unit.next(5);
    t.match(unit.got[4], /^SIP\/2\.0 401 [^]*stale=true/);
    t.same(events.slice(2), ['held K2', 'held K3']);
    t.match(server.counters(), { kept: 1, challenged: 3, held: 3 });
  });
}

await t.test('credentials that never come, that nobody has, and holding that fails', async (t) => {
  const clock = new MovableClock();
  let verdict: 'held' | 'nothing-to-hold' | 'not-held' = 'held';
  const units = { '10149471': PROVING, '26317': { mustAuthenticate: true } };
  const { server, refused, messages } = await start({ clock, hold: () => Promise.resolve(verdict), units });
  const unit = await Unit.udp(server);
  for (let cseq = 1; cseq <= 3; cseq++) {
    unit.send(message({ cseq, body: body(`N${cseq}`) }));
    await unit.next(cseq);
  }
  t.same(refused, []);
  await clock.advance(seconds(10));
  t.same(refused, ['no-credentials 10149471 MESSAGE'], 'once for the three');
  unit.send(message({ cseq: 4, body: sample('R01_essence_heartbeat.xml'), from: 'sip:26317@x' }));
  await unit.next(4);
  t.same(refused.slice(1), ['no-secret 26317 MESSAGE']);
  verdict = 'nothing-to-hold';
  unit.send(message({ cseq: 5, body: body('N5', '<mty>PI</mty>') }));
  await unit.next(5);
  verdict = 'not-held';
  unit.send(message({ cseq: 6, body: body('N6') }));
  await unit.next(6);
  t.same(unit.got.map(statusOf), [401, 401, 401, 401, 401, 503]);
  t.match(unit.got[5], /Retry-After: 5/);
  unit.send(message({ cseq: 7, body: '<mrq><ref>U7</ref><dty>' }));
  await unit.next(7);
  t.equal(statusOf(unit.got[6]), 503, 'without a cid the From user tells the unit');
  unit.send(message({ cseq: 8, body: 'hello', from: 'sip:somebody@x' }));
  await unit.next(8);
  t.equal(statusOf(unit.got[7]), 200, 'strangers are asked for nothing');
  t.equal(messages.length, 1);
});

await t.test('limits: 503 that says when to try again, and a flood of strangers leaves units alone', async (t) => {
  const clock = new MovableClock();
  const limits = new RateLimits({ clock, limits: { strangersInAll: 5, strangersOther: 1, perStranger: 60, perUnit: 3, perAddress: null } });
  const heldRefs: (string | null)[] = [];
  let hasRoom = true;
  const hold = ({ request, ref }: ScaipMessage) => {
    if (request?.mty?.value === 'PI') return Promise.resolve('nothing-to-hold' as const);
    if (hasRoom) heldRefs.push(ref);
    return Promise.resolve(hasRoom ? ('held' as const) : ('not-held' as const));
  };
  const units = { '10149471': PROVING, '26317': {} };
  const { server, refused, registered } = await start({ clock, hold, admit: (who) => limits.admit(who), units });
  const unit = await Unit.udp(server);
  unit.acknowledges = true;
  let sent = 0;
  const ask = async (call: Call): Promise<string> => {
    const callId = `c${++sent}`;
    unit.send(message({ callId, ...call }));
    await until(() => unit.got.some((one) => one.startsWith('SIP/2.0') && one.includes(`Call-ID: ${callId}\r\n`)), callId);
    return unit.got.find((one) => one.startsWith('SIP/2.0') && one.includes(`Call-ID: ${callId}\r\n`)) ?? '';
  };
  const login = async (user: string, more = ''): Promise<string> =>
    ask({ method: 'REGISTER', body: '', from: `sip:${user}@x`, to: `sip:${user}@x`, more });
  t.same([statusOf(await login('scan1')), statusOf(await login('scan2'))], [403, 503], 'what registers takes nothing from messages');
  t.same(refused.splice(0), ['unknown-registration scan1 REGISTER', 'rate-limited scan2 REGISTER']);
  const strangers: number[] = [];
  for (let i = 0; i < 7; i++) strangers.push(statusOf(await ask({ body: body(`S${i}`).replace('10149471', `99${i}`), from: 'sip:x@y' })));
  t.same(strangers, [200, 200, 200, 200, 200, 503, 503]);
  t.same(refused, ['rate-limited 995 MESSAGE', 'rate-limited 996 MESSAGE']);
  t.equal(statusOf(await ask({ body: sample('R04_essence_manual_alarm_gsm.xml') })), 200, 'a unit is not a stranger');
  const unproven: string[] = [];
  for (let i = 0; i < 4; i++) unproven.push(await ask({ body: body(`P${i}`) }));
  t.same(unproven.map(statusOf), [401, 401, 401, 401], 'above the limits it is still asked for its proof');
  t.same(heldRefs, ['P0', 'P1', 'P2', 'P3'], 'and held');
  hasRoom = false;
  t.equal(statusOf(await ask({ body: body('P4') })), 503, 'what has no place is never answered as if it had');
  t.equal(statusOf(await ask({ body: body('P5', '<mty>PI</mty>') })), 401);
  t.equal(statusOf(await ask({ body: body('P0'), more: proof(unproven[0], 'MD5') })), 200, 'who only says its name takes nothing from it');
  const logins: string[] = [];
  for (let i = 0; i < 5; i++) logins.push(await login('10149471'));
  t.same(logins.map(statusOf), [401, 401, 401, 401, 401], 'no login is impossible');
  t.equal(registered.length, 0);
  const essence = sample('R04_essence_manual_alarm_gsm.xml').toString();
  const beats: number[] = [];
  for (let i = 0; i < 5; i++) beats.push(statusOf(await ask({ body: `<mrq><ref>B${i}</ref><cid>26317</cid><mty>PI</mty></mrq>` })));
  t.same(beats, [200, 200, 200, 503, 503]);
  t.equal(statusOf(await ask({ body: essence })), 200, 'heartbeats in its name keep no alarm of a unit out');
  t.match(server.counters(), { limited: 9, challenged: 10 });
});

await t.test('replies: voice, strict, in the answer, and to whom none can be sent', async (t) => {
  const units = { '26317': { profile: { dialect: 'mrs-in-answer', voiceNumber: 'gsm' } } } as const;
  let first = true;
  const accept: Accept = () => Promise.resolve({ kept: true, firstOfNeed: first });
  const voice = { answer: 'call', number: '+4759000001' } as const;
  const { server, messages } = await start({ accept, voice, strict: true, units });
  const unit = await Unit.udp(server);
  unit.acknowledges = true;
  unit.send(message({ cseq: 1, body: body('V1') }));
  await unit.next(2);
  first = false;
  unit.send(message({ cseq: 2, body: body('V2') }));
  await unit.next(4);
  unit.send(message({ cseq: 3, body: body('V3', '<stc>x</stc>') }));
  await unit.next(6);
  unit.send(message({ cseq: 4, body: '<mrq><ref>V4</ref><cid>10149471</cid></mrq>' }));
  await unit.next(8);
  unit.send(message({ cseq: 5, body: '<mrq><ref>V5</ref><cid>1014' }));
  await unit.next(10);
  unit.send(message({ cseq: 6, body: body('V6', `<ite>${'x'.repeat(1300)}</ite>`) }));
  await unit.next(12);
  unit.send(message({ cseq: 7, body: '<mrq><cid>10149471</cid><dty>3</dty></mrq>' }));
  await unit.next(13);
  t.same(unit.replies, [
    ok('V1', '<mre>1</mre><cre>62</cre><tnu>tel:+4759000001</tnu>'),
    ok('V2', '<mre>0</mre>'),
    ...[
      ['V3', 3],
      ['V4', 7],
      ['V5', 2],
      ['V6', 1],
    ].map(([ref, snu]) => `<mrs><ref>${ref}</ref><snu>${snu}</snu></mrs>`),
  ]);
  t.equal(messages.length, 7, 'the centre got them all');
  first = true;
  unit.send(message({ cseq: 8, body: body('V8').replace('10149471', '26317'), from: 'sip:26317@x' }));
  await unit.next(14);
  t.match(unit.got[13], /^SIP\/2\.0 200 OK[^]*Content-Type: application\/scaip\+xml\r\n/);
  t.equal(unit.got[13]?.split('\r\n\r\n')[1], ok('V8', '<mre>1</mre><cre>62</cre><tnu>gsm:+4759000001</tnu>'));
  unit.send(message({ cseq: 9, body: body('V9') }));
  await unit.next(16);
  t.equal(unit.replies.length, 7, 'none of its own for the one in the answer');
});

/** Moves time on in small steps, so that what the sockets bring gets its turn between. */
async function pass(clock: MovableClock, span: number): Promise<void> {
  for (let left = span; left > 0; left -= 1000) {
    await clock.advance(Math.min(left, 1000));
    await new Promise((resolve) => setImmediate(resolve));
  }
}

await t.test('delivery: three tries, then it is the unit’s turn; who never acknowledges is marked until it does', async (t) => {
  const clock = new MovableClock();
  const began = clock.now();
  const { server, unacknowledged } = await start({ clock, units: { '10149471': {} } });
  const unit = await Unit.udp(server);
  const callIds = () => new Set(unit.got.filter((one) => one.startsWith('MESSAGE')).map((one) => /Call-ID: (\S+)/.exec(one)?.[1]));
  for (let round = 1; round <= 3; round++) {
    unit.send(message({ cseq: round, body: body(`D${round}`) }));
    await until(() => server.counters().repliesSent === round, 'the reply');
    await pass(clock, seconds(100));
    t.equal(server.counters().repliesUnanswered, round);
    t.equal(callIds().size, 3 * round, 'three transactions');
    t.equal(unacknowledged.length, round < 3 ? 0 : 1);
  }
  await pass(clock, minutes(5));
  t.equal(callIds().size, 9, 'never again of itself');
  t.same(unacknowledged, [['S-10149471', began + seconds(96)]]);
  unit.acknowledges = true;
  unit.send(message({ cseq: 9, body: body('D3') }));
  await until(() => server.counters().repliesAcknowledged === 1, 'the acknowledgement of the repeat');
  t.same(unacknowledged.at(-1), ['S-10149471', null]);
});

await t.test('delivery: a connection that is gone, with and without a registration', async (t) => {
  const clock = new MovableClock();
  let registered: Flow | null = null;
  const { server } = await start({ clock, units: { '10149471': {} }, flowOf: () => registered });
  const talkative = await Unit.udp(server);
  registered = server.flowTo({ address: '127.0.0.1', port: talkative.port });
  const leaves = async (ref: string): Promise<void> => {
    const { kept } = server.counters();
    const unit = await Unit.tcp(server);
    unit.send(message({ body: body(ref), callId: ref }));
    await unit.next(2);
    t.equal(server.counters().kept, kept + 1);
    unit.close();
  };
  await leaves('L1');
  await until(() => talkative.replies.includes(ok('L1')), 'the reply where it registered');
  t.match(talkative.got[0], new RegExp(`^MESSAGE sip:10149471@127\\.0\\.0\\.1:${talkative.port} SIP/2\\.0`));
  talkative.send(okTo(talkative.got[0] ?? ''));
  await until(() => server.counters().repliesAcknowledged === 1, 'its acknowledgement');
  registered = null;
  await leaves('L2');
  await until(() => server.counters().repliesUndelivered === 1, 'no way left');
  const back = await Unit.tcp(server);
  back.acknowledges = true;
  back.send(message({ body: body('L2'), callId: 'L2', cseq: 2 }));
  await until(() => back.replies.includes(ok('L2')), 'its repeat fetches the reply');
});

const INVITE = { method: 'INVITE', body: '', type: 'application/sdp' } as const;
const ackTo = (one: string, cseq: number): Buffer =>
  Buffer.from(
    message({ ...INVITE, method: 'ACK', cseq, callId: /Call-ID: (\S+)/.exec(one)?.[1] ?? '' })
      .toString()
      .replace(/To: .*/, /To: .*/.exec(one)?.[0] ?? ''),
  );

/** A unit that calls, and says that it has heard the answer. */
function caller(unit: Unit): (from: string, callId: string, more?: string) => Promise<string> {
  let last = 0;
  return async (from, callId, more = '') => {
    const cseq = ++last;
    const before = unit.got.length;
    unit.send(message({ ...INVITE, callId, cseq, from: `sip:${from}@x`, more }));
    const isFinal = (one: string): boolean => one.startsWith('SIP/2.0') && statusOf(one) >= 200 && one.includes(`CSeq: ${cseq} INVITE`);
    await until(() => unit.got.slice(before).some(isFinal), `an answer to ${callId}`);
    const answer = unit.got.slice(before).find(isFinal) ?? '';
    unit.send(ackTo(answer, cseq));
    return answer;
  };
}

await t.test('calls: each is kept before it is told that there is no voice, a flood is told so; strangers are turned away', async (t) => {
  const clock = new MovableClock();
  const kept = [false];
  const call = () => Promise.resolve((kept.shift() ?? true) ? KEPT : ({ kept: false } as const));
  const { server, calls, refused } = await start({ clock, call, units: { '10149471': {}, '26317': {} } });
  const unit = await Unit.udp(server);
  const calling = caller(unit);
  t.equal(statusOf(await calling('10149471', 'call-0')), 503, 'could not be kept');
  for (const callId of ['call-0', 'call-1', 'call-2', 'call-3', 'call-4', 'call-5'])
    t.equal(statusOf(await calling('10149471', callId)), 480);
  t.same(
    calls.map(({ callId, names }) => `${callId} ${names.user}`),
    ['call-0', 'call-0', 'call-1', 'call-2', 'call-3', 'call-4', 'call-5'].map((callId) => `${callId} 10149471`),
    'one that comes seconds after another counts as well: the alarm of the first may be closed',
  );
  const refusal = await calling('10149471', 'call-6');
  t.match(refusal, /^SIP\/2\.0 503 .*\r\nRetry-After: 5\r\n/s, 'too many: nobody says that it was kept');
  t.same([calls.length, refused], [7, ['rate-limited 10149471 INVITE']]);
  t.equal(statusOf(await calling('10149471', 'call-1')), 480, 'the same call again is no other one');
  t.equal(statusOf(await calling('26317', 'call-7')), 480, 'another unit has room of its own');
  await clock.advance(minutes(1));
  t.equal(statusOf(await calling('10149471', 'call-6')), 480);
  t.same([calls.length, calls.at(-1)?.callId], [10, 'call-6']);

  const before = unit.got.length;
  unit.send(message({ ...INVITE, callId: 'call-8', cseq: 99, from: 'sip:nobody@x' }));
  await until(() => unit.got.slice(before).some((one) => statusOf(one) === 403), 'the refusal');
  t.equal(refused.at(-1), 'unknown-caller nobody INVITE');
  await clock.advance(seconds(32));
  t.equal(statusOf(await calling('26317', 'call-9')), 480);
  t.equal(unit.got.filter((one) => statusOf(one) === 403).length, 1, 'a stranger draws one refusal, not a dozen');
});

await t.test('calls: one that comes while another is being kept is not answered before it is kept itself', async (t) => {
  const open: (() => void)[] = [];
  const call = () => new Promise<typeof KEPT>((resolve) => open.push(() => resolve(KEPT)));
  const { server, calls } = await start({ call, units: { '10149471': {} } });
  const unit = await Unit.udp(server);
  const refusals = () => unit.got.filter((one) => statusOf(one) === 480).map((one) => /CSeq: (\d)/.exec(one)?.[1]);
  unit.send(message({ ...INVITE, callId: 'a', cseq: 1 }));
  unit.send(message({ ...INVITE, callId: 'b', cseq: 2 }));
  await until(() => calls.length === 2, 'both calls');
  open[1]?.();
  await until(() => refusals().length > 0, 'an answer');
  t.same(refusals(), ['2']);
  unit.send(ackTo(unit.got.find((one) => statusOf(one) === 480) ?? '', 2));
  open[0]?.();
  await until(() => refusals().includes('1'), 'the other answer');
  unit.send(ackTo(unit.got.find((one) => statusOf(one) === 480 && one.includes('CSeq: 1')) ?? '', 1));
});

await t.test('calls: what was held for want of credentials is released by them, however many calls there are', async (t) => {
  const clock = new MovableClock();
  const events: string[] = [];
  const call = ({ callId }: { callId: string }, { authenticated }: { authenticated: boolean }) => {
    events.push(`accepted ${callId} ${authenticated ? 'proven' : 'unproven'}`);
    return Promise.resolve(KEPT);
  };
  const holdCall = ({ callId }: { callId: string }) => {
    events.push(`held ${callId}`);
    return Promise.resolve('held' as const);
  };
  const { server, refused } = await start({ clock, call, holdCall, units: { '10149471': PROVING } });
  const calling = caller(await Unit.udp(server));
  const prove = async (callId: string, held: boolean): Promise<void> => {
    const asked = await calling('10149471', callId);
    t.equal(statusOf(asked), 401);
    events.length = 0;
    const more = proofFor('INVITE', asked);
    t.equal(statusOf(await calling('10149471', callId, more)), 480);
    t.same(events, [`accepted ${callId} proven`], held ? 'the second within a minute too' : '');
  };
  await prove('c1', false);
  await prove('c2', true);
  for (const callId of ['c3', 'c4', 'c5', 'c6']) t.equal(statusOf(await calling('10149471', callId)), 401);
  events.length = 0;
  t.equal(statusOf(await calling('10149471', 'c7')), 401);
  t.same(events, [], 'what finds no room is not held, but asked: its proof opens the door');
  t.equal(refused.at(-1), 'rate-limited 10149471 INVITE');
  await prove('c3', true);
});

await t.test('registrations: of units of the register only, with credentials where they must', async (t) => {
  const clock = new MovableClock();
  const { server, registered, refused } = await start({ clock, units: { '10149471': PROVING, '26317': {} } });
  const unit = await Unit.udp(server);
  const asking = async (user: string, cseq: number, more = ''): Promise<string> => {
    unit.send(message({ method: 'REGISTER', body: '', cseq, to: `sip:${user}@centre.example`, from: 'sip:somebody@x', more }));
    return (await unit.next(cseq))[cseq - 1] ?? '';
  };
  t.equal(statusOf(await asking('26317', 1)), 200);
  t.equal(statusOf(await asking('555', 2)), 403);
  const asked = await asking('10149471', 3);
  t.equal(statusOf(asked), 401);
  t.same([registered, refused], [['26317'], ['unknown-registration 555 REGISTER']]);
  const more = proofFor('REGISTER', asked);
  t.equal(statusOf(await asking('10149471', 4, more)), 200);
  t.same(registered, ['26317', '10149471']);
});
