/** The way from the outbox to a console process: order, epochs, gaps, Redis away; and what is read of the board beside it. */
import process from 'node:process';
import t from 'tap';
import type { AlarmView } from '../../src/alarms/view.ts';
import { CentreError } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import {
  type AlarmSource,
  type FeedEntry,
  type FeedPosition,
  type FeedSource,
  compareIds,
  feedIdOf,
} from '../../src/console/feed-source.ts';
import { type HubChange, startFeedHub } from '../../src/console/feed-hub.ts';
import { createAlarmSource } from '../../src/store/alarm-views.ts';
import { createFeedSource, createFeedWriter } from '../../src/store/feed.ts';
import { createPresence } from '../../src/store/presence.ts';
import { openRedis } from '../../src/store/redis.ts';
import { startRelay } from '../../src/store/relay.ts';
import { viewOf } from '../../src/alarms/view.ts';
import { KARI, openedBy, signal } from '../support/alarms.ts';
import { startFeedPath } from '../support/feed-path.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const stores = await startStores();
t.teardown(() => stores.stop());
const outboxRows = async (): Promise<number> => (await stores.postgres.pool.query('select 1 from outbox')).rows.length;
const flushAll = async (): Promise<void> => {
  const redis = openRedis(stores.redisServer.url, SILENT, systemRandom);
  await until('Redis connected', () => redis.connected());
  await redis.quick.flushall();
  await redis.stop();
};

/** Everything that can be read from a place on, until nothing more comes. */
async function readAll(source: FeedSource, from: FeedPosition): Promise<FeedEntry[]> {
  const all: FeedEntry[] = [];
  for (let position = from; ;) {
    const read = await source.read(position);
    if ('lost' in read) throw new Error(`lost: ${read.lost}`);
    if (read.entries.length === 0) return all;
    all.push(...read.entries);
    position = { ...position, id: read.last };
  }
}

const claim = (path: ReturnType<typeof startFeedPath>, number: string, command: 'claim' | 'release') =>
  path.desk.order({ number, command: { command }, actor: KARI, version: null, doneAt: null, key: null });

await t.test('each change reaches the feed, one alarm in the order of its versions, and the outbox is left empty', async (t) => {
  const path = startFeedPath(stores);
  t.teardown(() => path.stop());
  // A reader of its own: the hub blocks on the other.
  const source = createFeedSource({ redis: path.redis, random: systemRandom, log: SILENT });
  const from = await until('the feed is open', () => source.open().catch(() => null));
  const numbers = await Promise.all(Array.from({ length: 20 }, (_, n) => path.press(`order-${n}`)));
  for (let round = 0; round < 3; round++) {
    await Promise.all(numbers.map((number) => claim(path, number, 'claim')));
    await Promise.all(numbers.map((number) => claim(path, number, 'release')));
  }
  await until('the outbox is empty', async () => (await outboxRows()) === 0);
  const entries = await readAll(source, from);
  for (const number of numbers) {
    const versions = entries.filter(({ view }) => view.number === number).map(({ view }) => view.version);
    t.same(
      versions,
      versions.toSorted((a, b) => a - b),
      'never an older version behind a newer one',
    );
    t.equal(versions.at(-1), 7, 'the last is the newest');
  }
  await until('the hub has them all', () => numbers.every((number) => path.hub.replica.version(number) === 7));
  t.equal(path.hub.stats().mode, 'feed');
  t.equal(path.hub.stats().repaired, 0, 'nothing had to be found in PostgreSQL');
});

await t.test('the relay waits for a Redis that is away, and publishes what is newest then', async (t) => {
  await stores.empty();
  const path = startFeedPath(stores, { relaying: false });
  t.teardown(() => path.stop());
  const number = await path.press('relay-waits');
  let refuse = true;
  const published: AlarmView[][] = [];
  const told: string[] = [];
  const feed = {
    publish: async (views: readonly AlarmView[]) => {
      if (refuse) throw new CentreError('store-away', 'Redis is away.');
      published.push([...views]);
    },
  };
  const relay = startRelay({
    pg: stores.postgres,
    feed,
    clock: path.clock,
    log: SILENT,
    alsoRelay: async (views) => {
      told.push(...views.map((view) => view.number));
      throw new Error('a hook that fails holds nothing up');
    },
  });
  await until('it was tried again and again', () => relay.stats().failures >= 3);
  t.ok(relay.stats().outboxAgeMs > 0, 'how long the oldest row waits is known');
  await claim(path, number, 'claim');
  t.equal(await outboxRows(), 2);
  refuse = false;
  await until('the outbox is empty', async () => (await outboxRows()) === 0);
  t.same(
    published.map((views) => views.map((view) => view.version)),
    [[2]],
    'once, in the version that it has now',
  );
  t.same(told, [number]);
  await relay.stop();
});

await t.test('a call for help goes out before hundreds of technical alarms that came earlier', async (t) => {
  await stores.empty();
  const path = startFeedPath(stores, { relaying: false });
  t.teardown(() => path.stop());
  const technical = { role: 'technical', kind: 'battery-low', priority: 'technical' } as const;
  await Promise.all(Array.from({ length: 600 }, (_, n) => path.press(`flat-${n}`, { meaning: technical })));
  const life = await path.press('fell', { meaning: { kind: 'fall', priority: 'life' } });
  const published: string[] = [];
  const feed = { publish: async (views: readonly AlarmView[]) => void published.push(...views.map(({ number }) => number)) };
  const relay = startRelay({ pg: stores.postgres, feed, clock: path.clock, log: SILENT });
  await until('the outbox is empty', async () => (await outboxRows()) === 0);
  await relay.stop();
  t.equal(published[0], life, 'the last that came is the first that goes');
  t.equal(published.length, 601);
});

await t.test('an alarm whose row cannot be shown holds up no other', async (t) => {
  await stores.empty();
  const lines: string[] = [];
  const log = createLog('warn', { write: (line) => lines.push(line) });
  const path = startFeedPath(stores, { relaying: false, log });
  t.teardown(() => path.stop());
  const poisoned = await path.press('poisoned');
  const number = await path.press('beside');
  await stores.postgres.pool.query(`update alarm set fold = '{}' where number = $1`, [poisoned]);
  const relay = startRelay({ pg: stores.postgres, feed: path.writer, clock: path.clock, log });
  t.teardown(() => relay.stop());
  await until('the other came through', () => path.hub.replica.version(number) === 1);
  await until('the outbox is empty', async () => (await outboxRows()) === 0);
  t.match(lines.join(''), /alarm-not-shown/);
});

await t.test('thousands of changes a second go through', async (t) => {
  await stores.empty();
  const path = startFeedPath(stores, { relaying: false });
  t.teardown(() => path.stop());
  await until('the hub reads', () => path.hub.alive());
  const count = 5000;
  const fold = openedBy(signal());
  await stores.postgres.pool.query(
    `insert into alarm (number, version, municipality, joining_key, lane, lane_key, device, kind, priority, priority_rank, state, opened_at, changed_at, fold)
     select n, 1, '1103', 'many:' || n, 'need', '', 'd', 'fall', 'life', 0, 'waiting', $2, $2, jsonb_set($3::jsonb, '{number}', to_jsonb(n::text))
     from generate_series(500001, 500000 + $1) n`,
    [count, new Date(0), JSON.stringify(fold)],
  );
  await stores.postgres.pool.query('insert into outbox (alarm, version, created_at) select number, 1, $1 from alarm', [new Date()]);
  const startedAt = performance.now();
  const relay = startRelay({ pg: stores.postgres, feed: path.writer, clock: path.clock, log: SILENT });
  t.teardown(() => relay.stop());
  await until('all arrived', () => path.hub.replica.size === count);
  const perSecond = Math.round(count / ((performance.now() - startedAt) / 1000));
  t.comment(`${perSecond} alarms/s from the outbox to the hub`);
  t.ok(perSecond > 1000);
});

await t.test('FLUSHALL: another epoch, and everything is read anew within 2 s', async (t) => {
  await stores.empty();
  const path = startFeedPath(stores);
  t.teardown(() => path.stop());
  const number = await path.press('flush');
  await until('it came over the feed', () => path.hub.replica.version(number) === 1);
  await until('the feed is read', () => path.hub.stats().mode === 'feed');
  const before = path.hub.feedId();
  let replaced = 0;
  path.hub.listen({ changed: () => undefined, replaced: () => (replaced += 1) });
  await flushAll();
  await until('everybody gets a snapshot', () => replaced === 1, 2000);
  t.not(path.hub.feedId().split('.')[0], before.split('.')[0], 'another epoch');
  t.equal(await path.hub.since(before), null, 'nobody can resume over it');
  t.equal(path.hub.replica.version(number), 1, 'nothing is missing');
  await claim(path, number, 'claim');
  await until('the new feed works', () => path.hub.replica.version(number) === 2, 2000);
  t.equal(path.hub.stats().repaired, 0);
});

await t.test('a flush right behind a publication, before anybody read it, loses nothing', async (t) => {
  await stores.empty();
  const path = startFeedPath(stores);
  t.teardown(() => path.stop());
  await until('the hub reads', () => path.hub.alive());
  for (let round = 0; round < 3; round++) {
    const numbers = await Promise.all(Array.from({ length: 5 }, (_, n) => path.press(`flushed-${round}-${n}`)));
    await flushAll();
    await until('all are there', () => numbers.every((number) => path.hub.replica.version(number) === 1), 5000);
  }
});

for (const away of ['stopped with SIGSTOP', 'killed'] as const) {
  await t.test(`Redis ${away}: changes come from PostgreSQL, then over the feed again`, async (t) => {
    await stores.empty();
    const path = startFeedPath(stores);
    t.teardown(() => path.stop());
    const number = await path.press('away');
    await until('it came over the feed', () => path.hub.replica.version(number) === 1);
    await until('the feed is read', () => path.hub.stats().mode === 'feed');
    const epoch = path.hub.feedId().split('.')[0];
    const changes: HubChange[] = [];
    path.hub.listen({ changed: (change) => changes.push(change), replaced: () => undefined });
    const pid = stores.redisServer.pid() ?? 0;
    process.kill(pid, away === 'killed' ? 'SIGKILL' : 'SIGSTOP');
    const closed = await path.press('away-2');
    const startedAt = performance.now();
    await claim(path, number, 'claim');
    await until('both changes are seen', () => path.hub.replica.version(number) === 2 && path.hub.replica.version(closed) === 1, 5000);
    t.comment(`${away}: seen after ${Math.round(performance.now() - startedAt)} ms`);
    if (away === 'killed') {
      await until('Redis runs again', () => stores.redisServer.pid() !== pid && stores.redisServer.pid() !== null);
    } else {
      t.ok(path.hub.alive(), 'PostgreSQL is read in the place of the feed');
      await until('it says so', () => path.hub.stats().mode === 'fallback', 5000);
      t.ok((await outboxRows()) > 0, 'the rows wait');
      await claim(path, number, 'release');
      await until('the next change is seen too', () => path.hub.replica.version(number) === 3, 5000);
      process.kill(pid, 'SIGCONT');
    }
    await until('the feed is read again', () => path.hub.stats().mode === 'feed');
    await until('the outbox is empty', async () => (await outboxRows()) === 0);
    const last = await path.press('back');
    await until('a change comes over the feed', () => path.hub.replica.version(last) === 1, 2000);
    t.equal(path.hub.feedId().split('.')[0] === epoch, away !== 'killed', 'the epoch is another exactly when Redis began anew');
    const seen = changes.map(({ after }) => `${after.number}/${after.version}`);
    t.equal(seen.length, new Set(seen).size, 'no version twice');
  });
}

await t.test('Redis away at the start: the board is there from PostgreSQL, then from the feed', async (t) => {
  await stores.empty();
  const writing = startFeedPath(stores);
  const number = await writing.press('early');
  await until('the outbox is empty', async () => (await outboxRows()) === 0);
  await writing.stop();
  const pid = stores.redisServer.pid() ?? 0;
  process.kill(pid, 'SIGSTOP');
  const path = startFeedPath(stores);
  t.teardown(() => path.stop());
  await until('it is shown', () => path.hub.replica.version(number) === 1, 5000);
  t.equal(await path.hub.since(path.hub.feedId()), null);
  process.kill(pid, 'SIGCONT');
  await until('the feed is read', () => path.hub.stats().mode === 'feed');
});

await t.test('while neither Redis nor PostgreSQL answers the hub says that it is blind', async (t) => {
  await stores.empty();
  const path = startFeedPath(stores);
  t.teardown(() => path.stop());
  const real = createAlarmSource({ pg: stores.postgres, log: SILENT });
  let away = false;
  const unless = async <T>(answer: Promise<T>): Promise<T> => {
    const given = await answer;
    if (away) throw new CentreError('store-away', 'PostgreSQL is away.');
    return given;
  };
  const alarms: AlarmSource = {
    all: (since) => unless(real.all(since)),
    versions: (since, till) => unless(real.versions(since, till)),
    these: (numbers) => unless(real.these(numbers)),
  };
  const source = createFeedSource({ redis: path.redis, random: systemRandom, log: SILENT });
  const hub = startFeedHub({ source, alarms, clock: path.clock, log: SILENT });
  t.teardown(() => hub.stop());
  await until('the feed is read', () => hub.stats().mode === 'feed');
  const pid = stores.redisServer.pid() ?? 0;
  away = true;
  process.kill(pid, 'SIGSTOP');
  await until('blind', () => !hub.alive() && hub.stats().mode === 'blind', 5000);
  const number = await path.press('unseen');
  away = false;
  await until('PostgreSQL is read', () => hub.alive() && hub.replica.version(number) === 1, 5000);
  process.kill(pid, 'SIGCONT');
  await until('the feed is read', () => hub.stats().mode === 'feed');
});

await t.test('a change that nobody relays is found behind the feed', async (t) => {
  await stores.empty();
  const path = startFeedPath(stores, { relaying: false });
  t.teardown(() => path.stop());
  await until('the feed is read', () => path.hub.stats().mode === 'feed');
  const number = await path.press('unrelayed');
  await until('it is found', () => path.hub.replica.version(number) === 1, 5000);
  t.equal(path.hub.stats().mode, 'feed');
  t.ok(path.hub.stats().repaired >= 1);
});

await t.test('a reader that was overtaken by the trimming is told of the gap', async (t) => {
  await flushAll();
  const redis = openRedis(stores.redisServer.url, SILENT, systemRandom);
  t.teardown(() => redis.stop());
  const writer = createFeedWriter({ redis, random: systemRandom, kept: 10 });
  const source = createFeedSource({ redis, random: systemRandom, log: SILENT });
  const from = await until('open', () => source.open().catch(() => null));
  const views = Array.from({ length: 1000 }, () => viewOf(openedBy(signal())));
  await writer.publish(views.slice(0, 3));
  const few = await source.read(from);
  t.equal('entries' in few && few.entries.length, 3);
  t.equal((await source.between(feedIdOf(from), { ...from, id: 'last' in few ? few.last : '' }, 100))?.length, 3);
  t.equal(await source.between(feedIdOf(from), { ...from, id: 'last' in few ? few.last : '' }, 2), null, 'more than was asked for');
  await writer.publish(views);
  t.same(await source.read(from), { lost: 'gap' });
  const now = await source.open();
  t.equal(await source.between(feedIdOf(from), now, 5000), null, 'older than the first kept entry');
  for (const garbage of [
    '',
    'x',
    '.',
    `${now.epoch}.`,
    `${now.epoch}.x`,
    `${now.epoch}.9-9-9`,
    `${now.epoch}.99999999999999999-0`,
    `other.${now.id}`,
    '\u0000',
    now.id,
  ]) {
    t.equal(await source.between(garbage, now, 5000), null, JSON.stringify(garbage));
  }
  t.same(await source.between(feedIdOf(now), now, 5000), [], 'nothing was missed');
});

await t.test('stream ids are compared as numbers', async (t) => {
  t.ok(compareIds('9-0', '10-0') < 0);
  t.ok(compareIds('1700000000000-9', '1700000000000-10') < 0);
  t.equal(compareIds('1-1', '1-1'), 0);
  t.ok(compareIds('2-0', '1-99') > 0);
});

await t.test('presence lasts as long as it is renewed, and is an error while nobody can know', async (t) => {
  const redis = openRedis(stores.redisServer.url, SILENT, systemRandom);
  t.teardown(() => redis.stop());
  await until('connected', () => redis.connected());
  const presence = createPresence(redis);
  t.equal(await presence.isPresent('natt'), false);
  await presence.renew(['natt', 'natt2']);
  t.equal(await presence.isPresent('natt'), true);
  const left = await redis.quick.pttl('presence:natt');
  t.ok(left > 9000 && left <= 10_000);
  const nowhere = openRedis('redis://127.0.0.1:1', SILENT, systemRandom);
  await t.rejects(createPresence(nowhere).isPresent('natt'), { code: 'store-away' });
  await nowhere.stop();
});
