/**
 * The bridge to a real Mosquitto, while the centre is killed, the link between is cut, and the broker is stopped and started, in turn:
 * nothing that the broker acknowledged to a device is missing, nothing counts twice; what the broker itself loses shows as one gap.
 * Longer: FAULTS=long npx tap run --timeout=1800 test/faults
 */
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import mqtt, { type MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { noMosquitto, startLink, startMosquitto } from '../support/mosquitto.ts';
import { call, registerOf, signIn } from '../support/outside.ts';
import { type Centre, admin, kill, spawnCentre, sql, startCentre, temporary } from '../support/process.ts';
import { until } from '../support/stores.ts';

/** How long the load lasts; with FAULTS=long ten minutes, or FAULTS_BRIDGE_SECONDS. */
const LOAD_SECONDS = Number(process.env['FAULTS_BRIDGE_SECONDS'] ?? (process.env['FAULTS'] === 'long' ? 600 : 12));
const HOUSEHOLDS = 6;
const PATIENCE_MS = 60_000;
/** Between two messages of a device: a load, and not a backlog that hides what is slow. */
const PAUSE_MS = 40;

interface SignalRow {
  readonly message_id: string;
  readonly verdict: string;
  readonly source: string;
}
const signals = (dataDir: string): Promise<SignalRow[]> =>
  sql<SignalRow>(dataDir, `select message_id, verdict, source from signal where source like 'mqtt:F-%'`);
const gaps = (dataDir: string): Promise<{ verdict: string; text: string }[]> =>
  sql(
    dataDir,
    `select verdict, meaning->>'text' as text from signal where source like 'bridge:%' and 'gap' = any(marks) order by received_at`,
  );
/** While the centre starts there is no database. */
const orNull = <T>(asked: Promise<T>): Promise<T | null> => asked.catch(() => null);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Why /readyz finds the bridge unfit; null: it is fit. */
async function bridgeFault(http: string): Promise<string | null> {
  const { body } = await call<{ components: Record<string, { ok: boolean; reason?: string }> }>(http, 'GET', '/readyz');
  const { bridge } = body.components;
  return bridge?.ok === true ? null : (bridge?.reason ?? 'there is no bridge');
}

const bridgeReady = (centre: Centre): Promise<true> =>
  until(
    'the bridge is ready',
    async () => (await orNull(bridgeFault(centre.ready()?.http ?? ''))) === null && centre.ready() !== null,
    PATIENCE_MS,
  );

/** A device at the platform's broker; resolves when that has acknowledged. */
async function device(t: Test, port: number, clientId: string): Promise<MqttClient> {
  const client = await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { clientId, clean: false, reconnectPeriod: 100 });
  client.on('error', () => {});
  t.teardown(() => client.endAsync(true));
  return client;
}

const skip = noMosquitto(t);

await t.test(`centre killed, link cut, broker stopped, in turn for ${LOAD_SECONDS} s`, { skip }, async (t) => {
  const broker = await startMosquitto(t);
  const link = await startLink(t, broker.port);
  const dataDir = path.join(temporary(t), 'data');
  const register = path.join(temporary(t), 'register.csv');
  writeFileSync(register, registerOf(HOUSEHOLDS));
  t.match(await admin(dataDir, ['import', register]), { code: 0, stderr: '' });
  const env = { LOG_LEVEL: 'error', MQTT_BRIDGE_URL: `mqtt://127.0.0.1:${link.port}` };
  let centre: Centre = (await startCentre(t, { dataDir, env })).centre;
  await bridgeReady(centre);

  // The ledger: what the broker acknowledged, by itself, whatever becomes of the centre.
  const acknowledged = new Set<string>();
  const tried = new Set<string>();
  const receipts = new Map<string, string>();
  let over = false;
  const load = Array.from({ length: HOUSEHOLDS }, async (_, n) => {
    const client = await device(t, broker.port, `F-${n}`);
    client.on('message', (_topic, payload) => {
      const { id, result } = JSON.parse(payload.toString()) as { id: string; result: string };
      receipts.set(id, result);
    });
    await client.subscribeAsync(`nj/v1/1103/F-${n}/receipt`, { qos: 1 });
    for (let i = 0; !over; i++) {
      const id = `f${n}-${i}`;
      tried.add(id);
      await client.publishAsync(`nj/v1/1103/F-${n}/alarm`, JSON.stringify({ id, type: 'call-button' }), { qos: 1 });
      acknowledged.add(id);
      await pause(PAUSE_MS);
    }
  });

  const faults = {
    'centre killed': async () => {
      kill(centre.pid, 'SIGKILL');
      await centre.ended;
      centre = spawnCentre(t, { dataDir, env });
      await centre.whenReady();
    },
    'link cut': async () => {
      link.cut();
      await until('noticed', async () => (await bridgeFault(centre.ready()!.http)) !== null, PATIENCE_MS);
      await sent(50);
      link.mend();
    },
    'broker stopped': async () => {
      await broker.stop();
      await until('noticed', async () => (await bridgeFault(centre.ready()!.http)) !== null, PATIENCE_MS);
      await broker.start();
    },
  };
  const sent = (count: number): Promise<true> => {
    const wanted = acknowledged.size + count;
    return until('the broker acknowledges', () => acknowledged.size >= wanted, PATIENCE_MS);
  };
  /** What the broker took a moment ago is in the database: the path is whole again. */
  const goesThrough = async (): Promise<void> => {
    await sent(20);
    const last = [...acknowledged].at(-1)!;
    await until(
      'messages go through',
      async () => ((await orNull(sql(dataDir, 'select 1 from signal where message_id = $1', [last]))) ?? []).length > 0,
      PATIENCE_MS,
    ).catch(async (error: unknown) => {
      const kept = (await orNull(signals(dataDir)))?.length;
      t.comment(
        `after ${done.join(', ')}: ${acknowledged.size} acknowledged, ${kept} rows; ${await bridgeFault(centre.ready()!.http)}; ${centre.output()}`,
      );
      throw error;
    });
  };

  const done: string[] = [];
  const end = performance.now() + LOAD_SECONDS * 1000;
  while (performance.now() < end || done.length < 3) {
    await goesThrough();
    const names = Object.keys(faults) as (keyof typeof faults)[];
    const name = names[done.length % names.length]!;
    done.push(name);
    await faults[name]();
  }
  await goesThrough();
  over = true;
  await Promise.all(load);

  const rows = await until(
    'all that was acknowledged has come',
    async () => {
      const found = await orNull(signals(dataDir));
      const known = new Set(found?.map(({ message_id }) => message_id));
      return [...acknowledged].every((id) => known.has(id)) && found;
    },
    PATIENCE_MS,
  ).catch(() => signals(dataDir));
  const fresh = rows.filter(({ verdict }) => verdict !== 'duplicate').map(({ message_id }) => message_id);
  const known = new Set(fresh);
  const times = (name: string): number => done.filter((one) => one === name).length;
  t.comment(
    `${acknowledged.size} acknowledged by the broker, ${known.size} kept, ${rows.length - fresh.length} came more than once; ` +
      Object.keys(faults)
        .map((name) => `${name} ${times(name)} times`)
        .join(', '),
  );
  t.same(
    [...acknowledged].filter((id) => !known.has(id)),
    [],
    'nothing that the broker acknowledged is missing',
  );
  t.equal(fresh.length, known.size, 'no message counts twice, however often it came');
  t.same(
    fresh.filter((id) => !tried.has(id)),
    [],
    'and there is nothing that nobody sent',
  );
  t.ok(acknowledged.size > 100, 'it was a load');
  t.same(await gaps(dataDir), [], 'no session was lost, so there is no gap');
  await until('a receipt for each', () => [...acknowledged].every((id) => receipts.has(id)), PATIENCE_MS).catch(() => {});
  t.same(
    [...acknowledged].filter((id) => !receipts.has(id)),
    [],
    'and each device has its receipts',
  );
  const operator = await signIn(centre.ready()!, 'operator');
  const alarms = (await operator.alarms()).filter((alarm) => alarm.device.startsWith('F-'));
  t.equal(alarms.length, HOUSEHOLDS, 'one alarm of each household');
  t.equal(
    alarms.reduce((sum, { signalCount }) => sum + signalCount, 0),
    fresh.length,
    'and the alarms hold every message once',
  );
  t.equal((await centre.stop()).code, 0);
});

await t.test(
  'a broker that loses its session shows one gap, also over a kill of the centre; the start does not wait for it',
  { skip },
  async (t) => {
    const broker = await startMosquitto(t);
    const dataDir = path.join(temporary(t), 'data');
    const env = {
      MQTT_BRIDGE_URL: `mqtt://127.0.0.1:${broker.port}`,
      MQTT_BRIDGE_USERNAME: 'responssenter',
      MQTT_BRIDGE_PASSWORD: 'very-secret',
    };
    let { centre } = await startCentre(t, { dataDir, env });
    await bridgeReady(centre);
    const operator = await signIn(centre.ready()!, 'operator');
    t.same(await gaps(dataDir), [], 'the first session is no loss');

    // Lost while the centre is connected.
    await broker.stop();
    broker.forgetAll();
    await broker.start();
    await until('the gap is shown', async () => (await gaps(dataDir)).length > 0, PATIENCE_MS);
    await bridgeReady(centre);
    t.match(await operator.alarmsOf('responssenter'), [{ kind: 'fault', priority: 'technical', signalCount: 1, municipality: '1103' }]);
    t.match(await gaps(dataDir), [
      { text: /^Plattformens MQTT-megler har mistet .* Meldinger mellom \d\d\.\d\d\.\d{4}, .* og \d\d\.\d\d\.\d{4}, .* kan mangle/ },
    ]);

    // Lost while the centre is dead, and the broker not there when it comes back.
    kill(centre.pid, 'SIGKILL');
    await centre.ended;
    await broker.stop();
    broker.forgetAll();
    ({ centre } = await startCentre(t, { dataDir, env }));
    const { body, status } = await call<{ ready: boolean; components: Record<string, { ok: boolean; reason?: string }> }>(
      centre.ready()!.http,
      'GET',
      '/readyz',
    );
    t.equal(status, 200, 'fit to serve without the broker');
    t.match(body, { ready: true, components: { bridge: { ok: false, reason: /ECONNREFUSED|not connected/ } } });
    await broker.start();
    await bridgeReady(centre);
    t.equal((await gaps(dataDir)).length, 2, 'one for each loss');

    kill(centre.pid, 'SIGKILL');
    await centre.ended;
    ({ centre } = await startCentre(t, { dataDir, env }));
    await bridgeReady(centre);
    t.equal((await gaps(dataDir)).length, 2, 'and none for a session that was kept');
    const again = await signIn(centre.ready()!, 'operator');
    t.match(await again.alarmsOf('responssenter'), [{ signalCount: 2 }], 'on one alarm');

    // The same device on both ways: one alarm, and a repetition over the other is a duplicate.
    const far = await device(t, broker.port, 'far');
    const near = await mqtt.connectAsync(`mqtt://${centre.ready()!.mqtt}`, {
      username: 'NJ-1103-0001',
      password: 'demo-device',
      reconnectPeriod: 0,
    });
    t.teardown(() => near.endAsync(true));
    const said = JSON.stringify({ id: 'both', type: 'fall' });
    await near.publishAsync('nj/v1/1103/NJ-1103-0001/alarm', said, { qos: 1 });
    await far.publishAsync('nj/v1/1103/NJ-1103-0001/alarm', said, { qos: 1 });
    await until('both have come', async () => (await again.alarmsOf('NJ-1103-0001'))[0]?.duplicateCount === 1, PATIENCE_MS);
    t.match(await again.alarmsOf('NJ-1103-0001'), [{ signalCount: 1, duplicateCount: 1, household: {} }]);

    // The register knows better than the topic whose it is; a municipality that nobody serves is seen all the same.
    await far.publishAsync('nj/v1/1108/NJ-1103-0001/alarm', JSON.stringify({ id: 'moved', type: 'fall' }), { qos: 1 });
    await far.publishAsync('nj/v1/4601/stranger/alarm', JSON.stringify({ id: 'far', type: 'fall' }), { qos: 1 });
    await until('both are shown', async () => (await again.alarmsOf('stranger')).length === 1, PATIENCE_MS);
    t.match(await again.alarmsOf('stranger'), [{ municipality: '1103', kind: 'fall', household: null }]);
    const marks = await sql(dataDir, `select municipality, marks from signal where message_id = 'moved'`);
    t.same(marks, [{ municipality: '1103', marks: ['identity-mismatch'] }]);
    t.notMatch(centre.output(), /very-secret/);
    t.equal((await centre.stop()).code, 0);
  },
);
