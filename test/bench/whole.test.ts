/** The bench's newer parts for real, with a handful of everything: that they count right, not how fast anything is. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { archives } from '../../bench/archive.ts';
import { type Centre, startCentre } from '../../bench/centre.ts';
import { makeConfiguration } from '../../bench/configuration.ts';
import { manyDeadlines } from '../../bench/desk.ts';
import type { Fact, Figure } from '../../bench/figures.ts';
import { outage } from '../../bench/outage.ts';
import { type Plan, readArguments } from '../../bench/plan.ts';
import { throughTheKeeper } from '../../bench/references.ts';
import { fillRegister } from '../../bench/register.ts';
import { minutesOfIt } from '../../bench/steady.ts';
import { RunningClock } from '../../src/base/clock.ts';
import { startSmsGateway } from '../../simulators/sms-gateway.ts';

const asked = readArguments(['--try']);
if ('wrong' in asked) throw new Error(asked.wrong);
const steady = { ...asked.plan.steady, devices: 12, signEveryMs: 1000, forMs: 1000, warmUpMs: 0 };
const plan: Plan = {
  ...asked.plan,
  keeper: { signals: 40, inFlight: [8] },
  desk: { deadlines: [40] },
  outage: { devices: 40, darkWithinMs: 500, lifeAlarms: 8, forMs: 800 },
  steady,
  archive: { sizes: [{ closed: 60, open: 30 }], requests: 2 },
};

const folder = mkdtempSync(path.join(tmpdir(), 'responssenter-bench-test-'));
const gateway = await startSmsGateway({ port: 0, clock: new RunningClock() });
const options = { dataDir: path.join(folder, 'data'), configDir: makeConfiguration(folder), gateway, certificate: null, profileTo: null };
let centre: Centre = await startCentre(options);
t.teardown(async () => {
  await centre.stop();
  await gateway.stop();
  rmSync(folder, { recursive: true, force: true });
});
await fillRegister(centre.pool, 40);

/** What a part said, by its ids or words. */
async function part(work: (add: (...more: Figure[]) => void) => Promise<readonly Fact[]>) {
  const figures: Figure[] = [];
  const facts = await work((...more) => figures.push(...more));
  return {
    figure: (id: string) => figures.find((one) => one.id === id),
    value: (name: string) => facts.find(({ id, what }) => id === name || what.includes(name))?.value,
  };
}

await t.test('an outage: every life alarm is shown, none stands behind a technical one, and nobody is woken', async (t) => {
  const { figure, value } = await part((add) => outage(centre, plan, gateway, add));
  t.match(figure('outage-dark'), { lost: 0, note: '' });
  t.match(figure('outage-life-ack'), { lost: 0, note: '' });
  t.match(figure('outage-life'), { lost: 0 });
  t.equal(value('units that told of it'), 40);
  t.equal(value('outage-woken'), 0);
  t.equal(value('outage-life-behind'), 0);
  const { rows } = await centre.pool.query<{ n: number }>(`select count(*)::int as n from alarm where priority = 'life'`);
  t.equal(rows[0]?.n, 8, 'over both protocols');
});

await t.test('an ordinary day: staff handle every alarm to its end', async (t) => {
  const { figure, value } = await part((add) => minutesOfIt(centre, plan, add));
  t.match(figure('steady-heartbeats'), { lost: 0 });
  t.match(figure('steady-closed'), { lost: 0, note: /^\d+ commands$/ });
  t.equal(value('not closed at the end'), 0);
});

await t.test('the keeper beside bare commits of the rows that it made', async (t) => {
  const [kept, bare] = await throughTheKeeper(plan, centre.databaseUrl);
  t.match(kept, { id: 'keeper-8', against: ['batched-128', 'commit-64'], note: undefined });
  t.match(bare, { id: 'batched-128' });
  t.ok((bare?.perSecond ?? 0) > 0);
});

await t.test('deadlines that are due at once: all pass, life first', async (t) => {
  const { figure, value } = await part((add) => manyDeadlines(plan, centre.pool, centre.databaseUrl, add));
  t.ok((figure('deadlines-40')?.max ?? 0) > 0);
  t.equal(value('deadlines-40-out-of-order'), 0);
});

await t.test('an archive of copies of real alarms, and a centre that starts with it', async (t) => {
  const under = {
    get centre() {
      return centre;
    },
    async restart() {
      await centre.stop();
      centre = await startCentre(options);
    },
  };
  const { figure, value } = await part((add) => archives(plan, under, add));
  t.ok((value('archive-start-60-30') ?? 0) > 0);
  for (const question of ['open', 'closed', 'alarm', 'devices', 'snapshot']) {
    t.match(figure(`archive-${question}-60-30`), { lost: 0, note: /^[\d.]+ kB$/ }, question);
  }
  const { rows } = await centre.pool.query<{ entries: number; signals: number; waits: number }>(
    `select (select count(*) from timeline)::int as entries, (select count(*) from signal)::int as signals,
      (select count(*) from alarm where closed_at is null and deadline_at > now() + interval '1 hour')::int as waits`,
  );
  t.ok((rows[0]?.entries ?? 0) > 60 * 4, 'with what was done about them');
  t.equal(rows[0]?.signals, 90);
  t.equal(rows[0]?.waits, 30, 'nobody is asked meanwhile');
});
