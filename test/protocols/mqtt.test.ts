/** The MQTT broker over real sockets: what is acknowledged and in which order, what is refused, and how payloads are read. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { connect as connectSocket, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import mqtt, { type MqttClient } from 'mqtt';
import t from 'tap';
import { RunningClock } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { createLog } from '../../src/base/log.ts';
import { startMqttBroker } from '../../src/protocols/mqtt/broker.ts';
import {
  MQTT_LIMITS,
  type MqttBroker,
  type MqttBrokerOptions,
  type MqttClaim,
  type MqttRefusal,
} from '../../src/protocols/mqtt/broker-options.ts';
import type { MqttMessage } from '../../src/protocols/mqtt/message.ts';
import { decodePayload, encodeReceipt } from '../../src/protocols/mqtt/payload.ts';
import { mayRead, placeOf } from '../../src/protocols/mqtt/topic.ts';

const A = { serial: 'NJ-1103-0001', municipality: '1103' };
const B = { serial: 'NJ-1103-0002', municipality: '1103' };
const PASSWORDS: Readonly<Record<string, string>> = { [A.serial]: 'secret-a', [B.serial]: 'secret-b' };
const own = (kind: string, device = A): string => `nj/v1/${device.municipality}/${device.serial}/${kind}`;

/** A part of a packet: two bytes of length, then the bytes (MQTT 3.1.1, 1.5.3). */
function field(text: string | Buffer): Buffer {
  const bytes = Buffer.from(text as string);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 0xff]), bytes]);
}

/** Fixed header and body (2.2). */
function packet(first: number, body: Buffer): Buffer {
  const length: number[] = [];
  for (let rest = body.length; ; rest >>= 7) {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    if (rest <= 0x7f) break;
  }
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}

interface Hello {
  readonly clientId?: string;
  readonly user?: string;
  readonly password?: string;
  readonly will?: { readonly topic: string; readonly payload: string; readonly retain?: boolean };
  readonly clean?: boolean;
  readonly version?: number;
}

function connectPacket({
  clientId = 'x',
  user = A.serial,
  password = PASSWORDS[user] ?? '',
  will,
  clean = true,
  version = 4,
}: Hello = {}): Buffer {
  const flags = 0xc0 | (clean ? 2 : 0) | (will === undefined ? 0 : 0x0c | (will.retain === true ? 0x20 : 0));
  const head = Buffer.concat([field('MQTT'), Buffer.from([version, flags, 0, 60])]);
  const last = will === undefined ? [] : [field(will.topic), field(will.payload)];
  return packet(0x10, Buffer.concat([head, field(clientId), ...last, field(user), field(password)]));
}

function publishPacket(topic: string, payload: string | Buffer, { qos = 1, id = 1, dup = false, retain = false } = {}): Buffer {
  const first = 0x30 | (qos << 1) | (dup ? 8 : 0) | (retain ? 1 : 0);
  const messageId = qos === 0 ? Buffer.alloc(0) : Buffer.from([id >> 8, id & 0xff]);
  return packet(first, Buffer.concat([field(topic), messageId, Buffer.from(payload as string)]));
}

const subscribePacket = (topic: string, qos = 1): Buffer =>
  packet(0x82, Buffer.concat([Buffer.from([0, 9]), field(topic), Buffer.from([qos])]));
const DISCONNECT = Buffer.from([0xe0, 0]);
const CONNACK_OK = '20020000';
const puback = (id: number): string => `4002${id.toString(16).padStart(4, '0')}`;

/** A socket that keeps what it got, in hex, and can be waited for. */
class Raw {
  got = '';
  closed = false;
  readonly socket: Socket;
  #changed: (() => void)[] = [];

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => {
      this.got += chunk.toString('hex');
      this.#tell();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.closed = true;
      this.#tell();
    });
  }

  #tell(): void {
    for (const changed of this.#changed.splice(0)) changed();
  }

  async until(met: (raw: Raw) => boolean): Promise<void> {
    while (!met(this)) await new Promise<void>((resolve) => this.#changed.push(resolve));
  }

  send(...packets: Buffer[]): this {
    this.socket.write(Buffer.concat(packets));
    return this;
  }
}

function dial(broker: MqttBroker): Raw {
  return new Raw(connectSocket(broker.port, broker.host));
}

async function until(met: () => boolean): Promise<void> {
  while (!met()) await new Promise((resolve) => setImmediate(resolve));
}

type Verdict = 'kept' | 'not-kept';

/** A broker whose accept a test answers by hand or by rule; everything that came and was refused is kept. */
async function brokerFor(
  test: { teardown(run: () => Promise<void>): void },
  options: Partial<MqttBrokerOptions> & { answer?: (message: MqttMessage) => Verdict | Promise<Verdict> } = {},
) {
  const messages: MqttMessage[] = [];
  const refusals: MqttRefusal[] = [];
  const errors: string[] = [];
  const { answer = () => 'kept' as const, ...rest } = options;
  const broker = await startMqttBroker({
    clock: new RunningClock(),
    log: createLog('warn', { write: (line) => void errors.push(line) }),
    bind: '127.0.0.1',
    port: 0,
    authenticate: async ({ serial, password }) => {
      const device = [A, B].find((one) => one.serial === serial);
      if (device === undefined) return { refused: 'unknown-device' };
      return Buffer.from(password).toString() === PASSWORDS[serial] ? device : { refused: 'wrong-password' };
    },
    accept: async (message) => {
      messages.push(message);
      return answer(message);
    },
    refused: (refusal) => refusals.push(refusal),
    ...rest,
  });
  test.teardown(() => broker.stop());
  return { broker, messages, refusals, errors };
}

await t.test('an alarm is acknowledged only after it was kept', async (t) => {
  let keep: (verdict: Verdict) => void = () => undefined;
  const { broker, messages } = await brokerFor(t, { answer: () => new Promise((resolve) => (keep = resolve)) });
  const device = dial(broker).send(connectPacket(), publishPacket(own('alarm'), '{"id":"a1","type":"fall"}', { id: 7 }));
  await until(() => messages.length === 1);
  // A whole round trip with the broker: the acknowledgement is not merely late.
  const other = dial(broker).send(connectPacket({ user: B.serial }));
  await other.until(({ got }) => got === CONNACK_OK);
  t.equal(device.got, CONNACK_OK);
  keep('kept');
  await device.until(({ got }) => got === CONNACK_OK + puback(7));
  const [message] = messages;
  t.match(message, {
    device: A.serial,
    municipality: '1103',
    topic: own('alarm'),
    kind: 'alarm',
    foreign: false,
    will: false,
    qos: 1,
    tooLarge: false,
    duplicateFlag: false,
    body: { read: true, id: 'a1', type: 'fall' },
  });
  t.equal(Buffer.from(message!.payload).toString(), '{"id":"a1","type":"fall"}');
  t.equal(device.got, CONNACK_OK + puback(7));
});

await t.test('messages of one chunk are handed over in their order, together, and acknowledged in their order', async (t) => {
  let running = 0;
  let most = 0;
  let done = 0;
  let inBroker = 0;
  const { broker, messages } = await brokerFor(t, {
    answer: async (message): Promise<Verdict> => {
      most = Math.max(most, ++running);
      inBroker = Math.max(inBroker, broker.counters().published - done);
      // The first takes longest: if each were answered when it is kept, the acknowledgements came out reversed.
      const turns = 50 - Number(message.body.read ? message.body.id : 0);
      for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
      running--;
      done++;
      return 'kept';
    },
  });
  const ids = Array.from({ length: 50 }, (_, index) => index + 1);
  const device = dial(broker).send(
    connectPacket(),
    ...ids.map((id) => publishPacket(own('alarm'), `{"id":"${id}","type":"fall"}`, { id })),
  );
  await device.until(({ got }) => got.length >= 8 + 50 * 8);
  t.equal(device.got, CONNACK_OK + ids.map(puback).join(''));
  t.same(
    messages.map(({ body }) => (body.read ? body.id : null)),
    ids.map(String),
  );
  t.equal(most, MQTT_LIMITS.inFlightPerConnection, 'they need not wait for one another');
  t.equal(inBroker, MQTT_LIMITS.inFlightPerConnection, 'no more than 20 of them were in the broker');
});

await t.test('a device that floods is slowed down by its socket; the others go on', async (t) => {
  let open = false;
  const waiting: (() => void)[] = [];
  const { broker, messages } = await brokerFor(t, {
    answer: ({ device }) => (device === B.serial || open ? 'kept' : new Promise((resolve) => waiting.push(() => resolve('kept')))),
  });
  const device = dial(broker).send(connectPacket());
  await device.until(({ got }) => got === CONNACK_OK);
  const payload = `{"id":"a","type":"fall","text":"${'x'.repeat(4000)}"}`;
  const count = 4000;
  for (let id = 1; id <= count; id++) device.send(publishPacket(own('alarm'), payload, { id }));
  const other = dial(broker).send(connectPacket({ user: B.serial }), publishPacket(own('alarm', B), '{"id":"b","type":"fall"}'));
  await other.until(({ got }) => got === CONNACK_OK + puback(1));
  const most = MQTT_LIMITS.inFlightPerConnection;
  await until(() => waiting.length > 1);
  t.ok(device.socket.writableLength > 1_000_000, 'the rest waits at the device');
  t.ok(messages.filter((message) => message.device === A.serial).length <= most);
  open = true;
  for (const go of waiting) go();
  await device.until(({ got }) => got.length === 8 + count * 8);
  t.ok(device.got.endsWith(puback(count)));
});

await t.test(
  'what was not kept closes the connection without an acknowledgement, also for what follows; the next connection is heard',
  async (t) => {
    let store: 'here' | 'away' | 'broken' = 'here';
    const { broker, messages, refusals } = await brokerFor(t, {
      answer: ({ body }) => {
        if (store === 'here' || (body.read && body.id === 'a1')) return 'kept';
        if (store === 'broken') throw new Error('a bug');
        return 'not-kept';
      },
    });
    for (const fault of ['away', 'broken'] as const) {
      store = fault;
      const device = dial(broker).send(
        connectPacket(),
        publishPacket(own('alarm'), '{"id":"a1","type":"fall"}', { id: 1 }),
        publishPacket(own('alarm'), '{"id":"a2","type":"fall"}', { id: 2 }),
        publishPacket(own('alarm'), '{"id":"a1","type":"fall"}', { id: 3 }),
      );
      await device.until(({ closed }) => closed);
      t.equal(device.got, CONNACK_OK + puback(1), 'the acknowledgement of what was kept came out, no other');
      store = 'here';
      const again = dial(broker).send(connectPacket(), publishPacket(own('alarm'), '{"id":"a2","type":"fall"}', { id: 2, dup: true }));
      await again.until(({ got }) => got === CONNACK_OK + puback(2));
      t.equal(messages.at(-1)?.duplicateFlag, true);
      again.socket.destroy();
      messages.length = 0;
    }
    t.same(refusals, [], 'that is nothing for the technicians');
    t.equal(broker.counters().notKept, 4);
  },
);

await t.test('a device that publishes and says good-bye in one breath gets its acknowledgements first', async (t) => {
  const { broker, messages } = await brokerFor(t, {
    answer: async (): Promise<Verdict> => {
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
      return 'kept';
    },
  });
  const will = { topic: own('status'), payload: '{"online":false}' };
  const packets = [1, 2, 3].map((id) => publishPacket(own('alarm'), `{"id":"${id}","type":"fall"}`, { id }));
  const device = dial(broker).send(connectPacket({ will }), ...packets, DISCONNECT);
  await device.until(({ closed }) => closed);
  t.equal(device.got, CONNACK_OK + puback(1) + puback(2) + puback(3));
  // The same with the end of the stream in place of DISCONNECT; without guarantee (QoS 0) too.
  const second = dial(broker);
  second.send(connectPacket(), ...packets, publishPacket(own('alarm'), '{"id":"4","type":"fall"}', { qos: 0 })).socket.end();
  await second.until(({ closed }) => closed);
  t.equal(second.got, CONNACK_OK + puback(1) + puback(2) + puback(3));
  t.same(
    messages.map(({ qos, will: isWill }) => [qos, isWill]),
    [...[1, 1, 1, 1, 1, 1].map((qos) => [qos, false]), [0, false]],
    'and its will was void',
  );
});

await t.test('a publish outside its own topics is acknowledged, marked and routed to nobody', async (t) => {
  const { broker, messages, refusals } = await brokerFor(t);
  const victim = dial(broker).send(connectPacket({ user: B.serial }), subscribePacket(own('command', B)));
  await victim.until(({ got }) => got === `${CONNACK_OK}9003000901`);
  const topics = [
    own('command', B),
    own('alarm', B),
    'nj/v1/1108/NJ-1103-0001/alarm',
    own('levitation'),
    own('receipt'),
    '#',
    'a/+/b',
    '',
    'x/'.repeat(200),
    '$SYS/x',
  ];
  const device = dial(broker).send(connectPacket());
  topics.forEach((topic, index) => device.send(publishPacket(topic, '{"id":"a","type":"fall"}', { id: index + 1, retain: true })));
  device.send(publishPacket(own('alarm'), '{"id":"real","type":"fall"}', { id: 99 }));
  await device.until(({ got }) => got.endsWith(puback(99)));
  t.equal(device.got, CONNACK_OK + topics.map((_, index) => puback(index + 1)).join('') + puback(99), 'nothing starves the real alarm');
  t.same(
    messages.map(({ topic, kind, foreign }) => [topic, kind, foreign]),
    [...topics.map((topic) => [topic, null, topic !== own('levitation') && topic !== own('receipt')]), [own('alarm'), 'alarm', false]],
  );
  t.ok(messages.every((message) => message.device === A.serial));
  t.equal(refusals.filter(({ code, source }) => code === 'foreign-topic' && source === A.serial).length, 8);
  t.equal(victim.got, `${CONNACK_OK}9003000901`, 'the other device heard nothing');
});

await t.test('a device reads its own receipts and commands and nothing else', async (t) => {
  const { broker, refusals } = await brokerFor(t);
  const device = dial(broker).send(connectPacket());
  for (const topic of [own('receipt', B), own('alarm'), `nj/v1/1103/${A.serial}/#`, `nj/v1/1103/${A.serial}/+`, '#', '$SYS/#'])
    device.send(subscribePacket(topic));
  await device.until(({ got }) => got === CONNACK_OK + '9003000980'.repeat(6));
  t.equal(refusals.filter(({ code }) => code === 'foreign-subscription').length, 6);
  t.equal(mayRead(own('command'), A), true);
});

await t.test('a receipt reaches the device that asked for receipts, with the QoS that it asked for', async (t) => {
  const { broker } = await brokerFor(t);
  const receipt = { id: 'a1', result: 'received', alarm: '1001', at: Date.UTC(2026, 10, 22, 21, 4, 5, 678) } as const;
  broker.publishReceipt(A, receipt);
  const client = await mqtt.connectAsync(`mqtt://${broker.host}:${broker.port}`, {
    username: A.serial,
    password: 'secret-a',
    reconnectPeriod: 0,
  });
  const other = dial(broker).send(connectPacket({ user: B.serial }));
  await other.until(({ got }) => got === CONNACK_OK);
  broker.publishReceipt(A, receipt);
  t.same(await client.subscribeAsync(own('receipt'), { qos: 1 }), [{ topic: own('receipt'), qos: 1 }]);
  await t.rejects(client.subscribeAsync(own('receipt', B)), 'the one of another device is refused');
  const got = new Promise<mqtt.IPublishPacket>((resolve) => client.once('message', (_topic, _payload, published) => resolve(published)));
  broker.publishReceipt(A, receipt);
  const published = await got;
  t.equal(published.topic, own('receipt'));
  t.equal(published.qos, 1);
  t.same(JSON.parse(published.payload.toString()), { id: 'a1', result: 'received', alarm: '1001', at: '2026-11-22T21:04:05.678Z' });
  await client.unsubscribeAsync(own('receipt'));
  broker.publishReceipt(A, receipt);
  t.match(broker.counters(), { receiptsSent: 1, receiptsUndelivered: 3 });
  t.equal(other.got, CONNACK_OK);
  await client.endAsync();
});

await t.test('who is not known is told so, and counted', async (t) => {
  const { broker, refusals } = await brokerFor(t, {
    authenticate: async ({ serial }) => {
      if (serial === 'away') throw new CentreError('store-away', 'gone');
      return { refused: serial === A.serial ? 'wrong-password' : 'unknown-device' };
    },
  });
  for (const [user, code] of [
    [A.serial, '20020004'],
    ['stranger', '20020004'],
    ['two words', '20020004'],
    ['away', '20020003'],
  ] as const) {
    const device = dial(broker).send(connectPacket({ user, password: 'x' }), publishPacket(own('alarm'), '{}'));
    await device.until(({ closed }) => closed);
    t.equal(device.got, code, user);
  }
  // Versions that are not spoken here, each told in its own words: MQTT 5 (3.2.2.2: 0x84), another, and a bridge's flag.
  for (const [version, answer] of [
    [5, '2003008400'],
    [6, '20020001'],
    [0x85, '2003008400'],
  ] as const) {
    const modern = dial(broker).send(connectPacket({ version }), publishPacket(own('alarm'), '{}'));
    await modern.until(({ closed }) => closed);
    t.equal(modern.got, answer, `level ${version}`);
  }
  const bridge = dial(broker).send(connectPacket({ user: A.serial, version: 0x84 }));
  await bridge.until(({ closed }) => closed);
  t.equal(bridge.got, '20020004', 'MQTT 3.1.1 with the flag of a bridge is MQTT 3.1.1');
  t.same(refusals.map(({ code, source }) => [code, source]).slice(0, 3), [
    ['wrong-password', A.serial],
    ['unknown-device', 'stranger'],
    ['unknown-device', '127.0.0.1'],
  ]);
  t.same(
    refusals.slice(3).map(({ code, detail }) => `${code} ${detail}`.trim()),
    ['unsupported-version MQTT level 5', 'unsupported-version MQTT level 6', 'unsupported-version MQTT level 5', 'wrong-password'],
  );
  await until(() => broker.connections() === 0);
});

await t.test(
  'a hostile device with the client id of another does not cut it off; its own second connection with that id replaces the first',
  async (t) => {
    const { broker, messages } = await brokerFor(t);
    const victim = dial(broker).send(connectPacket({ user: B.serial, clientId: B.serial }));
    await victim.until(({ got }) => got === CONNACK_OK);
    const hostile = dial(broker).send(connectPacket({ user: A.serial, clientId: B.serial }));
    await hostile.until(({ got }) => got === CONNACK_OK);
    for (const clientId of [`../${B.serial}`, `${B.serial}/${B.serial}`, ''])
      await dial(broker)
        .send(connectPacket({ clientId }))
        .until(({ got }) => got === CONNACK_OK);
    victim.send(publishPacket(own('alarm', B), '{"id":"1","type":"fall"}', { id: 5 }));
    await victim.until(({ got }) => got.endsWith(puback(5)));
    t.equal(messages.at(-1)?.device, B.serial);
    t.equal(victim.closed, false);
    t.equal(hostile.closed, false);
    const again = dial(broker).send(connectPacket({ user: B.serial, clientId: B.serial }));
    await again.until(({ got }) => got === CONNACK_OK);
    await victim.until(({ closed }) => closed);
    t.equal(again.closed, false);
  },
);

await t.test('one device holds at most so many connections: the oldest goes', async (t) => {
  const { broker } = await brokerFor(t, { limits: { connectionsPerDevice: 2, connections: 4 } });
  const raws: Raw[] = [];
  for (const clientId of ['1', '2', '3']) {
    const raw = dial(broker).send(connectPacket({ clientId }));
    await raw.until(({ got }) => got === CONNACK_OK);
    raws.push(raw);
  }
  await raws[0]!.until(({ closed }) => closed);
  t.same(
    raws.map(({ closed }) => closed),
    [true, false, false],
  );
  broker.disconnect(A.serial);
  await Promise.all(raws.map((raw) => raw.until(({ closed }) => closed)));
});

await t.test('connections above the limit are refused and counted', async (t) => {
  const { broker, refusals } = await brokerFor(t, { limits: { connections: 1 } });
  const first = dial(broker).send(connectPacket());
  await first.until(({ got }) => got === CONNACK_OK);
  const second = dial(broker);
  await second.until(({ closed }) => closed);
  t.match(refusals, [{ code: 'too-many-connections', source: '127.0.0.1' }]);
});

await t.test('the last will goes the way of a message, behind those before it, and is tried again while it cannot be kept', async (t) => {
  let refuse = 1;
  const { broker, messages } = await brokerFor(t, { answer: ({ will }) => (will && refuse-- > 0 ? 'not-kept' : 'kept') });
  const will = { topic: own('status'), payload: '{"online":false}', retain: true };
  const device = dial(broker).send(connectPacket({ will }), publishPacket(own('heartbeat'), '{}', { qos: 0 }));
  await device.until(({ got }) => got === CONNACK_OK);
  await until(() => messages.length === 1);
  device.socket.destroy();
  await until(() => messages.length === 3);
  t.match(messages, [
    { kind: 'heartbeat' },
    { kind: 'status', will: true },
    { kind: 'status', will: true, body: { online: false }, foreign: false },
  ]);
  messages.length = 0;
  const liar = dial(broker).send(connectPacket({ will: { topic: own('alarm', B), payload: '{"id":"1","type":"fall"}' } }));
  await liar.until(({ got }) => got === CONNACK_OK);
  liar.socket.destroy();
  await until(() => messages.length === 1);
  t.match(messages, [{ will: true, foreign: true, device: A.serial }], 'a will under a foreign topic is no way around the rule');
  messages.length = 0;
  const polite = dial(broker).send(connectPacket({ will }), DISCONNECT);
  await polite.until(({ closed }) => closed);
  const first = dial(broker).send(connectPacket({ will, clientId: 'same' }));
  await first.until(({ got }) => got === CONNACK_OK);
  const second = dial(broker).send(connectPacket({ clientId: 'same' }), publishPacket(own('alarm'), '{"id":"x","type":"fall"}'));
  await second.until(({ got }) => got === CONNACK_OK + puback(1));
  await first.until(({ closed }) => closed);
  t.match(messages, [{ kind: 'alarm' }], 'neither after DISCONNECT, nor "offline" of a device that is there again');
  t.equal(messages.length, 1);
});

await t.test('a packet above the limit closes the connection before it is read, and is counted', async (t) => {
  const { broker, messages, refusals } = await brokerFor(t);
  const device = dial(broker).send(connectPacket());
  await device.until(({ got }) => got === CONNACK_OK);
  // Only the fixed header of a packet of 65,537 bytes: 65,533 to come.
  device.send(Buffer.from([0x32, 0xfd, 0xff, 0x03]));
  await device.until(({ closed }) => closed);
  const endless = dial(broker).send(connectPacket());
  await endless.until(({ got }) => got === CONNACK_OK);
  endless.send(Buffer.from([0x32, 0xff, 0xff, 0xff, 0xff, 0x01]));
  await endless.until(({ closed }) => closed);
  const unknown = dial(broker).send(Buffer.from([0x10, 0xff, 0xff, 0x7f]));
  await unknown.until(({ closed }) => closed);
  t.same(
    refusals.map(({ code, source, detail }) => [code, source, detail]),
    [
      ['packet-too-large', A.serial, '65537 bytes'],
      ['protocol-error', A.serial, 'no valid packet length'],
      ['packet-too-large', '127.0.0.1', '2097155 bytes'],
    ],
  );
  t.same(messages, []);
  // Exactly 64 KiB is a message, and too large to be read: kept as it is.
  const payload = Buffer.alloc(65_536 - 4 - 2 - own('alarm').length - 2, 0x20);
  const largest = dial(broker).send(connectPacket(), publishPacket(own('alarm'), payload, { id: 3 }));
  await largest.until(({ got }) => got === CONNACK_OK + puback(3));
  t.match(messages, [{ tooLarge: true, kind: 'alarm', body: { read: false, why: 'too-large' } }]);
  t.equal(messages[0]?.payload.length, payload.length);
});

await t.test('bytes that are no MQTT close the connection, are counted, and harm nobody else', async (t) => {
  const { broker, messages, refusals, errors } = await brokerFor(t);
  const good = dial(broker).send(connectPacket({ user: B.serial }));
  await good.until(({ got }) => got === CONNACK_OK);
  const garbage = [
    Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
    publishPacket(own('alarm'), '{"id":"1","type":"fall"}'),
    Buffer.concat([connectPacket(), Buffer.from([0x36, 2, 0, 0])]),
    Buffer.concat([connectPacket(), Buffer.from([0x32, 3, 0, 9, 0x41])]),
    Buffer.concat([connectPacket(), connectPacket()]),
    Buffer.concat([connectPacket(), Buffer.from([0xf0, 0])]),
    Buffer.from([0x00, 0x00]),
  ];
  for (const bytes of garbage) {
    const raw = dial(broker).send(bytes);
    await raw.until(({ closed }) => closed);
  }
  t.ok(refusals.filter(({ code }) => code === 'protocol-error').length >= 5);
  t.same(messages, []);
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (bytes, authenticated) => {
      const raw = dial(broker).send(...(authenticated ? [connectPacket()] : []), Buffer.from(bytes));
      raw.socket.end();
      await raw.until(({ closed }) => closed);
    }),
    { numRuns: 100 },
  );
  good.send(publishPacket(own('alarm', B), '{"id":"1","type":"fall"}', { id: 5 }));
  await good.until(({ got }) => got.endsWith(puback(5)));
  t.same(errors, []);
});

await t.test('one byte at a time, and truncated at every length', async (t) => {
  const { broker, messages } = await brokerFor(t);
  const bytes = Buffer.concat([connectPacket(), publishPacket(own('alarm'), '{"id":"1","type":"fall"}', { id: 5 }), DISCONNECT]);
  const slow = dial(broker);
  slow.socket.setNoDelay(true);
  for (const byte of bytes) await new Promise((resolve) => slow.socket.write(Buffer.from([byte]), resolve));
  await slow.until(({ closed }) => closed);
  t.equal(slow.got, CONNACK_OK + puback(5));
  t.equal(messages.length, 1);
  for (let length = 0; length < bytes.length; length++) {
    const raw = dial(broker);
    raw.send(bytes.subarray(0, length)).socket.end();
    await raw.until(({ closed }) => closed);
  }
  t.equal(messages.length, 3, 'only the two that held the whole PUBLISH added one');
});

await t.test('QoS 2 is kept before PUBREC, and its repetition is heard again', async (t) => {
  const { broker, messages } = await brokerFor(t);
  const client = await mqtt.connectAsync(`mqtt://${broker.host}:${broker.port}`, {
    username: A.serial,
    password: 'secret-a',
    clean: false,
    clientId: 'q2',
  });
  await Promise.all(['1', '2', '3'].map((id) => client.publishAsync(own('alarm'), `{"id":"${id}","type":"fall"}`, { qos: 2 })));
  await client.endAsync();
  t.same(
    messages.map(({ qos, body }) => [qos, body.read && body.id]),
    [
      [2, '1'],
      [2, '2'],
      [2, '3'],
    ],
  );
  const raw = dial(broker).send(connectPacket(), publishPacket(own('alarm'), '{"id":"4","type":"fall"}', { qos: 2, id: 4 }));
  await raw.until(({ got }) => got === `${CONNACK_OK}50020004`);
  raw.send(publishPacket(own('alarm'), '{"id":"4","type":"fall"}', { qos: 2, id: 4, dup: true }));
  await raw.until(({ got }) => got === `${CONNACK_OK}5002000450020004`);
  raw.send(Buffer.from([0x62, 2, 0, 4]));
  await raw.until(({ got }) => got === `${CONNACK_OK}500200045002000470020004`);
  t.equal(messages.length, 5, 'a duplicate is for intake to tell');
});

await t.test('stop answers what is in hand, lets nobody in and tells no will', async (t) => {
  let keep: (verdict: Verdict) => void = () => undefined;
  const { broker, messages } = await brokerFor(t, { answer: () => new Promise((resolve) => (keep = resolve)) });
  const will = { topic: own('status'), payload: '{"online":false}' };
  const device = dial(broker).send(connectPacket({ will }), publishPacket(own('alarm'), '{"id":"1","type":"fall"}', { id: 5 }));
  await until(() => messages.length === 1);
  const stopped = broker.stop();
  const late = dial(broker);
  await late.until(({ closed }) => closed);
  device.send(publishPacket(own('alarm'), '{"id":"2","type":"fall"}', { id: 6 }));
  keep('kept');
  await stopped;
  await device.until(({ closed }) => closed);
  t.equal(device.got, CONNACK_OK + puback(5));
  t.equal(messages.length, 1);
  t.equal(broker.connections(), 0);
});

await t.test('stop does not wait for ever for a store that does not answer', async (t) => {
  const { broker, messages } = await brokerFor(t, { answer: () => new Promise(() => undefined), limits: { stopWithin: 50 } });
  const device = dial(broker).send(connectPacket(), publishPacket(own('alarm'), '{"id":"1","type":"fall"}', { id: 5 }));
  await until(() => messages.length === 1);
  await broker.stop();
  await device.until(({ closed }) => closed);
  t.equal(device.got, CONNACK_OK);
});

await t.test('a port that cannot be had stops the start with a sentence that names the setting', async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.teardown(() => taken.close());
  const { port } = taken.address() as { port: number };
  const inUse = await brokerFor(t, { port }).catch((error: unknown) => error);
  t.match(inUse, { code: 'port-in-use', kind: 'setup', message: new RegExp(`MQTT_PORT.*${port}`) });
  const elsewhere = await brokerFor(t, { bind: '192.0.2.1' }).catch((error: unknown) => error);
  t.match(elsewhere, { code: 'port-not-allowed', message: /MQTT_PORT/ });
});

await t.test('the same over TLS', { skip: hasProgram('openssl') ? false : 'openssl is not installed' }, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'mqtt-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const request = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=localhost',
  ];
  execFileSync('openssl', [...request, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const tls = { port: 0, key: readFileSync(key), cert: readFileSync(cert) };
  const { broker, messages, refusals } = await brokerFor(t, { tls });
  const url = `mqtts://127.0.0.1:${broker.tlsPort}`;
  const client = await mqtt.connectAsync(url, { username: A.serial, password: 'secret-a', rejectUnauthorized: false, reconnectPeriod: 0 });
  await client.publishAsync(own('alarm'), '{"id":"1","type":"fall"}', { qos: 1 });
  await client.endAsync();
  t.equal(messages.length, 1);
  const plain = new Raw(connectSocket(broker.tlsPort!, broker.host)).send(connectPacket());
  await plain.until(({ closed }) => closed);
  t.match(refusals, [{ code: 'tls-handshake-failed', source: '127.0.0.1' }]);
  const taken = await brokerFor(t, { tls: { ...tls, port: broker.tlsPort! } }).catch((error: unknown) => error);
  t.match(taken, { code: 'port-in-use', message: /MQTTS_PORT/ });
});

await t.test(
  'client certificates: shown, not required; a name counts only when the CA gave it',
  { skip: hasProgram('openssl') ? false : 'openssl is not installed' },
  async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'mqtt-certificates-'));
    t.teardown(() => rmSync(directory, { recursive: true }));
    const file = (name: string): string => join(directory, name);
    const openssl = (...args: string[]): void => void execFileSync('openssl', args, { stdio: 'ignore' });
    const request = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
    const selfSigned = (name: string, cn: string): void =>
      openssl(...request, '-x509', '-days', '2', '-subj', `/CN=${cn}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.pem`));
    const issued = (name: string, cn: string): void => {
      openssl(...request, '-subj', `/CN=${cn}`, '-keyout', file(`${name}.key`), '-out', file(`${name}.csr`));
      const by = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-CAcreateserial', '-days', '2'];
      openssl('x509', '-req', '-in', file(`${name}.csr`), ...by, '-out', file(`${name}.pem`));
    };
    selfSigned('server', 'localhost');
    selfSigned('renewed', 'localhost');
    selfSigned('ca', 'The devices');
    selfSigned('liar', A.serial);
    issued('a', A.serial);
    issued('b', B.serial);
    const pair = (name: string) => ({ key: readFileSync(file(`${name}.key`)), cert: readFileSync(file(`${name}.pem`)) });
    const fingerprint = (name: string): string => new X509Certificate(pair(name).cert).fingerprint256.replaceAll(':', '').toLowerCase();

    const claims: MqttClaim[] = [];
    let renew: (to: { key: Buffer; cert: Buffer }) => void = () => undefined;
    const tls = {
      port: 0,
      ...pair('server'),
      onChange: (renewed: typeof renew) => {
        renew = renewed;
        return () => undefined;
      },
    };
    const authenticate: MqttBrokerOptions['authenticate'] = async (claim) => {
      claims.push(claim);
      const name = claim.serial === '' ? claim.certificate?.commonName : claim.serial;
      return [A, B].find(({ serial }) => serial === name) ?? { refused: 'wrong-certificate' };
    };
    const { broker, messages, refusals } = await brokerFor(t, { tls: { ...tls, clientCa: pair('ca').cert.toString() }, authenticate });
    const connectTo = (to: MqttBroker, show: object): Promise<MqttClient> =>
      mqtt.connectAsync(`mqtts://127.0.0.1:${to.tlsPort}`, {
        clientId: 'the same',
        rejectUnauthorized: false,
        reconnectPeriod: 0,
        ...show,
      });
    const claimed = (): object | null => {
      const { certificate, ...claim } = claims.at(-1)!;
      const sha256 = certificate === null ? null : Buffer.from(certificate.sha256).toString('hex');
      return { serial: claim.serial, sha256, commonName: certificate?.commonName ?? null };
    };

    const a = await connectTo(broker, pair('a'));
    t.same(claimed(), { serial: '', sha256: fingerprint('a'), commonName: A.serial });
    await a.publishAsync(own('alarm'), '{"id":"1","type":"fall"}', { qos: 1 });
    t.match(messages, [{ device: A.serial, municipality: A.municipality }]);
    const b = await connectTo(broker, pair('b'));
    t.same(claimed(), { serial: '', sha256: fingerprint('b'), commonName: B.serial });
    await a.publishAsync(own('alarm'), '{"id":"2","type":"fall"}', { qos: 1 });
    t.ok(a.connected && b.connected, 'two without a user name and with one client id do not cut each other off');

    renew(pair('renewed'));
    await (await connectTo(broker, { ...pair('a'), clientId: 'another' })).endAsync();
    t.same(claimed(), { serial: '', sha256: fingerprint('a'), commonName: A.serial }, 'the CA counts after a renewal too');
    await t.rejects(connectTo(broker, pair('liar')), { code: 4 });
    t.same(claimed(), { serial: '', sha256: fingerprint('liar'), commonName: null }, 'what a certificate says of itself is no name');
    t.match(refusals, [{ code: 'wrong-certificate', source: '127.0.0.1', detail: `certificate ${fingerprint('liar')}` }]);
    await (await connectTo(broker, { username: A.serial, password: 'x', clientId: 'third' })).endAsync();
    t.same(claimed(), { serial: A.serial, sha256: null, commonName: null });
    await t.rejects(connectTo(broker, {}), { code: 4 }, 'neither a name nor a certificate');
    t.equal(claims.at(-1)?.serial, A.serial, 'that is not even asked');

    const withoutCa = await brokerFor(t, { tls, authenticate });
    await t.rejects(connectTo(withoutCa.broker, pair('a')), { code: 4 });
    t.same(claimed(), { serial: '', sha256: fingerprint('a'), commonName: null }, 'without a CA there is only the fingerprint');
    await Promise.all([a.endAsync(), b.endAsync()]);
  },
);

await t.test(
  "Mosquitto's programs are served",
  { skip: hasProgram('mosquitto_pub') ? false : 'mosquitto_pub is not installed' },
  async (t) => {
    let verdict: Verdict = 'kept';
    const { broker, messages } = await brokerFor(t, { answer: () => verdict });
    const publish = async (qos: string): Promise<number> => {
      const login = ['-h', broker.host, '-p', String(broker.port), '-u', A.serial, '-P', 'secret-a', '-i', B.serial];
      const child = spawn('mosquitto_pub', [...login, '-q', qos, '-r', '-t', own('alarm'), '-m', `{"id":"${qos}"}`], { stdio: 'ignore' });
      const [code] = (await once(child, 'exit')) as [number];
      return code;
    };
    for (const qos of ['0', '1', '2']) t.equal(await publish(qos), 0, `QoS ${qos}`);
    await until(() => messages.length === 3);
    const got = messages.map(({ qos, body }) => `${qos} ${body.read ? body.id : ''}`);
    t.same(got, ['0 0', '1 1', '2 2']);
    verdict = 'not-kept';
    t.not(await publish('1'), 0, 'and told the truth');
  },
);

function hasProgram(name: string): boolean {
  return spawnSync(name, ['--help'], { stdio: 'ignore' }).error === undefined;
}

await t.test('payloads of the contract', (t) => {
  const read = (text: string | Uint8Array) => decodePayload(typeof text === 'string' ? Buffer.from(text) : text);
  const at = Date.UTC(2026, 10, 22, 21, 4, 5);
  const table: [string, object][] = [
    ['{"id":"a1","type":"fall"}', { id: 'a1', type: 'fall', trigger: null, text: null, position: null, triggers: [] }],
    ['{"id":"a1","at":"2026-11-22T22:04:05+01:00"}', { at }],
    ['{"id":"a1","at":"2026-11-22T21:04:05.000Z"}', { at }],
    ['{"id":"a1","at":"0000-01-01T00:00:00Z"}', { at: null }],
    ['{"id":"a1","at":"22.11.2026"}', { at: null }],
    ['{"id":"a1","at":1795381445}', { at: null }],
    ['{"id":"a","type":"fall","text":"\\u0000"}', { id: 'a', type: 'fall', text: '\uFFFD' }],
    ['{"id":"a","type":"fall","text":"x\\ud800y"}', { text: 'x\uFFFDy' }],
    [`{"id":"a","text":"${'å'.repeat(300)}"}`, { text: 'å'.repeat(256) }],
    ['{"id":7,"type":" fall ","trigger":12}', { id: '7', type: 'fall', trigger: '12' }],
    [`{"id":"${'i'.repeat(70)}"}`, { id: 'i'.repeat(64) }],
    ['{"id":""}', { id: null }],
    ['{"id":{"a":1},"type":["fall"]}', { id: null, type: null }],
    [
      '{"position":{"lat":58.97,"lon":5.73,"accuracy":12,"at":"2026-11-22T21:04:05Z"}}',
      { position: { lat: 58.97, lon: 5.73, accuracy: 12, at } },
    ],
    ['{"lat":58.97,"lon":5.73}', { position: { lat: 58.97, lon: 5.73, accuracy: null, at: null } }],
    ['{"position":{"lat":158.97,"lon":5.73}}', { position: null }],
    ['{"position":{"lat":1e999,"lon":"5"}}', { position: null }],
    [
      '{"battery":79.6,"signal":3,"mains":true,"charging":false,"online":true}',
      { battery: 80, signal: 3, mains: true, charging: false, online: true },
    ],
    ['{"battery":101,"signal":0,"mains":"yes","online":0}', { battery: null, signal: null, mains: null, online: null }],
    [
      '{"triggers":[{"id":"p1","battery":80,"seenAt":"2026-11-22T21:04:05Z"},{"id":"p2"},5,{"battery":1}]}',
      {
        triggers: [
          { id: 'p1', battery: 80, seenAt: at },
          { id: 'p2', battery: null, seenAt: null },
        ],
      },
    ],
    ['{"voice":"sip:unit@192.0.2.4"}', { voice: 'sip:unit@192.0.2.4' }],
    ['{"voice":"javascript:alert(1)"}', { voice: null }],
    ['{"firmware":"1.2","__proto__":{"id":"x"}}', { id: null }],
    ['\uFEFF{"id":"a1"}', { id: 'a1' }],
    [' {"id":"a1"}\n', { id: 'a1' }],
  ];
  for (const [text, expected] of table) t.match(read(text), { read: true, ...expected }, text.slice(0, 60));
  t.equal((read('{"firmware":"1.2"}') as { unknown: Record<string, unknown> }).unknown['firmware'], '1.2', 'unknown fields are kept');
  t.match(read(''), { read: false, why: 'not-json' });
  t.match(read('{"id":"a1","type":"fa'), { read: false, why: 'not-json' });
  t.match(read('[1]'), { read: false, why: 'not-an-object' });
  t.match(read('null'), { read: false, why: 'not-an-object' });
  t.match(read(Uint8Array.of(0xff, 0xfe, 0x00)), { read: false, why: 'not-utf8' });
  t.match(read(`{"id":"a","type":"fall"${' '.repeat(8192 - 24)}}`), { read: true }, 'exactly 8 KiB');
  t.match(read(`{"id":"a","type":"fall"${' '.repeat(8193 - 24)}}`), { read: false, why: 'too-large' });
  fc.assert(fc.property(fc.json(), (text) => typeof read(text).read === 'boolean'));
  fc.assert(fc.property(fc.uint8Array(), (bytes) => typeof read(bytes).read === 'boolean'));
  const noAlarm = encodeReceipt({ id: 't', result: 'duplicate', alarm: null, at });
  t.equal(Buffer.from(noAlarm).toString(), '{"id":"t","result":"duplicate","at":"2026-11-22T21:04:05.000Z"}');
  t.same(placeOf(`${own('alarm')}/x`, A), { kind: null, foreign: false });
  t.same(placeOf('nj/v1/1103/NJ-1103-00011/alarm', A), { kind: null, foreign: true });
  t.end();
});
