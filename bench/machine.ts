/** What a run was measured on, and what its processes take: read from the system (Linux, /proc). */
import { readFileSync, readdirSync } from 'node:fs';
import os from 'node:os';
import process from 'node:process';
import type { Milliseconds } from '../src/base/clock.ts';

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryMb: number;
  readonly node: string;
  readonly postgres: string;
  /** Of one minute: above 0.5 somebody else was at work too. */
  readonly loadBefore: number;
}

export function thisMachine(postgres: string): Machine {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryMb: Math.round(os.totalmem() / 1_048_576),
    node: process.versions.node,
    postgres,
    loadBefore: os.loadavg()[0] ?? 0,
  };
}

/** The process and all below it. */
export function familyOf(pid: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    const parent = Number(fieldsOf(Number(name))?.[1]);
    if (Number.isInteger(parent)) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const family = [pid];
  for (const member of family) family.push(...(children.get(member) ?? []));
  return family;
}

/** Null where there is no such process. */
export function parentOf(pid: number): number | null {
  const fields = fieldsOf(pid);
  return fields === null ? null : Number(fields[1]);
}

/** Clock ticks are 10 ms on every Linux that Node runs on (sysconf(_SC_CLK_TCK) = 100). */
const TICK_MS = 10;
/** On x86-64, and on most arm64. */
const PAGE_BYTES = 4096;

/** CPU time that these processes have used since they began; those that ended meanwhile count nothing. Cheap. */
export function cpuOf(pids: readonly number[]): Milliseconds {
  let ticks = 0;
  for (const pid of pids) {
    const fields = fieldsOf(pid);
    // proc_pid_stat(5): fields 14 and 15 are the ticks in user and kernel mode; ours begin behind the name, with field 3.
    if (fields !== null) ticks += Number(fields[11]) + Number(fields[12]);
  }
  return ticks * TICK_MS;
}

/**
 * What they hold, in MB: the proportional share (PSS), as PostgreSQL's processes share most of theirs. Walks all their
 * pages: not to be asked while something is measured.
 */
export const memoryOf = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + pssOf(pid), 0) / 1024;

/** The resident pages of one process in MB, shared ones too. Cheap. */
export function residentOf(pid: number): number {
  const pages = Number(fieldsOf(pid)?.[21] ?? 0);
  return (pages * PAGE_BYTES) / 1_048_576;
}

/** The same without files and shared memory, as PostgreSQL's buffers are: those fill up to their limit and stay. */
export const anonymousOf = (pids: readonly number[]): number => pids.reduce((sum, pid) => sum + pssOf(pid, 'Pss_Anon'), 0) / 1024;

function pssOf(pid: number, which: 'Pss' | 'Pss_Anon' = 'Pss'): number {
  try {
    return Number(new RegExp(`^${which}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Fields of /proc/<pid>/stat from the third on; null when there is no such process. */
function fieldsOf(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}
