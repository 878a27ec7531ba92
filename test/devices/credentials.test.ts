/** Who a device is: the register's memory, secrets and certificates, and the commands that give them, on the real PostgreSQL. */
import { X509Certificate, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { MovableClock, minutes, toIso } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { DEVICE_HELP, runDeviceAdmin } from '../../src/devices/admin.ts';
import { type DeviceIdentity, type Presented, RETIRED, createIdentification } from '../../src/devices/authentication.ts';
import { CREDENTIAL_STATES, type CredentialState, credentialState } from '../../src/devices/credentials.ts';
import { loadModels } from '../../src/devices/models.ts';
import { renewSecret, sipHa1 } from '../../src/devices/provisioning.ts';
import { type DeviceKey, type DeviceRecord, FOLLOWED_EVERY_MS, UNKNOWN_FOR_MS, createDeviceRegister } from '../../src/devices/register.ts';
import { ha1 } from '../../src/protocols/sip/digest.ts';
import { createDeviceBook } from '../../src/store/device-book.ts';
import { createDeviceSource } from '../../src/store/devices.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const sha256 = (given: string | Uint8Array): Buffer => createHash('sha256').update(given).digest();
const scaip = (controllerId: string) => ({ protocol: 'scaip', controllerId }) as const;

function record(serial: string, more: Partial<DeviceRecord> = {}): DeviceRecord {
  return {
    serial,
    municipality: '1103',
    household: null,
    protocol: 'mqtt',
    controllerId: null,
    model: 'generic/generic',
    state: 'in-service',
    secretSha256: sha256('right'),
    sipHa1: null,
    certificateSha256: null,
    testUntil: null,
    ...more,
  };
}

const certificate = (text: string, commonName: string | null = null) => ({ sha256: sha256(text), commonName });

await t.test('who is let in: the whole table', async (t) => {
  const records: Record<string, DeviceRecord> = {
    plain: record('plain'),
    pinned: record('pinned', { certificateSha256: sha256('its own') }),
    'pinned-only': record('pinned-only', { certificateSha256: sha256('only'), secretSha256: null }),
    none: record('none', { secretSha256: null }),
    broken: record('broken', { secretSha256: new Uint8Array(5), certificateSha256: null }),
    'broken-too': record('broken-too', { certificateSha256: new Uint8Array(5) }),
    old: record('old', { state: RETIRED, certificateSha256: sha256('old') }),
  };
  const find = async (key: DeviceKey) => {
    if ('serial' in key) return records[key.serial] ?? null;
    if ('controllerId' in key) return null;
    return (
      Object.values(records).find(
        (one) => one.certificateSha256 !== null && Buffer.from(one.certificateSha256).equals(key.certificateSha256),
      ) ?? null
    );
  };
  const identify = createIdentification({ find });
  const table: readonly (readonly [string, string, string | null, Presented['certificate'], string])[] = [
    ['the right password', 'plain', 'right', null, 'plain'],
    ['a wrong password', 'plain', 'wrong', null, 'wrong-password'],
    ['no password', 'plain', null, null, 'wrong-password'],
    ['a password beside a certificate that says nothing', 'plain', 'right', certificate('any'), 'plain'],
    ['a password beside the certificate of another', 'plain', 'right', certificate('any', 'pinned'), 'plain'],
    ['a verified certificate in its name', 'plain', null, certificate('any', 'plain'), 'plain'],
    ['a verified certificate in the name of another', 'plain', 'wrong', certificate('any', 'pinned'), 'wrong-password'],
    ['the pinned certificate', 'pinned', 'wrong', certificate('its own'), 'pinned'],
    ['the right password where a certificate is pinned', 'pinned', 'right', null, 'wrong-certificate'],
    ['another certificate', 'pinned', 'right', certificate('another'), 'wrong-certificate'],
    ['another verified certificate in its name', 'pinned', null, certificate('another', 'pinned'), 'wrong-certificate'],
    ['the pinned certificate of a device without secret', 'pinned-only', null, certificate('only'), 'pinned-only'],
    ['the empty password of a device without secret', 'none', '', null, 'wrong-password'],
    ['no user name, a verified certificate', '', null, certificate('any', 'plain'), 'plain'],
    ['no user name, the pinned certificate', '', null, certificate('its own'), 'pinned'],
    ['no user name, the pinned certificate with a name that is none', '', null, certificate('its own', 'Vendor 4711'), 'pinned'],
    ['no user name, a certificate of nobody', '', 'right', certificate('any'), 'unknown-device'],
    ['no user name, no certificate', '', 'right', null, 'unknown-device'],
    ['a hash that is none', 'broken', 'right', null, 'wrong-password'],
    ['a fingerprint that is none', 'broken-too', 'right', certificate('any'), 'wrong-certificate'],
    ['a retired device', 'old', 'right', certificate('old', 'old'), 'unknown-device'],
    ['a stranger', 'stranger', 'right', certificate('any', 'plain'), 'unknown-device'],
  ];
  const said = (identity: DeviceIdentity): string => ('refused' in identity ? identity.refused : identity.serial);
  for (const [name, serial, password, shown, expected] of table) {
    t.equal(said(await identify({ serial, password: Buffer.from(password ?? ''), certificate: shown })), expected, name);
  }
  const lost = createIdentification({ find: () => Promise.reject(new CentreError('store-away', 'away')) });
  await t.rejects(lost({ serial: 'plain', password: Buffer.of(), certificate: null }), { code: 'store-away' });
});

await t.test('which credentials a device has: the whole table', async (t) => {
  const cases: Record<string, readonly CredentialState[]> = { mqtt: ['missing', 'secret', 'certificate', 'certificate'] };
  for (const authentication of ['none', 'when-provisioned', 'required'] as const) {
    const scaipStates: readonly CredentialState[] = authentication === 'required' ? ['missing', 'secret'] : ['none', 'secret'];
    for (const protocol of ['mqtt', 'scaip'] as const) {
      const expected = cases[protocol] ?? [...scaipStates, ...scaipStates];
      const held = [0, 1, 2, 3].map((n) => ({ protocol, hasSecret: n % 2 === 1, hasCertificate: n > 1 }));
      t.same(
        held.map((one) => credentialState(one, { authentication })),
        expected,
        `${protocol}, ${authentication}`,
      );
    }
  }
  t.equal(CREDENTIAL_STATES.length, 4);
});

await t.test('docs/devices.md has the commands and the states that there are', async (t) => {
  const doc = readFileSync('docs/devices.md', 'utf8');
  for (const line of DEVICE_HELP.split('\n')) {
    const [, command = '', rest = ''] = /^ +(device [a-z-]+)(?: <serial>)? ?(.*?)(?: {2,}.*)?$/.exec(line) ?? [];
    t.ok(doc.includes(`\`${command}`), command);
    for (const option of rest.match(/--[a-z]+/g) ?? []) t.ok(doc.includes(`${command} `) && doc.includes(option), `${command} ${option}`);
  }
  const states = [...doc.matchAll(/^\| `(\w+)` \|/gm)].map(([, state]) => state);
  t.same(states, CREDENTIAL_STATES);
});

await t.test('HA1 is what the digest is checked against', async (t) => {
  // RFC 7616 § 3.9.1: the user, realm and password of its example; HA1 as any md5sum and sha256sum give it.
  const [user, realm, password] = ['Mufasa', 'http-auth@example.org', 'Circle of Life'] as const;
  t.same(sipHa1(user, realm, password), {
    md5: '3d78807defe7de2157e2b0b6573a855f',
    sha256: '7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232',
  });
  t.same(sipHa1('0026317', 'responssenter', 'æøå'), {
    md5: ha1('MD5', '0026317', 'responssenter', 'æøå'),
    sha256: ha1('SHA-256', '0026317', 'responssenter', 'æøå'),
  });
});

const MODELS = loadModels('config/models');
const models = {
  get: (id: string) =>
    id.startsWith('test/')
      ? { ...MODELS.get(''), scaip: { ...MODELS.get('').scaip, authentication: id.slice(5) as 'none' } }
      : MODELS.get(id),
};
/** Self-signed: one for a hundred years, and one that expired in 2020. */
const CERTIFICATES = {
  unit: `-----BEGIN CERTIFICATE-----
MIIBdjCCARugAwIBAgIUI6rWXvWbvxwlqgSrR7uF5Xe32L4wCgYIKoZIzj0EAwIw
DzENMAsGA1UEAwwEdW5pdDAgFw0yNjExMjIwNTM4NDFaGA8yMTI2MTAyOTA1Mzg0
MVowDzENMAsGA1UEAwwEdW5pdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMsp
JWqEq+iBQcnE2PZb3BErKRYh7s4ATADIPBZokloksP3rXvwkafG20M+nkhgm0pzW
opyPgKTBQL8ggAHpD+qjUzBRMB0GA1UdDgQWBBTbVJvCB6atq61J7a/g4+Xc/FS4
4zAfBgNVHSMEGDAWgBTbVJvCB6atq61J7a/g4+Xc/FS44zAPBgNVHRMBAf8EBTAD
AQH/MAoGCCqGSM49BAMCA0kAMEYCIQCXJcUAz+7u32gIpAHQjbLmQ54bzzuxvH8I
PB0xLyod/AIhAKb+VPWq0nxOd8h8mPHWHGUU5yE7jVkfAnwYiktPApHF
-----END CERTIFICATE-----
`,
  expired: `-----BEGIN CERTIFICATE-----
MIIBCjCBsgIBATAKBggqhkjOPQQDAjASMRAwDgYDVQQDDAdleHBpcmVkMB4XDTE5
MDEwMTAwMDAwMFoXDTIwMDYwMTAwMDAwMFowEjEQMA4GA1UEAwwHZXhwaXJlZDBZ
MBMGByqGSM49AgEGCCqGSM49AwEHA0IABG1TNCG7VB2G0H66EvU26TL9PryRzrGI
7Cn9iy7FrzMAAVqX5IF2geX6EIdaj62dRUSC6Hsi72uhxCe/maZcnkswCgYIKoZI
zj0EAwIDRwAwRAIgPdrhITyhqoYDCn9UfoFm/nJ87XC9TT0piJUwvgSbX4kCIGDy
rimGq8yOQoJ35VLY6ETTZSr054s4YGsssDgGtfM/
-----END CERTIFICATE-----
`,
} as const;

await t.test('on the real PostgreSQL', async (t) => {
  const stores = await startStores();
  t.teardown(() => stores.stop());
  const { postgres } = stores;
  const clock = new MovableClock();
  const source = createDeviceSource(postgres);
  const book = createDeviceBook(postgres);
  const register = createDeviceRegister({ source, clock, log: SILENT });
  /** As it goes in a process that was not told of a change. */
  const followed = async (): Promise<void> => {
    await clock.advance(FOLLOWED_EVERY_MS);
    await until('the change was read', () => register.state().age === 0);
  };
  const identify = createIdentification(register);
  const rows = async (sql: string) => (await postgres.pool.query(sql)).rows as Record<string, unknown>[];
  await postgres.pool.query(`
    insert into household (id, municipality, name) values ('h1', '1103', 'Åse Hansen'), ('h2', '1124', 'Olsen');
    insert into device (serial, municipality, household_id, protocol, controller_id, model) values
      ('NJ-1103-0001', '1103', 'h1', 'mqtt', null, 'generic/fall-sensor'),
      ('NJ-1103-0002', '1103', null, 'mqtt', null, 'generic/generic'),
      ('essence-1', '1103', 'h1', 'scaip', '0026317', 'essence/generic'),
      ('open-1', '1124', 'h2', 'scaip', '7', 'test/none'), ('strict-1', '1124', 'h2', 'scaip', '8', 'test/required')`);
  await register.load();
  t.teardown(() => register.stop());

  const files = new Map<string, Uint8Array>();
  async function device(...argv: string[]): Promise<{ said: string; refused: string | null }> {
    const said: string[] = [];
    const terminal = {
      say: (line: string) => void said.push(line),
      readFile: async (name: string) =>
        files.get(name) ?? Promise.reject(new CentreError('command-line-invalid', `${name} cannot be read.`)),
    };
    const parts = { book, models, municipalities: ['1103', '1124'], realm: 'responssenter', terminal, clock, random: systemRandom };
    try {
      const code = await runDeviceAdmin(argv, parts);
      return { said: said.join('\n'), refused: code === 0 ? null : 'code' };
    } catch (error) {
      if (!(error instanceof CentreError) || error.code !== 'command-line-invalid') throw error;
      return { said: said.join('\n'), refused: error.message };
    }
  }
  async function done(t: Test, ...argv: string[]): Promise<string> {
    const { said, refused } = await device(...argv);
    t.equal(refused, null, String(argv[0]));
    return said;
  }

  await t.test('mistakes get one sentence that says what to do', async (t) => {
    const mistakes: readonly (readonly [string, RegExp])[] = [
      ['', /Say what to do/],
      ['dance', /There is no command "device dance"/],
      ['show', /"device show" takes one serial: device show <serial>\./],
      ['show a b', /takes one serial/],
      ['show nobody', /There is no device nobody in the register: look for it with "device list --search nobody"\./],
      ['show NJ-1103-0001 --minutes 3', /"device show" takes no --minutes\./],
      ['show NJ-1103-0001 --what', /^Unknown option '--what'\.$/],
      ['list NJ-1103-0001', /use "device list --search NJ-1103-0001", or "device show NJ-1103-0001"/],
      ['list --municipality 9999', /--municipality 9999 is not one that this centre serves \(1103, 1124\)\./],
      ['test NJ-1103-0001', /Say for how long: device test NJ-1103-0001 --minutes 30\./],
      ['test NJ-1103-0001 --minutes 241', /not a number from 0 to 240/],
      ['test NJ-1103-0001 --minutes x', /not a number from 0 to 240/],
      ['move NJ-1103-0001', /Say where to/],
      ['move NJ-1103-0001 --household h9', /There is no household h9: import it first/],
      ['restore NJ-1103-0001', /is not retired \(its state is in-service\)/],
      ['remove-secret NJ-1103-0001', /has no secret/],
      ['certificate NJ-1103-0001', /Say which: .*--file <cert.pem>, or .*--remove/],
      ['certificate NJ-1103-0001 --file a --remove', /Say which/],
      ['certificate NJ-1103-0001 --remove', /has no certificate/],
      ['certificate NJ-1103-0001 --file nowhere', /nowhere cannot be read/],
      ['certificate NJ-1103-0001 --file key', /key holds a private key, .*: give the device's certificate\./],
      ['certificate NJ-1103-0001 --file text', /text holds no certificate \(PEM or DER\)/],
      ['certificate essence-1 --file text', /essence-1 is a SCAIP unit, .*give it a secret/],
    ];
    files.set('key', Buffer.from('-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'));
    files.set('text', Buffer.from('hello'));
    const before = await rows('select * from device order by serial');
    for (const [argv, sentence] of mistakes) {
      t.match((await device(...argv.split(' ').filter((one) => one !== ''))).refused, sentence, argv);
    }
    t.same(await rows('select * from device order by serial'), before);
    t.match(await done(t, 'help'), /device secret <serial>/);
    t.match(await done(t, 'secret', '--help'), /device secret <serial>/);
  });

  await t.test('a secret for an MQTT device', async (t) => {
    const said = await done(t, 'secret', 'NJ-1103-0001');
    t.match(said, /user name {2}NJ-1103-0001\n/);
    t.notMatch(said, /void/);
    const [, password = ''] = /password {3}(\S+)/.exec(said) ?? [];
    t.ok(Buffer.from(password, 'base64url').length * 8 >= 128);
    t.same((await rows(`select secret_sha256 from device where serial = 'NJ-1103-0001'`))[0]?.['secret_sha256'], sha256(password));
    await followed();
    const comes = (given: string) => identify({ serial: 'NJ-1103-0001', password: Buffer.from(given), certificate: null });
    t.match(await comes(password), { serial: 'NJ-1103-0001', municipality: '1103' });
    const renewed = await done(t, 'secret', 'NJ-1103-0001');
    t.match(renewed, /The one before is void at once/);
    t.notMatch(renewed, password);
    await followed();
    t.same(await comes(password), { refused: 'wrong-password' }, 'here that was another process: within 1.5 s');
    const [, second = ''] = /password {3}(\S+)/.exec(renewed) ?? [];
    t.match(await comes(second), { serial: 'NJ-1103-0001' });
    const booked = await book.find('NJ-1103-0001');
    const login = await renewSecret(booked as NonNullable<typeof booked>, {
      store: book,
      realm: 'responssenter',
      random: systemRandom,
      changed: (serial) => register.forget(serial),
    });
    t.same(await comes(second), { refused: 'wrong-password' }, 'in the same process at once');
    t.match(await comes(login?.secret ?? ''), { serial: 'NJ-1103-0001' });
    t.match(await done(t, 'remove-secret', 'NJ-1103-0001'), /It cannot connect until it gets one/);
    t.match(await done(t, 'show', 'NJ-1103-0001'), /credentials +MISSING: .*"device secret"/);
  });

  await t.test('a secret for a SCAIP unit', async (t) => {
    const said = await done(t, 'secret', '26317');
    t.match(said, /SIP user {3}0026317\n {2}realm {6}responssenter\n {2}password {3}[2-9a-km-np-z]{26}$/m, 'named by its controller id');
    const [, password = ''] = /password {3}(\S+)/.exec(said) ?? [];
    await followed();
    const found = await register.find(scaip('26317'));
    t.same(found?.sipHa1, {
      md5: ha1('MD5', '0026317', 'responssenter', password),
      sha256: ha1('SHA-256', '0026317', 'responssenter', password),
    });
    t.equal(found?.secretSha256, null, 'nothing is kept from which the secret could be guessed');
    const booked = await book.find('essence-1');
    const login = await renewSecret(booked as NonNullable<typeof booked>, {
      store: book,
      realm: 'responssenter',
      random: systemRandom,
      changed: (serial) => register.forget(serial),
    });
    t.not((await register.find(scaip('26317')))?.sipHa1?.md5, found?.sipHa1?.md5, 'the old one is void at once');
    t.not(login?.secret, password);
    t.notOk(
      await book.setSecret({ serial: 'essence-1', protocol: 'scaip', controllerId: '1' }, null),
      'it has another controller id by now',
    );
    t.match(await done(t, 'remove-secret', 'essence-1'), /taken at its word again: whoever knows its controller id/);
    t.match(await done(t, 'secret', 'open-1'), /asks for no credentials .*no effect/);
    t.match(await done(t, 'show', 'strict-1'), /credentials +MISSING/);
    t.match(await done(t, 'secret', 'strict-1'), /SIP user {3}8\n/);
    t.match(await done(t, 'remove-secret', 'strict-1'), /shown 10 seconds late, marked as not authenticated/);
  });

  await t.test('a certificate', async (t) => {
    for (const [name, pem] of Object.entries(CERTIFICATES)) files.set(name, Buffer.from(pem));
    const { raw } = new X509Certificate(CERTIFICATES.unit);
    await done(t, 'secret', 'NJ-1103-0001');
    const said = await done(t, 'certificate', 'NJ-1103-0001', '--file', 'unit');
    t.match(said, /must connect over TLS with this certificate; a password alone is refused/);
    t.match(said, /subject {4}CN=unit/);
    t.notMatch(said, /expired/);
    await followed();
    const shown = { sha256: sha256(raw), commonName: null };
    t.match(await identify({ serial: 'NJ-1103-0001', password: Buffer.of(), certificate: shown }), { serial: 'NJ-1103-0001' });
    t.match(await identify({ serial: '', password: Buffer.of(), certificate: shown }), { serial: 'NJ-1103-0001' }, 'without a user name');
    t.match(await identify({ serial: 'NJ-1103-0001', password: Buffer.of(), certificate: null }), { refused: 'wrong-certificate' });
    t.match(await done(t, 'show', 'NJ-1103-0001'), new RegExp(`certificate +SHA-256 ${sha256(raw).toString('hex')}`));
    t.match((await device('certificate', 'NJ-1103-0002', '--file', 'unit')).refused, /stands for NJ-1103-0001: each device needs its own/);
    t.match(await done(t, 'certificate', 'NJ-1103-0001', '--file', 'unit'), /must connect/, 'the same again changes nothing');
    files.set('der', raw);
    await done(t, 'certificate', 'NJ-1103-0001', '--file', 'der');
    t.match(await done(t, 'secret', 'NJ-1103-0001'), /the password counts only when that is removed/);
    t.match(await done(t, 'certificate', 'NJ-1103-0001', '--remove'), /It connects with its password/);
    t.match(await done(t, 'certificate', 'NJ-1103-0002', '--file', 'expired'), /It expired on 2020-/);
    t.match(await done(t, 'certificate', 'NJ-1103-0002', '--remove'), /It cannot connect until it gets a secret/);
  });

  await t.test('list, test window, move, retire and restore', async (t) => {
    await postgres.pool.query(`
      insert into device_seen (serial, seen_at, reply_unacknowledged_at) values ('essence-1', '2026-11-22T21:00Z', '2026-11-22T20:00Z');
      insert into refusal_count values ('scaip', '0026317', 'wrong-credentials', 3, '2026-11-22T20:00Z', '2026-11-22T21:00Z', '')`);
    const serials = (said: string) =>
      said
        .split('\n')
        .slice(1)
        .map((line) => line.split('\t', 1)[0]);
    t.same(serials(await done(t, 'list')), ['NJ-1103-0001', 'NJ-1103-0002', 'essence-1', 'open-1', 'strict-1']);
    t.same(serials(await done(t, 'list', '--municipality', '1124')), ['open-1', 'strict-1']);
    t.same(serials(await done(t, 'list', '--search', 'hansen')), ['NJ-1103-0001', 'essence-1'], 'by a name');
    t.notMatch(await done(t, 'list', '--search', 'hansen'), /Hansen/, 'which it does not print');
    t.equal(await done(t, 'list', '--search', '%\u0000x'), 'There is no such device.');
    t.match(
      await done(t, 'list', '--search', '26317'),
      /essence-1\tscaip\t0026317\t1103\th1\tessence\/generic\tin-service\t\w+\t2026-11-22T21:00:00\.000Z/,
    );
    t.match(
      await done(t, 'show', 'essence-1'),
      /replies +not acknowledged since 2026-11-22T20:00:00.000Z\nrefused +wrong-credentials, 3 times, last 2026/,
    );

    t.match(
      await done(t, 'test', '26317', '--minutes', '30'),
      new RegExp(`Until ${toIso(clock.now() + minutes(30))} .*NO alarm.*device test essence-1 --minutes 0`),
    );
    register.forget('essence-1');
    t.match(await register.find(scaip('26317')), { testUntil: clock.now() + minutes(30) });
    t.match(await done(t, 'show', 'essence-1'), /test window +until 2026/);
    await done(t, 'test', 'essence-1', '--minutes', '0');
    t.notMatch(await done(t, 'show', 'essence-1'), /test window/);

    t.notMatch(await done(t, 'move', 'NJ-1103-0002', '--household', 'h1'), /topics/);
    t.match(
      await done(t, 'move', 'NJ-1103-0002', '--household', 'h2'),
      /household h2, municipality 1124\.\nIts topics begin with nj\/v1\/1124\/NJ-1103-0002/,
    );
    t.match(await rows(`select household_id, municipality from device where serial = 'NJ-1103-0002'`), [
      { household_id: 'h2', municipality: '1124' },
    ]);

    t.match(await done(t, 'retire', 'NJ-1103-0001'), /cannot connect any more/);
    t.match((await device('retire', 'NJ-1103-0001')).refused, /retired already/);
    t.match((await device('secret', 'NJ-1103-0001')).refused, /put it back into service first/);
    register.forget('NJ-1103-0001');
    t.match(await identify({ serial: 'NJ-1103-0001', password: Buffer.of(), certificate: null }), { refused: 'unknown-device' });
    t.match(await done(t, 'retire', 'open-1'), /is still shown/);
    await done(t, 'restore', 'NJ-1103-0001');
    t.match(await rows(`select state from device where serial = 'NJ-1103-0001'`), [{ state: 'in-service' }]);
  });

  await t.test('ten thousand that come back at once', async (t) => {
    const ALL = 10_000;
    await postgres.pool.query(`insert into device (serial, municipality, protocol, secret_sha256)
      select 'storm-' || n, '1103', 'mqtt', sha256(('secret ' || n)::bytea) from generate_series(1, ${ALL}) n`);
    await postgres.pool.query('analyze device');
    await clock.advance(UNKNOWN_FOR_MS);
    const began = performance.now();
    const all = await Promise.all(
      Array.from({ length: ALL }, (_, index) => {
        const n = index + 1;
        return identify({ serial: `storm-${n}`, password: Buffer.from(`secret ${n}`), certificate: null });
      }),
    );
    const took = performance.now() - began;
    t.ok(all.every((one, index) => 'serial' in one && one.serial === `storm-${index + 1}`));
    t.ok(took < 20_000, 'well within the thirty seconds that they have, also on a machine that is busy');
    t.comment(`identified in ${Math.round(took)} ms`);
  });
});
