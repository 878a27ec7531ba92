/** What is read of the board in PostgreSQL agrees with the rule of sight, page by page; and claims last as long as their leases. */
import t from 'tap';
import type { Role } from '../../src/alarms/command.ts';
import { MovableClock, minutes } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { createDesk } from '../../src/alarms/desk.ts';
import type { Board } from '../../src/console/board.ts';
import { type ClaimLeases, startClaimKeeper, startLeaseSweep } from '../../src/console/claim-keeper.ts';
import { type Viewer, seesView } from '../../src/people/access.ts';
import { createAlarmSource } from '../../src/store/alarm-views.ts';
import { createAlarmStore } from '../../src/store/alarm-store.ts';
import { createBoard } from '../../src/store/board.ts';
import { createClaimLeases } from '../../src/store/claim-lease.ts';
import { openPostgres } from '../../src/store/postgres.ts';
import { DISPATCH, KARI, LEDER, NATT } from '../support/alarms.ts';
import { startFeedPath } from '../support/feed-path.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const stores = await startStores();
t.teardown(() => stores.stop());
const path = startFeedPath(stores, { relaying: false });
t.teardown(() => path.stop());
const { clock, desk } = path;
const board = createBoard({ pg: stores.postgres, clock, log: SILENT });
const viewer = (account: string, roles: Role[], ...municipalities: string[]): Viewer => ({ account, name: account, roles, municipalities });
const ALL = viewer('leder', ['supervisor'], '*');
const order = (number: string, command: Parameters<typeof desk.order>[0]['command'], actor = KARI) =>
  desk.order({ number, command, actor, version: null, doneAt: null, key: null });

async function everyPage(of: Board, who: Viewer, state: 'open' | 'closed', limit: number): Promise<string[]> {
  const numbers: string[] = [];
  for (let cursor: string | null = null; ;) {
    const page = await of.page(who, { state, cursor, limit });
    if (page === null) throw new Error('the cursor was not taken');
    numbers.push(...page.alarms.map(({ number }) => number));
    if (page.next === null) return numbers;
    cursor = page.next;
  }
}

await t.test('lists, pages and single alarms hold exactly what the rule of sight allows', async (t) => {
  const meanings = [{}, { priority: 'care', kind: 'door' }, { role: 'technical', kind: 'battery-low', priority: 'technical' }] as const;
  const numbers: string[] = [];
  for (const [n, municipality] of ['1103', '1103', '1124', '1124', '1120'].entries()) {
    for (const [m, meaning] of meanings.entries()) numbers.push(await path.press(`see-${n}-${m}`, { municipality, meaning }));
  }
  for (const [n, number] of numbers.entries()) {
    if (n % 3 !== 2 && n % 2 === 0) await order(number, DISPATCH);
    if (n % 4 === 0) await order(number, { command: 'accept', etaMinutes: 5 }, NATT);
    if (n % 5 === 1) await order(number, { command: 'decline', reason: 'busy' }, NATT);
    if (n % 5 === 2) {
      await order(number, { command: 'override-contact', reason: 'test' }, LEDER);
      await order(number, { command: 'close', outcome: 'other', text: 'x' }, LEDER);
    }
  }
  // Who accepted sees the alarm whoever was asked: the rule does not lean on the lifecycle.
  const accepted = numbers[4] ?? '';
  await stores.postgres.pool.query(`update alarm set asked = '{}', fold = jsonb_set(fold::jsonb, '{asked}', '[]') where number = $1`, [
    accepted,
  ]);
  const source = createAlarmSource({ pg: stores.postgres, log: SILENT });
  const every = await source.these(numbers);
  t.ok(every.some((view) => view.responder === 'natt' && view.asked.length === 0));
  const byNumber = new Map(every.map((view) => [view.number, view]));
  const viewers = [
    ALL,
    viewer('operator', ['operator'], '*'),
    viewer('sola', ['operator'], '1124'),
    viewer('nobody', [], '*'),
    viewer('nowhere', ['operator']),
    viewer('natt', ['responder'], '*'),
    viewer('natt', ['responder'], '1103', '1120'),
    viewer('natt2', ['responder'], '1124'),
    viewer('operator', ['responder'], '*'),
    viewer('teknisk', ['technician'], '1103', '1124'),
    viewer('natt', ['technician', 'responder'], '*'),
    viewer('natt', ['responder', 'operator'], '1124'),
  ];
  let seen = 0;
  for (const who of viewers) {
    const name = `${who.account} as ${who.roles.join('+')} in ${who.municipalities.join(',')}`;
    const allowed = every.filter((view) => seesView(who, view, clock.now()));
    seen += allowed.length;
    const open = allowed.filter((view) => view.closedAt === null).map(({ number }) => number);
    const closed = allowed.filter((view) => view.closedAt !== null).map(({ number }) => number);
    const shown = await board.open(who);
    t.same(shown.alarms.map(({ number }) => number).toSorted(), open.toSorted(), `${name}: open`);
    const counted = Object.values(shown.counts).reduce((a, b) => a + b, 0);
    t.equal(counted, open.length, `${name}: counts`);
    t.same(
      await everyPage(board, who, 'open', 2),
      shown.alarms.map(({ number }) => number),
      `${name}: pages in the same order`,
    );
    t.same((await everyPage(board, who, 'closed', 2)).toSorted(), closed.toSorted(), `${name}: closed pages`);
    for (const number of numbers) {
      const one = await board.one(who, number);
      t.equal(
        one !== null,
        allowed.some((view) => view.number === number),
        `${name}: ${number}`,
      );
      if (one !== null) t.equal(one.timeline.length, byNumber.get(number)?.version, 'with its whole timeline');
    }
  }
  t.ok(seen > 50, 'the rule let something through');
  const ranks = { life: 0, urgent: 1, care: 2, technical: 3 };
  const order1 = (await board.open(ALL)).alarms.map((view) => `${ranks[view.priority]} ${view.openedAt} ${view.number.padStart(9)}`);
  t.same(order1, order1.toSorted(), 'most urgent first, then oldest');
});

await t.test('a case that was closed long ago is gone for its responder, not for the centre', async (t) => {
  const number = await path.press('long-ago');
  await order(number, DISPATCH);
  await order(number, { command: 'override-contact', reason: 'test' }, LEDER);
  await order(number, { command: 'close', outcome: 'other', text: 'x' }, LEDER);
  const natt = viewer('natt', ['responder'], '*');
  t.ok(await board.one(natt, number));
  const later = createBoard({ pg: stores.postgres, clock: new MovableClock(clock.now() + minutes(24 * 60 + 1)), log: SILENT });
  t.equal(await later.one(natt, number), null);
  t.ok(await later.one(ALL, number));
});

await t.test('any text may be asked for as a number or a cursor', async (t) => {
  for (const text of ['', '0', '-1', 'x', '1 or 1=1', '99999999999999999999', '\u0000', '1e3', '1001.0'])
    t.equal(await board.one(ALL, text), null, JSON.stringify(text));
  for (const text of [
    '',
    'x',
    '!!!',
    '\u0000',
    Buffer.from('1,2').toString('base64url'),
    Buffer.from('1,9999999999999999,1').toString('base64url'),
  ]) {
    t.equal(await board.page(ALL, { state: 'open', cursor: text, limit: 10 }), null, JSON.stringify(text));
  }
  t.equal((await board.page(ALL, { state: 'open', cursor: null, limit: Number.NaN }))?.alarms.length, 1);
});

await t.test('the first 200 technical alarms are sent, the rest is counted and read by pages', async (t) => {
  const technical = { role: 'technical', kind: 'battery-low', priority: 'technical' } as const;
  await Promise.all(Array.from({ length: 205 }, (_, n) => path.press(`flat-${n}`, { municipality: '9999', meaning: technical })));
  await path.press('flat-need', { municipality: '9999' });
  const who = viewer('operator', ['operator'], '9999');
  const shown = await board.open(who);
  t.equal(shown.alarms.length, 201);
  t.same(shown.counts, { life: 1, urgent: 0, care: 0, technical: 205 });
  t.equal(new Set(await everyPage(board, who, 'open', 50)).size, 206);
});

await t.test('PostgreSQL away is said so', async (t) => {
  const away = openPostgres('postgres://nobody@127.0.0.1:1/none', SILENT, 1);
  t.teardown(() => away.stop());
  await t.rejects(createBoard({ pg: away, clock, log: SILENT }).open(ALL), { code: 'store-away' });
  await t.rejects(createAlarmSource({ pg: away, log: SILENT }).all(0), { code: 'store-away' });
  await t.rejects(createClaimLeases(away).renew(['operator'], 0), { code: 'store-away' });
});

/** A desk, a keeper and a sweep on a clock of their own, which only this test moves. */
function claims(openAccounts: string[]) {
  const moved = new MovableClock(clock.now());
  const slow = createDesk({ store: createAlarmStore(stores.postgres, () => undefined), clock: moved, random: systemRandom });
  const real = createClaimLeases(stores.postgres);
  let busy = 0;
  let away = false;
  const counted =
    <A extends unknown[], R>(call: (...args: A) => Promise<R>) =>
    async (...args: A): Promise<R> => {
      busy += 1;
      try {
        if (away) throw Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
        return await call(...args);
      } finally {
        busy -= 1;
      }
    };
  const leases: ClaimLeases = {
    renew: counted((accounts, at) => real.renew(accounts, at)),
    grace: counted((at) => real.grace(at)),
    lapsed: counted((now, limit) => real.lapsed(now, limit)),
  };
  const counting = { order: counted((request: Parameters<typeof slow.order>[0]) => slow.order(request)) };
  const keeper = startClaimKeeper({ leases, openAccounts: () => openAccounts, clock: moved, log: SILENT });
  const sweep = startLeaseSweep({ desk: counting, leases, clock: moved, log: SILENT });
  const settled = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    await until('all is done', () => busy === 0);
  };
  /** Moves on in steps in which everything that was started comes to its end. */
  const pass = async (span: number): Promise<void> => {
    for (let passed = 0; passed < span; passed += 250) {
      await moved.advance(250);
      await settled();
    }
  };
  return {
    keeper,
    settled,
    pass,
    setAway: (is: boolean) => (away = is),
    claim: (number: string, account = 'operator') =>
      slow.order({
        number,
        command: { command: 'claim' },
        actor: { type: 'person', account, roles: ['operator'] },
        version: null,
        doneAt: null,
        key: null,
      }),
    claimedBy: async (number: string) => (await board.one(ALL, number))?.alarm.claimedBy,
    async stop() {
      keeper.stop();
      await sweep.stop();
    },
  };
}

await t.test('a claim is kept while a socket is open, and returned 10 s after it is gone', async (t) => {
  const open = ['operator'];
  const desk1 = claims(open);
  t.teardown(() => desk1.stop());
  const number = await path.press('lease');
  await desk1.pass(1000);
  t.match(await desk1.claim(number), { alarm: { claimedBy: 'operator' } });
  await desk1.pass(30_000);
  t.equal(await desk1.claimedBy(number), 'operator', 'kept');
  open.length = 0;
  await desk1.pass(7500);
  t.equal(await desk1.claimedBy(number), 'operator', 'still there, should the browser come back');
  await desk1.pass(3500);
  t.equal(await desk1.claimedBy(number), null, 'returned');
  const one = await board.one(ALL, number);
  t.match(one?.timeline.at(-1)?.event, { event: 'claim-interrupted', by: 'operator', why: 'browser-gone' });
  t.equal(one?.alarm.attention.interrupted, true);
});

await t.test('of a very long timeline the beginning and the newest are told, and how many are not', async (t) => {
  const number = await path.press('chatty');
  const lengthen = async (to: number) => {
    await stores.postgres.pool.query(
      `insert into timeline (alarm, version, at, actor, event, arms)
       select alarm, n, at, actor, '{"event":"noted","text":"x"}', '{}' from timeline,
         generate_series((select max(version) + 1 from timeline where alarm = $1), $2::int) n where alarm = $1 and version = 1`,
      [number, to],
    );
    await stores.postgres.pool.query(
      `update alarm set version = $2, fold = jsonb_set(fold::jsonb, '{version}', to_jsonb($2::int)) where number = $1`,
      [number, to],
    );
  };
  const told = async () => {
    const one = await board.one(ALL, number);
    return { versions: one?.timeline.map(({ version }) => version) ?? [], leftOut: one?.leftOut };
  };
  const upTo = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_one, n) => from + n);
  t.same(await told(), { versions: [1], leftOut: 0 });
  await lengthen(60);
  t.same(await told(), { versions: upTo(1, 60), leftOut: 0 });
  await lengthen(1000);
  t.same(await told(), { versions: upTo(1, 1000), leftOut: 0 });
  await lengthen(1203);
  t.same(await told(), { versions: [...upTo(1, 50), ...upTo(254, 1203)], leftOut: 203 });
});

await t.test('requests without a socket keep a claim too', async (t) => {
  const desk1 = claims([]);
  t.teardown(() => desk1.stop());
  const number = await path.press('lease-http');
  await desk1.pass(1000);
  await desk1.claim(number);
  for (let n = 0; n < 5; n++) {
    desk1.keeper.renew('operator');
    desk1.keeper.renew('operator2');
    await desk1.pass(5000);
  }
  t.equal(await desk1.claimedBy(number), 'operator');
  await desk1.pass(12_000);
  t.equal(await desk1.claimedBy(number), null);
});

await t.test('after a restart, and after PostgreSQL was away, everybody has 10 s to come back', async (t) => {
  const open = ['operator'];
  const before = claims(open);
  const number = await path.press('lease-restart');
  await before.pass(1000);
  await before.claim(number);
  await before.stop();
  await stores.postgres.pool.query('update claim_lease set until = $1', [new Date(0)]);
  const open2: string[] = [];
  const desk2 = claims(open2);
  t.teardown(() => desk2.stop());
  await desk2.pass(8000);
  t.equal(await desk2.claimedBy(number), 'operator', 'a restart takes no alarm from anybody');
  await desk2.pass(1750);
  open2.push('operator');
  desk2.keeper.renew('operator');
  await desk2.settled();
  await desk2.pass(20_000);
  t.equal(await desk2.claimedBy(number), 'operator', 'the browser came back');
  desk2.setAway(true);
  await desk2.pass(30_000);
  desk2.setAway(false);
  await desk2.pass(8000);
  t.equal(await desk2.claimedBy(number), 'operator', 'nor does an outage');
  open2.length = 0;
  await desk2.pass(12_000);
  t.equal(await desk2.claimedBy(number), null);
});

await t.test('a claim whose lease row is missing does not last for ever', async (t) => {
  const desk1 = claims([]);
  t.teardown(() => desk1.stop());
  const number = await path.press('lease-missing');
  await desk1.pass(1000);
  await desk1.claim(number);
  await stores.postgres.pool.query('delete from claim_lease where alarm = $1', [number]);
  await desk1.pass(1000);
  t.equal(await desk1.claimedBy(number), null);
});

await t.test('the desk keeps a claim whose lease was renewed since the sweep looked', async (t) => {
  const number = await path.press('lease-raced');
  await order(number, { command: 'claim' });
  t.match(await order(number, { command: 'lapse-claim', by: 'operator' }, { type: 'centre', part: 'sweep' }), { refused: 'not-due' });
});
