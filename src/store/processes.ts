/** What the machine's process table tells (Linux, /proc): who lives, since when, and who works in a folder of ours. */
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import process from 'node:process';
import { type Clock, type Milliseconds, sleep } from '../base/clock.ts';
import { systemCode } from '../base/errors.ts';

/**
 * When the process of that number started, as a text to compare; null when there is none (a zombie counts as none).
 * Number and start together name a process for ever: the number alone is given to another one some day.
 * Without /proc it only tells that the number is in use.
 */
export function startOf(pid: number): string | null {
  if (process.platform !== 'linux') return isInUse(pid) ? 'unknown' : null;
  try {
    // proc_pid_stat(5): "pid (name) state ppid …", field 22 is the start in ticks since boot; a name may hold ") ".
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (fields[0] === 'Z' || fields[0] === 'X') return null;
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    return `${boot}/${fields[19] ?? ''}`;
  } catch {
    return null;
  }
}

function isInUse(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

/** Every process, except this one, that has `folder` (absolute, links resolved) as its working directory. */
export function processesIn(folder: string): readonly number[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) return [];
    try {
      return readlinkSync(`/proc/${name}/cwd`) === folder && startOf(pid) !== null ? [pid] : [];
    } catch {
      // Ended meanwhile, or another account's: neither is a server of ours.
      return [];
    }
  });
}

/** One step of ending a process: the signal, and how long it gets before the next. */
export interface EndingStep {
  readonly signal: NodeJS.Signals;
  readonly patience: Milliseconds;
}

/**
 * Ends every process that works in `folder`, politely first; true when none is left.
 * The caller holds the lock of the data directory: whoever works there is an orphan.
 */
export async function endProcessesIn(folder: string, steps: readonly EndingStep[], clock: Clock): Promise<boolean> {
  for (const { signal, patience } of steps) {
    for (const pid of processesIn(folder)) send(pid, signal);
    const until = clock.monotonic() + patience;
    while (processesIn(folder).length > 0 && clock.monotonic() < until) await sleep(clock, 10);
  }
  return processesIn(folder).length === 0;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // Ended by itself between being seen and being told.
  }
}
