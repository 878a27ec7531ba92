/** The centre under test: the real process with its private stores, started as a user would, on a temporary directory. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import pg from 'pg';
import { RunningClock, type Milliseconds, sleep } from '../src/base/clock.ts';
import { privateDatabaseOf } from '../src/store/private-postgres.ts';
import type { SmsGateway } from '../simulators/sms-gateway.ts';
import type { Certificate } from './certificate.ts';
import { familyOf } from './machine.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PATIENCE_MS: Milliseconds = 60_000;
const clock = new RunningClock();

interface Ready {
  readonly pid: number;
  readonly http: string;
  readonly mqtt: string;
  readonly sipUdp: string;
  readonly sipTcp: string;
  /** Only with a certificate. */
  readonly mqtts?: string;
  readonly sips?: string;
}

export interface Centre {
  readonly ready: Ready;
  /** From the start of the process to ready.json. */
  readonly startMs: Milliseconds;
  /** Of its private PostgreSQL, also for a database beside its own. */
  readonly databaseUrl: string;
  readonly pool: pg.Pool;
  /** Makes the consoles read everything anew: the alarms were taken out behind the centre's back. */
  forgetFeed(): Promise<void>;
  /** The centre's own process with all its children (stores, SMS gateway). */
  processes(): readonly number[];
  stop(): Promise<void>;
}

export interface CentreOptions {
  readonly dataDir: string;
  readonly configDir: string;
  /** Where the messages to responders go. */
  readonly gateway: Pick<SmsGateway, 'url' | 'token'>;
  readonly certificate: Certificate | null;
  /** For CPU profiles. */
  readonly profileTo: string | null;
}

/** Without `watch`, whose synthetic alarms would be counted with those of the loads. */
const ROLES = 'intake,escalation,console';

/** Starts `npm run demo -- --no-devices`, without npm. @throws Error with its output when it does not get ready */
export async function startCentre(options: CentreOptions): Promise<Centre> {
  const { dataDir, configDir, gateway, certificate, profileTo } = options;
  const began = clock.monotonic();
  const profiling = profileTo === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${path.resolve(profileTo)}`];
  const child = spawn(process.execPath, [...profiling, '--import=tsx', 'src/main.ts', '--demo', '--no-devices', '--role', ROLES], {
    cwd: ROOT,
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      HTTP_PORT: '0',
      MQTT_PORT: '0',
      SIP_PORT: '0',
      DATA_DIR: dataDir,
      CONFIG_DIR: configDir,
      SMS_GATEWAY_URL: gateway.url,
      SMS_GATEWAY_TOKEN: gateway.token,
      LOG_LEVEL: 'error',
      ...(certificate === null ? {} : withTls(certificate)),
    },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const killWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', killWithUs);
  const ready = await whenReady(child, dataDir, began);
  const startMs = clock.monotonic() - began;
  const databaseUrl = privateDatabaseOf(dataDir);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 2 });
  pool.on('error', () => undefined);
  const redis = new Redis(path.join(socketsIn(databaseUrl), 'redis.sock'), { lazyConnect: true });
  redis.on('error', () => undefined);
  return {
    ready,
    startMs,
    databaseUrl,
    pool,
    async forgetFeed() {
      await redis.del('feed', 'feed:epoch');
    },
    processes: () => familyOf(ready.pid),
    async stop() {
      process.off('exit', killWithUs);
      await pool.end();
      redis.disconnect();
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

/** Consoles stay on plain HTTP, as behind a proxy that ends TLS. */
const withTls = ({ cert, key }: Certificate): Record<string, string> => {
  return { TLS_CERT: cert, TLS_KEY: key, MQTTS_PORT: '0', SIPS_PORT: '0', TRUST_PROXY: 'true' };
};

/** Both private stores put their sockets into one folder. */
const socketsIn = (databaseUrl: string): string => decodeURIComponent(/[?&]host=([^&]+)/.exec(databaseUrl)?.[1] ?? '');

async function whenReady(child: ChildProcess, dataDir: string, began: Milliseconds): Promise<Ready> {
  while (clock.monotonic() - began < PATIENCE_MS) {
    if (child.exitCode !== null) throw new Error(`The centre ended with code ${child.exitCode} before it was ready.`);
    try {
      const ready = JSON.parse(readFileSync(path.join(dataDir, 'ready.json'), 'utf8')) as Ready;
      if (ready.pid === child.pid) return ready;
    } catch {
      // Not there yet.
    }
    await sleep(clock, 5);
  }
  child.kill('SIGKILL');
  throw new Error(`The centre was not ready within ${PATIENCE_MS / 1000} s.`);
}
