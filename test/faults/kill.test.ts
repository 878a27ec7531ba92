/**
 * kill -9 of everything, of the centre and of each store, at bad moments: nothing that was acknowledged is missing, nothing is doubled.
 * Longer: FAULTS=long npx tap run --timeout=1800 test/faults
 */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import t, { type Test } from 'tap';
import { MqttDevice, ScaipUnit, registerOf, signIn } from '../support/outside.ts';
import { type Centre, ROOT, admin, kill, spawnCentre, sql, startCentre, storeOf, temporary } from '../support/process.ts';
import { until } from '../support/stores.ts';

/** How long the load lasts; with FAULTS=long ten minutes, or FAULTS_KILL_SECONDS. */
const LOAD_SECONDS = Number(process.env['FAULTS_KILL_SECONDS'] ?? (process.env['FAULTS'] === 'long' ? 600 : 12));
const HOUSEHOLDS = 6;
const SEED = Number(process.env['FAULTS_SEED'] ?? Date.now() % 1_000_000);

/** The configuration with short waits, so that a deadline passes while nobody is there. */
function impatient(t: Test): string {
  const folder = path.join(temporary(t), 'config');
  cpSync(path.join(ROOT, 'config'), folder, { recursive: true });
  const ladders = path.join(folder, 'ladders.json');
  writeFileSync(ladders, readFileSync(ladders, 'utf8').replace('"unclaimed": 60', '"unclaimed": 5'));
  return folder;
}

interface SignalRow {
  readonly message_id: string;
  readonly verdict: string;
}
const signals = (dataDir: string): Promise<SignalRow[]> => sql<SignalRow>(dataDir, 'select message_id, verdict from signal');

await t.test('everything is killed right behind an acknowledgement: a new start shows the alarm, and acts on what fell due', async (t) => {
  const dataDir = path.join(temporary(t), 'data');
  const env = { CONFIG_DIR: impatient(t) };
  let centre: Centre = (await startCentre(t, { dataDir, env })).centre;
  const device = new MqttDevice(() => centre.ready(), 'NJ-1103-0001');
  const unit = new ScaipUnit(() => centre.ready(), '26317', 'udp');
  t.teardown(async () => {
    device.close();
    await unit.close();
  });

  t.ok(await device.press('{"id":"k1","type":"fall"}'), 'PUBACK');
  await centre.killEverything();
  const killedAt = Date.now();
  device.close();
  await until('the deadline has passed', () => Date.now() > killedAt + 5000);
  ({ centre } = await startCentre(t, { dataDir, env }));
  const readyAt = Date.now();
  const operator = await signIn(centre.ready()!, 'operator');
  const [alarm, ...others] = await operator.alarmsOf('NJ-1103-0001');
  t.same(others, []);
  t.match(alarm, { kind: 'fall', signalCount: 1, state: 'waiting', household: { name: 'Jan-Erik Skjæveland' } });
  const number = alarm!.number;
  const told = await until('the supervisor is told', async () =>
    (await operator.alarm(number)).timeline.find(({ event }) => event.event === 'told'),
  );
  const late = Date.parse(told.at) - readyAt;
  t.ok(late < 2000, `told ${late} ms after ready.json, ${readyAt - killedAt} ms after the kill`);

  t.ok(await device.press('{"id":"k1","type":"fall"}'), 'the device that does not trust its memory sends it again');
  t.match(await operator.alarmsOf('NJ-1103-0001'), [{ number, signalCount: 1, duplicateCount: 1 }]);

  t.ok(await unit.press('k2', '<mrq><ref>k2</ref><cid>26317</cid><dty>3</dty><stc>10</stc></mrq>'), '200 and mrs');
  await centre.killEverything();
  ({ centre } = await startCentre(t, { dataDir, env }));
  const again = await signIn(centre.ready()!, 'operator');
  t.match(await again.alarmsOf('26317'), [{ kind: 'call-button', signalCount: 1 }]);
  t.match(await again.alarmsOf('NJ-1103-0001'), [{ number }]);
  t.equal((await centre.stop()).code, 0);
});

/** What kills at random moments, by a seed that is told. */
function dice(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

await t.test(`centre, PostgreSQL and Redis are killed in turn under load for ${LOAD_SECONDS} s (FAULTS_SEED=${SEED})`, async (t) => {
  const dataDir = path.join(temporary(t), 'data');
  const register = path.join(temporary(t), 'register.csv');
  writeFileSync(register, registerOf(HOUSEHOLDS));
  t.match(await admin(dataDir, ['import', register]), { code: 0, stderr: '' });
  let centre: Centre = (await startCentre(t, { dataDir, env: { LOG_LEVEL: 'error' } })).centre;
  const ready = () => centre.ready();

  // Like real devices: one message at a time, the same bytes again and again until somebody has acknowledged them.
  const acknowledged = new Set<string>();
  const tried = new Set<string>();
  let over = false;
  const load: Promise<void>[] = [];
  for (let n = 0; n < HOUSEHOLDS; n++) {
    const device = new MqttDevice(ready, `F-${n}`, '1103');
    const unit = new ScaipUnit(ready, String(7000 + n), n % 2 === 0 ? 'udp' : 'tcp');
    t.teardown(async () => {
      device.close();
      await unit.close();
    });
    const keepSending = async (name: string, send: (id: string) => Promise<boolean>): Promise<void> => {
      for (let i = 0; !over; i++) {
        const id = `${name}-${i}`;
        tried.add(id);
        if (await send(id)) acknowledged.add(id);
      }
    };
    load.push(
      keepSending(`f${n}`, (id) => device.press(JSON.stringify({ id, type: 'call-button' }), () => over)),
      keepSending(`u${n}`, (ref) =>
        unit.press(ref, `<mrq><ref>${ref}</ref><cid>${unit.cid}</cid><dty>3</dty><stc>10</stc></mrq>`, () => over),
      ),
    );
  }

  const random = dice(SEED);
  const victims = ['postgres', 'redis', 'centre', 'everything', 'postgres', 'centre'] as const;
  const killed: string[] = [];
  const end = performance.now() + LOAD_SECONDS * 1000;
  while (performance.now() < end || killed.length < 4) {
    const wanted = acknowledged.size + 20 + Math.floor(random() * 200);
    await until('messages go through', () => acknowledged.size >= wanted, 60_000);
    const moment = performance.now() + random() * 50;
    await until('a bad moment', () => performance.now() >= moment);
    const victim = victims[killed.length % victims.length]!;
    killed.push(victim);
    if (victim === 'postgres' || victim === 'redis') {
      const pid = storeOf(centre, victim);
      if (pid !== null) kill(pid, 'SIGKILL');
      continue;
    }
    if (victim === 'everything') await centre.killEverything();
    else kill(centre.pid, 'SIGKILL');
    await centre.ended;
    // At once: what is left of the killed one's stores is the new one's affair.
    centre = spawnCentre(t, { dataDir, env: { LOG_LEVEL: 'error' } });
    await centre.whenReady();
  }
  over = true;
  await Promise.all(load);
  t.comment(`${acknowledged.size} acknowledged of ${tried.size}; killed: ${killed.join(', ')}`);

  const rows = await until('the database answers', () => signals(dataDir).catch(() => null), 30_000);
  const fresh = rows.filter(({ verdict }) => verdict !== 'duplicate').map(({ message_id }) => message_id);
  const known = new Set(fresh);
  t.same(
    [...acknowledged].filter((id) => !known.has(id)),
    [],
    'nothing that was acknowledged is missing',
  );
  t.equal(fresh.length, known.size, 'no message counts twice, however often it was sent');
  t.same(
    fresh.filter((id) => !tried.has(id)),
    [],
    'and there is nothing that nobody sent',
  );
  t.ok(acknowledged.size > 200, 'it was a load');

  const operator = await until('an operator signs in', () => signIn(centre.ready()!, 'operator').catch(() => null), 30_000);
  const alarms = (await operator.alarms()).filter(({ device }) => /^(F-\d+|700\d)$/.test(device));
  t.same(
    alarms.map(({ device }) => device).toSorted(),
    [...Array.from({ length: HOUSEHOLDS }, (_, n) => `${7000 + n}`), ...Array.from({ length: HOUSEHOLDS }, (_, n) => `F-${n}`)],
    'one alarm of each household',
  );
  t.equal(
    alarms.reduce((sum, { signalCount }) => sum + signalCount, 0),
    fresh.length,
    'and the alarms hold every message once',
  );
  t.same(await operator.alarms('closed'), []);
  t.equal((await centre.stop()).code, 0);
});
