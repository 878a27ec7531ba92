/** A real Mosquitto as the platform's broker, and a link to it that can be cut. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import path from 'node:path';
import process from 'node:process';
import type { Test } from 'tap';
import { ROOT, kill, temporary } from './process.ts';
import { until } from './stores.ts';

/** Debian has it where an ordinary user's PATH does not look. */
const PROGRAM = ['mosquitto', '/usr/sbin/mosquitto'].find((name) => spawnSync(name, ['-h'], { stdio: 'ignore' }).error === undefined);

/** Ends with this process, however that ends. */
const DYING_WITH_US =
  spawnSync('setpriv', ['--pdeathsig', 'SIGKILL', '--', 'true']).status === 0 ? ['setpriv', '--pdeathsig', 'SIGKILL', '--'] : [];

/** Why tests with it are skipped. With CI=true that is a fault of the run. */
export function noMosquitto(t: Test): string | false {
  if (PROGRAM !== undefined) return false;
  if (process.env['CI'] === 'true') t.fail('mosquitto is missing, and CI=true wants its tests');
  return 'mosquitto is not installed';
}

/** What deploy/mosquitto/mosquitto.conf says beside its own addresses, files and logs: that is what must hold. */
function shippedLimits(): string[] {
  const lines = readFileSync(path.join(ROOT, 'deploy/mosquitto/mosquitto.conf'), 'utf8').split('\n');
  return lines.filter((line) => /^(?!#|\s*$|listener|cafile|certfile|keyfile|allow_|password_|acl_|persistence_location|log_)/.test(line));
}

export interface Mosquitto {
  readonly port: number;
  /** A new process on the same port and, with persistence, on what the last one saved. */
  start(): Promise<void>;
  /** SIGTERM: it saves its sessions, if it has persistence. */
  stop(): Promise<void>;
  /** Deletes what it saved; only while it is stopped. */
  forgetAll(): void;
}

/** Starts it on a free port; the test ends it. `more`: further lines of its configuration. */
export async function startMosquitto(t: Test, more: readonly string[] = []): Promise<Mosquitto> {
  const folder = path.join(temporary(t), 'mosquitto');
  mkdirSync(folder);
  const port = await freePort();
  const config = path.join(folder, 'mosquitto.conf');
  const root = process.getuid?.() === 0 ? ['user root'] : [];
  const place = [`listener ${port} 127.0.0.1`, 'allow_anonymous true', `persistence_location ${folder}/`];
  writeFileSync(config, [...place, ...shippedLimits(), ...root, ...more, ''].join('\n'));
  let child: ChildProcess | null = null;

  const broker: Mosquitto = {
    port,
    async start() {
      const [program, ...words] = [...DYING_WITH_US, PROGRAM ?? 'mosquitto', '-c', config];
      child = spawn(program, words, { stdio: 'ignore' });
      await until('mosquitto listens', () => answers(port));
    },
    async stop() {
      const ended = child;
      child = null;
      if (ended === null || ended.exitCode !== null) return;
      const gone = new Promise((resolve) => ended.once('exit', resolve));
      kill(ended.pid ?? 0, 'SIGTERM');
      await gone;
    },
    forgetAll: () => rmSync(path.join(folder, 'mosquitto.db'), { force: true }),
  };
  t.teardown(() => broker.stop());
  await broker.start();
  return broker;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

export interface Link {
  readonly port: number;
  /** Ends what runs over it, and lets nothing through until it is mended. */
  cut(): void;
  /** Lets bytes in and drops them all: a dead network without a word. */
  blackhole(): void;
  mend(): void;
}

/** A TCP proxy to `port`. */
export async function startLink(t: Test, port: number): Promise<Link> {
  let state: 'up' | 'cut' | 'blackhole' = 'up';
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    sockets.add(near);
    near.on('error', () => {});
    near.on('close', () => sockets.delete(near));
    if (state === 'cut') return near.destroy();
    const far = connect({ port, host: '127.0.0.1' });
    sockets.add(far);
    far.on('error', () => near.destroy());
    far.on('close', () => {
      sockets.delete(far);
      near.destroy();
    });
    near.on('close', () => far.destroy());
    near.on('data', (chunk) => state === 'up' && far.write(chunk));
    far.on('data', (chunk) => state === 'up' && near.write(chunk));
    return undefined;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const endAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  t.teardown(async () => {
    endAll();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      state = 'cut';
      endAll();
    },
    blackhole() {
      state = 'blackhole';
    },
    mend() {
      if (state === 'blackhole') endAll();
      state = 'up';
    },
  };
}
