/** The bridge against a real Mosquitto: acknowledged after keeping, in order; every loss shown once; topics divided; what a topic tells. */
import path from 'node:path';
import mqtt, { type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { type Instant, MovableClock, RunningClock } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { onEnded } from '../../src/protocols/mqtt/bridge-end.ts';
import { readDelivered } from '../../src/protocols/mqtt/bridge-message.ts';
import type { BridgeGap, BridgeLimits, BridgeOptions, BridgeSession, MqttBridge } from '../../src/protocols/mqtt/bridge-options.ts';
import { onConnected, onRefused, onSeen, onSubscribed } from '../../src/protocols/mqtt/bridge-session.ts';
import { divide, echoTopic, placeOfTopic } from '../../src/protocols/mqtt/bridge-topics.ts';
import { startMqttBridge } from '../../src/protocols/mqtt/bridge.ts';
import { startMqttBroker } from '../../src/protocols/mqtt/broker.ts';
import type { MqttMessage } from '../../src/protocols/mqtt/message.ts';
import { type Mosquitto, noMosquitto, startLink, startMosquitto } from '../support/mosquitto.ts';
import { ROOT } from '../support/process.ts';
import { until } from '../support/stores.ts';

const TOPIC = 'nj/v1/1103/NJ-1103-0001/alarm';
const alarm = (id: string): string => JSON.stringify({ id, type: 'fall' });
const idOf = ({ body }: MqttMessage): string => (body.read ? (body.id ?? '') : body.why);
/** Quick, so that a test is. */
const QUICK: Partial<BridgeLimits> = { retryAfter: [20, 100], rememberEvery: 50, proofWithin: 500, settledAfter: 400, connectWithin: 2000 };

/** What outlives a bridge: its sessions, as the database has them, and all that was kept and told. */
class Memory {
  readonly sessions = new Map<string, BridgeSession>();
  readonly kept: MqttMessage[] = [];
  readonly gaps = new Map<string, BridgeGap>();
  readonly retained: string[] = [];
  readonly lines: { readonly level: string; readonly event: string; readonly code?: string }[] = [];
  away = false;

  ids(): string[] {
    return this.kept.map(idOf);
  }

  errors(): string[] {
    return this.lines.filter(({ level }) => level === 'error').map(({ event }) => event);
  }
}

interface Options extends Partial<Omit<BridgeOptions, 'limits'>> {
  readonly memory?: Memory;
  readonly answer?: (message: MqttMessage) => 'kept' | 'not-kept' | Promise<'kept' | 'not-kept'>;
  readonly limits?: Partial<BridgeLimits>;
}

async function bridgeTo(t: Test, port: number, options: Options = {}): Promise<{ bridge: MqttBridge; memory: Memory }> {
  const { memory = new Memory(), answer = () => 'kept' as const, limits = {}, ...rest } = options;
  const orAway = (): void => {
    if (memory.away) throw new CentreError('store-away', 'The database is away.');
  };
  const bridge = await startMqttBridge({
    clock: new RunningClock(),
    random: systemRandom,
    log: createLog('debug', { write: (line) => void memory.lines.push(JSON.parse(line)) }),
    broker: { host: '127.0.0.1', port, secure: false, tls: () => Promise.resolve({}) },
    clientId: 'centre',
    filters: ['nj/v1/+/+/+'],
    connections: 1,
    municipalities: ['1103', '1108', '1124'],
    ownMunicipality: '1103',
    sessions: {
      load: () => Promise.resolve([...memory.sessions.values()]),
      async save(session) {
        orAway();
        memory.sessions.set(session.clientId, session);
      },
      async forget(clientId) {
        memory.sessions.delete(clientId);
      },
    },
    async accept(message, reply) {
      if ((await answer(message)) === 'not-kept') return 'not-kept';
      memory.kept.push(message);
      if (message.body.read && message.body.id !== null) reply({ id: message.body.id, result: 'received', alarm: null, at: 0 as Instant });
      return 'kept';
    },
    async gap(gap) {
      orAway();
      memory.gaps.set(`${gap.clientId} ${gap.from}`, gap);
    },
    retained: (_clientId, topic) => void memory.retained.push(topic),
    ...rest,
    limits: { ...QUICK, ...limits },
  });
  t.teardown(() => bridge.stop());
  return { bridge, memory };
}

const ready = (bridge: MqttBridge): Promise<true> => until('the bridge is ready', () => bridge.fault() === null);

async function publisher(t: Test, port: number): Promise<MqttClient> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 20 });
  t.teardown(() => client.endAsync(true));
  return client;
}

const skip = noMosquitto(t);

await t.test(
  'an alarm is acknowledged only when it is kept; one that is not comes again, with those behind it, in order',
  { skip },
  async (t) => {
    const broker = await startMosquitto(t);
    let away = false;
    const tried: string[] = [];
    const answer = (message: MqttMessage) => {
      tried.push(idOf(message));
      return away ? ('not-kept' as const) : ('kept' as const);
    };
    const { bridge, memory } = await bridgeTo(t, broker.port, { answer });
    await ready(bridge);
    const device = await publisher(t, broker.port);
    const receipts: string[] = [];
    device.on('message', (_topic, payload) => receipts.push(payload.toString()));
    await device.subscribeAsync('nj/v1/1103/NJ-1103-0001/receipt', { qos: 1 });
    await device.publishAsync(TOPIC, alarm('1'), { qos: 1 });
    await until('kept', () => memory.kept.length === 1);
    t.match(memory.kept[0], {
      device: 'NJ-1103-0001',
      municipality: '1103',
      kind: 'alarm',
      topic: TOPIC,
      qos: 1,
      foreign: false,
      will: false,
      tooLarge: false,
      body: { id: '1', type: 'fall' },
    });
    await until('a receipt', () => receipts.length === 1);
    t.match(JSON.parse(receipts[0]!), { id: '1', result: 'received' });
    away = true;
    for (const id of ['2', '3', '4']) await device.publishAsync(TOPIC, alarm(id), { qos: 1 });
    await until('tried again and again', () => tried.filter((id) => id === '2').length >= 3);
    t.same(memory.ids(), ['1']);
    away = false;
    await until('all kept', () => memory.kept.length === 4);
    t.same(memory.ids(), ['1', '2', '3', '4']);
    await until('all receipts', () => receipts.length === 4);
    t.same(memory.gaps.size, 0);
    t.same(memory.errors(), []);
  },
);

await t.test('a throw is not kept; a slow commit that ends after the connection acknowledges nothing', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const link = await startLink(t, broker.port);
  let finish: (() => void) | null = null;
  let fail = true;
  const tried: string[] = [];
  const { bridge, memory } = await bridgeTo(t, link.port, {
    answer: async (message): Promise<'kept' | 'not-kept'> => {
      tried.push(idOf(message));
      if (fail) throw new Error('of any sort');
      if (tried.length === 2) await new Promise<void>((resolve) => (finish = resolve));
      return 'kept';
    },
  });
  await ready(bridge);
  const device = await publisher(t, broker.port);
  await device.publishAsync(TOPIC, alarm('1'), { qos: 1 });
  await until('tried', () => tried.length === 1);
  fail = false;
  await until('tried again', () => finish !== null);
  link.cut();
  await until('it is away', () => bridge.fault() !== null);
  link.mend();
  await ready(bridge);
  await until('it comes again, for nobody has acknowledged it', () => memory.ids().length === 1);
  finish!();
  await device.publishAsync(TOPIC, alarm('2'), { qos: 1 });
  await until('the next', () => memory.ids().includes('2'));
  t.same(tried, ['1', '1', '1', '2']);
  t.same(memory.errors(), ['mqtt-message-not-accepted']);
});

await t.test('many are kept together, at most twenty at a time, and acknowledged in their order', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const order: string[] = [];
  const open: (() => void)[] = [];
  let most = 0;
  const { bridge, memory } = await bridgeTo(t, broker.port, {
    answer: async (message): Promise<'kept' | 'not-kept'> => {
      order.push(idOf(message));
      await new Promise<void>((resolve) => {
        open.push(resolve);
        most = Math.max(most, open.length);
        // The last of them is ready first.
        if (open.length === 20 || order.length === 50) for (const ready of open.splice(0).toReversed()) ready();
      });
      return 'kept';
    },
  });
  await ready(bridge);
  const device = await publisher(t, broker.port);
  const ids = Array.from({ length: 50 }, (_, n) => String(n));
  await Promise.all(ids.map((id) => device.publishAsync(TOPIC, alarm(id), { qos: 1 })));
  await until('all', () => memory.kept.length === 50);
  t.same(order, ids, 'each once, handed over in their order');
  t.equal(most, 20);
  await bridge.stop();
  const again = await bridgeTo(t, broker.port, { memory });
  await ready(again.bridge);
  await device.publishAsync(TOPIC, alarm('last'), { qos: 1 });
  await until('the last', () => memory.ids().includes('last'));
  t.equal(memory.kept.length, 51, 'all had been acknowledged');
});

await t.test('what is sent while the bridge is away waits for it, also over a stop of the broker', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const first = await bridgeTo(t, broker.port);
  await ready(first.bridge);
  await until('it is proven', () => first.memory.sessions.get('centre')?.echoes === true);
  await first.bridge.stop();
  const device = await publisher(t, broker.port);
  await device.publishAsync(TOPIC, alarm('1'), { qos: 1 });
  await broker.stop();
  await broker.start();
  await until('the publisher is back', () => device.connected);
  await device.publishAsync(TOPIC, alarm('2'), { qos: 1 });
  const { bridge, memory } = await bridgeTo(t, broker.port, { memory: first.memory });
  await until('both', () => memory.kept.length === 2);
  t.same(memory.ids(), ['1', '2']);
  await ready(bridge);
  t.same([...memory.gaps.keys()], []);
});

/** The session is gone: the broker saved nothing, or was told to forget. */
async function lose(broker: Mosquitto): Promise<void> {
  await broker.stop();
  broker.forgetAll();
  await broker.start();
}

await t.test('a session that the broker lost makes exactly one gap, from when it was last whole', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const { bridge, memory } = await bridgeTo(t, broker.port);
  await ready(bridge);
  t.same(memory.gaps.size, 0, 'the first session of all is no loss');
  const before = memory.sessions.get('centre')!;
  await lose(broker);
  await until('told', () => memory.gaps.size === 1);
  const [gap] = [...memory.gaps.values()];
  t.match(gap, { clientId: 'centre', filters: ['nj/v1/+/+/+'] });
  t.ok(gap!.from >= before.seenAt && gap!.until > gap!.from);
  await ready(bridge);
  t.match(memory.sessions.get('centre'), { gapFrom: null, connectedAt: gap!.until });
  const device = await publisher(t, broker.port);
  await device.publishAsync(TOPIC, alarm('1'), { qos: 1 });
  await until('it reads again', () => memory.kept.length === 1);

  // Stopped, the session deleted, started again: the memory is in the database.
  await bridge.stop();
  await lose(broker);
  const second = await bridgeTo(t, broker.port, { memory });
  await ready(second.bridge);
  t.equal(memory.gaps.size, 2);
  await second.bridge.stop();
  const third = await bridgeTo(t, broker.port, { memory });
  await ready(third.bridge);
  t.equal(memory.gaps.size, 2, 'and not again at the next start');
  t.same(memory.errors(), ['bridge-session-lost', 'bridge-session-lost']);
});

await t.test('a loss that could not be told is told later, once, whatever dies in between', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const { bridge, memory } = await bridgeTo(t, broker.port);
  await ready(bridge);
  await until('it is proven', () => memory.sessions.get('centre')?.echoes === true);
  memory.away = true;
  const { seenAt } = memory.sessions.get('centre')!;
  await lose(broker);
  // Each attempt makes the session anew at the broker, so that the flag of CONNACK lies from the second one on.
  await until('tried several times', () => bridge.counters().connects >= 4);
  t.equal(memory.gaps.size, 0);
  await bridge.stop();
  memory.away = false;
  const again = await bridgeTo(t, broker.port, { memory });
  await ready(again.bridge);
  t.same(
    [...memory.gaps.values()].map(({ from }) => from),
    [seenAt],
  );
});

await t.test('a session that is there and empty is not believed', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const first = await bridgeTo(t, broker.port);
  const { memory } = first;
  await ready(first.bridge);
  await until('it is proven', () => memory.sessions.get('centre')?.echoes === true);
  await first.bridge.stop();
  await lose(broker);
  const properties = { sessionExpiryInterval: 3600 };
  const other = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`, {
    clientId: 'centre',
    clean: false,
    protocolVersion: 5,
    properties,
  });
  await other.endAsync();
  const second = await bridgeTo(t, broker.port, { memory });
  await ready(second.bridge);
  t.equal(memory.gaps.size, 1);
  t.ok(memory.lines.some(({ event }) => event === 'bridge-session-empty'));
});

await t.test('broker away at the start, and for good: the bridge starts, says so, and goes on trying', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  await broker.stop();
  const { bridge, memory } = await bridgeTo(t, broker.port);
  await until('it says why', () => bridge.fault()?.includes('ECONNREFUSED') === true);
  t.match(bridge.fault(), /^centre: not connected \(ECONNREFUSED\), trying again\.$/);
  await broker.start();
  await ready(bridge);
  t.same(memory.errors(), []);
});

await t.test('a link that swallows everything is noticed by the keep-alive', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const link = await startLink(t, broker.port);
  const { bridge, memory } = await bridgeTo(t, link.port, { limits: { keepalive: 1, connectWithin: 500 } });
  await ready(bridge);
  const first = bridge.readySince()!;
  t.type(first, 'number');
  link.blackhole();
  await until('noticed', () => bridge.fault() !== null);
  t.equal(bridge.readySince(), null);
  const device = await publisher(t, broker.port);
  await device.publishAsync(TOPIC, alarm('1'), { qos: 1 });
  link.mend();
  await until('it comes', () => memory.kept.length === 1);
  await ready(bridge);
  t.ok(bridge.readySince()! > first, 'able to read anew, without a break only since then');
  t.equal(memory.gaps.size, 0);
});

await t.test('a link that stalls is not remembered as whole, however long that takes to be noticed', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const link = await startLink(t, broker.port);
  const clock = new MovableClock();
  const { bridge, memory } = await bridgeTo(t, link.port, { clock, limits: { rememberEvery: 5000, keepalive: 1 } });
  const seenAt = () => memory.sessions.get('centre')!.seenAt;
  await ready(bridge);
  await clock.advance(20_000);
  await until('the broker has answered something that was sent since, and it is remembered', async () => {
    await clock.advance(5000);
    return seenAt() > bridge.readySince()! + 10_000;
  });
  link.blackhole();
  const stalledAt = clock.now();
  await clock.advance(22_000);
  t.equal(bridge.fault(), null, 'not noticed yet');
  t.ok(seenAt() <= stalledAt, `${seenAt() - stalledAt} ms after it stalled`);
});

await t.test('a broker of MQTT 3.1.1 that grants nothing: the version is lowered, the refusal is an error and never ready', async (t) => {
  const broker = await startMqttBroker({
    clock: new RunningClock(),
    log: createLog('silent'),
    bind: '127.0.0.1',
    port: 0,
    authenticate: ({ serial }) => Promise.resolve({ serial, municipality: '1103' }),
    accept: () => Promise.resolve('kept'),
    refused: () => undefined,
  });
  t.teardown(() => broker.stop());
  const place = {
    host: '127.0.0.1',
    port: broker.port,
    secure: false,
    username: 'centre',
    password: 'very-secret',
    tls: () => Promise.resolve({}),
  };
  const { bridge, memory } = await bridgeTo(t, broker.port, { broker: place, limits: { resubscribeEvery: 50 } });
  await until('refused', () => memory.errors().length >= 2);
  t.same([...new Set(memory.errors())], ['bridge-subscription-refused']);
  t.match(bridge.fault(), /does not grant it nj\/v1\/\+\/\+\/\+/);
  t.ok(memory.lines.some(({ event }) => event === 'bridge-speaks-mqtt-3'));
  t.notMatch(JSON.stringify(memory.lines), 'very-secret');
});

await t.test('who is refused is told why, without the password', { skip }, async (t) => {
  const broker = await startMosquitto(t, ['allow_anonymous false']);
  const place = {
    host: '127.0.0.1',
    port: broker.port,
    secure: false,
    username: 'centre',
    password: 'very-secret',
    tls: () => Promise.resolve({}),
  };
  const { bridge, memory } = await bridgeTo(t, broker.port, { broker: place });
  await until('refused', () => /CONNACK/.test(bridge.fault() ?? ''));
  t.match(bridge.fault(), /^centre: the broker refuses .*\(CONNACK 13[45]\): check MQTT_BRIDGE_USERNAME and MQTT_BRIDGE_PASSWORD/);
  await until('tried again', () => memory.lines.some(({ level, code }) => level === 'debug' && /CONNACK 13/.test(code ?? '')));
  t.same(memory.errors(), ['bridge-credentials-refused'], 'once, not at each attempt');
  t.notMatch(JSON.stringify(memory.lines) + bridge.fault(), 'very-secret');
});

await t.test('a refusal of user name or password is an error once in ten minutes; other ends are none', (t) => {
  const known = { now: 1_000_000, attempt: 3, lowered: false, refusalToldAt: null };
  for (const code of [4, 5, 134, 135]) {
    const why = `CONNACK ${code}`;
    t.match(onEnded(why, known), { level: 'error', event: 'bridge-credentials-refused', fault: /MQTT_BRIDGE_USERNAME/ }, why);
    t.match(onEnded(why, { ...known, refusalToldAt: 400_001 }), { level: 'debug', fault: /MQTT_BRIDGE_PASSWORD/ }, why);
    t.match(onEnded(why, { ...known, refusalToldAt: 400_000 }), { level: 'error' }, why);
  }
  t.match(onEnded('CONNACK 3', known), { level: 'debug', event: 'bridge-disconnected', fault: 'not connected (CONNACK 3), trying again' });
  t.match(onEnded('ECONNRESET', { ...known, attempt: 0 }), { level: 'warn', event: 'bridge-disconnected' });
  t.match(onEnded('DISCONNECT 142', known), { level: 'error', event: 'bridge-client-id-in-use' });
  t.match(onEnded('CONNACK 132', { ...known, lowered: true }), { level: 'info', event: 'bridge-speaks-mqtt-3' });
  t.end();
});

await t.test('several connections divide the municipalities; what is outside is read all the same', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const { bridge, memory } = await bridgeTo(t, broker.port, { connections: 2 });
  await ready(bridge);
  t.same(Object.fromEntries([...memory.sessions].map(([id, { filters }]) => [id, filters])), {
    centre: ['nj/v1/+/+/+'],
    'centre-1': ['nj/v1/1103/+/+', 'nj/v1/1124/+/+'],
    'centre-2': ['nj/v1/1108/+/+'],
  });
  const device = await publisher(t, broker.port);
  const send = (municipality: string, id: string) => device.publishAsync(`nj/v1/${municipality}/D/alarm`, alarm(id), { qos: 1 });
  await send('1103', 'early');
  await until('twice while the division is new', () => memory.ids().length === 2);
  t.same(memory.ids(), ['early', 'early']);
  const settled = () =>
    [...memory.sessions.values()].filter(({ clientId }) => clientId !== 'centre').every(({ settledAt }) => settledAt !== null);
  await until('settled', settled);
  memory.kept.splice(0);
  for (const [municipality, id] of [
    ['1103', 'a'],
    ['1108', 'b'],
    ['1124', 'c'],
    ['4601', 'outside'],
    ['1103', 'd'],
  ] as const)
    await send(municipality, id);
  await until('each', () => memory.kept.length >= 5);
  t.same(memory.ids().toSorted(), ['a', 'b', 'c', 'd', 'outside'], 'and each once');

  // One connection less: what waits in the session that is given up is read, and its municipality is not read twice.
  await bridge.stop();
  await send('1108', 'waits');
  memory.kept.splice(0);
  const fewer = await bridgeTo(t, broker.port, { memory, connections: 1 });
  await ready(fewer.bridge);
  await until('it is read', () => memory.ids().includes('waits'));
  await until('nothing is left subscribed', () => memory.sessions.get('centre-2')?.filters.length === 0);
  memory.kept.splice(0);
  await send('1108', 'once');
  await send('1108', 'end');
  await until('read', () => memory.ids().includes('end'));
  t.same(memory.ids(), ['once', 'end']);
  t.equal(memory.gaps.size, 0);
  t.same(memory.errors(), []);
});

await t.test('a stop finishes and acknowledges what is in hand, and takes in nothing more', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  let finish: () => void = () => undefined;
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const tried: string[] = [];
  const { bridge, memory } = await bridgeTo(t, broker.port, {
    answer: async (message): Promise<'kept' | 'not-kept'> => {
      tried.push(idOf(message));
      await finished;
      return 'kept';
    },
  });
  await ready(bridge);
  const device = await publisher(t, broker.port);
  for (const id of ['1', '2']) await device.publishAsync(TOPIC, alarm(id), { qos: 1 });
  await until('in hand', () => tried.length === 2);
  const stopped = bridge.stop();
  // A round trip with the broker: a stop that did not wait would have ended the connection by now.
  await device.publishAsync(TOPIC, alarm('3'), { qos: 1 });
  finish();
  await stopped;
  t.same(memory.ids(), ['1', '2']);
  const again = await bridgeTo(t, broker.port, { memory });
  await until('the other', () => memory.kept.length === 3);
  t.same(memory.ids(), ['1', '2', '3']);
  await again.bridge.stop();
});

await t.test(
  'the access rules that are shipped let the bridge prove its session, and a device write under its own name only',
  { skip },
  async (t) => {
    const broker = await startMosquitto(t, [`acl_file ${path.join(ROOT, 'deploy/mosquitto/acl')}`]);
    const place = { host: '127.0.0.1', port: broker.port, secure: false, username: 'responssenter', tls: () => Promise.resolve({}) };
    const { bridge, memory } = await bridgeTo(t, broker.port, { broker: place, clientId: 'responssenter' });
    await ready(bridge);
    await until('it is proven', () => memory.sessions.get('responssenter')?.echoes === true);
    const connected = async (): Promise<MqttClient> => {
      const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`, { username: 'NJ-1103-0001', reconnectPeriod: 0 });
      t.teardown(() => client.endAsync(true));
      return client;
    };
    const [device, wrong] = [await connected(), await connected()];
    const receipts: string[] = [];
    device.on('message', (topic) => receipts.push(topic));
    await device.subscribeAsync('nj/v1/1103/NJ-1103-0001/receipt', { qos: 1 });
    // Mosquitto acknowledges what it denies, and ends the connection.
    await wrong.publishAsync('nj/v1/1103/NJ-1103-0002/alarm', alarm('foreign'), { qos: 1 });
    await device.publishAsync(TOPIC, alarm('own'), { qos: 1 });
    await until('its receipt', () => receipts.length === 1);
    t.same(memory.ids(), ['own']);
  },
);

await t.test('a retained message is taken only when it is an alarm; a will comes as the status that it is', { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const device = await publisher(t, broker.port);
  for (const kind of ['alarm', 'status', 'restore']) {
    await device.publishAsync(`nj/v1/1103/D/${kind}`, JSON.stringify({ id: kind, type: 'fall' }), { qos: 1, retain: true });
  }
  const will = { topic: 'nj/v1/1103/D/status', payload: Buffer.from('{"online":false}'), qos: 1 as const };
  const dying = await mqtt.connectAsync(`mqtt://127.0.0.1:${broker.port}`, { will, reconnectPeriod: 0 });
  const { bridge, memory } = await bridgeTo(t, broker.port);
  await ready(bridge);
  await until('the alarm', () => memory.kept.length === 1);
  t.same(memory.ids(), ['alarm']);
  t.same(memory.retained.toSorted(), ['nj/v1/1103/D/restore', 'nj/v1/1103/D/status']);
  dying.stream.destroy();
  await until('the will', () => memory.kept.length === 2);
  t.match(memory.kept[1], { kind: 'status', will: true, body: { online: false } });
});

await t.test('what a topic says of its sender', (t) => {
  t.same(placeOfTopic('nj/v1/1103/NJ-1103-0001/alarm'), { municipality: '1103', serial: 'NJ-1103-0001', kind: 'alarm' });
  t.same(placeOfTopic('nj/v1/1103/a/receipt')?.kind, 'receipt');
  t.same(placeOfTopic('nj/v1/1103/a/firmware')?.kind, null);
  for (const topic of [
    'nj/v1/1103/a',
    'nj/v1/1103/a/alarm/b',
    'nj/v2/1103/a/alarm',
    'nj/v1/Sola/a/alarm',
    'nj/v1/1103/a b/alarm',
    '',
    '/nj/v1/1103/a/alarm',
  ]) {
    t.equal(placeOfTopic(topic), null, topic);
  }
  const parts = { clientId: 'centre', ownMunicipality: '1103', receivedAt: 5 };
  const read = (topic: string, more: object = {}) =>
    readDelivered({ topic, payload: Buffer.from('{"id":"1","type":"fall"}'), qos: 1, dup: false, retain: false, ...more }, parts);
  t.equal(read('nj/v1/1103/a/receipt'), 'down');
  t.equal(read('nj/v1/1103/a/command', { retain: true }), 'down');
  t.equal(read('nj/v1/1103/a/heartbeat', { retain: true }), 'retained');
  t.equal(read('nj/v1/1103/a/unheard-of', { retain: true }), 'retained');
  t.match(read('nj/v1/1108/a/alarm'), { device: 'a', municipality: '1108', kind: 'alarm', receivedAt: 5 });
  t.match(read('nj/v1/1108/a/alarm/more'), { device: 'centre', municipality: '1103', kind: null, foreign: false });
  t.match(read('nj/v1/1108/a/unheard-of'), { device: 'a', kind: null });
  t.match(read('nj/v1/1108/a/alarm', { payload: Buffer.alloc(9000), qos: 0, dup: true }), {
    tooLarge: true,
    qos: 0,
    duplicateFlag: true,
    body: { read: false },
  });
  t.match(read('nj/v1/1108/a/status', { payload: Buffer.from('{"online":true}') }), { will: false });
  t.end();
});

await t.test('how topics are divided, and which of them can prove a session', (t) => {
  const divided = (filters: string[], connections: number, municipalities = ['1103', '1108', '1124']) =>
    divide({ clientId: 'c', filters, connections, municipalities }).map(({ clientId, filters: own }) => `${clientId}: ${own.join(' ')}`);
  t.same(divided(['nj/v1/+/+/+'], 1), ['c: nj/v1/+/+/+']);
  t.same(divided(['nj/v1/#'], 2), ['c: nj/v1/#', 'c-1: nj/v1/1103/# nj/v1/1124/#', 'c-2: nj/v1/1108/#']);
  t.same(divided(['nj/v1/1103/+/+', 'nj/v1/+/+/alarm'], 2), [
    'c: nj/v1/1103/+/+ nj/v1/+/+/alarm',
    'c-1: nj/v1/1103/+/+ nj/v1/1103/+/alarm nj/v1/1124/+/alarm',
    'c-2: nj/v1/1108/+/alarm',
  ]);
  t.same(divided(['nj/v1/1103/+/+'], 4), ['c: nj/v1/1103/+/+', 'c-1: nj/v1/1103/+/+'], 'a connection without topics is not made');
  t.equal(echoTopic('nj/v1/+/+/+', 'c', '1103'), 'nj/v1/1103/c/receipt');
  t.equal(echoTopic('nj/v1/#', 'c', '1103'), 'nj/v1/1103/c/receipt');
  t.equal(echoTopic('nj/v1/1108/+/#', 'c', '1103'), 'nj/v1/1108/c/receipt');
  for (const filter of ['nj/v1/+/+/alarm', 'nj/v1/+/+', 'nj/v1/+/+/+/+', 'nj/v1/x/+/+'])
    t.equal(echoTopic(filter, 'c', '1103'), null, filter);
  t.end();
});

await t.test('what is remembered of a session', (t) => {
  const session: BridgeSession = { clientId: 'c', connectedAt: 1, seenAt: 10, filters: ['a'], settledAt: 5, gapFrom: null, echoes: true };
  t.equal(onConnected(null, false), null, 'there never was one');
  t.equal(onConnected(session, true), session);
  const lost = onConnected(session, false)!;
  t.match(lost, { gapFrom: 10, settledAt: null });
  t.equal(onConnected({ ...lost, seenAt: 20 }, false)?.gapFrom, 10, 'a loss that is not yet told keeps its beginning');
  t.match(onRefused(session), { gapFrom: 10 });
  t.match(onSubscribed(null, 'c', ['a'], 30), {
    connectedAt: 30,
    seenAt: 30,
    filters: ['a'],
    settledAt: null,
    gapFrom: null,
    echoes: false,
  });
  t.match(onSubscribed(session, 'c', ['a'], 30), { connectedAt: 1, seenAt: 30, settledAt: 5, gapFrom: null });
  t.match(onSubscribed(lost, 'c', ['a'], 30), { connectedAt: 30, settledAt: null, gapFrom: null });
  t.match(onSubscribed(session, 'c', ['a', 'b'], 30), { connectedAt: 1, settledAt: null });
  t.match(onSubscribed(session, 'c', [], 30), { settledAt: null });
  t.match(onSeen({ ...session, settledAt: null }, 35, 40, 9, 10), { seenAt: 35, settledAt: null });
  t.match(onSeen({ ...session, settledAt: null }, 35, 40, 10, 10), { seenAt: 35, settledAt: 40 });
  t.match(onSeen(session, null, 40, 9, 10), { seenAt: 10 }, 'nothing was answered');
  t.match(onSeen(session, 9, 40, 9, 10), { seenAt: 10 }, 'never back');
  t.end();
});
