/** The SMS gateway in each of its moods, and the load generator against centres that are quick, slow and away. */
import { createServer } from 'node:http';
import { type AddressInfo, type Server, connect } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import t, { type Test } from 'tap';
import { MovableClock, RunningClock } from '../../src/base/clock.ts';
import { latenciesOf, openLoop } from '../../simulators/load/open-loop.ts';
import { MqttWire } from '../../simulators/load/mqtt-wire.ts';
import { loadMqtt, loadScaip } from '../../simulators/load.ts';
import { startSmsGateway, type SmsGateway } from '../../simulators/sms-gateway.ts';
import { testCertificate, withoutOpenssl } from '../support/certificates.ts';
import { accept, answer, mrs, quiet, startBroker, startReceiver, until } from './counterparts.ts';

const MESSAGE = { to: '+4790000001', from: 'Respons', text: 'Trygghetsalarm, sone sentrum.', reference: 'ask-1' };

const post = (gateway: SmsGateway, message: object | string, signal: AbortSignal | null = null, token = gateway.token) =>
  fetch(`${gateway.url}/messages`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: typeof message === 'string' ? message : JSON.stringify(message),
    signal,
  });
const get = async (gateway: SmsGateway, path: string) => {
  const response = await fetch(`${gateway.url}${path}`, { headers: { authorization: `Bearer ${gateway.token}` } });
  return { status: response.status, body: (await response.json()) as Record<string, unknown> };
};

async function gateway() {
  const clock = new MovableClock(Date.UTC(2026, 10, 22, 22, 0, 0));
  const one = await startSmsGateway({ port: 0, clock });
  t.teardown(() => one.stop());
  return { gateway: one, clock };
}

await t.test('a message is taken once by its reference, and its delivery is reported when it is asked for', async (t) => {
  const { gateway: sms, clock } = await gateway();
  const first = await post(sms, MESSAGE);
  t.equal(first.status, 202);
  const { id } = (await first.json()) as { id: string };
  const second = await post(sms, MESSAGE);
  t.same(await second.json(), { id }, 'the same reference is the same message');
  t.match(sms.messages(), [{ ...MESSAGE, id, posted: 2, status: 'accepted' }]);
  t.equal(sms.messages().length, 1);
  t.equal(sms.posts(), 2);
  await clock.advance(100);
  t.match(await get(sms, `/messages/${id}`), { status: 200, body: { id, status: 'sent', statusAt: '2026-11-22T22:00:00.100Z' } });
  await clock.advance(100);
  t.match(await get(sms, `/messages/${id}`), { body: { status: 'delivered' } });
  t.match(await get(sms, '/messages'), { body: { messages: [{ id, reference: 'ask-1' }] } });
  t.match(await get(sms, '/messages/sms-9'), { status: 404, body: { code: 'not-found' } });
});

await t.test('it wants its token, and a message that is one', async (t) => {
  const { gateway: sms } = await gateway();
  t.equal((await post(sms, MESSAGE, null, 'wrong')).status, 401);
  t.equal((await fetch(`${sms.url}/messages`)).status, 401);
  for (const wrong of ['{', '[]', '"x"', { ...MESSAGE, to: 5 }, { ...MESSAGE, to: '' }, { ...MESSAGE, reference: undefined }]) {
    t.equal((await post(sms, wrong)).status, 400, JSON.stringify(wrong));
  }
  t.equal((await post(sms, { ...MESSAGE, text: 'x'.repeat(70_000) })).status, 400);
  t.same(sms.messages(), []);
});

await t.test('it delays, refuses, fails and hangs as it is told, for all or for one number', async (t) => {
  const { gateway: sms, clock } = await gateway();
  sms.setBehaviour({ mode: 'refuse', status: 422, code: 'invalid-number' }, '+4790000002');
  const refused = await post(sms, { ...MESSAGE, to: '+4790000002', reference: 'r' });
  t.same(
    [refused.status, (await refused.json()) as object],
    [422, { status: 422, code: 'invalid-number', detail: 'The message was refused.' }],
  );
  t.equal((await post(sms, MESSAGE)).status, 202, 'others are taken');

  sms.setBehaviour({ mode: 'error' });
  t.equal((await post(sms, { ...MESSAGE, reference: 'e' })).status, 500);
  sms.setBehaviour({ mode: 'take-and-fail' });
  t.equal((await post(sms, { ...MESSAGE, reference: 'tf' })).status, 500);
  t.same(
    sms.messages().map(({ reference }) => reference),
    ['ask-1', 'tf'],
    'taken all the same',
  );

  sms.setBehaviour({ mode: 'take-and-hang' });
  const gaveUp = new AbortController();
  const hanging = post(sms, { ...MESSAGE, reference: 'th' }, gaveUp.signal).catch(() => 'given up');
  await until('it was taken', () => sms.messages().length === 3);
  gaveUp.abort();
  t.equal(await hanging, 'given up');
  sms.behave();
  t.equal((await post(sms, { ...MESSAGE, reference: 'th' })).status, 202);
  t.match(sms.messages()[2], { reference: 'th', posted: 2 }, 'the sender who did not know sends it again, and it is one message');

  sms.setBehaviour({ delay: 3000 });
  let answered = false;
  const slow = post(sms, { ...MESSAGE, reference: 'slow' }).then((response) => {
    answered = true;
    return response.status;
  });
  await until('it was posted', () => sms.posts() === 7);
  await clock.advance(2999);
  await quiet();
  t.notOk(answered);
  await clock.advance(1);
  t.equal(await slow, 202);
  sms.setBehaviour({ mode: 'hang', delay: 0 });
  const forever = post(sms, { ...MESSAGE, reference: 'h' }).catch(() => 'cut off');
  await until('it was posted', () => sms.posts() === 8);
  await sms.stop();
  t.equal(await forever, 'cut off', 'stopping ends who still waits');
});

await t.test('delivery is called back, and called back again when nobody took it', async (t) => {
  const { gateway: sms, clock } = await gateway();
  const reports: unknown[] = [];
  let takes = false;
  const server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      reports.push({ ...(JSON.parse(body) as object), authorization: request.headers.authorization });
      response.writeHead(takes ? 204 : 500).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const callbackUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/report`;
  sms.setBehaviour({ delivery: 'failed', deliveryAfter: 10_000 });
  await post(sms, { ...MESSAGE, callbackUrl });
  await clock.advance(5000);
  await until('the first report', () => reports.length === 1);
  takes = true;
  await quiet();
  await clock.advance(1000);
  await until('again', () => reports.length === 2);
  await clock.advance(4000);
  await until('the last', () => reports.length === 3);
  const token = `Bearer ${sms.token}`;
  t.match(reports, [
    { id: 'sms-1', reference: 'ask-1', status: 'sent', authorization: token },
    { status: 'sent' },
    { status: 'failed', at: '2026-11-22T22:00:10.000Z' },
  ]);
  server.closeAllConnections();
});

await t.test('the phone page shows what was sent, and nothing of it is markup', async (t) => {
  const { gateway: sms } = await gateway();
  t.match(await (await fetch(sms.url)).text(), 'Ingen meldinger ennå.');
  await post(sms, { ...MESSAGE, from: '<b>', text: `Se http://127.0.0.1:8080/r/abc?x=1&y="><script>alert('x')</script>\u0007` });
  const page = await fetch(sms.url);
  t.match(page.headers.get('content-security-policy'), /default-src 'none'/);
  const html = await page.text();
  t.match(html, '<a href="http://127.0.0.1:8080/r/abc?x=1&#38;y=" rel="noreferrer">http://127.0.0.1:8080/r/abc?x=1&#38;y=</a>');
  t.notMatch(html, '<script');
  t.notMatch(html, '<b>');
  t.match(html, 'fra &#60;b&#62; til +4790000001 · mottatt');
});

await t.test('latency counts from the scheduled moment: a centre that stood still cannot hide it', async (t) => {
  const clock = new MovableClock();
  const stalls: (() => void)[] = [];
  let standing = true;
  const running = openLoop({ ratePerSecond: 100, forMs: 1000, drainMs: 1000 }, ['ack'], clock, (_i, progress) => {
    const reached = (): void => progress.reached('ack', clock.monotonic());
    if (standing) stalls.push(reached);
    else reached();
  });
  await clock.advance(500);
  standing = false;
  for (const reached of stalls) reached();
  await clock.advance(2000);
  const result = await running;
  t.match(result, { scheduled: 100, reached: { ack: 100 }, lost: 0, generatorLateMs: 0 });
  t.equal(result.latencies['ack']?.max, 500, 'the first waited for half a second');
  t.ok(Math.abs((result.latencies['ack']?.mean ?? 0) - 127.5) < 5, 'and those that were due meanwhile their share');

  const silent = openLoop({ ratePerSecond: 10, forMs: 1000, warmUpMs: 500, drainMs: 2000 }, ['ok', 'mrs'], clock, (i, progress) => {
    progress.reached('ok', clock.monotonic());
    progress.reached('ok', clock.monotonic());
    if (i === 9) progress.failed('lost');
  });
  await clock.advance(4000);
  t.match(
    await silent,
    { scheduled: 5, reached: { ok: 5, mrs: 0 }, lost: 5, perSecond: 0 },
    'the warm-up is not measured, silence is loss',
  );
});

await t.test('percentiles are those of the samples', async (t) => {
  const thousand = latenciesOf(Float64Array.from({ length: 1000 }, (_, i) => 1000 - i));
  t.match(thousand, { count: 1000, min: 1, max: 1000, mean: 500.5 });
  t.same(thousand.percentiles, [
    { p: 50, ms: 500 },
    { p: 75, ms: 750 },
    { p: 90, ms: 900 },
    { p: 95, ms: 950 },
    { p: 99, ms: 990 },
    { p: 99.9, ms: 999 },
    { p: 99.99, ms: 1000 },
  ]);
  t.ok(Number.isNaN(latenciesOf(new Float64Array()).max), 'no samples, no figure');
});

const device = (n: number) => ({ municipality: '1103', serial: `NJ-${n}`, username: `NJ-${n}`, password: 'p' });

await t.test('load over MQTT: every message is published once, by all devices in turn', async (t) => {
  const broker = await startBroker();
  broker.receipts = false;
  t.teardown(() => broker.stop());
  const clock = new RunningClock();
  const plan = { address: broker.address, devices: 7, device, run: 'a', clock, ratePerSecond: 500, forMs: 400 };
  const result = await loadMqtt({ ...plan, fields: (i) => ({ type: i % 2 === 0 ? 'fall' : 'mains-lost' }) });
  t.match(result, { scheduled: 200, reached: { puback: 200 }, lost: 0 });
  t.equal(new Set(broker.json('/alarm').map(({ id }) => id)).size, 200);
  t.equal(new Set(broker.got.map(({ topic }) => topic)).size, 7);
  const one = broker.json('/alarm').find(({ id }) => id === 'a-1');
  t.match(one, { id: 'a-1', at: String, type: 'mains-lost' });
  broker.puback = 'never';
  t.match(await loadMqtt({ ...plan, forMs: 50, drainMs: 50 }), { scheduled: 25, lost: 25 });
  broker.puback = 'close';
  t.match(await loadMqtt({ ...plan, forMs: 50, drainMs: 5000 }), { lost: 25 }, 'a closed connection is loss, at once');
  broker.accepts = () => false;
  await t.rejects(loadMqtt(plan), { message: /The broker refused NJ-\d \(code \d\)\./ });
  await until('nothing stays behind', () => broker.connected() === 0);
  await t.rejects(MqttWire.open('127.0.0.1', 1, { clientId: 'a', username: 'a', password: 'p' }, clock), {
    message: 'The broker at 127.0.0.1:1 is away.',
  });
});

await t.test('load over MQTT without guarantee: the last message of each device tells that all before it were taken', async (t) => {
  const broker = await startBroker();
  broker.receipts = false;
  t.teardown(() => broker.stop());
  const plan = { address: broker.address, devices: 4, device, run: 'q', clock: new RunningClock(), ratePerSecond: 500, forMs: 100 };
  const loose = { ...plan, kind: 'heartbeat', qos: 0 } as const;
  t.match(await loadMqtt(loose), { scheduled: 50, reached: { puback: 50 }, reachedInAll: { puback: 50 } });
  for (let n = 0; n < 4; n++) {
    const own = broker.on(`NJ-${n}/heartbeat`).map(({ qos }) => qos);
    t.same(own, [...Array.from({ length: n < 2 ? 12 : 11 }, () => 0), 1], `device ${n}`);
  }
  t.match(await loadMqtt({ ...loose, warmUpMs: 40 }), { scheduled: 30, reached: { puback: 30 }, reachedInAll: { puback: 50 } });
  broker.puback = 'close';
  t.match(await loadMqtt({ ...loose, drainMs: 5000 }), { reached: { puback: 0 }, lost: 50 }, 'nobody knows what became of them');
});

/** What a receiver under TLS is behind; gives its port. */
async function behindTls(t: Test, port: number): Promise<number> {
  const server: Server = createTlsServer(testCertificate('load'), (near) => {
    const far = connect({ host: '127.0.0.1', port });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => other.destroy());
      one.on('close', () => other.destroy());
      one.pipe(other);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

await t.test('load under TLS: MQTT devices, and units that share their connections', { skip: withoutOpenssl }, async (t) => {
  const clock = new RunningClock();
  const broker = await startBroker();
  broker.receipts = false;
  t.teardown(() => broker.stop());
  const secure = `127.0.0.1:${await behindTls(t, broker.port)}`;
  const plan = { run: 's', clock, ratePerSecond: 250, forMs: 80 };
  t.match(await loadMqtt({ ...plan, address: secure, secure: true, devices: 3, device }), { reached: { puback: 20 }, lost: 0 });
  const receiver = await startReceiver('tcp');
  t.teardown(() => receiver.stop());
  receiver.behave(accept);
  const address = `127.0.0.1:${await behindTls(t, receiver.port)}`;
  const units = { units: 5, sockets: 2, controllerId: (n: number) => String(100 + n) };
  t.match(await loadScaip({ ...plan, ...units, address, transport: 'tls', report: 'heartbeat' }), { reached: { ok: 20, mrs: 20 } });
  const requests = receiver.requests();
  t.equal(new Set(requests.map((text) => /<cid>\d+<\/cid>/.exec(text)?.[0])).size, 5);
  t.ok(requests.every((text) => text.includes('Via: SIP/2.0/TLS') && text.includes('<mty>PI</mty>')));
  t.equal(new Set(receiver.got.map(({ port }) => port)).size, 2, 'over two connections');
  receiver.behave(() => receiver.hangUp());
  t.match(await loadScaip({ ...plan, ...units, address, transport: 'tls' }), { reached: { ok: 0 }, lost: 20 }, 'at once');
  const none = { ...plan, ...units, address: '127.0.0.1:1', transport: 'tls' } as const;
  await t.rejects(loadScaip(none), { message: 'The receiver at 127.0.0.1:1 (tls) is away.' });
});

await t.test('load over SCAIP on UDP: what is not answered is sent again, what is answered once is not', async (t) => {
  const receiver = await startReceiver('udp');
  t.teardown(() => receiver.stop());
  const seen = new Set<string>();
  receiver.behave((from) => {
    // Deaf on the first time.
    if (!seen.has(from.text)) seen.add(from.text);
    else accept(from);
  });
  const options = { address: `127.0.0.1:${receiver.port}`, transport: 'udp', units: 2, controllerId: String, run: 'r' } as const;
  const { reached, repeated, latencies } = await loadScaip({ ...options, clock: new RunningClock(), ratePerSecond: 100, forMs: 50 });
  t.match(reached, { ok: 5, mrs: 5 });
  t.equal(repeated, 5);
  t.ok((latencies['ok']?.min ?? 0) >= 490, 'after T1');
  t.equal(receiver.requests().length, 10);
});

for (const transport of ['udp', 'tcp'] as const) {
  await t.test(`load over SCAIP on ${transport}: the 200 and the mrs are measured apart`, async (t) => {
    const receiver = await startReceiver(transport);
    t.teardown(() => receiver.stop());
    const clock = new RunningClock();
    const plan = {
      address: `127.0.0.1:${receiver.port}`,
      transport,
      units: 5,
      controllerId: (n: number) => String(100 + n),
      clock,
      ratePerSecond: 250,
      forMs: 400,
    };
    // The mrs before its 200.
    receiver.behave((from) => {
      from.reply(mrs(from.text, 0));
      from.reply(answer(from.text, '200 OK'));
    });
    const overtaken = await loadScaip({ ...plan, run: 'o', forMs: 40 });
    t.match(overtaken, { reached: { ok: 10, mrs: 10 }, lost: 0 });
    receiver.behave(accept);
    const result = await loadScaip({ ...plan, run: 'a' });
    t.match(result, { scheduled: 100, reached: { ok: 100, mrs: 100 }, lost: 0 });
    t.equal(new Set(receiver.requests().map((text) => /<cid>\d+<\/cid>/.exec(text)?.[0])).size, 5);
    receiver.behave((from) => {
      from.reply(answer(from.text, '200 OK'));
      from.reply(mrs(from.text, 5));
    });
    t.match(
      await loadScaip({ ...plan, run: 'b', forMs: 40, drainMs: 100 }),
      { scheduled: 10, reached: { ok: 10, mrs: 0 }, lost: 10 },
      'refused is not delivered',
    );
    receiver.behave((from) => from.reply(answer(from.text, '503 Away')));
    t.match(await loadScaip({ ...plan, run: 'c', forMs: 40 }), { reached: { ok: 0 }, lost: 10 });
  });
}
