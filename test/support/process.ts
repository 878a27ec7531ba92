/** Starts src/main.ts as a real process, as a user would, and leaves nothing of it behind: no process, no directory. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chownSync, existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { Test } from 'tap';
import { until } from './stores.ts';

export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** Others load this machine too: nothing here fails because of slowness alone. */
export const PATIENCE_MS = 90_000;

/** The parts of ready.json that these tests use (interfaces.md). */
export interface ReadyFile {
  readonly pid: number;
  readonly http: string;
  readonly mqtt: string;
  readonly sipUdp: string;
  readonly sipTcp: string;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CentreOptions {
  /** Arguments of main.ts. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A new one when absent. */
  readonly dataDir?: string;
  /** As an account that owns nothing (root only, see `noOrdinaryUser`). */
  readonly ordinary?: boolean;
  /** The directory belongs to a centre that runs already, whose stores are none of this one's business. */
  readonly besideAnother?: boolean;
}

export interface Centre {
  readonly process: ChildProcess;
  readonly pid: number;
  readonly dataDir: string;
  /** Resolves when the process has ended and its output was read. */
  readonly ended: Promise<Ended>;
  /** What ready.json says now, or null. */
  ready(): ReadyFile | null;
  /** Waits for ready.json. @throws Error with the output when the process ends first */
  whenReady(): Promise<ReadyFile>;
  /** Every process of it, the stores and companions too. */
  processes(): number[];
  /** SIGKILL to all of them at once. */
  killEverything(): Promise<void>;
  /** SIGTERM, and how it ended. */
  stop(): Promise<Ended>;
  output(): string;
}

export const DEMO = ['--demo', '--no-devices'] as const;
const NOBODY = 65534;

/** What outlives nothing: a test, or a scenario that has no test around it. */
export type Scope = Pick<Test, 'teardown'>;

/** A directory that is gone after the test. */
export function temporary(t: Scope, owner: 'us' | 'nobody' = 'us'): string {
  const made = realpathSync(mkdtempSync(path.join(tmpdir(), 'faults-')));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  if (owner === 'nobody') chownSync(made, NOBODY, NOBODY);
  return made;
}

/** False when a centre can be started as an account that is not root and not ours; else the reason why not. */
export function noOrdinaryUser(): string | false {
  if (process.getuid?.() !== 0) return 'runs as root only: this run is an ordinary user in itself';
  const words = asNobody();
  const reads = spawnSync(words[0]!, [...words.slice(1), process.execPath, '-e', `require(${JSON.stringify(`${ROOT}package.json`)})`]);
  return reads.status === 0 ? false : 'an ordinary user cannot read this checkout';
}

const asNobody = (): string[] => ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

/** Why a program's test is skipped: it is not installed. With CI=true that is a fault of the run. */
export function missing(t: Test, program: string, ...args: readonly string[]): string | false {
  if (spawnSync(program, args, { stdio: 'ignore' }).error === undefined) return false;
  if (process.env['CI'] === 'true') t.fail(`${program} is missing, and CI=true wants its tests`);
  return `${program} is not installed`;
}

/** The environment of a user, without what the test runner loads into every Node below it. */
function environment(given: Readonly<Record<string, string>>): Record<string, string> {
  const kept = ['PATH', 'HOME', 'USER', 'LANG', 'TMPDIR'].flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  return { ...Object.fromEntries(kept), ...given };
}

/** What the test runner puts into NODE_OPTIONS on the way is no part of a user's environment. */
const BARE = ['env', '-u', 'NODE_OPTIONS'];

/** Ends with this process, however that ends. */
const dyingWithUs =
  spawnSync('setpriv', ['--pdeathsig', 'SIGKILL', '--', 'true']).status === 0 ? ['setpriv', '--pdeathsig', 'SIGKILL', '--'] : [];

/** Runs a command from the checkout to its end. */
export function run(command: readonly string[], env: Readonly<Record<string, string>> = {}, input = ''): Promise<Ended> {
  const [program = '', ...args] = [...BARE, ...command];
  const child = spawn(program, args, { cwd: ROOT, env: environment(env), stdio: ['pipe', 'pipe', 'pipe'] });
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return endOf(child, { stdout: '', stderr: '' });
}

/** `npm run admin -- …`, without npm. */
export const admin = (dataDir: string, args: readonly string[], env: Readonly<Record<string, string>> = {}, input = ''): Promise<Ended> =>
  run([process.execPath, '--import=tsx', 'src/main.ts', 'admin', ...args], { DATA_DIR: dataDir, ...env }, input);

/** Starts it and does not wait. The test that is given ends it, and removes its directory. */
export function spawnCentre(t: Scope, options: CentreOptions = {}): Centre {
  const { args = DEMO, env = {}, ordinary = false, besideAnother = false } = options;
  const dataDir = options.dataDir ?? path.join(temporary(t, ordinary ? 'nobody' : 'us'), 'data');
  const mark = `FAULTS_TEST=${randomUUID()}`;
  const all = environment({
    HTTP_PORT: '0',
    MQTT_PORT: '0',
    SIP_PORT: '0',
    DATA_DIR: dataDir,
    LOG_LEVEL: 'warn',
    ...(ordinary ? { HOME: path.dirname(dataDir) } : {}),
    ...env,
    FAULTS_TEST: mark.split('=')[1]!,
  });
  const [program = '', ...words] = [
    ...(ordinary ? [...asNobody(), ...(dyingWithUs.length > 0 ? ['--pdeathsig', 'SIGKILL'] : [])] : dyingWithUs),
    ...BARE,
    process.execPath,
    '--import=tsx',
    'src/main.ts',
    ...args,
  ];
  // A group of its own, as a shell gives to what is typed there.
  const child = spawn(program, words, { cwd: ROOT, env: all, stdio: ['ignore', 'pipe', 'pipe'], detached: true });
  const said = { stdout: '', stderr: '' };
  const ended = endOf(child, said);
  const pid = child.pid ?? 0;
  const centre: Centre = {
    process: child,
    pid,
    dataDir,
    ended,
    ready() {
      try {
        const file = JSON.parse(readFileSync(path.join(dataDir, 'ready.json'), 'utf8')) as ReadyFile;
        // A file that a killed one left is not ours.
        return file.pid === pid ? file : null;
      } catch {
        return null;
      }
    },
    async whenReady() {
      const failed = ended.then((how) => {
        throw new Error(`The centre ended before it was ready: ${JSON.stringify(how)}`);
      });
      const ready = until('ready.json', () => centre.ready(), PATIENCE_MS).catch((error: unknown) => {
        throw new Error(`${String(error)}; it said: ${centre.output()}`);
      });
      failed.catch(() => {});
      ready.catch(() => {});
      return Promise.race([ready, failed]);
    },
    processes: () => processesOf(mark, besideAnother ? null : dataDir),
    async killEverything() {
      for (const one of centre.processes()) kill(one, 'SIGKILL');
      await until('everything killed', () => {
        const left = centre.processes();
        for (const one of left) kill(one, 'SIGKILL');
        return left.length === 0;
      });
      await ended;
    },
    async stop() {
      kill(pid, 'SIGTERM');
      return ended;
    },
    output: () => `${said.stdout}${said.stderr}`,
  };
  t.teardown(() => centre.killEverything());
  return centre;
}

/** Starts it and waits until it is ready. */
export async function startCentre(t: Scope, options: CentreOptions = {}): Promise<{ centre: Centre; ready: ReadyFile }> {
  const centre = spawnCentre(t, options);
  return { centre, ready: await centre.whenReady() };
}

export function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Ended by itself meanwhile.
  }
}

function endOf(child: ChildProcess, said: { stdout: string; stderr: string }): Promise<Ended> {
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream]?.setEncoding('utf8').on('data', (text: string) => {
      said[stream] += text;
    });
  }
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    // Not `close`: an orphan that holds the pipe is a fault that a test must be able to see.
    child.once('exit', (code, signal) => setImmediate(() => resolve({ code, signal, ...said })));
  });
}

/** By the mark in its environment (centre, companions), by its directory or its arguments (stores, whose environment is clean). */
function processesOf(mark: string, dataDir: string | null): number[] {
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      if (/^\d+ \(.*\) [ZX] /s.test(readFileSync(`/proc/${name}/stat`, 'latin1'))) return [];
      const within = (folder: string): boolean => dataDir !== null && (folder === dataDir || folder.startsWith(`${dataDir}/`));
      const ours =
        readFileSync(`/proc/${name}/environ`, 'latin1').split('\0').includes(mark) ||
        within(readlinkSync(`/proc/${name}/cwd`)) ||
        readFileSync(`/proc/${name}/cmdline`, 'latin1')
          .split('\0')
          .some((word) => within(word.replace(/^.*[=:]/, '')));
      return ours ? [pid] : [];
    } catch {
      // Ended meanwhile, or another account's.
      return [];
    }
  });
}

/** The process number of the private PostgreSQL or Redis, as the centre's own child. */
export function storeOf(centre: Centre, store: 'postgres' | 'redis'): number | null {
  const folder = path.join(centre.dataDir, store);
  if (!existsSync(folder)) return null;
  const working = centre.processes().filter((pid) => cwdOf(pid) === folder);
  return working.find((pid) => !working.includes(parentOf(pid))) ?? null;
}

/** Where a process works; empty when it has ended. */
export function cwdOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

function parentOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return 0;
  }
}

/** Asks the private database itself, past the centre. */
export async function sql<Row extends object>(dataDir: string, text: string, values: unknown[] = []): Promise<Row[]> {
  const client = new pg.Client({ host: path.join(dataDir, 'run'), port: 5432, user: 'responssenter', database: 'responssenter' });
  client.on('error', () => {});
  try {
    await client.connect();
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end().catch(() => {});
  }
}
