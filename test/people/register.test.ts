/** The command line on a real PostgreSQL: accounts, the import of a register, and the demonstration's people. */
import { readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createHash } from 'node:crypto';
import t from 'tap';
import { RunningClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { checkPassword } from '../../src/people/accounts.ts';
import { type AdminParts, runAdmin } from '../../src/people/admin.ts';
import { DEMO_ACCOUNTS, seedDemo } from '../../src/people/demo.ts';
import { processTerminal } from '../../src/people/terminal.ts';
import { createAccountBook, createCredentials, createSessionStore } from '../../src/store/accounts.ts';
import { createRegisterStore } from '../../src/store/register.ts';
import { SILENT, startStores } from '../support/stores.ts';

const clock = new RunningClock();
const stores = await startStores();
const dir = await mkdtemp(path.join(tmpdir(), 'people-'));
t.teardown(async () => {
  await stores.stop();
  await rm(dir, { recursive: true });
});
const accounts = createAccountBook(stores.postgres);
const credentials = createCredentials(stores.postgres);
const register = createRegisterStore(stores.postgres);
const known = { municipalities: ['1103', '1124'], models: null, zones: null };

/** Runs the command line with what is typed and what standard input holds; everything said comes back. */
async function admin(argv: readonly string[], { typed = [], input = '' }: { typed?: string[] | null; input?: string } = {}) {
  const said: string[] = [];
  const complained: string[] = [];
  const left = typed === null ? null : [...typed];
  const parts: AdminParts = {
    accounts,
    register,
    known,
    dataDir: dir,
    clock,
    random: systemRandom,
    areas: [{ word: 'device', help: '  device dance', run: async (more) => (said.push(`device: ${more.join(' ')}`), 0) }],
    terminal: {
      ...processTerminal(),
      say: (line) => said.push(line),
      complain: (line) => complained.push(line),
      askSecret: async () => (left === null ? null : (left.shift() ?? '')),
      readLine: async () => input,
    },
  };
  const code = await runAdmin(argv, parts);
  return { code, said: said.join('\n'), complained: complained.join('\n') };
}

const rows = async (text: string, values: unknown[] = []) => (await stores.postgres.pool.query(text, values)).rows;

void t.test('accounts', async (t) => {
  const kari = ['user', 'add', 'kari', '--name', 'Kari Lie', '--role', 'operator,supervisor', '--municipality', 'all'];
  t.notOk(await credentials.any(), 'a new centre has nobody');

  const faults = await admin(['user', 'add', 'Kari!', '--role', 'boss', '--municipality', '0301', '--phone', 'x']);
  t.equal(faults.code, 1);
  t.equal(faults.complained.split('\n').length, 5, 'every fault in one run');
  t.match(faults.complained, /"Kari!" cannot be a username/);
  t.match(
    (await admin(['user', 'add', 'nils', '--name', 'N', '--role', 'responder', '--municipality', '1103'])).complained,
    /--phone is missing/,
  );
  t.match(
    (await admin(['user', 'add', 'ola', '--name', 'O', '--role', 'operator', '--municipality', 'all,9999', '--generate'])).complained,
    /^--municipality 9999 is not one that this centre serves \(1103, 1124, or all\)\.$/,
  );
  t.match((await admin(kari, { typed: null })).complained, /no terminal to ask/);
  t.match((await admin(kari, { typed: ['short'] })).complained, /at least 10 characters/);
  t.match((await admin(kari, { typed: ['long enough 1', 'long enough 2'] })).complained, /not the same/);
  t.same(await rows('select 1 from account'), [], 'none of these made an account');

  t.match(await admin(kari, { typed: ['long enough 1', 'long enough 1'] }), { code: 0, complained: '' });
  t.match((await admin(kari, { typed: ['long enough 1', 'long enough 1'] })).complained, /already an account kari/);
  t.match(await checkPassword(credentials, 'kari', 'long enough 1'), {
    account: 'kari',
    roles: ['operator', 'supervisor'],
    municipalities: ['*'],
  });
  t.equal(await checkPassword(credentials, 'kari', 'long enough 2'), null);
  t.equal(await checkPassword(credentials, 'nobody', 'long enough 1'), null);

  const nils = [
    'user',
    'add',
    'nils',
    '--name',
    'Nils',
    '--role',
    'responder',
    '--municipality',
    '1103',
    '--municipality',
    '1124',
    '--phone',
    '90123456',
  ];
  const made = await admin([...nils, '--generate']);
  const [, password] = /shown only now\): (\S+)/.exec(made.said) ?? [];
  t.match(await checkPassword(credentials, 'nils', String(password)), { municipalities: ['1103', '1124'], phone: '+4790123456' });
  t.match((await admin(['user', 'list'])).said, /kari\tKari Lie\toperator,supervisor\tall\nnils\tNils\tresponder\t1103,1124/);

  const sessions = createSessionStore(stores.postgres);
  const token = Buffer.alloc(32, 7);
  await sessions.open(token, 'kari', clock.now(), clock.now() + 60_000);
  t.ok(await sessions.find(token, clock.now()));
  t.equal(await sessions.find(token, clock.now() + 60_001), null, 'expired');
  t.equal((await admin(['user', 'password', 'kari', '--password-stdin'], { input: 'something else' })).code, 0);
  t.equal(await sessions.find(token, clock.now()), null, 'a new password signs out');
  t.ok(await checkPassword(credentials, 'kari', 'something else'));
  await sessions.open(token, 'kari', clock.now(), clock.now() + 60_000);
  t.equal((await admin(['user', 'disable', 'kari'])).code, 0);
  t.equal(await checkPassword(credentials, 'kari', 'something else'), null);
  t.equal(await sessions.find(token, clock.now()), null);
  t.match((await admin(['user', 'list'])).said, /kari.*disabled 20/);
  t.equal((await admin(['user', 'enable', 'kari'])).code, 0);
  t.ok(await checkPassword(credentials, 'kari', 'something else'));
  for (const argv of [
    ['user', 'disable', 'x1'],
    ['user', 'password', 'x1'],
    ['user'],
    ['user', 'add'],
    ['dance'],
    ['user', 'list', '--what'],
    ['import'],
  ]) {
    t.match(await admin(argv, { typed: null }), { code: 1, complained: /\S/ }, argv.join(' '));
  }
  t.match((await admin([])).said, /user add <username>[^]*\n {2}device dance\n/);
  t.match(await admin(['device', 'show', 'x', '--what']), { code: 0, said: 'device: show x --what' });
});

const HEAD = 'household,municipality,address,resident,device,protocol,controller_id,triggers,contact1,contact1_phone';
async function importing(text: string, ...options: string[]) {
  const file = path.join(dir, 'register.csv');
  await writeFile(file, text);
  return admin(['import', file, ...options]);
}

void t.test('import', async (t) => {
  const text = [
    HEAD,
    'h1,1103,"Gata 1, oppgang B",Åse Ødegård,NJ-1103-0009,mqtt,,p1=Smykke@Stue,Per,90123456',
    'h1,,,Olav,,,,,,',
    'h2,1124,Gata 2,Bjørg,4711,scaip,4711,,,',
  ].join('\n');
  const dry = await importing(text, '--dry-run');
  t.match(dry, { code: 0, said: /2 households, 3 residents, 1 contacts, 2 devices would be imported/ });
  t.same(await rows('select 1 from household'), [], 'a dry run writes nothing');

  const secrets = path.join(dir, 'secrets.csv');
  t.match(await importing(text, '--secrets', secrets), { code: 0, complained: '' });
  t.equal(statSync(secrets).mode & 0o777, 0o600);
  const [, secret = ''] = /NJ-1103-0009;(\S+)/.exec(readFileSync(secrets, 'utf8')) ?? [];
  t.ok(secret.length >= 22, 'at least 128 bits');
  t.notMatch(readFileSync(secrets, 'utf8'), /4711/, 'SCAIP units have none');
  const digest = createHash('sha256').update(secret).digest('hex');
  const devices = `select serial, household_id, municipality, protocol, controller_id, model, encode(secret_sha256, 'hex') as digest from device order by serial`;
  const expected = [
    {
      serial: '4711',
      household_id: 'h2',
      municipality: '1124',
      protocol: 'scaip',
      controller_id: '4711',
      model: 'generic/generic',
      digest: null,
    },
    {
      serial: 'NJ-1103-0009',
      household_id: 'h1',
      municipality: '1103',
      protocol: 'mqtt',
      controller_id: null,
      model: 'generic/generic',
      digest,
    },
  ];
  t.same(await rows(devices), expected);
  t.same(await rows('select id, name from resident order by id'), [
    { id: 'h1/1', name: 'Åse Ødegård' },
    { id: 'h1/2', name: 'Olav' },
    { id: 'h2/1', name: 'Bjørg' },
  ]);

  const again = await importing(text);
  t.match(again, { code: 0 });
  t.notMatch(again.said, /secret/, 'the same file again makes no new secret');
  await stores.postgres.pool.query(`update device set certificate_sha256 = 'x', secret_sha256 = null where serial = 'NJ-1103-0009'`);
  t.notMatch((await importing(text)).said, /secret/, 'nor for a device that has a certificate');
  await stores.postgres.pool.query(`update device set secret_sha256 = $1 where serial = 'NJ-1103-0009'`, [Buffer.from(digest, 'hex')]);
  t.same(await rows(devices), expected, 'and changes nothing');
  t.equal((await rows('select 1 from contact')).length, 1);
  t.equal((await rows('select 1 from trigger')).length, 1);

  t.match(await importing('household,municipality,address,name\nh1,1103,Gata 9,Ødegård'), { code: 0 });
  t.same(await rows(`select address, name from household where id = 'h1'`), [{ address: 'Gata 9', name: 'Ødegård' }]);
  t.equal((await rows(`select 1 from resident where household_id = 'h1'`)).length, 2, 'what a file does not mention stays');

  const before = await rows('select * from household order by id');
  const faulty = await importing(
    [
      HEAD,
      'h3,1103,Gata 3,Per,NJ-1103-0009,mqtt,,,,',
      'h2,1103,Gata 2,Bjørg,,,,,,',
      'h4,1103,Gata 4,Ole,4712,scaip,4711,,,',
      'h1,1103,Gata 1,Åse,NJ-1103-0009,scaip,77,,,12',
    ].join('\n'),
  );
  t.equal(faulty.code, 1);
  t.same(faulty.complained.split('\n'), [
    'Line 2: Device NJ-1103-0009 is already in the register, in household h1.',
    'Line 3: Household h2 is already in the register, in municipality 1124.',
    'Line 4: Controller id 4711 is already in the register, of device 4711.',
    'Line 5: "contact1_phone" is "12", which is not a telephone number (eight Norwegian digits, or + and the country code).',
    'Line 5: "device" NJ-1103-0009 is already on line 2.',
    'Line 5: Device NJ-1103-0009 is already in the register, with protocol mqtt.',
    '6 faults: nothing was imported.',
  ]);
  t.same(await rows('select * from household order by id'), before, 'nothing is written while there is a fault');
  await stores.postgres.pool.query(`update device set sip_ha1_md5 = 'x', sip_ha1_sha256 = 'y' where serial = '4711'`);
  t.match(await importing([HEAD, 'h2,1124,Gata 2,Bjørg,4711,scaip,04711,,,'].join('\n')), {
    code: 1,
    complained: /Line 2: Device 4711 has a secret that counts only with controller id 4711: .*device remove-secret 4711/,
  });
  t.match(await importing([HEAD, 'h2,1124,Gata 2,Bjørg,4711,scaip,4711,,,'].join('\n')), { code: 0, said: /^Imported [^\n]*$/ });
  t.match(await importing(HEAD), { code: 1, complained: /no lines below its first/ });
  t.match(await admin(['import', path.join(dir, 'nowhere.csv')]), { code: 1, complained: /there is no such file/ });
  t.match(await importing(text.replaceAll('NJ-1103-0009', 'NJ-1'), '--secrets', secrets), { code: 1, complained: /cannot be made/ });
  t.equal(
    (await rows(`select 1 from device where serial = 'NJ-1'`)).length,
    0,
    'a secret that could not be kept is not in the register either',
  );
});

void t.test('what was changed between check and write is not overwritten', async (t) => {
  const device = {
    serial: '4711',
    municipality: '1103',
    household: 'h1',
    protocol: 'scaip',
    controllerId: '4711',
    model: 'x/y',
    secret: null,
    triggers: [],
  } as const;
  const before = await rows('select * from household order by id');
  const home = {
    id: 'h9',
    municipality: '1103',
    name: 'x',
    address: '',
    postcode: '',
    place: '',
    zone: '',
    lat: null,
    lon: null,
    access: {},
    notes: '',
  };
  const households = [{ line: 2, household: home, residents: [], contacts: [] }];
  await t.rejects(register.write(households, [device], clock.now()), { code: 'register-invalid' });
  t.same(await rows('select * from household order by id'), before, 'all or nothing');
});

void t.test('a large register', async (t) => {
  const lines = Array.from({ length: 6000 }, (_, i) => `big${i},1103,Gata ${i},Person ${i},B-${i},mqtt,,p1,Per,90123456`);
  t.match(await importing([HEAD, ...lines].join('\n')), { code: 0 });
  t.same(await rows(`select count(*)::int as n from device where serial like 'B-%'`), [{ n: 6000 }]);
});

void t.test('the demonstration is put in at each start', async (t) => {
  await stores.empty();
  const municipalities = ['1103', '1108', '1124', '1127', '1120'];
  const seed = () =>
    seedDemo({ configDir: 'config', accounts, register, known: { ...known, municipalities }, clock, random: systemRandom, log: SILENT });
  await seed();
  const counts = `select (select count(*)::int from household) as homes, (select count(*)::int from device) as devices,
    (select count(*)::int from account) as accounts, (select count(*)::int from resident) as residents`;
  const [first] = await rows(counts);
  t.match(first, { accounts: DEMO_ACCOUNTS.length, devices: 11 });
  t.match(await checkPassword(credentials, 'sola', 'demo'), { municipalities: ['1124'], roles: ['operator'] });
  const demoSecret = createHash('sha256').update('demo-device').digest('hex');
  t.same(await rows(`select encode(secret_sha256, 'hex') as d from device where serial = 'NJ-1103-0001'`), [{ d: demoSecret }]);
  await seed();
  t.same((await rows(counts))[0], first, 'twice is once');
  await t.rejects(seedDemo({ configDir: dir, accounts, register, known, clock, random: systemRandom, log: SILENT }), {
    code: 'register-invalid',
  });
});
