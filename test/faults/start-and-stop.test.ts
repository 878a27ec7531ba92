/** The centre as a process: it starts, says where it is, and goes without leaving anything, whoever runs it and however it is told. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import t, { type Test } from 'tap';
import { call, signIn } from '../support/outside.ts';
import {
  type Centre,
  type Ended,
  PATIENCE_MS,
  kill,
  noOrdinaryUser,
  spawnCentre,
  startCentre,
  storeOf,
  temporary,
} from '../support/process.ts';
import { until } from '../support/stores.ts';

const STOPS_WITHIN_MS = 10_000;

/** Tells it to stop and looks at all that a stop promises. */
async function stops(t: Test, centre: Centre, tell: () => void): Promise<Ended> {
  const told = performance.now();
  tell();
  const ended = await centre.ended;
  const took = performance.now() - told;
  t.match(ended, { code: 0, signal: null }, 'exit code 0');
  t.ok(took < STOPS_WITHIN_MS, `stopped after ${Math.round(took)} ms`);
  t.same(centre.processes(), [], 'no process is left');
  t.notOk(existsSync(path.join(centre.dataDir, 'ready.json')), 'ready.json is gone');
  return ended;
}

const kept = path.join(temporary(t), 'data');

await t.test('the demonstration is ready, answers, and stops when it is told', async (t) => {
  const { centre, ready } = await startCentre(t, { dataDir: kept });
  t.match(ready, { pid: centre.pid, http: /^http:\/\/127\.0\.0\.1:\d+$/, mqtt: /^127\.0\.0\.1:\d+$/, sipUdp: /^127\.0\.0\.1:\d+$/ });
  t.equal(ready.sipTcp, ready.sipUdp, 'one number for UDP and TCP');
  t.equal((await call(ready.http, 'GET', '/healthz')).status, 200);
  const fit = await call<{ checks?: object }>(ready.http, 'GET', '/readyz');
  t.equal(fit.status, 200, JSON.stringify(fit.body));
  t.equal((await fetch(`${ready.http}/metrics`)).status, 200);
  t.match(await (await fetch(ready.http)).text(), /<div id="root"|<html/, 'the console is there');
  t.ok(centre.processes().length > 3, 'the stores and the gateway run beside it');
  t.match(centre.output(), /Console: +http:\/\/127\.0\.0\.1:\d+\n.*operator.*\n.*demo/, 'it says where and as whom');
  const operator = await signIn(ready, 'operator');
  // A console that stays open does not hold the centre up.
  const socket = operator.socket();
  t.teardown(() => socket.close());
  await until('a snapshot', () => socket.heardAt > 0);
  const ended = await stops(t, centre, () => kill(centre.pid, 'SIGTERM'));
  t.equal(ended.stderr, '', 'and says nothing against it');
});

await t.test('a signal to the whole group, as Ctrl-C sends it, stops it just as well, told twice too', async (t) => {
  const { centre } = await startCentre(t, { dataDir: kept });
  await stops(t, centre, () => {
    kill(-centre.pid, 'SIGINT');
    kill(-centre.pid, 'SIGTERM');
  });
});

const long = path.join(temporary(t), 'et hjem å bo i', 'x'.repeat(70), 'y'.repeat(70));

await t.test('told to stop in the middle of the start, it leaves nothing half started', async (t) => {
  const moments: [string, (centre: Centre) => boolean][] = [
    ['when it has just taken its directory', () => existsSync(path.join(long, 'lock'))],
    ['while PostgreSQL starts', (centre) => storeOf(centre, 'postgres') !== null],
    ['when Redis works', (centre) => storeOf(centre, 'redis') !== null],
  ];
  for (const [when, reached] of moments) {
    const centre = spawnCentre(t, { dataDir: long });
    await until(when, () => reached(centre) || centre.process.exitCode !== null, PATIENCE_MS);
    await t.test(when, (t) => stops(t, centre, () => kill(centre.pid, 'SIGTERM')));
  }
});

await t.test('two centres beside one another, one on a long path, one as an ordinary user', async (t) => {
  t.ok(Buffer.byteLength(long) > 107);
  const why = noOrdinaryUser();
  if (why !== false) t.comment(`the second one is not an ordinary user's: ${why}`);
  // The first one has the directory on which three starts were broken off.
  const centres = await Promise.all([startCentre(t, { dataDir: long }), startCentre(t, { ordinary: why === false })]);
  const [one, other] = centres;
  t.not(one.ready.http, other.ready.http);
  for (const { centre, ready } of centres) {
    const fit = await call(ready.http, 'GET', '/readyz');
    t.equal(fit.status, 200, JSON.stringify(fit.body));
    await signIn(ready, 'operator');
    t.equal(statSync(centre.dataDir).mode & 0o777, 0o700);
  }
  if (why === false) t.ok(readdirSync(other.centre.dataDir).every((name) => statSync(path.join(other.centre.dataDir, name)).uid === 65534));
  await Promise.all(centres.map(({ centre }) => stops(t, centre, () => kill(centre.pid, 'SIGTERM'))));
});
