/** Provisional alarms at the consoles: the direct streams of several intake processes, lost and found again, claims, and what browsers are told. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import process from 'node:process';
import { X509Certificate } from 'node:crypto';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import type { Alias, DirectNews, ProvisionalAlarm } from '../../src/alarms/provisional.ts';
import type { Role } from '../../src/alarms/command.ts';
import { type Clock, MovableClock, RunningClock } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { BOARD_WAIT_MS, DOUBT_MS, DirectBook } from '../../src/console/direct-book.ts';
import { claimProvisional, isProvisional, numberOf, provisionalFor } from '../../src/console/direct-orders.ts';
import { LINE_LIMIT, Lines, readLine } from '../../src/console/direct-lines.ts';
import { addressOf } from '../../src/console/direct-link.ts';
import { type Direct, startDirect } from '../../src/console/direct-nodes.ts';
import { type DirectChange, type DirectNode, seesProvisional } from '../../src/console/direct.ts';
import { type FeedHub, type HubListener } from '../../src/console/feed-hub.ts';
import type { ServerMessage } from '../../src/console/feed-messages.ts';
import { Replica } from '../../src/console/replica.ts';
import { attachSockets } from '../../src/console/ws.ts';
import { startDirectStream } from '../../src/intake/direct-stream.ts';
import type { Viewer } from '../../src/people/access.ts';
import { testCertificate, withoutOpenssl } from '../support/certificates.ts';
import { TestIntake, early } from '../support/direct.ts';
import { SILENT, until } from '../support/stores.ts';

const viewer = (account: string, roles: Role[] = ['operator'], ...municipalities: string[]): Viewer => ({
  account,
  name: `Navn på ${account}`,
  roles,
  municipalities: municipalities.length === 0 ? ['*'] : municipalities,
});
const kari = viewer('kari');
const ola = viewer('ola');

const known = (all: ReadonlyMap<string, Alias>, numbers: readonly string[]): Map<string, Alias> =>
  new Map([...all].filter(([number]) => numbers.includes(number)));

/** A console process: its direct client on intake processes that a table names, and a board that a test fills. */
function startConsole(
  t: Test,
  intakes: readonly TestIntake[],
  { clock = new RunningClock() as Clock, sha256 = null as string | null, limit = 1000 } = {},
) {
  const table = {
    nodes: intakes.map((intake, n): DirectNode => ({ id: `node-${n}`, direct: intake.direct, directSha256: sha256 })),
    replayed: new Map<string, Alias>(),
    asked: [] as string[][],
    away: false,
    token: 'the secret',
  };
  const present = <T>(value: T): T => {
    if (table.away) throw new CentreError('store-away', 'away');
    return value;
  };
  const board = new Set<string>();
  const listeners: HubListener[] = [];
  const changes: DirectChange[] = [];
  const direct: Direct = startDirect({
    directory: {
      nodes: async () => present(table.nodes),
      token: async () => present(table.token),
      replayed: async (numbers) => {
        table.asked.push([...numbers]);
        return present(known(table.replayed, numbers));
      },
    },
    board: { has: (alarm) => board.has(alarm), listen: (listener) => void listeners.push(listener) },
    clock,
    random: systemRandom,
    log: SILENT,
    limit,
  });
  direct.listen((change) => changes.push(change));
  t.teardown(() => direct.stop());
  const numbers = (): string[] =>
    direct
      .alarms()
      .map(({ number }) => number)
      .toSorted();
  return {
    direct,
    table,
    changes,
    numbers,
    /** An alarm comes onto the board. */
    boards: (alarm: string) => {
      board.add(alarm);
      for (const listener of listeners) listener.replaced();
    },
    lost: () =>
      direct
        .alarms()
        .filter(({ lost }) => lost)
        .map(({ number }) => number)
        .toSorted(),
    replayed: () => changes.filter((change) => change.change === 'replayed'),
  };
}

async function intakeOf(t: Test, ...more: Parameters<typeof TestIntake.start>): Promise<TestIntake> {
  const intake = await TestIntake.start(...more);
  t.teardown(() => intake.stop());
  return intake;
}
const [f1, f2, f3] = [early(1).number, early(2).number, early(3).number];

await t.test('lines are cut out of whatever pieces they come in, and none may be endless', async (t) => {
  const lines = new Lines();
  t.same(lines.take(Buffer.from('{"a":"Å')), []);
  const [, second] = [Buffer.from('Å'), Buffer.from('se"}\n{"b":1}\n{')];
  t.same(lines.take(second), ['{"a":"Åse"}', '{"b":1}']);
  t.same(lines.take(Buffer.from('}\n')), ['{}']);
  const split = new Lines();
  const bytes = Buffer.from('ø\n');
  t.same(split.take(bytes.subarray(0, 1)), []);
  t.same(split.take(bytes.subarray(1)), ['ø'], 'a letter of two bytes in two pieces');
  const endless = new Lines();
  t.same(endless.take(Buffer.alloc(LINE_LIMIT, 'x')), []);
  t.equal(endless.take(Buffer.from('x')), null);
  t.equal(new Lines().take(Buffer.from(`${'x'.repeat(LINE_LIMIT + 1)}\n`)), null, 'ended or not');
});

await t.test('what a line says; a newer intake may say more', async (t) => {
  t.same(readLine('{"pulse":true}'), { line: 'pulse' });
  t.match(readLine(JSON.stringify({ news: 'alarm', alarm: early(1) })), { line: 'news', news: { alarm: { number: f1 } } });
  t.match(readLine(JSON.stringify({ news: 'alarm', alarm: { ...early(1), kind: 'landslide', priority: 'purple', more: 1 } })), {
    news: { alarm: { kind: 'unknown', priority: 'life' } },
  });
  t.match(readLine(JSON.stringify({ news: 'whole', storeAway: true, alarms: [early(1), { number: 'x' }, early(2)] })), {
    news: { alarms: { length: 2 } },
    unread: 1,
  });
  t.match(
    readLine(
      JSON.stringify({ news: 'replayed', number: f1, alarm: '7', claim: { by: 'kari', result: 'refused', code: 'taken-by-another' } }),
    ),
    {
      news: { claim: { code: 'taken-by-another' } },
    },
  );
  t.same(readLine('{"failed":"3"}'), { line: 'answer', ask: '3', result: { refused: 'not-kept' } });
  t.same(readLine('{"news":"weather"}'), { line: 'unknown' });
  t.same(readLine('{"hello":"there"}'), { line: 'unknown' });
  for (const garbage of ['', '{', '[]x', '5', 'null', '{"news":"alarm","alarm":{}}', '{"news":"whole"}', '{"answer":"1"}', '{"pulse":1}']) {
    t.same(readLine(garbage), { line: 'garbage' }, garbage);
  }
});

await t.test('addresses as the table may name them', async (t) => {
  t.same(addressOf('10.0.0.1:4000'), { host: '10.0.0.1', port: 4000 });
  t.same(addressOf('[::1]:4000'), { host: '::1', port: 4000 });
  t.same(addressOf('tls://intake.example:4000'), { host: 'intake.example', port: 4000 });
  for (const none of ['', 'x', 'x:0', 'x:70000', ':5', 'a b']) t.equal(addressOf(none), null, none);
});

await t.test('the alarms of two intake processes; one that is lost keeps its alarms shown until PostgreSQL knows them', async (t) => {
  const [one, other] = [await intakeOf(t), await intakeOf(t)];
  one.whole = { news: 'whole', storeAway: true, alarms: [early(1), early(2)] };
  other.whole = { news: 'whole', storeAway: true, alarms: [early(3, { priority: 'technical' })] };
  const console = startConsole(t, [one, other]);
  await until('both have told all', () => console.numbers().length === 3);
  t.same(one.hellos, ['the secret']);
  t.match(console.direct.state(), { storeAway: true, unheard: 0 });
  t.type(console.direct.state().since, 'number');
  t.same(console.lost(), []);
  one.say({ news: 'alarm', alarm: early(4) });
  await until('the new one', () => console.numbers().length === 4);

  console.table.away = true;
  one.whole = null;
  one.cut();
  await until('its alarms are marked', () => console.lost().length === 3);
  t.equal(console.numbers().length, 4, 'and nobody is forgotten');
  t.match(console.direct.state(), { storeAway: true, unheard: 1 });
  t.same(await console.direct.claim(f1, kari, 5), { refused: 'intake-away' });

  one.whole = { news: 'whole', storeAway: true, alarms: [early(1)] };
  one.cut();
  await until('what it still holds is as before', () => !console.lost().includes(f1));
  t.equal(console.direct.state().unheard, 0);
  console.table.away = false;
  const claim = { by: 'kari', result: 'refused', code: 'taken-by-another' } as const;
  console.table.replayed.set(f2, { alarm: '42', claim });
  console.boards('42');
  await until('PostgreSQL says what became of another', () => !console.numbers().includes(f2));
  t.match(console.replayed(), [{ number: f2, alarm: '42', claim, was: { number: f2 } }], 'and of its claim');
  t.equal(console.direct.became(f2), '42');
  t.ok(console.lost().includes(early(4).number), 'what nobody knows stays');

  other.holds(false, early(3, { priority: 'technical' }));
  one.holds(false, early(1), early(2));
  await until('the database is back', () => !console.direct.storeAway());
  t.equal(console.direct.state().since, null);
  t.notOk(console.numbers().includes(f2), 'one that is done with does not come again');
});

await t.test('a long whole that is told in pieces frightens nobody', async (t) => {
  const clock = new MovableClock();
  const changes: DirectChange[] = [];
  const book = new DirectBook({ onBoard: () => false, tell: (change) => changes.push(change) });
  book.take('a', { news: 'whole', storeAway: true, alarms: [early(1), early(2), early(3)] }, clock.monotonic());
  book.take('a', { news: 'whole', storeAway: true, alarms: [early(1)] }, clock.monotonic());
  book.take('a', { news: 'alarm', alarm: early(2) }, clock.monotonic());
  const lost = (): string[] => book.lost();
  book.settle(clock.monotonic() + DOUBT_MS - 1);
  t.same(lost(), []);
  book.settle(clock.monotonic() + DOUBT_MS);
  t.same(lost(), [f3], 'what was not told again in time is not held there');
});

await t.test('an intake process that restarts under another name takes its alarms with it', async (t) => {
  const one = await intakeOf(t);
  one.whole = { news: 'whole', storeAway: true, alarms: [early(1)] };
  const console = startConsole(t, [one]);
  await until('told', () => console.numbers().length === 1);
  await one.stop();
  await until('lost', () => console.lost().length === 1);
  const again = await intakeOf(t);
  again.whole = { news: 'whole', storeAway: true, alarms: [early(1)] };
  console.table.nodes = [{ id: 'another', direct: again.direct, directSha256: null }];
  await until('found', () => console.lost().length === 0);
  again.say({ news: 'replayed', number: f1, alarm: null, claim: null });
  await until('replayed', () => console.numbers().length === 0);
  await until('and the old name is forgotten', () => console.direct.stats().unheard === 0);
  t.equal(console.direct.became(f1), null);
});

await t.test('a provisional alarm goes when its alarm is on the board, not before, and at the latest after 10 s', async (t) => {
  const changes: DirectChange[] = [];
  const board = new Set<string>();
  const book = new DirectBook({ onBoard: (alarm) => board.has(alarm), tell: (change) => changes.push(change) });
  book.take('a', { news: 'whole', storeAway: true, alarms: [early(1), early(2), early(3)] }, 0);
  const claim = { by: 'kari', result: 'refused', code: 'taken-by-another' } as const;
  book.take('a', { news: 'replayed', number: f1, alarm: '11', claim }, 100);
  book.take('a', { news: 'replayed', number: f2, alarm: '12', claim: null }, 100);
  book.take('a', { news: 'replayed', number: f3, alarm: null, claim: null }, 100);
  t.same(
    book.alarms().map(({ number }) => number),
    [f1, f2],
    'only the one that became none is gone',
  );
  t.equal(book.one(f1), null, 'but nobody can claim it any more');
  t.equal(book.became(f1), '11');
  book.take('a', { news: 'whole', storeAway: false, alarms: [early(1), early(2)] }, 200);
  t.equal(book.became(f1), '11', 'also when it is told again');
  board.add('11');
  book.settle(300);
  t.same(
    book.alarms().map(({ number }) => number),
    [f2],
  );
  t.match(changes.at(-1), { change: 'replayed', number: f1, alarm: '11', claim });
  book.settle(100 + BOARD_WAIT_MS - 1);
  t.same(
    book.alarms().map(({ number }) => number),
    [f2],
  );
  book.settle(100 + BOARD_WAIT_MS);
  t.same(book.alarms(), []);
  const told = changes.length;
  book.take('a', { news: 'replayed', number: f2, alarm: '12', claim: null }, 20_000);
  t.equal(changes.length, told, 'what is known is not told twice');
  book.take('a', { news: 'replayed', number: f2, alarm: '12', claim }, 20_000);
  t.match(changes.at(-1), { number: f2, was: null, claim }, 'but a claim is');
});

await t.test('on a running console the board decides it', async (t) => {
  const one = await intakeOf(t);
  one.whole = { news: 'whole', storeAway: true, alarms: [early(1)] };
  const console = startConsole(t, [one]);
  await until('told', () => console.numbers().length === 1);
  one.say({ news: 'replayed', number: f1, alarm: '7', claim: null });
  await until('heard', () => console.direct.became(f1) === '7');
  t.same(console.numbers(), [f1]);
  console.boards('7');
  t.same(console.numbers(), [f1], 'all others are told of the alarm first');
  await Promise.resolve();
  t.same(console.numbers(), []);
});

await t.test('claims: of two consoles one gets it, and each hears how it went', async (t) => {
  const one = await intakeOf(t);
  one.whole = { news: 'whole', storeAway: true, alarms: [early(1), early(2), early(3)] };
  const owners = new Map<string, string>();
  one.answer = ({ ask, claim: { number, account } }) => {
    if (number === f3) return { answer: ask, result: { refused: 'gone', alarm: '9' } };
    const by = owners.get(number) ?? account;
    owners.set(number, by);
    if (by !== account) return { answer: ask, result: { refused: 'taken-by-another', by } };
    const claimed = early(1, { claimedBy: account, claimedAt: '2026-11-22T22:00:09.000Z' });
    setImmediate(() => one.say({ news: 'alarm', alarm: claimed }));
    return { answer: ask, result: { claimed } };
  };
  const [a, b] = [startConsole(t, [one]), startConsole(t, [one])];
  await until('both know', () => a.numbers().length === 3 && b.numbers().length === 3);
  const answers = await Promise.all([a.direct.claim(f1, kari, 1000), b.direct.claim(f1, ola, 1001)]);
  const winner = owners.get(f1);
  t.equal(answers.filter((answer) => 'claimed' in answer).length, 1);
  t.same(
    answers.filter((answer) => 'refused' in answer),
    [{ refused: 'taken-by-another', by: winner }],
  );
  t.match(one.asked[0], { claim: { number: f1, roles: ['operator'] } });
  await until('both show whose it is', () => [a, b].every(({ direct }) => direct.one(f1)?.claimedBy === winner));
  t.equal(a.changes.filter((change) => change.change === 'alarm').length, 1, 'told once: the answer and its news are the same');

  t.same(await a.direct.claim(f3, kari, 2000), { refused: 'gone', alarm: '9' });
  t.equal(a.direct.became(f3), '9');
  t.same(await a.direct.claim(f3, kari, 2000), { refused: 'gone', alarm: '9' });
  await b.direct.claim(f1, kari, 2000);
  one.answer = ({ ask }) => ({ answer: ask, result: { refused: 'gone', alarm: '7' } });
  t.same(await b.direct.claim(f1, viewer('per'), 2000), { refused: 'gone', alarm: '7' });
  t.equal(b.direct.became(f1), undefined, 'whose claim it was is still to be told what became of that');
  t.same(await a.direct.claim('F-ZZZZZZZZ', kari, 2000), { refused: 'unknown-alarm' });
  one.answer = ({ ask }) => ({ failed: ask });
  t.same(await a.direct.claim(f2, kari, 3000), { refused: 'not-kept' });
  one.answer = () => {
    one.cut();
    return null;
  };
  t.same(await a.direct.claim(f2, kari, 4000), { refused: 'intake-away' }, 'the connection broke: nobody knows');
});

await t.test('an intake process that says nothing is lost after 5 s, and a claim is given up after 3 s', async (t) => {
  const clock = new MovableClock();
  const one = await intakeOf(t);
  one.whole = { news: 'whole', storeAway: true, alarms: [early(1)] };
  const console = startConsole(t, [one], { clock });
  await until('told', async () => {
    await clock.advance(50);
    return console.numbers().length === 1;
  });
  for (let n = 0; n < 4; n++) {
    await clock.advance(2000);
    one.say({ pulse: true });
    const lines = { pulses: console.direct.stats().connected };
    await until('the pulse is there', async () => new Promise((resolve) => setImmediate(() => resolve(lines.pulses === 1))));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.same(console.lost(), [], 'pulses keep it');
  const claiming = console.direct.claim(f1, kari, 1);
  await until('asked', () => one.asked.length === 1);
  await clock.advance(3000);
  t.same(await claiming, { refused: 'intake-away' });
  await clock.advance(2500);
  t.same(console.lost(), [f1]);
  await until('it is connected anew', async () => {
    await clock.advance(100);
    return console.lost().length === 0;
  });
});

await t.test('a wrong token gets nothing; the right one, as soon as it is right', async (t) => {
  const one = await intakeOf(t);
  one.knows = (token) => token === 'another';
  one.whole = { news: 'whole', storeAway: true, alarms: [early(1)] };
  const console = startConsole(t, [one]);
  await until('it keeps trying', () => one.connections >= 3);
  t.same(console.numbers(), []);
  t.match(console.direct.stats(), { connected: 0, unheard: 1 });
  one.knows = () => true;
  await until('it is let in', () => console.numbers().length === 1);
});

await t.test('what cannot be read may have been an alarm: all is told anew', async (t) => {
  const one = await intakeOf(t);
  const console = startConsole(t, [one]);
  await until('connected', () => console.direct.stats().connected === 1);
  one.say({ news: 'weather', rain: true });
  one.say({ news: 'alarm', alarm: early(1) });
  await until('a word that is not known does no harm', () => console.numbers().length === 1);
  t.equal(one.connections, 1);
  one.whole = { news: 'whole', storeAway: true, alarms: [early(1), early(2)] };
  one.sayRaw('{"news":"alarm","alarm":{"numb\n');
  await until('told anew', () => console.numbers().length === 2);
  t.equal(one.connections, 2);
  one.sayRaw('x'.repeat(LINE_LIMIT + 10));
  await until('an endless line ends the connection', () => one.connections === 3);
  one.whole = { news: 'alarm', alarm: early(3) };
  one.cut();
  await until('who does not begin with all that there is, is not believed', () => one.connections >= 5);
  t.notOk(console.numbers().includes(f3));
});

await t.test('the token goes only to the certificate that the table names', { skip: withoutOpenssl }, async (t) => {
  const [right, wrong] = [testCertificate('intake'), testCertificate('intake')];
  const one = await intakeOf(t, right);
  one.whole = { news: 'whole', storeAway: true, alarms: [early(1)] };
  const digest = (cert: string): string => new X509Certificate(cert).fingerprint256;
  const console = startConsole(t, [one], { sha256: digest(wrong.cert) });
  await until('it tries', () => one.connections >= 2);
  t.same(one.hellos, []);
  t.same(console.numbers(), []);
  console.table.nodes = [{ id: 'node-0', direct: one.direct, directSha256: digest(right.cert).replaceAll(':', '').toLowerCase() }];
  await until('a renewed certificate is taken as it is announced', () => console.numbers().length === 1);
  t.same(one.hellos, ['the secret']);
});

await t.test('memory has an end: beyond it technical alarms give way', async (t) => {
  const one = await intakeOf(t);
  const technical = { priority: 'technical', kind: 'mains-lost' } as const;
  one.whole = {
    news: 'whole',
    storeAway: true,
    alarms: [early(1, technical), early(2, technical), early(3, technical), early(4, technical)],
  };
  const console = startConsole(t, [one], { limit: 3 });
  await until('told', () => console.numbers().length === 3);
  one.say({ news: 'alarm', alarm: early(5) });
  await until('a call for help finds room', () => console.numbers().includes(early(5).number));
  t.equal(console.numbers().length, 3);
  t.equal(console.direct.stats().dropped, 2);
});

await t.test('who sees them, and what HTTP makes of their numbers', async (t) => {
  const technical = early(2, { priority: 'technical' });
  t.ok(seesProvisional(kari, early(1)));
  t.ok(seesProvisional(viewer('leder', ['supervisor'], '1103'), early(1)));
  t.notOk(seesProvisional(viewer('sola', ['operator'], '1124'), early(1)));
  t.notOk(seesProvisional(viewer('natt', ['responder']), early(1)));
  t.notOk(seesProvisional(viewer('teknisk', ['technician']), early(1)));
  t.ok(seesProvisional(viewer('teknisk', ['technician']), technical));
  t.ok(isProvisional('F-7K3M2QXD'));
  for (const number of ['1001', 'F-1', 'f-7k3m2qxd', "F-7K3M2QXD'"]) t.notOk(isProvisional(number), number);

  const one = await intakeOf(t);
  one.whole = { news: 'whole', storeAway: true, alarms: [early(1), technical, early(3)] };
  const { direct, table } = startConsole(t, [one]);
  await until('told', () => direct.alarms().length === 3);
  const clock = new RunningClock();
  const aliases = { replayed: async (numbers: readonly string[]) => known(table.replayed, numbers) };
  const parts = { direct, aliases, clock };
  t.match(provisionalFor(parts, kari, f1), { number: f1, lost: false });
  t.equal(provisionalFor(parts, viewer('sola', ['operator'], '1124'), f1), null);
  t.equal(provisionalFor({ clock }, kari, f1), null);
  t.equal(await numberOf(parts, '1001'), '1001');
  t.equal(await numberOf(parts, 'F-ZZZZZZZZ'), null);
  table.replayed.set('F-ZZZZZZZZ', { alarm: '1234', claim: null });
  t.equal(await numberOf(parts, 'F-ZZZZZZZZ'), '1234');
  t.equal(await claimProvisional(parts, viewer('sola', ['operator'], '1124'), f1, 'claim'), null, 'out of sight it does not exist');
  t.match(await claimProvisional(parts, kari, f1, 'close'), { status: 409, body: { code: 'still-provisional' } });
  t.match(await claimProvisional(parts, viewer('teknisk', ['technician']), f2, 'dispatch'), { status: 403, body: { code: 'not-allowed' } });
  one.answer = ({ ask, claim }) => ({
    answer: ask,
    result: { claimed: early(1, { claimedBy: claim.account, claimedAt: '2026-11-22T22:00:09.000Z' }) },
  });
  t.match(await claimProvisional(parts, kari, f1, 'claim'), {
    status: 200,
    body: { provisional: { number: f1, claimedBy: 'kari', lost: false } },
  });
  one.answer = ({ ask }) => ({ answer: ask, result: { refused: 'taken-by-another', by: 'kari' } });
  t.match(await claimProvisional(parts, ola, f1, 'claim'), { status: 409, body: { code: 'taken-by-another', by: 'kari' } });
  one.answer = ({ ask }) => ({ failed: ask });
  t.match(await claimProvisional(parts, ola, f1, 'claim'), { status: 503, body: { code: 'claim-not-kept' } });
  one.answer = ({ ask }) => ({ answer: ask, result: { refused: 'gone', alarm: '77' } });
  t.equal(await claimProvisional(parts, kari, f3, 'claim'), null);
  t.equal(await numberOf(parts, f3), '77', 'the claim goes on to the alarm that it became');
  await one.stop();
  await until('lost', () => direct.one(f1)?.lost === true);
  t.match(await claimProvisional(parts, ola, f1, 'claim'), { status: 503, body: { code: 'intake-away' } });
});

await t.test('what browsers are told', async (t) => {
  const one = await intakeOf(t);
  const other = early(2, { municipality: '1124' });
  one.whole = { news: 'whole', storeAway: true, alarms: [early(1, { claimedBy: 'kari', claimedAt: '2026-11-22T22:00:09.000Z' }), other] };
  const console = startConsole(t, [one]);
  const clock = new MovableClock();
  let alive = true;
  const listeners: HubListener[] = [];
  const hub: FeedHub = {
    replica: new Replica(),
    loaded: () => true,
    alive: () => alive,
    readAt: () => Date.UTC(2026, 10, 22, 21, 58, 0),
    feedId: () => 'epoch.1-0',
    listen: (listener) => void listeners.push(listener),
    since: async () => null,
    stats: () => ({ mode: 'feed', lagMs: 0, open: 0, repaired: 0, loads: 1 }),
    stop: async () => undefined,
  };
  const people: Record<string, Viewer> = {
    kari,
    ola,
    sola: viewer('sola', ['operator'], '1124'),
    time: viewer('time', ['operator'], '1121'),
    vogel: viewer('vogel', ['operator'], 'canary'),
    natt: viewer('natt', ['responder']),
    teknisk: viewer('teknisk', ['technician']),
  };
  const server = createServer();
  const sockets = attachSockets({
    server,
    hub,
    direct: console.direct,
    authenticate: async ({ headers }) => people[String(headers['x-account'])] ?? 401,
    clock,
    log: SILENT,
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const open: WebSocket[] = [];
  t.teardown(async () => {
    for (const socket of open) socket.terminate();
    await sockets.stop();
    server.close();
  });
  const sit = async (account: string) => {
    const messages: ServerMessage[] = [];
    const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}/ws`, { headers: { 'x-account': account } });
    open.push(socket);
    socket.on('message', (data: Buffer) => messages.push(JSON.parse(data.toString('utf8')) as ServerMessage));
    await once(socket, 'open');
    const of = <T extends ServerMessage['type']>(type: T) =>
      messages.filter((message): message is ServerMessage & { type: T } => message.type === type);
    await until('the snapshot', () => of('snapshot').length === 1);
    return { of, messages };
  };
  await until('told', () => console.numbers().length === 2);
  const seats = {
    kari: await sit('kari'),
    ola: await sit('ola'),
    time: await sit('time'),
    vogel: await sit('vogel'),
    sola: await sit('sola'),
    natt: await sit('natt'),
    teknisk: await sit('teknisk'),
  };
  await until('all of it, after the snapshot', () => seats.kari.of('provisional').length === 1);
  t.same(
    seats.kari.messages.map(({ type }) => type),
    ['snapshot', 'provisional'],
  );
  t.match(seats.kari.of('provisional')[0], {
    storeAway: true,
    unheard: 0,
    more: 0,
    alarms: [{ number: f1, lost: false, claimedBy: 'kari' }, { number: f2 }],
    names: { kari: 'Navn på kari' },
  });
  const solas = await until('sola’s', () => seats.sola.of('provisional')[0]);
  t.match(solas, { alarms: [{ number: f2 }] });
  t.strictSame(Object.keys(solas.names).toSorted(), ['kari', 'ola', 'sola'], 'of those who serve the municipality too, and no others');
  t.strictSame(Object.keys((await until('vogel’s', () => seats.vogel.of('provisional')[0])).names), ['vogel']);
  t.match(await until('teknisk’s', () => seats.teknisk.of('provisional')[0]), { storeAway: true, alarms: { length: 0 } });

  one.say({ news: 'alarm', alarm: early(3, { municipality: '1124', claimedBy: 'ola', claimedAt: '2026-11-22T22:00:10.000Z' }) });
  await until(
    'who serves the municipality',
    () => seats.sola.of('provisional-alarm').length === 1 && seats.ola.of('provisional-alarm').length === 1,
  );
  t.match(seats.sola.of('provisional-alarm')[0], { alarm: { number: f3 }, names: { ola: 'Navn på ola' } });
  const claim = { by: 'kari', result: 'refused', code: 'taken-by-another' };
  console.boards('50');
  one.say({ news: 'replayed', number: f1, alarm: '50', claim });
  t.match(await until('the owner hears of the claim', () => seats.kari.of('provisional-replayed')[0]), { number: f1, alarm: '50', claim });
  t.match(await until('others hear of the alarm', () => seats.ola.of('provisional-replayed')[0]), { number: f1, alarm: '50', claim: null });

  alive = false;
  await clock.advance(2000);
  t.match(await until('it says from when the board is', () => seats.ola.of('blind')[0]), { boardAt: '2026-11-22T21:58:00.000Z' });
  t.equal(seats.ola.of('pulse').length, 0);
  one.say({ news: 'alarm', alarm: early(4) });
  await until('and new alarms still come', () => seats.ola.of('provisional-alarm').some(({ alarm }) => alarm.number === early(4).number));
  const late = await sit('kari');
  await until('a page opened now hears both', () => late.of('provisional').length === 1);
  t.same(
    late.messages.map(({ type }) => type),
    ['snapshot', 'blind', 'provisional'],
  );
  alive = true;
  for (const listener of listeners) listener.replaced();
  await until('a new snapshot is followed by all of it', () => late.of('provisional').length === 2);
  t.same(
    seats.natt.messages.filter(({ type }) => type.startsWith('provisional')),
    [],
    'responders hear nothing of it',
  );
  t.equal(seats.sola.of('provisional-replayed').length, 0, 'nor do others of what they never saw');
});

await t.test('a console process that stands still is let go, and catches up when it goes on', { timeout: 120_000 }, async (t) => {
  const held = new Map<string, ProvisionalAlarm>();
  let tell: (news: DirectNews) => void = () => undefined;
  const stream = await startDirectStream({
    spill: {
      provisional: () => [...held.values()],
      storeAway: () => true,
      claim: async () => ({ refused: 'unknown-alarm' }),
      listen: (listener) => {
        tell = listener;
        return () => undefined;
      },
    },
    token: 'the secret',
    bind: '127.0.0.1',
    port: 0,
    tls: null,
    clock: new RunningClock(),
    log: SILENT,
  });
  t.teardown(() => stream.stop());
  const press = (n: number, text: string): void => {
    const alarm = early(n, { text });
    held.set(alarm.number, alarm);
    tell({ news: 'alarm', alarm });
  };
  press(1, 'before');
  const file = new URL('direct-process.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, ['--import=tsx', file, `127.0.0.1:${stream.port}`, 'the secret'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (said += piece));
  const now = (): { connected: number; held: number; lost: number } | null => {
    const lines = said.trim().split('\n');
    try {
      return JSON.parse(lines.at(-1) ?? '') as { connected: number; held: number; lost: number };
    } catch {
      return null;
    }
  };
  await until('it holds the first', () => now()?.held === 1, 60_000);
  child.kill('SIGSTOP');
  let count = 1;
  await until(
    'the server lets it go',
    () => {
      // More than it may have outstanding, and more than the kernel keeps for it.
      for (let n = 0; n < 100; n++) press((count += 1), 'x'.repeat(2000));
      return stream.counts().ended === 1;
    },
    30_000,
  );
  t.ok(count < 19_000, 'before anything grows without end');
  child.kill('SIGCONT');
  await until('it has everything, and nothing is lost', () => now()?.held === count && now()?.connected === 1 && now()?.lost === 0, 60_000);
  t.equal(stream.counts().refused, 0);
});
