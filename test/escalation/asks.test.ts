/** Asks on the real stores and a gateway over HTTP: queues by urgency, leases, retries, gathering, reports, and Redis gone. */
import { Redis } from 'ioredis';
import t from 'tap';
import { type SmsGateway, startSmsGateway } from '../../simulators/sms-gateway.ts';
import type { Recipient } from '../../src/alarms/command.ts';
import type { Desk } from '../../src/alarms/desk.ts';
import { RunningClock } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { createLog, type Log } from '../../src/base/log.ts';
import { type Asks, type AsksParts, startAsks } from '../../src/escalation/asks.ts';
import type { AskLedger, AskQueue } from '../../src/escalation/ask.ts';
import { createNotifier } from '../../src/notify/by-channel.ts';
import { createPage } from '../../src/notify/page.ts';
import { createSmsReports } from '../../src/notify/sms-reports.ts';
import { createSms } from '../../src/notify/sms.ts';
import { createAskBacklog, createAskLedger, createSentAsks } from '../../src/store/asks.ts';
import { openAskQueue } from '../../src/store/queues.ts';
import { KARI, NATT } from '../support/alarms.ts';
import { escalating } from '../support/escalating.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const stores = await startStores();
t.teardown(() => stores.stop());
const { postgres } = stores;
const clock = new RunningClock();
const parts = escalating(postgres, clock);
const onPage = new Set<string>();

const redis = new Redis(stores.redisServer.url, { maxRetriesPerRequest: null });
redis.on('error', () => undefined);
t.teardown(() => redis.disconnect());

t.beforeEach(async () => {
  await stores.empty();
  await redis.flushall();
  await parts.people();
  onPage.clear();
});

async function gatewayFor(t: Tap): Promise<SmsGateway> {
  const gateway = await startSmsGateway({ port: 0, clock });
  t.teardown(() => gateway.stop());
  return gateway;
}
type Tap = { teardown(undo: () => unknown): void };

/** Queues that never bring anything, for what must happen without one: the first says so, the second has forgotten it. */
const NO_QUEUE = (): AskQueue => ({ add: () => Promise.reject(new Error('no queue')), stop: async () => undefined });
const FORGETFUL_QUEUE = (): AskQueue => ({ add: () => Promise.resolve(), stop: async () => undefined });

function asking(t: Tap, gateway: SmsGateway, more: Partial<AsksParts> = {}, log: Log = SILENT): Asks {
  const sms = createSms({ url: gateway.url, token: gateway.token, from: 'Responsen', callbackUrl: null }, { clock, log });
  const page = createPage({ isPresent: async (account) => onPage.has(account) }, log);
  const asks = startAsks({
    ledger: createAskLedger(postgres),
    backlog: createAskBacklog(postgres),
    sent: createSentAsks(postgres),
    openQueue: (work) => openAskQueue({ url: stores.redisServer.url, clock, log, work }),
    reports: sms,
    notifier: createNotifier({ page, sms }),
    desk: parts.desk,
    zones: parts.escalation.zones,
    linkTo: (alarm) => `https://vakt.example.no/alarm/${alarm}`,
    clock,
    log,
    ...more,
  });
  t.teardown(() => asks.stop());
  return asks;
}

const to = (account: string, ...channels: Recipient['channels']): Recipient => ({ account, team: 'nattpatrulje', channels });
const SMS = { via: 'sms', afterMs: 0 } as const;
const PAGE = { via: 'page', afterMs: 0 } as const;

async function dispatch(number: string, ...recipients: Recipient[]): Promise<void> {
  const command = { command: 'dispatch', to: 'nattpatrulje', recipients, waitMs: 60_000 } as const;
  const answer = await parts.desk.order({ number, command, actor: KARI, version: null, doneAt: null, key: null });
  if ('refused' in answer) throw new Error(answer.refused);
}

const rows = async (): Promise<{ account: string; channel: string; state: string; attempts: number }[]> =>
  (await postgres.pool.query('select account, channel, state, attempts from ask order by account, channel')).rows;
const states = async (): Promise<string[]> => (await rows()).map(({ account, channel, state }) => `${account} ${channel} ${state}`);
const settled = async (): Promise<boolean> => !(await rows()).some(({ state }) => state === 'pending');
/** Ids under which a gateway has messages about asks, one for each ask. */
const taken = async (): Promise<string[]> =>
  (await postgres.pool.query<{ id: string }>('select provider_id as id from ask where provider_id is not null')).rows.map(({ id }) => id);

await t.test('page and SMS, each person by each channel, with reports; delivered is never an acceptance', async (t) => {
  const gateway = await gatewayFor(t);
  onPage.add('natt');
  const late: number[] = [];
  asking(t, gateway, { observe: (ms) => late.push(ms) });
  const number = await parts.press('h1');
  await dispatch(number, to('natt', PAGE, SMS), to('natt2', PAGE, SMS));
  await until(
    'all are reported',
    async () => (await states()).join() === 'natt page delivered,natt sms delivered,natt2 page failed,natt2 sms delivered',
  );
  t.same(
    gateway
      .messages()
      .map((sms) => sms.to)
      .toSorted(),
    ['+4790000001', '+4790000002'],
  );
  for (const { text } of gateway.messages()) t.equal(text, `Alarm ${number}, LIV, Hundvåg. https://vakt.example.no/alarm/${number}`);
  const told = await parts.told(number, 2);
  t.same(told.toSorted(), [
    'ask-delivered natt page',
    'ask-delivered natt sms',
    'ask-delivered natt2 sms',
    'ask-failed natt2 page no-page-open',
    'ask-sent natt sms',
    'ask-sent natt2 sms',
  ]);
  const row = await postgres.pool.query<{ state: string }>('select state from alarm');
  t.equal(row.rows[0]!.state, 'dispatched');
  t.equal(late.length, 4);
  t.ok(
    late.every((ms) => ms < 2000),
    'before the overdue ones are sent straight',
  );
  t.ok((await rows()).every(({ attempts }) => attempts === 1));
});

await t.test('a page that is not open brings the SMS forward', async (t) => {
  const gateway = await gatewayFor(t);
  onPage.add('natt2');
  asking(t, gateway);
  const number = await parts.press('h1');
  await dispatch(number, to('natt', PAGE, { via: 'sms', afterMs: 30_000 }), to('natt2', PAGE, { via: 'sms', afterMs: 30_000 }));
  await until('natt got the SMS at once', () => gateway.messages().length === 1);
  t.equal(gateway.messages()[0]!.to, '+4790000001');
  t.ok((await states()).includes('natt2 sms pending'), 'whoever has the page open gets it in time');
  const accepted = await parts.desk.order({
    number,
    command: { command: 'accept', etaMinutes: 5 },
    actor: NATT,
    version: null,
    doneAt: null,
    key: null,
  });
  t.match(accepted, { alarm: { responder: 'natt' } });
  t.ok((await states()).includes('natt2 sms withdrawn'), 'and not at all when somebody has accepted');
});

await t.test('failures are named: refused, no number, no gateway, not delivered', async (t) => {
  const gateway = await gatewayFor(t);
  const asks = asking(t, gateway);
  await postgres.pool.query(`update account set phone = '' where username = 'natt2'`);
  await postgres.pool.query(`update account set disabled_at = $1 where username = 'operator2'`, [new Date(clock.now())]);
  gateway.setBehaviour({ mode: 'refuse' }, '+4790000001');
  gateway.setBehaviour({ delivery: 'failed' }, '+4790000003');
  const number = await parts.press('h1');
  await dispatch(number, to('natt', SMS), to('natt2', SMS), to('leder', SMS), to('operator2', SMS));
  await until('all are settled', async () => (await settled()) && (await states()).includes('leder sms failed'));
  t.same((await parts.told(number, 2)).toSorted(), [
    'ask-failed leder sms not-delivered',
    'ask-failed natt sms gateway-refused',
    'ask-failed natt2 sms no-number',
    'ask-failed operator2 sms no-number',
    'ask-sent leder sms',
  ]);
  t.ok(
    (await rows()).every(({ attempts }) => attempts === 1),
    'a refusal is not repeated',
  );
  await asks.stop();
  asking(t, gateway, { notifier: createNotifier({ page: createPage({ isPresent: async () => false }, SILENT), sms: null }) });
  const other = await parts.press('h2');
  await dispatch(other, to('natt', SMS));
  await until('it failed', async () => (await parts.told(other, 2)).join() === 'ask-failed natt sms no-gateway');
});

await t.test('a gateway that fails is tried again, one that took the message before failing sends it once', async (t) => {
  const gateway = await gatewayFor(t);
  asking(t, gateway);
  gateway.setBehaviour({ mode: 'error' }, '+4790000001');
  gateway.setBehaviour({ mode: 'take-and-fail' }, '+4790000002');
  const number = await parts.press('h1');
  await dispatch(number, to('natt', SMS), to('natt2', SMS));
  await until('both were tried twice', () => gateway.posts() >= 4);
  t.same(await parts.told(number, 2), [], 'nothing to tell yet');
  gateway.behave();
  await until('both are settled', settled);
  t.same(
    gateway
      .messages()
      .map((sms) => sms.to)
      .toSorted(),
    ['+4790000001', '+4790000002'],
  );
  t.ok((await rows()).every(({ attempts }) => attempts >= 3));
});

await t.test('tries are bounded, then the ask has failed by name', async (t) => {
  const gateway = await gatewayFor(t);
  gateway.setBehaviour({ mode: 'error' });
  const number = await parts.press('h1');
  await dispatch(number, to('natt', SMS));
  await postgres.pool.query('update ask set attempts = 5');
  asking(t, gateway);
  await until('it was given up', async () => (await parts.told(number, 2)).join() === 'ask-failed natt sms gateway-away');
  t.equal(gateway.posts(), 1);
});

/** A ledger and a desk of a process that is killed at one of three moments after the gateway has answered. */
const killedWhen = {
  'nothing is kept': (ledger: AskLedger, desk: Desk) => ({ ledger: { ...ledger, keepTaken: killed }, desk }),
  'its answer is kept': (ledger: AskLedger, desk: Desk) => ({ ledger: { ...ledger, record: killed }, desk: { ...desk, order: killed } }),
  'the desk is told': (ledger: AskLedger, desk: Desk) => ({ ledger: { ...ledger, record: killed }, desk }),
} as const;
const killed = (): Promise<never> => Promise.reject(new CentreError('store-away', 'killed'));

for (const [when, posted] of [
  ['nothing is kept', 2],
  ['its answer is kept', 1],
  ['the desk is told', 1],
] as const) {
  await t.test(`killed behind the gateway’s answer, when ${when}: posted ${posted} times, texted once, told once`, async (t) => {
    const gateway = await gatewayFor(t);
    gateway.setBehaviour({ delivery: 'never' });
    const number = await parts.press('h1');
    await dispatch(number, to('natt', SMS));
    const first = asking(t, gateway, killedWhen[when](createAskLedger(postgres), parts.desk));
    await until('it was sent', () => gateway.messages().length === 1);
    if (when === 'its answer is kept') await until('its answer is kept', async () => (await taken()).length === 1);
    if (when === 'the desk is told') await until('the desk is told', async () => (await parts.told(number, 2)).length === 1);
    await first.stop();
    t.same(await states(), ['natt sms pending']);
    await postgres.pool.query('update ask set try_at = due_at');
    asking(t, gateway);
    await until('it is settled', settled);
    t.same(await parts.told(number, 2), ['ask-sent natt sms']);
    t.same(
      gateway.messages().map((message) => message.posted),
      [posted],
    );
    const [id] = gateway.messages().map((message) => message.id);
    t.same(await taken(), [id], 'its report can be asked for');
  });
}

await t.test('what had gone in a gathered message of a process that died goes into no other, and takes nobody along', async (t) => {
  const gateway = await gatewayFor(t);
  gateway.setBehaviour({ delivery: 'never' });
  const care = { meaning: { priority: 'care' } } as const;
  const [first, second] = [await parts.press('h1', care), await parts.press('h2', care)];
  await dispatch(first, to('natt', SMS));
  await dispatch(second, to('natt', SMS));
  const dying = asking(t, gateway, killedWhen['its answer is kept'](createAskLedger(postgres), parts.desk));
  await until('both went in one message', async () => (await taken()).length === 2 && gateway.messages().length === 1);
  await dying.stop();
  const third = await parts.press('h3', care);
  await dispatch(third, to('natt', SMS));
  await postgres.pool.query('update ask set try_at = due_at');
  asking(t, gateway);
  await until('two are told of', async () => (await states()).filter((state) => state === 'natt sms sent').length === 2);
  for (const number of [first, second]) t.same(await parts.told(number, 2), ['ask-sent natt sms']);
  await until('the third waits for its minute', async () => {
    const waits = await postgres.pool.query(
      "select from ask where alarm = $1 and state = 'pending' and try_at > now() + interval '20 seconds'",
      [third],
    );
    return waits.rowCount === 1;
  });
  t.same(
    gateway.messages().map((message) => message.posted),
    [1],
  );
});

await t.test(
  'PostgreSQL away between the gateway’s answer and our record: it is written down when it is back, and nobody is texted twice',
  async (t) => {
    const gateway = await gatewayFor(t);
    const number = await parts.press('h1');
    let away = true;
    let refused = 0;
    const desk: Desk = {
      order: async (order) => {
        if (!away) return parts.desk.order(order);
        refused += 1;
        throw new CentreError('store-away', 'planted');
      },
    };
    await dispatch(number, to('natt', SMS));
    asking(t, gateway, { desk });
    await until('the record was refused again and again', () => refused > 3);
    // As if it had been away for longer than the lease: the row is there for whoever looks.
    await postgres.pool.query("update ask set try_at = now() - interval '10 seconds'");
    await until('the row is looked at', () => refused > 9);
    away = false;
    await until('it is recorded', settled);
    t.same(await rows(), [{ account: 'natt', channel: 'sms', state: 'sent', attempts: 1 }]);
    t.same(
      gateway.messages().map(({ posted }) => posted),
      [1],
    );
  },
);

await t.test('what was sent and is not written down yet goes into no other message, and is told to the desk once', async (t) => {
  const gateway = await gatewayFor(t);
  const care = { meaning: { priority: 'care' } } as const;
  const [first, second] = [await parts.press('h1', care), await parts.press('h2', care)];
  const real = createAskLedger(postgres);
  let away = true;
  let refused = 0;
  const record: typeof real.record = async (...given) => {
    if (!away) return real.record(...given);
    refused += 1;
    throw new CentreError('store-away', 'planted');
  };
  await dispatch(first, to('natt', SMS));
  asking(t, gateway, { ledger: { ...real, record } });
  await until('it was sent, and its record refused again and again', () => refused > 2);
  // As if it had been away for longer than the lease and the person's minute.
  await postgres.pool.query("update ask set try_at = now() - interval '10 seconds'");
  await postgres.pool.query("update sms_pace set next_at = now() - interval '1 second'");
  await dispatch(second, to('natt', SMS));
  await until('the second one was sent', () => gateway.messages().length === 2);
  away = false;
  await until('both are recorded', settled);
  const alarm = (number: string): string => `Alarm ${number}, omsorg, Hundvåg. https://vakt.example.no/alarm/${number}`;
  t.same(
    gateway.messages().map(({ text }) => text),
    [alarm(first), alarm(second)],
  );
  t.same((await parts.told(first, 2)).filter((entry) => entry === 'ask-sent natt sms').length, 1);
});

for (const [what, openQueue, least, most] of [
  ['forgets', FORGETFUL_QUEUE, 2000, 5000],
  ['refuses', NO_QUEUE, 0, 2000],
] as const) {
  await t.test(`behind a queue that ${what} everything is sent straight from its row, ${least} to ${most} ms late`, async (t) => {
    const gateway = await gatewayFor(t);
    const late: number[] = [];
    const asks = asking(t, gateway, { openQueue, observe: (ms) => late.push(ms) });
    const numbers = await Promise.all(Array.from({ length: 30 }, (_, i) => parts.press(`h${i}`)));
    await Promise.all(numbers.map((number) => dispatch(number, to('natt', SMS))));
    await until('all are settled', settled);
    t.equal(gateway.messages().length, 30);
    t.equal(asks.stats().straight, 30);
    t.ok(
      late.every((ms) => ms >= least && ms < most),
      `${Math.max(...late)}`,
    );
  });
}

await t.test('two processes at once ask each person once', async (t) => {
  const gateway = await gatewayFor(t);
  asking(t, gateway);
  asking(t, gateway, { openQueue: NO_QUEUE });
  asking(t, gateway);
  const numbers = await Promise.all(Array.from({ length: 40 }, (_, i) => parts.press(`h${i}`)));
  await Promise.all(numbers.map((number) => dispatch(number, to('natt', SMS), to('natt2', SMS))));
  await until('all are settled', settled, 20_000);
  t.equal(gateway.posts(), 80);
  t.equal(gateway.messages().length, 80);
  for (const number of numbers) t.same((await parts.told(number, 2)).filter((event) => event.startsWith('ask-sent')).length, 2);
});

await t.test('FLUSHALL and a killed Redis in the middle: no ask is missing, none waits for more than 5 s', async (t) => {
  const gateway = await gatewayFor(t);
  gateway.setBehaviour({ delay: 50 });
  const late: number[] = [];
  asking(t, gateway, { observe: (ms) => late.push(ms) });
  const numbers: string[] = [];
  const wave = async (name: string): Promise<void> => {
    for (let i = 0; i < 15; i++) {
      const number = await parts.press(`${name}${i}`);
      numbers.push(number);
      await dispatch(number, to('natt', SMS, PAGE), to('natt2', { via: 'sms', afterMs: 300 }));
    }
  };
  await wave('a');
  await redis.flushall();
  await wave('b');
  const before = stores.redisServer.pid()!;
  process.kill(before, 'SIGKILL');
  await wave('c');
  await until('Redis is back', () => stores.redisServer.pid() !== null && stores.redisServer.pid() !== before, 20_000);
  await redis.flushall();
  await wave('d');
  const stopped = stores.redisServer.pid()!;
  process.kill(stopped, 'SIGSTOP');
  await wave('e');
  await until('what Redis holds is sent without it', settled, 20_000);
  process.kill(stopped, 'SIGCONT');
  t.equal(numbers.length, 75);
  t.equal(gateway.messages().length, 150);
  for (const number of numbers) {
    t.same((await parts.told(number, 2)).filter((event) => /^ask-(sent|failed)/.test(event)).toSorted(), [
      'ask-failed natt page no-page-open',
      'ask-sent natt sms',
      'ask-sent natt2 sms',
    ]);
  }
  t.ok(Math.max(...late) < 5000, `the latest was tried ${Math.max(...late)} ms after it was due`);
});

await t.test('queues that were opened while Redis did not answer fail at once and work when it does', async (t) => {
  const pid = stores.redisServer.pid()!;
  process.kill(pid, 'SIGSTOP');
  const worked: string[] = [];
  const queue = openAskQueue({
    url: stores.redisServer.url,
    clock,
    log: SILENT,
    work: async (ask) => {
      worked.push(ask);
    },
  });
  t.teardown(() => queue.stop());
  const startedAt = performance.now();
  const one = [{ id: 'one', tryAt: 1, delay: 0 }];
  await t.rejects(queue.add('life', one), { code: 'store-away' });
  t.ok(performance.now() - startedAt < 4000, 'whoever adds is not held up');
  process.kill(pid, 'SIGCONT');
  await until(
    'it works',
    async () => {
      await queue.add('life', one).catch(() => undefined);
      return worked.includes('one');
    },
    25_000,
  );
  await queue.add('urgent', [
    { id: 'b', tryAt: 1, delay: 0 },
    { id: 'b', tryAt: 1, delay: 0 },
    { id: 'c', tryAt: 1, delay: 300 },
  ]);
  await until('both', () => worked.includes('b') && worked.includes('c'));
  t.same(
    worked.filter((ask) => ask !== 'one'),
    ['b', 'c'],
    'each once',
  );
});

await t.test('about anything but life: one gathered message a minute to one person', async (t) => {
  const gateway = await gatewayFor(t);
  const ledger = createAskLedger(postgres);
  const care = { meaning: { priority: 'care' } } as const;
  const numbers = [await parts.press('h1', care), await parts.press('h2', care), await parts.press('h3', care)];
  for (const number of numbers) await dispatch(number, to('natt', SMS), to('natt2', SMS));
  const life = await parts.press('h4');
  await dispatch(life, to('natt', SMS));
  const now = clock.now();
  const idOf = async (number: string, account = 'natt'): Promise<string> =>
    (await postgres.pool.query<{ id: string }>('select id from ask where alarm = $1 and account = $2', [number, account])).rows[0]!.id;
  const [a, b] = [await idOf(numbers[0]!), await idOf(numbers[1]!)];
  const both = await Promise.all([ledger.lease(a, now, now + 10_000), ledger.lease(b, now, now + 10_000)]);
  t.same(
    both.map((asks) => asks.length).toSorted((x, y) => x - y),
    [0, 3],
    'of two that are taken at once, one takes all of the person’s',
  );
  t.same(await ledger.lease(a, now, now + 10_000), [], 'whoever has a lease has it alone');
  t.equal((await ledger.lease(await idOf(life), now, now + 10_000)).length, 1, 'life goes by itself, at once');
  t.equal((await ledger.lease(await idOf(numbers[2]!, 'natt2'), now, now + 10_000)).length, 3, 'each person has a minute of their own');

  const lead = both.find((asks) => asks.length > 0)![0]!.id;
  await ledger.again([lead], now + 1000);
  t.equal((await ledger.lease(lead, now + 1000, now + 11_000)).length, 1, 'a further try of the same message is not held back');

  const fourth = await parts.press('h5', care);
  await dispatch(fourth, to('natt', SMS));
  const soon = clock.now();
  t.same(await ledger.lease(await idOf(fourth), soon, soon + 10_000), [], 'the next one waits for its minute');
  const put = await postgres.pool.query<{ try_at: Date; attempts: number }>('select try_at, attempts from ask where id = $1', [
    await idOf(fourth),
  ]);
  t.equal(put.rows[0]!.try_at.getTime(), now + 61_000);
  t.equal(put.rows[0]!.attempts, 0);
  t.equal(gateway.posts(), 0);
});

await t.test('hundreds wait for a person’s minute at the cost of one; a message gathers a bounded number', async (t) => {
  const ledger = createAskLedger(postgres);
  const number = await parts.press('h1', { meaning: { priority: 'care' } });
  const now = clock.now();
  const text = `insert into ask (id, alarm, account, channel, priority_rank, state, due_at, try_at, created_at)
    select gen_random_uuid(), $1, 'natt', 'sms', 2, 'pending', $2, $2, $2 from generate_series(1, 1300) returning id`;
  const { rows: made } = await postgres.pool.query<{ id: string }>(text, [number, new Date(now)]);
  const first = await ledger.lease(made[0]!.id, now, now + 10_000);
  t.equal(first.length, 1001);
  const taken = new Set(first.map(({ id }) => id));
  const rest = made.filter(({ id }) => !taken.has(id));
  t.same(await ledger.lease(rest[0]!.id, now, now + 10_000), []);
  const later = await postgres.pool.query('select count(*)::int as n from ask where try_at = $1 and attempts = 0', [
    new Date(now + 60_000),
  ]);
  t.same(later.rows, [{ n: 299 }], 'all of them are put off, not only the one that was asked for');
  await Promise.all(first.map(({ id }) => ledger.record(id, 'sent', 'p1', now)));
  await Promise.all([ledger.record(first[0]!.id, 'sent', 'p2', now), ledger.record(first[0]!.id, 'delivered', null, now)]);
  await ledger.record(first[0]!.id, 'sent', 'p3', now);
  const { rows } = await postgres.pool.query('select state, provider_id, count(*)::int as n from ask group by 1, 2 order by 1');
  t.same(rows, [
    { state: 'delivered', provider_id: 'p1', n: 1 },
    { state: 'pending', provider_id: null, n: 299 },
    { state: 'sent', provider_id: 'p1', n: 1000 },
  ]);
  const leases = await Promise.all(rest.slice(0, 100).map(({ id }) => ledger.lease(id, now + 60_000, now + 70_000)));
  t.same(leases.flat().length, 299, 'and a minute later they go with one message');
});

await t.test('a queue that nobody empties takes a bounded number of each urgency; the rest stays in its rows', async (t) => {
  const gateway = await gatewayFor(t);
  const number = await parts.press('h1');
  const life = await parts.press('h2');
  const text = `insert into ask (id, alarm, account, channel, priority_rank, state, due_at, try_at, created_at)
    select gen_random_uuid(), $1, 'natt', 'page', $3, 'pending', $2, $2, $2 from generate_series(1, $4::int)`;
  await postgres.pool.query(text, [number, new Date(clock.now()), 1, 1200]);
  await postgres.pool.query(text, [life, new Date(clock.now()), 0, 20]);
  const added: { readonly urgency: string; readonly id: string; readonly at: number }[] = [];
  const asks = asking(t, gateway, {
    openQueue: () => ({
      add: async (urgency, some) => {
        for (const { id } of some) added.push({ urgency, id, at: clock.now() });
      },
      stop: async () => undefined,
    }),
  });
  await until('both are filled', () => new Set(added.map(({ urgency }) => urgency)).size === 2);
  for (let poke = 0; poke < 5; poke++) asks.poke();
  await until('they are added again, in case that Redis forgot', () => added.some(({ at }) => at > (added[0]?.at ?? 0) + 900));
  const before = added.filter(({ at }) => at <= (added[0]?.at ?? 0) + 900);
  t.equal(before.filter(({ urgency }) => urgency === 'urgent').length, 500);
  t.equal(new Set(before.map(({ id }) => id)).size, before.length, 'each once');
  t.equal(before[0]?.urgency, 'life', 'life first');
  await until('what no queue brought is sent straight, all of it', settled, 60_000);
  t.equal((await parts.told(life)).filter((event) => event.startsWith('ask-failed natt page')).length, 20);
});

await t.test('a gathered message names the others and is recorded for each', async (t) => {
  const gateway = await gatewayFor(t);
  const care = { meaning: { priority: 'care' } } as const;
  const numbers: string[] = [];
  for (const household of ['h1', 'h2', 'h3']) {
    const number = await parts.press(household, { ...care, zone: household === 'h1' ? 'Hundvåg' : 'Åse Ødegård' });
    await dispatch(number, to('natt', SMS));
    numbers.push(number);
  }
  asking(t, gateway);
  await until('all are delivered', async () => (await states()).every((state) => state === 'natt sms delivered'));
  t.equal(gateway.messages().length, 1);
  const { text } = gateway.messages()[0]!;
  for (const number of numbers) {
    t.match(text, number);
    t.same(await parts.told(number, 2), ['ask-sent natt sms', 'ask-delivered natt sms']);
  }
  t.notMatch(text, /Åse|Ødegård/);
});

await t.test('a report that the gateway posts by itself', async (t) => {
  const gateway = await gatewayFor(t);
  gateway.setBehaviour({ delivery: 'never' });
  const asks = asking(t, gateway, { reports: null });
  const handle = createSmsReports('secret', (id, status) => asks.report(id, status));
  const number = await parts.press('h1');
  await dispatch(number, to('natt', SMS));
  await until('it is sent', async () => (await states()).join() === 'natt sms sent');
  const report = { id: gateway.messages()[0]!.id, status: 'delivered' };
  t.equal(await handle('Bearer secret', report), 'taken');
  t.equal(await handle('Bearer secret', report), 'unknown-message', 'a second time there is nothing that waits for it');
  t.same(await parts.told(number, 2), ['ask-sent natt sms', 'ask-delivered natt sms']);
});

await t.test('no telephone number in a log line', async (t) => {
  const gateway = await gatewayFor(t);
  const lines: string[] = [];
  asking(t, gateway, {}, createLog('debug', { write: (line) => lines.push(line) }));
  gateway.setBehaviour({ mode: 'error' }, '+4790000002');
  const number = await parts.press('h1');
  await dispatch(number, to('natt', PAGE, SMS), to('natt2', SMS));
  await until(
    'one is settled, one put off',
    () => lines.some((line) => line.includes('ask-put-off')) && lines.filter((line) => line.includes('ask-recorded')).length >= 2,
  );
  t.notOk(lines.some((line) => /\+479|Hundv|Åse/.test(line)));
});
