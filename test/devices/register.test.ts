/** The register in memory: what it answers when, on a source that is held in the hand; how it follows the real PostgreSQL. */
import { createHash } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import pg from 'pg';
import t from 'tap';
import { MovableClock, RunningClock } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import type { DeviceSource } from '../../src/devices/register-following.ts';
import { type DeviceRecord, FOLLOWED_EVERY_MS, PATIENCE_MS, UNKNOWN_FOR_MS, createDeviceRegister } from '../../src/devices/register.ts';
import { createDeviceSource } from '../../src/store/devices.ts';
import { createRegisterStore } from '../../src/store/register.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const sha256 = (text: string): Buffer => createHash('sha256').update(text).digest();
const mqtt = (serial: string) => ({ protocol: 'mqtt', serial }) as const;
const scaip = (controllerId: string) => ({ protocol: 'scaip', controllerId }) as const;
const away = (): CentreError => new CentreError('store-away', 'PostgreSQL does not answer.');
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
/** What was begun before comes to its end before time goes on. */
const pass = async (clock: MovableClock, span: number): Promise<void> => {
  await settled();
  await clock.advance(span);
  await settled();
};

function record(serial: string, more: Partial<DeviceRecord> = {}): DeviceRecord {
  return {
    serial,
    municipality: '1103',
    household: { id: 'h1', name: 'Hansen', zone: 'nord' },
    protocol: 'mqtt',
    controllerId: null,
    model: 'generic/generic',
    state: 'in-service',
    secretSha256: sha256('right'),
    sipHa1: null,
    certificateSha256: null,
    testUntil: null,
    ...more,
  };
}
const unit = (serial: string, controllerId: string, more: Partial<DeviceRecord> = {}): DeviceRecord =>
  record(serial, { protocol: 'scaip', controllerId, ...more });

/** A store that holds devices, numbers changes, and answers at once, when it is told to, or not at all. */
class HandSource implements DeviceSource {
  readonly devices = new Map<string, DeviceRecord>();
  readonly changed = new Map<string, bigint>();
  n = 1n;
  asked = 0;
  read = 0;
  mode: 'answers' | 'away' | 'hangs' = 'answers';
  readonly held: (() => void)[] = [];

  set(...records: DeviceRecord[]): void {
    this.n += 1n;
    for (const one of records) {
      this.devices.set(one.serial, one);
      this.changed.set(one.serial, this.n);
    }
  }
  delete(serial: string): void {
    this.n += 1n;
    this.devices.delete(serial);
    this.changed.set(serial, this.n);
  }
  async changes(since: bigint | null, most: number) {
    this.asked += 1;
    // What the store says as of now, told later.
    const all = [...this.changed].flatMap(([serial, n]) => (since !== null && n > since ? [serial] : []));
    const answer = { until: this.n, serials: all.slice(0, most) };
    if (this.mode === 'hangs') await new Promise<void>((resolve) => this.held.push(resolve));
    if (this.mode === 'away') throw away();
    return answer;
  }
  async page(after: string, most: number) {
    this.read += 1;
    if (this.mode === 'away') throw away();
    return [...this.devices.values()]
      .filter(({ serial }) => serial > after)
      .toSorted((a, b) => (a.serial < b.serial ? -1 : 1))
      .slice(0, most);
  }
  async records(serials: readonly string[]) {
    if (this.mode === 'away') throw away();
    return serials.flatMap((serial) => this.devices.get(serial) ?? []);
  }
}

async function loadedRegister(...records: DeviceRecord[]) {
  const clock = new MovableClock();
  const source = new HandSource();
  source.set(...records);
  const register = createDeviceRegister({ source, clock, log: SILENT });
  await register.load();
  /** A question whose answer may have to be waited for. */
  const find = async (key: Parameters<typeof register.find>[0]): Promise<string | null> => (await register.find(key))?.serial ?? null;
  return { clock, source, register, find };
}

await t.test('nobody is answered before all is read, however long the store is away', async (t) => {
  const clock = new MovableClock();
  const source = new HandSource();
  source.set(...Array.from({ length: 2500 }, (_, n) => record(`d${n}`)));
  source.mode = 'away';
  const register = createDeviceRegister({ source, clock, log: SILENT });
  let loaded = false;
  const loading = register.load().then(() => (loaded = true));
  await t.rejects(register.find(mqtt('d1')), { code: 'store-away' });
  for (let n = 0; n < 5; n++) await pass(clock, 1000);
  t.notOk(loaded);
  t.equal(source.asked, 6, 'once a second');
  source.mode = 'answers';
  await pass(clock, 1000);
  await loading;
  t.equal(register.state().devices, 2500);
  t.equal(source.read, 3, 'in pages');
  register.stop();

  const other = createDeviceRegister({ source, clock, log: SILENT });
  source.mode = 'away';
  const waits = other.load();
  await settled();
  other.stop();
  void pass(clock, 1000);
  await t.rejects(waits, { code: 'store-away' }, 'a centre that is stopped meanwhile does not wait on');
});

await t.test('a device that is known asks nothing; leading zeros make no difference; a protocol is not the other', async (t) => {
  const cert = sha256('cert');
  const { clock, source, register, find } = await loadedRegister(
    record('a', { certificateSha256: cert }),
    unit('u', '0026317', { certificateSha256: cert }),
  );
  const before = source.asked;
  for (let n = 0; n < 1000; n++) t.equal((await register.find(mqtt('a')))?.municipality, '1103');
  for (const id of ['26317', '026317', ' 26317', '00000026317']) t.equal(await find(scaip(id)), 'u');
  t.equal(await find({ protocol: 'mqtt', certificateSha256: new Uint8Array(cert) }), 'a', 'a unit is not known by a certificate');
  t.equal(source.asked, before);
  await pass(clock, UNKNOWN_FOR_MS);
  t.equal(await find(mqtt('u')), null);
  await pass(clock, UNKNOWN_FOR_MS);
  t.equal(await find(scaip('a')), null);
  const asked = source.asked;
  await pass(clock, UNKNOWN_FOR_MS);
  for (const id of ['', 'x\u0000y', 'x'.repeat(129), '\n']) t.equal(await find(mqtt(id)), null);
  t.equal(await find(scaip(' ')), null);
  t.equal(source.asked, asked, 'what can be nobody is not asked for');
});

await t.test('changes in the store are followed, and one that is not known is asked for at once', async (t) => {
  const { clock, source, register, find } = await loadedRegister(record('a'), unit('u1', '7'), unit('u2', '8'));
  source.set(record('a', { model: 'new/model' }));
  t.match(await register.find(mqtt('a')), { model: 'generic/generic' });
  await pass(clock, FOLLOWED_EVERY_MS);
  t.match(await register.find(mqtt('a')), { model: 'new/model' }, 'within a second');
  t.equal(source.read, 1, 'nothing else was read');
  source.set(record('b'));
  t.equal(await find(mqtt('b')), null, 'for a moment what was asked just now holds');
  await pass(clock, UNKNOWN_FOR_MS);
  t.equal(await find(mqtt('b')), 'b');
  source.set(unit('u1', '8'), unit('u2', '07'));
  await pass(clock, FOLLOWED_EVERY_MS);
  t.same([await find(scaip('8')), await find(scaip('7'))], ['u1', 'u2'], 'two that change places');
  source.set(unit('u3', '8'), unit('u1', '9'));
  await pass(clock, FOLLOWED_EVERY_MS);
  t.same([await find(scaip('8')), await find(scaip('9'))], ['u3', 'u1'], 'a successor');
  source.delete('u3');
  source.delete('a');
  await pass(clock, FOLLOWED_EVERY_MS);
  t.same([await find(scaip('8')), await find(mqtt('a')), register.state().devices], [null, null, 3]);
  source.n = 0n;
  source.devices.clear();
  source.devices.set('z', record('z'));
  source.changed.clear();
  await pass(clock, FOLLOWED_EVERY_MS);
  t.same([register.state().devices, await find(mqtt('z'))], [1, 'z'], 'a database that was put back from a copy is read anew');
});

await t.test('what was changed in this process counts at once, also for a question that is under way', async (t) => {
  const { clock, source, register, find } = await loadedRegister(unit('u', '26317'));
  source.mode = 'hangs';
  await pass(clock, FOLLOWED_EVERY_MS);
  t.equal(source.held.length, 1, 'a look at the store that began before the change');
  source.set(unit('u', '26317', { model: 'after' }), record('new'));
  register.forget('u');
  const changed = register.find(scaip('26317'));
  const made = register.find(mqtt('new'));
  const same = [register.find(scaip('026317')), register.find(mqtt('nobody'))];
  source.held.shift()?.();
  await until('the next look', () => source.held.length === 1);
  source.mode = 'answers';
  source.held.shift()?.();
  t.match(await changed, { model: 'after' });
  t.match(await made, { serial: 'new' });
  t.match(await Promise.all(same), [{ model: 'after' }, null]);
  t.equal(source.asked, 3, 'one look for all who waited');
  t.equal(await find(scaip('26317')), 'u');
  t.equal(source.asked, 3, 'and from memory again');
});

await t.test('while the store is away or hangs, everybody is answered from memory', async (t) => {
  const { clock, source, register, find } = await loadedRegister(record('a'), unit('u', '7'));
  source.mode = 'away';
  source.set(record('late'));
  await pass(clock, FOLLOWED_EVERY_MS);
  const asked = source.asked;
  for (let n = 0; n < 100; n++) t.same([await find(mqtt('a')), await find(scaip('07'))], ['a', 'u']);
  t.equal(await find(mqtt('late')), null, 'a stranger, whose alarm is kept and shown');
  register.forget('a');
  t.equal(await find(mqtt('a')), 'a', 'also what may have been changed');
  t.equal(source.asked - asked, 1, 'nobody asks a store that is away, but who changed something');
  source.mode = 'answers';
  await pass(clock, FOLLOWED_EVERY_MS);
  t.equal(await find(mqtt('late')), 'late', 'as soon as it is back');

  source.mode = 'hangs';
  await pass(clock, UNKNOWN_FOR_MS);
  const strangers = Array.from({ length: 100 }, (_, n) => find(mqtt(`x${n}`)));
  let done = false;
  void Promise.all(strangers).then(() => (done = true));
  await pass(clock, PATIENCE_MS - 1);
  t.notOk(done);
  t.equal(await find(mqtt('a')), 'a', 'who is known does not wait');
  await pass(clock, 1);
  t.same(new Set(await Promise.all(strangers)), new Set([null]));
  t.equal(await find(mqtt('y')), null, 'from then on nobody waits');
  t.equal(source.held.length, 1, 'and it is asked once at a time');
  source.mode = 'answers';
  source.held.shift()?.();
  await settled();
  source.set(record('y'));
  await pass(clock, UNKNOWN_FOR_MS);
  t.equal(await find(mqtt('y')), 'y');
});

await t.test('made-up names cost ten looks a second, fill no memory, and make no known device wait', async (t) => {
  const { clock, source, register, find } = await loadedRegister(record('a'));
  source.mode = 'hangs';
  await pass(clock, UNKNOWN_FOR_MS);
  const before = source.asked;
  const strangers = Array.from({ length: 60_000 }, (_, n) => find(mqtt(`made-up-${n}`)));
  t.equal(await find(mqtt('a')), 'a');
  t.same(
    await Promise.all(strangers.slice(50_000)),
    Array.from({ length: 10_000 }, () => null),
    'more than can wait do not',
  );
  source.mode = 'answers';
  for (let n = 0; n < 2; n++) {
    source.held.shift()?.();
    await settled();
  }
  t.same(new Set(await Promise.all(strangers)), new Set([null]));
  t.ok(source.asked - before <= 2);
  for (let tenths = 0; tenths < 10; tenths++) {
    await pass(clock, UNKNOWN_FOR_MS);
    await Promise.all(Array.from({ length: 100 }, (_, n) => find(mqtt(`more-${n}`))));
  }
  t.ok(source.asked - before <= 2 + 10 + 10 + 1, `${source.asked - before} looks`);
  t.equal(register.state().devices, 1);
});

await t.test('on the real PostgreSQL', async (t) => {
  const stores = await startStores();
  t.teardown(() => stores.stop());
  const { postgres, databaseServer } = stores;
  const source = createDeviceSource(postgres);
  const clock = new RunningClock();
  const lines: string[] = [];
  const note = (event: string): void => void lines.push(event);
  const register = createDeviceRegister({ source, clock, log: { ...SILENT, info: note, warn: note, error: note } });
  t.teardown(() => register.stop());
  const sql = (text: string, values: unknown[] = []) => postgres.pool.query(text, values);
  await sql(`insert into household (id, municipality, name, zone) values ('h1', '1103', 'Hansen', 'nord'), ('h2', '1124', 'Olsen', 'sør')`);
  await sql(`insert into device (serial, municipality, household_id, protocol, controller_id, model, test_until, secret_sha256) values
    ('m1', '1103', 'h1', 'mqtt', null, 'generic/fall-sensor', '2026-11-22T23:00Z', sha256('right')),
    ('u1', '1103', 'h1', 'scaip', '0026317', 'essence/generic', null, null), ('m2', '1103', null, 'mqtt', null, 'generic/generic', null, null)`);
  await register.load();
  /** Seen without being asked for: within 1.5 s, on a machine that has something else to do. */
  const seen = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
    const began = performance.now();
    await until(what, holds, 5000);
    t.comment(`${what}: ${Math.round(performance.now() - began)} ms`);
  };
  const of = async (serial: string) => {
    const one = await register.find(mqtt(serial));
    return one === null ? null : { ...one };
  };

  await t.test('rows as records', async (t) => {
    t.match(await of('m1'), {
      municipality: '1103',
      household: { id: 'h1', name: 'Hansen', zone: 'nord' },
      model: 'generic/fall-sensor',
      testUntil: Date.UTC(2026, 10, 22, 23),
    });
    t.ok(Buffer.from((await of('m1'))?.secretSha256 ?? []).equals(sha256('right')));
    t.match(await of('m2'), { household: null, secretSha256: null, sipHa1: null, certificateSha256: null, testUntil: null });
    t.match(await register.find(scaip('26317')), { serial: 'u1', controllerId: '0026317' });
  });

  await t.test('each change is seen, and only what matters is read', async (t) => {
    await sql(`update device set municipality = '1124', household_id = 'h2' where serial = 'm1'`);
    await seen('moved to another household', async () => (await of('m1'))?.household?.name === 'Olsen');
    t.equal((await of('m1'))?.municipality, '1124');
    await sql(`update household set name = 'Olsen jr.', zone = 'vest' where id = 'h2'`);
    await seen('a renamed household', async () => (await of('m1'))?.household?.name === 'Olsen jr.');
    t.equal((await of('m1'))?.household?.zone, 'vest');
    await sql(`update device set certificate_sha256 = sha256('cert') where serial = 'm2'`);
    await seen('a certificate', async () => (await of('m2'))?.certificateSha256 !== null);
    t.match(await register.find({ protocol: 'mqtt', certificateSha256: sha256('cert') }), { serial: 'm2' });
    await sql(`insert into device (serial, municipality, protocol) values ('new', '1103', 'mqtt')`);
    const began = performance.now();
    await until('a new one', async () => (await of('new')) !== null);
    t.ok(performance.now() - began < 500, 'asked for, it is known at once');
    await sql(`update device set serial = 'renamed' where serial = 'new'`);
    await seen('a new name', async () => (await of('renamed')) !== null && (await of('new')) === null);
    await sql(`delete from device where serial = 'renamed'`);
    await seen('a device deleted', async () => (await of('renamed')) === null);
    await sql(`insert into device (serial, municipality, protocol, model) values ('renamed', '1103', 'mqtt', 'second/life')`);
    await seen('and made again', async () => (await of('renamed'))?.model === 'second/life');
    t.equal(register.state().devices, 4);

    const mark = (await source.changes(null, 1)).until;
    await sql(`insert into device_seen (serial, seen_at) values ('m1', now()) on conflict (serial) do update set seen_at = now()`);
    await sql(`update device set watched_from = now(), model = model`);
    await sql(`update household set notes = 'x', address = 'Storgata 1'`);
    t.same((await source.changes(mark, 100)).serials, [], 'signs of life, cards and what stays as it was are no change');
    await sql(`update device set state = 'retired' where serial = 'm2'`);
    t.same((await source.changes(mark, 100)).serials, ['m2']);
  });

  await t.test('writers that commit in another order than they wrote hide nothing', async (t) => {
    const writers = await Promise.all(
      [1, 2, 3].map(async () => {
        const client = new pg.Client({ connectionString: databaseServer.url });
        await client.connect();
        return client;
      }),
    );
    t.teardown(() => Promise.all(writers.map((client) => client.end())));
    await sql(`insert into device (serial, municipality, protocol) select 'w' || n, '1103', 'mqtt' from generate_series(0, 2) n`);
    /** After a look at the store that began now; no more than what is new is read. */
    const modelNow = async (n: number): Promise<string | undefined> => {
      register.forget(`w${n}`);
      return (await of(`w${n}`))?.model;
    };
    t.equal(await modelNow(2), 'generic/generic');
    for (const order of [
      [2, 0, 1],
      [1, 2, 0],
      [2, 1, 0],
    ]) {
      const model = `order/${order.join('')}`;
      for (const [n, client] of writers.entries()) {
        await client.query('begin');
        await client.query('update device set model = $1 where serial = $2', [model, `w${n}`]);
      }
      for (const n of order) {
        t.not(await modelNow(n), model, 'not before it is committed');
        await writers[n]?.query('commit');
        t.equal(await modelNow(n), model);
      }
    }
    await writers[0]?.query(`begin; update device set model = 'never' where serial = 'w0'`);
    await writers[1]?.query(`update device set model = 'other' where serial = 'w1'`);
    t.equal(await modelNow(1), 'other');
    await writers[0]?.query('rollback');
    t.equal(await modelNow(0), 'order/210');
  });

  await t.test('ten thousand imported in one transaction, while others change devices', async (t) => {
    const ALL = 10_000;
    const store = createRegisterStore(postgres);
    const households = Array.from({ length: ALL }, (_, n) => ({
      household: {
        id: `i${n}`,
        municipality: '1103',
        name: `Nr. ${n}`,
        address: '',
        postcode: '',
        place: '',
        zone: '',
        lat: null,
        lon: null,
        access: {},
        notes: '',
      },
      residents: [],
      contacts: [],
    }));
    const devices = households.map((_, n) => ({
      serial: `import-${n}`,
      municipality: '1103',
      household: `i${n}`,
      protocol: 'mqtt' as const,
      controllerId: null,
      model: 'generic/generic',
      secret: null,
      triggers: [],
    }));
    await sql(
      `insert into device (serial, municipality, protocol) select 'import-' || n, '1103', 'mqtt' from generate_series(9000, 9999) n`,
    );
    let writing = true;
    let changes = 0;
    const others = (async () => {
      // Devices and a household that the import does not have, and one that it has: nobody waits in a circle.
      while (writing) {
        await sql(`update device set model = $1 where serial = any('{m1,u1}')`, [`busy/${changes++}`]);
        await sql(`update household set zone = $1 where id = 'h2'`, [`z${changes}`]);
      }
    })();
    const began = performance.now();
    await store.write(households as never, devices as never, clock.now());
    const took = performance.now() - began;
    writing = false;
    await others;
    t.comment(`written in ${Math.round(took)} ms, beside ${changes} changes by others`);
    t.ok(took < 15_000);
    t.ok(changes > 3, 'others were not held up until it was done');
    await seen('all of them', async () => register.state().devices >= ALL);
    t.equal((await of('import-9999'))?.household?.name, 'Nr. 9999');
    t.equal((await of('import-9000'))?.household?.name, 'Nr. 9000');
    await sql(`update household set zone = 'øst' where id like 'i%'`);
    await seen(
      'a zone of all',
      async () => (await of('import-1'))?.household?.zone === 'øst' && (await of('import-9998'))?.household?.zone === 'øst',
    );
    await sql(`delete from device where serial like 'import-%'`);
    await seen('all gone', async () => register.state().devices < 100);
    await sql(`delete from household where id like 'i%'`);
  });

  await t.test('many: how long, how much', async (t) => {
    // RESPONSSENTER_DEVICES=100000 gives the figures of docs/devices.md.
    const ALL = Number(process.env['RESPONSSENTER_DEVICES'] ?? 20_000);
    const client = new pg.Client({ connectionString: databaseServer.url });
    await client.connect();
    await client.query(`
      insert into household (id, municipality, name, zone) select 'k' || n, '1103', 'Husstand ' || n, 'sone ' || n % 20 from generate_series(1, ${ALL}) n;
      insert into device (serial, municipality, household_id, protocol, secret_sha256)
      select 'NJ-1103-' || n, '1103', 'k' || n, 'mqtt', sha256(n::text::bytea) from generate_series(1, ${ALL}) n`);
    await client.end();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const used = (): number => {
      collect();
      return process.memoryUsage().heapUsed + process.memoryUsage().external;
    };
    const before = used();
    const began = performance.now();
    const whole = createDeviceRegister({ source, clock, log: SILENT });
    t.teardown(() => whole.stop());
    await whole.load();
    const took = performance.now() - began;
    const each = (used() - before) / ALL;
    t.comment(`read in ${Math.round(took)} ms, ${Math.round(each)} bytes a device`);
    t.ok(whole.state().devices >= ALL);
    t.ok(took < 20_000);
    t.ok(each < 2000, 'bounded by the register');
    whole.stop();
    await until('the other one too', () => register.state().devices >= ALL);
    const polled = performance.now();
    for (let n = 0; n < 100; n++) await source.changes((await source.changes(null, 1)).until, 10);
    t.comment(`a look takes ${((performance.now() - polled) / 200).toFixed(2)} ms`);
    const finds = performance.now();
    for (let n = 1; n <= ALL; n++) await register.find(mqtt(`NJ-1103-${n}`));
    t.comment(`a find takes ${(((performance.now() - finds) / ALL) * 1000).toFixed(2)} µs`);
  });

  await t.test('emptied: forgotten; the store away: still answered', async (t) => {
    await stores.empty();
    await seen('nobody there', async () => register.state().devices === 0);
    await sql(`insert into device (serial, municipality, protocol) values ('m1', '1103', 'mqtt')`);
    await seen('a device', async () => (await of('m1')) !== null);
    lines.length = 0;
    await databaseServer.stop();
    await until('it is noticed', () => lines.includes('register-not-followed'));
    const began = performance.now();
    t.match(await of('m1'), { serial: 'm1' });
    t.equal(await of('stranger'), null);
    t.ok(performance.now() - began < 200, 'at once');
    t.same(lines, ['register-not-followed'], 'said once');
  });
});
