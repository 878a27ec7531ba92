/** The private stores survive what kills them, and the data directory lets one process in at a time. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import pg from 'pg';
import t, { type Test } from 'tap';
import { RunningClock } from '../../src/base/clock.ts';
import type { CentreError } from '../../src/base/errors.ts';
import { createLog } from '../../src/base/log.ts';
import { openDataDir } from '../../src/store/data-dir.ts';
import { startPrivatePostgres } from '../../src/store/private-postgres.ts';
import { startPrivateRedis } from '../../src/store/private-redis.ts';
import { processesIn, startOf } from '../../src/store/processes.ts';

const PROGRAM = fileURLToPath(new URL('stores-process.ts', import.meta.url));
/** Without what the test runner loads into every Node that is started below it. */
const BARE = ['env', '-u', 'NODE_OPTIONS'];
const isRoot = process.getuid?.() === 0;
const clock = new RunningClock();

function directory(t: Test, prefix = 'stores-'): string {
  const made = realpathSync(mkdtempSync(path.join(tmpdir(), prefix)));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

interface Line {
  readonly refused?: string;
  readonly sentence?: string;
  readonly postgres: { url: string; pid: number };
  readonly redis: { url: string; pid: number };
}

interface Stores {
  readonly process: ChildProcess;
  readonly line: Line;
}

/** Starts the program on `dataDir`; `by`: the words in front of it. */
async function begin(t: Test, dataDir: string, { env = process.env, by = [] as string[] } = {}): Promise<Stores> {
  const [program, ...args] = [...by, ...BARE, process.execPath, '--import=tsx', PROGRAM, dataDir];
  const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'inherit'], detached: true });
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.stdin.end();
      await once(child, 'exit');
    }
  });
  const lines = createInterface({ input: child.stdout });
  const [text] = (await once(lines, 'line')) as [string];
  return { process: child, line: JSON.parse(text) as Line };
}

async function finish({ process: child }: Stores): Promise<void> {
  child.stdin?.end();
  if (child.exitCode === null) await once(child, 'exit');
}

async function sql(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client(url);
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}

async function redis(url: string, ...command: [string, ...string[]]): Promise<unknown> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  client.on('error', () => {});
  try {
    await client.connect();
    return await client.call(...command);
  } finally {
    client.disconnect();
  }
}

/** Tries until it goes; gives how long that took. */
async function until(attempt: () => Promise<unknown>, limit = 5000): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    try {
      if ((await attempt()) !== false) return performance.now() - startedAt;
    } catch (error) {
      if (performance.now() - startedAt > limit) throw error;
    }
    if (performance.now() - startedAt > limit) throw new Error(`still not after ${limit} ms`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** How many servers (and not their workers, which are their children) work in a folder. */
function serversIn(folder: string): number[] {
  const all = processesIn(folder);
  return all.filter((pid) => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    return !all.includes(parent);
  });
}

/** A PATH that lacks some programs. */
function pathWithout(t: Test, ...missing: string[]): NodeJS.ProcessEnv {
  const folder = directory(t, 'path-');
  for (const place of (process.env.PATH ?? '').split(':')) {
    if (place === '' || !existsSync(place)) continue;
    for (const name of readdirSync(place)) {
      if (!missing.includes(name) && !existsSync(path.join(folder, name))) {
        try {
          symlinkSync(path.join(place, name), path.join(folder, name));
        } catch {
          // A link that leads nowhere, twice.
        }
      }
    }
  }
  return { ...process.env, PATH: folder };
}

/** Most tests go on with what the one before left there: making a cluster is what takes time. */
const kept = directory(t);

await t.test('a store that is killed is back, with its data, within five seconds', async (t) => {
  const dataDir = kept;
  const written: string[] = [];
  const log = createLog('info', { write: (line) => written.push(line) });
  const [postgres, cache] = await Promise.all([startPrivatePostgres({ dataDir, log, clock }), startPrivateRedis({ dataDir, log, clock })]);
  t.teardown(() => Promise.all([postgres.stop(), cache.stop()]));
  await sql(postgres.url, `create table kept (n int); insert into kept values (1)`);
  await redis(cache.url, 'SET', 'kept', '1');
  const journal = path.join(dataDir, 'redis', 'appendonlydir', 'appendonly.aof.1.incr.aof');
  await until(async () => readFileSync(journal, 'latin1').includes('kept'));

  for (let round = 1; round <= 3; round += 1) {
    const before = postgres.pid() ?? 0;
    process.kill(before, 'SIGKILL');
    await until(async () => postgres.pid() !== null && postgres.pid() !== before && (await sql(postgres.url, 'select 1')).length === 1);
    t.same(await sql(postgres.url, 'select n from kept'), [{ n: 1 }], `round ${round}`);
    t.equal(serversIn(path.join(dataDir, 'postgres')).length, 1, 'one server');
  }

  const before = cache.pid() ?? 0;
  process.kill(before, 'SIGKILL');
  await until(async () => cache.pid() !== null && cache.pid() !== before && (await redis(cache.url, 'GET', 'kept')) === '1');
  t.equal(serversIn(path.join(dataDir, 'redis')).length, 1, 'one server');

  // One worker of PostgreSQL killed: it starts itself again, and we keep our hands off.
  const same = postgres.pid();
  const worker = processesIn(path.join(dataDir, 'postgres')).find((pid) => pid !== same) ?? 0;
  process.kill(worker, 'SIGKILL');
  await until(async () => startOf(worker) === null && (await sql(postgres.url, 'select 1')).length === 1);
  t.equal(postgres.pid(), same);

  const events = written.map((line) => (JSON.parse(line) as { event: string; component: string }).event);
  t.equal(events.filter((event) => event === 'private-store-died').length, 4);
  t.equal(events.filter((event) => event === 'private-store-restarted').length, 4);

  await Promise.all([postgres.stop(), cache.stop(), postgres.stop()]);
  t.same([postgres.pid(), cache.pid()], [null, null]);
  t.same([...processesIn(path.join(dataDir, 'postgres')), ...processesIn(path.join(dataDir, 'redis'))], [], 'nothing is left');
  const stopped = written.length;
  await until(async () => existsSync(path.join(dataDir, 'run')) && !existsSync(path.join(dataDir, 'run', 'redis.sock')));
  t.equal(written.length, stopped, 'and nothing starts again');
});

for (const { name, missing } of [
  { name: 'and its stores die with it', missing: [] },
  { name: 'and its stores live on', missing: ['setpriv'] },
]) {
  await t.test(`the centre is killed, ${name}: a new start has one server each, and the data`, async (t) => {
    const dataDir = kept;
    const env = missing.length === 0 ? process.env : pathWithout(t, ...missing);
    const first = await begin(t, dataDir, { env });
    await sql(first.line.postgres.url, 'insert into kept values (7)');
    process.kill(first.process.pid ?? 0, 'SIGKILL');
    await once(first.process, 'exit');
    if (missing.length > 0) {
      t.not(startOf(first.line.postgres.pid), null, 'an orphan');
      t.not(startOf(first.line.redis.pid), null, 'an orphan');
    } else {
      await until(async () => startOf(first.line.postgres.pid) === null && startOf(first.line.redis.pid) === null);
    }
    const startedAt = performance.now();
    const second = await begin(t, dataDir);
    const took = performance.now() - startedAt;
    t.ok(took < 10_000, `usable after ${Math.round(took)} ms`);
    t.match(await sql(second.line.postgres.url, 'select n from kept order by n desc'), [{ n: 7 }]);
    t.same(serversIn(path.join(dataDir, 'postgres')), [second.line.postgres.pid]);
    t.same(serversIn(path.join(dataDir, 'redis')), [second.line.redis.pid]);

    const third = await begin(t, dataDir);
    t.match(third.line, { refused: 'data-dir-in-use', sentence: new RegExp(`process number ${second.process.pid}`) });

    process.kill(-(second.process.pid ?? 0), 'SIGTERM');
    process.kill(-(second.process.pid ?? 0), 'SIGINT');
    t.match(
      await sql(second.line.postgres.url, 'select n from kept order by n desc'),
      [{ n: 7 }],
      'a signal to the group does not reach the stores',
    );
    t.equal(await redis(second.line.redis.url, 'PING'), 'PONG');
    await finish(second);
    t.same(processesIn(path.join(dataDir, 'postgres')), []);
    t.notOk(existsSync(path.join(dataDir, 'ready.json')));
  });
}

await t.test('a start clears what a crash of the machine left, also a process number that by now is another', async (t) => {
  const dataDir = kept;
  writeFileSync(path.join(dataDir, 'postgres', 'postmaster.pid'), `${process.pid}\n${dataDir}/postgres\n1\n5432\n${dataDir}/run\n\n`);
  writeFileSync(path.join(dataDir, 'run', '.s.PGSQL.5432.lock'), `${process.pid}\n`);
  writeFileSync(path.join(dataDir, 'run', 'redis.sock'), '');
  writeFileSync(path.join(dataDir, 'ready.json'), '{}');
  writeFileSync(path.join(dataDir, 'lock', '999'), `${process.pid} some-other-start\n`);
  mkdirSync(path.join(dataDir, 'postgres.new'));
  const second = await begin(t, dataDir);
  t.equal(await redis(second.line.redis.url, 'PING'), 'PONG');
  t.match(readFileSync(path.join(dataDir, 'ready.json'), 'utf8'), `"pid": ${second.process.pid}`);
});

await t.test('a long path to the data directory, with blanks and signs, is no hindrance; nor is a second centre beside', async (t) => {
  const beside = await begin(t, kept);
  const dataDir = path.join(directory(t), 'et hjem å bo i', 'x'.repeat(60), `50% 'on' & off?#`, 'y'.repeat(40));
  const stores = await begin(t, dataDir);
  t.same(await sql(stores.line.postgres.url, 'select 1 as n'), [{ n: 1 }]);
  t.equal(await redis(stores.line.redis.url, 'PING'), 'PONG');
  const socket = path.dirname(stores.line.redis.url);
  t.equal(statSync(socket).mode & 0o777, 0o700);
  t.equal(statSync(path.join(dataDir, 'postgres')).mode & 0o777, 0o700);
  await t.rejects(sql(stores.line.postgres.url, 'select * from kept'), { code: '42P01' }, 'each has its own');
  await finish(stores);
  await finish(beside);
  rmSync(socket, { recursive: true });
});

await t.test('what is no PostgreSQL is left alone, with a sentence', async (t) => {
  const dataDir = directory(t);
  mkdirSync(path.join(dataDir, 'postgres'));
  writeFileSync(path.join(dataDir, 'postgres', 'letters.txt'), 'dear');
  await t.rejects(startPrivatePostgres({ dataDir, log: createLog('silent'), clock }), {
    code: 'database-start-failed',
    message: /holds something/,
  });
  t.equal(readFileSync(path.join(dataDir, 'postgres', 'letters.txt'), 'utf8'), 'dear');
});

await t.test(
  'root without user namespaces, and the same directory with them',
  { skip: isRoot ? false : 'runs as root only' },
  async (t) => {
    const dataDir = kept;
    const without = await begin(t, dataDir, { env: pathWithout(t, 'unshare') });
    await sql(without.line.postgres.url, 'delete from kept; insert into kept values (3)');
    t.equal(statSync(path.join(dataDir, 'postgres')).uid, 1);
    await finish(without);
    const withThem = await begin(t, dataDir);
    t.same(await sql(withThem.line.postgres.url, 'select n from kept'), [{ n: 3 }]);
    await finish(withThem);
    const again = await begin(t, dataDir, { env: pathWithout(t, 'unshare') });
    t.same(await sql(again.line.postgres.url, 'select n from kept'), [{ n: 3 }]);
  },
);

await t.test('a server that cannot start says so, with its own last words', async (t) => {
  const dataDir = kept;
  rmSync(path.join(dataDir, 'postgres', 'global', 'pg_control'));
  await t.rejects(startPrivatePostgres({ dataDir, log: createLog('silent'), clock }), {
    code: 'database-start-failed',
    message: /pg_control.*look into .*postgres\.log, or set DATABASE_URL/s,
  });
  const manifest = path.join(dataDir, 'redis', 'appendonlydir', 'appendonly.aof.manifest');
  writeFileSync(manifest, 'no manifest\n');
  await t.rejects(startPrivateRedis({ dataDir, log: createLog('silent'), clock }), {
    code: 'redis-start-failed',
    message: /set REDIS_URL/,
  });
  const { refused } = (await begin(t, directory(t), { env: pathWithout(t, 'redis-server') })).line;
  t.match(refused, existsSync(fileURLToPath(new URL('../../.tools/redis', import.meta.url))) ? undefined : 'redis-missing');
});

const ordinary = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--'];
const canBeOrdinary =
  isRoot &&
  spawnSync('setpriv', [...ordinary.slice(1), ...BARE, process.execPath, '--import=tsx', '-e', ''], { cwd: path.dirname(PROGRAM) })
    .status === 0;

await t.test('an ordinary user', { skip: canBeOrdinary ? false : 'needs root, and a clone that others can read' }, async (t) => {
  const home = directory(t);
  chmodSync(home, 0o755);
  const own = path.join(home, 'own');
  mkdirSync(own, { mode: 0o700 });
  t.equal(spawnSync('chown', ['65534:65534', own]).status, 0);
  const stores = await begin(t, path.join(own, 'var'), { by: ordinary });
  t.same(await sql(stores.line.postgres.url, 'select 1 as n'), [{ n: 1 }]);
  t.equal(statSync(path.join(own, 'var', 'postgres')).uid, 65534);
  await finish(stores);

  const closed = path.join(home, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  for (const place of [closed, path.join(closed, 'var')]) {
    const refused = await begin(t, place, { by: ordinary });
    t.match(refused.line, { refused: 'data-dir-not-writable', sentence: /no right to write there/ });
  }
  t.same(readdirSync(closed), [], 'nothing half started');
});

await t.test('the data directory', async (t) => {
  await t.test('is made, private, and let go of', async (t) => {
    const folder = path.join(directory(t), 'a', 'b');
    const dataDir = await openDataDir(folder);
    t.equal(statSync(folder).mode & 0o777, 0o700);
    await dataDir.writeReady({ pid: 1 });
    t.same(JSON.parse(readFileSync(path.join(folder, 'ready.json'), 'utf8')), { pid: 1 });
    await t.rejects(openDataDir(folder), { code: 'data-dir-in-use' });
    await dataDir.release();
    await dataDir.release();
    t.notOk(existsSync(path.join(folder, 'ready.json')));
    const again = await openDataDir(folder);
    await dataDir.release();
    await t.rejects(openDataDir(folder), { code: 'data-dir-in-use' }, 'an old holder cannot let go for the new one');
    await again.release();
    t.same(readdirSync(path.join(folder, 'lock')).length, 1, 'old locks are cleared away');
  });

  await t.test('of many who want it at once, exactly one gets it, again and again', async (t) => {
    const folder = directory(t);
    for (let round = 0; round < 20; round += 1) {
      // A lock whose owner is dead, every other round: all see that, and all want to follow.
      if (round % 2 === 1) {
        const [last = '1'] = readdirSync(path.join(folder, 'lock')).toSorted((a, b) => Number(b) - Number(a));
        writeFileSync(path.join(folder, 'lock', last), '999999999 some-start\n');
      }
      const results = await Promise.allSettled(Array.from({ length: 25 }, () => openDataDir(folder)));
      const winners = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      const codes = results.flatMap((result) => (result.status === 'rejected' ? [(result.reason as CentreError).code] : []));
      t.equal(winners.length, 1);
      t.same(new Set(codes), new Set(['data-dir-in-use']));
      await winners[0]?.release();
    }
  });

  await t.test('cannot be a file, nor below one', async (t) => {
    const file = path.join(directory(t), 'file');
    writeFileSync(file, '');
    await t.rejects(openDataDir(file), { code: 'data-dir-not-writable' });
    await t.rejects(openDataDir(path.join(file, 'var')), { code: 'data-dir-not-writable' });
  });
});
