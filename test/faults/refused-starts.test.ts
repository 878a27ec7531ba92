/**
 * What is wrong is said in one clear sentence, with exit code 1 and nothing half started: every mistake of a table.
 * A start costs seconds of a processor: by default only one mistake of each kind is made to a real process, and of the
 * others the sentences are read from the functions that the process calls. FAULTS=long makes them all to real processes.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import process from 'node:process';
import t, { type Test } from 'tap';
import { readCommandLine } from '../../src/app/command-line.ts';
import { readConfiguration } from '../../src/app/configuration.ts';
import { CentreError } from '../../src/base/errors.ts';
import { readSettings } from '../../src/base/settings.ts';
import { DEMO, ROOT, noOrdinaryUser, run, spawnCentre, startCentre, temporary } from '../support/process.ts';

interface Mistake {
  readonly name: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly args?: readonly string[];
  readonly dataDir?: string;
  readonly ordinary?: boolean;
  readonly besideAnother?: boolean;
  /** Seen by the functions that read arguments, settings and configuration; without a process, then, unless FAULTS=long. */
  readonly byReading?: boolean;
  /** Each line of stderr is one of these, in their order. */
  readonly says: readonly RegExp[];
}

const LONG = process.env['FAULTS'] === 'long';

/** What the process would say, by the functions that main.ts calls first. */
function readOnly({ args = DEMO, env = {} }: Mistake): string {
  try {
    readCommandLine(args);
    readConfiguration(readSettings({ CONFIG_DIR: path.join(ROOT, 'config'), ...env }).CONFIG_DIR);
    return '';
  } catch (error) {
    if (error instanceof CentreError) return error.message;
    throw error;
  }
}

function says(t: Test, stderr: string, patterns: readonly RegExp[]): void {
  const lines = stderr.trimEnd().split('\n');
  t.equal(lines.length, patterns.length, `${patterns.length === 1 ? 'one sentence' : 'a sentence each'}: ${stderr}`);
  for (const [n, pattern] of patterns.entries()) t.match(lines[n] ?? '', pattern);
  for (const line of lines) t.match(line, /^[^{].*\.$/, 'a sentence for people');
}

/** It ends by itself, says just that, and leaves nothing. */
async function isRefused(t: Test, { name, says: patterns, byReading = false, ...options }: Mistake): Promise<void> {
  await t.test(name, async (t) => {
    if (byReading && !LONG) return says(t, readOnly({ name, says: patterns, ...options }), patterns);
    const centre = spawnCentre(t, { ...options, env: { LOG_LEVEL: 'error', ...options.env } });
    const { code, signal, stderr, stdout } = await centre.ended;
    t.same([code, signal], [1, null], 'exit code 1');
    says(t, stderr, patterns);
    t.notMatch(stderr + stdout, /^\s+at |Error:|node:internal/m, 'no stack trace');
    t.equal(stdout, '', 'and nothing on stdout');
    t.same(centre.processes(), [], 'nothing is left running');
    t.equal(existsSync(path.join(centre.dataDir, 'ready.json')), options.besideAnother === true, 'no ready.json of its own');
  });
}

/** Some at a time: a start is mostly waiting for Node to load. */
async function areRefused(t: Test, mistakes: readonly Mistake[], atOnce = 3): Promise<void> {
  for (let from = 0; from < mistakes.length; from += atOnce) {
    await Promise.all(mistakes.slice(from, from + atOnce).map((mistake) => isRefused(t, mistake)));
  }
}

await t.test('settings', (t) =>
  areRefused(t, [
    { name: 'a port that is none', byReading: true, env: { HTTP_PORT: 'eighty' }, says: [/^HTTP_PORT must be a port number .*"eighty"/] },
    {
      name: 'every wrong one is named',
      env: { MQTT_PORT: '70000', SIP_PORT: '-1', LOG_LEVEL: 'loud' },
      says: [/^MQTT_PORT/, /^SIP_PORT/, /^LOG_LEVEL/],
    },
    { name: 'an address that is none', byReading: true, env: { BIND: 'somewhere' }, says: [/^BIND/] },
    {
      name: 'a database of another kind, whose password is not repeated',
      byReading: true,
      env: { DATABASE_URL: 'mysql://centre:hemmelig@db/x' },
      says: [/^DATABASE_URL must be a URL that begins with postgres:\/\/(?!.*hemmelig)/],
    },
    { name: 'a Redis that is none', byReading: true, env: { REDIS_URL: 'localhost:6379' }, says: [/^REDIS_URL/] },
    { name: 'half of TLS', byReading: true, env: { TLS_CERT: '/nowhere/cert.pem' }, says: [/^TLS_KEY must be given too/] },
    { name: 'TLS files that are not there', env: { TLS_CERT: '/nowhere/cert.pem', TLS_KEY: '/nowhere/key.pem' }, says: [/TLS_CERT/] },
    { name: 'the demonstration for everybody', env: { BIND: '0.0.0.0' }, says: [/loopback/] },
    {
      name: 'a configuration that is not there',
      byReading: true,
      env: { CONFIG_DIR: '/nowhere/config' },
      says: Array.from({ length: 7 }, () => /\/nowhere\/config/),
    },
  ]),
);

await t.test('arguments', (t) =>
  areRefused(t, [
    { name: 'unknown', args: ['--quick'], says: [/^"--quick" is not an argument/] },
    { name: 'an unknown role', byReading: true, args: ['--role', 'intake,cook'], says: [/^--role cook is unknown/] },
    { name: 'no role', byReading: true, args: ['--role'], says: [/^--role needs a list/] },
    { name: 'devices that are none', byReading: true, args: ['--no-devices'], says: [/^--no-devices belongs to the demonstration/] },
  ]),
);

/** A copy of the configuration in which one file was changed. */
function brokenConfig(t: Test, file: string, change: (text: string) => string): { CONFIG_DIR: string } {
  const folder = path.join(temporary(t), 'config');
  cpSync(path.join(ROOT, 'config'), folder, { recursive: true });
  const target = path.join(folder, file);
  writeFileSync(target, change(readFileSync(target, 'utf8')));
  return { CONFIG_DIR: folder };
}

await t.test('configuration files', async (t) => {
  const changes: [string, string, (text: string) => string, RegExp[]][] = [
    ['not JSON', 'ladders.json', (text) => text.slice(0, -20), [/ladders\.json/]],
    ['a word too many', 'centre.json', (text) => text.replace('{', '{ "colour": "green",'), [/centre\.json.*colour/]],
    [
      'a team of nobody',
      'duty.json',
      (text) => text.replace('"team": "nattpatrulje"', '"team": "dagpatrulje"'),
      [/duty\.json.*dagpatrulje/],
    ],
    ['a wait that is none', 'ladders.json', (text) => text.replace('"unclaimed": 60', '"unclaimed": "soon"'), [/ladders\.json.*unclaimed/]],
    [
      'a model with an unknown role',
      'models/generic/generic.json',
      (text) => text.replace('"role": "need"', '"role": "needed"'),
      [/generic\.json/],
    ],
  ];
  await areRefused(
    t,
    changes.map(([name, file, change, says], n) => ({ name, byReading: n > 0, env: brokenConfig(t, file, change), says })),
  );
  const config = brokenConfig(t, 'duty.json', (text) => text.replace('"Europe/Oslo"', '"Europe/Stavanger"'));
  const checked = await run([process.execPath, '--import=tsx', 'src/main.ts', 'check-config'], config);
  t.match(checked, { code: 1, stderr: /duty\.json: timeZone/ }, 'check-config says it too');
  t.match(await run([process.execPath, '--import=tsx', 'src/main.ts', 'check-config']), { code: 0, stderr: '', stdout: /in order/ });
});

/** A register is read by --demo only: its faults come with their lines. */
await t.test("the demonstration's register", { skip: LONG ? false : 'with FAULTS=long' }, async (t) => {
  const env = brokenConfig(t, 'demo/register.csv', (text) => text.replace('demo-01;1103', 'demo-01;9999'));
  await isRefused(t, { name: 'another municipality', env, says: [/register\.csv, line 2: .*9999/] });
});

await t.test('places that are taken, beside a centre that runs', async (t) => {
  const { centre, ready } = await startCentre(t);
  const port = (address: string): string => address.replace(/^.*:/, '');
  const udp = createSocket('udp4').bind(0, '127.0.0.1');
  await once(udp, 'listening');
  const tcp = createServer().listen(0, '127.0.0.1');
  await once(tcp, 'listening');
  t.teardown(() => {
    udp.close();
    tcp.close();
  });
  const directory = /is in use by the centre with process number \d+:/;
  await isRefused(t, { name: 'its directory', dataDir: centre.dataDir, besideAnother: true, says: [directory] });
  // One after the other on one directory: making a database is what takes time.
  const dataDir = path.join(temporary(t), 'data');
  const taken: [string, Record<string, string>, RegExp][] = [
    ['HTTP', { HTTP_PORT: port(ready.http) }, new RegExp(`HTTP_PORT.*${port(ready.http)}|${port(ready.http)}.*HTTP_PORT`)],
    ['MQTT', { MQTT_PORT: port(ready.mqtt) }, /MQTT_PORT/],
    ['SIP over UDP', { SIP_PORT: String(udp.address().port) }, /SIP_PORT/],
    ['SIP over TCP', { SIP_PORT: String((tcp.address() as AddressInfo).port) }, /SIP_PORT/],
  ];
  for (const [name, env, sentence] of taken) await isRefused(t, { name, args: [], dataDir, env, says: [sentence] });
  if (LONG)
    await isRefused(t, { name: 'an address of another machine', args: [], dataDir, env: { BIND: '192.0.2.1' }, says: [/BIND|HTTP_PORT/] });
  t.same(centre.ready()?.pid, centre.pid, 'the one that runs does not notice');
  t.equal((await fetch(`${ready.http}/readyz`)).status, 200);
});

await t.test('directories', async (t) => {
  const folder = temporary(t);
  writeFileSync(path.join(folder, 'file'), '');
  mkdirSync(path.join(folder, 'foreign'));
  mkdirSync(path.join(folder, 'foreign', 'postgres'));
  writeFileSync(path.join(folder, 'foreign', 'postgres', 'letters.txt'), 'dear');
  const readOnly = path.join(folder, 'read-only');
  mkdirSync(readOnly, { mode: 0o555 });
  chmodSync(folder, 0o755);
  const why = noOrdinaryUser();
  const ordinary = process.getuid?.() === 0;
  if (why !== false && ordinary) t.comment(`without a directory that may not be written: ${why}`);
  const noRights: Mistake[] =
    why !== false && ordinary
      ? []
      : [
          { name: 'without the right to write', dataDir: readOnly, ordinary, says: [/no right to write/] },
          { name: 'below one without the right to write', dataDir: path.join(readOnly, 'data'), ordinary, says: [/no right to write/] },
        ];
  const files: Mistake[] = [
    { name: 'a file of that name', dataDir: path.join(folder, 'file'), says: [/file of that name/] },
    { name: 'below a file', dataDir: path.join(folder, 'file', 'data'), says: [/part of that path is a file/] },
  ];
  await areRefused(t, [
    ...(LONG ? noRights : noRights.slice(0, 1)),
    ...(LONG ? files : []),
    { name: 'that hold something else', dataDir: path.join(folder, 'foreign'), says: [/holds something that is no PostgreSQL/] },
  ]);
  t.ok(existsSync(path.join(folder, 'foreign', 'postgres', 'letters.txt')), 'which is left alone');
  chmodSync(readOnly, 0o755);
  rmSync(readOnly, { recursive: true });
});

await t.test('stores that cannot be reached', (t) =>
  areRefused(t, [
    {
      name: 'a port where nobody listens',
      env: { DATABASE_URL: 'postgres://centre:hemmelig@127.0.0.1:9/centre' },
      says: [/DATABASE_URL.*cannot be used(?!.*hemmelig)/],
    },
    {
      name: 'a host that is none',
      args: DEMO,
      env: { DATABASE_URL: 'postgres://centre@nowhere.invalid/centre' },
      says: [/DATABASE_URL.*cannot be used/],
    },
  ]),
);
