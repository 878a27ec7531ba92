/** Messages of programs that this project did not write, of liars and of noise, against one running centre; and what people do about them. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import WebSocket from 'ws';
import type { AlarmView } from '../../src/alarms/view.ts';
import { hostAndPort } from '../../simulators/addresses.ts';
import { MqttDevice, ScaipUnit, call, signIn, writeRaw } from '../support/outside.ts';
import { ROOT, missing, startCentre, temporary } from '../support/process.ts';
import { until } from '../support/stores.ts';

const VECTORS = path.join(ROOT, 'test', 'vectors');
const { centre, ready } = await startCentre(t);
const operator = await signIn(ready, 'operator');
const operator2 = await signIn(ready, 'operator2');
const screen = operator.socket();
t.teardown(() => screen.close());

/** Runs a program to its end; its exit code. */
async function program(t: Test, name: string, ...args: readonly string[]): Promise<number | null> {
  const child = spawn(name, args, { cwd: temporary(t), stdio: 'ignore' });
  const [code] = (await once(child, 'exit')) as [number | null];
  return code;
}

/** The one alarm of that device: open, shown on the screen, and alone. */
async function onlyAlarmOf(t: Test, device: string): Promise<AlarmView> {
  const alarms = await operator.alarmsOf(device);
  t.equal(alarms.length, 1, `one alarm of ${device}`);
  const alarm = alarms[0]!;
  await until(`${alarm.number} on the screen`, () => screen.latest.get(alarm.number)?.version === alarm.version);
  return alarm;
}

await t.test('mosquitto_pub -q 1 puts one alarm on the board', { skip: missing(t, 'mosquitto_pub', '--help') }, async (t) => {
  const { host, port } = hostAndPort(ready.mqtt);
  const publish = (message: string, ...more: string[]): Promise<number | null> => {
    const login = ['-h', host, '-p', String(port), '-u', 'NJ-1103-0001', '-P', 'demo-device', '-q', '1', ...more];
    return program(t, 'mosquitto_pub', ...login, '-t', 'nj/v1/1103/NJ-1103-0001/alarm', '-m', message);
  };
  const first = '{"id":"m1","type":"fall","at":"2026-11-22T03:04:05Z"}';
  t.equal(await publish(first), 0);
  const alarm = await onlyAlarmOf(t, 'NJ-1103-0001');
  t.match(alarm, { kind: 'fall', priority: 'life', state: 'waiting', municipality: '1103', signalCount: 1, unreadable: false });
  t.match(alarm.household, { name: 'Jan-Erik Skjæveland' });

  t.equal(await publish(first, '-V', 'mqttv31'), 0, 'the identical message again is acknowledged');
  t.match(await onlyAlarmOf(t, 'NJ-1103-0001'), { number: alarm.number, signalCount: 1, duplicateCount: 1 }, 'and adds none');
  t.equal(await publish('{"id":"m2","type":"call-button"}'), 0);
  t.match(await onlyAlarmOf(t, 'NJ-1103-0001'), { number: alarm.number, signalCount: 2 }, 'a different message joins');
  t.not(await publish('{"id":"m3","type":"fall"}', '-P', 'wrong'), 0, 'a wrong password is refused');
  t.match(await onlyAlarmOf(t, 'NJ-1103-0001'), { signalCount: 2 });
});

await t.test('sipp with a body of the samples puts one alarm on the board', { skip: missing(t, 'sipp', '-v') }, async (t) => {
  for (const [transport, address] of [
    ['u1', ready.sipUdp],
    ['t1', ready.sipTcp],
  ] as const) {
    const scenario = (name: string): string => path.join(VECTORS, 'sipp', name);
    const own = [address, '-i', '127.0.0.1', '-nostdin', '-timeout', '30', '-m', '1', '-t', transport];
    // Both runs send the same: their call numbers, and so the references, are equal.
    const before = (await operator.alarmsOf('10149471'))[0];
    t.equal(
      await program(t, 'sipp', ...own, '-sf', scenario('alarm.xml'), '-oocsf', scenario('reply.xml')),
      0,
      `${transport}: 200, then the mrs`,
    );
    const alarm = await onlyAlarmOf(t, '10149471');
    t.match(alarm, {
      kind: 'call-button',
      priority: 'life',
      municipality: '1103',
      signalCount: 1,
      household: { name: 'Thorbjørnsen og Sørbø' },
    });
    t.equal(alarm.duplicateCount, before === undefined ? 0 : before.duplicateCount + 1, 'the identical message again adds none');
    t.equal(await program(t, 'sipp', ...own, '-sf', scenario('options.xml')), 0, 'OPTIONS');
  }
});

await t.test('every sample of a real unit is acknowledged; those of one unit are one alarm', async (t) => {
  const folder = path.join(VECTORS, 'scaip');
  const samples = readdirSync(folder)
    .filter((name) => /^R(0|10|11|13|14).*\.xml$/.test(name))
    .map((name) => readFileSync(path.join(folder, name), 'utf8'));
  t.ok(samples.length > 10);
  const byTransport = new Map(
    (['udp', 'tcp'] as const).map((transport) => [transport, new ScaipUnit(() => centre.ready(), '10149471', transport)]),
  );
  t.teardown(() => Promise.all([...byTransport.values()].map((unit) => unit.close())));
  for (const [transport, unit] of byTransport) {
    for (const sample of samples) {
      const ref = /<ref>([^<]*)/.exec(sample)?.[1] ?? '';
      t.ok(await unit.send(ref, sample), `${ref} over ${transport}: 200 and snu 0`);
    }
  }
  const unit = await onlyAlarmOf(t, '10149471');
  const sipp = missing(t, 'sipp', '-v') === false ? 1 : 0;
  // R05 and R07 have one reference and different bytes: a reference that is used again is a new message.
  t.equal(unit.signalCount, 4 + sipp, 'R05 to R08 are four messages of one unit');
  t.match(await onlyAlarmOf(t, '26317'), { signalCount: 1, kind: 'call-button' }, 'R04, and its heartbeat R01 is none');
  const alarms = await operator.alarms();
  for (const cid of ['999998', '8031372'])
    t.ok(
      alarms.some(({ device }) => device === cid),
      `${cid} is on the board`,
    );
});

await t.test('nobody closes without contact; of two who claim at once one wins; a key is carried out once', async (t) => {
  const device = new MqttDevice(() => centre.ready(), 'NJ-1103-0002');
  t.teardown(() => device.close());
  t.ok(await device.publish('{"id":"c1","type":"call-button"}'));
  const { number } = await onlyAlarmOf(t, 'NJ-1103-0002');
  t.match(await operator.order(number, { command: 'close', outcome: 'helped-by-voice', version: 1 }), {
    status: 409,
    body: { code: 'no-confirmed-contact' },
  });
  const claims = await Promise.all(
    [operator, operator2].map((person, n) => person.order(number, { command: 'claim', version: 1, key: `claim-${n}` })),
  );
  t.same(
    claims.map(({ status }) => status).toSorted((a, b) => a - b),
    [200, 409],
    'one of two wins',
  );
  const loser = claims.find(({ status }) => status === 409);
  const winner = claims.findIndex(({ status }) => status === 200);
  t.match(loser?.body, { code: 'taken-by-another', by: ['operator', 'operator2'][winner] }, 'and the other sees who');
  const [owner, other] = winner === 0 ? [operator, operator2] : [operator2, operator];
  t.match(await other.order(number, { command: 'close', outcome: 'helped-by-voice' }), { status: 409, body: { code: 'taken-by-another' } });
  t.match(await owner.order(number, { command: 'close', outcome: 'helped-by-voice' }), {
    status: 409,
    body: { code: 'no-confirmed-contact' },
  });

  const twice = { command: 'note', text: 'Ringer datteren', key: 'note-1' };
  const notes = await Promise.all([owner.order(number, twice), owner.order(number, twice)]);
  t.same(
    notes.map(({ status }) => status),
    [200, 200],
  );
  const again = await owner.order(number, twice);
  t.same(again.body, notes[0]?.body, 'the same key gets the same answer');
  t.equal((await owner.alarm(number)).timeline.filter(({ event }) => event.event === 'noted').length, 1, 'and is carried out once');

  t.equal((await owner.order(number, { command: 'confirm-contact', how: 'voice' })).status, 200);
  t.match(await owner.order(number, { command: 'close', outcome: 'helped-by-voice' }), { status: 200, body: { state: 'closed' } });
  t.match(await owner.order(number, { command: 'claim' }), { status: 409, body: { code: 'already-closed' } });
  await until('closed on the screen too', () => screen.latest.get(number)?.state === 'closed');
});

await t.test('a NUL in a text, and other poison, is acknowledged and shown, and the next alarm comes through', async (t) => {
  const device = new MqttDevice(() => centre.ready(), 'NJ-1103-0003');
  const next = new MqttDevice(() => centre.ready(), 'NJ-1103-0004');
  t.teardown(() => [device, next].forEach((one) => one.close()));
  const poison = [
    '{"id":"a","type":"fall","text":"\\u0000"}',
    '{"id":"\\u0000","type":"\\u0000","trigger":"\\u0000\\ud800"}',
    '{"id":"b","type":"fall","text":"\\ud800 alone","position":{"lat":1e999,"lon":"x"}}',
    `{"id":"${'\\u0000'.repeat(80)}","type":"${'x'.repeat(5000)}"}`,
    '{"id":{"a":[1]},"type":{},"text":[],"battery":1e400,"at":"9999999-01-01"}',
    `${'['.repeat(3000)}`,
    '',
    '\u0000\u0000',
    `{"id":"c","type":"fall","text":"${'å'.repeat(3900)}"}`,
    `{"id":"d","type":"fall","text":"${'x'.repeat(20_000)}"}`,
  ];
  for (const [n, payload] of poison.entries()) {
    t.ok(await device.publish(payload), `${payload.slice(0, 40)} is acknowledged`);
    t.ok(await next.publish(`{"id":"n${n}","type":"call-button"}`), 'and the next one comes through');
  }
  const alarms = await operator.alarmsOf('NJ-1103-0003');
  t.ok(alarms.length > 0 && alarms.length <= 2, 'on the board: the need, and what cannot be read');
  t.ok(alarms.some(({ kind }) => kind === 'fall'));
  t.equal(
    alarms.reduce((sum, { signalCount, duplicateCount }) => sum + signalCount + duplicateCount, 0),
    poison.length,
    'all of it',
  );
  t.match(await onlyAlarmOf(t, 'NJ-1103-0004'), { signalCount: poison.length });

  const unit = new ScaipUnit(() => centre.ready(), '26317', 'tcp');
  t.teardown(() => unit.close());
  for (const body of [
    '<mrq><ref>x1</ref><cid>26317</cid><dty>&#0;</dty>',
    '<mrq><ref>x2</ref></mrq>',
    '<mrq><ref>x3</ref><cid>26317</cid><dty>99</dty></mrq>',
  ]) {
    t.ok(await unit.send(/x\d/.exec(body)![0], body), body);
  }
});

await t.test('noise on every port: the centre lives, and an alarm among it comes through', async (t) => {
  const over = performance.now() + 2000;
  const http = new URL(ready.http).host;
  const noisy = (): boolean => performance.now() < over;
  const some = (): Buffer => randomBytes(1 + Math.floor(Math.random() * 2000));
  const starts: Record<string, string[]> = {
    [ready.mqtt]: ['\x10\x16\x00\x04MQTT\x04\x02\x00\x00\x00\x0a', '\x30\xff\xff\xff\xff', '\x10\xff\xff\xff\x7f', '\xe0\x00'],
    [ready.sipTcp]: [
      'MESSAGE sip:alarm@x SIP/2.0\r\nContent-Length: 99999999\r\n\r\n',
      'INVITE sip:a SIP/2.0\r\n',
      'MESSAGE x SIP/2.0\r\nContent-Length: -1\r\n\r\n',
      '\r\n\r\n\r\n',
    ],
    [http]: [
      'POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n\r\n{',
      'GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n',
      'GET /%00%ff HTTP/1.1\r\nHost: x\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\n',
    ],
  };
  const streams = Object.entries(starts).map(async ([address, beginnings]) => {
    while (noisy()) {
      await Promise.all(
        Array.from({ length: 4 }, () =>
          writeRaw(address, [Buffer.from(beginnings[Math.floor(Math.random() * beginnings.length)]!, 'latin1'), some()]),
        ),
      );
      await writeRaw(address, [some(), some()]);
    }
  });
  const datagrams = (async () => {
    const socket = createSocket('udp4');
    let datagramsSent = 0;
    const { host, port } = hostAndPort(ready.sipUdp);
    while (noisy()) {
      const bytes =
        Math.random() < 0.5
          ? some()
          : Buffer.concat([Buffer.from('MESSAGE sip:alarm@x SIP/2.0\r\nVia: SIP/2.0/UDP 0.0.0.0:0\r\n'), some()]);
      await new Promise((resolve) => socket.send(bytes, port, host, resolve));
      // Not so fast that the kernel drops the honest ones.
      if (++datagramsSent % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await new Promise<void>((resolve) => socket.close(() => resolve()));
  })();
  const sockets = (async () => {
    const { cookie } = await call(ready.http, 'POST', '/api/v1/session', { username: 'natt', password: 'demo' });
    while (noisy()) {
      const socket = new WebSocket(`ws://${http}/ws`, { headers: { cookie } });
      socket.on('error', () => {});
      socket.on('open', () => {
        socket.send(some());
        socket.send(`{"type":"${'x'.repeat(100)}"}`);
        socket.send('{"type":"snapshot-please"');
        // Past the codec: bytes that are no frame.
        (socket as unknown as { _socket: { write(bytes: Buffer): void } })._socket.write(some());
      });
      await Promise.race([once(socket, 'close'), new Promise((resolve) => setTimeout(resolve, 500))]).catch(() => {});
      socket.terminate();
    }
  })();
  const device = new MqttDevice(() => centre.ready(), 'NJ-1108-0001');
  const unit = new ScaipUnit(() => centre.ready(), '8031372', 'udp');
  t.teardown(() => {
    device.close();
    return unit.close();
  });
  let sent = 0;
  const alarms = (async () => {
    while (noisy() || sent === 0) {
      sent++;
      t.ok(await device.press(`{"id":"noise-${sent}","type":"call-button"}`), `alarm ${sent} in the noise is acknowledged`);
      t.ok(await unit.press(`noise${sent}`, `<mrq><ref>noise${sent}</ref><cid>8031372</cid><dty>3</dty><stc>10</stc></mrq>`));
    }
  })();
  await Promise.all([...streams, datagrams, sockets, alarms]);

  t.equal(centre.process.exitCode, null, 'the centre lives');
  t.match(await onlyAlarmOf(t, 'NJ-1108-0001'), { signalCount: sent });
  t.ok(await device.publish('{"id":"after","type":"fall"}'));
  await until('the next one on the screen', async () => (await operator.alarmsOf('NJ-1108-0001'))[0]?.signalCount === sent + 1);
  t.equal((await call(ready.http, 'GET', '/readyz')).status, 200);
  t.equal(screen.opened, 1, 'and the console never lost its socket');
});

await t.test('all the time it was told nothing of a bug', (t) => {
  const lines = centre
    .output()
    .split('\n')
    .filter((line) => /"level":"error"|UnhandledPromise|TypeError/.test(line));
  t.same(lines, []);
  t.end();
});
