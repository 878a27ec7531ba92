/** The console's HTTP side over real requests on a real PostgreSQL: sessions, sight, commands, the card, and the rules for all. */
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Registry } from 'prom-client';
import t from 'tap';
import { createDesk } from '../../src/alarms/desk.ts';
import { joiningKey } from '../../src/alarms/correlate.ts';
import { PERSON_COMMANDS } from '../../src/alarms/command.ts';
import type { Meaning, Signal } from '../../src/alarms/signal.ts';
import type { AlarmView } from '../../src/alarms/view.ts';
import { CentreError } from '../../src/base/errors.ts';
import { MovableClock, RunningClock, toIso } from '../../src/base/clock.ts';
import { receiptId, systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { ALARM_LIST, ALARM_VIEW, ALARM_WITH_TIMELINE, CARD, NAMED_SCHEMAS, PROBLEM } from '../../src/console/api-schema.ts';
import { Buckets } from '../../src/console/bucket.ts';
import { type HealthCheck, readinessOf } from '../../src/console/health-routes.ts';
import { type ConsoleParts, createConsole } from '../../src/console/http.ts';
import { ORDER_BODY, commandOf, doneAtOf } from '../../src/console/order-body.ts';
import { originAllowed } from '../../src/console/origin.ts';
import { PROBLEM_CODES, problemOf } from '../../src/console/problem.ts';
import { cookieOf, tokenIn } from '../../src/console/session-cookie.ts';
import { sessionRoutes } from '../../src/console/session-routes.ts';
import { createSessions } from '../../src/console/session.ts';
import { createSignIn } from '../../src/console/sign-in.ts';
import { createKeeper } from '../../src/intake/keep.ts';
import { loadActionPlans } from '../../src/people/action-plans.ts';
import { type Credentials, hashPassword } from '../../src/people/accounts.ts';
import { DEMO_ACCOUNTS, seedDemo } from '../../src/people/demo.ts';
import { createAccountBook, createCredentials, createSessionStore } from '../../src/store/accounts.ts';
import { createAlarmStore } from '../../src/store/alarm-store.ts';
import { createBoard } from '../../src/store/board.ts';
import { createCardStore } from '../../src/store/people.ts';
import { createRegisterStore } from '../../src/store/register.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { createSmsReports } from '../../src/notify/sms-reports.ts';
import { ladderFor, recipient, signal } from '../support/alarms.ts';
import { SILENT, startStores } from '../support/stores.ts';

const clock = new RunningClock();
const stores = await startStores();
const webRoot = mkdtempSync(path.join(tmpdir(), 'console-'));
const { postgres } = stores;
const accounts = createAccountBook(postgres);
const credentials = createCredentials(postgres);
const logged: Record<string, unknown>[] = [];
const log = createLog('info', { write: (line) => logged.push(JSON.parse(line) as Record<string, unknown>) });

const desk = createDesk({ store: createAlarmStore(postgres, () => undefined), clock, random: systemRandom });
const keeper = createKeeper({ store: createSignalStore(postgres, () => undefined), ladderFor, keyOf: joiningKey, log: SILENT });

/** Stands where escalation stands: one team that is on duty, one that is not. */
const duty: ConsoleParts['duty'] = {
  resolveDispatch: async (to) =>
    to === 'nattpatrulje'
      ? { recipients: [recipient('natt'), recipient('natt2')], waitMs: 60_000 }
      : { refused: to === 'tom' ? 'nobody-on-duty' : 'unknown-recipient' },
  dispatchTargets: async () => ({ targets: [{ to: 'nattpatrulje', name: 'Nattpatrulje', kind: 'team', onDuty: 2, proposed: true }] }),
  view: async () => ({ me: null, teams: [] }),
  order: async (_viewer, { command }) =>
    command === 'on' ? { view: { me: null, teams: [] }, warning: null } : { refused: command === 'off' ? 'not-on-duty' : 'not-allowed' },
};

const checks: HealthCheck[] = [
  { name: 'database', needed: true, check: async () => null },
  { name: 'redis', needed: false, check: async () => 'Redis does not answer.' },
];
let brokenFeed: Error | null = null;
const parts: ConsoleParts = {
  board: createBoard({ pg: postgres, clock, log: SILENT }),
  desk,
  duty,
  feedId: async () => {
    if (brokenFeed !== null) throw brokenFeed;
    return 'epoch.1-0';
  },
  cards: createCardStore(postgres),
  actionPlans: loadActionPlans('config'),
  listDevices: async () => ({ devices: [], refusals: [] }),
  takeReport: createSmsReports('gateway-token', (id) => Promise.resolve(id === 'sms-1')),
  readWatch: () => Promise.resolve([]),
  sessions: createSessions({ store: createSessionStore(postgres), clock, random: systemRandom }),
  credentials,
  centre: { name: 'Prøvesenteret', phone: '+4759000000' },
  demo: true,
  publicUrl: 'https://alarm.example',
  trustProxy: false,
  tls: null,
  checks,
  registry: new Registry(),
  clock,
  log,
  webRoot,
  version: '0.0.0',
};
const console_ = createConsole(parts);
const { url, port } = await console_.listen('127.0.0.1', 0);
t.teardown(async () => {
  await console_.stop();
  await stores.stop();
  rmSync(webRoot, { recursive: true });
});

interface Told {
  readonly status: number;
  // eslint-disable-next-line typescript/no-explicit-any
  readonly body: any;
  readonly headers: Headers;
}

async function ask(
  method: string,
  where: string,
  options: { cookie?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<Told> {
  const { cookie, body, headers = {} } = options;
  const response = await fetch(`${url}${where}`, {
    method,
    redirect: 'manual',
    headers: {
      ...(cookie === undefined ? {} : { cookie }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  const isJson = response.headers.get('content-type')?.includes('json') === true;
  return { status: response.status, body: isJson && text !== '' ? JSON.parse(text) : text, headers: response.headers };
}

async function signIn(username: string, password = 'demo'): Promise<string> {
  const { status, headers, body } = await ask('POST', '/api/v1/session', { body: { username, password } });
  t.equal(status, 200, `${username} signs in: ${JSON.stringify(body)}`);
  return String(headers.getSetCookie()[0]?.split(';')[0]);
}

/** A signal of a household in the demonstration register; its alarm's number. */
async function press(more: Partial<Signal> = {}, meaning: Partial<Meaning> = {}): Promise<string> {
  const now = clock.now();
  const id = receiptId(now, systemRandom);
  const receipt = await keeper.keep(
    signal(meaning, {
      id,
      receivedAt: now,
      messageId: id,
      raw: Buffer.from(`{"id":"${id}"}`),
      source: 'mqtt:NJ-1103-0002',
      device: 'NJ-1103-0002',
      municipality: '1103',
      household: { id: 'demo-04', name: 'Wilhelmine', zone: 'Stavanger sentrum' },
      ...more,
    }),
  );
  if (receipt.alarm === null) throw new Error('no alarm');
  return receipt.alarm;
}
const AT_SOLA: Partial<Signal> = {
  device: 'NJ-1124-0001',
  source: 'mqtt:NJ-1124-0001',
  municipality: '1124',
  household: { id: 'demo-09', name: 'Olav Risnes', zone: 'Tananger' },
};

const order = (cookie: string, number: string, body: unknown): Promise<Told> =>
  ask('POST', `/api/v1/alarms/${number}/commands`, { cookie, body });

type Asserting = Pick<typeof t, 'equal' | 'match' | 'ok'>;

/** What every problem document must be. */
function isProblem(t: Asserting, told: Told, status: number, code: string, what = code): void {
  t.equal(told.status, status, what);
  t.match(told.headers.get('content-type'), /^application\/problem\+json/, what);
  t.match(told.body, { status, code, title: /\S/, detail: /\S/, type: /\S/ }, what);
  t.ok(PROBLEM.safeParse(told.body).success, what);
}
let operator = '';
let sola = '';

void t.test('before there are accounts, and signing in', async (t) => {
  const none = await ask('GET', '/api/v1/session');
  isProblem(t, none, 401, 'no-accounts');
  t.match(none.body.command, /^npm run admin -- user add/);
  isProblem(t, await ask('POST', '/api/v1/session', { body: { username: 'operator', password: 'demo' } }), 401, 'no-accounts');
  t.same((await ask('GET', '/api/v1/centre')).body, { name: 'Prøvesenteret', phone: '+4759000000', demo: true });

  const municipalities = ['1103', '1108', '1120', '1124', '1127'];
  const known = { municipalities, models: null, zones: null };
  await seedDemo({
    configDir: 'config',
    accounts,
    register: createRegisterStore(postgres),
    known,
    clock,
    random: systemRandom,
    log: SILENT,
  });

  isProblem(t, await ask('GET', '/api/v1/session'), 401, 'no-session');
  for (const where of [
    '/alarms',
    '/alarms/1',
    '/alarms/1/card',
    '/duty',
    '/devices',
    '/dispatch-targets?alarm=1',
    '/households/x/openings',
  ]) {
    isProblem(t, await ask('GET', `/api/v1${where}`), 401, 'no-session', where);
  }
  isProblem(t, await ask('GET', '/api/v1/alarms', { cookie: `session=${'x'.repeat(43)}` }), 401, 'no-session', 'a made-up cookie');
  for (const body of [
    { username: 'operator', password: 'wrong' },
    { username: 'nobody', password: 'demo' },
  ]) {
    const refused = await ask('POST', '/api/v1/session', { body });
    isProblem(t, refused, 401, 'wrong-credentials');
    t.equal(refused.headers.get('set-cookie'), null);
  }
  const signedIn = await ask('POST', '/api/v1/session', { body: { username: ' Operator ', password: 'demo' } });
  const expected = { account: 'operator', name: 'Kari Operatør', roles: ['operator'], municipalities: ['*'] };
  t.same(signedIn.body, expected, 'capitals and spaces around a username are forgiven');
  const [cookie = ''] = signedIn.headers.getSetCookie();
  t.match(cookie, /^session=[\w-]{43}; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict; Secure$/, 'Secure, since PUBLIC_URL is https');
  operator = cookie.split(';')[0] ?? '';
  sola = await signIn('sola');
  t.same((await ask('GET', '/api/v1/session', { cookie: operator })).body, expected);
  t.equal((await ask('GET', '/api/v1/session', { cookie: `a=b; ${operator}; c=d` })).status, 200, 'among other cookies');
  const kept = await postgres.pool.query<{ token: string }>(`select encode(token_sha256, 'base64') as token from session`);
  t.notOk(
    kept.rows.some(({ token }) => operator.includes(token)),
    'the store has no token',
  );

  const leaving = await signIn('operator2');
  t.equal((await ask('GET', '/api/v1/alarms', { cookie: leaving })).status, 200);
  const left = await ask('DELETE', '/api/v1/session', { cookie: leaving });
  t.equal(left.status, 204);
  t.match(left.headers.get('set-cookie'), /^session=; Path=\/; Max-Age=0; HttpOnly; SameSite=Strict/);
  isProblem(t, await ask('GET', '/api/v1/alarms', { cookie: leaving }), 401, 'no-session', 'signed out is signed out, also in memory');
  t.equal((await ask('DELETE', '/api/v1/session')).status, 204, 'signing out twice does no harm');
});

void t.test('lists: order, sight, pages', async (t) => {
  const technical = await press({}, { role: 'technical', kind: 'battery-low', priority: 'technical' });
  const care = await press(
    { household: { id: 'demo-05', name: 'Halvor', zone: 'Hundvåg' }, device: 'NJ-1103-0003', source: 'mqtt:NJ-1103-0003' },
    { kind: 'geofence-exit', priority: 'care' },
  );
  const first = await press({}, { trigger: 'p1' });
  const second = await press({
    household: { id: 'demo-06', name: 'Gudrun', zone: 'Madla' },
    device: 'NJ-1103-0004',
    source: 'mqtt:NJ-1103-0004',
  });
  const elsewhere = await press(AT_SOLA);
  const list = await ask('GET', '/api/v1/alarms?state=open', { cookie: operator });
  t.equal(list.status, 200);
  t.ok(ALARM_LIST.strict().safeParse(list.body).success, 'as the schema says');
  t.equal(list.headers.get('cache-control'), 'no-store');
  t.equal(list.body.feed, 'epoch.1-0');
  const numbers = (told: Told): string[] => told.body.alarms.map(({ number }: AlarmView) => number);
  t.same(numbers(list), [first, second, elsewhere, care, technical], 'most urgent first, then oldest');
  t.same(numbers(await ask('GET', '/api/v1/alarms', { cookie: sola })), [elsewhere], 'only those of the municipality');

  const paged: string[] = [];
  let next: string | undefined = '';
  while (next !== undefined) {
    const page: Told = await ask('GET', `/api/v1/alarms?limit=2${next === '' ? '' : `&cursor=${next}`}`, { cookie: operator });
    paged.push(...numbers(page));
    next = page.body.next as string | undefined;
  }
  t.same(paged, numbers(list), 'pages of two make the same list');
  isProblem(t, await ask('GET', '/api/v1/alarms?cursor=nonsense', { cookie: operator }), 400, 'invalid-cursor');
  const wrong = await ask('GET', '/api/v1/alarms?state=ajar&limit=0', { cookie: operator });
  isProblem(t, wrong, 400, 'invalid-request');
  t.same(wrong.body.errors.map(({ field }: { field: string }) => field).toSorted(), ['limit', 'state']);

  const one = await ask('GET', `/api/v1/alarms/${first}`, { cookie: operator });
  t.ok(ALARM_WITH_TIMELINE.strict().safeParse(one.body).success, 'as the schema says');
  t.match(one.body, {
    number: first,
    state: 'waiting',
    priority: 'life',
    device: 'NJ-1103-0002',
    household: { id: 'demo-04' },
    timeline: [{ version: 1 }],
  });
  t.equal((await ask('GET', `/api/v1/alarms/${elsewhere}`, { cookie: sola })).status, 200);
  for (const number of [first, '999999', '0', 'x', '1e3', '-1', '%00', '9'.repeat(30)]) {
    isProblem(t, await ask('GET', `/api/v1/alarms/${number}`, { cookie: sola }), 404, 'unknown-alarm', number);
    isProblem(t, await ask('GET', `/api/v1/alarms/${number}/card`, { cookie: sola }), 404, 'unknown-alarm', `the card of ${number}`);
    isProblem(t, await order(sola, number, { command: 'claim' }), 404, 'unknown-alarm', `a command on ${number}`);
  }
  isProblem(t, await order(sola, first, { command: 'dispatch', to: 'nattpatrulje' }), 404, 'unknown-alarm', 'a dispatch too');
  isProblem(t, await order(sola, first, { command: 'override-contact', reason: 'x' }), 404, 'unknown-alarm', 'before not-allowed');

  const teknisk = await signIn('teknisk');
  t.same(numbers(await ask('GET', '/api/v1/alarms', { cookie: teknisk })), [technical], 'technicians see technical alarms');
  const natt = await signIn('natt');
  t.same(numbers(await ask('GET', '/api/v1/alarms', { cookie: natt })), [], 'responders see what they were asked to');
});

void t.test('a case from claim to close, with its refusals', async (t) => {
  const number = await press({
    household: { id: 'demo-03', name: 'Jan-Erik', zone: 'Stavanger sentrum' },
    device: 'NJ-1103-0001',
    source: 'mqtt:NJ-1103-0001',
  });
  const [other, natt, natt2, leder] = [await signIn('operator2'), await signIn('natt'), await signIn('natt2'), await signIn('leder')];

  const claimed = await order(operator, number, { command: 'claim', version: 1, key: 'k-1' });
  t.match(claimed, { status: 200, body: { number, claimedBy: 'operator', state: 'claimed' } });
  t.ok(ALARM_VIEW.strict().safeParse(claimed.body).success, 'as the schema says');
  t.same(
    (await order(operator, number, { command: 'claim', version: 1, key: 'k-1' })).body,
    claimed.body,
    'the same key gets the stored answer',
  );
  const taken = await order(other, number, { command: 'claim', key: 'k-1' });
  isProblem(t, taken, 409, 'taken-by-another', 'another account may use the same key');
  t.equal(taken.body.by, 'operator');
  isProblem(t, await order(operator, number, { command: 'close' }), 409, 'no-confirmed-contact');
  isProblem(t, await order(operator, number, { command: 'dispatch', to: 'tom' }), 409, 'nobody-on-duty');
  isProblem(t, await order(operator, number, { command: 'dispatch', to: 'ukjent' }), 409, 'unknown-recipient');
  isProblem(
    t,
    await order(other, number, { command: 'dispatch', to: 'ukjent' }),
    409,
    'taken-by-another',
    'is said before the recipient is looked at',
  );

  isProblem(t, await order(natt, number, { command: 'accept' }), 404, 'unknown-alarm', 'not asked yet');
  const sent = await order(operator, number, { command: 'dispatch', to: 'nattpatrulje' });
  t.match(sent, { status: 200, body: { state: 'dispatched', dispatchedTo: 'nattpatrulje', asked: ['natt', 'natt2'] } });
  t.match((await ask('GET', '/api/v1/alarms', { cookie: natt })).body.alarms, [{ number }], 'now it is theirs too');
  isProblem(t, await order(natt, number, { command: 'close' }), 403, 'not-allowed', 'responders do not close');
  isProblem(t, await order(operator, number, { command: 'accept' }), 403, 'not-allowed', 'operators do not go');
  isProblem(t, await order(operator, number, { command: 'override-contact', reason: 'x' }), 403, 'not-allowed');
  t.match(await order(natt, number, { command: 'accept', etaMinutes: 12 }), {
    status: 200,
    body: { state: 'responding', responder: 'natt' },
  });
  const second = await order(natt2, number, { command: 'accept' });
  isProblem(t, second, 409, 'accepted-by-another');
  t.equal(second.body.by, 'natt');
  t.match(await order(natt2, number, { command: 'decline' }), { status: 200 }, 'declining needs no reason');
  isProblem(t, await ask('GET', `/api/v1/alarms/${number}`, { cookie: natt2 }), 404, 'unknown-alarm', 'and then it is gone');

  const ahead = toIso(clock.now() + 3_600_000);
  t.match(await order(natt, number, { command: 'arrive', doneAt: ahead }), { status: 200, body: { state: 'on-site' } });
  const atDoor = (await ask('GET', `/api/v1/alarms/${number}`, { cookie: operator })).body.timeline.at(-1);
  t.ok(atDoor.doneAt <= toIso(clock.now()), 'a phone that is ahead is not believed');
  t.match(await order(natt, number, { command: 'report', outcome: 'helped him up', text: 'No injury' }), { status: 200 });
  const report = (await ask('GET', `/api/v1/alarms/${number}`, { cookie: operator })).body.timeline.at(-1);
  t.match(report.event, { event: 'reported', outcome: 'other', text: 'helped him up: No injury' }, "another system's word is kept");

  const seen = (await ask('GET', `/api/v1/alarms/${number}`, { cookie: operator })).body.version as number;
  await press({
    household: { id: 'demo-03', name: 'Jan-Erik', zone: 'Stavanger sentrum' },
    device: 'NJ-1103-0001',
    source: 'mqtt:NJ-1103-0001',
  });
  isProblem(t, await order(operator, number, { command: 'close', version: seen, outcome: 'helped-on-site' }), 409, 'overtaken');
  t.match(await order(operator, number, { command: 'close' }), {
    status: 200,
    body: { state: 'closed', outcome: 'other', closedBy: 'operator' },
  });
  isProblem(t, await order(other, number, { command: 'claim' }), 409, 'already-closed');
  isProblem(t, await order(operator, number, { command: 'take-over' }), 409, 'already-closed', 'is said before not-allowed');
  t.match(
    (await ask('GET', '/api/v1/alarms?state=closed', { cookie: natt })).body.alarms,
    [{ number }],
    'the responder keeps it for a day',
  );

  const alone = await press({ household: { id: 'demo-01', name: 'Åse', zone: '' }, device: '26317', source: 'scaip:26317' });
  isProblem(t, await order(leder, alone, { command: 'override-contact' }), 409, 'reason-required');
  t.match(await order(leder, alone, { command: 'override-contact', reason: 'Innlagt' }), { status: 200, body: { closable: true } });
});

void t.test('two claims at once: one wins, the other sees who', async (t) => {
  const number = await press({ household: { id: 'demo-02', name: 'T', zone: '' }, device: '10149471', source: 'scaip:10149471' });
  const other = await signIn('operator2');
  const answers = await Promise.all([operator, other].map((cookie) => order(cookie, number, { command: 'claim', version: 1 })));
  t.same(new Set(answers.map(({ status }) => status)), new Set([200, 409]));
  const [winner, loser] = answers.toSorted((a, b) => a.status - b.status);
  t.match(loser?.body, { code: 'taken-by-another', by: winner?.body.claimedBy });
  const again = await Promise.all([1, 2, 3].map(() => order(operator, number, { command: 'note', text: 'én gang', key: 'note-1' })));
  t.ok(again.every(({ status }) => status === 200));
  const notes = (await ask('GET', `/api/v1/alarms/${number}`, { cookie: operator })).body.timeline.filter(
    ({ event }: { event: { event: string } }) => event.event === 'noted',
  );
  t.equal(notes.length, 1, 'one key is one act, also at once');
});

void t.test('bodies of commands', async (t) => {
  const number = await press(AT_SOLA);
  const cases: readonly (readonly [unknown, string])[] = [
    [{}, 'command'],
    [{ command: 'explode' }, 'command'],
    [{ command: 'note' }, 'text'],
    [{ command: 'note', text: '  ' }, 'text'],
    [{ command: 'note', text: 7 }, 'text'],
    [{ command: 'note', text: 'x'.repeat(2001) }, 'text'],
    [{ command: 'dispatch' }, 'to'],
    [{ command: 'withdraw' }, 'what'],
    [{ command: 'withdraw', what: 'everything' }, 'what'],
    [{ command: 'confirm-contact', how: 'telepathy' }, 'how'],
    [{ command: 'claim', version: '7' }, 'version'],
    [{ command: 'claim', version: -1 }, 'version'],
    [{ command: 'claim', key: '' }, 'key'],
    [{ command: 'claim', key: 'x'.repeat(129) }, 'key'],
    [{ command: 'claim', doneAt: 'yesterday' }, 'doneAt'],
    [{ command: 'claim', doneAt: '2026-11-22' }, 'doneAt'],
    [{ command: 'claim', extra: 1 }, 'extra'],
    [{ command: 'accept', etaMinutes: -3 }, 'etaMinutes'],
    [{ command: 'snooze' }, 'minutes'],
    [[], ''],
    ['"text"', ''],
    ['null', 'command'],
  ];
  for (const [body, field] of cases) {
    const told = await order(sola, number, body);
    const name = JSON.stringify(body).slice(0, 60);
    isProblem(t, told, 400, 'invalid-request', name);
    t.ok(
      told.body.errors.some((error: { field: string }) => error.field === field),
      `${name} names "${field}": ${told.body.detail}`,
    );
  }
  isProblem(t, await order(sola, number, '{ not json'), 400, 'invalid-json');
  isProblem(t, await order(sola, number, '{"__proto__":{"x":1},"command":"claim"}'), 400, 'invalid-json', 'a poisoned prototype');
  isProblem(t, await order(sola, number, { command: 'note', text: 'x'.repeat(70_000) }), 413, 'body-too-large');
  const form = { method: 'POST', cookie: sola, headers: { 'content-type': 'application/x-www-form-urlencoded' } };
  isProblem(t, await ask('POST', `/api/v1/alarms/${number}/commands`, { ...form, body: 'command=claim' }), 415, 'not-json');
  const plain = { cookie: sola, headers: { 'content-type': 'text/plain' }, body: '{"command":"claim"}' };
  isProblem(t, await ask('POST', `/api/v1/alarms/${number}/commands`, plain), 415, 'not-json', 'what a form of another site could send');
  t.match(await order(sola, number, { command: 'claim', version: null, key: null, doneAt: null }), { status: 200 }, 'null is not given');
  t.match(
    await order(sola, number, { command: 'note', text: 'NUL \u0000 og \ud800' }),
    { status: 200 },
    'what the store cannot keep is replaced',
  );
  t.match((await ask('GET', `/api/v1/alarms/${number}`, { cookie: sola })).body.timeline.at(-1).event, { text: 'NUL \ufffd og \ufffd' });

  const read = (body: unknown) => commandOf(ORDER_BODY.parse(body));
  t.same(read({ command: 'confirm-contact' }), { command: 'confirm-contact', how: 'voice' });
  t.same(read({ command: 'close' }), { command: 'close', outcome: 'other', text: '' });
  t.same(read({ command: 'close', outcome: 'test', text: ' x ' }), { command: 'close', outcome: 'test', text: 'x' });
  t.same(read({ command: 'close', outcome: 'resolved' }), { command: 'close', outcome: 'other', text: 'resolved' });
  t.same(read({ command: 'accept' }), { command: 'accept', etaMinutes: null });
  t.same(read({ command: 'decline' }), { command: 'decline', reason: '' });
  t.same(
    ORDER_BODY.options.map((option) => option.shape.command.value),
    [...PERSON_COMMANDS],
    'a body for each command',
  );
  t.equal(
    doneAtOf(ORDER_BODY.parse({ command: 'arrive', doneAt: '2026-11-22T21:00:00+01:00' }), Number.MAX_SAFE_INTEGER),
    Date.UTC(2026, 10, 22, 20),
  );
});

void t.test('the card, and the log of its openings', async (t) => {
  const number = await press();
  const openings = async () =>
    (await postgres.pool.query(`select account, role, household_id, alarm::text, why from card_opening order by id`)).rows;
  t.same(await openings(), []);
  const card = await ask('GET', `/api/v1/alarms/${number}/card?why=alarm`, { cookie: operator });
  t.equal(card.status, 200);
  t.ok(CARD.strict().safeParse(card.body).success, 'as the schema says');
  t.match(card.body, {
    household: { id: 'demo-04', place: 'Stavanger', access: { keyBoxCode: '0304', floor: '3. etasje uten heis' } },
    residents: [{ name: /^Wilhelmine/, born: '1931-12-24', age: Number, health: /KOLS/ }],
    contacts: [{ rank: 1, hasKey: true, phone: '+4759002005' }, { rank: 2 }],
    device: { serial: 'NJ-1103-0002', lastSeenAt: null, triggers: [{ id: 'p1', name: 'Halssmykke' }] },
    trigger: { id: 'p1', name: 'Halssmykke', room: 'Følger brukeren' },
    raw: null,
    actionPlan: { title: 'Trygghetsalarm utløst', steps: [{ required: true }] },
  });
  t.match(card.body.earlier, [{ kind: 'battery-low' }], 'the alarm of the same household that came before');
  t.same(await openings(), [{ account: 'operator', role: 'operator', household_id: 'demo-04', alarm: number, why: 'alarm' }]);
  isProblem(t, await ask('GET', `/api/v1/alarms/${number}/card`, { cookie: sola }), 404, 'unknown-alarm');
  t.equal((await openings()).length, 1, 'what was not shown is not logged');

  const teknisk = await signIn('teknisk');
  const [technical] = (await ask('GET', '/api/v1/alarms', { cookie: teknisk })).body.alarms as AlarmView[];
  const forTechnician = await ask('GET', `/api/v1/alarms/${technical?.number}/card?why=batteri`, { cookie: teknisk });
  t.match(
    forTechnician.body,
    { household: { id: 'demo-04' }, residents: [{ health: '', born: null, age: null }] },
    'no health for technicians',
  );
  t.notOk(forTechnician.body.earlier.some(({ priority }: AlarmView) => priority !== 'technical'));
  t.match((await openings()).at(-1), { account: 'teknisk', role: 'technician', why: 'batteri' });

  const stranger = await press(
    { device: '424242', source: 'scaip:424242', household: null, raw: Buffer.from('<mrq>ukjent æ</mrq>'), marks: ['unknown-device'] },
    { kind: 'unknown', priority: 'urgent' },
  );
  const puzzle = await ask('GET', `/api/v1/alarms/${stranger}/card`, { cookie: operator });
  t.match(puzzle.body, { household: null, residents: [], contacts: [], device: null, raw: { text: '<mrq>ukjent æ</mrq>' } });
  t.equal(puzzle.body.raw.hex, Buffer.from('<mrq>ukjent æ</mrq>').toString('hex'));
  t.equal((await openings()).length, 2, 'no card of a resident, no opening');

  const leder = await signIn('leder');
  const told = await ask('GET', '/api/v1/households/demo-04/openings', { cookie: leder });
  t.match(
    told.body.openings,
    [
      { account: 'teknisk', role: 'technician', why: 'batteri' },
      { account: 'operator', alarm: number },
    ],
    'the latest first',
  );
  isProblem(t, await ask('GET', '/api/v1/households/demo-04/openings', { cookie: operator }), 403, 'role-missing');
  isProblem(t, await ask('GET', '/api/v1/households/nowhere/openings', { cookie: leder }), 404, 'unknown-household');
  await accounts.add(
    { account: 'solaleder', name: 'S', roles: ['supervisor'], municipalities: ['1124'], phone: '', disabledAt: null },
    await hashPassword('demo'),
    clock.now(),
  );
  isProblem(t, await ask('GET', '/api/v1/households/demo-04/openings', { cookie: await signIn('solaleder') }), 404, 'unknown-household');
});

void t.test('duty, targets and devices come through their ports', async (t) => {
  const number = await press();
  t.match((await ask('GET', `/api/v1/dispatch-targets?alarm=${number}`, { cookie: operator })).body, {
    targets: [{ to: 'nattpatrulje', proposed: true }],
  });
  isProblem(t, await ask('GET', `/api/v1/dispatch-targets?alarm=${number}`, { cookie: sola }), 404, 'unknown-alarm');
  isProblem(t, await ask('GET', '/api/v1/dispatch-targets', { cookie: operator }), 400, 'invalid-request');
  const natt = await signIn('natt');
  isProblem(t, await ask('GET', `/api/v1/dispatch-targets?alarm=${number}`, { cookie: natt }), 403, 'role-missing');
  t.same((await ask('GET', '/api/v1/duty', { cookie: natt })).body, { me: null, teams: [] });
  t.match(await ask('POST', '/api/v1/duty', { cookie: natt, body: { command: 'on', team: 'nattpatrulje' } }), { status: 200 });
  isProblem(t, await ask('POST', '/api/v1/duty', { cookie: natt, body: { command: 'off' } }), 409, 'not-on-duty');
  isProblem(t, await ask('POST', '/api/v1/duty', { cookie: natt, body: { command: 'take-over', from: 'x' } }), 403, 'not-allowed');
  isProblem(t, await ask('POST', '/api/v1/duty', { cookie: natt, body: { command: 'sleep' } }), 400, 'invalid-request');
  t.same((await ask('GET', '/api/v1/devices?search=NJ&refused=true', { cookie: operator })).body, { devices: [], refusals: [] });
  isProblem(t, await ask('GET', '/api/v1/devices', { cookie: natt }), 403, 'role-missing');
});

void t.test('the Origin rule', async (t) => {
  const number = await press(AT_SOLA);
  const withOrigin = (origin: string) =>
    ask('POST', `/api/v1/alarms/${number}/commands`, { cookie: sola, body: { command: 'note', text: 'x' }, headers: { origin } });
  isProblem(t, await withOrigin('https://evil.example'), 403, 'foreign-origin');
  isProblem(t, await withOrigin('null'), 403, 'foreign-origin');
  isProblem(t, await withOrigin(`http://127.0.0.1:${port + 1}`), 403, 'foreign-origin', 'another port is another site');
  t.equal((await withOrigin(url)).status, 200, 'the address that it was sent to');
  t.equal((await withOrigin('https://alarm.example')).status, 200, 'PUBLIC_URL');
  const foreign = { headers: { origin: 'https://evil.example' } };
  isProblem(
    t,
    await ask('POST', '/api/v1/session', { ...foreign, body: { username: 'operator', password: 'demo' } }),
    403,
    'foreign-origin',
  );
  isProblem(t, await ask('DELETE', '/api/v1/session', { ...foreign, cookie: sola }), 403, 'foreign-origin');
  t.equal((await ask('GET', '/api/v1/session', { cookie: sola })).status, 200, 'still signed in');

  const rule = { publicUrl: null, trustProxy: false };
  const cases: readonly (readonly [boolean, Parameters<typeof originAllowed>[0], Parameters<typeof originAllowed>[1]])[] = [
    [true, { host: 'a:1' }, rule],
    [true, { host: 'a:1', origin: 'http://a:1' }, rule],
    [true, { host: 'A.example', origin: 'https://a.example' }, rule],
    [true, { host: 'a.example:443', origin: 'https://a.example' }, rule],
    [false, { host: 'a:1', origin: 'http://a:2' }, rule],
    [false, { host: 'a', origin: 'http://a.evil' }, rule],
    [false, { host: 'a', origin: 'file://a' }, rule],
    [false, { host: 'a', origin: '' }, rule],
    [false, { origin: 'http://a' }, rule],
    [false, { host: 'inner', origin: 'https://a', 'x-forwarded-host': 'a' }, rule],
    [true, { host: 'inner', origin: 'https://a', 'x-forwarded-host': 'a' }, { ...rule, trustProxy: true }],
    [true, { host: 'inner', origin: 'https://a', 'x-forwarded-host': 'evil, a' }, { ...rule, trustProxy: true }],
    [false, { host: 'inner', origin: 'https://evil', 'x-forwarded-host': 'evil, a' }, { ...rule, trustProxy: true }],
    [true, { host: 'inner', origin: 'https://pub' }, { ...rule, publicUrl: 'https://pub/x' }],
    [false, { host: 'inner', origin: 'http://pub' }, { ...rule, publicUrl: 'https://pub/x' }],
  ];
  for (const [allowed, headers, how] of cases) t.equal(originAllowed(headers, how), allowed, JSON.stringify([headers, how]));
});

void t.test('sign-in is slowed down, and a stranger locks nobody out', async (t) => {
  const moving = new MovableClock();
  const passwordHash = await hashPassword('right');
  const kari = { account: 'kari', name: '', roles: [], municipalities: [], phone: '', disabledAt: null };
  let asked = 0;
  const fake: Credentials = {
    find: async (username) => {
      asked += 1;
      return username === 'kari' ? { account: kari, passwordHash } : null;
    },
    any: async () => true,
  };
  const door = createSignIn({ credentials: fake, clock: moving, log: SILENT });
  const guess = (address: string, password = 'wrong', username = 'kari') => door.try(username, password, address);
  t.ok('account' in (await guess('desk', 'right')), 'a known desk');
  for (let i = 0; i < 5; i++) t.match(await guess('attacker'), { refused: 'wrong-credentials' });
  t.match(
    await guess('attacker', 'right'),
    { refused: 'slowed-down', waitMs: 3000 },
    'the right password too: nothing is learnt by guessing on',
  );
  const before = asked;
  await guess('attacker');
  t.equal(asked, before, 'and no password is checked meanwhile');
  for (let i = 0; i < 40; i++) await guess(`bot-${i}`);
  t.match(await guess('bot-99'), { refused: 'slowed-down' }, 'many addresses, one account');
  t.ok('account' in (await guess('desk', 'right')), 'the known desk gets in all the while');
  await moving.advance(3000);
  t.ok('account' in (await guess('new-desk', 'right')), 'a new one within seconds');
  for (let i = 0; i < 40; i++) await guess('sprayer', 'wrong', `user${i}`);
  t.match(await guess('sprayer', 'wrong', 'user99'), { refused: 'slowed-down' }, 'one address, many accounts');
  const flood = createSignIn({ credentials: fake, clock: moving, log: SILENT });
  const answers = await Promise.all(Array.from({ length: 30 }, () => flood.try('kari', 'wrong', 'one')));
  t.equal(answers.filter((answer) => 'refused' in answer && answer.refused === 'wrong-credentials').length, 5, 'thirty at once are thirty');
  const morning = createSignIn({ credentials: fake, clock: moving, log: SILENT });
  const shift = await Promise.all(Array.from({ length: 30 }, () => morning.try('kari', 'right', 'centre')));
  t.ok(
    shift.every((answer) => 'account' in answer),
    'thirty consoles that sign in together are no failures',
  );
  const away = createSignIn({
    credentials: { ...fake, find: () => Promise.reject(new CentreError('store-away', 'x')) },
    clock: moving,
    log: SILENT,
  });
  for (let i = 0; i < 10; i++)
    await t.rejects(away.try('kari', 'right', 'desk'), { code: 'store-away' }, 'an absent store is nobody’s failure');

  for (let i = 0; i < 5; i++) await ask('POST', '/api/v1/session', { body: { username: 'leder', password: 'guess' } });
  const slowed = await ask('POST', '/api/v1/session', { body: { username: 'leder', password: 'demo' } });
  isProblem(t, slowed, 429, 'slowed-down');
  t.match(slowed.headers.get('retry-after'), /^[1-3]$/);

  const took = async (username: string): Promise<number> => {
    const begun = performance.now();
    await createSignIn({ credentials: fake, clock: moving, log: SILENT }).try(username, 'wrong', 'x');
    return performance.now() - begun;
  };
  const median = (all: number[]): number => all.toSorted((a, b) => a - b)[Math.floor(all.length / 2)] ?? 0;
  const known: number[] = [];
  const unknown: number[] = [];
  for (let i = 0; i < 7; i++) {
    known.push(await took('kari'));
    unknown.push(await took('nobody'));
  }
  t.ok(median(unknown) > median(known) / 3, `an unknown username takes as long: ${median(unknown)} and ${median(known)} ms`);
});

void t.test('buckets', async (t) => {
  const moving = new MovableClock();
  const buckets = new Buckets(moving, 2, 1000);
  buckets.take('a');
  buckets.take('a');
  t.equal(buckets.wait('a'), 1000);
  t.equal(buckets.wait('b'), 0);
  await moving.advance(400);
  t.equal(buckets.wait('a'), 600);
  buckets.giveBack('a');
  t.equal(buckets.wait('a'), 0);
});

void t.test('sessions: sliding, bounded, and held while the store is away', async (t) => {
  const moving = new MovableClock();
  const viewer = { account: 'kari', name: '', roles: [], municipalities: [] };
  const kept = new Map<string, { createdAt: number; expiresAt: number }>();
  let away = false;
  let found = 0;
  const keyOf = (token: Uint8Array): string => Buffer.from(token).toString('hex');
  const sessions = createSessions({
    clock: moving,
    random: systemRandom,
    store: {
      open: async (token, _username, at, expiresAt) => void kept.set(keyOf(token), { createdAt: at, expiresAt }),
      async find(token, now) {
        if (away) throw new CentreError('store-away', 'x');
        found += 1;
        const one = kept.get(keyOf(token));
        return one === undefined || one.expiresAt <= now ? null : { viewer, ...one };
      },
      extend: async (token, expiresAt) => void (kept.get(keyOf(token))!.expiresAt = expiresAt),
      end: async (token) => void kept.delete(keyOf(token)),
    },
  });
  const { token } = await sessions.open('kari');
  let cookie = `session=${token}`;
  t.match(await sessions.viewer(cookie), viewer);
  await sessions.viewer(cookie);
  t.equal(found, 1, 'the store is not asked for each request');
  for (let hours = 0; hours < 24; hours += 8) {
    await moving.advance(8 * 3_600_000);
    t.match(await sessions.viewer(cookie), viewer, 'use carries it on');
  }
  away = true;
  for (let hours = 0; hours < 11; hours += 1) {
    await moving.advance(3_600_000);
    t.match(await sessions.viewer(cookie), viewer, 'signed in while the store is away');
  }
  await moving.advance(3_600_000);
  await t.rejects(sessions.viewer(cookie), { code: 'store-away' }, 'but not for ever');
  away = false;
  await moving.advance(1000);
  await t.rejects(sessions.viewer(cookie), { code: 'store-away' }, 'this one asks whether it is back');
  t.equal(await sessions.viewer(cookie), null, 'it is, and the session has run out');
  const again = await sessions.open('kari');
  cookie = `session=${again.token}`;
  for (let hours = 0; hours < 7 * 24; hours += 8) {
    await moving.advance(8 * 3_600_000);
    await sessions.viewer(cookie);
  }
  t.equal(await sessions.viewer(cookie), null, 'a week is the end');
  t.equal(await sessions.viewer('session=short'), null);
  t.equal(tokenIn(`x=1; session=${token}`), token);
  t.equal(tokenIn(`xsession=${token}`), null);
  t.equal(tokenIn(undefined), null);
  t.equal(cookieOf('t', 5000, false), 'session=t; Path=/; Max-Age=5; HttpOnly; SameSite=Strict');
});

void t.test('sessions while the store is away or hangs: nobody waits, nobody is thrown out, who leaves is gone', async (t) => {
  const moving = new MovableClock();
  const viewer = { account: 'kari', name: '', roles: [], municipalities: [] };
  const kept = new Map<string, { createdAt: number; expiresAt: number }>();
  const keyOf = (token: Uint8Array): string => Buffer.from(token).toString('hex');
  let mode: 'answers' | 'away' | 'hangs' = 'answers';
  let extending: 'works' | 'away' = 'works';
  let asked = 0;
  const hanging: (() => void)[] = [];
  async function through<T>(answer: () => T): Promise<T> {
    asked += 1;
    if (mode === 'away') throw new CentreError('store-away', 'x');
    const result = answer();
    if (mode === 'hangs') await new Promise<void>((resolve) => hanging.push(resolve));
    return result;
  }
  const sessions = createSessions({
    clock: moving,
    random: systemRandom,
    store: {
      open: (token, _username, at, expiresAt) => through(() => void kept.set(keyOf(token), { createdAt: at, expiresAt })),
      find: (token, now) =>
        through(() => {
          const one = kept.get(keyOf(token));
          return one === undefined || one.expiresAt <= now ? null : { viewer, ...one };
        }),
      extend: (token, expiresAt) => {
        if (extending === 'away') return Promise.reject(new CentreError('store-away', 'x'));
        return through(() => void (kept.get(keyOf(token))!.expiresAt = expiresAt));
      },
      end: (token) => through(() => void kept.delete(keyOf(token))),
    },
  });
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const signIn = async (): Promise<string> => `session=${(await sessions.open('kari')).token}`;
  const [first, second, third] = [await signIn(), await signIn(), await signIn()];
  for (const cookie of [first, second]) t.match(await sessions.viewer(cookie), viewer);

  await moving.advance(3_600_000);
  extending = 'away';
  t.match(await sessions.viewer(first), viewer, 'a session that could not be carried on is still one');
  extending = 'works';
  await moving.advance(5000);
  await sessions.viewer(first);
  await settled();
  t.notOk(sessions.storeAway());
  await sessions.viewer(first);
  t.ok(
    [...kept.values()].some(({ expiresAt }) => expiresAt === moving.now() + 12 * 3_600_000),
    'it is carried on with the next question',
  );

  // A store that hangs: the first to ask wait half a second, all others not at all.
  await moving.advance(6000);
  mode = 'hangs';
  t.notOk(sessions.storeAway());
  let answers = 0;
  const waits = Array.from({ length: 10 }, () => sessions.viewer(first).then((one) => (one === null ? 0 : (answers += 1))));
  const stranger = sessions.viewer(third);
  stranger.catch(() => undefined);
  await moving.advance(499);
  t.equal(answers, 0);
  await moving.advance(1);
  await Promise.all(waits);
  t.equal(answers, 10, 'from memory');
  await t.rejects(stranger, { code: 'store-away' }, 'a session that was never seen here');
  t.ok(sessions.storeAway());
  const before = asked;
  for (let n = 0; n < 100; n++) t.match(await sessions.viewer(n % 2 === 0 ? first : second), viewer);
  t.ok(asked - before <= 1, 'one probe for all');
  for (let n = 0; n < 10; n++) {
    await moving.advance(1000);
    t.match(await sessions.viewer(second), viewer);
  }
  t.ok(asked - before <= 1, 'and no other while it has no answer');
  await t.rejects(sessions.viewer(third), { code: 'store-away' });

  // Signing out meanwhile.
  await sessions.end(second);
  t.equal(await sessions.viewer(second), null, 'gone here at once');
  await sessions.end(third);
  t.equal(await sessions.viewer(third), null, 'also one that was not known here');
  t.equal(kept.size, 3);
  mode = 'answers';
  for (const answer of hanging.splice(0)) answer();
  await settled();
  t.equal(kept.size, 1, 'and in the store as soon as it is back');
  t.notOk(sessions.storeAway());
  t.match(await sessions.viewer(first), viewer);
  t.same([await sessions.viewer(second), await sessions.viewer(third)], [null, null]);

  // A question that is under way when somebody signs out does not bring the session back.
  await moving.advance(6000);
  mode = 'hangs';
  const late = sessions.viewer(first);
  mode = 'answers';
  await sessions.end(first);
  for (const answer of hanging.splice(0)) answer();
  t.equal(await late, null);
  t.equal(await sessions.viewer(first), null);

  // Away with an error: once a second it is asked again.
  const fourth = await signIn();
  await sessions.viewer(fourth);
  await moving.advance(6000);
  mode = 'away';
  t.match(await sessions.viewer(fourth), viewer);
  await t.rejects(sessions.open('kari'), { code: 'store-away' });
  const from = asked;
  for (let n = 0; n < 50; n++) {
    await moving.advance(100);
    t.match(await sessions.viewer(fourth), viewer);
    await settled();
  }
  t.ok(asked - from >= 4 && asked - from <= 6, `${asked - from} probes in 5 s`);
  const ended: string[] = [];
  const routes = sessionRoutes({
    sessions,
    signIn: { try: () => Promise.reject(new Error('nobody is asked for a password')) },
    credentials: { any: () => Promise.reject(new Error('nor who there is')) },
    centre: { name: 'Sentralen', phone: '' },
    demo: false,
    secure: false,
    signedOut: (account) => void ended.push(account),
  });
  const call = (method: string, cookie: string | undefined, body?: unknown) => {
    const route = routes.find((one) => one.method === method && one.path === '/api/v1/session');
    return route?.handle({ params: {}, query: undefined, body, headers: { cookie }, address: 'desk' }, null);
  };
  const refused = { status: 503, body: { code: 'store-away', detail: /^Nobody can sign in while the database is away/ } };
  t.match(
    await call('POST', undefined, { username: 'kari', password: 'right' }),
    refused,
    'signing in says at once that it cannot be done',
  );
  t.match(await call('GET', undefined), refused);
  t.match(await call('GET', fourth), { status: 200, body: { account: 'kari' } });
  t.match(await call('DELETE', `session=${'x'.repeat(43)}`), { status: 204 }, 'whoever wants to sign out is signed out');
  t.same(ended, []);

  kept.clear();
  mode = 'answers';
  await moving.advance(1000);
  await sessions.viewer(fourth);
  await settled();
  t.equal(await sessions.viewer(fourth), null, 'what was ended elsewhere counts as soon as the store is back');
  const fifth = await signIn();
  await sessions.viewer(fifth);
  mode = 'away';
  t.match(await call('DELETE', fifth), { status: 204 });
  t.same(ended, ['kari'], 'its sockets are looked at');
  t.equal(await sessions.viewer(fifth), null, 'and end');
});

void t.test('health, readiness, metrics', async (t) => {
  t.same((await ask('GET', '/healthz')).body, { alive: true });
  const ready = await ask('GET', '/readyz');
  t.match(ready, {
    status: 200,
    body: { ready: true, components: { database: { ok: true }, redis: { ok: false, reason: 'Redis does not answer.' } } },
  });
  checks.push({ name: 'sip', needed: true, check: () => Promise.reject(new Error('x')) });
  t.match(await ask('GET', '/readyz'), {
    status: 503,
    body: { ready: false, components: { sip: { ok: false, reason: 'The check failed.' } } },
  });
  checks.pop();
  const moving = new MovableClock();
  let answers: ((reason: string | null) => void) | undefined;
  const hanging = [{ name: 'mqtt', needed: true, check: () => new Promise<string | null>((resolve) => (answers = resolve)) }];
  const answer = readinessOf(hanging, moving);
  await moving.advance(2000);
  t.match(await answer, { ready: false, components: { mqtt: { reason: /no answer within 2 s/ } } });
  const again = readinessOf(hanging, moving);
  await moving.advance(300);
  t.match(await again, { ready: false }, 'what still hangs is not waited for: a load balancer gives an answer a second');
  answers?.(null);
  await Promise.resolve();
  const patient = readinessOf(hanging, moving);
  await moving.advance(1900);
  answers?.(null);
  t.match(await patient, { ready: true }, 'and once it has answered, it has its time again');
  const metrics = await ask('GET', '/metrics');
  t.match(metrics.headers.get('content-type'), /^text\/plain/);
  t.match(metrics.body, /http_request_seconds_count\{route="\/api\/v1\/alarms\/:number",method="GET",status="200"\} \d+/);
});

void t.test('rules for all answers', async (t) => {
  const { headers } = await ask('GET', '/healthz');
  t.match(headers.get('content-security-policy'), /^default-src 'self';style-src 'self' 'unsafe-inline';connect-src 'self';/);
  t.match(headers.get('content-security-policy'), /frame-ancestors 'none'/);
  t.notMatch(headers.get('content-security-policy'), /https?:/, 'no other host');
  t.equal(headers.get('x-content-type-options'), 'nosniff');
  t.match(headers.get('strict-transport-security'), /max-age/, 'PUBLIC_URL is https');
  for (const where of ['/api/v1/nothing', '/api/v2/alarms', '/nothing.js'])
    isProblem(t, await ask('GET', where), 404, 'unknown-route', where);
  isProblem(t, await ask('POST', '/api/v1/centre', { body: {} }), 404, 'unknown-route', 'a method that is none');
  isProblem(t, await ask('GET', '/%E0%A4%A', {}), 400, 'invalid-request', 'an address that is none');

  brokenFeed = new CentreError('store-away', 'secret detail');
  const away = await ask('GET', '/api/v1/alarms', { cookie: operator });
  isProblem(t, away, 503, 'store-away');
  t.equal(away.headers.get('retry-after'), '1');
  brokenFeed = new TypeError('secret detail');
  const bug = await ask('GET', '/api/v1/alarms', { cookie: operator });
  isProblem(t, bug, 500, 'internal');
  t.notMatch(JSON.stringify([away.body, bug.body]), /secret detail/);
  t.equal(logged.filter(({ event }) => event === 'request-failed').length, 1, 'a bug is logged, an absent store is not');
  brokenFeed = null;
  const said = JSON.stringify(logged);
  t.notMatch(said, /Kari|Wilhelmine|Pedersgata|demo-0|"demo"/, 'no personal data in the log');
  for (const code of PROBLEM_CODES) t.match(problemOf(code, 'x'), { code, title: /\S/, status: Number }, code);

  const spammer = await signIn('operator2');
  let limited: Told | null = null;
  for (let i = 0; i < 60 && limited === null; i++) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => ask('GET', '/api/v1/session', { headers: { cookie: 'session=none' } })),
    );
    limited = answers.find(({ status }) => status === 429) ?? null;
  }
  if (limited === null) t.fail('nobody is limited');
  else isProblem(t, limited, 429, 'too-many-requests');
  t.equal((await ask('GET', '/api/v1/alarms', { cookie: spammer })).status, 200, 'who is signed in is counted by account, not by address');
  t.equal((await ask('GET', '/healthz')).status, 200, 'monitoring is never limited');
});

void t.test('OpenAPI has every route, and every schema holds together', async (t) => {
  const { body } = await ask('GET', '/api/v1/openapi.json', { cookie: operator });
  const documented = Object.entries(body.paths as Record<string, object>).flatMap(([where, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${where}`),
  );
  const registered = console_.routes.map(({ method, path: where }) => `${method} ${where}`);
  t.same(documented.toSorted(), [...registered, 'GET /ws'].toSorted());
  // What fastify itself has, beside the files of the console.
  const served = console_.app.printRoutes({ commonPrefix: false });
  t.equal(served.match(/\((GET|POST|DELETE)[^)]*\)/g)?.length, new Set(registered.map((one) => one.split(' ')[1])).size, served);
  const refs = [...JSON.stringify(body).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name);
  t.ok(refs.length > 20);
  for (const name of new Set(refs)) t.ok(body.components.schemas[String(name)], `the schema ${name}`);
  t.same(Object.keys(body.components.schemas).toSorted(), Object.keys(NAMED_SCHEMAS).toSorted());
  t.equal(body.openapi, '3.1.0');
  const commands = body.paths['/api/v1/alarms/{number}/commands'].post;
  t.equal(commands.requestBody.content['application/json'].schema.oneOf.length, PERSON_COMMANDS.length);
  t.match(commands.responses['409'].description, /taken-by-another/);
  t.equal(commands.responses['200'].content['application/json'].schema.$ref, '#/components/schemas/Ordered');
});

void t.test('the files of the console', async (t) => {
  const html = { headers: { accept: 'text/html,*/*' } };
  const missing = await ask('GET', '/', html);
  t.equal(missing.status, 503);
  t.match(missing.body, /npm run build:console/);
  mkdirSync(path.join(webRoot, 'assets'));
  writeFileSync(path.join(webRoot, 'index.html'), '<!doctype html><title>Konsoll</title>');
  writeFileSync(path.join(webRoot, 'sw.js'), '// worker');
  writeFileSync(path.join(webRoot, 'assets', 'a-1f.js'), 'export {};');
  for (const where of ['/', '/utrykker', '/alarmer/1001?x=1', '/index.html']) {
    const page = await ask('GET', where, html);
    t.match(page, { status: 200, body: /Konsoll/ }, where);
    t.equal(page.headers.get('cache-control'), 'no-cache', where);
  }
  const script = await ask('GET', '/assets/a-1f.js');
  t.match(script.headers.get('content-type'), /javascript/);
  t.match(script.headers.get('cache-control'), /immutable/);
  t.equal((await ask('GET', '/sw.js')).headers.get('cache-control'), 'no-cache');
  isProblem(t, await ask('GET', '/assets/gone.js', html), 404, 'unknown-route', 'a file that is gone is not the page');
  isProblem(t, await ask('GET', '/assets/'), 404, 'unknown-route', 'a folder is no page');
  isProblem(t, await ask('GET', '/api/v1/gone', html), 404, 'unknown-route', 'nor is an address of the API');
  isProblem(t, await ask('POST', '/', { ...html, body: {} }), 404, 'unknown-route');
  for (const where of ['/..%2f..%2fpackage.json', '/assets/%2e%2e/%2e%2e/package.json'])
    t.notMatch((await ask('GET', where)).body, /responssenter/, where);
});

void t.test('ports: in use, forbidden, TLS, stop', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  const used = address !== null && typeof address === 'object' ? address.port : 0;
  const second = createConsole({ ...parts, registry: new Registry(), publicUrl: null });
  await t.rejects(second.listen('127.0.0.1', used), { code: 'port-in-use', message: new RegExp(`HTTP_PORT ${used} is in use`) });
  await second.stop();
  taken.close();
  const nowhere = createConsole({ ...parts, registry: new Registry() });
  await t.rejects(nowhere.listen('192.0.2.1', 0), { code: 'port-not-allowed', message: /BIND/ });
  await nowhere.stop();

  const plain = createConsole({ ...parts, registry: new Registry(), publicUrl: null });
  const where = await plain.listen('127.0.0.1', 0);
  const response = await fetch(`${where.url}/healthz`);
  t.equal(response.headers.get('strict-transport-security'), null, 'no HSTS without TLS');
  const inHand = fetch(`${where.url}/api/v1/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'teknisk', password: 'demo' }),
  });
  const signedIn = await inHand;
  t.notMatch(signedIn.headers.get('set-cookie'), /Secure/, 'nor Secure');
  await signedIn.text();
  await plain.stop();
  await t.rejects(fetch(`${where.url}/healthz`), 'stopped');
  t.equal(DEMO_ACCOUNTS.length, 7);
});

await t.test('a gateway reports deliveries with its token, and nobody else does', async (t) => {
  const report = (body: unknown, token?: string) =>
    ask('POST', '/api/v1/sms-reports', { body, ...(token === undefined ? {} : { headers: { authorization: `Bearer ${token}` } }) });
  t.match(await report({ id: 'sms-1', status: 'delivered' }, 'gateway-token'), { status: 200, body: { taken: true } });
  t.match(await report({ id: 'sms-9', status: 'delivered' }, 'gateway-token'), { status: 404, body: { code: 'unknown-message' } });
  t.match(await report({ id: 'sms-1', status: 'delivered' }, 'wrong'), { status: 401, body: { code: 'gateway-unknown' } });
  t.match(await report({ id: 'sms-1', status: 'delivered' }), { status: 401, body: { code: 'gateway-unknown' } });
  t.match(await report({ id: 'sms-1', status: 'lost' }, 'gateway-token'), { status: 400, body: { code: 'invalid-request' } });
});
