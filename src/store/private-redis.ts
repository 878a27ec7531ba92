/** The private Redis: a `redis-server` child with its data under DATA_DIR/redis, reached over a socket that only we can enter. */
import { existsSync, mkdirSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { CentreError } from '../base/errors.ts';
import { type PrivateServer, type PrivateServerOptions, dyingWithUs, keepRunning, succeeds } from './private-server.ts';
import { socketFolder } from './socket-folder.ts';

const SOCKET = 'redis.sock';

/** What scripts/setup/redis.mjs unpacks where the system has none. */
const UNPACKED = fileURLToPath(new URL('../../.tools/redis', import.meta.url));

/**
 * Starts it, empty or with what its append-only file holds.
 * @returns its `url` is the path of its socket, which ioredis takes for a URL
 * @throws CentreError redis-missing, redis-start-failed
 */
export async function startPrivateRedis(options: PrivateServerOptions): Promise<PrivateServer> {
  const { dataDir } = options;
  const { program, environment } = findServer();
  const made = path.join(dataDir, 'redis');
  mkdirSync(made, { recursive: true, mode: 0o700 });
  const folder = realpathSync(made);
  const socket = path.join(socketFolder(dataDir, SOCKET), SOCKET);
  const settings = {
    port: '0',
    unixsocket: socket,
    unixsocketperm: '700',
    dir: folder,
    appendonly: 'yes',
    appendfsync: 'everysec',
    save: '',
    'maxmemory-policy': 'noeviction',
    daemonize: 'no',
    // An append-only file with a torn end (power loss) is cut there: our truth is in PostgreSQL.
    'aof-load-truncated': 'yes',
    loglevel: 'notice',
  };
  const server = await keepRunning(
    {
      component: 'redis',
      folder,
      logFile: path.join(dataDir, 'redis.log'),
      failure: 'redis-start-failed',
      setting: 'REDIS_URL',
      command: [...dyingWithUs('SIGTERM'), program, ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])],
      environment,
      ending: [
        { signal: 'SIGTERM', patience: 2000 },
        { signal: 'SIGKILL', patience: 2000 },
      ],
      prepare: () => rmSync(socket, { force: true }),
      isUsable: () => answers(socket),
    },
    options,
  );
  return { ...server, url: socket };
}

/** PONG, and not LOADING: an append-only file is read before the first command is taken. */
async function answers(socket: string): Promise<boolean> {
  if (!existsSync(socket)) return false;
  const client = new Redis(socket, {
    lazyConnect: true,
    retryStrategy: () => null,
    connectTimeout: 1000,
    commandTimeout: 1000,
    enableReadyCheck: false,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.ping()) === 'PONG';
  } catch {
    return false;
  } finally {
    client.disconnect();
  }
}

interface Program {
  readonly program: string;
  readonly environment: Readonly<Record<string, string>>;
}

function findServer(): Program {
  const environment = { PATH: process.env.PATH ?? '', LC_ALL: 'C', TZ: 'UTC' };
  // An old Redis on PATH would fail later with a sentence of its own; the set-up has then unpacked a newer one, which wins.
  const unpacked = path.join(UNPACKED, 'usr', 'bin', 'redis-server');
  if (existsSync(unpacked)) return { program: unpacked, environment: { ...environment, LD_LIBRARY_PATH: libraries() } };
  if (succeeds(['redis-server', '--version'])) return { program: 'redis-server', environment };
  throw new CentreError('redis-missing', 'There is no redis-server on PATH nor in .tools/redis: run "npm run setup", or set REDIS_URL.');
}

/** Debian puts libraries below usr/lib and lib, by the machine's triplet. */
function libraries(): string {
  return ['usr/lib', 'lib']
    .map((place) => path.join(UNPACKED, place))
    .filter((place) => existsSync(place))
    .flatMap((place) => [place, ...readdirSync(place).map((name) => path.join(place, name))])
    .join(':');
}
