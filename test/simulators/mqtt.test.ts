/** The simulated devices of the platform against a broker on a real socket: nothing is forgotten before its PUBACK. */
import t from 'tap';
import { MovableClock } from '../../src/base/clock.ts';
import type { ActName } from '../../simulators/device.ts';
import { MqttDevice, type MqttClass, type WalkOptions } from '../../simulators/mqtt/models.ts';
import { crossing, lengthOf, metresBetween, placeAlong, ROUTE_STAVANGER } from '../../simulators/mqtt/walk.ts';
import { SeededRandom } from '../../simulators/random.ts';
import { keepingLog, quiet, startBroker, until, type Broker } from './counterparts.ts';

async function broker(): Promise<Broker> {
  const one = await startBroker();
  t.teardown(() => one.stop());
  return one;
}

interface Setting {
  readonly broker: Broker;
  readonly deviceClass?: MqttClass;
  readonly heartbeatEvery?: number;
  readonly walk?: WalkOptions;
  readonly address?: () => string | null;
}

async function online({ broker, deviceClass = 'fall-sensor', heartbeatEvery, walk, address }: Setting) {
  const clock = new MovableClock(Date.UTC(2026, 10, 22, 22, 0, 0));
  const log = keepingLog();
  const device = new MqttDevice(
    deviceClass,
    {
      serial: 'NJ-1103-0001',
      municipality: '1103',
      password: 'demo-device',
      address: address ?? (() => broker.address),
      heartbeatEvery: heartbeatEvery ?? null,
      clock,
      random: new SeededRandom(1),
      log,
    },
    walk,
  );
  t.teardown(() => device.stop());
  await device.start();
  if (address === undefined) await until('online', () => log.lines.some(({ event }) => event === 'link-up'));
  return { device, clock, log };
}

await t.test('a fall is published once, with an id and the time, and waits for PUBACK and receipt', async (t) => {
  const centre = await broker();
  centre.receipts = false;
  const seen: [string, string][] = [];
  centre.accepts = (username, password) => {
    seen.push([username, password]);
    return true;
  };
  const { device, clock } = await online({ broker: centre });
  t.same(seen, [['NJ-1103-0001', 'demo-device']]);
  await until('that it is online', () => centre.on('/status').length === 1);
  const falling = device.act({ name: 'fall' });
  await until('the alarm', () => centre.on('/alarm').length === 1);
  t.match(centre.got.at(-1), { client: 'NJ-1103-0001', topic: 'nj/v1/1103/NJ-1103-0001/alarm', qos: 1 });
  const [alarm] = centre.json('/alarm');
  t.match(alarm, { id: /^[0-9a-z]+-1$/, at: '2026-11-22T22:00:00.000Z', type: 'fall' });
  await quiet();
  await clock.advance(10_000);
  t.match(await falling, [{ result: 'not-delivered', attempts: 1 }], 'PUBACK alone is no receipt');
  centre.receipts = true;
  t.match(await device.act({ name: 'repeat' }), [{ result: 'delivered' }]);
  t.match(await device.act({ name: 'duplicate' }), [{ result: 'delivered' }]);
  const [first, repeat, duplicate] = centre.on('/alarm');
  t.not(first?.payload, repeat?.payload, 'a repeat has a new id');
  t.equal(repeat?.payload, duplicate?.payload, 'a duplicate is the same bytes');
});

await t.test('a message without PUBACK goes again after each reconnecting, byte for byte', async (t) => {
  const centre = await broker();
  const { device, clock } = await online({ broker: centre });
  centre.puback = 'close';
  const falling = device.act({ name: 'fall' });
  await until('the first try', () => centre.on('/alarm').length === 1);
  for (let tries = 2; tries <= 4; tries++) {
    const before = centre.connects;
    for (let waited = 0; waited < 40_000 && centre.connects === before; waited += 100) {
      await clock.advance(100);
      await quiet(1);
    }
    if (tries === 4) centre.puback = 'yes';
    await until(`try ${tries}`, () => centre.on('/alarm').length === tries);
  }
  t.match(await falling, [{ result: 'delivered', attempts: 4 }]);
  t.equal(new Set(centre.on('/alarm').map(({ payload }) => payload)).size, 1);
  t.same(
    centre.on('/alarm').map(({ dup }) => dup),
    [false, true, true, true],
  );
});

await t.test('a PUBACK that never comes: the connection is taken for dead after ten seconds', async (t) => {
  const centre = await broker();
  const { device, clock, log } = await online({ broker: centre });
  centre.puback = 'never';
  const falling = device.act({ name: 'fall' });
  await until('the first try', () => centre.on('/alarm').length === 1);
  await clock.advance(9900);
  await quiet();
  t.equal(centre.connects, 1);
  await clock.advance(200);
  await until('it noticed', () => log.lines.some(({ event }) => event === 'puback-missing'));
  centre.puback = 'yes';
  await until('the link is down', () => log.lines.some(({ event }) => event === 'link-down'));
  await clock.advance(1400);
  t.match(await falling, [{ result: 'delivered', attempts: 2 }]);
});

await t.test('a cut link makes the last will speak; what happened meanwhile comes when it is back', async (t) => {
  const centre = await broker();
  const { device, clock } = await online({ broker: centre });
  await until('the first status', () => centre.on('/status').length === 1);
  await device.act({ name: 'link-cut' });
  await until('the last will', () => centre.json('/status').some(({ online }) => online === false));
  const falling = device.act({ name: 'fall' });
  await clock.advance(600_000);
  await quiet();
  t.equal(centre.connects, 1, 'it stays away');
  await device.act({ name: 'link-back' });
  t.match(await falling, [{ result: 'delivered', attempts: 1 }]);
  t.same(
    centre.json('/status').map(({ online }) => online),
    [true, false, true],
  );
});

await t.test('while the centre is away it tries less and less often, and never gives up', async (t) => {
  const centre = await startBroker();
  const { device, clock, log } = await online({ broker: centre });
  await centre.stop();
  await until('it noticed', () => log.lines.some(({ event }) => event === 'link-down'));
  const falling = device.act({ name: 'fall' });
  for (let i = 0; i < 200; i++) {
    await clock.advance(1000);
    await quiet(1);
  }
  const failures = log.lines.filter(({ event }) => event === 'link-failed').length;
  t.ok(failures >= 6 && failures <= 20, `${failures} tries in 200 s`);
  const back = await startBroker(centre.port);
  t.teardown(() => back.stop());
  for (let i = 0; i < 60 && back.connects === 0; i++) {
    await clock.advance(1000);
    await quiet(2);
  }
  t.match(await falling, [{ result: 'delivered', attempts: 1 }]);
});

await t.test('a refused password, and an address that nobody knows yet, are tried again', async (t) => {
  const centre = await broker();
  centre.accepts = () => false;
  let known: string | null = null;
  const { clock, log } = await online({ broker: centre, address: () => known });
  await clock.advance(1400);
  await quiet();
  t.equal(centre.connects, 0);
  known = centre.address;
  for (let i = 0; i < 20 && centre.connects < 2; i++) {
    await clock.advance(1000);
    await quiet();
  }
  t.ok(centre.connects >= 2);
  t.notOk(log.lines.some(({ event }) => event === 'link-up'));
});

await t.test('each act has its message', async (t) => {
  const cases: [MqttClass, ActName, string, Record<string, unknown>][] = [
    ['stationary-alarm', 'press', '/alarm', { type: 'call-button', trigger: 'p1', voice: /^tel:/ }],
    ['stationary-alarm', 'inactivity', '/alarm', { type: 'inactivity' }],
    ['stationary-alarm', 'mains-lost', '/alarm', { type: 'mains-lost' }],
    ['stationary-alarm', 'mains-back', '/restore', { type: 'mains-lost' }],
    ['stationary-alarm', 'battery-low', '/alarm', { type: 'battery-low', trigger: 'p1' }],
    ['stationary-alarm', 'trigger-lost', '/alarm', { type: 'trigger-lost', trigger: 'p1' }],
    ['stationary-alarm', 'test', '/test', { id: /./, trigger: 'p1' }],
    ['stationary-alarm', 'presence', '/presence', { id: /./ }],
    ['fall-sensor', 'cancel', '/restore', { type: 'fall' }],
    ['mobile-alarm', 'press', '/alarm', { type: 'call-button', position: { lat: 58.97, lon: 5.73, accuracy: Number, at: String } }],
    ['radar', 'fall', '/alarm', { type: 'fall', event: 'fall', status: 'alarm' }],
    ['radar', 'inactivity', '/alarm', { type: 'inactivity', event: 'motionless' }],
    ['radar', 'resolved', '/restore', { type: 'inactivity', status: 'resolved' }],
    ['radar', 'learning', '/status', { online: true, text: 'Læringsperiode' }],
  ];
  const centre = await broker();
  let current = await online({ broker: centre, deviceClass: 'stationary-alarm' });
  let currentClass: MqttClass = 'stationary-alarm';
  for (const [deviceClass, name, topic, expected] of cases) {
    if (deviceClass !== currentClass) {
      await current.device.stop();
      current = await online({ broker: centre, deviceClass });
      currentClass = deviceClass;
    }
    const { device } = current;
    const before = centre.on(topic).length;
    await device.act({ name, ...('trigger' in expected ? { trigger: 'p1' } : {}) });
    await until(name, () => centre.on(topic).length > before);
    const told = centre.json(topic).at(-1);
    const position = told?.['position'] as { lat: number; lon: number } | undefined;
    if (position !== undefined) {
      const rounded = { ...position, lat: Math.round(position.lat * 100) / 100, lon: Math.round(position.lon * 100) / 100 };
      t.match({ ...told, position: rounded }, expected, `${deviceClass} ${name}`);
    } else t.match(told, expected, `${deviceClass} ${name}`);
  }
});

await t.test('a battery goes flat and is charged; heartbeats tell it', async (t) => {
  const centre = await broker();
  const { device, clock } = await online({ broker: centre, deviceClass: 'stationary-alarm', heartbeatEvery: 60_000 });
  await clock.advance(5000);
  await until('a heartbeat', () => centre.on('/heartbeat').length === 1);
  t.match(centre.json('/heartbeat')[0], { battery: 92, mains: true, signal: 4 });
  t.equal(centre.on('/heartbeat')[0]?.qos, 0);
  t.match(await device.act({ name: 'goes-flat' }), [{ result: 'delivered' }]);
  await until('the last will', () => centre.json('/status').some(({ online }) => online === false));
  await clock.advance(300_000);
  await quiet();
  t.equal(centre.on('/heartbeat').length, 1, 'a flat device is silent');
  t.match(await device.act({ name: 'charged' }), [{ result: 'delivered' }]);
  t.match(centre.json('/restore')[0], { type: 'battery-low', battery: 100 });
});

await t.test('a mobile alarm walks its route and says when it leaves and comes back', async (t) => {
  const centre = await broker();
  const { device, clock } = await online({
    broker: centre,
    deviceClass: 'mobile-alarm',
    walk: { fenceRadius: 100, positionEvery: 1000, metresPerSecond: 20 },
  });
  await device.act({ name: 'walk' });
  const steps = async (n: number): Promise<void> => {
    for (let i = 0; i < n; i++) {
      await clock.advance(1000);
      await quiet(2);
    }
  };
  await steps(8);
  await until('eight positions', () => centre.on('/position').length === 8);
  const places = centre.json('/position').map(({ position }) => position as { lat: number; lon: number; accuracy: number });
  const home = ROUTE_STAVANGER[0] ?? { lat: 0, lon: 0 };
  t.ok(metresBetween(home, places[7] ?? home) > 60, 'it is on its way');
  t.ok(places.every(({ accuracy }) => accuracy >= 4 && accuracy <= 25));
  await until('that it left', () => centre.json('/alarm').some(({ type }) => type === 'geofence-exit'));
  t.match(centre.json('/alarm')[0], { type: 'geofence-exit', position: { lat: Number, lon: Number } });
  await steps(100);
  const end = centre.on('/position').length;
  await steps(3);
  t.equal(centre.on('/position').length, end, 'at the end of the route it stands still');
  await device.act({ name: 'go-home' });
  await steps(100);
  t.same(
    centre.json('/alarm').map(({ type }) => type),
    ['geofence-exit', 'geofence-enter'],
    'it came past home on the way out and back: two crossings, no flutter',
  );
});

await t.test('the way is as long as it is, and the edge of the fence does not flutter', async (t) => {
  const straight = [
    { lat: 58.9, lon: 5.7 },
    { lat: 58.9, lon: 5.7 },
    { lat: 58.91, lon: 5.7 },
  ];
  t.ok(Math.abs(lengthOf(straight) - 1113.2) < 0.1);
  t.same(placeAlong(straight, -5), straight[0]);
  t.ok(Math.abs(placeAlong(straight, 556.6).lat - 58.905) < 1e-6);
  t.same(placeAlong(straight, 9999), straight[2]);
  t.same(placeAlong([], 1), { lat: 0, lon: 0 });
  const at = (metres: number) => placeAlong(straight, metres);
  t.equal(crossing(at(0), 400, false, at(399)), null);
  t.equal(crossing(at(0), 400, false, at(401)), 'geofence-exit');
  t.equal(crossing(at(0), 400, true, at(350)), null, 'between 320 and 400 m nothing changes');
  t.equal(crossing(at(0), 400, true, at(319)), 'geofence-enter');
});

await t.test('it lies: the clock is off, and the payload makes no sense', async (t) => {
  const centre = await broker();
  const { device, log } = await online({ broker: centre, deviceClass: 'stationary-alarm' });
  await device.act({ name: 'clock-off', minutes: -60 });
  await device.act({ name: 'press' });
  await device.act({ name: 'clock-right' });
  await device.act({ name: 'press' });
  t.same(
    centre.json('/alarm').map(({ at }) => at),
    ['2026-11-22T21:00:00.000Z', '2026-11-22T22:00:00.000Z'],
  );
  for (let i = 0; i < 60; i++) t.match(await device.act({ name: 'garbage' }), [{ result: 'delivered', attempts: 1 }]);
  t.equal(new Set(log.lines.filter(({ event }) => event === 'garbage-sent').map(({ code }) => code)).size, 10);
});
