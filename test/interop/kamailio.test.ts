/** Kamailio as the edge: units over UDP, TCP and TLS reach the centre through it, and the centre's mrs finds each over the way it came. */
import t from 'tap';
import { missing } from '../support/process.ts';
import { until } from '../support/stores.ts';
import { nothingWentWrong, oneAlarm, pressed, secretOf, startInterop } from './centre.ts';
import { startEdge } from './edge.ts';
import { NpmSipUnit } from './npm-sip.ts';
import { RawCentre, RawUnit, mrs, okTo, written } from './raw-sip.ts';

const skip = missing(t, 'kamailio', '-v');

await t.test('in front of a whole centre', { skip }, async (t) => {
  const { centre, ready, operator, certificate } = await startInterop(t, { tls: false });
  const edge = await startEdge(t, [ready.sipUdp], certificate);

  for (const [transport, cid] of [
    ['udp', '7000'],
    ['tcp', '7001'],
    ['tls', '7002'],
  ] as const) {
    const without = transport === 'tls' && certificate === null ? 'openssl is not installed' : false;
    await t.test(`npm sip over ${transport}: one alarm, one snu 0`, { skip: without }, async (t) => {
      const unit = await NpmSipUnit.start(t, cid, edge[transport], transport, certificate === null ? {} : { certificate });
      t.equal(await unit.options(), 200, 'OPTIONS reaches the centre');
      t.equal(await unit.message(pressed(cid, `a${cid}`)), 200);
      await unit.receipt(`a${cid}`);
      await oneAlarm(t, operator, cid, [`opened a${cid}`], { kind: 'call-button', signalCount: 1, duplicateCount: 0 });
      t.equal(await unit.message(pressed(cid, `b${cid}`)), 200);
      await unit.receipt(`b${cid}`);
      t.equal(await unit.message(pressed(cid, `b${cid}`)), 200, 'the same again');
      await until('its mrs again', () => unit.heard.length === 3);
      await oneAlarm(t, operator, cid, [`opened a${cid}`, `repeated b${cid}`, `duplicate-received b${cid}`], { signalCount: 2 });
    });
  }

  await t.test(
    'a unit under TLS with a secret is challenged through Kamailio, and gets its mrs',
    { skip: certificate === null },
    async (t) => {
      const password = await secretOf(centre, '7009');
      const unit = await NpmSipUnit.start(t, '7009', edge.tls, 'tls', { password, ...(certificate && { certificate }) });
      t.equal(await unit.register(600), 200, 'REGISTER');
      t.equal(await unit.message(pressed('7009', 'secret')), 200);
      await unit.receipt('secret');
      await oneAlarm(t, operator, '7009', ['opened secret']);
    },
  );

  await t.test('twenty messages in one segment: twenty signals of one alarm, twenty mrs', async (t) => {
    const unit = await RawUnit.tcp(t, edge.tcp);
    const refs = Array.from({ length: 20 }, (_, n) => `seg${n}`);
    const messages = refs.map((ref, n) => written('TCP', { cid: '7003', body: pressed('7003', ref), callId: 'always', cseq: n + 1 }));
    unit.sends(messages.join(''));
    for (const ref of refs) await unit.hears(new RegExp(`<ref>${ref}</ref><snu>0`));
    await oneAlarm(
      t,
      operator,
      '7003',
      refs.map((ref, n) => `${n === 0 ? 'opened' : 'repeated'} ${ref}`),
    );
  });

  await t.test('a unit without From user and tag is answered by its controller id', async (t) => {
    const unit = await RawUnit.udp(t, edge.udp);
    unit.sends(written('UDP', { cid: '7004', body: pressed('7004', 'bare'), from: 'sip:192.168.1.20', fromTag: '' }));
    await unit.hears(/<ref>bare<\/ref><snu>0/);
    await oneAlarm(t, operator, '7004', ['opened bare']);
  });

  await t.test('noise ends a connection, and the unit behind it is heard on the next', async (t) => {
    const noisy = await RawUnit.tcp(t, edge.tcp);
    noisy.sends('\u0000\u0001 noise\r\n\r\n');
    await until('the connection is ended', () => noisy.ended);
    const unit = await RawUnit.tcp(t, edge.tcp);
    unit.sends(written('TCP', { cid: '7005', body: pressed('7005', 'next') }));
    await unit.hears(/<ref>next<\/ref><snu>0/);
    await oneAlarm(t, operator, '7005', ['opened next']);
  });

  await t.test('all the time the centre met no bug', (t) => {
    nothingWentWrong(t, centre);
    t.end();
  });
});

await t.test('the way back', { skip }, async (t) => {
  const first = await RawCentre.start(t);
  const second = await RawCentre.start(t);
  const edge = await startEdge(t, [first.address, second.address], null);

  await t.test('two units that give the same From user each get the reply to their own reference', async (t) => {
    const [one, other] = [await RawUnit.udp(t, edge.udp), await RawUnit.tcp(t, edge.tcp)];
    one.sends(written('UDP', { cid: '8001', body: pressed('8001', 'one'), from: 'sip:unit@10.0.0.1', callId: 'one' }));
    await one.hears(/SIP\/2.0 200/);
    other.sends(written('TCP', { cid: '8002', body: pressed('8002', 'other'), from: 'sip:unit@10.0.0.1', callId: 'other' }));
    await other.hears(/SIP\/2.0 200/);
    t.equal(await first.sends('unit', mrs('one')), 200);
    t.equal(await first.sends('unit', mrs('other')), 200);
    t.match(one.said, /<ref>one</);
    t.notMatch(one.said, /<ref>other</);
    t.match(other.said, /^MESSAGE sip:unit@127\.0\.0\.1:\d+;transport=tcp SIP\/2\.0$[^]*<ref>other</m);
    t.equal(await first.sends('unit', mrs('another')), 200, 'any other goes to where the unit was heard last');
    t.match(other.said, /<ref>another</);
  });

  await t.test('credentials pass through untouched, and a refused stranger takes over nobody', async (t) => {
    const unit = await RawUnit.udp(t, edge.udp);
    unit.sends(written('UDP', { cid: '8003', body: pressed('8003', 'mine') }));
    await unit.hears(/SIP\/2.0 200/);
    const challenge = 'WWW-Authenticate: Digest realm="responssenter", nonce="a,b", algorithm=SHA-256, qop="auth"';
    first.answer = (request) => okTo(request).replace('200 OK\r\n', `401 Unauthorized\r\n${challenge}\r\n`);
    const stranger = await RawUnit.udp(t, edge.udp);
    const proof = 'Authorization: Digest username="8003", realm="responssenter", response="00", uri="sip:alarm@centre.example"';
    stranger.sends(written('UDP', { cid: '8003', body: pressed('8003', 'forged'), headers: [proof], callId: 'forged' }));
    await stranger.hears(/SIP\/2.0 401/);
    t.ok(stranger.said.includes(challenge));
    t.ok(first.heard.at(-1)?.includes(proof));
    first.answer = okTo;
    t.equal(await first.sends('8003', mrs('later')), 200);
    t.match(unit.said, /<ref>later</);
  });

  await t.test('a connection that is gone is not called back', async (t) => {
    const unit = await RawUnit.tcp(t, edge.tcp);
    unit.sends(written('TCP', { cid: '8004', body: pressed('8004', 'gone') }));
    await unit.hears(/SIP\/2.0 200/);
    unit.close();
    // What is sent while Kamailio learns of it is written into the closing connection, and stays without an answer.
    await until('a refusal', async () => (await first.sends('8004', mrs('gone'), 1000).catch(() => 0)) >= 400);
    t.equal(await first.sends('8999', mrs('never')), 480, 'a unit that was never heard of');
  });

  await t.test('a UDP unit is found after a restart of Kamailio', async (t) => {
    const unit = await RawUnit.udp(t, edge.udp);
    unit.sends(written('UDP', { cid: '8005', body: pressed('8005', 'before') }));
    await unit.hears(/SIP\/2.0 200/);
    await edge.restart();
    t.equal(await first.sends('8005', mrs('after')), 200);
    t.match(unit.said, /<ref>after</);
  });

  await t.test('a centre that keeps nothing is replaced by the second', async (t) => {
    first.answer = (request) => okTo(request).replace('200 OK', '503 Service Unavailable');
    const unit = await RawUnit.tcp(t, edge.tcp);
    unit.sends(written('TCP', { cid: '8006', body: pressed('8006', 'moved') }));
    await unit.hears(/SIP\/2.0 200/);
    t.ok(second.heard.some((request) => request.includes('<ref>moved<')));
    first.answer = okTo;
  });

  await t.test('a call is answered by the centre, and its ACK ends at Kamailio', async (t) => {
    first.answer = (request) =>
      okTo(request)
        .replace('200 OK', '480 Temporarily Unavailable')
        .replace(/^To: .*$/m, '$&;tag=c');
    const unit = await RawUnit.udp(t, edge.udp);
    const before = first.heard.length;
    unit.sends(written('UDP', { cid: '8007', body: '', method: 'INVITE' }));
    await unit.hears(/SIP\/2.0 480/);
    unit.sends(written('UDP', { cid: '8007', body: '', method: 'ACK' }).replace(/^To: .*$/m, '$&;tag=c'));
    await until('the ACK for the centre', () => first.heard.slice(before).some((text) => text.startsWith('ACK ')));
    t.same(
      first.heard.slice(before).map((text) => text.split(' ', 1)[0]),
      ['INVITE', 'ACK'],
    );
    first.answer = okTo;
  });
});
