/** MQTT by programs that this project did not write, straight to a whole centre: mosquitto_pub and _sub, MQTT.js, openssl s_client; plain and TLS. */
import { spawn } from 'node:child_process';
import mqtt, { type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { hostAndPort } from '../../simulators/addresses.ts';
import { missing } from '../support/process.ts';
import { until } from '../support/stores.ts';
import { fileText, nothingWentWrong, oneAlarm, program, startInterop } from './centre.ts';
import { TlsBytes, endOf } from './tls-bytes.ts';

const { centre, ready, operator, certificate } = await startInterop(t, { tls: true });
const withoutTls = certificate === null ? 'openssl is not installed' : false;
const MUNICIPALITY = '1103';
const topic = (device: string, kind: string): string => `nj/v1/${MUNICIPALITY}/${device}/${kind}`;
const PASSWORD = 'demo-device';
/** A string of MQTT, as hexadecimal digits. */
const text = (value: string): string => Buffer.byteLength(value).toString(16).padStart(4, '0') + Buffer.from(value).toString('hex');

for (const [over, device] of [
  ['plain', 'F-0'],
  ['TLS', 'F-1'],
] as const) {
  const skip = missing(t, 'mosquitto_pub', '--help') || (over === 'TLS' && withoutTls);
  await t.test(`mosquitto_pub and mosquitto_sub, ${over}: PUBACK, receipt, one alarm`, { skip }, async (t) => {
    const { host, port } = hostAndPort(over === 'TLS' ? (ready.mqtts ?? '') : ready.mqtt);
    const tls = over === 'TLS' ? ['--cafile', certificate?.cert ?? ''] : [];
    const login = ['-h', host, '-p', String(port), '-u', device, '-P', PASSWORD, ...tls];
    const receipts = await listening(t, ['-i', `${device}-sub`, ...login, '-q', '1', '-t', topic(device, 'receipt')]);
    const publish = async (message: string, ...more: string[]): Promise<number | null> =>
      (await program(t, 'mosquitto_pub', [...login, ...more, '-q', '1', '-t', topic(device, 'alarm'), '-m', message])).code;

    t.equal(await publish('{"id":"m1","type":"fall","text":"\u00c5 hjelp"}'), 0);
    await until(`a receipt in ${receipts()}`, () => receipts().includes('"id":"m1"'));
    t.match(JSON.parse(receipts()), { id: 'm1', result: 'received', alarm: /./ });
    await oneAlarm(t, operator, device, ['opened m1'], { kind: 'fall', signalCount: 1, duplicateCount: 0 });
    t.equal(await publish('{"id":"m1","type":"fall","text":"\u00c5 hjelp"}', '-V', 'mqttv31'), 0, 'again, by MQTT 3.1');
    await until('a second receipt', () => receipts().includes('"result":"duplicate"'));
    t.equal(await publish('{"id":"m2","type":"call-button"}'), 0);
    await oneAlarm(t, operator, device, ['opened m1', 'duplicate-received m1', 'repeated m2'], { signalCount: 2 });

    t.not(await publish('{"id":"m3","type":"fall"}', '-P', 'wrong'), 0, 'a wrong secret is refused');
    t.not(await publish('{"id":"m4","type":"fall"}', '-V', 'mqttv5'), 0, 'MQTT 5 is refused in its own words');
    if (over === 'TLS') {
      const stranger = ['-h', host, '-p', String(port), '-u', device, '-P', PASSWORD, '-t', topic(device, 'alarm'), '-m', '{}'];
      t.not((await program(t, 'mosquitto_pub', stranger)).code, 0, 'without TLS nothing comes through there');
    }
    await oneAlarm(t, operator, device, ['opened m1', 'duplicate-received m1', 'repeated m2']);
  });
}

for (const [scheme, device] of [
  ['mqtt', 'F-2'],
  ['mqtts', 'F-3'],
] as const) {
  await t.test(
    `MQTT.js by ${scheme}: twenty at once, PUBACKs, receipts, one alarm; its last will is another signal`,
    { skip: scheme === 'mqtts' && withoutTls },
    async (t) => {
      const receipts: string[] = [];
      const will = { topic: topic(device, 'alarm'), payload: Buffer.from('{"id":"will","type":"fault"}'), qos: 1 as const, retain: false };
      const client = await mqtt.connectAsync(`${scheme}://${scheme === 'mqtts' ? ready.mqtts : ready.mqtt}`, {
        clientId: device,
        username: device,
        password: PASSWORD,
        reconnectPeriod: 0,
        will,
        ...(certificate === null ? {} : { ca: [fileText(certificate.cert)], rejectUnauthorized: true }),
      });
      t.teardown(() => client.endAsync(true).catch(() => {}));
      client.on('message', (_topic, payload) => receipts.push((JSON.parse(payload.toString()) as { id: string }).id));
      await client.subscribeAsync(topic(device, 'receipt'), { qos: 1 });
      const ids = Array.from({ length: 20 }, (_, n) => `j${n}`);
      await Promise.all(
        ids.map((id) => client.publishAsync(topic(device, 'alarm'), JSON.stringify({ id, type: 'call-button' }), { qos: 1 })),
      );
      await until('twenty receipts', () => receipts.length === 20);
      t.same(receipts, ids, 'in the order of the messages');
      await oneAlarm(
        t,
        operator,
        device,
        ids.map((id, n) => `${n === 0 ? 'opened' : 'repeated'} ${id}`),
        { kind: 'call-button', signalCount: 20 },
      );
      await client.publishAsync(topic(device, 'heartbeat'), '{"battery":80}', { qos: 0 });

      await refusedSubscriptions(t, client, device);
      cutOff(client);
      await until('the will is an alarm of its own', async () => (await operator.alarmsOf(device)).length === 2);
      const [, technical] = await operator.alarmsOf(device);
      t.match(technical, { kind: 'fault', priority: 'technical', signalCount: 1 });
    },
  );
}

await t.test(
  'openssl s_client on MQTTS: CONNECT by bytes is refused and accepted, and a PUBLISH acknowledged',
  { skip: withoutTls },
  async (t) => {
    const device = 'F-4';
    const refused = await TlsBytes.open(t, ready.mqtts ?? '', certificate);
    refused.send(connect(device, 'wrong'));
    await refused.hears('20020004');
    await until('the connection is ended', () => refused.ended);

    const unit = await TlsBytes.open(t, ready.mqtts ?? '', certificate);
    unit.send(connect(device, PASSWORD).slice(0, 10));
    unit.send(connect(device, PASSWORD).slice(10));
    await unit.hears('20020000');
    const payload = Buffer.from('{"id":"bytes","type":"fall"}').toString('hex');
    const name = text(topic(device, 'alarm'));
    const length = (name.length + 4 + payload.length) / 2;
    unit.send(`32${length.toString(16).padStart(2, '0')}${name}1234${payload}`);
    await unit.hears('2002000040021234');
    await oneAlarm(t, operator, device, ['opened bytes'], { kind: 'fall', signalCount: 1 });
    unit.send('c000');
    await unit.hears('2002000040021234d000');
  },
);

await t.test('all the time the centre met no bug', (t) => {
  nothingWentWrong(t, centre);
  t.end();
});

/** MQTT 3.1.1, 3.1, as hexadecimal digits. */
function connect(user: string, password: string): string {
  const body = `00044d51545404c2003c${text('bytes')}${text(user)}${text(password)}`;
  return `10${(body.length / 2).toString(16).padStart(2, '0')}${body}`;
}

/** mosquitto_sub, subscribed; gives what it has printed. */
async function listening(t: Test, args: readonly string[]): Promise<() => string> {
  // Told line by line what it does: a subscription has been granted when it says so.
  const child = spawn('stdbuf', ['-oL', 'mosquitto_sub', '-d', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  t.teardown(() => endOf(child));
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
  await until(`subscribed: ${said}`, () => said.includes('Subscribed'));
  // With -d it also tells each packet, one a line.
  return () =>
    said
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .join('\n');
}

/** Other devices' topics and wildcards are refused in the SUBACK, and the connection lives on. */
async function refusedSubscriptions(t: Test, client: MqttClient, device: string): Promise<void> {
  for (const wanted of ['#', 'nj/v1/+/+/alarm', topic('F-39', 'receipt'), topic(device, 'alarm')]) {
    const granted = await client.subscribeAsync(wanted, { qos: 1 }).then(
      (grants) => grants.map(({ qos }) => qos as number),
      () => [128],
    );
    t.same(granted, [128], `${wanted} is refused`);
  }
  t.ok(client.connected);
}

/** The network is gone without a word. */
function cutOff(client: MqttClient): void {
  client.stream.destroy();
}
