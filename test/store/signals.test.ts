/** The truth on the real PostgreSQL: keeping signals, joining under concurrency, poison, and the desk's transaction. */
import t from 'tap';
import { joiningKey } from '../../src/alarms/correlate.ts';
import { type DeskAnswer, createDesk } from '../../src/alarms/desk.ts';
import type { Actor, AlarmCommand } from '../../src/alarms/command.ts';
import type { Signal } from '../../src/alarms/signal.ts';
import { fold } from '../../src/alarms/fold.ts';
import { type Alarm, deadlineOf } from '../../src/alarms/alarm.ts';
import { shortName } from '../../src/base/bytes.ts';
import { MovableClock, minutes } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { receiptId, systemRandom } from '../../src/base/ids.ts';
import { createKeeper } from '../../src/intake/keep.ts';
import { createAlarmStore } from '../../src/store/alarm-store.ts';
import { arrayLiteral, bigints, byteStrings, instants, jsons, texts } from '../../src/store/binary-arrays.ts';
import { migrate } from '../../src/store/migrate.ts';
import { openPostgres, storeFault } from '../../src/store/postgres.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { inTransaction } from '../../src/store/transaction.ts';
import { DISPATCH, KARI, LEDER, NATT, OLA, ladderFor, signal } from '../support/alarms.ts';
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
const clock = new MovableClock();
const keeperOn = (on = postgres) =>
  createKeeper({ store: createSignalStore(on, () => undefined), ladderFor, keyOf: joiningKey, log: SILENT });
const keeper = keeperOn();
const desk = createDesk({ store: createAlarmStore(postgres, () => undefined), clock, random: systemRandom });

t.beforeEach(() => stores.empty());

const newId = (): string => receiptId(clock.now(), systemRandom);
function fresh(household: string, more: Partial<Signal> = {}): Signal {
  const id = newId();
  const home = { id: household, name: 'Åse', zone: '' };
  return signal(more.meaning ?? {}, {
    id,
    messageId: id,
    raw: Buffer.from(id),
    receivedAt: clock.now(),
    household: home,
    source: `mqtt:${household}`,
    ...more,
  });
}
const again = (one: Signal): Signal => ({ ...one, id: newId(), receivedAt: clock.now() });
const order = (number: string, command: AlarmCommand, actor: Actor = KARI, key: string | null = null): Promise<DeskAnswer> =>
  desk.order({ number, command, actor, version: null, doneAt: null, key });
/** Keeps a fresh signal and gives the number of its alarm. */
async function opens(household: string): Promise<string> {
  const { alarm } = await keeper.keep(fresh(household));
  if (alarm === null) throw new Error('the signal opened nothing');
  return alarm;
}
const rows = async (sql: string) => (await postgres.pool.query(sql)).rows as Record<string, unknown>[];

await t.test('what the way to PostgreSQL says is no fault of a signal', (t) => {
  const faultOf = (code: string): string => storeFault(Object.assign(new Error(code), { code }));
  const system = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EMFILE', 'EHOSTDOWN', 'EPROTO', 'ENETDOWN', 'EACCES'];
  const tls = [
    'CERT_HAS_EXPIRED',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'ERR_SSL_WRONG_VERSION_NUMBER',
  ];
  for (const code of [...system, ...tls, '08006', '53300', '57P03']) t.equal(faultOf(code), 'away', code);
  for (const code of ['40P01', '55P03', '57014', '23505']) t.equal(faultOf(code), 'conflict', code);
  for (const code of ['22021', '23514', '54000', '42703', 'ERR_INVALID_ARG_TYPE']) t.equal(faultOf(code), 'refused', code);
  t.end();
});

await t.test('the signal, its alarm, timeline, deadline and outbox are one transaction', async (t) => {
  const { verdict, alarm: number } = await keeper.keep(fresh('h1'));
  t.equal(verdict, 'opened');
  const [alarm] = await rows('select number, version, state, priority, deadline_what, deadline_at, fold from alarm');
  t.match(alarm, { number, version: 1, state: 'waiting', priority: 'life', deadline_what: 'unclaimed' });
  t.match(await rows('select alarm, version from timeline'), [{ alarm: number, version: 1 }]);
  t.match(await rows('select alarm, version from outbox'), [{ alarm: number, version: 1 }]);
  t.match(await rows('select verdict, alarm, marks from signal'), [{ verdict: 'opened', alarm: number, marks: [] }]);
});

await t.test('the identical message adds none, another of the same home joins, a day later it is new', async (t) => {
  const one = fresh('h1');
  const { alarm: number } = await keeper.keep(one);
  t.same(await keeper.keep(again(one)), { verdict: 'duplicate', alarm: number });
  t.same(await keeper.keep(fresh('h1')), { verdict: 'repeated', alarm: number });
  t.same(await keeper.keep({ ...again(one), raw: Buffer.from('other bytes'), digest: Buffer.alloc(32, 1) }), {
    verdict: 'repeated',
    alarm: number,
  });
  t.match(await rows(`select marks from signal where raw = 'other bytes'`), [{ marks: ['id-re-used'] }]);
  await clock.advance(minutes(24 * 60));
  t.same(await keeper.keep(again(one)), { verdict: 'repeated', alarm: number }, 'a day later the same id is a new press');
  const [alarm] = await rows('select fold from alarm');
  t.match(alarm?.['fold'], { signalCount: 4, duplicateCount: 1 });
});

await t.test('without an id: the same bytes are a duplicate for ten minutes', async (t) => {
  const one = fresh('h1', { messageId: null });
  const { alarm: number } = await keeper.keep(one);
  await clock.advance(minutes(9));
  t.match(await keeper.keep(again(one)), { verdict: 'duplicate', alarm: number });
  await clock.advance(minutes(2));
  t.match(await keeper.keep(again(one)), { verdict: 'repeated', alarm: number });
});

await t.test('a duplicate of a signal whose alarm was closed is acknowledged and opens nothing', async (t) => {
  const one = fresh('h1');
  const { alarm: number } = await keeper.keep(one);
  await order(number ?? '', { command: 'confirm-contact', how: 'voice' });
  await order(number ?? '', { command: 'close', outcome: 'helped-by-voice', text: '' });
  t.same(await keeper.keep(again(one)), { verdict: 'duplicate', alarm: number });
  t.match(await keeper.keep(fresh('h1')), { verdict: 'opened' });
  const [second] = await rows('select fold from alarm where closed_at is null');
  t.match(second?.['fold'], { follows: number });
});

await t.test('who sends a unit’s next message before it, without proof, does not make a duplicate of the real one', async (t) => {
  const forged = fresh('h1', { marks: ['unauthenticated'] });
  const { alarm: first } = await keeper.keep(forged);
  const real = (): Signal => ({ ...again(forged), marks: [] });
  await clock.advance(20_000);
  t.same(await keeper.keep(real()), { verdict: 'duplicate', alarm: first }, 'at once it is the same press, with its credentials');
  await clock.advance(minutes(2));
  t.same(await keeper.keep({ ...again(forged) }), { verdict: 'duplicate', alarm: first }, 'without proof once more: nothing new');
  t.same(await keeper.keep(real()), { verdict: 'repeated', alarm: first }, 'later it is a press of its own');
  t.match(await rows("select marks from signal where verdict = 'repeated'"), [{ marks: [] }]);
  t.same(await keeper.keep(real()), { verdict: 'duplicate', alarm: first }, 'and its own repetition is one again');

  const next = fresh('h2', { marks: ['unauthenticated'] });
  const { alarm: burnt } = await keeper.keep(next);
  await order(burnt ?? '', { command: 'confirm-contact', how: 'voice' });
  await order(burnt ?? '', { command: 'close', outcome: 'helped-by-voice', text: '' });
  t.match(await keeper.keep({ ...again(next), marks: [] }), { verdict: 'opened' }, 'also right after that alarm was closed');
});

await t.test('a device that gives each message the same id is recalled by a few rows, however much it has sent', async (t) => {
  // One connection, which plans while the table is empty.
  const few = openPostgres(stores.databaseServer.url, SILENT, 1);
  opened.push(few);
  const alone = keeperOn(few);
  const constant = (bytes: string, more: Partial<Signal> = {}): Signal =>
    fresh('h1', { messageId: '1', raw: Buffer.from(bytes), digest: Buffer.alloc(32, bytes), ...more });
  const noId = (bytes: string): Signal => ({ ...constant(bytes), messageId: null, source: 'mqtt:no-id' });
  await alone.keep(fresh('h2'));
  t.match(await alone.keep(constant('first')), { verdict: 'opened' });
  t.match(await alone.keep(noId('first')), { verdict: 'repeated' });
  await postgres.pool.query(
    `insert into signal (id, received_at, protocol, source, device, municipality, message_id, digest, raw, meaning, verdict)
     select gen_random_uuid(), $1::timestamptz - n * interval '10 ms', 'mqtt', case n % 2 when 0 then 'mqtt:h1' else 'mqtt:no-id' end, 'D', '1103',
       case n % 2 when 0 then '1' end, case n % 4 when 0 then sha256(n::text::bytea) else $2 end, '', '{}',
       case n % 4 when 0 then 'kept' else 'duplicate' end
     from generate_series(1, 50000) n`,
    [new Date(clock.now()), Buffer.alloc(32, 'first')],
  );
  const fetched = async (): Promise<number> => {
    await few.pool.query('select pg_stat_force_next_flush()');
    const { rows: found } = await few.pool.query<{ n: number }>(
      `select (coalesce(idx_tup_fetch, 0) + seq_tup_read)::int as n from pg_stat_user_tables where relname = 'signal'`,
    );
    return found[0]!.n;
  };
  const costs = async (one: Signal, expected: object): Promise<void> => {
    const before = await fetched();
    t.match(await alone.keep(one), expected);
    const read = (await fetched()) - before;
    t.ok(read < 10, `${read} rows were read`);
  };
  await costs(fresh('h2'), { verdict: 'repeated' });
  await costs(constant('other'), { verdict: 'repeated' });
  t.match(await rows(`select marks from signal where raw = 'other'`), [{ marks: ['id-re-used'] }]);
  await costs(constant('first'), { verdict: 'duplicate' });
  await costs(noId('first'), { verdict: 'duplicate' });
  await costs(noId('other'), { verdict: 'repeated' });
  // So do the plans of a connection that sees the table as it is.
  await postgres.pool.query('analyze signal');
  await few.pool.query('discard plans');
  await costs(constant('third'), { verdict: 'repeated' });
  await costs(constant('other'), { verdict: 'duplicate' });
  await costs(noId('other'), { verdict: 'duplicate' });
});

await t.test('a sender whose name is longer than an index takes is kept all the same', async (t) => {
  const long = Array.from({ length: 1000 }, (_, n) => String.fromCodePoint(0x4e00 + ((n * 7919) % 20_000))).join('');
  const { verdict } = await keeper.keep(fresh('h1', { household: null, source: `scaip:${long}`, device: long }));
  t.equal(verdict, 'opened');
  const [kept] = await rows('select source, device, marks from signal');
  t.match(kept, { source: shortName(`scaip:${long}`, 128), device: shortName(long), marks: ['processing-failed'] });
  t.not(shortName(`${long}a`), shortName(`${long}b`), 'two long names stay two');
  t.equal(shortName('26317'), '26317');
});

await t.test('a message that waits for an alarm which is just being closed finds it closed', async (t) => {
  for (const what of ['duplicate', 'another'] as const) {
    await stores.empty();
    const one = fresh('h1');
    const { alarm: number } = await keeper.keep(one);
    const desktop = await postgres.pool.connect();
    await desktop.query('begin');
    await desktop.query('select 1 from alarm for update');
    const kept = keeper.keep(what === 'duplicate' ? again(one) : fresh('h1'));
    await until('it waits', async () => (await rows(`select 1 from pg_stat_activity where wait_event_type = 'Lock'`)).length > 0);
    await desktop.query(`update alarm set closed_at = $1, fold = jsonb_set(fold::jsonb, '{closed}', $2)`, [
      new Date(clock.now()),
      JSON.stringify({ at: clock.now(), by: KARI, outcome: 'helped-by-voice' }),
    ]);
    await desktop.query('commit');
    desktop.release();
    const { verdict, alarm } = await kept;
    if (what === 'duplicate') t.same({ verdict, alarm }, { verdict: 'duplicate', alarm: number });
    else {
      t.equal(verdict, 'opened');
      t.match(await rows('select fold from alarm where closed_at is null'), [{ fold: { follows: number } }], 'and says so');
    }
  }
});

await t.test('behind a signal that was not kept, what its device sent after it is not kept either', async (t) => {
  const failures: (() => void)[] = [];
  const kept: string[] = [];
  const failing = createKeeper({
    store: {
      keep: async (signals) => {
        if (failures.length < 2) {
          await new Promise<void>((resolve) => failures.push(resolve));
          throw new CentreError('store-away', 'away');
        }
        kept.push(...signals.map(({ source }) => source));
        return signals.map(() => ({ verdict: 'kept', alarm: null }) as const);
      },
    },
    ladderFor,
    keyOf: joiningKey,
    log: SILENT,
  });
  // Two lanes under way; behind them the same device's next message, one of another device in the same home, and one of elsewhere.
  const first = ['h1', 'h2'].map((home) => failing.keep(fresh(home)));
  while (failures.length < 2) await new Promise((resolve) => setImmediate(resolve));
  const behind = [failing.keep(fresh('h1')), failing.keep(fresh('h1', { source: 'mqtt:other' }))];
  const beside = failing.keep(fresh('h3', { source: 'mqtt:elsewhere' }));
  for (const fail of failures) fail();
  for (const one of [...first, ...behind]) await t.rejects(one, { code: 'store-away' });
  t.match(await beside, { verdict: 'kept' });
  t.same(kept, ['mqtt:elsewhere']);
});

await t.test('a call for help passes all technical signals that wait, but not what its own home sent before', async (t) => {
  const batches: string[][] = [];
  const release: (() => void)[] = [];
  const busy = createKeeper({
    store: {
      async keep(signals) {
        batches.push(signals.map(({ messageId }) => messageId ?? ''));
        await new Promise<void>((resolve) => release.push(resolve));
        return signals.map(() => ({ verdict: 'kept', alarm: null }) as const);
      },
    },
    ladderFor,
    keyOf: joiningKey,
    log: SILENT,
  });
  const all: Promise<unknown>[] = [];
  const send = (home: string, messageId: string, role: 'technical' | 'need' | 'call'): void => {
    all.push(
      busy.keep(
        fresh(home, { messageId, meaning: { role, kind: 'mains-lost', priority: role === 'need' ? 'life' : 'technical', trigger: '' } }),
      ),
    );
  };
  send('busy', 'b1', 'technical');
  await until('a transaction begins', () => release.length === 1);
  send('other', 'b2', 'technical');
  await until('a transaction begins', () => release.length === 2);
  // Two lanes are under way: all of these wait.
  for (let n = 0; n < 1000; n++) send(`t${n}`, `t${n}`, 'technical');
  send('t990', 'need', 'need');
  send('t990', 'after', 'technical');
  send('busy', 'behind', 'need');
  send('calls', 'call', 'call');
  release[1]?.();
  await until('a transaction begins', () => release.length === 3);
  t.same(batches[2]?.slice(0, 5), ['t990', 'need', 'after', 'call', 't0'], 'one whose home is under way waits for it');
  release[0]?.();
  await until('a transaction begins', () => release.length === 4);
  t.same(batches[3]?.slice(0, 1), ['behind']);
  for (let n = 2; n < release.length || batches.flat().length < all.length; n++) {
    await until('a transaction begins', () => release.length > n);
    release[n]?.();
  }
  await Promise.all(all);
  t.equal(new Set(batches.flat()).size, all.length, 'all, once');
});

await t.test('three hundred signals of three homes at once on three keepers: three alarms, none lost', async (t) => {
  const others = [keeper, keeperOn(another()), keeperOn(another())];
  const all = Array.from({ length: 300 }, (_, n) => ({ one: fresh(`h${n % 3}`), by: others[n % others.length] ?? keeper }));
  const receipts = await Promise.all(all.map(({ one, by }) => by.keep(one)));
  t.equal(new Set(receipts.map(({ alarm }) => alarm)).size, 3);
  t.equal(receipts.filter(({ verdict }) => verdict === 'opened').length, 3);
  const counts = await rows(`select (fold->>'signalCount')::int as count from alarm`);
  t.same(counts, [{ count: 100 }, { count: 100 }, { count: 100 }]);
  t.match(await rows('select count(*)::int from signal'), [{ count: 300 }]);
  t.match(await rows('select count(*)::int from outbox'), [{ count: (await rows('select distinct alarm, version from outbox')).length }]);
});

await t.test('a poisoned signal harms only itself: it is kept as bytes and shown as unreadable', async (t) => {
  const poison = fresh('h2', { meaning: { role: 'need', kind: 'fall', priority: 'life', trigger: '', text: 'a\u0000b' } });
  const receipts = await Promise.all([keeper.keep(fresh('h1')), keeper.keep(poison), keeper.keep(fresh('h3'))]);
  t.same(
    receipts.map(({ verdict }) => verdict),
    ['opened', 'opened', 'opened'],
  );
  const [shown] = await rows(`select kind, priority from alarm where kind = 'unreadable'`);
  t.match(shown, { kind: 'unreadable', priority: 'urgent' });
  const [kept] = await rows(`select raw, marks from signal where 'processing-failed' = any(marks)`);
  t.same(kept?.['raw'], poison.raw);
  t.match(await keeper.keep(fresh('h2')), { verdict: 'opened' }, 'and the next alarm of that home comes through');
});

await t.test('what no query could look into is refused before it is stored; what only looks like it is not', async (t) => {
  for (const text of ['a\u0000b', 'a\ud800b', '\\\u0000', 'b\udfff']) t.throws(() => jsons([{ text }]), RangeError, JSON.stringify(text));
  const odd = String.raw`\u0000 \\ud800 "{}" ÆØÅ 🚒` + '\n\t'.repeat(30_000);
  const text =
    'select a, b, c, d, e, g from unnest($1::text[], $2::json[], $3::bytea[], $4::bigint[], $5::timestamptz[], $6::text[]) as u(a, b, c, d, e, f), lateral (select f::text[] as g) l';
  const at = Date.UTC(1999, 1, 28, 23, 59, 59, 123);
  const values = [
    texts([odd, null, '']),
    jsons([{ odd }, null, []]),
    byteStrings([Buffer.from('\u0000ÿ'), Buffer.alloc(0), Buffer.alloc(100_000, 7)]),
    bigints(['9007199254740991', null, '-4294967297']),
    instants([at, null, Date.UTC(2999, 11, 31)]),
    texts([[], ['a b', 'c"\\,{}'], ['null', '']].map(arrayLiteral)),
  ];
  t.same(await postgres.pool.query(text, values).then((result) => result.rows), [
    { a: odd, b: { odd }, c: Buffer.from('\u0000ÿ'), d: '9007199254740991', e: new Date(at), g: [] },
    { a: null, b: null, c: Buffer.alloc(0), d: null, e: null, g: ['a b', 'c"\\,{}'] },
    { a: '', b: [], c: Buffer.alloc(100_000, 7), d: '-4294967297', e: new Date(Date.UTC(2999, 11, 31)), g: ['null', ''] },
  ]);
  t.match(await postgres.pool.query('select cardinality($1::text[]) as n, cardinality($2::json[]) as m', [texts([]), jsons([])]), {
    rows: [{ n: 0, m: 0 }],
  });
  t.throws(() => bigints(['9007199254740993']), RangeError);
  t.throws(() => instants([Number.NaN]), RangeError);
});

await t.test('PostgreSQL away: nothing is kept, and the keeper works again when it is back', async (t) => {
  const away = keeperOn(another('postgres://nobody@127.0.0.1:9/none'));
  await t.rejects(away.keep(fresh('h1')), { code: 'store-away' });
  t.match(await rows('select count(*)::int from signal'), [{ count: 0 }]);
});

await t.test('of two simultaneous claims one wins, and the other sees who', async (t) => {
  for (let round = 0; round < 20; round++) {
    const { alarm } = await keeper.keep(fresh(`claim${round}`));
    const number = alarm ?? '';
    const answers = await Promise.all([order(number, { command: 'claim' }, KARI), order(number, { command: 'claim' }, OLA)]);
    const refused = answers.flatMap((answer) => ('refused' in answer ? [answer] : []));
    const won = answers.flatMap((answer) => ('alarm' in answer ? [answer.alarm.claimedBy] : []));
    t.equal(won.length, 1);
    t.match(refused, [{ refused: 'taken-by-another', by: won[0] }]);
  }
});

await t.test('the same key again gets the stored answer, also twice at once', async (t) => {
  const number = await opens('h1');
  const [first, second] = await Promise.all([
    order(number, { command: 'claim' }, KARI, 'k1'),
    order(number, { command: 'claim' }, KARI, 'k1'),
  ]);
  t.same(first, second);
  t.match(first, { alarm: { claimedBy: 'operator', version: 2 } });
  t.match(await order(number, { command: 'claim' }, OLA, 'k1'), { refused: 'taken-by-another' }, 'keys are per account');
  t.match(await order('nonsense', { command: 'claim' }), { refused: 'unknown-alarm' });
  t.match(await order('999999', { command: 'claim' }), { refused: 'unknown-alarm' });
});

await t.test('a claim has a lease, a dispatch has its asks, and an acceptance withdraws those not sent', async (t) => {
  const number = await opens('h1');
  await order(number, { command: 'claim' });
  t.match(await rows('select account from claim_lease'), [{ account: 'operator' }]);
  await order(number, DISPATCH);
  t.match(await rows('select account, channel, state, priority_rank from ask order by account'), [
    { account: 'natt', channel: 'page', state: 'pending', priority_rank: 0 },
    { account: 'natt2', channel: 'page', state: 'pending' },
  ]);
  await order(number, { command: 'accept', etaMinutes: 5 }, NATT);
  t.match(await rows('select distinct state from ask'), [{ state: 'withdrawn' }]);
  await order(number, { command: 'lapse-claim', by: 'operator' }, { type: 'centre', part: 'sweep' });
  t.equal((await rows('select * from claim_lease')).length, 1, 'the lease still holds: not due');
  await clock.advance(11_000);
  await order(number, { command: 'lapse-claim', by: 'operator' }, { type: 'centre', part: 'sweep' });
  t.equal((await rows('select * from claim_lease')).length, 0);
  await order(number, { command: 'override-contact', reason: 'sett av nabo' }, LEDER);
});

await t.test('every alarm row is the fold of its timeline, and its deadline column the earliest wait', async (t) => {
  const number = await opens('h1');
  await order(number, { command: 'claim' });
  await order(number, DISPATCH);
  await order(number, { command: 'accept', etaMinutes: 5 }, NATT);
  await keeper.keep(fresh('h1'));
  const entries = await rows('select version, at, done_at, actor, event, arms from timeline order by version');
  const folded = entries.reduce((alarm: Alarm | null, row) => {
    const entry = { ...row, at: (row['at'] as Date).getTime(), doneAt: null } as unknown as Parameters<typeof fold>[2];
    return fold(number, alarm, entry);
  }, null);
  const [row] = await rows('select fold, deadline_at, deadline_what from alarm');
  t.same(row?.['fold'], JSON.parse(JSON.stringify(folded)));
  const deadline = folded === null ? null : deadlineOf(folded);
  t.same({ at: (row?.['deadline_at'] as Date | undefined)?.getTime(), what: row?.['deadline_what'] }, deadline);
});

await t.test('two processes that start at once both find the schema', async (t) => {
  await postgres.pool.query('drop schema public cascade; create schema public');
  await Promise.all([migrate(postgres.pool, SILENT), migrate(postgres.pool, SILENT)]);
  t.match(await keeper.keep(fresh('h1')), { verdict: 'opened' });
  await migrate(postgres.pool, SILENT);
});

await t.test('a table that is locked for long poisons nothing: nothing is kept, nothing acknowledged', async (t) => {
  const holder = await postgres.pool.connect();
  try {
    await holder.query('set idle_in_transaction_session_timeout = 0; begin; lock table signal in share mode');
    await t.rejects(keeper.keep(fresh('h1')), { code: 'household-locked' });
    await holder.query('rollback');
  } finally {
    holder.release(true);
  }
  t.match(await rows('select count(*)::int from alarm'), [{ count: 0 }]);
  t.match(await keeper.keep(fresh('h1')), { verdict: 'opened' });
});

await t.test('an alarm that is over asks nobody any more, and one that becomes a matter of life asks at once', async (t) => {
  const technical = { role: 'technical', kind: 'mains-lost', priority: 'technical', trigger: '' } as const;
  const { alarm: first } = await keeper.keep(fresh('h1', { meaning: technical }));
  await order(first ?? '', { ...DISPATCH });
  await keeper.keep(fresh('h1', { meaning: { ...technical, role: 'restore' } }));
  t.match(await rows(`select distinct state from ask where alarm = ${first}`), [{ state: 'withdrawn' }]);

  const { alarm: second } = await keeper.keep(fresh('h2', { meaning: { role: 'need', kind: 'water', priority: 'care', trigger: '' } }));
  const later = { account: 'natt', team: 'x', channels: [{ via: 'sms', afterMs: 30_000 }] } as const;
  await order(second ?? '', { command: 'dispatch', to: 'x', recipients: [later], waitMs: 60_000 });
  await keeper.keep(fresh('h2'));
  const [ask] = await rows(`select due_at, priority_rank from ask where alarm = ${second}`);
  t.same(ask, { due_at: new Date(clock.now()), priority_rank: 0 });
});

await t.test(
  'statements that travel with the commit: one that fails fails all of it, and no commit is believed that was none',
  async (t) => {
    const few = another();
    const count = async (): Promise<number> => (await few.pool.query<{ n: number }>('select count(*)::int as n from outbox')).rows[0]!.n;
    const before = await count();
    const insert = 'insert into outbox (alarm, version, created_at) values (1, 1, now())';
    await t.rejects(
      inTransaction(few, async (client, withCommit) => {
        await client.query(insert);
        withCommit(client.query('select 1/0'));
        withCommit(client.query(insert));
      }),
      { code: '22012' },
    );
    await t.rejects(
      inTransaction(few, async (client) => {
        await client.query(insert);
        await client.query('select 1/0').catch(() => undefined);
      }),
      /was not committed: ROLLBACK/,
    );
    await t.rejects(
      inTransaction(few, async (client, withCommit) => {
        await client.query(insert);
        withCommit(Promise.reject(new RangeError('cannot be written as a parameter')));
        withCommit(client.query(insert));
      }),
      /cannot be written/,
      'one that was never sent, of which PostgreSQL knows nothing',
    );
    t.equal(await count(), before, 'nothing of them');
    await inTransaction(few, async (client, withCommit) => withCommit(client.query(insert)));
    t.equal(await count(), before + 1, 'and the connections still serve');
  },
);
