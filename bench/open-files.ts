/** Whether the system lets a run have as many connections as it needs: each is an open file, in the generator and in the centre. */
import { readFileSync } from 'node:fs';
import { STREAMS, type Load, type Part, type Plan, messagesOf } from './plan.ts';

/** How many files this process may have open, and those that it starts; null: as many as it likes. Node raises the soft limit to the hard one. */
export function openFilesLimit(): number | null {
  try {
    const [, soft = 'unlimited'] = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === 'unlimited' ? null : Number(soft);
  } catch {
    return null;
  }
}

/** So many connections a part has open at a time, in the generator as in the centre. */
export function socketsOf(plan: Plan, part: Part): number {
  const { warmUp, rates, saturation, consoles, connections, storms, heartbeats, outage, steady } = plan;
  const most = (...loads: readonly Load[]): number => Math.max(...loads.map(messagesOf));
  switch (part) {
    case 'reference':
    case 'mqtt':
      return most(warmUp, ...rates, saturation.mqtt);
    case 'scaip':
      return most(warmUp, ...rates, saturation.scaip);
    case 'scaip-tcp':
    case 'scaip-tls':
      return STREAMS;
    case 'connections':
      return Math.max(...connections.counts);
    case 'storm':
      return Math.max(...storms.map(({ devices }) => devices));
    case 'heartbeats':
      return heartbeats.devices;
    case 'consoles':
      return most(...consoles.loads) + Math.max(...consoles.counts);
    case 'outage':
      return outage.devices + outage.lifeAlarms + 100;
    case 'steady':
      return steady.devices + 100;
    case 'hour':
      return steady.hour.devices + 100;
    case 'start':
      return most(saturation.mqtt);
    default:
      return 0;
  }
}

/** What a process has open beside its connections; the centre keeps so many free for all but devices. */
const FILES_BESIDE = 1100;

/** Null: the system allows enough. @param limit null: no limit */
export function tooFewFiles(plan: Plan, parts: readonly Part[], limit: number | null): string | null {
  const needed = (part: Part): number => socketsOf(plan, part) + FILES_BESIDE;
  const most = Math.max(...parts.map(needed));
  if (limit === null || limit >= most) return null;
  const without = parts.filter((part) => needed(part) <= limit);
  const advice = `run \`ulimit -n ${most}\` first (as root, or raise LimitNOFILE for good)`;
  const instead = without.length === 0 ? '' : `, or measure only what fits: --only ${without.join(',')}`;
  return `The connections of this run need ${most} open files, and the system allows ${limit}: ${advice}${instead}.`;
}
