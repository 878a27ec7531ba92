/** The other brokers that the centre is held against: a bare aedes, and Mosquitto where it is installed. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import path from 'node:path';
import process from 'node:process';
import { RunningClock, sleep } from '../src/base/clock.ts';
import type { Certificate } from './certificate.ts';
import { runServer } from './job.ts';
import type { BareBrokerJob } from './jobs/bare-broker.ts';

export interface OtherBroker {
  /** `host:port`. */
  readonly address: string;
  stop(): Promise<void>;
}

const clock = new RunningClock();
const PATIENCE_MS = 10_000;
/** Debian has it where an ordinary user's PATH does not look. */
const MOSQUITTO = ['mosquitto', '/usr/sbin/mosquitto'];
export const NO_MOSQUITTO = 'mosquitto is not installed (Debian: apt-get install mosquitto)';

export async function startAedes(certificate: Certificate | null = null): Promise<OtherBroker> {
  const server = await runServer<BareBrokerJob, string>('bare-broker', { certificate });
  return { address: server.answer, stop: () => server.stop() };
}

/**
 * As the package has it, with nothing to store: nobody subscribes, so that all it does is to acknowledge.
 * @returns null where it is not installed
 */
export async function startMosquitto(folder: string): Promise<OtherBroker | null> {
  const program = MOSQUITTO.find((name) => spawnSync(name, ['-h'], { stdio: 'ignore' }).error === undefined);
  if (program === undefined) return null;
  const port = await freePort();
  const config = path.join(folder, 'mosquitto.conf');
  mkdirSync(folder, { recursive: true });
  const root = process.getuid?.() === 0 ? ['user root'] : [];
  const lines = [
    `listener ${port} 127.0.0.1`,
    'allow_anonymous true',
    'set_tcp_nodelay true',
    'persistence false',
    'log_type error',
    ...root,
  ];
  writeFileSync(config, `${lines.join('\n')}\n`);
  const child = spawn(program, ['-c', config], { stdio: 'ignore' });
  const killWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', killWithUs);
  await listening(child, port);
  return {
    address: `127.0.0.1:${port}`,
    async stop() {
      process.off('exit', killWithUs);
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function listening(child: ChildProcess, port: number): Promise<void> {
  for (const end = clock.monotonic() + PATIENCE_MS; clock.monotonic() < end; await sleep(clock, 20)) {
    if (child.exitCode !== null) break;
    const socket = connect({ port, host: '127.0.0.1' });
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (connected) return;
  }
  child.kill('SIGKILL');
  throw new Error('mosquitto did not begin to listen.');
}
