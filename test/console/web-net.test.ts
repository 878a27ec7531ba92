/** The browser side's way to the centre, without a browser: calls, the live socket, the outbox, what a phone keeps, tones, the service worker. */
import t from 'tap';
import type { AlarmView } from '../../src/alarms/view.ts';
import { viewOf } from '../../src/alarms/view.ts';
import { MovableClock } from '../../src/base/clock.ts';
import { checksum } from '../../src/console/feed-checksum.ts';
import type { CardView, Session } from '../../src/console/web/contract.ts';
import { BrowserClock } from '../../src/console/web/net/browser-clock.ts';
import { type Fetch, alarmPath, createApi, newKey } from '../../src/console/web/net/http.ts';
import { CASES_KEPT, isLeaving, keepCases, markLeaving, readKept, wipeKept, writeKept } from '../../src/console/web/net/kept.ts';
import { Live, type Socket } from '../../src/console/web/net/live.ts';
import { type WorkerScope, handling, keepPage } from '../../src/console/web/net/offline-page.ts';
import { Outbox } from '../../src/console/web/net/outbox.ts';
import { type AudioDevice, Tones } from '../../src/console/web/net/tones.ts';
import type { QueuedAct } from '../../src/console/web/view/acts.ts';
import { freshness } from '../../src/console/web/view/feed.ts';
import { openedBy } from '../support/alarms.ts';

const base = viewOf(openedBy());
const view = (more: Partial<AlarmView> = {}): AlarmView => ({ ...base, ...more });
const counts = { life: 0, urgent: 0, care: 0, technical: 0 };
/** Lets promises that are on their way arrive. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** A movable clock that also takes the centre's time, as the browser's does. */
class TestClock extends MovableClock {
  told: number[] = [];
  set(instant: number): void {
    this.told.push(instant);
  }
}

await t.test('calls', async (t) => {
  const clock = new MovableClock();
  const calls: { path: string; method: string; body: unknown }[] = [];
  let reply: () => Promise<{ status: number; body: string; retryAfter?: string }> = async () => ({ status: 200, body: '{"a":1}' });
  let signedOut = 0;
  const fetch: Fetch = async (path, { method, body, signal }) => {
    calls.push({ path, method, body });
    const aborted = new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    const answer = await Promise.race([reply(), aborted]);
    return {
      ok: answer.status < 400,
      status: answer.status,
      headers: { get: () => answer.retryAfter ?? null },
      text: async () => answer.body,
    };
  };
  const api = createApi(fetch, clock, () => (signedOut += 1));
  t.same(await api.get('/x'), { ok: true, value: { a: 1 } });
  t.same(await api.post('/y', { b: 2 }), { ok: true, value: { a: 1 } });
  t.same(calls, [
    { path: '/x', method: 'GET', body: undefined },
    { path: '/y', method: 'POST', body: '{"b":2}' },
  ]);
  reply = async () => ({ status: 204, body: '' });
  t.same(await api.delete('/z'), { ok: true, value: null });
  reply = async () => ({ status: 429, body: '{"code":"slowed-down","detail":"wait"}', retryAfter: '3' });
  t.same(await api.get('/x'), { ok: false, problem: { status: 429, code: 'slowed-down', detail: 'wait', retryAfter: 3 } });
  reply = async () => ({ status: 502, body: '<html>' });
  t.same(await api.get('/x'), { ok: false, problem: { status: 502, code: 'unexpected', detail: '' } });
  t.equal(signedOut, 0);
  reply = async () => ({ status: 401, body: '{"code":"no-session"}' });
  await api.get('/x');
  t.equal(signedOut, 1);
  reply = async () => {
    throw new TypeError('network');
  };
  t.same(await api.get('/x'), { ok: false, problem: null }, 'nobody there is no exception');
  reply = () => new Promise(() => undefined);
  const hanging = api.get('/x');
  await clock.advance(10_000);
  t.same(await hanging, { ok: false, problem: null }, 'a centre that hangs is given up after 10 s');
  t.equal(alarmPath('1/2', '/commands'), '/api/v1/alarms/1%2F2/commands');
  t.equal(
    newKey((bytes) => bytes.fill(0xab)),
    'ab'.repeat(16),
  );
});

await t.test('the browser’s clock follows the centre’s, not the network’s delay', async (t) => {
  const clock = new BrowserClock();
  const before = clock.now();
  clock.set(before + 200);
  t.ok(Math.abs(clock.now() - before) < 190, 'a little is the network’s');
  clock.set(before + 60_000);
  t.ok(clock.now() >= before + 60_000);
  t.ok(clock.monotonic() > 0);
  await new Promise<void>((resolve) => clock.after(-1, resolve));
  let ticks = 0;
  await new Promise<void>((resolve) => {
    const timer = clock.every(1, () => {
      ticks += 1;
      if (ticks < 2) return;
      timer.cancel();
      resolve();
    });
  });
  clock.after(1, () => t.fail('was cancelled')).cancel();
});

class FakeSocket implements Socket {
  readonly sent: unknown[] = [];
  closed = false;
  #message: ((event: { data: unknown }) => void)[] = [];
  #close: (() => void)[] = [];
  readonly path: string;
  constructor(path: string) {
    this.path = path;
  }
  addEventListener(type: 'message' | 'close', listener: never): void {
    if (type === 'message') this.#message.push(listener);
    else this.#close.push(listener);
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  close(): void {
    this.closed = true;
  }
  say(message: object): void {
    for (const hear of this.#message) hear({ data: JSON.stringify(message) });
  }
  sayRaw(data: unknown): void {
    for (const hear of this.#message) hear({ data });
  }
  die(): void {
    for (const hear of this.#close) hear();
  }
}

await t.test('the live feed', async (t) => {
  const clock = new TestClock();
  const sockets: FakeSocket[] = [];
  let lost = 0;
  const live = new Live({
    connect: (path) => {
      const socket = new FakeSocket(path);
      sockets.push(socket);
      return socket;
    },
    clock,
    random: () => 0,
    onLost: () => (lost += 1),
  });
  let told = 0;
  const unsubscribe = live.subscribe(() => (told += 1));
  const now = '2026-11-22T22:00:00.000Z';
  const one = view({ number: '1', version: 1 });
  live.start();
  live.start();
  t.equal(sockets.length, 1, 'one socket, however often it is started');
  t.equal(sockets[0]?.path, '/ws');
  sockets[0]?.sayRaw(new ArrayBuffer(2));
  sockets[0]?.sayRaw('rubbish');
  sockets[0]?.say({ type: 'snapshot', feed: 'e.1', alarms: [one], counts, complete: true, now });
  t.equal(live.state().open.size, 1);
  t.same(clock.told, [Date.parse(now)], 'the centre’s time is taken');
  t.equal(told, 1);

  for (let n = 2; n < 500; n += 1) sockets[0]?.say({ type: 'alarm', feed: `e.${n}`, alarm: view({ number: '1', version: n }) });
  t.equal(told, 1, 'a burst is told together');
  await clock.advance(60);
  t.equal(told, 2);
  t.equal(live.state().open.get('1')?.version, 499, 'and nothing of it is missing');

  live.take(view({ number: '1', version: 500 }));
  t.equal(live.state().open.get('1')?.version, 500, 'the answer to a command counts at once');

  sockets[0]?.die();
  t.equal(lost, 1, 'somebody asks whether we are still signed in');
  t.notOk(live.state().connected);
  t.equal(live.state().open.size, 1, 'what was shown stays, and will be called stale');
  await clock.advance(300);
  t.equal(sockets[1]?.path, '/ws?resume=e.499');
  sockets[0]?.say({ type: 'alarm', feed: 'e.900', alarm: view({ number: '9', version: 1 }) });
  t.notOk(live.state().open.has('9'), 'an old socket is not listened to');
  sockets[1]?.die();
  await clock.advance(600);
  t.equal(sockets.length, 3, 'tried again, later each time');
  sockets[2]?.say({ type: 'resumed', feed: 'e.499', counts, now });
  t.ok(live.state().connected);

  const other = [view({ number: '1', version: 501 })];
  for (let n = 0; n < 2; n += 1) sockets[2]?.say({ type: 'pulse', feed: 'e.500', counts, now, ...checksum(other) });
  t.same(sockets[2]?.sent, [{ type: 'snapshot-please' }], 'the centre counts something else: ask');
  sockets[2]?.say({ type: 'snapshot', feed: 'e.501', alarms: other, counts, complete: true, now });
  t.equal(live.state().open.get('1')?.version, 501);

  await clock.advance(6500);
  t.equal(freshness(live.state(), clock.monotonic()), 'stale');
  await clock.advance(1600);
  t.ok(sockets[2]?.closed, 'a half-open socket is given up');
  await clock.advance(300);
  t.equal(sockets.length, 4);
  sockets[3]?.die();
  live.hurry();
  t.equal(sockets.length, 5, 'the network is back: at once');
  live.hurry();
  t.equal(sockets.length, 5, 'but not twice');

  live.stop();
  t.ok(sockets[4]?.closed);
  t.equal(live.state().open.size, 0, 'nothing is left for the next person');
  sockets[4]?.die();
  await clock.advance(60_000);
  t.equal(sockets.length, 5, 'and nothing is tried any more');
  live.hurry();
  t.equal(sockets.length, 5);
  unsubscribe();
});

const act = (key: string, more: Partial<QueuedAct> = {}): QueuedAct => ({
  key,
  number: '1',
  command: { command: 'arrive' },
  version: 4,
  doneAt: '2026-11-22T22:00:00.000Z',
  delayed: false,
  refused: null,
  ...more,
});

await t.test('the outbox', async (t) => {
  const clock = new MovableClock();
  const posts: { path: string; body: Record<string, unknown> }[] = [];
  const kept: number[] = [];
  const answered: AlarmView[] = [];
  type Reply = Awaited<ReturnType<ReturnType<typeof createApi>['post']>>;
  let reply: Reply | Promise<Reply> = { ok: false, problem: null };
  const api = {
    get: () => Promise.reject(new Error('unused')),
    delete: () => Promise.reject(new Error('unused')),
    post: async (path: string, body: unknown) => {
      posts.push({ path, body: body as Record<string, unknown> });
      return (await reply) as never;
    },
  };
  const box = new Outbox({ api, clock, keep: (acts) => kept.push(acts.length), onAnswer: (alarm) => answered.push(alarm) }, []);
  let told = 0;
  const unsubscribe = box.subscribe(() => (told += 1));

  await box.put(act('a'));
  t.same(kept.slice(0, 1), [1], 'kept before it is sent');
  t.equal(posts.length, 1);
  t.notOk('doneAt' in posts[0]!.body, 'sent at once: the centre’s own time counts');
  await box.put(act('b'));
  t.equal(posts.length, 2, 'tried again in order');
  t.equal(posts[1]?.body['key'], 'a', 'the same key: it may have arrived the first time');
  t.equal(posts[1]?.body['doneAt'], '2026-11-22T22:00:00.000Z', 'late now: with its own time');
  t.same(
    box.acts().map(({ key, delayed }) => [key, delayed]),
    [
      ['a', true],
      ['b', true],
    ],
  );

  reply = { ok: true, value: view({ number: '1', version: 6 }) };
  await clock.advance(4000);
  await settle();
  t.same(
    posts.slice(2).map(({ body }) => body['key']),
    ['a', 'b'],
    'in the order in which they were done',
  );
  t.equal(box.acts().length, 0);
  t.equal(answered.length, 2);

  reply = { ok: false, problem: { status: 409, code: 'accepted-by-another', detail: '', by: 'natt2' } };
  await box.put(act('c'));
  t.same(box.acts()[0]?.refused, { code: 'accepted-by-another', by: 'natt2' }, 'kept until seen');
  box.dismiss('c');
  t.equal(box.acts().length, 0);
  t.ok(told > 5);

  let release: (value: Reply) => void = () => undefined;
  reply = new Promise<Reply>((resolve) => (release = resolve));
  const before = posts.length;
  const first = box.put(act('d'));
  await box.put(act('e'));
  t.equal(posts.length, before + 1, 'one at a time');
  box.stop();
  release({ ok: false, problem: null });
  await first;
  await clock.advance(60_000);
  t.equal(posts.length, before + 1, 'stopped: nothing more is sent');
  reply = { ok: true, value: view({ number: '1' }) };
  box.start();
  await settle();
  t.equal(box.acts().length, 0, 'and started again it sends what waited');
  unsubscribe();
});

await t.test('what a phone keeps', async (t) => {
  const store = new Map<string, string>();
  const storage = {
    getItem: (key: string) => store.get(key) ?? null,
    setItem: (key: string, value: string) => void store.set(key, value),
    removeItem: (key: string) => void store.delete(key),
  };
  const session: Session = { account: 'natt', name: 'Nina Natt', roles: ['responder'], municipalities: ['*'] };
  t.equal(readKept(storage), null);
  const kept = { session, centre: null, duty: null, cases: [{ alarm: base, card: null, keptAt: 'x' }], acts: [act('a')] };
  t.ok(writeKept(storage, kept));
  t.same(readKept(storage), JSON.parse(JSON.stringify(kept)));
  for (const rubbish of ['{', 'null', '{"session":{}}', '7']) {
    store.set('responder', rubbish);
    t.equal(readKept(storage), null, rubbish);
  }
  store.set('responder', JSON.stringify({ session }));
  t.same(readKept(storage)?.acts, [], 'what an older page kept is filled in');
  wipeKept(storage);
  t.equal(store.size, 0, 'nothing is left');
  const broken = {
    ...storage,
    setItem: () => {
      throw new Error('full');
    },
    removeItem: () => {
      throw new Error('forbidden');
    },
    getItem: () => {
      throw new Error('forbidden');
    },
  };
  t.notOk(writeKept(broken, kept));
  t.equal(readKept(broken), null);
  wipeKept(broken);
  t.notOk(isLeaving(storage));
  markLeaving(storage, true);
  t.ok(isLeaving(storage), 'the session is still to be ended at the centre');
  markLeaving(storage, false);
  t.notOk(isLeaving(storage));
  markLeaving(broken, true);
  markLeaving(broken, false);
  t.notOk(isLeaving(broken));

  const card = { household: null } as unknown as CardView;
  const one = view({ number: '1', version: 2 });
  let cases = keepCases([], new Map([['1', one]]), new Map(), 't1');
  t.same(cases, [{ alarm: one, card: null, keptAt: 't1' }]);
  t.equal(keepCases(cases, new Map([['1', one]]), new Map(), 't2')[0], cases[0], 'unchanged ones keep their time');
  cases = keepCases(cases, new Map([['1', one]]), new Map([['1', card]]), 't3');
  t.same(cases[0]?.card, card, 'the card when it comes');
  cases = keepCases(cases, new Map([['2', view({ number: '2', version: 1 })]]), new Map(), 't4');
  t.same(
    cases.map(({ alarm }) => alarm.number),
    ['2', '1'],
    'what went out of sight stays, behind',
  );
  t.equal(
    keepCases(cases, new Map([['1', view({ number: '1', version: 1 })]]), new Map(), 't5').find(({ alarm }) => alarm.number === '1')?.alarm
      .version,
    2,
    'never an older version',
  );
  const many = new Map(
    Array.from({ length: 40 }, (_, n) => [
      String(n),
      view({ number: String(n), openedAt: `2026-11-22T20:${String(n).padStart(2, '0')}:00Z` }),
    ]),
  );
  t.equal(keepCases(cases, many, new Map(), 't6').length, CASES_KEPT);
  t.equal(keepCases(cases, many, new Map(), 't6')[0]?.alarm.number, '39', 'the newest');
});

await t.test('tones', async (t) => {
  const clock = new MovableClock();
  let started = 0;
  let state = 'suspended';
  let changed: () => void = () => undefined;
  const device: AudioDevice = {
    get state() {
      return state;
    },
    currentTime: 0,
    destination: null,
    addEventListener: (_type, listener) => void (changed = listener),
    createGain: () => ({ gain: { setValueAtTime: () => undefined, linearRampToValueAtTime: () => undefined }, connect: () => undefined }),
    createOscillator: () => ({
      type: '',
      frequency: { value: 0 },
      connect: () => undefined,
      start: () => void (started += 1),
      stop: () => undefined,
    }),
    resume: async () => {
      state = 'running';
      changed();
    },
  };
  const tones = new Tones(() => device, clock);
  let told = 0;
  const unsubscribe = tones.subscribe(() => (told += 1));
  t.equal(tones.sound(), 'muted', 'the browser waits for a gesture');
  tones.play('life');
  t.equal(started, 0);
  await tones.wake();
  t.equal(tones.sound(), 'ready');
  t.ok(told > 0);
  await clock.advance(1600);
  t.equal(started, 6, 'it sounds as soon as it may');
  tones.play('life');
  await clock.advance(1600);
  t.equal(tones.begun.life, 2, 'the same again does not begin twice');
  tones.play('care');
  t.equal(tones.begun.care, 1);
  await clock.advance(10_000);
  t.equal(tones.begun.care, 3);
  t.equal(tones.begun.life, 2);
  tones.play(null);
  await clock.advance(60_000);
  t.equal(tones.begun.care, 3, 'silence');
  unsubscribe();
  const none = new Tones(() => {
    throw new Error('no audio');
  }, clock);
  t.equal(none.sound(), 'off');
  await none.wake();
  none.play('life');
  none.play(null);
});

await t.test('the page opens without network', async (t) => {
  const origin = 'https://alarm.example';
  const request = (path: string, more: object = {}) => ({ url: `${origin}${path}`, method: 'GET', mode: 'cors', ...more });
  const files = ['/assets/index-1.js'];
  t.equal(handling(request('/', { mode: 'navigate' }), origin, files), 'page');
  t.equal(handling(request('/a/1001', { mode: 'navigate' }), origin, files), 'page');
  t.equal(handling(request('/assets/index-1.js'), origin, files), 'file');
  t.equal(handling(request('/icon.svg'), origin, files), 'file');
  t.equal(handling(request('/assets/other.js'), origin, files), 'none');
  t.equal(handling(request('/api/v1/alarms'), origin, files), 'none', 'what the centre says is never kept');
  t.equal(handling(request('/api/v1/openapi.json', { mode: 'navigate' }), origin, files), 'none', 'nor when one goes there');
  t.equal(handling(request('/', { method: 'POST', mode: 'navigate' }), origin, files), 'none');
  t.equal(handling({ url: 'https://other.example/', method: 'GET', mode: 'navigate' }, origin, files), 'none');

  const caches = new Map<string, Map<string, unknown>>([
    ['console-old', new Map()],
    ['somebody-else', new Map()],
  ]);
  let online = true;
  const listeners = new Map<string, (event: never) => void>();
  const key = (of: { url: string } | string): string => (typeof of === 'string' ? of : new URL(of.url).pathname);
  const scope: WorkerScope = {
    location: { origin },
    clients: { claim: async () => undefined },
    caches: {
      keys: async () => [...caches.keys()],
      delete: async (name) => caches.delete(name),
      open: async (name) => {
        const kept = caches.get(name) ?? new Map<string, unknown>();
        caches.set(name, kept);
        return {
          addAll: async (paths) => paths.forEach((path) => kept.set(path, `kept ${path}`)),
          match: async (of) => kept.get(key(of)),
          put: async (of, answer) => void kept.set(key(of), answer),
        };
      },
    },
    skipWaiting: async () => undefined,
    fetch: async () => {
      if (!online) throw new TypeError('no network');
      return { ok: true, clone: () => 'newest page' };
    },
    addEventListener: (type, listener) => void listeners.set(type, listener),
  };
  const fire = async (type: string, more: object = {}): Promise<unknown> => {
    let work: Promise<unknown> = Promise.resolve('left alone');
    const hold = (promise: Promise<unknown>): void => void (work = promise);
    listeners.get(type)?.({ waitUntil: hold, respondWith: hold, ...more } as never);
    return work;
  };
  keepPage(scope, { version: 'v1', files });
  await fire('install');
  await fire('activate');
  t.same([...caches.keys()], ['somebody-else', 'console-v1'], 'the old one goes, others stay');
  t.equal(await fire('fetch', { request: request('/assets/index-1.js') }), 'kept /assets/index-1.js');
  t.equal(await fire('fetch', { request: request('/api/v1/session') }), 'left alone');
  await fire('fetch', { request: request('/', { mode: 'navigate' }) });
  online = false;
  t.equal(await fire('fetch', { request: request('/a/1001', { mode: 'navigate' }) }), 'newest page', 'the page as it was last seen');
  caches.get('console-v1')?.clear();
  await t.rejects(fire('fetch', { request: request('/', { mode: 'navigate' }) }));
  await import('../../src/console/web/sw.ts');
  t.equal(listeners.size, 3, 'as it stands in the source, without its list of files, the worker does nothing');
});
