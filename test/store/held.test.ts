/** Alarms held for their credentials, and registrations, on the real PostgreSQL: shown once or released, whoever dies whenever. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import path from 'node:path';
import process from 'node:process';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { joiningKey } from '../../src/alarms/correlate.ts';
import type { Signal, SignalRole } from '../../src/alarms/signal.ts';
import { MovableClock, minutes } from '../../src/base/clock.ts';
import { receiptId, systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { HELD_FOR_MS, type HeldStore, type Holding, createHolding } from '../../src/intake/hold.ts';
import { type Keeper, createKeeper } from '../../src/intake/keep.ts';
import { createBindingStore } from '../../src/store/bindings.ts';
import { createHeldStore } from '../../src/store/held.ts';
import { openPostgres } from '../../src/store/postgres.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { ladderFor, signal } from '../support/alarms.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const stores = await startStores();
const { postgres } = stores;
const opened = [postgres];
const another = (url = stores.databaseServer.url) => {
  const more = openPostgres(url, SILENT, 4);
  opened.push(more);
  return more;
};
t.teardown(async () => {
  for (const one of opened.slice(1)) await one.stop();
  await stores.stop();
});
t.beforeEach(() => stores.empty());

const keeperOn = (on = postgres): Keeper =>
  createKeeper({ store: createSignalStore(on, () => undefined), ladderFor, keyOf: joiningKey, log: SILENT });
const keeper = keeperOn();
const store = createHeldStore(postgres);
const rows = async (sql: string) => (await postgres.pool.query(sql)).rows as Record<string, unknown>[];
const count = async (from: string): Promise<number> => Number((await rows(`select count(*) as n from ${from}`))[0]?.['n']);

/** A message of a unit; the same text is the same bytes, a new receipt id each time. */
function message(text: string, clock: MovableClock, more: Partial<Signal> = {}): Signal {
  const home = { id: `home of ${text}`, name: 'Åse', zone: '' };
  return signal(more.meaning ?? {}, {
    id: receiptId(clock.now(), systemRandom),
    receivedAt: clock.now(),
    protocol: 'scaip',
    messageId: text,
    raw: Buffer.from(text),
    digest: createHash('sha256').update(text).digest(),
    source: `scaip:${text}`,
    device: text,
    household: home,
    ...more,
  });
}

function holdingWith(t: Test, clock: MovableClock, more: Partial<Parameters<typeof createHolding>[0]> = {}): Holding {
  const holding = createHolding({ store, keeper, clock, log: SILENT, ...more });
  t.teardown(() => holding.stop());
  return holding;
}

await t.test('without credentials within ten seconds it is shown once, marked, as of when it came', async (t) => {
  const clock = new MovableClock();
  const holding = holdingWith(t, clock);
  const one = message('a', clock);
  t.equal(await holding.hold(one), 'held');
  t.match(await rows('select source, due_at, held_at from held_signal'), [
    { source: 'scaip:a', held_at: new Date(clock.now()), due_at: new Date(clock.now() + HELD_FOR_MS) },
  ]);
  await clock.advance(4000);
  t.equal(await holding.hold(message('a', clock)), 'held', 'the same again is the same');
  t.equal(await count('held_signal'), 1);
  await clock.advance(HELD_FOR_MS - 4001);
  await holding.sweep();
  t.equal(await count('alarm'), 0, 'not a moment too early');
  await clock.advance(501);
  await until('it is shown by the clock alone', async () => (await count('alarm')) === 1);
  await until('its row goes', async () => (await count('held_signal')) === 0);
  t.match(await rows('select id, marks, verdict, received_at, raw from signal'), [
    { id: one.id, marks: ['unauthenticated'], verdict: 'opened', received_at: new Date(one.receivedAt), raw: Buffer.from('a') },
  ]);
  t.match(await rows('select fold from alarm'), [{ fold: { household: { id: 'home of a', name: 'Åse' }, openedAt: one.receivedAt } }]);
  t.match(holding.counts(), { held: 2, shown: 1, failures: 0 });
});

await t.test('the same message with credentials releases it', async (t) => {
  const clock = new MovableClock();
  const holding = holdingWith(t, clock);
  await holding.hold(message('a', clock));
  await clock.advance(300);
  const { verdict } = await keeper.keep(message('a', clock));
  await holding.released('scaip:a', message('a', clock).digest);
  t.equal(verdict, 'opened');
  t.equal(await count('held_signal'), 0);
  await clock.advance(minutes(1));
  await holding.sweep();
  t.match(await rows('select marks, verdict from signal'), [{ marks: [], verdict: 'opened' }]);
  t.same(await holding.released('scaip:never', Buffer.alloc(32)), undefined);
});

await t.test('only what may be a call for help is held', async (t) => {
  const clock = new MovableClock();
  const holding = holdingWith(t, clock);
  const table: Record<SignalRole, string> = {
    need: 'held',
    technical: 'held',
    unreadable: 'held',
    call: 'held',
    restore: 'nothing-to-hold',
    cancel: 'nothing-to-hold',
    presence: 'nothing-to-hold',
    information: 'nothing-to-hold',
  };
  for (const role of Object.keys(table) as SignalRole[]) {
    const meaning = { role, kind: 'call-button', priority: 'life', trigger: '' } as const;
    t.equal(await holding.hold(message(role, clock, { meaning })), table[role], role);
  }
});

await t.test('a table that somebody floods keeps no other unit out', async (t) => {
  const clock = new MovableClock();
  const holding = holdingWith(t, clock, { limits: { perSource: 3, inAll: 5 } });
  const from = (source: string, text: string) => holding.hold(message(text, clock, { source }));
  const flood = await Promise.all(Array.from({ length: 20 }, (_, n) => from('scaip:flood', `f${n}`)));
  t.same(flood, ['held', 'held', 'held', ...Array.from({ length: 17 }, () => 'not-held')]);
  t.equal(await from('scaip:flood', 'f1'), 'held', 'what is held already still is');
  t.same(await Promise.all([from('scaip:b', 'b1'), from('scaip:b', 'b2')]), ['held', 'held']);
  t.same(await Promise.all([from('scaip:b', 'b3'), from('scaip:c', 'c1'), from('scaip:c', 'c2'), from('scaip:d', 'd1')]), [
    'not-held',
    'held',
    'not-held',
    'held',
  ]);
  t.equal(await count('held_signal'), 7);
  t.match(holding.counts(), { full: 19 });
});

await t.test('technical warnings in a unit’s name keep its call for help out of no place', async (t) => {
  const clock = new MovableClock();
  const holding = holdingWith(t, clock);
  const source = 'scaip:26317';
  const technical = { role: 'technical', kind: 'battery-low', priority: 'technical', trigger: '' } as const;
  const warn = (name: string) => holding.hold(message(name, clock, { source, meaning: technical }));
  const warnings = await Promise.all(Array.from({ length: 130 }, (_, n) => warn(`w${n}`)));
  t.equal(warnings.filter((one) => one === 'held').length, 100);
  t.equal(warnings.filter((one) => one === 'full').length, 30);
  t.equal(await holding.hold(message('help', clock, { source })), 'held');
  for (const role of ['unreadable', 'call'] as const)
    t.equal(await holding.hold(message(role, clock, { source, meaning: { ...technical, role } })), 'held', role);
  const mixed = await Promise.all(
    Array.from({ length: 110 }, (_, n) => (n % 10 === 0 ? warn(`x${n}`) : holding.hold(message(`h${n}`, clock, { source })))),
  );
  t.equal(mixed.filter((one) => one === 'held').length, 97, 'a hundred of its own');
  t.equal(mixed.filter((one) => one === 'not-held').length, 2, 'and what does not fit is never said to be there');
  t.equal(mixed.filter((one) => one === 'full').length, 11);
  await clock.advance(HELD_FOR_MS);
  await holding.sweep();
  t.equal(await count(`signal where message_id = 'help'`), 1);

  const small = holdingWith(t, clock, { limits: { perSource: 5, inAll: 4 } });
  const from = (unit: string, name: string, meaning: Partial<Signal['meaning']> = {}) =>
    small.hold(message(name, clock, { source: unit, meaning: { ...signal().meaning, ...meaning } }));
  for (let n = 0; n < 6; n++) await from(`scaip:${n % 2}`, `t${n}`, technical);
  t.equal(await count('held_signal'), 4);
  for (const name of ['n1', 'n2', 'n3']) t.equal(await from('scaip:0', name), 'held', 'all places full of warnings, none of them its own');
});

await t.test('PostgreSQL away: nothing is held, and nobody is told so', async (t) => {
  const clock = new MovableClock();
  const away = createHeldStore(another('postgres://nobody@127.0.0.1:9/none'));
  const holding = holdingWith(t, clock, { store: away });
  await t.rejects(holding.hold(message('a', clock)), { code: 'store-away' });
  await holding.sweep();
  t.same(await holding.released('scaip:a', Buffer.alloc(32)), undefined);
});

await t.test('what is poisoned stops nobody and is not lost', async (t) => {
  const clock = new MovableClock();
  const lines: string[] = [];
  const log = createLog('error', { write: (line) => void lines.push(line) });
  const broken: Pick<Keeper, 'keep'> = {
    keep: (one) => (one.device === 'poison' ? Promise.reject(new TypeError('poisoned')) : keeper.keep(one)),
  };
  const holding = holdingWith(t, clock, { keeper: broken, log });
  const text = 'a\u0000b\uD800';
  await Promise.all([
    ...['poison', 'x', 'y', 'z'].map((one) => holding.hold(message(one, clock))),
    holding.hold(message('nul', clock, { meaning: { role: 'need', kind: 'fall', priority: 'life', trigger: '', text } })),
  ]);
  await postgres.pool.query(`insert into held_signal (id, source, digest, held_at, due_at, signal, raw)
    values (gen_random_uuid(), 'scaip:other version', '\\x00', '2026-11-22T22:00Z', '2026-11-22T22:00:09Z', 'null', 'raw')`);
  await clock.advance(HELD_FOR_MS);
  await holding.sweep();
  t.equal(await count('alarm'), 5);
  t.match(await rows(`select raw, kind from signal join alarm on number = alarm where kind = 'unreadable'`), [{ raw: Buffer.from('raw') }]);
  t.match(await rows(`select meaning->>'text' as text from signal where device = 'nul'`), [{ text: 'a\uFFFDb\uFFFD' }]);
  t.match(await rows('select source from held_signal'), [{ source: 'scaip:poison' }], 'stays until it can be shown');
  t.equal(lines.length, 1);
  t.match(lines[0], /held-signal-not-shown/);
  await holding.hold(message('later', clock));
  await clock.advance(2 * HELD_FOR_MS);
  await holding.sweep();
  t.equal(await count('alarm'), 6);
});

await t.test('two sweeps on one database show each alarm, and only one of them', async (t) => {
  const clock = new MovableClock();
  const sweepOn = (on = another()) => holdingWith(t, clock, { store: createHeldStore(on), keeper: keeperOn(on) });
  const first = sweepOn();
  const two = [first, sweepOn()];
  await Promise.all(Array.from({ length: 500 }, (_, n) => first.hold(message(`m${n}`, clock))));
  await clock.advance(HELD_FOR_MS);
  await Promise.all(two.map((one) => one.sweep()));
  t.equal(await count('alarm'), 500);
  t.equal(await count('signal'), 500, 'no duplicates: a row is taken by one');
  t.equal(await count('held_signal'), 0);
  t.ok(
    two.every((one) => one.counts().shown > 0),
    'both took some',
  );
});

await t.test('registrations are kept: one for each unit, the later of two', async (t) => {
  const bindings = createBindingStore(postgres);
  const at = Date.UTC(2026, 10, 22, 22);
  const one = { unit: '26317', transport: 'udp', address: '192.0.2.7', port: 5071, contact: 'sip:26317@10.0.0.2' } as const;
  const first = { ...one, registeredAt: at, expiresAt: at + 3_600_000 };
  const later = { ...one, transport: 'tls' as const, port: 40_001, registeredAt: at + 5, expiresAt: at + 60_000 };
  await bindings.save(first);
  t.same(await bindings.load(), [first]);
  await bindings.save(later);
  await bindings.save(first);
  t.same(await bindings.load(), [later]);
  await bindings.save({ ...first, unit: '10149471', address: '2001:db8::1' });
  await bindings.remove('26317');
  await bindings.remove('nobody');
  t.match(await bindings.load(), [{ unit: '10149471', address: '2001:db8::1' }]);
  const gone = createBindingStore(another('postgres://nobody@127.0.0.1:9/none'));
  await t.rejects(gone.save(first), { code: 'store-away' });
});

const CHILD = path.join(import.meta.dirname, 'held-process.ts');
const children = new Set<ChildProcess>();
t.teardown(() => {
  for (const child of children) child.kill('SIGKILL');
});
function sweeper(): ChildProcess {
  const child = spawn(process.execPath, ['--import=tsx', CHILD, stores.databaseServer.url, '400'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  children.add(child);
  return child;
}
const dead = (child: ChildProcess) => until('it is dead', () => child.exitCode !== null || child.signalCode !== null);

await t.test('processes that sweep are killed, again and again: nothing is lost, nothing is an alarm twice', async (t) => {
  const clock = new MovableClock(Date.now() - 20_000);
  const ALL = 1500;
  const holding = holdingWith(t, clock);
  await Promise.all(Array.from({ length: ALL }, (_, n) => holding.hold(message(`k${n}`, clock))));
  await holding.stop();
  const [last, ...doomed] = [sweeper(), sweeper(), sweeper()];
  for (const [index, killed] of doomed.entries()) {
    await until('they show some', async () => (await count('signal')) > 200 * (index + 1), 20_000);
    killed.kill('SIGKILL');
    await dead(killed);
  }
  const left = await count('held_signal');
  t.ok(left > 0, 'two were killed in the middle of it');
  await until('all are shown', async () => (await count('held_signal')) === 0, 30_000);
  last?.kill('SIGKILL');
  t.equal(await count('alarm'), ALL);
  t.equal(await count(`signal where verdict = 'opened'`), ALL);
  t.same(await rows(`select distinct verdict from signal where verdict not in ('opened', 'duplicate')`), []);
  t.same(await rows(`select distinct (fold->>'signalCount')::int as count from alarm`), [{ count: 1 }]);
  t.comment(`${left} left after two kills; ${await count(`signal where verdict = 'duplicate'`)} duplicates`);
});

/** A process that can be killed before any of its calls to the store: what it asked for then never answers. */
class Mortal {
  #left = Number.POSITIVE_INFINITY;
  readonly holding: Holding;

  constructor(clock: MovableClock) {
    const mortal =
      <A extends unknown[], R>(call: (...given: A) => Promise<R>) =>
      (...given: A): Promise<R> =>
        this.#left-- > 0 ? call(...given) : new Promise<R>(() => undefined);
    const heldStore: HeldStore = {
      hold: mortal((...given) => store.hold(...given)),
      lease: mortal((...given) => store.lease(...given)),
      remove: mortal((...given) => store.remove(...given)),
    };
    this.keep = mortal((one: Signal) => keeper.keep(one));
    this.holding = createHolding({ store: heldStore, keeper: { keep: this.keep }, clock, log: SILENT });
  }

  readonly keep: Keeper['keep'];

  /** Dies before its call number `calls` from now. */
  die(calls: number): void {
    this.#left = Math.min(this.#left, calls);
  }

  get alive(): boolean {
    return this.#left > 0;
  }
}

/** What answers while the process lives; a dead one answers never, and that is no failure of the test. */
async function whileAlive<T>(mortal: Mortal, asked: Promise<T>): Promise<T | 'died'> {
  const answered: T[] = [];
  void asked.then((given) => answered.push(given));
  await until('an answer or a death', () => answered.length > 0 || !mortal.alive);
  return answered.length > 0 ? (answered[0] as T) : 'died';
}

await t.test('whatever is held, released, swept and killed: each message becomes exactly one alarm', async (t) => {
  const text = fc.constantFrom('p', 'q', 'r', 's');
  let run = 0;
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ does: fc.constant('hold' as const), text }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant('prove' as const), text }) },
    { weight: 3, arbitrary: fc.record({ does: fc.constant('wait' as const), span: fc.integer({ min: 100, max: 15_000 }) }) },
    { weight: 2, arbitrary: fc.record({ does: fc.constant('die' as const), calls: fc.nat({ max: 4 }) }) },
  );
  const property = fc.asyncProperty(fc.array(step, { minLength: 3, maxLength: 14 }), fc.boolean(), async (steps, withIds) => {
    run += 1;
    const clock = new MovableClock();
    const started: Mortal[] = [];
    const start = (): Mortal => {
      const one = new Mortal(clock);
      started.push(one);
      return one;
    };
    let now = start();
    const promised = new Set<string>();
    for (const one of steps) {
      if (!now.alive) now = start();
      if (one.does === 'die') now.die(one.calls);
      else if (one.does === 'wait') {
        await clock.advance(one.span);
        await whileAlive(now, now.holding.sweep());
      } else {
        const sent = message(`${one.text}${run}`, clock, withIds ? {} : { messageId: null });
        if (one.does === 'hold') {
          if ((await whileAlive(now, now.holding.hold(sent))) === 'held') promised.add(sent.device);
        } else if ((await whileAlive(now, now.keep(sent))) !== 'died') {
          promised.add(sent.device);
          await whileAlive(now, now.holding.released(sent.source, sent.digest));
        }
      }
    }
    const healthy = new Mortal(clock);
    started.push(healthy);
    for (let n = 0; n < 4; n++) {
      await clock.advance(HELD_FOR_MS);
      await healthy.holding.sweep();
    }
    const left = await count('held_signal');
    const alarms = await rows(`select device, (fold->>'signalCount')::int as count from alarm where device like '%${run}'`);
    for (const one of started) {
      one.die(0);
      void one.holding.stop();
    }
    if (left > 0) throw new Error(`${left} are held for ever`);
    const lost = [...promised].filter((given) => !alarms.some(({ device }) => device === given));
    if (lost.length > 0) throw new Error(`lost: ${lost.join(', ')}`);
    if (alarms.some((alarm) => alarm['count'] !== 1)) throw new Error(`twice: ${JSON.stringify(alarms)}`);
  });
  await fc.assert(property, { numRuns: Number(process.env['HELD_RUNS'] ?? 40), endOnFailure: true });
  t.pass('forty histories');
});
