/** One process of the centre as a service manager keeps it: started again when it dies, its log read line by line. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { ReadyFile } from '../../support/process.ts';
import type { PointOrder } from './at-point.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const AT_POINT = fileURLToPath(new URL('at-point.ts', import.meta.url));
const RESTART_MS = { least: 100, most: 500 };
/** Ends with the harness, however that ends. */
const dyingWithUs =
  spawnSync('setpriv', ['--pdeathsig', 'SIGKILL', '--', 'true']).status === 0 ? ['setpriv', '--pdeathsig', 'SIGKILL', '--'] : [];

/** A line that a process wrote on the level `error`, or that is no line of a log at all (a stack, a crash). */
export interface ErrorLine {
  readonly member: string;
  /** The event's code; the line itself, cut, when it is not of the log. */
  readonly event: string;
  /** What it says more exactly; empty where it does not. */
  readonly code: string;
  /** Wall clock of the harness, when it came. */
  readonly at: number;
  readonly line: string;
}

export interface MemberOptions {
  /** Such as `intake-1`. */
  readonly name: string;
  readonly role: string;
  /** Another checkout than this one. */
  readonly root?: string;
  readonly env: Readonly<Record<string, string>>;
  readonly dataDir: string;
  readonly args?: readonly string[];
  readonly random: () => number;
  readonly errorLine: (line: ErrorLine) => void;
  /** Where all that it says is kept. */
  readonly logFile?: string;
}

/** How a process ended. */
export interface MemberEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class Member {
  readonly name: string;
  readonly role: string;
  readonly #options: MemberOptions;
  #child: ChildProcess | null = null;
  #kept = true;
  /** Since the first start. */
  starts = 0;
  /** Deaths by SIGKILL. */
  kills = 0;
  /** The last one that ended. */
  lastEnd: MemberEnd | null = null;
  #armed: PointOrder | null = null;

  constructor(options: MemberOptions) {
    this.name = options.name;
    this.role = options.role;
    this.#options = options;
  }

  pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** What its ready.json says; null while it does not listen. */
  ready(): Partial<ReadyFile> | null {
    try {
      const file = JSON.parse(readFileSync(path.join(this.#options.dataDir, 'ready.json'), 'utf8')) as ReadyFile;
      return file.pid === this.pid() ? file : null;
    } catch {
      return null;
    }
  }

  start(): void {
    const { root = ROOT, env, dataDir, args = ['--role', this.#options.role] } = this.#options;
    const own = root === ROOT ? [`--import=${AT_POINT}`] : [];
    const [program = '', ...words] = [...dyingWithUs, process.execPath, '--import=tsx', ...own, 'src/main.ts', ...args];
    this.#kept = true;
    this.starts += 1;
    const child = spawn(program, words, {
      cwd: root,
      env: { ...bareEnvironment(), ...env, DATA_DIR: dataDir },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    this.#child = child;
    child.on('error', () => {});
    for (const name of ['stdout', 'stderr'] as const) {
      const stream = child[name];
      if (stream !== null) createInterface({ input: stream }).on('line', (line) => this.#said(line, name));
    }
    if (this.#armed !== null) child.send(this.#armed, () => {});
    child.once('exit', (code, signal) => {
      this.#child = null;
      this.lastEnd = { code, signal };
      if (signal === 'SIGKILL') this.kills += 1;
      if (!this.#kept) return;
      const wait = RESTART_MS.least + this.#options.random() * (RESTART_MS.most - RESTART_MS.least);
      setTimeout(() => this.#kept && this.#child === null && this.start(), wait);
    });
  }

  /** Arms it, and each process that follows it; null: never mind. */
  arm(order: PointOrder | null): void {
    this.#armed = order;
    this.#child?.send(order ?? { disarm: true }, () => {});
  }

  signal(signal: NodeJS.Signals): void {
    const pid = this.pid();
    if (pid === null) return;
    try {
      process.kill(pid, signal);
    } catch {
      // It ended meanwhile.
    }
  }

  /** SIGTERM, as a rolling restart does it; started again by `start`. Resolves when it has ended. */
  async end(): Promise<MemberEnd | null> {
    this.#kept = false;
    const child = this.#child;
    if (child === null) return this.lastEnd;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    this.signal('SIGCONT');
    this.signal('SIGTERM');
    const late = setTimeout(() => this.signal('SIGKILL'), 12_000);
    await ended;
    clearTimeout(late);
    return this.lastEnd;
  }

  /** Words of the program itself stand on stderr, as do those of one that crashes; what else is on stdout is a greeting. */
  #said(line: string, stream: 'stdout' | 'stderr'): void {
    if (line.trim() === '') return;
    const { name } = this;
    const at = Date.now();
    const { logFile } = this.#options;
    if (logFile !== undefined) appendFileSync(logFile, `${line}\n`);
    try {
      const { level, event, code } = JSON.parse(line) as { level?: string; event?: string; code?: unknown };
      if (level === 'error') {
        this.#options.errorLine({ member: name, event: event ?? '', code: typeof code === 'string' ? code : '', at, line });
      }
    } catch {
      if (stream === 'stderr') this.#options.errorLine({ member: name, event: line.slice(0, 80), code: '', at, line });
    }
  }
}

/** Of a user: without what a test runner loads into every Node below it. */
function bareEnvironment(): Record<string, string> {
  const kept = ['PATH', 'HOME', 'USER', 'LANG', 'TMPDIR'];
  return Object.fromEntries(kept.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])));
}
