/** Makes the recording library and the environment in which the centre, and the PostgreSQL that it starts, load it. */
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { forgetRecords } from './cut.ts';

const SOURCE = fileURLToPath(new URL('shim.c', import.meta.url));

export interface Recorder {
  readonly journal: string;
  readonly graves: string;
  /** For the centre. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Compiles shim.c.
 * @returns the library's path, or why there is none
 */
export function compileShim(folder: string): { readonly library: string } | { readonly reason: string } {
  if (process.platform !== 'linux') return { reason: 'the power shim is for Linux' };
  const library = path.join(folder, 'power-shim.so');
  const flags = ['-shared', '-fPIC', '-O2', '-fvisibility=hidden', '-w', '-o', library, SOURCE, '-ldl', '-lpthread'];
  for (const compiler of ['cc', 'gcc']) {
    const ended = spawnSync(compiler, flags, { encoding: 'utf8' });
    if (ended.error !== undefined) continue;
    if (ended.status === 0) return { library };
    return { reason: `${compiler} cannot compile the power shim (is libc6-dev installed?): ${ended.stderr.trim().slice(0, 300)}` };
  }
  return { reason: 'there is no C compiler: install gcc and libc6-dev' };
}

/**
 * Prepares recording below `roots`.
 * @param folder on the file system of the roots, and not below them
 * @param postgresSettings what to change of PostgreSQL's settings, as `name=value`
 */
export function recorder(library: string, folder: string, roots: readonly string[], postgresSettings: readonly string[] = []): Recorder {
  const [journal, graves] = [path.join(folder, 'journal'), path.join(folder, 'graves')] as const;
  forgetRecords(journal, graves);
  const recording = { LD_PRELOAD: library, POWER_ROOTS: roots.join(':'), POWER_JOURNAL: journal, POWER_GRAVES: graves };
  return { journal, graves, env: { ...recording, UV_USE_IO_URING: '0', ...postgresWith(folder, recording, postgresSettings) } };
}

/**
 * PostgreSQL gets an environment of its own from the centre (its PATH and little else), and is started through setpriv: a
 * setpriv of ours comes first on that PATH, adds `env` and `settings`, and hands on to the real one.
 * @returns for the centre's environment
 */
export function postgresWith(folder: string, env: Readonly<Record<string, string>>, settings: readonly string[] = []): { PATH: string } {
  const programs = path.join(folder, 'bin');
  mkdirSync(programs, { recursive: true });
  const real = spawnSync('sh', ['-c', 'command -v setpriv'], { encoding: 'utf8' }).stdout.trim();
  if (real === '') throw new Error('there is no setpriv, through which PostgreSQL is given its environment here');
  const words = Object.entries(env).map(([name, value]) => `${name}='${value}'`);
  const script = [
    '#!/bin/sh',
    `case " $* " in *" -D "*) export ${words.join(' ')}; exec '${real}' "$@" ${settings.map((one) => `-c '${one}'`).join(' ')};; esac`,
    `exec '${real}' "$@"`,
  ];
  writeFileSync(path.join(programs, 'setpriv'), `${script.join('\n')}\n`);
  chmodSync(path.join(programs, 'setpriv'), 0o755);
  return { PATH: `${programs}:${process.env['PATH'] ?? ''}` };
}
