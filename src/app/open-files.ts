/** How many connections fit into the limit on open files that the system gives this process. */
import { readFileSync } from 'node:fs';
import type { Log } from '../base/log.ts';

/** For stores, consoles, SIP and the rest: devices must not take the descriptors by which alarms are kept. */
const KEPT_FREE = 1000;

/** What a centre of this size is made for. */
const ENOUGH = 10_000;

/** At most `wanted`, and says so where the system allows fewer: raise it by LimitNOFILE (systemd) or `ulimit -n`. */
export function connectionsWithin(wanted: number, log: Log): number {
  const limit = openFilesLimit();
  if (limit === null || limit >= wanted + KEPT_FREE) return wanted;
  const most = Math.max(Math.floor(limit / 2), limit - KEPT_FREE);
  if (most < ENOUGH) log.warn('open-files-limited', { protocol: 'mqtt', setting: 'ulimit -n', count: most });
  return most;
}

/** Null where the system does not tell (no Linux). Node itself raises the soft limit to the hard one. */
function openFilesLimit(): number | null {
  try {
    const [, soft = 'unlimited'] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === 'unlimited' ? null : Number(soft);
  } catch {
    return null;
  }
}
