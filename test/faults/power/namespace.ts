/** Runs a scenario in a mount namespace of its own, where it may mount small disks, and brings back what it says. */
import { spawn, spawnSync } from 'node:child_process';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ROOT } from '../../support/process.ts';

const PROGRAM = fileURLToPath(new URL('disk-full-process.ts', import.meta.url));

/** The words in front of a command that may mount: root makes a mount namespace, others a user namespace around it. */
const WORDS = process.getuid?.() === 0 ? ['unshare', '--mount', '--'] : ['unshare', '--user', '--map-root-user', '--mount', '--'];

/** False where small disks can be mounted; else why not. */
export function noMounts(): string | false {
  const [program = '', ...words] = WORDS;
  const tried = spawnSync(program, [...words, 'mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', '/mnt'], { encoding: 'utf8' });
  if (tried.error !== undefined) return 'unshare is not installed';
  return tried.status === 0 ? false : `this machine allows no small disks in a namespace: ${tried.stderr.trim().slice(0, 200)}`;
}

/**
 * Runs disk-full-process.ts there; its lines that are no JSON go to `log`.
 * @returns the JSON object of its last line
 * @throws Error when it ends without one
 */
export async function inNamespace<Result>(argument: object, log: (line: string) => void): Promise<Result> {
  const [program = '', ...words] = WORDS;
  const child = spawn(program, [...words, process.execPath, '--import=tsx', PROGRAM, JSON.stringify(argument)], {
    cwd: ROOT,
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = new Promise<number | null>((resolve) => child.once('exit', resolve));
  const found: Result[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith('{')) found.push(JSON.parse(line) as Result);
    else log(line);
  }
  const code = await exited;
  const result = found.at(-1);
  if (result === undefined) throw new Error(`the scenario of full disks ended with ${code ?? 'a signal'} and said nothing`);
  return result;
}
