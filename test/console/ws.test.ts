/** The socket of a console over real stores: who sees what, resuming, slow and silent sockets, and pulses that agree. */
import { once } from 'node:events';
import { type IncomingMessage, createServer } from 'node:http';
import { type AddressInfo, type Socket, connect } from 'node:net';
import process from 'node:process';
import t from 'tap';
import { WebSocket } from 'ws';
import type { Actor, AlarmCommand, Role } from '../../src/alarms/command.ts';
import type { AlarmView } from '../../src/alarms/view.ts';
import { MovableClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { agrees, checksum } from '../../src/console/feed-checksum.ts';
import type { PulseMessage, ServerMessage } from '../../src/console/feed-messages.ts';
import { type ConsoleSockets, type WsParts, attachSockets } from '../../src/console/ws.ts';
import type { Viewer } from '../../src/people/access.ts';
import { openRedis } from '../../src/store/redis.ts';
import { DISPATCH, KARI, LEDER, NATT } from '../support/alarms.ts';
import { startFeedPath } from '../support/feed-path.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const stores = await startStores();
t.teardown(() => stores.stop());

const viewerOf = (account: string, roles: Role[], ...municipalities: string[]): Viewer => ({
  account,
  name: account,
  roles,
  municipalities,
});
const ACCOUNTS: Record<string, Viewer> = {
  operator: viewerOf('operator', ['operator'], '*'),
  operator2: viewerOf('operator2', ['operator'], '*'),
  sola: viewerOf('sola', ['operator'], '1124'),
  natt: viewerOf('natt', ['responder'], '*'),
  teknisk: viewerOf('teknisk', ['technician'], '*'),
};

/** A console process on the stores: path, hub, HTTP server and sockets; sign-in is the name of the account in a header. */
async function startConsole({ limits, blind = () => false }: { limits?: WsParts['limits']; blind?: () => boolean } = {}) {
  const path = startFeedPath(stores);
  // The sockets' own clock, which tests move: pulses, pings and checks come when they are wanted.
  const clock = new MovableClock(path.clock.now());
  const signedOut = new Set<string>();
  const rights: Record<string, Viewer> = { ...ACCOUNTS };
  let away = false;
  const authenticate = async (request: IncomingMessage): Promise<Viewer | 401 | 403> => {
    if (away) throw new Error('PostgreSQL is away');
    if (request.headers.origin === 'http://evil.example') return 403;
    const account = String(request.headers['x-account']);
    return signedOut.has(account) ? 401 : (rights[account] ?? 401);
  };
  const server = createServer();
  const opened: string[] = [];
  const sockets: ConsoleSockets = attachSockets({
    server,
    hub: { ...path.hub, alive: () => path.hub.alive() && !blind() },
    authenticate,
    opened: (account) => opened.push(account),
    clock,
    log: SILENT,
    ...(limits === undefined ? {} : { limits }),
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    ...path,
    sockets,
    port,
    opened,
    signedOut,
    rights,
    setAway: (is: boolean) => (away = is),
    /** Moves the sockets' clock. */
    pass: (span: number) => clock.advance(span),
    /** The next pulse of each console. */
    async pulses(...consoles: Console[]): Promise<PulseMessage[]> {
      await until('the feed, or PostgreSQL, is read', () => path.hub.alive());
      const before = consoles.map((one) => one.of('pulse').length);
      await clock.advance(2000);
      return Promise.all(consoles.map((one, n) => until('a pulse', () => one.of('pulse')[before[n] ?? 0])));
    },
    order: (number: string, command: AlarmCommand, actor: Actor = KARI) =>
      path.desk.order({ number, command, actor, version: null, doneAt: null, key: null }),
    async stop() {
      await sockets.stop();
      server.close();
      await path.stop();
    },
  };
}

/** What a console does with the messages: it holds alarms by version, and remembers the closed ones. */
class Console {
  readonly socket: WebSocket;
  readonly messages: ServerMessage[] = [];
  readonly held = new Map<string, AlarmView>();
  closeCode: number | null = null;
  status: number | null = null;
  complete = true;
  feed = '';

  constructor(
    port: number,
    account: string,
    { resume, headers = {} }: { resume?: string; headers?: Record<string, string> } = {},
    before?: Console,
  ) {
    const query = resume === undefined ? '' : `?resume=${encodeURIComponent(resume)}`;
    for (const [number, view] of before?.held ?? []) this.held.set(number, view);
    this.socket = new WebSocket(`ws://127.0.0.1:${port}/ws${query}`, { headers: { 'x-account': account, ...headers } });
    this.socket.on('message', (data: Buffer) => this.#take(JSON.parse(data.toString('utf8')) as ServerMessage));
    this.socket.on('close', (code) => (this.closeCode = code));
    this.socket.on('unexpected-response', (_request, response) => (this.status = response.statusCode ?? 0));
    this.socket.on('error', () => undefined);
  }

  #take(message: ServerMessage): void {
    this.messages.push(message);
    if ('feed' in message) this.feed = message.feed;
    if (message.type === 'snapshot') {
      this.held.clear();
      this.complete = message.complete;
      for (const view of message.alarms) this.held.set(view.number, view);
    }
    if (message.type === 'alarm' && (this.held.get(message.alarm.number)?.version ?? 0) < message.alarm.version) {
      this.held.set(message.alarm.number, message.alarm);
    }
    if (message.type === 'gone') this.held.delete(message.number);
  }

  get open(): string[] {
    return [...this.held.values()].filter((view) => view.closedAt === null).map(({ number }) => number);
  }
  of<T extends ServerMessage['type']>(type: T): (ServerMessage & { type: T })[] {
    return this.messages.filter((message): message is ServerMessage & { type: T } => message.type === type);
  }
  version(number: string): number {
    return this.held.get(number)?.version ?? 0;
  }
  first(): Promise<ServerMessage> {
    return until('a first message', () => this.messages[0]);
  }
}

const CLOSE: AlarmCommand = { command: 'close', outcome: 'other', text: 'x' };
const CONFIRM: AlarmCommand = { command: 'confirm-contact', how: 'voice' };
const TECHNICAL = { role: 'technical', kind: 'battery-low', priority: 'technical' } as const;

await t.test('a snapshot, then each change; the other municipality sees nothing of it', async (t) => {
  const centre = await startConsole();
  t.teardown(() => centre.stop());
  const early = await centre.press('first');
  await until('the hub has it', () => centre.hub.replica.version(early) === 1);
  const operator = new Console(centre.port, 'operator');
  const sola = new Console(centre.port, 'sola');
  t.match(await operator.first(), { type: 'snapshot', counts: { life: 1, urgent: 0, care: 0, technical: 0 }, complete: true });
  t.match(await sola.first(), { type: 'snapshot', alarms: [], counts: { life: 0, urgent: 0, care: 0, technical: 0 } });
  t.same(operator.open, [early]);
  t.same(centre.opened.toSorted(), ['operator', 'sola']);
  t.same([...centre.sockets.openAccounts()].toSorted(), ['operator', 'sola']);
  await centre.order(early, { command: 'claim' });
  const other = await centre.press('second', { municipality: '1124' });
  await until('both came', () => operator.version(early) === 2 && operator.version(other) === 1 && sola.version(other) === 1);
  await centre.order(early, CONFIRM);
  await centre.order(early, CLOSE);
  await until('it is closed', () => operator.held.get(early)?.state === 'closed');
  t.same(
    operator
      .of('alarm')
      .filter(({ alarm }) => alarm.number === early)
      .map(({ alarm }) => alarm.version)
      .toSorted((a, b) => a - b),
    operator
      .of('alarm')
      .filter(({ alarm }) => alarm.number === early)
      .map(({ alarm }) => alarm.version),
    'in order',
  );
  const [pulse, solas] = await centre.pulses(operator, sola);
  if (pulse === undefined) throw new Error('no pulse');
  t.equal(agrees(pulse, operator.held.values(), true), true);
  t.match(solas, { count: 1, versions: 1, counts: { life: 1 } }, 'nothing of the others is counted');
  t.notOk(
    sola.messages.some((message) => JSON.stringify(message).includes(`"${early}"`)),
    'not a word of it',
  );
  t.match(pulse.feed, /^[\w~-]+\.\d+-\d+$/);
  operator.socket.close();
  await until('its account is gone', () => !centre.sockets.openAccounts().includes('operator'));
});

await t.test('a responder sees what they are asked to, until they decline', async (t) => {
  await stores.empty();
  const centre = await startConsole();
  t.teardown(() => centre.stop());
  const number = await centre.press('asked');
  const natt = new Console(centre.port, 'natt');
  t.match(await natt.first(), { type: 'snapshot', alarms: [] });
  await centre.order(number, DISPATCH);
  await until('it is there', () => natt.version(number) > 0);
  await centre.order(number, { command: 'decline', reason: 'busy' }, NATT);
  const gone = await until('it is gone', () => natt.of('gone')[0]);
  t.match(gone, { number, version: 3 });
  await centre.order(number, { command: 'note', text: 'x' });
  await until('the hub has it', () => centre.hub.replica.version(number) === 4);
  t.match(await centre.pulses(natt), [{ count: 0 }]);
  t.equal(natt.of('alarm').length, 1, 'nothing after it was gone');
});

await t.test('resuming brings what was missed, and nothing else; whatever cannot be resumed gets a snapshot', async (t) => {
  await stores.empty();
  const centre = await startConsole();
  t.teardown(() => centre.stop());
  const [a, b] = [await centre.press('a'), await centre.press('b')];
  await until('the hub has them', () => centre.hub.replica.version(b) === 1);
  const before = new Console(centre.port, 'operator');
  await before.first();
  let notes = 0;
  await until('a load has settled', async () => {
    await centre.order(a, { command: 'note', text: 'x' });
    notes += 1;
    const probe = new Console(centre.port, 'operator', { resume: centre.hub.feedId() });
    const first = await probe.first();
    probe.socket.terminate();
    return first.type === 'resumed';
  });
  await until('the last note came', () => before.version(a) === 1 + notes && before.feed === centre.hub.feedId());
  before.socket.terminate();
  await until('it is gone', () => before.closeCode !== null);
  await centre.order(b, { command: 'claim' });
  await centre.order(b, CONFIRM);
  const c = await centre.press('c', { municipality: '1124' });
  await until('the hub has it', () => centre.hub.replica.version(c) === 1 && centre.hub.replica.version(b) === 3);
  const again = new Console(centre.port, 'operator', { resume: before.feed }, before);
  t.match(await again.first(), { type: 'resumed', feed: centre.hub.feedId(), counts: { life: 3 } });
  await until('all is there', () => again.version(b) === 3 && again.version(c) === 1);
  // A relay may publish the same version twice: then one that the console has may come again, and is ignored.
  const missed = again.of('alarm').filter(({ alarm }) => alarm.version > before.version(alarm.number));
  t.same(
    missed.map(({ alarm }) => `${alarm.number}/${alarm.version}`).toSorted(),
    [`${b}/3`, `${c}/1`].toSorted(),
    'the newest of each, once',
  );
  for (const pulse of await centre.pulses(again)) t.equal(agrees(pulse, again.held.values(), true), true);
  const sola = new Console(centre.port, 'sola', { resume: before.feed });
  t.match(await sola.first(), { type: 'resumed', counts: { life: 1 } });
  await centre.pulses(sola);
  t.same(
    sola.of('alarm').map(({ alarm }) => alarm.number),
    [c],
    'only what this account may see',
  );
  const part = new Console(centre.port, 'natt', { resume: before.feed });
  t.match(await part.first(), { type: 'snapshot', alarms: [] }, 'who sees a part never resumes');
  for (const resume of ['', 'garbage', 'foreign.1-1', `${centre.hub.feedId()}0`, '%00', `${before.feed.split('.')[0]}.0-1`]) {
    t.match(await new Console(centre.port, 'operator', { resume }).first(), { type: 'snapshot' }, JSON.stringify(resume));
  }
});

await t.test('FLUSHALL on Redis: sockets that are open get a snapshot, and the next change comes', async (t) => {
  await stores.empty();
  const centre = await startConsole();
  t.teardown(() => centre.stop());
  const number = await centre.press('flushed');
  const operator = new Console(centre.port, 'operator');
  await until('it is shown', () => operator.version(number) === 1);
  const epoch = operator.feed.split('.')[0];
  await until('the feed is read', () => centre.hub.stats().mode === 'feed');
  const redis = openRedis(stores.redisServer.url, SILENT, systemRandom);
  t.teardown(() => redis.stop());
  await until('connected', () => redis.connected());
  const snapshots = operator.of('snapshot').length;
  await redis.quick.flushall();
  await centre.order(number, { command: 'claim' });
  await until('the claim is seen', () => operator.version(number) === 2, 5000);
  await until('a snapshot came', () => operator.of('snapshot').length > snapshots, 5000);
  t.not(operator.feed.split('.')[0], epoch);
  for (const pulse of await centre.pulses(operator)) t.equal(agrees(pulse, operator.held.values(), true), true);
});

await t.test('Redis stopped: the board goes on within 5 s, with pulses, and again when it is back', async (t) => {
  await stores.empty();
  const centre = await startConsole();
  t.teardown(() => centre.stop());
  const number = await centre.press('redis-away');
  const operator = new Console(centre.port, 'operator');
  await until('it is shown', () => operator.version(number) === 1);
  await until('the feed is read', () => centre.hub.stats().mode === 'feed');
  const pid = stores.redisServer.pid() ?? 0;
  process.kill(pid, 'SIGSTOP');
  const stoppedAt = performance.now();
  await centre.order(number, { command: 'claim' });
  await until('the claim is seen', () => operator.version(number) === 2, 5000);
  t.ok(performance.now() - stoppedAt < 5000);
  await centre.pulses(operator);
  t.ok(performance.now() - stoppedAt < 6000, 'no console says stale');
  const fresh = new Console(centre.port, 'operator', { resume: operator.feed });
  t.match(await fresh.first(), { type: 'snapshot', alarms: [{ version: 2 }] }, 'a console that comes now is shown the board');
  process.kill(pid, 'SIGCONT');
  await until('the feed is read again', () => centre.hub.stats().mode === 'feed');
  await centre.order(number, { command: 'release' });
  await until('the release is seen', () => operator.version(number) === 3 && fresh.version(number) === 3, 2000);
  t.same(
    operator.of('alarm').map(({ alarm }) => alarm.version),
    [...new Set(operator.of('alarm').map(({ alarm }) => alarm.version))],
    'no version twice',
  );
});

await t.test('after any mixture of commands and signals the pulse agrees with what each console holds', async (t) => {
  await stores.empty();
  const centre = await startConsole();
  t.teardown(() => centre.stop());
  const consoles = ['operator', 'sola', 'natt', 'teknisk', 'operator2'].map((account) => new Console(centre.port, account));
  await Promise.all(consoles.map((one) => one.first()));
  const random = (below: number): number => ((systemRandom(2)[0] ?? 0) * 256 + (systemRandom(1)[0] ?? 0)) % below;
  const numbers: string[] = [];
  const commands: [AlarmCommand, Actor][] = [
    [{ command: 'claim' }, KARI],
    [{ command: 'release' }, KARI],
    [DISPATCH, KARI],
    [{ command: 'accept', etaMinutes: null }, NATT],
    [{ command: 'decline', reason: 'busy' }, NATT],
    [{ command: 'override-contact', reason: 'test' }, LEDER],
    [CLOSE, LEDER],
  ];
  const act = async (): Promise<void> => {
    if (random(3) > 0 && numbers.length > 0) {
      const [command, actor] = commands[random(commands.length)] ?? [CLOSE, LEDER];
      await centre.order(numbers[random(numbers.length)] ?? '', command, actor);
      return;
    }
    const municipality = ['1103', '1124'][random(2)] ?? '';
    numbers.push(await centre.press(`${municipality}-${random(40)}`, { municipality, ...(random(3) === 0 ? { meaning: TECHNICAL } : {}) }));
  };
  for (let round = 0; round < 4; round++) {
    for (let n = 0; n < 40; n++) await Promise.all([act(), act(), act()]);
    await until('the hub has it all', async () => (await stores.postgres.pool.query('select 1 from outbox')).rows.length === 0);
    const pulses = await centre.pulses(...consoles);
    for (const [n, pulse] of pulses.entries()) {
      const one = consoles[n];
      if (one === undefined) continue;
      t.equal(
        agrees(pulse, one.held.values(), one.complete),
        true,
        `round ${round}, console ${n}: ${JSON.stringify([pulse, checksum(one.held.values())])}`,
      );
      t.equal(one.of('snapshot').length, 1, 'without another snapshot');
    }
    const truth = await stores.postgres.pool.query<{ count: number; versions: number }>(
      'select count(*)::int as count, coalesce(sum(version), 0)::int as versions from alarm where closed_at is null',
    );
    const { count, versions } = pulses[0] ?? {};
    t.same({ count, versions }, truth.rows[0], 'and with PostgreSQL');
  }
});

await t.test('no pulse while nothing is read', async (t) => {
  let blind = true;
  const centre = await startConsole({ blind: () => blind });
  t.teardown(() => centre.stop());
  const operator = new Console(centre.port, 'operator');
  await operator.first();
  await until('the hub reads', () => centre.hub.alive());
  await centre.pass(6000);
  operator.socket.send('{"type":"ping"}');
  await until('what was sent has come', () => operator.of('pong')[0]);
  t.equal(operator.of('pulse').length, 0);
  blind = false;
  await centre.pulses(operator);
});

await t.test('beyond 200 technical alarms the needs are still compared', async (t) => {
  await stores.empty();
  const centre = await startConsole();
  t.teardown(() => centre.stop());
  await Promise.all(Array.from({ length: 230 }, (_, n) => centre.press(`flat-${n}`, { meaning: TECHNICAL })));
  const need = await centre.press('need');
  await until('the hub has it', () => centre.hub.replica.size === 231);
  const operator = new Console(centre.port, 'operator');
  t.match(await operator.first(), { type: 'snapshot', complete: false, counts: { life: 1, technical: 230 } });
  t.equal(operator.held.size, 201);
  t.equal(operator.of('snapshot')[0]?.alarms[0]?.number, need, 'the most urgent first');
  const [pulse] = await centre.pulses(operator);
  if (pulse === undefined) throw new Error('no pulse');
  t.match(pulse, { count: 231, versions: 231, needs: { count: 1, versions: 1 } });
  t.equal(agrees(pulse, operator.held.values(), operator.complete), true);
  operator.held.delete(need);
  t.equal(agrees(pulse, operator.held.values(), operator.complete), false);
});

await t.test('what is asked of a console that holds something else: a snapshot, not too often; a ping is answered', async (t) => {
  await stores.empty();
  const centre = await startConsole();
  t.teardown(() => centre.stop());
  const operator = new Console(centre.port, 'operator');
  await operator.first();
  operator.socket.send('{"type":"ping"}');
  await until('pong', () => operator.of('pong')[0]);
  for (const nonsense of ['{"type":"snapshot-please"}', '', '{', '[]', 'null', '{"type":7}', '{"type":"dance"}'])
    operator.socket.send(nonsense);
  operator.socket.send(Buffer.from([0, 1, 2]));
  operator.socket.send('{"type":"ping"}');
  await until('pong', () => operator.of('pong')[1]);
  t.equal(operator.of('snapshot').length, 1, 'right after a snapshot there is none');
  await centre.pass(1000);
  operator.socket.send('{"type":"snapshot-please"}');
  await until('but then', () => operator.of('snapshot').length === 2);
  t.equal(operator.closeCode, null);
  const chatty = new Console(centre.port, 'operator');
  await chatty.first();
  for (let n = 0; n < 100; n++) chatty.socket.send('{"type":"ping"}');
  await until('it is shown out', () => chatty.closeCode === 1008);
  const large = new Console(centre.port, 'operator');
  await large.first();
  large.socket.send('x'.repeat(70_000));
  await until('it is shown out', () => large.closeCode === 1009);
});

await t.test('who may connect', async (t) => {
  const centre = await startConsole({ limits: { perAccount: 2, all: 3 } });
  t.teardown(() => centre.stop());
  const status = async (one: Console): Promise<number> => until('a refusal', () => one.status);
  t.equal(await status(new Console(centre.port, 'stranger')), 401);
  t.equal(await status(new Console(centre.port, 'operator', { headers: { origin: 'http://evil.example' } })), 403);
  const elsewhere = new WebSocket(`ws://127.0.0.1:${centre.port}/other`, { headers: { 'x-account': 'operator' } });
  elsewhere.on('error', () => undefined);
  const [, response] = (await once(elsewhere, 'unexpected-response')) as [unknown, IncomingMessage];
  t.equal(response.statusCode, 404);
  t.equal(response.headers['content-type'], 'application/problem+json');
  const operators = [new Console(centre.port, 'operator'), new Console(centre.port, 'operator')];
  await Promise.all(operators.map((one) => one.first()));
  t.equal(await status(new Console(centre.port, 'operator')), 429);
  await new Console(centre.port, 'sola').first();
  t.equal(await status(new Console(centre.port, 'natt')), 429);
  operators[0]?.socket.close();
  await until('there is room', () => centre.sockets.stats().sockets === 2);
  await new Console(centre.port, 'operator').first();
  centre.setAway(true);
  t.equal(await status(new Console(centre.port, 'operator')), 503);
  t.ok(centre.sockets.stats().refused >= 6);
});

await t.test(
  'a session that ended closes its sockets within seconds; other rights bring another picture; an outage ends nobody',
  async (t) => {
    await stores.empty();
    const centre = await startConsole();
    t.teardown(() => centre.stop());
    const number = await centre.press('rights');
    await until('the hub has it', () => centre.hub.replica.version(number) === 1);
    const [operator, sola] = [new Console(centre.port, 'operator'), new Console(centre.port, 'sola')];
    await Promise.all([operator.first(), sola.first()]);
    centre.setAway(true);
    await centre.pass(2000);
    await centre.pass(3000);
    centre.setAway(false);
    centre.signedOut.add('operator');
    centre.rights.sola = viewerOf('sola', ['operator'], '1103', '1124');
    await centre.pass(1000);
    await until('signed out', () => operator.closeCode === 4401);
    await until('the other municipality is shown', () => sola.version(number) === 1);
    t.equal(sola.closeCode, null);
    const natt = new Console(centre.port, 'natt');
    await natt.first();
    centre.signedOut.add('natt');
    centre.sockets.recheck('natt');
    await until('at once', () => natt.closeCode === 4401);
    await centre.sockets.stop();
    await until('the centre says that it stops', () => sola.closeCode === 1001);
  },
);

/** A socket that shakes hands and then reads and answers nothing. */
async function deafSocket(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.pause();
  const head = [
    'GET /ws HTTP/1.1',
    'Host: x',
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
    'X-Account: operator',
  ];
  socket.write(`${head.join('\r\n')}\r\n\r\n`);
  return socket;
}

await t.test('who does not answer two pings is ended', async (t) => {
  await stores.empty();
  const centre = await startConsole();
  t.teardown(() => centre.stop());
  await until('the hub reads', () => centre.hub.loaded());
  const deaf = await deafSocket(centre.port);
  t.teardown(() => deaf.destroy());
  const operator = new Console(centre.port, 'operator');
  await until('both are in', () => centre.sockets.stats().sockets === 2);
  await operator.first();
  for (let pings = 0; pings < 3; pings++) {
    const ponged = once(operator.socket, 'ping');
    await centre.pass(3000);
    await ponged;
  }
  await until('it was ended', () => centre.sockets.stats().endedSilent === 1);
  t.equal(centre.sockets.stats().sockets, 1);
  t.equal(operator.closeCode, null);
});

await t.test('who reads too slowly is ended, and what the snapshot holds does not count', async (t) => {
  await stores.empty();
  const centre = await startConsole();
  t.teardown(() => centre.stop());
  const text = 'x'.repeat(4000);
  const numbers = await Promise.all(Array.from({ length: 400 }, (_, n) => centre.press(`slow-${n}`, { meaning: { text } })));
  await until('the hub has them', () => centre.hub.replica.size === 400);
  const operator = new Console(centre.port, 'operator');
  const slow = await deafSocket(centre.port);
  t.teardown(() => slow.destroy());
  await until('both are in', () => centre.sockets.stats().sockets === 2);
  t.ok(JSON.stringify(await operator.first()).length > 1_500_000, 'a snapshot of more than the limit');
  let rounds = 0;
  while (centre.sockets.stats().endedSlow === 0 && rounds < 20) {
    rounds += 1;
    await Promise.all(numbers.map((_, n) => centre.press(`slow-${n}`, { meaning: { text } })));
    if (rounds === 1) t.equal(centre.sockets.stats().endedSlow, 0, 'not yet');
  }
  t.equal(centre.sockets.stats().endedSlow, 1, `after ${rounds} rounds`);
  await until('the other has everything', () => numbers.every((number) => operator.version(number) === rounds + 1));
  t.equal(operator.closeCode, null);
});
