/** The auditor on real stores: each fault that is planted behind the centre's back is found, mended and told; nothing else is. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Redis } from 'ioredis';
import t from 'tap';
import { CHANNELS } from '../../src/alarms/command.ts';
import type { Instant } from '../../src/base/clock.ts';
import { RunningClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { configurationOf } from '../../src/app/configuration.ts';
import { startCentreAuditor } from '../../src/app/watch-auditor.ts';
import { openRedis } from '../../src/store/redis.ts';
import { createWatchReports } from '../../src/store/watch-reports.ts';
import { EXAMINE, createAuditStore } from '../../src/store/audit.ts';
import { startSweep } from '../../src/escalation/sweep.ts';
import { type Postgres, openPostgres } from '../../src/store/postgres.ts';
import { createDeadlines } from '../../src/store/deadlines.ts';
import { planRung } from '../../src/escalation/plan.ts';
import { createFeedWriter } from '../../src/store/feed.ts';
import { startRelay } from '../../src/store/relay.ts';
import { createHeldStore } from '../../src/store/held.ts';
import { overdueIn } from '../../src/watch/auditor-checks.ts';
import { createFindings } from '../../src/watch/auditor-findings.ts';
import { LONGEST_EXAMINED, verdictOn } from '../../src/watch/auditor-verdict.ts';
import { createWalk } from '../../src/watch/auditor-walk.ts';
import { signal } from '../support/alarms.ts';
import { CONFIG, escalating } from '../support/escalating.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const stores = await startStores();
const { postgres } = stores;
const redis = openRedis(stores.redisServer.url, SILENT, systemRandom);
const plain = new Redis(stores.redisServer.url);
t.teardown(async () => {
  plain.disconnect();
  await redis.stop();
  await stores.stop();
});
const clock = new RunningClock();
const scene = escalating(postgres, clock);
const { desk, duty, escalation } = scene;
const press: typeof scene.press = (...given) => scene.press(...given);
const people = () => scene.people();
await people();

interface Line {
  readonly level: string;
  readonly event: string;
  readonly code?: string;
  readonly alarm?: string;
  readonly lateMs?: number;
}

/** A watch of its own, with what it says; nothing else of a centre runs beside it. */
function watching(
  test: { teardown(undo: () => Promise<void>): unknown },
  over: Postgres = postgres,
): {
  lines: Line[];
  said(event: string): string[];
  stop(): Promise<void>;
} {
  const lines: Line[] = [];
  const log = createLog('debug', { write: (line) => void lines.push(JSON.parse(line) as Line) });
  const configuration = configurationOf(CONFIG);
  const reports = createWatchReports(over);
  const auditor = startCentreAuditor({ configuration, stores: { postgres: over, redis }, reports, clock, random: systemRandom, log });
  test.teardown(() => auditor.stop());
  return {
    lines,
    said: (event) => lines.filter((line) => line.event === event).map(({ code, alarm }) => `${code ?? ''} ${alarm ?? ''}`.trim()),
    stop: () => auditor.stop(),
  };
}

/** A socket in front of PostgreSQL that can be taken away. */
async function proxyOf(url: string): Promise<{ url: string; cut(): Promise<void>; back(): Promise<void>; stop(): Promise<void> }> {
  const folder = new URL(url.replace('@/', '@h/')).searchParams.get('host') ?? '';
  const front = mkdtempSync(path.join(tmpdir(), 'watch-'));
  const open = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(path.join(folder, '.s.PGSQL.5432'));
    for (const one of [client, upstream]) {
      open.add(one);
      one
        .on('error', () => undefined)
        .on('close', () => {
          open.delete(one);
          client.destroy();
          upstream.destroy();
        });
    }
    client.pipe(upstream).pipe(client);
  });
  const listen = () => new Promise<void>((resolve) => server.listen(path.join(front, '.s.PGSQL.5432'), resolve));
  const cut = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const one of open) one.destroy();
    });
  await listen();
  return {
    url: url.replace(encodeURIComponent(folder), encodeURIComponent(front)),
    cut,
    back: listen,
    async stop() {
      await cut();
      rmSync(front, { recursive: true });
    },
  };
}

const sql = async <R extends object>(text: string, values: unknown[] = []): Promise<R[]> =>
  (await postgres.pool.query<R>(text, values)).rows;
const eventsOf = async (number: string): Promise<string[]> => {
  const text = `select event->>'event' || coalesce(' ' || (event->>'what'), '') || ' by ' || coalesce(actor->>'part', actor->>'account') as told
    from timeline where alarm = $1 order by version`;
  return (await sql<{ told: string }>(text, [number])).map(({ told }) => told);
};
const audited = async (): Promise<{ at: Instant; fine: boolean; detail: Record<string, unknown> } | undefined> =>
  (await createWatchReports(postgres).read()).find(({ name }) => name === 'audit');
const examined = async (number: string) => (await createAuditStore(postgres).examine([number]))[0]!;

/** Waits for the first report: from then on the auditor is looking. */
const looking = (since: Instant) => until('the auditor looks', async () => ((await audited())?.at ?? 0) >= since);

/** Found in two or three looks, one a second; others load this machine too. */
const PROMISED_MS = 8000;

await t.test('each fault is found within seconds and mended, and the timeline says so', async (t) => {
  await stores.empty();
  await people();
  const began = clock.now();
  const watch = watching(t);
  await looking(began);
  const number = async (household: string) => press(household);
  const mended = async (what: string, planted: string, finding: string) => {
    const at = performance.now();
    await sql(planted);
    await until(`${what}: mended`, async () => watch.said('audit-mended').includes(finding));
    const tookMs = performance.now() - at;
    t.ok(tookMs < PROMISED_MS, `${what}: within ${Math.round(tookMs)} ms`);
    t.same(
      watch.said('audit-finding').filter((said) => said === finding),
      [finding],
      `${what}: said once`,
    );
  };

  const forgotten = await number('no-deadline');
  await mended(
    'no deadline',
    `update alarm set deadline_at = null, deadline_what = null where number = ${forgotten}`,
    `no-deadline ${forgotten}`,
  );
  t.match(await eventsOf(forgotten), ['opened by intake', 'repaired no-deadline by auditor']);
  t.equal(verdictOn(await examined(forgotten)).verdict, 'agrees');

  const emptied = await number('no-waits');
  await mended(
    'nothing is awaited',
    `update timeline set arms = '{}' where alarm = ${emptied}; update alarm set deadline_at = null, deadline_what = null, fold = jsonb_set(fold::jsonb, '{waits}', '{}') where number = ${emptied}`,
    `no-deadline ${emptied}`,
  );
  t.match((await sql<{ deadline_what: string }>('select deadline_what from alarm where number = $1', [emptied]))[0], {
    deadline_what: 'unclaimed',
  });

  const late = await number('late');
  await mended(
    'deadline overdue',
    `with past as (select (extract(epoch from now() - interval '5 min') * 1000)::bigint as at)
     , t as (update timeline set arms = jsonb_set(arms::jsonb, '{unclaimed}', to_jsonb((select at from past))) where alarm = ${late})
     update alarm set deadline_at = to_timestamp((select at from past) / 1000.0),
       fold = jsonb_set(fold::jsonb, '{waits,unclaimed}', to_jsonb((select at from past))) where number = ${late}`,
    `deadline-overdue ${late}`,
  );
  t.match((await eventsOf(late))[1], 'deadline-passed unclaimed by auditor');
  t.match((await eventsOf(late))[2], /^(told|dispatched|nobody-on-duty)/, 'the ladder was climbed, by those on duty');

  const claimed = await number('claimed');
  await desk.order({
    number: claimed,
    command: { command: 'claim' },
    actor: { type: 'person', account: 'operator2', roles: ['operator'] },
    version: null,
    doneAt: null,
    key: null,
  });
  await sql(`update claim_lease set until = now() + interval '1 min' where alarm = ${claimed}`);
  await until('the auditor has looked long enough', async () => clock.now() - began > 10_500, 20_000);
  await mended(
    'an abandoned claim',
    `update claim_lease set until = now() - interval '1 h' where alarm = ${claimed}`,
    `claim-abandoned ${claimed}`,
  );
  t.match((await eventsOf(claimed)).at(-1), 'claim-interrupted by auditor');

  const changed = await number('changed');
  await mended(
    'a row that says something else',
    `update alarm set priority = 'technical', priority_rank = 3 where number = ${changed}`,
    `row-differs ${changed}`,
  );
  t.match((await sql('select priority, priority_rank from alarm where number = $1', [changed]))[0], {
    priority: 'life',
    priority_rank: 0,
  });
  t.match((await eventsOf(changed)).at(-1), 'repaired row-differs by auditor');

  const lost = await number('lost-claim');
  await mended(
    'a fold that says something else',
    `update alarm set fold = jsonb_set(fold::jsonb, '{contact}', '{"by":"operator","at":1,"how":"voice"}') where number = ${lost}`,
    `row-differs ${lost}`,
  );
  t.same((await sql<{ contact: unknown }>(`select fold->'contact' as contact from alarm where number = $1`, [lost]))[0]?.contact, null);

  const moved = await number('moved');
  await mended('another municipality', `update alarm set municipality = '1124' where number = ${moved}`, `row-differs ${moved}`);
  t.match((await sql('select municipality from alarm where number = $1', [moved]))[0], { municipality: '1103' });

  const hidden = await number('hidden');
  await sql(
    `update alarm set closed_at = now(), state = 'closed', fold = jsonb_set(fold::jsonb, '{closed}', '{"at":1,"by":"x","outcome":"other"}') where number = ${hidden}`,
  );
  const second = await press('hidden');
  t.not(second, hidden, 'with the first taken for closed, the next signal opened another');
  await until(
    'the hidden one is open again',
    async () => (await sql('select 1 from alarm where number = $1 and closed_at is null', [hidden])).length === 1,
  );
  t.equal((await sql(`select 1 from alarm where joining_key = 'household:hidden' and closed_at is null`)).length, 2, 'both stand open');
  t.equal(await press('hidden'), second, 'and what comes next joins the later one');

  const relayed = () => watch.said('audit-mended').filter((said) => said === 'outbox-old').length;
  const before = relayed();
  await press('outbox');
  await sql(`update outbox set created_at = now() - interval '1 min'`);
  await until('the outbox: published', () => relayed() > before);
  t.ok((await plain.xlen('feed')) > 1, 'it was published');
  t.equal((await sql('select 1 from outbox')).length, 0);

  const unproven = signal({}, { marks: ['unauthenticated'], household: { id: 'held', name: 'Åse Ødegård', zone: '' } });
  await createHeldStore(postgres).hold([unproven], clock.now(), clock.now(), { perSource: 10, inAll: 10 });
  await mended('what is held', `update held_signal set due_at = now() - interval '1 min'`, 'held-overdue');
  t.equal((await sql(`select 1 from alarm where joining_key = 'household:held'`)).length, 1, 'it is an alarm now');

  const report = await audited();
  t.equal(report?.fine, false, 'the report says for a minute that there was something');
  t.match(report?.detail, { found: { 'no-deadline': 2, 'deadline-overdue': 1 }, mended: { 'row-differs': 4 }, persons: [] });
  t.notMatch(JSON.stringify(report), /Ødegård/);
});

await t.test('what only a person can put right is said once, and left alone', async (t) => {
  await stores.empty();
  await people();
  const began = clock.now();
  const watch = watching(t);
  await looking(began);
  const holed = await press('holed');
  await desk.order({
    number: holed,
    command: { command: 'note', text: 'x' },
    actor: { type: 'person', account: 'leder', roles: ['operator'] },
    version: null,
    doneAt: null,
    key: null,
  });
  const short = await press('short');
  await desk.order({
    number: short,
    command: { command: 'note', text: 'x' },
    actor: { type: 'person', account: 'leder', roles: ['operator'] },
    version: null,
    doneAt: null,
    key: null,
  });
  await sql(`update timeline set version = 9 where alarm = $1 and version = 2`, [holed]);
  await sql(`delete from timeline where alarm = $1 and version = 2`, [short]);
  const ask = '00000000-0000-7000-8000-00000000aaaa';
  await sql(
    `insert into ask (id, alarm, account, channel, priority_rank, state, due_at, try_at, created_at)
     values ($1, $2, 'natt', $3, 0, 'pending', now() - interval '1 min', now() - interval '1 min', now())`,
    [ask, short, CHANNELS[0]],
  );
  await until('all are said', async () => watch.said('audit-needs-person').length === 3, 15_000);
  t.same(watch.said('audit-needs-person').toSorted(), ['ask-overdue', `timeline-broken ${holed}`, `timeline-broken ${short}`].toSorted());
  const versions = await sql('select version from timeline where alarm = $1 order by version', [holed]);
  const seen = (await audited())?.at ?? 0;
  await until('two more looks', async () => ((await audited())?.at ?? 0) > seen + 1900);
  t.equal(watch.said('audit-finding').filter((said) => said !== 'outbox-old').length, 3, 'each is said once');
  t.same(await sql('select version from timeline where alarm = $1 order by version', [holed]), versions, 'nothing was written');
  t.match((await audited())?.detail, { open: { 'timeline-broken': 2, 'ask-overdue': 1 }, persons: { length: 3 } });
});

await t.test('a row that differs again and again is mended three times, then left to a person', async (t) => {
  await stores.empty();
  await people();
  const began = clock.now();
  const watch = watching(t);
  await looking(began);
  const number = await press('again');
  const rows = () => watch.said('audit-mended').filter((said) => said === `row-differs ${number}`);
  for (let n = 1; n <= 3; n++) {
    await sql(`update alarm set priority_rank = 3 where number = $1`, [number]);
    await until(`mended ${n} times`, () => rows().length === n);
  }
  await sql(`update alarm set priority_rank = 3 where number = $1`, [number]);
  await until('a person is called', () => watch.said('audit-needs-person').length === 1);
  const seen = (await audited())?.at ?? 0;
  await until('three more looks', async () => ((await audited())?.at ?? 0) > seen + 2900);
  t.equal(rows().length, 3);
  t.equal((await eventsOf(number)).filter((told) => told.startsWith('repaired')).length, 3);
});

await t.test('two auditors mend once', async (t) => {
  await stores.empty();
  await people();
  const began = clock.now();
  const [one, two] = [watching(t), watching(t)];
  await looking(began);
  const numbers: string[] = [];
  for (let n = 0; n < 20; n++) numbers.push(await press(`twice-${n}`));
  await sql(`update alarm set deadline_at = null where number = any($1::bigint[])`, [numbers]);
  await until('all have a deadline', async () => (await sql('select 1 from alarm where deadline_at is null')).length === 0);
  const repaired = await sql<{ n: string }>(`select count(*)::text as n from timeline where event->>'event' = 'repaired'`);
  t.equal(repaired[0]?.n, '20');
  const done = [...one.said('audit-mended'), ...two.said('audit-mended')].filter((said) => said.startsWith('no-deadline'));
  t.equal(done.length, 20, 'of two the second does nothing');
});

await t.test('a healthy centre under load gives no finding', async (t) => {
  await stores.empty();
  await people();
  const began = clock.now();
  const watch = watching(t);
  const relay = startRelay({ pg: postgres, feed: createFeedWriter({ redis, random: systemRandom }), clock, log: SILENT });
  const sweep = startSweep({
    deadlines: createDeadlines(postgres),
    desk,
    plan: async () => {
      const roll = await duty.roll();
      return (alarm) => planRung(escalation, alarm, roll);
    },
    clock,
    log: SILENT,
  });
  await looking(began);
  const kari = { type: 'person', account: 'operator2', roles: ['operator'] } as const;
  const order = (number: string, command: Parameters<typeof desk.order>[0]['command']) =>
    desk.order({ number, command, actor: kari, version: null, doneAt: null, key: null });
  let handled = 0;
  const end = performance.now() + 5000;
  await Promise.all(
    Array.from({ length: 8 }, async (_one, worker) => {
      for (let n = 0; performance.now() < end; n++) {
        const number = await press(`load-${worker}-${n % 5}`, {
          meaning: n % 3 === 0 ? { kind: 'fall', position: { lat: 58.97, lon: 5.73 } } : {},
        });
        await order(number, { command: 'claim' });
        await order(number, { command: 'note', text: 'ringer' });
        await press(`load-${worker}-${n % 5}`);
        await order(number, { command: 'confirm-contact', how: 'voice' });
        if (n % 2 === 0) await order(number, { command: 'close', outcome: 'helped-by-voice', text: '' });
        else await order(number, { command: 'release' });
        handled += 1;
      }
    }),
  );
  await sweep.stop();
  await relay.stop();
  t.comment(`${handled} alarms were handled`);
  t.ok(handled > 50);
  t.same(watch.said('audit-finding'), []);
  t.match(await audited(), { fine: true });
  await watch.stop();
  const all = await sql<{ number: string }>('select number::text from alarm');
  const verdicts = (await createAuditStore(postgres).examine(all.map(({ number }) => number))).map(verdictOn);
  t.same(
    verdicts.filter(({ verdict }) => verdict !== 'agrees'),
    [],
    `all ${all.length} rows are the fold of their timelines`,
  );
});

const note = (number: string) =>
  desk.order({
    number,
    command: { command: 'note', text: 'x' },
    actor: { type: 'person', account: 'leder', roles: ['operator'] },
    version: null,
    doneAt: null,
    key: null,
  });
/** What an alarm waits for was due so long ago, by its timeline, its row and its fold. */
const plantOverdue = (number: string, what: string, ago: string) =>
  sql(`with past as (select (extract(epoch from now() - interval '${ago}') * 1000)::bigint as at)
    , t as (update timeline set arms = jsonb_set(arms::jsonb, '{${what}}', to_jsonb((select at from past))) where alarm = ${number} and version = 1)
    update alarm set deadline_at = to_timestamp((select at from past) / 1000.0), deadline_what = '${what}',
      fold = jsonb_set(fold::jsonb, '{waits,${what}}', to_jsonb((select at from past))) where number = ${number}`);
/** As if its device had repeated itself for hours. */
async function plantLong(number: string, entries: number): Promise<void> {
  await sql(
    `insert into timeline (alarm, version, at, actor, event, arms)
     select alarm, n, at, actor, event, arms from timeline, generate_series(3, $2::int) n where alarm = $1 and version = 2`,
    [number, entries],
  );
  await sql(`update alarm set version = $2, fold = jsonb_set(fold::jsonb, '{version}', to_jsonb($2::int)) where number = $1`, [
    number,
    entries,
  ]);
}
/** The stores with one statement of the auditor's put in another's place, while it is given. */
interface Replaced {
  readonly is: (text: string) => boolean;
  by: string | ((given: { text: string }) => Promise<unknown>) | null;
  asked: number;
}

function withStatement(replaced: Replaced): Postgres {
  const pool = Object.create(postgres.pool, {
    query: {
      value: (given: { text: string }) => {
        if (replaced.by === null || !replaced.is(given.text)) return postgres.pool.query(given);
        replaced.asked += 1;
        return typeof replaced.by === 'string' ? postgres.pool.query(replaced.by) : replaced.by(given);
      },
    },
  }) as Postgres['pool'];
  return { ...postgres, pool };
}

await t.test('of ten thousand that are late, the one about life is passed first', async (t) => {
  await stores.empty();
  await people();
  const source = await press('flood', { meaning: { role: 'technical', kind: 'battery-low', priority: 'technical' } });
  const [waits] = await sql<{ deadline_what: string }>('select deadline_what from alarm where number = $1', [source]);
  await plantOverdue(source, waits?.deadline_what ?? '', '1 h');
  const copies = 1100;
  // Numbers, households and devices of their own, in the row, its fold and its timeline.
  const own = (row: string) => `replace(replace(replace(replace(to_json(${row})::text, 'flood', 'flood-' || n),
    '"number":${source},', '"number":' || ${source} + n || ','), '"number": "${source}"', '"number": "' || ${source} + n || '"'),
    '"alarm":${source},', '"alarm":' || ${source} + n || ',')::json`;
  for (const [table, of] of [
    ['timeline', 'alarm'],
    ['alarm', 'number'],
  ])
    await sql(`insert into ${table} select r.* from ${table} o, generate_series(1, ${copies}) n,
      lateral json_populate_record(null::${table}, ${own('o')}) r where o.${of} = ${source}`);
  const [copied] = await createAuditStore(postgres).examine([String(Number(source) + copies)]);
  t.equal(copied === undefined ? null : verdictOn(copied).verdict, 'agrees', 'the copies are alarms');
  await sql(`select setval('alarm_number', ${Number(source) + copies})`);
  const life = await press('life');
  await plantOverdue(life, 'unclaimed', '1 min');
  const look = await createAuditStore(postgres).look(clock.now());
  t.equal(look.overdue[0]?.alarm.number, life, 'it is the first of those that are seen');
  t.equal(look.overdue.length, 50);

  const began = clock.now();
  watching(t);
  await looking(began);
  const passed = `select 1 from timeline where event->>'event' = 'deadline-passed' and actor->>'part' = 'auditor'`;
  await until('it is passed', async () => (await sql(`${passed} and alarm = $1`, [life])).length === 1, 15_000);
  const before = (await sql(`${passed} and alarm <> $1`, [life])).length;
  t.ok(before < 100, `${before} technical ones were passed by then`);
});

await t.test('an alarm with a very long timeline holds nothing up, and is not forgotten itself', async (t) => {
  await stores.empty();
  await people();
  const [chatty, other] = [await press('chatty'), await press('other')];
  await note(chatty);
  await plantLong(chatty, LONGEST_EXAMINED + 500);
  const store = createAuditStore(postgres);
  const walk = createWalk(store);
  const first = await walk.next(clock.now(), [chatty]);
  t.same(first.numbers, [other], 'it is left out, though something is said of it');
  t.ok(first.seen.has(chatty));
  t.same((await walk.next(clock.now(), [])).numbers, [other]);
  t.equal(walk.tooLong(), 1, 'and that is counted');
  const one = await examined(chatty);
  t.equal(one.entries.length, LONGEST_EXAMINED + 1, 'no more of it is ever read');
  t.equal(verdictOn(one).verdict, 'unread');

  const began = clock.now();
  const watch = watching(t);
  await looking(began);
  t.match((await audited())?.detail, { tooLong: 1, failed: [] });
  t.same(watch.said('audit-finding'), []);
  await sql('update alarm set deadline_at = null, deadline_what = null where number = $1', [chatty]);
  await until('it waits for something again', () => watch.said('audit-mended').includes(`no-deadline ${chatty}`), PROMISED_MS);
  t.match((await eventsOf(chatty)).at(-1), 'repaired no-deadline by auditor');
  t.match((await sql('select deadline_what from alarm where number = $1', [chatty]))[0], { deadline_what: 'unclaimed' });
  await plantOverdue(chatty, 'unclaimed', '1 min');
  await until('its deadline is passed', () => watch.said('audit-mended').includes(`deadline-overdue ${chatty}`), PROMISED_MS);
  t.same(watch.said('audit-needs-person'), []);
});

await t.test('timelines that cannot be read keep nothing else from being found and mended', async (t) => {
  await stores.empty();
  await people();
  const [late, forgotten] = [await press('late'), await press('forgotten')];
  // Longer than a statement may take: PostgreSQL cuts it off.
  const replaced = { is: (text: string) => text === EXAMINE, by: 'select pg_sleep(20)', asked: 0 } as Replaced;
  const watch = watching(t, withStatement(replaced));
  await until('it was cut off', () => watch.said('audit-walk-failed').length === 1, 15_000);
  await until('the report says so', async () => (await audited())?.fine === false);
  t.match((await audited())?.detail, { failed: ['walk'] });
  await plantOverdue(late, 'unclaimed', '1 min');
  await sql('update alarm set deadline_at = null, deadline_what = null where number = $1', [forgotten]);
  await sql(`update outbox set created_at = now() - interval '1 min'`);
  await until('all is mended', () => watch.said('audit-mended').length >= 3, 20_000);
  t.same(new Set(watch.said('audit-mended')), new Set([`deadline-overdue ${late}`, `no-deadline ${forgotten}`, 'outbox-old']));
  await until('the walk was tried again', () => replaced.asked >= 2, 20_000);
  t.equal(watch.said('audit-walk-failed').length, 1, 'it is said once');
  replaced.by = null;
  await until('and it goes on', () => watch.said('audit-walk-back').length === 1, 20_000);
  await until('the report says so', async () => String((await audited())?.detail['failed']) === '');
});

await t.test('a walk that takes long, and is not cut off, hides nothing', async (t) => {
  await stores.empty();
  await people();
  const late = await press('slow');
  const slow: Replaced = {
    is: (text) => text === EXAMINE,
    async by(given) {
      // Together longer than the auditor may be blind, each shorter than a statement may take.
      await sql('select pg_sleep(0.8)');
      return postgres.pool.query({ ...given, text: `${EXAMINE} and (select pg_sleep(2.6)) is not null` });
    },
    asked: 0,
  };
  const watch = watching(t, withStatement(slow));
  await until('it has looked twice', () => slow.asked >= 2, 15_000);
  await plantOverdue(late, 'unclaimed', '1 min');
  await until('it is found and mended', () => watch.said('audit-mended').includes(`deadline-overdue ${late}`), 30_000);
  t.same(watch.said('audit-walk-failed'), []);
});

await t.test('a look that fails is said when it begins and when it is over', async (t) => {
  await stores.empty();
  await people();
  const replaced = { is: (text: string) => text.includes('from held_signal'), by: 'select no_such_column', asked: 0 } as Replaced;
  const watch = watching(t, withStatement(replaced));
  await until('it failed three times', () => replaced.asked >= 3, 15_000);
  t.equal(watch.said('audit-failed').length, 1, 'one line');
  t.match(await audited(), { fine: false, detail: { failed: ['look'] } }, 'and the report says it');
  replaced.by = null;
  await until('it looks again', () => watch.said('audit-back').length === 1);
  await until('the report is fine', async () => (await audited())?.fine === true);
});

await t.test('with PostgreSQL away it goes on afterwards, and takes nothing for late that nobody could do', async (t) => {
  await stores.empty();
  await people();
  const proxy = await proxyOf(stores.databaseServer.url);
  const through = openPostgres(proxy.url, SILENT, 4);
  const began = clock.now();
  const watch = watching(t, through);
  await looking(began);
  const number = await press('away');
  await sql('update outbox set created_at = $1', [new Date(clock.now())]);
  await proxy.cut();
  await until('it cannot look', () => watch.said('audit-away').length > 0);
  // Longer than anything may be late, and long enough for the auditor to have been blind.
  const cutAt = clock.now();
  await until('what waits is late', () => clock.now() - cutAt > 4000);
  await proxy.back();
  const back = clock.now();
  await until('it looks again', async () => ((await audited())?.at ?? 0) > back);
  t.same(watch.said('audit-finding'), []);
  await sql(`update alarm set deadline_at = null where number = $1`, [number]);
  await until('and finds', () => watch.said('audit-mended').includes(`no-deadline ${number}`));
  await watch.stop();
  await through.stop();
  await proxy.stop();
});

await t.test('what is late counts from when somebody could see it', async (t) => {
  const nothing = {
    withoutDeadline: [],
    overdue: [],
    abandoned: [],
    outbox: { oldestAt: null },
    asks: { oldestAt: null },
    held: { oldestAt: null },
  };
  const now = 1_000_000;
  const late = { ...nothing, outbox: { oldestAt: 0 }, asks: { oldestAt: 0 }, abandoned: [{ number: '1', account: 'a', until: null }] };
  t.same(overdueIn(late, now, now - 4000), [], 'the auditor has only just begun to look');
  t.same(
    overdueIn(late, now, now - 5001).map(({ code }) => code),
    ['outbox-old', 'ask-overdue'],
  );
  t.same(
    overdueIn(late, now, 0).map(({ code }) => code),
    ['claim-abandoned', 'outbox-old', 'ask-overdue'],
  );
  t.same(overdueIn({ ...nothing, outbox: { oldestAt: now - 5000 } }, now, 0), [], 'not yet late');
});

await t.test('fields that an earlier version did not write are no fault; waits are', async (t) => {
  const number = await press('versions');
  const one = await examined(number);
  t.equal(verdictOn(one).verdict, 'agrees');
  const { told: _told, ...older } = one.fold as Record<string, unknown>;
  t.equal(verdictOn({ ...one, fold: older }).verdict, 'agrees', 'a field is missing');
  t.match(verdictOn({ ...one, fold: { ...older, waits: {} } }), { verdict: 'differs', where: ['fold.waits.unclaimed'] });
  t.match(verdictOn({ ...one, fold: { ...older, newer: 1 } }), { verdict: 'differs', where: ['fold.newer'] }, 'what nobody knows is one');
  t.match(verdictOn({ ...one, columns: { ...one.columns, version: 2 } }), { verdict: 'broken' });
  t.match(verdictOn({ ...one, entries: [] }), { verdict: 'broken' });
});

await t.test('a finding stands when enough looks in a row have shown it', async (t) => {
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push((JSON.parse(line) as Line).event) });
  const findings = createFindings({ clock, log });
  const late = { code: 'outbox-old', alarm: null, about: '' } as const;
  t.same(findings.take('tables', [late]), []);
  t.same(findings.take('tables', []), []);
  t.same(findings.take('tables', [late]), []);
  t.same(findings.take('tables', [late]), []);
  t.same(findings.take('tables', [late]), [late], 'in the third look');
  findings.tried(late, false);
  t.same(findings.take('tables', [late]), [], 'and is left for a moment after a try in vain');
  t.same(lines, ['audit-finding']);
  t.equal(findings.report().fine, false);
  findings.take('tables', []);
  t.same(lines, ['audit-finding', 'audit-finding-over']);
});
