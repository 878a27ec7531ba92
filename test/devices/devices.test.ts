/** The register, signs of life, refusals and the technicians' list: rules on a moved clock, rows on the real PostgreSQL. */
import t from 'tap';
import { MovableClock, minutes, toIso } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { createLog } from '../../src/base/log.ts';
import { SEEN, type SeenFacts } from '../../src/devices/interpretation.ts';
import { loadModels } from '../../src/devices/models.ts';
import { createRefusals, OTHERS, type RefusalCount } from '../../src/devices/refusals.ts';
import { createDeviceRegister } from '../../src/devices/register.ts';
import { createLifeSigns, type DeviceSeen, WRITE_EVERY_MS } from '../../src/devices/supervision.ts';
import { createDeviceList, createDeviceSource, createRefusalStore } from '../../src/store/devices.ts';
import { createLifeSignStore } from '../../src/store/life-signs.ts';
import { SILENT, startStores } from '../support/stores.ts';

const MODELS = loadModels('config/models');
const away = (): CentreError => new CentreError('store-away', 'PostgreSQL does not answer.');

const facts = (more: Partial<SeenFacts> = {}): SeenFacts => ({ ...SEEN, via: 'mqtt', ...more });

await t.test('signs of life are gathered and written once a second, and kept while the store is away', async (t) => {
  const clock = new MovableClock();
  const writes: (readonly DeviceSeen[])[] = [];
  let fault: 'none' | 'away' | 'poison' = 'none';
  const lines: string[] = [];
  const store = {
    async writeSeen(seen: readonly DeviceSeen[]) {
      if (fault === 'away') throw away();
      if (fault === 'poison' && seen.some(({ serial }) => serial === 'poison')) throw new Error('refused');
      writes.push(seen);
    },
  };
  const signs = createLifeSigns({ clock, log: createLog('error', { write: (line) => void lines.push(line) }), store });
  const at = clock.now();
  for (let n = 0; n < 1000; n++) signs.seen(`d${n % 10}`, facts({ battery: n % 100 }), at + n, 'heartbeat');
  await clock.advance(WRITE_EVERY_MS);
  t.equal(writes.length, 1);
  t.equal(writes[0]?.length, 10);
  t.match(writes[0]?.[9], { serial: 'd9', seenAt: at + 999, battery: 99, online: true });
  fault = 'away';
  signs.seen('a', facts({ battery: 5, triggers: [{ id: 'p1', battery: 7, seenAt: 'now', test: false }] }), at + 2000, 'heartbeat');
  await clock.advance(WRITE_EVERY_MS);
  signs.seen('a', facts({ mains: false, position: { lat: 58, lon: 5, at: at + 99_999_999 } }), at + 3000, 'heartbeat');
  signs.seen('a', facts({ alive: false, online: false }), at + 4000, 'heartbeat');
  await clock.advance(WRITE_EVERY_MS);
  fault = 'none';
  writes.length = 0;
  await clock.advance(WRITE_EVERY_MS);
  t.equal(writes.length, 1);
  const [[first] = []] = writes;
  t.match(first, { serial: 'a', seenAt: at + 3000, battery: 5, mains: false, online: false, positionAt: at + 3000 });
  t.same([...(first?.triggers ?? [])], [['p1', { seenAt: at + 2000, reports: true, battery: 7, testAt: null }]]);
  fault = 'poison';
  writes.length = 0;
  for (const serial of ['x', 'poison', 'y', 'z']) signs.seen(serial, facts(), at, 'heartbeat');
  await signs.stop();
  t.same(
    writes.flat().map(({ serial }) => serial),
    ['x', 'y', 'z'],
    'one that is refused takes no other with it',
  );
  t.equal(lines.length, 1);
  writes.length = 0;
  await clock.advance(10 * WRITE_EVERY_MS);
  t.same(writes, []);
});

await t.test('refusals are counted, not logged one by one; made-up names fill nothing', async (t) => {
  const clock = new MovableClock();
  const written: RefusalCount[] = [];
  let gone = true;
  const store = {
    async addRefusals(counts: readonly RefusalCount[]) {
      if (gone) throw away();
      written.push(...counts);
    },
  };
  const refusals = createRefusals({ clock, log: SILENT, store });
  const at = clock.now();
  for (let n = 0; n < 50; n++) refusals.count({ protocol: 'mqtt', source: 'a', code: 'wrong-password', detail: '' });
  await clock.advance(1000);
  for (let n = 0; n < 500; n++) refusals.count({ protocol: 'mqtt', source: `made-up-${n}`, code: 'unknown-device', detail: 'x\u0000' });
  gone = false;
  await refusals.stop();
  t.match(
    written.find(({ source }) => source === 'a'),
    { count: 50, firstAt: at, lastAt: at },
  );
  t.equal(written.find(({ source }) => source === OTHERS)?.count, 500 - 199);
  t.ok(written.length <= 202);
  t.equal(
    written.reduce((sum, { count }) => sum + count, 0),
    550,
  );
});

await t.test('on the real PostgreSQL', async (t) => {
  const stores = await startStores();
  t.teardown(() => stores.stop());
  const { postgres } = stores;
  const clock = new MovableClock();
  const at = clock.now();
  await postgres.pool.query(`
    insert into household (id, municipality, name, zone) values ('h1', '1103', 'Hansen', 'nord'), ('h2', '1124', 'Olsen', 'sør');
    insert into device (serial, municipality, household_id, protocol, controller_id, model, secret_sha256, test_until) values
      ('NJ-1103-0001', '1103', 'h1', 'mqtt', null, 'generic/fall-sensor', sha256('right'), '2026-11-22T23:00Z'),
      ('essence-1', '1103', 'h1', 'scaip', '0026317', 'essence/generic', null, null),
      ('NJ-1124-0001', '1124', 'h2', 'mqtt', null, 'generic/generic', null, null),
      ('NJ-1103-0002', '1103', null, 'mqtt', null, 'generic/generic', null, null);
    insert into trigger (serial, id, name, room) values ('NJ-1103-0001', 'p1', 'Smykke', 'Stue')`);
  const source = createDeviceSource(postgres);

  await t.test('the register', async (t) => {
    const register = createDeviceRegister({ source, clock, log: SILENT });
    await register.load();
    t.teardown(() => register.stop());
    t.match(await register.find({ protocol: 'mqtt', serial: 'NJ-1103-0001' }), {
      municipality: '1103',
      household: { id: 'h1', name: 'Hansen', zone: 'nord' },
      model: 'generic/fall-sensor',
      testUntil: Date.UTC(2026, 10, 22, 23),
    });
    for (const controllerId of ['26317', '026317', '0026317', ' 26317'])
      t.match(await register.find({ protocol: 'scaip', controllerId }), { serial: 'essence-1' });
    for (const controllerId of ['2631', '', '0', 'x'.repeat(40)]) t.equal(await register.find({ protocol: 'scaip', controllerId }), null);
    t.match(await register.find({ protocol: 'mqtt', serial: 'NJ-1103-0002' }), { household: null, secretSha256: null });
    t.equal(await register.find({ protocol: 'mqtt', serial: 'essence-1' }), null);
  });

  await t.test('signs of life: the newest overwrites, what is not told stays, strangers are passed over', async (t) => {
    const lines: string[] = [];
    const log = createLog('warn', { write: (line) => void lines.push(line) });
    const signs = createLifeSigns({ clock, log, store: createLifeSignStore(postgres) });
    t.teardown(() => signs.stop());
    const stored = async () => (await postgres.pool.query(`select * from device_seen where serial = 'NJ-1103-0001'`)).rows[0];
    signs.seen('NJ-1103-0001', facts({ alive: false, online: false }), at, 'heartbeat');
    await signs.flush();
    t.equal(await stored(), undefined, 'a will alone was never seen');
    const position = { lat: 58.97, lon: 5.73, accuracy: 12 };
    signs.seen(
      'NJ-1103-0001',
      facts({
        battery: 80,
        mains: true,
        signal: 4,
        position,
        triggers: [
          { id: 'p1', battery: 70, seenAt: 'now', test: true },
          { id: 'p2', battery: 3, seenAt: null, test: false },
        ],
      }),
      at + 1000,
      'heartbeat',
    );
    signs.seen('stranger', facts(), at, 'heartbeat');
    await signs.flush();
    t.match(await stored(), {
      seen_at: new Date(at + 1000),
      via: 'mqtt',
      battery: 80,
      mains: true,
      signal: 4,
      online: true,
      lat: 58.97,
      accuracy: 12,
      test_at: null,
    });
    signs.seen('NJ-1103-0001', facts({ mains: false, test: true }), at + 2000, 'heartbeat');
    await signs.flush();
    signs.seen('NJ-1103-0001', facts({ position: { lat: 1, lon: 1, at: at - 5000 } }), at + 500, 'heartbeat');
    await signs.flush();
    t.match(await stored(), {
      seen_at: new Date(at + 2000),
      battery: 80,
      mains: false,
      lat: 58.97,
      position_at: new Date(at + 1000),
      test_at: new Date(at + 2000),
    });
    signs.seen('NJ-1103-0001', facts({ alive: false, online: false }), at + 9000, 'heartbeat');
    await signs.flush();
    t.match(await stored(), { seen_at: new Date(at + 2000), online: false }, 'a will is no sign of life');
    const triggers = await postgres.pool.query('select id, name, room, seen_at, battery, test_at from trigger order by id');
    t.same(triggers.rows, [
      { id: 'p1', name: 'Smykke', room: 'Stue', seen_at: new Date(at + 1000), battery: 70, test_at: new Date(at + 1000) },
      { id: 'p2', name: '', room: '', seen_at: null, battery: 3, test_at: null },
    ]);
    for (let n = 0; n < 10; n++) {
      const made = Array.from({ length: 60 }, (_, index) => ({ id: `x${n}-${index}`, battery: null, seenAt: null, test: false }));
      signs.seen('NJ-1124-0001', facts({ triggers: made }), at, 'heartbeat');
      await signs.flush();
    }
    const { rows } = await postgres.pool.query<{ count: string }>(`select count(*) from trigger where serial = 'NJ-1124-0001'`);
    t.ok(Number(rows[0]?.count) < 320, 'made-up triggers fill no table');
    await postgres.pool.query(`delete from trigger where serial = 'NJ-1124-0001'`);
    t.same(lines, []);
  });

  await t.test('refusals of made-up names give way, the oldest first; those of devices never', async (t) => {
    const refusals = createRefusalStore(postgres);
    const at = clock.now();
    const one = (source: string, minute: number, protocol: 'mqtt' | 'scaip' = 'mqtt'): RefusalCount => {
      const when = at + minutes(minute);
      return { protocol, source, code: 'wrong-password', detail: '', count: 1, firstAt: when, lastAt: when };
    };
    const sources = async (): Promise<string[]> =>
      (await postgres.pool.query<{ source: string }>('select source from refusal_count order by source')).rows.map(({ source }) => source);
    await refusals.addRefusals([one('NJ-1103-0001', 0), one('0026317', 0, 'scaip')]);
    await refusals.addRefusals(Array.from({ length: 9998 }, (_, n) => one(`made-up-${n}`, n + 1)));
    t.equal((await sources()).length, 10_000);
    await refusals.addRefusals([one('NJ-1103-0002', 20_000), one('new-1', 20_000), one('made-up-0', 20_000)]);
    const left = await sources();
    t.equal(left.length, 10_000);
    for (const kept of ['NJ-1103-0001', 'NJ-1103-0002', '0026317', 'new-1', 'made-up-0', 'made-up-3']) t.ok(left.includes(kept), kept);
    for (const gone of ['made-up-1', 'made-up-2']) t.notOk(left.includes(gone), gone);
    await postgres.pool.query('delete from refusal_count');
  });

  await t.test('refusals and the list for technicians', async (t) => {
    const refusals = createRefusals({ clock, log: SILENT, store: createRefusalStore(postgres) });
    t.teardown(() => refusals.stop());
    const refuse = (source: string, code: string, protocol: 'mqtt' | 'scaip' = 'mqtt'): void =>
      refusals.count({ protocol, source, code, detail: '' });
    for (let n = 0; n < 3; n++) refuse('NJ-1103-0001', 'wrong-password');
    refuse('stranger', 'unknown-device');
    await refusals.flush();
    await clock.advance(1000);
    refuse('NJ-1103-0001', 'wrong-password');
    refuse('0026317', 'unknown-device', 'scaip');
    await refusals.flush();
    const list = createDeviceList(postgres, MODELS);
    const viewer = (...municipalities: string[]) => ({ account: 'teknisk', name: 'T', roles: ['technician'] as const, municipalities });
    const query = { search: null, refused: false, silent: false, cursor: null, limit: 200 };
    const page = await list(viewer('*'), query);
    t.same(
      page.devices.map(({ serial }) => serial),
      ['NJ-1103-0001', 'NJ-1103-0002', 'NJ-1124-0001', 'essence-1'],
    );
    t.same(page.devices[0], {
      serial: 'NJ-1103-0001',
      municipality: '1103',
      householdName: 'Hansen',
      model: 'generic/fall-sensor',
      protocol: 'mqtt',
      state: 'in-service',
      lastSeenAt: toIso(at + 2000),
      battery: 80,
      mains: false,
      online: false,
      silence: 'none',
      credentials: 'secret',
      replyUnacknowledgedAt: null,
      triggers: [
        { id: 'p1', name: 'Smykke', room: 'Stue', seenAt: toIso(at + 1000), battery: 70, silence: 'none' },
        { id: 'p2', name: '', room: '', seenAt: null, battery: 3, silence: 'none' },
      ],
      refusals: [{ code: 'wrong-password', count: 4, lastAt: toIso(clock.now()) }],
    });
    t.match(page.devices[1], { householdName: null, lastSeenAt: null, triggers: [], refusals: [] });
    t.same(page.refusals, [{ protocol: 'mqtt', source: 'stranger', code: 'unknown-device', count: 1, lastAt: toIso(at) }]);
    t.equal(page.next, undefined);
    const serials = async (municipalities: string[], more: Partial<typeof query>) =>
      (await list(viewer(...municipalities), { ...query, ...more })).devices.map(({ serial }) => serial);
    t.same(await serials(['1124'], {}), ['NJ-1124-0001']);
    t.same(await serials([], {}), []);
    t.same(await serials(['*'], { search: 'hans' as never }), ['NJ-1103-0001', 'essence-1']);
    t.same(await serials(['*'], { search: '26317' as never }), ['essence-1']);
    t.same(await serials(['*'], { search: '%\u0000' as never }), []);
    t.same(await serials(['*'], { refused: true }), ['NJ-1103-0001', 'essence-1']);
    t.same(await serials(['*'], { silent: true }), []);
    await postgres.pool.query(`update device_seen set silence = 'late' where serial = 'NJ-1103-0001'`);
    await postgres.pool.query(
      `insert into trigger (serial, id, silence) values ('essence-1', 'p1', 'lost'), ('NJ-1124-0001', 'p1', 'lost')`,
    );
    await postgres.pool.query(`update device set state = 'in-stock' where serial = 'NJ-1124-0001'`);
    t.same(await serials(['*'], { silent: true }), ['NJ-1103-0001', 'essence-1'], 'of what lies in stock nobody expects a word');
    t.match((await list(viewer('*'), { ...query, silent: true })).devices[1]?.triggers, [{ silence: 'lost' }]);
    t.match((await list(viewer('1124'), query)).devices[0]?.triggers, [{ silence: 'none' }]);
    const first = await list(viewer('*'), { ...query, limit: 3 });
    t.equal(first.devices.length, 3);
    t.same(await serials(['*'], { cursor: first.next as never }), ['essence-1']);
    t.same(await serials(['*'], { cursor: '\u0000' as never }), await serials(['*'], {}));
  });
});
