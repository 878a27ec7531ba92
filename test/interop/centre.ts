/** A whole centre as the programs of this folder meet it: with a certificate, a register of its own, and what it made of each device. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createSocket } from 'node:dgram';
import path from 'node:path';
import process from 'node:process';
import type { Test } from 'tap';
import { type Person, registerOf, signIn } from '../support/outside.ts';
import { type Centre, type ReadyFile, admin, missing, startCentre, temporary } from '../support/process.ts';
import { until } from '../support/stores.ts';

/** PEM files of a certificate for localhost and 127.0.0.1. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** The parts of ready.json that these tests use. */
export interface InteropReady extends ReadyFile {
  readonly sips?: string;
  readonly mqtts?: string;
}

export interface Interop {
  readonly centre: Centre;
  readonly ready: InteropReady;
  readonly operator: Person;
  /** Null where openssl is missing. */
  readonly certificate: Certificate | null;
}

/** Households F-<n> (MQTT) and 7000+n (SCAIP) beside those of the demonstration; one for each test. */
const HOUSEHOLDS = 40;

/** Starts a centre with `HOUSEHOLDS` devices of either kind; with `tls` it uses the certificate itself. */
export async function startInterop(t: Test, options: { readonly tls: boolean }): Promise<Interop> {
  const certificate = missing(t, 'openssl', 'version') === false ? makeCertificate(t) : null;
  let env: Record<string, string> = {};
  if (options.tls && certificate !== null) {
    env = { TLS_CERT: certificate.cert, TLS_KEY: certificate.key, SIPS_PORT: '0', MQTTS_PORT: '0' };
    // The console is HTTPS then, and `fetch` cannot be told of a certificate of today.
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
  }
  const { centre, ready } = await startCentre(t, { env });
  const register = path.join(temporary(t), 'register.csv');
  writeFileSync(register, registerOf(HOUSEHOLDS));
  const imported = await admin(centre.dataDir, ['import', register]);
  if (imported.code !== 0) throw new Error(imported.stderr);
  return { centre, ready, operator: await signIn(ready, 'operator'), certificate };
}

function makeCertificate(t: Test): Certificate {
  const folder = temporary(t);
  const made = { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key.pem') };
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', ...subject];
  execFileSync('openssl', [...request, '-keyout', made.key, '-out', made.cert], { stdio: 'ignore' });
  return made;
}

/** Gives a SCAIP unit a secret, as a technician does; from then on it must authenticate. */
export async function secretOf(centre: Centre, unit: string): Promise<string> {
  const { code, stdout, stderr } = await admin(centre.dataDir, ['device', 'secret', unit]);
  const secret = /[A-Za-z0-9_-]{22,}/.exec(stdout)?.[0];
  if (code !== 0 || secret === undefined) throw new Error(`no secret for ${unit}: ${stdout}${stderr}`);
  // It counts once the centre has followed its register, at most a second later.
  const given = performance.now();
  await until('the centre has read its register anew', async () => {
    const metrics = await (await fetch(`${centre.ready()?.http ?? ''}/metrics`)).text();
    const [, age] = /^\w*register_age_seconds (\S+)$/m.exec(metrics) ?? [];
    return Number(age ?? Number.NaN) * 1000 < performance.now() - given;
  });
  return secret;
}

/** The signals in an alarm's timeline: `opened m1`, `repeated m2`, `duplicate-received m1` … */
type Sent = readonly string[];

/** Asserts that the device has exactly one alarm, and that it consists of these signals and no others. */
export async function oneAlarm(t: Test, operator: Person, device: string, sent: Sent, more: object = {}): Promise<void> {
  const alarms = await operator.alarmsOf(device);
  t.equal(alarms.length, 1, `one alarm of ${device}`);
  const number = alarms[0]?.number;
  if (number === undefined) return;
  const { timeline, ...alarm } = await operator.alarm(number);
  t.same(
    timeline.flatMap(({ event }) => ('signal' in event ? [`${event.event} ${event.messageId ?? ''}`] : [])),
    sent,
    'its timeline',
  );
  t.match(alarm, { state: 'waiting', unreadable: false, unknownDevice: false, ...more });
}

/** Asserts that the centre has met no bug: no error line, no exception. */
export function nothingWentWrong(t: Test, centre: Centre): void {
  const lines = centre
    .output()
    .split('\n')
    .filter((line) => /"level":"error"|UnhandledPromise|TypeError/.test(line));
  t.same(lines, [], 'no error line');
  t.equal(centre.process.exitCode, null, 'the centre lives');
}

export interface Ran {
  readonly code: number | null;
  readonly output: string;
}

/** Runs a program to its end, at most 60 s. */
export async function program(t: Test, name: string, args: readonly string[], input?: string | Buffer): Promise<Ran> {
  const child = spawn(name, args, { cwd: temporary(t), stdio: ['pipe', 'pipe', 'pipe'], timeout: 60_000 });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('latin1').on('data', (text: string) => {
      output += text;
    });
  }
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

/** A port number that was free on UDP and TCP just now, for programs that cannot take port 0. */
export async function freePort(address = '127.0.0.1'): Promise<number> {
  for (;;) {
    const server = createServer().listen(0, address);
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    const socket = createSocket('udp4');
    const bound = await new Promise<boolean>((resolve) => {
      socket.once('error', () => resolve(false));
      socket.bind(port, address, () => resolve(true));
    });
    if (bound) await new Promise<void>((resolve) => socket.close(() => resolve()));
    await new Promise<void>((resolve) => server.close(() => resolve()));
    if (bound) return port;
  }
}

/** A SCAIP body as a pendant behind a unit sends it. */
export const pressed = (cid: string, ref: string): string =>
  `<mrq><ref>${ref}</ref><cid>${cid}</cid><dty>3</dty><stc>10</stc><crd>gsm:</crd></mrq>`;

export const fileText = (file: string): string => readFileSync(file, 'utf8');
