/** What is fuzzed of MQTT: payloads with what a device's model makes of them, and the gate that cuts raw bytes before the broker. */
import type { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { MovableClock } from '../../src/base/clock.ts';
import { interpretMqtt } from '../../src/devices/interpret.ts';
import { PAYLOAD_LIMIT, UP_KINDS } from '../../src/protocols/mqtt/message.ts';
import { PacketGate } from '../../src/protocols/mqtt/packet-gate.ts';
import { decodePayload } from '../../src/protocols/mqtt/payload.ts';
import { mayRead, placeOf } from '../../src/protocols/mqtt/topic.ts';
import { type Fuzzed, holds } from './campaign.ts';
import { keptFor } from './corpus.ts';
import type { Draw } from './mutate.ts';
import { holdsStorable, models } from './scaip.ts';

const DEVICE = { serial: 'NJ-1103-0001', municipality: '1103' };
const TOPIC = 'nj/v1/1103/NJ-1103-0001/alarm';
const PAYLOADS = [
  '{"id":"1","type":"fall","at":"2026-11-22T03:04:05Z"}',
  '{"id":"2","type":"call-button","trigger":"p1","battery":80,"text":"\u00c5","voice":"sip:a@b","position":{"lat":58.97,"lon":5.73,"accuracy":8,"at":"2026-11-22T03:04:05Z"}}',
  '{"id":3,"battery":12,"mains":false,"signal":4,"charging":true,"online":true,"triggers":[{"id":"p1","battery":5,"seenAt":"2026-11-22T03:04:05+01:00"}]}',
  '{"lat":58.9,"lon":5.7,"extra":{"a":[1,null]}}',
];
const FIELDS =
  'id at type trigger position battery triggers mains signal charging online voice text lat lon accuracy seenAt __proto__ constructor'.split(
    ' ',
  );
const WORDS = [
  ...FIELDS.map((field) => `"${field}":`),
  ...[
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    'null',
    'true',
    '1e999',
    '-0',
    '\\u0000',
    '\\ud800',
    '\\udc00',
    '\u00ed\u00a0\u0080',
    '\u00ef\u00bb\u00bf',
  ],
  ...['"fall"', '"\\u0000"', '"2026-11-22T03:04:05Z"', '"0000-00-00T00:00Z"', '"tel:+47"', '{"toString":1}', '[[[[[[[[', '{"a":{"a":{"a":'],
];

const payload: Fuzzed = {
  name: 'mqtt-payload',
  seeds: [...PAYLOADS.map((text) => Buffer.from(text)), ...keptFor('mqtt-payload')],
  words: WORDS,
  longest: PAYLOAD_LIMIT + 100,
  feed(input, draw) {
    const decoded = decodePayload(input);
    const { unknown, ...fields } = decoded.read ? decoded : { unknown: null, why: decoded.why };
    holdsStorable(fields, 'fields');
    JSON.stringify(unknown);
    const kind = draw.oneIn(8) ? null : draw.pick(UP_KINDS);
    const meaning = interpretMqtt(
      {
        ...{ device: DEVICE.serial, municipality: DEVICE.municipality, topic: TOPIC, kind, foreign: draw.oneIn(8), will: draw.oneIn(8) },
        ...{ qos: 1, payload: input, tooLarge: input.length > PAYLOAD_LIMIT, duplicateFlag: false, receivedAt: 1_790_000_000_000 },
        body: decoded,
      },
      models.get(draw.pick(models.names)),
    );
    holdsStorable(meaning, 'meaning');
    const read = decoded.read
      ? Object.entries(fields).flatMap(([name, value]) => (value === null || (Array.isArray(value) && value.length === 0) ? [] : [name]))
      : [decoded.why];
    return `${read.join(' ')} ${meaning.what} ${meaning.what === 'signal' ? `${meaning.meaning.role} ${meaning.meaning.kind}` : ''}`;
  },
};

/** MQTT 3.1.1, 2.2.3: seven bits a byte, least first. */
function packet(first: number, ...parts: (Buffer | number[])[]): Buffer {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  const length: number[] = [];
  for (let left = body.length; length.length === 0 || left > 0; left >>= 7) length.push((left & 127) | (left > 127 ? 128 : 0));
  return Buffer.concat([Buffer.from([first, ...length]), body]);
}
const text = (value: string): Buffer => {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
};
const CONNECT = packet(0x10, text('MQTT'), [4, 0xc2, 0, 60], text('c'), text('NJ-1103-0001'), text('demo-device'));
const publish = (qos: number, body: string, id = 1): Buffer =>
  packet(0x30 | (qos << 1), text(TOPIC), qos === 0 ? [] : [id >> 8, id & 255], Buffer.from(body));

const SESSIONS = [
  [CONNECT, publish(1, PAYLOADS[0] ?? ''), publish(0, '{}'), packet(0xe0)],
  [
    CONNECT,
    packet(0x82, [0, 1], text(`nj/v1/1103/${DEVICE.serial}/receipt`), [1]),
    ...Array.from({ length: 30 }, (_, n) => publish(1, `{"id":${n}}`, n + 1)),
  ],
  [packet(0x10, text('MQIsdp'), [3, 2, 0, 0], text('')), packet(0xc0), publish(2, 'x', 7), packet(0x62, [0, 7])],
  [packet(0x10, text('MQTT'), [5, 2, 0, 0, 0], text('five'))],
];
const LIMITS = { packet: 64 * 1024, inFlight: 20 };
const clock = new MovableClock();

/** One end of a connection in memory, with the words of a net.Socket that the gate uses. */
class Wire extends Duplex {
  written = 0;
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written += chunk.length;
    done();
  }
  destroySoon(): void {
    this.destroy();
  }
}

const packets: Fuzzed = {
  name: 'mqtt-packets',
  seeds: [...SESSIONS.map((session) => Buffer.concat(session)), ...SESSIONS.flat(), ...keptFor('mqtt-packets')],
  words: [
    ...[CONNECT, publish(1, '{}', 2), publish(2, '{}', 3), publish(0, ''), packet(0xe0), packet(0xc0)].map((bytes) =>
      bytes.toString('latin1'),
    ),
    ...[
      '\u0030\u00ff\u00ff\u00ff\u007f',
      '\u0030\u00ff\u00ff\u00ff\u00ff',
      '\u0030\u0002\u00ff\u00ff',
      '\u0036\u0000',
      '\u003f\u0004\u0000\u0000',
      '\u00f0\u0000',
      '\u0000',
    ],
  ],
  // One reading of a socket, and a packet above its limit.
  longest: 70_000,
  async feed(input, draw) {
    const wire = new Wire();
    const refusals: string[] = [];
    const gate = new PacketGate({ socket: wire as unknown as Socket, limits: LIMITS, clock, refused: (code) => refusals.push(code) });
    let inFlight = 0;
    let passed = 0;
    let kept = 0;
    let broken: Error | null = null;
    /** What the broker does with a packet: it admits a CONNECT some time later, and deals with each PUBLISH in its own time. */
    const deals = (bytes: Buffer): void => {
      passed += bytes.length;
      if (bytes[0] === 0x10) queueMicrotask(() => gate.admit());
      // The gate's stub: flags, length, two bytes for the length of the topic, topic, message id.
      const published = (bytes[0] ?? 0) >> 4 === 3 ? gate.fetch(bytes.toString('latin1', 4, 4 + (bytes[3] ?? 0))) : null;
      if (published === null) return;
      kept++;
      inFlight++;
      queueMicrotask(() => {
        inFlight--;
        gate.release();
      });
      holds(inFlight <= LIMITS.inFlight, `${inFlight} in flight`);
      holds(published.payload.length <= LIMITS.packet, 'a payload within the limit');
      holds(published.payload.buffer.byteLength <= published.payload.length, 'a payload does not hold the chunk that it came in');
      holdsStorable(published.topic, 'topic');
      placeOf(published.topic, DEVICE);
      mayRead(published.topic, DEVICE);
    };
    gate.on('data', (bytes: Buffer) => {
      try {
        deals(bytes);
      } catch (error) {
        broken ??= error as Error;
      }
    });
    gate.on('error', () => refusals.push('error'));
    let turn: NodeJS.Immediate | undefined;
    const settled = new Promise<void>((resolve) => {
      gate.once('close', resolve);
      // Four turns on nothing is left to do, and it is open still.
      const wait = (turns: number): void => {
        turn = setImmediate(turns === 0 ? resolve : () => wait(turns - 1));
      };
      wait(4);
    });
    gate.once('end', () => gate.destroy());
    for (const chunk of pieces(input, draw)) wire.push(chunk);
    wire.push(null);
    await settled;
    clearImmediate(turn);
    if (broken !== null) throw broken as Error;
    holds(wire.destroyed && gate.destroyed, 'a connection that the device ended is closed');
    holds(passed <= input.length + 16 * kept, 'what passes came in');
    const first = input[0] === 0x10 ? 'connect' : 'other';
    return `${first} ${refusals.join(' ')} ${Math.min(kept, 3)} ${Math.min(passed, 1) + Math.min(wire.written, 1)} ${gate.disconnected}`;
  },
};

function* pieces(input: Buffer, draw: Draw): Generator<Buffer> {
  const most = draw.oneIn(2) ? input.length + 1 : 1 + draw.below(64);
  for (let at = 0; at < input.length;) {
    const size = input.length > 8192 ? Math.max(1024, most) : 1 + draw.below(most);
    yield input.subarray(at, at + size);
    at += size;
  }
}

export const MQTT: readonly Fuzzed[] = [payload, packets];
