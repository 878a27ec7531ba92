/** A new centre, empty, is put into use from the command line: the sign-in names the command, an account is made, a register imported. */
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import t from 'tap';
import { MqttDevice, call, signIn } from '../support/outside.ts';
import { ROOT, admin, run, startCentre, temporary } from '../support/process.ts';
import { until } from '../support/stores.ts';

const folder = temporary(t);
const dataDir = path.join(folder, 'data');
const file = (name: string, text: string): string => {
  const made = path.join(folder, name);
  writeFileSync(made, text);
  return made;
};
const user = (name: string, ...more: string[]): string[] => [
  'user',
  'add',
  name,
  '--name',
  'Liv Leder',
  '--role',
  'supervisor,operator',
  '--municipality',
  'all',
  ...more,
];
const PASSWORD = 'en lang setning om sjøen';
const { centre, ready } = await startCentre(t, { args: [], dataDir });

await t.test('an empty centre says how its first account is made', async (t) => {
  const refused = await call<{ code: string; command: string }>(ready.http, 'POST', '/api/v1/session', {
    username: 'operator',
    password: 'demo',
  });
  t.match(refused, { status: 401, body: { code: 'no-accounts', command: /^npm run admin -- user add / } });
  t.match(await call(ready.http, 'GET', '/api/v1/session'), { status: 401, body: { code: 'no-accounts' } });
  t.notMatch(centre.output(), /Password: +demo/, 'the demonstration is not there');
});

await t.test('an account that is made while the centre runs can sign in at once', async (t) => {
  for (const [args, sentence] of [
    [['user', 'add', 'liv', '--role', 'operator', '--municipality', '9999'], /--name is missing\.\n--municipality 9999 is not one/],
    [['imports'], /There is no command "imports"/],
  ] as const) {
    const began = performance.now();
    const { code, stdout, stderr } = await admin(dataDir, args);
    t.ok(performance.now() - began < 20_000, 'it ends when it has said what it has to say');
    t.match({ code, stdout, stderr }, { code: 1, stdout: '', stderr: sentence }, args.join(' '));
    t.notMatch(stderr, /^\s+at /m, 'no stack trace');
  }
  t.match(await admin(dataDir, user('liv', '--password-stdin'), {}, 'kort\n'), { code: 1, stderr: /./ }, 'a password that is too short');
  t.match(await admin(dataDir, user('liv', '--password-stdin'), {}, `${PASSWORD}\n`), { code: 0, stderr: '' });
  const liv = await signIn(ready, 'liv', PASSWORD);
  t.match((await liv.get('/api/v1/session')).body, { account: 'liv', roles: ['supervisor', 'operator'], municipalities: ['*'] });
  t.match(await call(ready.http, 'POST', '/api/v1/session', { username: 'liv', password: 'demo' }), {
    status: 401,
    body: { code: 'wrong-credentials' },
  });
  t.match(await admin(dataDir, user('liv', '--generate')), { code: 1, stderr: /already an account liv/ });
});

const HEAD = 'household;municipality;name;address;zone;resident;device;protocol;controller_id;model;secret';
const GOOD = `${HEAD}
h1;1103;Hansen;Storgata 1;Hundvåg;Åse Hansen;NJ-1103-9001;mqtt;;;
h2;1103;Olsen;Storgata 2;Hundvåg;Ola Olsen;;scaip;4711;;
`;

await t.test('a register is tried, told its faults with their lines, and imported', async (t) => {
  const faulty = file(
    'faulty.csv',
    `${HEAD}\nh1;9999;Hansen;Storgata 1;Hundvåg;Åse Hansen;;;;;\nh2;1103;Olsen;Storgata 2;Atlantis;Ola Olsen;NJ-1;mqttt;;;\n`,
  );
  const { code, stdout, stderr } = await admin(dataDir, ['import', faulty]);
  t.match({ code, stdout }, { code: 1, stdout: '' });
  t.match(stderr, /^Line 2: .*9999/m);
  t.match(stderr, /^Line 3: .*Atlantis/m);
  t.match(stderr, /^Line 3: .*mqttt/m);
  t.match(stderr, /faults: nothing was imported\.$/m);
  const good = file('good.csv', GOOD);
  const dry = await admin(dataDir, ['import', good, '--dry-run']);
  t.match(dry, { code: 0, stderr: '', stdout: /^No faults: 2 households.*2 devices would be imported\. Nothing was written\.$/m });
  const stranger = new MqttDevice(() => ready, 'NJ-1103-9001');
  t.notOk(await stranger.publish('{"id":"1","type":"fall"}'), 'nothing was written indeed');

  const imported = await admin(dataDir, ['import', good]);
  t.match(imported, { code: 0, stderr: '', stdout: /Imported 2 households.*\n1 devices? got a new secret/ });
  const [secrets = ''] = readdirSync(dataDir).filter((name) => name.startsWith('device-secrets'));
  const kept = path.join(dataDir, secrets);
  t.equal(statSync(kept).mode & 0o777, 0o600, 'the secrets are for nobody else');
  const secret = /^NJ-1103-9001;(\S+)$/m.exec(readFileSync(kept, 'utf8'))?.[1] ?? '';
  t.notMatch(imported.stdout, secret, 'and are not on the screen');

  const device = new MqttDevice(() => ready, 'NJ-1103-9001', '1103', secret);
  t.teardown(() => device.close());
  t.ok(await device.press('{"id":"1","type":"fall"}'), 'the device signs in with its own');
  const liv = await signIn(ready, 'liv', PASSWORD);
  const [alarm] = await until('the alarm', async () => {
    const alarms = await liv.alarms();
    return alarms.length > 0 && alarms;
  });
  t.match(alarm, { household: { name: 'Hansen' }, kind: 'fall' });
  t.match(
    await admin(dataDir, ['import', file('missing.csv', '').replace('missing', 'nowhere')]),
    { code: 1, stderr: /nowhere\.csv/ },
    'a file that is not there',
  );
  t.match(await admin(dataDir, ['import', path.join(ROOT, 'package.json')]), { code: 1, stderr: /./ }, 'a file that is none');
});

await t.test('all of it works while the centre does not run, too, and through npm', async (t) => {
  t.equal((await centre.stop()).code, 0);
  t.match(await admin(dataDir, user('kari', '--generate')), { code: 0, stdout: /kari can sign in now/ });
  const listed = await run(['npm', 'run', '--silent', 'admin', '--', 'user', 'list'], { DATA_DIR: dataDir });
  t.match(listed, { code: 0, stdout: /^kari\t.*\nliv\t/m }, listed.stderr);
  t.match(await admin(dataDir, ['user', 'password', 'kari', '--password-stdin'], {}, `${PASSWORD} 2\n`), { code: 0 });
  t.match(await admin(dataDir, ['user', 'disable', 'liv']), { code: 0 });
  t.same(centre.processes(), [], 'each of them cleaned up behind itself');
  const next = await startCentre(t, { args: [], dataDir });
  await signIn(next.ready, 'kari', `${PASSWORD} 2`);
  t.match(await call(next.ready.http, 'POST', '/api/v1/session', { username: 'liv', password: PASSWORD }), {
    status: 401,
    body: { code: 'wrong-credentials' },
  });
  t.equal((await next.centre.stop()).code, 0);
  t.equal(process.exitCode, undefined);
});
