/** What an SMS says and cannot say, how the gateway's client behaves with one that misbehaves, reports, and the page channel. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { startSmsGateway } from '../../simulators/sms-gateway.ts';
import { PRIORITIES } from '../../src/alarms/signal.ts';
import { RunningClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import type { LeasedAsk, Notice } from '../../src/escalation/ask.ts';
import { noticeOf } from '../../src/escalation/ask-sender.ts';
import { createNotifier } from '../../src/notify/by-channel.ts';
import { createPage } from '../../src/notify/page.ts';
import { createSmsReports } from '../../src/notify/sms-reports.ts';
import { createSms } from '../../src/notify/sms.ts';
import { gsmLength, SMS_LENGTH, smsText, toGsm } from '../../src/notify/sms-text.ts';
import { until } from '../support/stores.ts';

const clock = new RunningClock();
const lines: string[] = [];
const log = createLog('debug', { write: (line) => lines.push(line) });
const LINK = 'https://vakt.example.no/alarm/1042';

const notice = (more: Partial<Notice> = {}): Notice => ({
  reference: '00000000-0000-7000-8000-000000000001',
  account: 'natt',
  phone: '+4790000001',
  channel: 'sms',
  number: '1042',
  zone: 'Hundvåg',
  priority: 'urgent',
  link: LINK,
  others: [],
  ...more,
});

await t.test('the text: number, urgency, zone, link', async (t) => {
  t.equal(smsText(notice()), 'Alarm 1042, haster, Hundvåg. https://vakt.example.no/alarm/1042');
  t.equal(smsText(notice({ priority: 'life', zone: '' })), 'Alarm 1042, LIV. https://vakt.example.no/alarm/1042');
  t.equal(
    smsText(notice({ priority: 'care', others: ['1043'] })),
    'Alarm 1042, omsorg, Hundvåg. Også 1043. https://vakt.example.no/alarm/1042',
  );
  t.equal(
    smsText(notice({ others: ['1043', '1044', '1045', '1046', '1047'] })),
    'Alarm 1042, haster, Hundvåg. Også 1043, 1044, 1045 og 2 til. https://vakt.example.no/alarm/1042',
  );
  const long = `https://vakt.example.no/${'x'.repeat(90)}`;
  t.equal(smsText(notice({ others: ['1043', '1044', '1045'], link: long })), `Alarm 1042, haster, Hundvåg. Og 3 til. ${long}`);
  const longer = `https://vakt.example.no/${'x'.repeat(110)}`;
  t.equal(smsText(notice({ link: longer, zone: 'Et meget langt sonenavn' })), `Alarm 1042, haster. ${longer}`);
  t.equal(smsText(notice({ link: 'x'.repeat(200) })), 'Alarm 1042, haster.');
});

await t.test('the alphabet of 3GPP TS 23.038', async (t) => {
  t.equal(gsmLength('Blåbærsyltetøy ÆØÅ'), 18);
  t.equal(gsmLength('~{}[]^|\\€'), 18, 'the extension table takes two each');
  t.equal(gsmLength('Kárášjohka'), null);
  t.equal(toGsm('Kárášjohka – Žižkov 🚑'), 'Karasjohka ? Zizkov ?');
  t.equal(toGsm('é à ñ'), 'é à ñ', 'what it has stays');
});

const anyPriority = fc.constantFrom(...PRIORITIES.filter((p) => p !== 'information'));
const ZONES = [
  { name: 'Hundvåg', municipality: '1103' },
  { name: 'Madla', municipality: '1103' },
];

await t.test('no field of the register can get into an SMS, whatever stands there', async () => {
  const anyText = fc.oneof(
    fc.string({ unit: 'grapheme', maxLength: 60 }),
    fc.constantFrom('Åse Ødegård', 'Nedre Strandgate 12', 'epilepsi', 'Hundvåg', '4567#', 'Madla '),
  );
  const words =
    /^Alarm \d+, (LIV|haster|omsorg|teknisk)(, (Hundvåg|Madla))?\.( Også \d+(, \d+)*( og \d+ til)?\.| Og \d+ til\.)? https:\/\/vakt\.example\.no\/alarm\/\d+$/;
  fc.assert(
    fc.property(
      fc.array(
        fc.record({ alarm: fc.nat({ max: 1e12 }), zone: fc.option(anyText), account: anyText, phone: anyText, priority: anyPriority }),
        { minLength: 1, maxLength: 9 },
      ),
      (given) => {
        const asks = given.map((one, i): LeasedAsk => ({
          ...one,
          id: `id-${i}`,
          alarm: String(one.alarm),
          channel: 'sms',
          municipality: '1103',
          dueAt: 0,
          attempt: 1,
        }));
        const text = smsText(noticeOf(asks[0]!, asks, { zones: ZONES, linkTo: (alarm) => `https://vakt.example.no/alarm/${alarm}` }));
        return words.test(text) && (gsmLength(text) ?? Infinity) <= SMS_LENGTH;
      },
    ),
    { numRuns: 500 },
  );
});

await t.test('the text is never longer than one SMS and never without the number', async () => {
  const any = fc.string({ unit: 'grapheme', maxLength: 200 });
  fc.assert(
    fc.property(any, any, anyPriority, fc.array(fc.nat().map(String), { maxLength: 30 }), (zone, link, priority, others) => {
      const text = smsText(notice({ zone, link, priority, others }));
      const length = gsmLength(text);
      return length !== null && length <= SMS_LENGTH && text.startsWith('Alarm 1042, ');
    }),
  );
});

await t.test('the gateway', async (t) => {
  const gateway = await startSmsGateway({ port: 0, clock });
  t.teardown(() => gateway.stop());
  const sms = createSms({ url: `${gateway.url}/`, token: gateway.token, from: 'Responsen', callbackUrl: null }, { clock, log });

  const sent = await sms.notify(notice());
  t.match(sent, { result: 'sent', providerId: String });
  t.same(await sms.notify(notice()), sent, 'the same reference again is the same message');
  t.match(gateway.messages(), [{ to: '+4790000001', from: 'Responsen', text: smsText(notice()), posted: 2 }]);
  t.equal(gateway.messages().length, 1);
  const { providerId } = sent as { providerId: string };
  await until('it was delivered', async () => (await sms.statusOf(providerId)) === 'delivered');
  t.equal(await sms.statusOf('nothing/of this'), null);

  gateway.setBehaviour({ mode: 'refuse', status: 422 });
  t.same(await sms.notify(notice({ reference: 'b' })), { result: 'failed', why: 'gateway-refused', retry: false });
  gateway.setBehaviour({ mode: 'refuse', status: 429 });
  t.same(await sms.notify(notice({ reference: 'b' })), { result: 'failed', why: 'gateway-away', retry: true }, 'too many is for later');
  gateway.setBehaviour({ mode: 'error' });
  t.same(await sms.notify(notice({ reference: 'b' })), { result: 'failed', why: 'gateway-away', retry: true });
  gateway.setBehaviour({ mode: 'take-and-fail' });
  t.match(await sms.notify(notice({ reference: 'c' })), { retry: true });
  gateway.behave();
  t.match(await sms.notify(notice({ reference: 'c' })), { result: 'sent' });
  t.equal(gateway.messages().filter(({ reference }) => reference === 'c').length, 1, 'taken before the failure: not sent twice');

  const posts = gateway.posts();
  t.same(await sms.notify(notice({ phone: '' })), { result: 'failed', why: 'no-number', retry: false });
  t.equal(gateway.posts(), posts);
  const stranger = createSms({ url: gateway.url, token: 'wrong', from: 'x', callbackUrl: null }, { clock, log });
  t.same(await stranger.notify(notice({ reference: 'd' })), { result: 'failed', why: 'gateway-refused', retry: false });

  gateway.setBehaviour({ mode: 'hang' });
  const before = performance.now();
  t.same(await sms.notify(notice({ reference: 'e' })), { result: 'failed', why: 'gateway-away', retry: true });
  t.ok(performance.now() - before < 6000, 'given up before the lease of an ask is over');
  await gateway.stop();
  t.same(await sms.notify(notice({ reference: 'e' })), { result: 'failed', why: 'gateway-away', retry: true }, 'nobody listens');
  t.equal(await sms.statusOf(providerId), null);
});

await t.test('a gateway that answers nonsense is away, not believed', async (t) => {
  let answer: { status: number; body: string; headers?: Record<string, string> } = { status: 202, body: '{}' };
  const server: Server = createServer((_request, response) => {
    response.writeHead(answer.status, answer.headers ?? {});
    response.end(answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sms = createSms({ url, token: null, from: 'x', callbackUrl: null }, { clock, log });
  const away = { result: 'failed', why: 'gateway-away', retry: true };
  for (const body of [
    '{}',
    '',
    'OK',
    '[]',
    '{"id":""}',
    '{"id":null}',
    `{"id":"${'x'.repeat(300)}"}`,
    `{"id":"a","more":"${'x'.repeat(100_000)}"}`,
  ]) {
    answer = { status: 202, body };
    t.same(await sms.notify(notice()), away, body.slice(0, 30));
  }
  answer = { status: 302, body: '', headers: { location: 'http://127.0.0.1:1/elsewhere' } };
  t.same(await sms.notify(notice()), away, 'number and token follow no redirect');
  answer = { status: 200, body: '{"id":42}' };
  t.same(await sms.notify(notice()), { result: 'sent', providerId: '42' });
  answer = { status: 200, body: '{"id":"a","status":"lost"}' };
  t.equal(await sms.statusOf('a'), null);
});

await t.test('reports that a gateway posts', async (t) => {
  const taken: string[] = [];
  const reports = createSmsReports('secret', async (id, status) => {
    taken.push(`${id} ${status}`);
    return id === 'sms-1';
  });
  const post = (body: unknown, authorization: string | undefined = 'Bearer secret') => reports(authorization, body);
  t.equal(await post({ id: 'sms-1', status: 'delivered', reference: 'r' }), 'taken');
  t.equal(await post({ id: 'sms-1', status: 'sent' }), 'taken');
  t.equal(await post({ id: 'sms-9', status: 'failed' }), 'unknown-message');
  t.same(taken, ['sms-1 delivered', 'sms-9 failed'], '"sent" is no end');
  for (const body of [
    null,
    'x',
    [],
    {},
    { id: 1, status: 'delivered' },
    { id: '', status: 'delivered' },
    { id: 'a\0', status: 'failed' },
    { id: 'a', status: 'lost' },
  ]) {
    t.equal(await post(body), 'malformed', JSON.stringify(body));
  }
  for (const header of [undefined, '', 'secret', 'Bearer', 'Bearer secre', 'Bearer secrets']) {
    t.equal(await reports(header, { id: 'sms-1', status: 'delivered' }), 'unauthorized', String(header));
  }
  t.equal(await createSmsReports(null, async () => true)('Bearer null', { id: 'sms-1', status: 'delivered' }), 'no-gateway');
  t.equal(taken.length, 2);
});

await t.test('the page, and a channel that is not set up', async (t) => {
  const page = createPage(
    { isPresent: async (account) => (account === 'away' ? Promise.reject(new Error('Redis')) : account === 'natt') },
    log,
  );
  const notifier = createNotifier({ page, sms: null });
  const ask = (account: string) => notifier.notify(notice({ account, channel: 'page' }));
  t.same(await ask('natt'), { result: 'delivered' });
  t.same(await ask('natt2'), { result: 'failed', why: 'no-page-open', retry: false });
  t.same(await ask('away'), { result: 'failed', why: 'no-page-open', retry: false });
  t.same(await notifier.notify(notice()), { result: 'failed', why: 'no-gateway', retry: false });
});

await t.test('no telephone number and no text in any log line', async (t) => {
  t.ok(lines.length > 0);
  t.notOk(lines.some((line) => /9000000|Hundv|haster|Bearer/.test(line)));
});
