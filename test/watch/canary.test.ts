/** The canary on whole centres: real sockets, real stores, rounds to their end, and what is said when a step breaks. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import t, { type Test } from 'tap';
import { type RunningCentre, startCentre } from '../../src/app.ts';
import { CANARY_PROTOCOLS } from '../../src/alarms/canary.ts';
import type { ProcessRole } from '../../src/app/command-line.ts';
import { RunningClock, toIso } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { readSettings } from '../../src/base/settings.ts';
import type { WatchView } from '../../src/console/watch-routes.ts';
import { watchEn } from '../../src/console/web/texts/watch-en.ts';
import { watchNb } from '../../src/console/web/texts/watch-nb.ts';
import { watchStateOf } from '../../src/console/web/view/watch.ts';
import { DEMO_ACCOUNTS } from '../../src/people/demo.ts';
import { createAccountBook } from '../../src/store/accounts.ts';
import { createCanaryStore } from '../../src/store/canary.ts';
import { createDeviceBook } from '../../src/store/device-book.ts';
import { createWatchReports } from '../../src/store/watch-reports.ts';
import { type Canary, type CanaryNodes, type CanaryParts, startCanary } from '../../src/watch/canary.ts';
import { CANARY_STEPS } from '../../src/watch/canary-course.ts';
import { createDeadMan } from '../../src/watch/dead-man.ts';
import { Person } from '../support/person.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const stores = await startStores();
t.teardown(() => stores.stop());
const clock = new RunningClock();
const { postgres } = stores;
const REALM = 'responssenter';
/** Never by itself, in tests that order each round. */
const NEVER = 86_400_000;

interface Line {
  readonly level: string;
  readonly event: string;
  readonly step?: string;
  readonly code?: string;
  readonly protocol?: string;
}

function logTo(lines: Line[]) {
  return createLog('debug', { write: (line) => void lines.push(JSON.parse(line) as Line) });
}

async function centreOf(t: Test, roles: readonly ProcessRole[] = ['intake', 'escalation', 'console']): Promise<RunningCentre> {
  const dataDir = mkdtempSync(path.join(tmpdir(), 'responssenter-canary-'));
  const settings = readSettings({
    HTTP_PORT: '0',
    MQTT_PORT: '0',
    SIP_PORT: '0',
    DATA_DIR: dataDir,
    CONFIG_DIR: path.join(import.meta.dirname, '../../config'),
    ...(roles.includes('console') ? {} : { PUBLIC_URL: 'http://centre.example' }),
  });
  const centre = await startCentre({
    settings: { ...settings, DATABASE_URL: stores.databaseServer.url, REDIS_URL: stores.redisServer.url },
    roles,
    demo: true,
    log: SILENT,
    clock,
  });
  t.teardown(async () => {
    await centre.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });
  return centre;
}

const nodesOf = (...centres: readonly RunningCentre[]): CanaryNodes => ({
  intakes: {
    mqtt: centres.flatMap(({ ready }) => ready.mqtt ?? []),
    scaip: centres.flatMap(({ ready }) => ready.sipUdp ?? []),
  },
  consoles: centres.flatMap(({ ready }) => ready.http ?? []),
});

function canaryOf(t: Test, nodes: CanaryNodes | (() => CanaryNodes), more: Partial<CanaryParts> = {}): Canary {
  const canary = startCanary({
    store: createCanaryStore(postgres, { realm: REALM, random: systemRandom }),
    reports: createWatchReports(postgres),
    nodes: () => Promise.resolve(typeof nodes === 'function' ? nodes() : nodes),
    deadMan: null,
    clock,
    random: systemRandom,
    log: SILENT,
    every: NEVER,
    ...more,
  });
  t.teardown(() => canary.stop());
  return canary;
}

/** What a new canary does at its start has been done, so that the rounds of a test are its own. */
async function settled(canary: Canary): Promise<Canary> {
  await canary.round();
  return canary;
}

async function rows<R extends object>(text: string, values: unknown[] = []): Promise<R[]> {
  return (await postgres.pool.query<R>(text, values)).rows;
}

const summary = (results: Awaited<ReturnType<Canary['round']>>) => results.map(({ protocol, step, why }) => ({ protocol, step, why }));
const FINE = CANARY_PROTOCOLS.map((protocol) => ({ protocol, step: null, why: null }));

/** A port on which nobody listens. */
async function closedPort(): Promise<string> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `127.0.0.1:${port}`;
}

await t.test('a round presses over each protocol, and its alarm goes the whole way that a person’s alarm goes', async (t) => {
  const centre = await centreOf(t);
  const lines: Line[] = [];
  const canary = canaryOf(t, nodesOf(centre), { log: logTo(lines) });
  const results = await canary.round();
  t.strictSame(summary(results), FINE);
  for (const { steps, tookMs } of results) {
    t.strictSame(Object.keys(steps), [
      'console',
      'tidy',
      'connect',
      'press',
      'reply',
      'board',
      'ladder',
      'page',
      'claim',
      'accept',
      'arrive',
      'report',
      'contact',
      'close',
    ]);
    t.ok(tookMs < 10_000, `within its time (${tookMs} ms)`);
  }
  const alarms = await rows<{ number: string; device: string; municipality: string; priority: string; closed_at: Date | null }>(
    'select number, device, municipality, priority, closed_at from alarm order by device, number',
  );
  t.match(new Set(alarms.map(({ device }) => device)), new Set(['canary-mqtt', 'canary-scaip']));
  t.ok(alarms.every(({ municipality, priority, closed_at }) => municipality === 'canary' && priority === 'life' && closed_at !== null));
  for (const { number } of alarms) {
    const events = (
      await rows<{ event: string }>(`select event->>'event' as event from timeline where alarm = $1 order by version`, [number])
    ).map(({ event }) => event);
    for (const event of [
      'opened',
      'deadline-passed',
      'dispatched',
      'ask-delivered',
      'claimed',
      'accepted',
      'arrived',
      'reported',
      'contact-confirmed',
      'closed',
    ])
      t.ok(events.includes(event), `its timeline has "${event}"`);
  }
  const asked = await rows<{ account: string; channel: string }>('select distinct account, channel from ask');
  t.strictSame(asked, [{ account: 'canary-responder', channel: 'page' }], 'nobody real is asked');
  t.strictSame(
    (await createWatchReports(postgres).read()).map(({ name, fine }) => ({ name, fine })).toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    [
      { name: 'canary-mqtt', fine: true },
      { name: 'canary-scaip', fine: true },
    ],
  );
  t.strictSame(
    lines.filter(({ level }) => level === 'error' || level === 'warn'),
    [],
  );
  const text = JSON.stringify(lines);
  for (const { secret } of await rows<{ secret: string }>('select secret from canary_round')) t.notOk(text.includes(secret));

  await t.test('and /readyz says how long ago', async (t) => {
    const canary = async () => {
      const answer = (await (await fetch(`${centre.ready.http}/readyz`)).json()) as {
        components: Record<string, { ok: boolean; reason?: string; ageSeconds?: number }>;
      };
      return answer.components['canary'];
    };
    const fine = await canary();
    t.ok(Number.isInteger(fine?.ageSeconds) && (fine?.ageSeconds ?? -1) >= 0 && (fine?.ageSeconds ?? 99) < 60, JSON.stringify(fine));
    t.match(fine, { ok: true, reason: undefined });
    const kept = await rows<{ name: string; detail: unknown }>('select name, detail from watch_report');
    await rows(`update watch_report set detail = jsonb_set(detail, '{fineAt}', to_jsonb($1::text)) where name = 'canary-mqtt'`, [
      toIso(clock.now() - 100_400),
    ]);
    const older = await canary();
    t.equal(older?.ok, true, 'while its last report is fine');
    t.ok((older?.ageSeconds ?? 0) >= 100 && (older?.ageSeconds ?? 999) < 160, 'the protocol that was longest ago counts');
    await rows(`update watch_report set fine = false where name = 'canary-mqtt'`);
    t.match(await canary(), { ok: false, reason: /canary-mqtt/, ageSeconds: Number });
    await rows(`update watch_report set detail = jsonb_set(detail, '{fineAt}', 'null') where name = 'canary-mqtt'`);
    t.notOk('ageSeconds' in ((await canary()) ?? {}), 'over one it never came through');
    for (const { name, detail } of kept)
      await rows('update watch_report set fine = true, detail = $2 where name = $1', [name, JSON.stringify(detail)]);
  });

  await t.test('and is gone after its time, with all that belongs to it, and nothing else', async (t) => {
    const operator = await Person.signIn(centre.ready.http ?? '', 'operator');
    await pressedByDemo(centre);
    await until('the alarm of the demonstration', async () => (await operator.board()).length > 0);
    const before = await rows('select number from alarm where municipality <> $1', ['canary']);
    const store = createCanaryStore(postgres, { realm: REALM, random: systemRandom });
    await store.forget(clock.now() - 60_000);
    t.equal((await rows(`select from alarm where municipality = 'canary'`)).length, alarms.length, 'not before its time');
    await store.forget(clock.now() + 1000);
    for (const table of ['ask', 'timeline', 'signal', 'claim_lease', 'outbox'])
      t.strictSame(
        await rows(`select alarm from ${table} where alarm = any($1::bigint[])`, [alarms.map(({ number }) => number)]),
        [],
        table,
      );
    t.strictSame(await rows('select number from alarm'), before);
  });
});

/** A real device of the demonstration presses. */
async function pressedByDemo({ ready }: RunningCentre): Promise<void> {
  const { connectAsync } = await import('mqtt');
  const client = await connectAsync(`mqtt://${ready.mqtt ?? ''}`, {
    clientId: 'NJ-1103-0001',
    username: 'NJ-1103-0001',
    password: 'demo-device',
  });
  await client.publishAsync('nj/v1/1103/NJ-1103-0001/alarm', JSON.stringify({ id: `demo-${clock.now()}`, type: 'call-button' }), {
    qos: 1,
  });
  await client.endAsync();
}

await t.test('nobody sees anything of it: on no route, on no socket, in no figure', async (t) => {
  const centre = await centreOf(t);
  const url = centre.ready.http ?? '';
  const accounts = DEMO_ACCOUNTS.map(({ account }) => account);
  const people = await Promise.all(accounts.map((account) => Person.signIn(url, account)));
  for (const person of people) {
    const screen = await person.open();
    t.teardown(() => person.close());
    t.ok(screen.isOpen);
  }
  const canary = canaryOf(t, nodesOf(centre));
  t.strictSame(summary(await canary.round()), FINE);
  await leftOpen(t, centre);
  const [stuck] = await rows<{ number: string }>(`select number from alarm where municipality = 'canary' and closed_at is null`);
  t.ok(stuck, 'one is open');
  await Promise.all(people.map(async ({ screen }) => screen?.roundTrip()));
  for (const { screen, account } of people) {
    const told = JSON.stringify(screen?.messages ?? []);
    t.notMatch(told, /canary/i, `the screen of ${account}`);
    t.notOk(screen?.board.some(({ number }) => number === stuck?.number));
  }

  const { body: api } = await people[0]!.get<{ paths: Record<string, Record<string, unknown>> }>('/api/v1/openapi.json');
  const gets = Object.entries(api.paths).flatMap(([route, methods]) => ('get' in methods ? [route] : []));
  t.ok(gets.length > 8, `${gets.length} routes`);
  for (const { account } of people) {
    const cookie = await cookieOf(url, account);
    for (const route of gets) {
      if (route.endsWith('openapi.json')) continue;
      for (const query of [
        '',
        `?alarm=${stuck?.number ?? ''}`,
        '?search=canary',
        '?state=closed&limit=500',
        '?silent=true',
        '?refused=true',
      ]) {
        const filled = route.replace('{number}', stuck?.number ?? '').replace('{id}', 'canary-mqtt');
        const response = await fetch(url + filled + query, { headers: { cookie } });
        const text = await response.text();
        // The watch's own finding names it, and shows nothing of its alarms.
        if (route.endsWith('/watch') || route === '/readyz' || route === '/metrics') t.notMatch(text, /canary-(operator|responder)/);
        else t.notMatch(text, /canary/i, `${account} ${route}${query}`);
      }
    }
    for (const command of ['claim', 'see', 'accept', 'note', 'close', 'take-over']) {
      const response = await fetch(`${url}/api/v1/alarms/${stuck?.number ?? ''}/commands`, {
        method: 'POST',
        headers: { cookie, 'content-type': 'application/json' },
        body: JSON.stringify({ command, ...(command === 'note' ? { text: 'x' } : {}) }),
      });
      t.equal(response.status, 404, `${account} cannot ${command}`);
    }
  }
  const metrics = await (await fetch(`${url}/metrics`)).text();
  t.notMatch(metrics, /^messages_total\{[^}]*opened[^}]*\} [1-9]/m, 'it is no message of the figures');
  for (const name of ['deadline_late_seconds', 'ask_late_seconds']) t.match(metrics, new RegExp(`^${name}_count 0$`, 'm'));

  t.notOk(
    (await createAccountBook(postgres).list()).some(({ account }) => account.startsWith('canary')),
    'no list of users has it',
  );
  const book = createDeviceBook(postgres);
  t.strictSame(await book.list({ search: 'canary', municipality: null, after: '' }), []);
  t.equal(await book.find('canary-mqtt'), null);
  t.equal(await book.find('9999999999999999'), null);
  t.equal(await book.move('NJ-1103-0001', 'canary-mqtt'), null, 'nobody’s device can be moved out of sight');
  t.notOk(await createAccountBook(postgres).setDisabled('canary-operator', 0), 'nor its accounts be touched');
  const signIn = await fetch(`${url}/api/v1/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'canary-operator', password: '' }),
  });
  t.not(signIn.status, 201);
  t.not(signIn.status, 200);

  t.strictSame(summary(await canary.round()), FINE, 'the next round clears what was left open');
  t.strictSame(await rows(`select number from alarm where municipality = 'canary' and closed_at is null`), []);
});

async function cookieOf(url: string, account: string): Promise<string> {
  const response = await fetch(`${url}/api/v1/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: account, password: 'demo' }),
  });
  await response.text();
  return (response.headers.get('set-cookie') ?? '').split(';')[0] ?? '';
}

/** A press whose round is cut short, long before it could be over: the ladder alone takes a second. */
async function leftOpen(t: Test, centre: RunningCentre): Promise<void> {
  await rows('update canary_round set next_at = now()');
  const canary = canaryOf(t, nodesOf(centre), { every: 60_000 });
  await until(
    'an alarm is open',
    async () => (await rows(`select from alarm where municipality = 'canary' and closed_at is null`)).length > 0,
  );
  await canary.stop();
}

await t.test('the step that breaks is named', async (t) => {
  const centre = await centreOf(t, ['intake', 'console']);
  const whole = nodesOf(centre);
  const nowhere = await closedPort();

  await t.test('nobody climbs the ladder', async (t) => {
    const lines: Line[] = [];
    const canary = canaryOf(t, whole, { within: 3000, log: logTo(lines) });
    t.strictSame(
      summary(await canary.round()),
      CANARY_PROTOCOLS.map((protocol) => ({ protocol, step: 'ladder', why: 'no-answer' })),
    );
    const said = lines.filter(({ event }) => event === 'canary-failed');
    t.match(new Set(said.map(({ step, code }) => `${step} ${code}`)), new Set(['ladder no-answer']));
    const reports = await createWatchReports(postgres).read();
    t.ok(reports.length === 2 && reports.every(({ fine, detail }) => !fine && detail['step'] === 'ladder'));
  });

  await t.test('an intake does not listen', async (t) => {
    const canary = canaryOf(t, { ...whole, intakes: { mqtt: [nowhere], scaip: [nowhere] } });
    t.match(
      summary(await canary.round()),
      CANARY_PROTOCOLS.map((protocol) => ({ protocol, step: 'connect', why: 'ECONNREFUSED' })),
    );
  });

  await t.test('a console does not listen', async (t) => {
    const canary = canaryOf(t, { ...whole, consoles: [`http://${nowhere}`] });
    t.match(
      summary(await canary.round()),
      CANARY_PROTOCOLS.map((protocol) => ({ protocol, step: 'console', why: 'ECONNREFUSED' })),
    );
  });

  await t.test('a responder’s page cannot be opened', async (t) => {
    const refusing = createServer();
    refusing.on('upgrade', (_request, socket) => socket.end('HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n'));
    refusing.listen(0, '127.0.0.1');
    await once(refusing, 'listening');
    t.teardown(() => refusing.close());
    const { port } = refusing.address() as AddressInfo;
    const canary = canaryOf(t, { ...whole, consoles: [...whole.consoles, `http://127.0.0.1:${port}`] });
    t.match(
      summary(await canary.round()),
      CANARY_PROTOCOLS.map((protocol) => ({ protocol, step: 'console', why: 'http-503' })),
    );
  });

  await t.test('no node is there at all', async (t) => {
    const canary = canaryOf(t, { intakes: { mqtt: [], scaip: [] }, consoles: whole.consoles });
    t.strictSame(
      summary(await canary.round()),
      CANARY_PROTOCOLS.map((protocol) => ({ protocol, step: 'nodes', why: 'no-intake' })),
    );
  });

  await t.test('it is told to stop in the midst of a round', async (t) => {
    await rows('update canary_round set next_at = now()');
    const canary = canaryOf(t, whole, { every: 60_000 });
    await until('an alarm of it waits', async () => {
      const [row] = await rows<{ count: string }>(
        `select count(*) from alarm where municipality = 'canary' and closed_at is null and opened_at > $1`,
        [new Date(clock.now() - 5000)],
      );
      return Number(row?.count) > 0;
    });
    const from = performance.now();
    await canary.stop();
    t.ok(performance.now() - from < 1000, 'it ends at once');
    t.strictSame(await canary.round(), []);
  });
});

await t.test('what was taken from it is mended by itself; what is somebody else’s is left alone', async (t) => {
  const centre = await centreOf(t);
  const canary = await settled(canaryOf(t, nodesOf(centre)));
  await rows(`update account set disabled_at = now() where username like 'canary-%'`);
  await rows('delete from session');
  await rows(`update device set state = 'retired', secret_sha256 = null, sip_ha1_md5 = 'x' where municipality = 'canary'`);
  await until('a round that is fine again', async () => (await canary.round()).every(({ fine }) => fine), 60_000);
  t.pass('fine again');

  const lines: Line[] = [];
  await rows(`update household set municipality = '1103' where id = 'canary-mqtt'`);
  const other = canaryOf(t, nodesOf(centre), { log: logTo(lines) });
  t.match(summary(await other.round()), [{ step: 'store', why: 'canary-name-taken' }, {}]);
  t.match(
    lines.filter(({ level }) => level === 'error').map(({ event, step, code }) => ({ event, step, code })),
    [{ event: 'canary-failed', step: 'store', code: 'canary-name-taken' }],
    'said once',
  );
  t.match(await rows(`select municipality from household where id = 'canary-mqtt'`), [{ municipality: '1103' }]);
  t.ok((await createWatchReports(postgres).read()).every(({ fine }) => !fine));
  await rows(`update household set municipality = 'canary' where id = 'canary-mqtt'`);
  t.strictSame(summary(await other.round()), FINE);

  const operator = await Person.signIn(centre.ready.http ?? '', 'operator');
  const natt = await Person.signIn(centre.ready.http ?? '', 'natt');
  const { status, body } = await operator.get<WatchView>('/api/v1/watch');
  t.equal(status, 200);
  t.match(body.canaries, [
    { protocol: 'mqtt', fine: true, step: null },
    { protocol: 'scaip', fine: true, step: null },
  ]);
  t.equal(watchStateOf(body, Date.parse(body.now)).state, 'fine');
  t.equal((await natt.get('/api/v1/watch')).status, 403, 'a responder has other things to look at');
});

await t.test('the line at the foot of the screen', (t) => {
  const now = Date.parse('2026-11-22T22:10:00Z');
  const ago = (s: number): string => new Date(now - s * 1000).toISOString();
  const one = (protocol: 'mqtt' | 'scaip', s: number, step: string | null = null) => ({
    protocol,
    at: ago(s),
    fine: step === null,
    step,
    fineAt: ago(s),
  });
  const said = (...canaries: WatchView['canaries']) => watchStateOf({ now: ago(0), canaries }, now);
  t.strictSame(watchStateOf(null, now), { state: 'unknown' });
  t.strictSame(said(), { state: 'unknown' });
  t.strictSame(said(one('mqtt', 40), one('scaip', 12)), { state: 'fine', since: now - 40_000 }, 'the one that was longest ago');
  t.match(said(one('mqtt', 180), one('scaip', 1)), { state: 'fine' });
  t.match(said(one('mqtt', 181), one('scaip', 1)), { state: 'late', since: now - 181_000 });
  t.strictSame(said(one('mqtt', 1)), { state: 'late', since: null }, 'one protocol was never fine');
  t.strictSame(said(one('mqtt', 1), one('scaip', 1, 'ladder')), { state: 'failed', protocol: 'scaip', step: 'ladder' });
  for (const step of CANARY_STEPS) for (const words of [watchNb, watchEn]) t.ok(words.steps[step], `${step} has a word`);
  t.equal(watchNb.fine(40), 'Egenkontroll: i orden for 40 s siden');
  t.end();
});

await t.test('of several watches one does each round, and each node has its turn', async (t) => {
  const [one, other] = [await centreOf(t), await centreOf(t)];
  const nodes = nodesOf(one, other);
  await rows('update canary_round set next_at = now(), turn = 0');
  const lines: Line[][] = [[], []];
  const seen = { at: clock.now() };
  // Longer than a round takes on a busy machine: two at once on one device would close each other's alarm.
  const every = 6000;
  const watches = lines.map((own) => canaryOf(t, nodes, { every, log: logTo(own) }));
  await until(
    'some rounds',
    async () => (await rows<{ turn: string }>('select turn from canary_round')).every(({ turn }) => Number(turn) >= 4),
    90_000,
  );
  await Promise.all(watches.map((watch) => watch.stop()));
  const rounds = lines.flat().filter(({ event }) => event.startsWith('canary-fine') || event === 'canary-failed') as (Line & {
    source?: string;
  })[];
  t.strictSame(
    rounds.filter(({ event }) => event === 'canary-failed'),
    [],
  );
  const elapsed = clock.now() - seen.at;
  for (const protocol of CANARY_PROTOCOLS) {
    const own = rounds.filter((line) => line.protocol === protocol);
    t.ok(
      own.length >= 3 && own.length <= Math.ceil(elapsed / every) + 1,
      `${own.length} rounds over ${protocol} in ${Math.round(elapsed)} ms`,
    );
    t.strictSame(new Set(own.map(({ source }) => source)), new Set(nodes.intakes[protocol]), 'at each intake');
  }
});

await t.test('it goes on by itself when PostgreSQL is back, and an outside monitor hears of silence by silence', async (t) => {
  const calls: string[] = [];
  let answer = (_request: IncomingMessage, response: ServerResponse): void => void response.writeHead(200).end();
  const monitor = createServer((request, response) => {
    calls.push(request.url ?? '');
    answer(request, response);
  }).listen(0, '127.0.0.1');
  await once(monitor, 'listening');
  t.teardown(() => {
    monitor.closeAllConnections();
    monitor.close();
  });
  const base = `http://127.0.0.1:${(monitor.address() as AddressInfo).port}`;
  const lines: Line[] = [];
  const deadMan = createDeadMan({ url: `${base}/alive`, clock, log: logTo(lines) });
  const centre = await centreOf(t);
  let nodes = nodesOf(centre);
  await rows('delete from watch_report');
  const reports = createWatchReports(postgres);
  /** The auditor's last look, as it stands when the round is over. */
  let audit: { ageMs: number; fine: boolean } | null = null;
  const told = {
    ...reports,
    async read() {
      await rows(`delete from watch_report where name = 'audit'`);
      if (audit !== null) await reports.write({ name: 'audit', at: clock.now() - audit.ageMs, fine: audit.fine, detail: {} });
      return reports.read();
    },
  };
  const canary = await settled(canaryOf(t, () => nodes, { deadMan, reports: told, log: logTo(lines) }));
  t.strictSame(calls, [], 'not called while no auditor has reported');

  audit = { ageMs: 10_500, fine: true };
  t.strictSame(summary(await canary.round()), FINE);
  t.strictSame(calls, [], 'nor when it looked last more than 10 s ago, however well all was then');

  audit = { ageMs: 0, fine: true };
  t.strictSame(summary(await canary.round()), FINE);
  t.strictSame(calls, ['/alive'], 'called when all is well');

  const whole = nodes;
  nodes = { ...whole, intakes: { ...whole.intakes, scaip: [await closedPort()] } };
  t.match(summary(await canary.round()), [{ step: null }, { step: 'connect' }]);
  t.equal(calls.length, 1, 'not called when one protocol is not');
  nodes = whole;

  audit = { ageMs: 0, fine: false };
  t.strictSame(summary(await canary.round()), FINE);
  t.equal(calls.length, 1, 'nor while the auditor has found something');
  audit = { ageMs: 0, fine: true };

  answer = (_request, response) => void response.writeHead(302, { location: `${base}/elsewhere` }).end();
  await canary.round();
  await canary.round();
  t.strictSame(calls.slice(1), ['/alive', '/alive'], 'no redirect is followed');
  t.strictSame(
    lines.filter(({ event }) => event === 'dead-man-not-reached').map(({ code }) => code),
    ['http-302'],
    'said once',
  );
  t.equal(deadMan.counts().failed, 2);
  t.notOk(JSON.stringify(lines).includes('/alive'), 'the address is nobody’s business');

  process.kill(stores.databaseServer.pid() ?? 0, 'SIGKILL');
  const away = await canary.round();
  t.ok(away.length === 2, `the round ended: ${JSON.stringify(summary(away))}`);
  await until('a round that is fine again', async () => (await canary.round()).every(({ fine }) => fine), 60_000);
  t.pass('and it goes on');
});

await t.test('an outside monitor that hangs is left after its time', async (t) => {
  const hanging = createServer(() => undefined).listen(0, '127.0.0.1');
  await once(hanging, 'listening');
  t.teardown(() => {
    hanging.closeAllConnections();
    hanging.close();
  });
  const lines: Line[] = [];
  const url = `http://127.0.0.1:${(hanging.address() as AddressInfo).port}/`;
  const deadMan = createDeadMan({ url, clock, log: logTo(lines) });
  const calling = deadMan.call();
  await once(hanging, 'request');
  deadMan.stop();
  t.notOk(await calling, 'a stop ends the call');
  const patient = createDeadMan({ url, clock, log: logTo(lines) });
  const from = performance.now();
  t.notOk(await patient.call());
  t.ok(performance.now() - from < 8000);
  t.match(lines.at(-1), { event: 'dead-man-not-reached', code: 'no-answer' });
});
