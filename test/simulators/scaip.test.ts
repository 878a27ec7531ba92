/** The simulated SCAIP unit against a receiver on real sockets: it retransmits, waits for its mrs, insists and falls back. */
import { createHash } from 'node:crypto';
import t from 'tap';
import { MovableClock } from '../../src/base/clock.ts';
import { SeededRandom } from '../../simulators/random.ts';
import { authorization } from '../../simulators/scaip/digest.ts';
import { readSip, SipStream, writeSip } from '../../simulators/scaip/sip-text.ts';
import type { SipPlace } from '../../simulators/scaip/sip-places.ts';
import { ScaipUnit, type ScaipUnitOptions } from '../../simulators/scaip/unit.ts';
import { FLAVOURS, flavourOf, writeReport } from '../../simulators/scaip/vendors.ts';
import { accept, answer, bodyOf, headerOf, keepingLog, mrs, quiet, refOf, startReceiver, until, type Receiver } from './counterparts.ts';

const place = (receiver: Receiver, transport: 'udp' | 'tcp' = 'udp'): SipPlace => ({ host: '127.0.0.1', port: receiver.port, transport });

function unitAt(receivers: readonly SipPlace[], more: Partial<ScaipUnitOptions> = {}) {
  const clock = new MovableClock();
  const log = keepingLog();
  const unit = new ScaipUnit({
    controllerId: '26317',
    flavour: 'essence',
    triggers: [{ id: '01', class: 'pendant' }],
    receivers: () => receivers,
    heartbeatEvery: null,
    clock,
    random: new SeededRandom(1),
    log,
    ...more,
  });
  t.teardown(() => unit.stop());
  return { unit, clock, log };
}

async function receiver(transport: 'udp' | 'tcp' = 'udp'): Promise<Receiver> {
  const one = await startReceiver(transport);
  t.teardown(() => one.stop());
  return one;
}

await t.test('the vendors write what was captured from their devices', async (t) => {
  // Typed from the captures; only our own telephone number differs.
  const cases = [
    [
      'essence',
      'heartbeat',
      '00001A85',
      '26317',
      '<mrq><ref>00001A85</ref><cha>0</cha><mty>PI</mty><cid>26317</cid><dty>02</dty><did>00</did><crd>no-voice:</crd><stc>102</stc></mrq>',
    ],
    ['possum', 'heartbeat', '1998218577', '10149471', '<mrq><mty>PI</mty><ref>1998218577</ref><cid>10149471</cid><dty>2</dty></mrq>'],
    [
      'telealarm',
      'heartbeat',
      'v6l7eiuzBTfybE7j',
      '999998',
      '<mrq><ref>v6l7eiuzBTfybE7j</ref><cid>999998</cid><dty>0002</dty><mty>PI</mty><stc>0009</stc><lco>002</lco><crd>gsm:</crd><cha>0</cha></mrq>',
    ],
    [
      'telealarm',
      'fault',
      'lmepivnFqmI8Jvv1',
      '999998',
      '<mrq><ref>lmepivnFqmI8Jvv1</ref><cid>999998</cid><dty>0002</dty><mty>ME</mty><stc>0067</stc><crd>gsm:</crd><cha>0</cha></mrq>',
    ],
    [
      'essence',
      'manual-alarm',
      '00001883',
      '26317',
      '<mrq><ref>00001883</ref><cha>0</cha><mty>ME</mty><cid>26317</cid><dty>02</dty><did>00</did><crd>gsm:+4759000000000</crd><stc>010</stc></mrq>',
    ],
    [
      'climax',
      'test',
      '00020486',
      '2342566343454',
      '<mrq><ref>00020486</ref><cha>0</cha><mty>ME</mty><cid>2342566343454</cid><dty>02</dty><did>00</did><crd>no-voice:</crd><stc>102</stc></mrq>',
    ],
  ] as const;
  for (const [vendor, report, ref, cid, written] of cases) {
    t.equal(writeReport(flavourOf(vendor), report, ref, cid, null), written, `${vendor} ${report}`);
  }
  t.equal(
    writeReport(flavourOf('doro'), 'manual-alarm', '803137200003', '8031372', { id: 'A', class: 'cord' }),
    '<mrq><ref>803137200003</ref><mty>ME</mty><cid> 8031372</cid><dty>0004</dty><did>A</did><stc>0010</stc><crd>gsm:+</crd></mrq>',
    'a space in the cid, a number without digits',
  );
  for (const name of FLAVOURS) {
    const ref = flavourOf(name).ref(1, '8031372', Date.UTC(2026, 0, 1), new SeededRandom(3));
    t.match(ref, /^[0-9a-zA-Z]{1,16}$/, `${name} has a valid ref`);
    t.not(ref, flavourOf(name).ref(2, '8031372', Date.UTC(2026, 0, 1), new SeededRandom(4)), `${name} has a new ref each time`);
  }
});

await t.test('a pressed pendant is delivered when the centre has said so in a MESSAGE of its own', async (t) => {
  const centre = await receiver();
  const { unit, log } = unitAt([place(centre)]);
  let question = '';
  centre.behave((from) => {
    question = from.text;
    from.reply(answer(from.text, '200 OK'));
  });
  const pressing = unit.act({ name: 'press', trigger: '01' });
  let delivered = false;
  void pressing.then(() => (delivered = true));
  await until('the alarm', () => centre.got.length === 1);
  await quiet();
  t.notOk(delivered, 'a 200 alone is not enough');
  t.match(question, /^MESSAGE sip:alarm@127\.0\.0\.1:\d+ SIP\/2\.0\r\n/);
  t.match(
    headerOf(question, 'Via'),
    /^SIP\/2\.0\/UDP 192\.168\.10\.20:5060;branch=z9hG4bK-[0-9a-f]{12};rport$/,
    'a private address, as behind a router',
  );
  t.equal(headerOf(question, 'Content-Type'), 'application/scaip+xml');
  t.match(bodyOf(question), /<dty>03<\/dty><did>01<\/did>.*<stc>010<\/stc>/);
  const own = mrs(question, 0);
  centre.got[0]?.reply(own);
  const [delivery] = await pressing;
  t.match(delivery, { result: 'delivered', attempts: 1 });
  centre.got[0]?.reply(own);
  await until('both answers', () => centre.got.length === 3);
  for (const name of ['Via', 'From', 'Call-ID', 'CSeq'])
    t.equal(headerOf(centre.got[1]?.text ?? '', name), headerOf(own, name), `${name} goes back as it came`);
  t.match(centre.got[1]?.text, /^SIP\/2\.0 200 OK\r\n/, 'the unit answers 200');
  t.match(centre.got[2]?.text, /^SIP\/2\.0 200 OK\r\n/, 'and again when the MESSAGE comes again');
  t.same(
    log.lines.filter(({ level }) => level === 'warn'),
    [],
  );
});

await t.test('over UDP it retransmits by timers E and F, then turns to the second receiver', async (t) => {
  const silent = await receiver();
  const second = await receiver();
  second.behave(accept);
  const { unit, clock, log } = unitAt([place(silent), place(second)]);
  const pressing = unit.act({ name: 'press' });
  await until('the first datagram', () => silent.got.length === 1);
  // RFC 3261 § 17.1.2.2: after 500 ms, then doubled up to T2 = 4 s, until timer F at 32 s; then the same for the second try.
  const schedule = [0, 500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
  const all = [...schedule, ...schedule.map((at) => 32_000 + at)];
  const began = clock.now();
  for (const [i, at] of all.entries()) {
    const wait = at - (clock.now() - began);
    if (i > 0) {
      await clock.advance(wait - 1);
      await quiet(5);
      t.equal(silent.got.length, i, `not yet ${i + 1} at ${at - 1} ms`);
      await clock.advance(1);
    }
    await until(`datagram ${i + 1} at ${at} ms`, () => silent.got.length === i + 1);
  }
  await clock.advance(500);
  const [delivery] = await pressing;
  t.match(delivery, { result: 'delivered', attempts: 3 });
  t.equal(new Set(silent.got.slice(0, 11).map(({ text }) => text)).size, 1, 'a retransmission is the same bytes');
  t.not(
    headerOf(silent.got[0]?.text ?? '', 'Call-ID'),
    headerOf(silent.got[11]?.text ?? '', 'Call-ID'),
    'the second try is a new transaction',
  );
  t.equal(bodyOf(silent.got[0]?.text ?? ''), bodyOf(second.requests()[0] ?? ''), 'with the same body, also to the second receiver');
  t.equal(log.lines.filter(({ event }) => event === 'receiver-given-up').length, 1);
});

await t.test('after 100 Trying it only repeats every four seconds', async (t) => {
  const busy = await receiver();
  const { unit, clock } = unitAt([place(busy)]);
  busy.behave((from) => from.reply(answer(from.text, '100 Trying')));
  void unit.act({ name: 'press' });
  await until('the first', () => busy.got.length === 1);
  await quiet();
  await clock.advance(500);
  await until('the second', () => busy.got.length === 2);
  await clock.advance(3900);
  await quiet();
  t.equal(busy.got.length, 2);
  await clock.advance(100);
  await until('the third', () => busy.got.length === 3);
});

await t.test('without an mrs it sends the alarm again as a new transaction, and a late mrs counts', async (t) => {
  const centre = await receiver();
  const { unit, clock } = unitAt([place(centre)]);
  centre.behave((from) => from.reply(answer(from.text, '200 OK')));
  const pressing = unit.act({ name: 'press' });
  await until('the alarm', () => centre.got.length === 1);
  await quiet();
  await clock.advance(9_900);
  await quiet();
  t.equal(centre.got.length, 1, 'it waits');
  await clock.advance(200);
  await until('the repetition', () => centre.got.length === 2);
  const [first = '', again = ''] = centre.requests();
  t.equal(bodyOf(first), bodyOf(again));
  t.not(headerOf(first, 'Call-ID'), headerOf(again, 'Call-ID'));
  t.not(headerOf(first, 'Via'), headerOf(again, 'Via'));
  await quiet();
  await clock.advance(10_100);
  await quiet();
  t.equal(centre.got.length, 2, 'nobody left to turn to: it pauses');
  centre.got[0]?.reply(mrs(first, 0));
  t.match(await pressing, [{ result: 'delivered', attempts: 2 }], 'the mrs of the first try ends it, even in the pause');
});

await t.test('all receivers silent: it begins anew, until it is switched off', async (t) => {
  const centre = await receiver('tcp');
  await centre.stop();
  const { unit, clock } = unitAt([place(centre, 'tcp')], { timing: { pauseBetweenRounds: 5000 } });
  const pressing = unit.act({ name: 'press' });
  for (let i = 0; i < 3; i++) {
    await quiet();
    await clock.advance(5100);
  }
  await unit.stop();
  const [delivery] = await pressing;
  t.equal(delivery?.result, 'stopped');
  t.ok((delivery?.attempts ?? 0) >= 6, 'two tries in each of at least three rounds');
});

await t.test('the mrs may overtake the 200', async (t) => {
  const centre = await receiver();
  const { unit } = unitAt([place(centre)]);
  centre.behave((from) => from.reply(mrs(from.text, 0)));
  t.match(await unit.act({ name: 'fall' }), [{ result: 'delivered', attempts: 1 }]);
});

await t.test('what the centre answers decides what comes next', async (t) => {
  const busy = await receiver();
  const second = await receiver();
  second.behave(accept);
  busy.behave((from) => {
    from.reply(answer(from.text, '200 OK'));
    from.reply(mrs(from.text, 6));
  });
  const { unit, log } = unitAt([place(busy), place(second)]);
  t.match(await unit.act({ name: 'press' }), [{ result: 'delivered', attempts: 2 }], 'busy: the next receiver at once');
  busy.behave((from) => from.reply(answer(from.text, '503 Service Unavailable')));
  t.match(await unit.act({ name: 'press' }), [{ result: 'delivered', attempts: 3 }], 'an error: once more, then the next');
  busy.behave((from) => {
    from.reply(answer(from.text, '202 Accepted'));
    from.reply(mrs(from.text, 3));
  });
  t.match(await unit.act({ name: 'press' }), [{ result: 'refused', attempts: 1 }], 'wrong content: nobody will like it better');
  const givenUp = (): number => log.lines.filter(({ event }) => event === 'receiver-given-up').length;
  const before = givenUp();
  let busyAnswer = '';
  busy.behave((from) => {
    from.reply(answer(from.text, '200 OK'));
    busyAnswer = mrs(from.text, 6);
    from.reply(busyAnswer);
  });
  second.behave((from) => {
    busy.got.at(-1)?.reply(busyAnswer);
    accept(from);
  });
  t.match(await unit.act({ name: 'press' }), [{ result: 'delivered', attempts: 2 }], 'an mrs that comes again …');
  t.equal(givenUp() - before, 1, '… is answered, but not heard again');

  const asked = busy.requests().length;
  busy.behave((from) => from.reply(answer(from.text, '200 OK')));
  let delivered = false;
  const pressing = unit.act({ name: 'press' });
  void pressing.then(() => (delivered = true));
  await until('the alarm', () => busy.requests().length === asked + 1);
  const alarm = busy.requests().at(-1) ?? '';
  const say = (text: string) => busy.got.findLast((from) => from.text === alarm)?.reply(text);
  const longer = (text: string, by: number): string =>
    text.replace(/Content-Length: (\d+)/, (_all, n) => `Content-Length: ${Number(n) + by}`);
  say(longer(mrs(alarm, 0).replace('<mrs>', '<?xml?><mrs>'), 7));
  say(mrs(alarm.replace(/<ref>[^<]*/, '<ref>another'), 0));
  say(longer(mrs(alarm, 0).replace('<snu>0</snu>', ''), -12));
  await quiet();
  t.notOk(delivered, 'a declaration, a foreign ref, no status number: none is its mrs');
  say(mrs(alarm, 0));
  t.match(await pressing, [{ result: 'delivered', attempts: 1 }]);
});

await t.test('over TCP it keeps one connection, reads byte by byte, and connects again when it is cut', async (t) => {
  const centre = await receiver('tcp');
  centre.behave((from) => {
    for (const byte of answer(from.text, '200 OK') + mrs(from.text, 0)) from.reply(byte);
  });
  const { unit, clock } = unitAt([place(centre, 'tcp')]);
  await unit.act({ name: 'press' });
  await unit.act({ name: 'repeat' });
  await until('all', () => centre.got.length === 4);
  t.equal(new Set(centre.got.map(({ port }) => port)).size, 1);
  const [first = '', repeat = ''] = centre.requests();
  t.not(refOf(first), refOf(repeat), 'a repeat is a new message');
  centre.behave(() => centre.hangUp());
  const pressing = unit.act({ name: 'press' });
  await until('both tries', () => centre.requests().length === 4);
  centre.behave(accept);
  await quiet();
  await clock.advance(30_000);
  t.match(await pressing, [{ result: 'delivered', attempts: 3 }]);
});

await t.test('a duplicate is the same bytes with the same ref; a cut link loses datagrams until it is back', async (t) => {
  const centre = await receiver();
  centre.behave(accept);
  const { unit, clock } = unitAt([place(centre)]);
  await unit.act({ name: 'press' });
  await unit.act({ name: 'duplicate' });
  const [first = '', twice = ''] = centre.requests();
  t.equal(bodyOf(first), bodyOf(twice));
  await unit.act({ name: 'link-cut' });
  const pressing = unit.act({ name: 'press' });
  await clock.advance(8000);
  await quiet();
  t.equal(centre.requests().length, 2);
  await unit.act({ name: 'link-back' });
  await clock.advance(4000);
  t.match(await pressing, [{ result: 'delivered', attempts: 1 }], 'the next retransmission gets through');
});

await t.test('heartbeats come by themselves; every act has its code', async (t) => {
  const centre = await receiver();
  centre.behave(accept);
  const { unit, clock } = unitAt([place(centre)], { heartbeatEvery: 60_000, flavour: 'telealarm', controllerId: '999998' });
  await unit.start();
  const beat = async (n: number, within: number): Promise<void> => {
    for (let waited = 0; waited < within && centre.requests().length < n; waited += 100) {
      await clock.advance(100);
      await quiet(1);
    }
    t.equal(centre.requests().length, n);
  };
  await beat(1, 5000);
  await beat(2, 60_100);
  t.match(centre.requests()[1], /<mty>PI<\/mty>/);
  const codes = {
    'battery-low': '0016',
    'battery-ok': '0015',
    'mains-lost': '0085',
    'mains-back': '0086',
    'trigger-lost': '0123',
    tamper: '0125',
    test: '0102',
    cancel: '0019',
    presence: '0088',
  } as const;
  for (const [name, stc] of Object.entries(codes)) {
    await unit.act({ name: name as keyof typeof codes });
    t.match(bodyOf(centre.requests().at(-1) ?? ''), `<stc>${stc}</stc>`, name);
  }
  await unit.act({ name: 'battery-low', trigger: 'K1' });
  t.match(bodyOf(centre.requests().at(-1) ?? ''), /<dty>0003<\/dty><did>K1<\/did>/, 'the battery of a trigger');
  await unit.act({ name: 'goes-flat' });
  await quiet();
  const before = centre.got.length;
  await clock.advance(120_000);
  await quiet();
  t.equal(centre.got.length, before, 'a flat unit is silent');
});

await t.test('it answers a digest challenge with the same body and the next CSeq', async (t) => {
  const centre = await receiver();
  const challenge = 'Digest realm="arc", nonce="n-1", qop="auth,auth-int", algorithm=SHA-256, opaque="o"';
  centre.behave((from) => {
    if (headerOf(from.text, 'Authorization') === '')
      from.reply(answer(from.text, '401 Unauthorized', `WWW-Authenticate: ${challenge}\r\n`));
    else accept(from);
  });
  const { unit } = unitAt([place(centre)], { password: 'p' });
  t.match(await unit.act({ name: 'press' }), [{ result: 'delivered', attempts: 1 }]);
  const [first = '', second = ''] = centre.requests();
  t.equal(Number(headerOf(second, 'CSeq').split(' ')[0]), Number(headerOf(first, 'CSeq').split(' ')[0]) + 1);
  t.equal(headerOf(first, 'Call-ID'), headerOf(second, 'Call-ID'));
  t.equal(bodyOf(first), bodyOf(second));
  const proof = headerOf(second, 'Authorization');
  const sha = (text: string) => createHash('sha256').update(text).digest('hex');
  const cnonce = /cnonce="([^"]*)"/.exec(proof)?.[1];
  const uri = /uri="([^"]*)"/.exec(proof)?.[1];
  t.match(proof, `response="${sha(`${sha('26317:arc:p')}:n-1:00000001:${cnonce}:auth:${sha(`MESSAGE:${uri}`)}`)}"`);
  t.match(
    authorization('Digest realm="r", nonce="n"', 'u', 'p', 'sip:x', 'c'),
    /algorithm=MD5/,
    'MD5 is what RFC 2617 means without a word',
  );
  t.equal(authorization('Basic realm="r"', 'u', 'p', 'sip:x', 'c'), null);
});

await t.test('it lies in every way, and a receiver may answer or not', async (t) => {
  const centre = await receiver();
  centre.behave((from) => from.reply(answer(from.text, '200 OK')));
  const { unit, log } = unitAt([place(centre)]);
  for (let i = 0; i < 40; i++) await unit.act({ name: 'garbage' });
  t.equal(new Set(log.lines.filter(({ event }) => event === 'garbage-sent').map(({ code }) => code)).size, 7);
});

await t.test('what the centre says is read in any pieces, and nonsense is survived', async (t) => {
  const whole = writeSip(
    'SIP/2.0 200 OK',
    [
      ['v', 'SIP/2.0/UDP x'],
      ['i', 'call'],
      ['CSeq', '7 MESSAGE'],
    ],
    'æ',
  );
  const read = readSip(whole);
  t.equal(read?.status, 200);
  t.equal(read?.body, 'æ');
  t.same(read?.headers.get('call-id'), ['call'], 'compact names');
  for (let cut = 1; cut < whole.length; cut++) {
    const stream = new SipStream();
    t.same(stream.push(whole.subarray(0, cut)), [], 'nothing yet');
    t.equal(stream.push(Buffer.concat([whole.subarray(cut), Buffer.from('\r\n\r\n'), whole]))?.length, 2, `cut at ${cut}`);
  }
  for (const nonsense of ['', '\r\n\r\n', 'HELLO\r\n\r\n', 'SIP/2.0 OK\r\n\r\n', 'SIP/2.0 200 OK\r\nno colon\r\n\r\n'])
    t.equal(readSip(Buffer.from(nonsense)), null);
  t.equal(new SipStream().push(Buffer.from('SIP/2.0 200 OK\r\nContent-Length: -1e9x\r\n\r\n')), null);
  t.equal(new SipStream().push(Buffer.alloc(70_000, 65)), null, 'a stream without end is given up');
  const random = new SeededRandom('bytes');
  for (let i = 0; i < 300; i++) readSip(Buffer.from(Array.from({ length: random.whole(0, 80) }, () => random.whole(0, 255))));
});

await t.test('the same seed presses the same way; another does not', async (t) => {
  const draws = (seed: string | number) =>
    Array.from(
      { length: 20 },
      (
        (random) => () =>
          random.next()
      )(new SeededRandom(seed)),
    );
  t.same(draws(5), draws(5));
  t.notSame(draws(5), draws(6));
  const quietFork = new SeededRandom(1);
  const busyFork = new SeededRandom(1);
  busyFork.next();
  t.equal(quietFork.fork('a').next(), busyFork.fork('a').next(), 'what one draws does not disturb another');
  const many = Array.from(
    { length: 10_000 },
    (
      (random) => () =>
        random.whole(1, 6)
    )(new SeededRandom('die')),
  );
  for (let face = 1; face <= 6; face++) t.ok(Math.abs(many.filter((n) => n === face).length - 1667) < 200, `face ${face}`);
  t.throws(() => new SeededRandom(1).pick([]), RangeError);
});
