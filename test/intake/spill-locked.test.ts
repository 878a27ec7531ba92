/** One household that somebody has locked in PostgreSQL, or at which it fails: only it waits, is kept in the spill, and is taken over in order. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type pg from 'pg';
import t from 'tap';
import { admit, joiningKey } from '../../src/alarms/correlate.ts';
import { type DirectNews, provisionalNumber } from '../../src/alarms/provisional.ts';
import type { Signal } from '../../src/alarms/signal.ts';
import { RunningClock } from '../../src/base/clock.ts';
import { createKeeper } from '../../src/intake/keep.ts';
import { createReplay } from '../../src/intake/spill-replay.ts';
import { type Spill, createSpill } from '../../src/intake/spill.ts';
import { failingOrAway } from '../../src/store/probe.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { encodeSignal } from '../../src/intake/spill-record.ts';
import { openSpillFile } from '../../src/store/spill-file.ts';
import { createSpillStore } from '../../src/store/spill-replay.ts';
import { ladderFor, signal } from '../support/alarms.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const clock = new RunningClock();
const stores = await startStores();
t.teardown(() => stores.stop());
const { pool } = stores.postgres;
await pool.query(`insert into household (id, municipality, name) select 'h' || n, '1103', 'x' from generate_series(0, 39) n`);

interface Run {
  readonly spill: Spill;
  readonly news: DirectNews[];
  readonly ordered: string[];
}

async function begin(folder: string, store = createSpillStore(stores.postgres)): Promise<Run> {
  const signals = createSignalStore(stores.postgres, () => {});
  const file = await openSpillFile({ folder, maxBytes: 4_000_000, clock, log: SILENT });
  const ordered: string[] = [];
  const spill = createSpill({
    opened: file,
    live: createKeeper({ store: signals, ladderFor, keyOf: joiningKey, log: SILENT }),
    replayWith: (provisional) =>
      createReplay({
        signals,
        store,
        admit: (one, situation, newNumber) => admit(one, situation, ladderFor, newNumber),
        order: (alarm, { account }) => {
          ordered.push(`${alarm} ${account}`);
          return Promise.resolve({ refused: 'already-closed' });
        },
        file: file.log,
        provisional,
        clock,
        log: SILENT,
      }),
    clock,
    log: SILENT,
  });
  const news: DirectNews[] = [];
  spill.listen((one) => void news.push(one));
  return { spill, news, ordered };
}

const of = (household: number, source = `mqtt:D-${household}`): Signal =>
  signal({}, { receivedAt: clock.now(), source, device: source, household: { id: `h${household}`, name: 'x', zone: '' } });

/** Holds a household's lock as a forgotten terminal does. */
async function lock(household: number): Promise<pg.PoolClient> {
  const client = await pool.connect();
  await client.query('set idle_in_transaction_session_timeout = 0; begin');
  await client.query('select from joining where key = $1 for update', [`household:h${household}`]);
  return client;
}

async function unlock(client: pg.PoolClient): Promise<void> {
  await client.query('rollback');
  client.release(true);
}

async function timed<T>(work: Promise<T>): Promise<{ took: number; result: T }> {
  const from = performance.now();
  const result = await work;
  return { took: performance.now() - from, result };
}

/** What PostgreSQL does at each signal of these households, as it does at a damaged row, an index that is wrong, or rows without end. */
async function fails(at: Readonly<Record<string, string>>): Promise<() => Promise<void>> {
  const cases = Object.entries(at).map(([household, does]) => `if new.household_id = '${household}' then ${does}; end if;`);
  await pool.query(`create or replace function fail() returns trigger language plpgsql as $$ begin ${cases.join(' ')} return new; end $$;
    create or replace trigger fail before insert on signal for each row execute function fail()`);
  // What fails by its time limit holds the table meanwhile.
  return async () => void (await pool.query('begin; set local lock_timeout = 0; drop function fail cascade; commit'));
}

const raises = (code: string): string => `raise exception 'injected' using errcode = '${code}'`;

const rowsOf = async (household: number): Promise<string[]> => {
  const { rows } = await pool.query<{ id: string }>(
    `select t.event->>'signal' as id from timeline t join alarm a on a.number = t.alarm where a.household_id = $1 order by t.version`,
    [`h${household}`],
  );
  return rows.map(({ id }) => id);
};

await t.test(
  'little traffic: the locked household goes into the spill by itself, and nobody is told that PostgreSQL is away',
  async (t) => {
    const folder = path.join(mkdtempSync(path.join(tmpdir(), 'spill-locked-')), 'spill');
    t.teardown(() => rmSync(path.dirname(folder), { recursive: true, force: true }));
    let run = await begin(folder);
    t.match(await run.spill.keep(of(10)), { verdict: 'opened' });
    const locker = await lock(10);
    const first = of(10);
    const kept = timed(run.spill.keep(first));
    const { took, result } = await kept;
    t.match(result, { verdict: 'spilled', alarm: provisionalNumber(first.id) });
    t.ok(took < 2500, `acknowledged after ${Math.round(took)} ms`);
    t.match(run.spill.counts(), { mode: 'live', signals: 1 });
    t.equal(run.spill.storeAway(), false);
    t.match(run.spill.provisional(), [{ number: provisionalNumber(first.id) }], 'shown');
    const second = of(10);
    const behind = await timed(run.spill.keep(second));
    t.match(behind.result, { verdict: 'spilled' });
    t.ok(behind.took < 300, `what follows goes behind, after ${Math.round(behind.took)} ms`);
    const others = await Promise.all([1, 2, 3].map((household) => timed(run.spill.keep(of(household)))));
    t.ok(
      others.every(({ result: { verdict } }) => verdict === 'opened'),
      'the others go on live',
    );
    t.ok(
      others.every(({ took: span }) => span < 350),
      `after ${others.map(({ took: span }) => Math.round(span)).join(' ')} ms`,
    );
    t.match(await run.spill.claim(provisionalNumber(first.id), { account: 'kari', roles: ['operator'] }, clock.now()), {
      claimed: { claimedBy: 'kari' },
    });
    t.same(run.ordered, [], 'a claim waits with its signal');

    // A start finds them, and lets others pass, too.
    await run.spill.stop();
    run = await begin(folder);
    await until('live, but for the household', () => run.spill.counts().mode === 'live');
    t.match(run.spill.counts(), { signals: 2 });
    t.match(run.spill.provisional(), [{ claimedBy: 'kari' }, { claimedBy: null }]);
    t.match(await run.spill.keep(of(4)), { verdict: 'opened' });
    const third = of(10);
    t.match(await run.spill.keep(third), { verdict: 'spilled' });
    await unlock(locker);
    await until('taken over', () => run.spill.counts().signals === 0);
    const last = of(10);
    await until('and live', async () => (await run.spill.keep(of(10, 'mqtt:else'))).verdict !== 'spilled');
    t.match(await run.spill.keep(last), { verdict: 'repeated' });
    const ids = await rowsOf(10);
    const mine = [first, second, third, last].map(({ id }) => id);
    t.same(
      ids.filter((id) => mine.includes(id)),
      mine,
      'in order',
    );
    t.equal(run.ordered.length, 1);
    t.same(run.spill.provisional(), []);
    t.notOk(
      run.news.some((news) => news.news === 'whole' && news.storeAway),
      'no console was told that PostgreSQL is away',
    );
    await run.spill.stop();
    run = await begin(folder);
    t.match(run.spill.counts(), { mode: 'live', signals: 0 }, 'all is marked as done');
    await run.spill.stop();
  },
);

await t.test('steady traffic: two locked households keep no other waiting', async (t) => {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'spill-locked-')), 'spill');
  t.teardown(() => rmSync(path.dirname(folder), { recursive: true, force: true }));
  const run = await begin(folder);
  await Promise.all([20, 21].map((household) => run.spill.keep(of(household))));
  const lockers = [await lock(20), await lock(21)];
  const asked = new Map<number, string[]>();
  const spans: number[] = [];
  const lockedSpans: number[] = [];
  const verdicts: string[] = [];
  const all: Promise<void>[] = [];
  const end = performance.now() + 4000;
  for (let n = 0; performance.now() < end; n++) {
    const household = 20 + (n % 20);
    const one = of(household);
    asked.set(household, [...(asked.get(household) ?? []), one.id]);
    all.push(
      timed(run.spill.keep(one)).then(({ took, result: { verdict } }) => {
        (household < 22 ? lockedSpans : spans).push(took);
        if (household >= 22) verdicts.push(verdict);
      }),
    );
    // The pace of the traffic; nothing is waited for.
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await Promise.all(all);
  t.notOk(verdicts.includes('spilled'), 'all others went to PostgreSQL');
  spans.sort((a, b) => a - b);
  lockedSpans.sort((a, b) => a - b);
  const share = (of: number[], part: number): number => Math.round(of[Math.floor(of.length * part)] ?? 0);
  t.ok(
    share(spans, 0.5) < 300,
    `others: median ${share(spans, 0.5)}, 99 % ${share(spans, 0.99)}, worst ${Math.round(spans.at(-1) ?? 0)} ms`,
  );
  t.ok((spans.at(-1) ?? 0) < 3000);
  t.ok((lockedSpans.at(-1) ?? 0) < 4000, `locked: worst ${Math.round(lockedSpans.at(-1) ?? 0)} ms`);
  t.equal(run.spill.counts().refused, 0);
  for (const locker of lockers) await unlock(locker);
  await until('taken over', () => run.spill.counts().signals === 0);
  for (const [household, ids] of asked)
    t.same(
      (await rowsOf(household)).filter((id) => ids.includes(id)),
      ids,
      `h${household} in order`,
    );
  t.notOk(run.news.some((news) => news.news === 'whole' && news.storeAway));
  await run.spill.stop();
});

await t.test('a table that is locked is PostgreSQL being away', async (t) => {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'spill-locked-')), 'spill');
  t.teardown(() => rmSync(path.dirname(folder), { recursive: true, force: true }));
  const run = await begin(folder);
  const client = await pool.connect();
  await client.query('set idle_in_transaction_session_timeout = 0; begin; lock table joining');
  const receipts = await Promise.all(Array.from({ length: 20 }, (_, n) => run.spill.keep(of(n))));
  t.ok(receipts.every(({ verdict }) => verdict === 'spilled'));
  await unlock(client);
  await until('taken over', () => run.spill.counts().signals === 0 && run.spill.counts().mode === 'live');
  t.match(await run.spill.keep(of(1)), { verdict: 'repeated' });
  await run.spill.stop();
});

await t.test('households at which PostgreSQL fails while it serves others: replayed is all but theirs', async (t) => {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'spill-failing-')), 'spill');
  t.teardown(() => rmSync(path.dirname(folder), { recursive: true, force: true }));
  const all = [30, 31, 32, 33, 34].flatMap((household) => [of(household), of(household)]);
  const more = of(31);
  const before = await openSpillFile({ folder, maxBytes: 4_000_000, clock, log: SILENT });
  for (const one of all) await before.log.append('signal', encodeSignal(one));
  await before.log.stop();
  const mend = await fails({ h30: 'perform pg_sleep(60)', h31: raises('XX001'), h32: raises('23505') });
  const run = await begin(folder);
  await until('all others are taken over', () => run.spill.counts().mode === 'live' && run.spill.counts().signals === 6);
  const kept = async (household: number): Promise<string[]> => {
    const ids = new Set([...all, more].map(({ id }) => id));
    return (await rowsOf(household)).filter((id) => ids.has(id));
  };
  for (const household of [33, 34]) t.equal((await kept(household)).length, 2);
  const waiting = all.slice(0, 6);
  t.same(
    run.spill.provisional().map(({ number }) => number),
    [...new Set(waiting.map(({ id }) => provisionalNumber(id)))],
    'theirs are shown',
  );
  t.match(await run.spill.keep(of(33)), { verdict: 'repeated' }, 'others are live');
  t.match(await run.spill.keep(more), { verdict: 'spilled' }, 'what comes of theirs goes behind');
  await mend();
  await until('taken over', () => run.spill.counts().signals === 0);
  for (const household of [30, 31, 32])
    t.same(
      await kept(household),
      [...waiting, more].filter(({ household: home }) => home?.id === `h${household}`).map(({ id }) => id),
      'in order',
    );
  await run.spill.stop();
});

await t.test('a signal that was spilled twice is taken over once, and what is behind it too', async (t) => {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'spill-twice-')), 'spill');
  t.teardown(() => rmSync(path.dirname(folder), { recursive: true, force: true }));
  const [twice, behind] = [of(33), of(34)];
  const before = await openSpillFile({ folder, maxBytes: 4_000_000, clock, log: SILENT });
  for (const one of [twice, twice, behind]) await before.log.append('signal', encodeSignal(one));
  await before.log.stop();
  const run = await begin(folder);
  await until('all is taken over', () => run.spill.counts().mode === 'live' && run.spill.counts().signals === 0);
  const { rows } = await pool.query('select id from signal where id = any($1::uuid[])', [[twice.id, behind.id]]);
  t.equal(rows.length, 2);
  const aliases = await pool.query('select alias from alarm_alias where alias = any($1::text[])', [
    [twice, behind].map(({ id }) => provisionalNumber(id)),
  ]);
  t.equal(aliases.rows.length, 2);
  await run.spill.stop();
});

await t.test('a row of an earlier signal that cannot be read keeps only its household in the spill', async (t) => {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'spill-failing-')), 'spill');
  t.teardown(() => rmSync(path.dirname(folder), { recursive: true, force: true }));
  const all = [35, 36].map((household) => of(household));
  const before = await openSpillFile({ folder, maxBytes: 4_000_000, clock, log: SILENT });
  for (const one of all) await before.log.append('signal', encodeSignal(one));
  await before.log.stop();
  const store = createSpillStore(stores.postgres);
  const run = await begin(folder, {
    ...store,
    async known(ids) {
      // As at a damaged page.
      if (ids.includes(all[0]!.id))
        throw await failingOrAway(stores.postgres, Object.assign(new Error('invalid page in block 1'), { code: 'XX001' }));
      return store.known(ids);
    },
  });
  await until('the other is taken over', () => run.spill.counts().mode === 'live' && run.spill.counts().signals === 1);
  await run.spill.stop();
});

await t.test('a live batch with a household at which PostgreSQL fails: all others are kept, its own are in the spill', async (t) => {
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'spill-failing-')), 'spill');
  t.teardown(() => rmSync(path.dirname(folder), { recursive: true, force: true }));
  const run = await begin(folder);
  for (const code of ['57014', 'XX001', '23505', '40001']) {
    const mend = await fails({ h37: raises(code) });
    const batch = Array.from({ length: 40 }, (_, n) => of(n));
    const receipts = await Promise.all(batch.map((one) => run.spill.keep(one)));
    t.same(
      receipts.flatMap(({ verdict }, n) => (verdict === 'spilled' ? [n] : [])),
      [37],
      `${code}: acknowledged are all, from the spill only its own`,
    );
    t.match(run.spill.counts(), { mode: 'live', signals: 1, refused: 0 });
    await mend();
    await until(
      'taken over, and live',
      async () => run.spill.counts().signals === 0 && (await run.spill.keep(of(37))).verdict !== 'spilled',
    );
  }
  t.notOk(run.news.some((news) => news.news === 'whole' && news.storeAway));
  await run.spill.stop();
});
