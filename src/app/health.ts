/** What every process answers about itself: whether it is alive, fit to serve, and its figures. */
import type { Registry } from 'prom-client';
import { type Clock, type Instant, type Milliseconds, fromIso, minutes, seconds } from '../base/clock.ts';
import type { Settings } from '../base/settings.ts';
import { createHealthServer } from '../console/health-server.ts';
import type { HealthCheck } from '../console/health-routes.ts';
import type { Postgres } from '../store/postgres.ts';
import { createWatchReports } from '../store/watch-reports.ts';
import type { WatchName, WatchReport } from '../watch/report.ts';
import type { CleanUp } from './clean-up.ts';
import type { TlsIdentity } from './tls.ts';

export interface HealthStart {
  readonly settings: Pick<Settings, 'BIND' | 'HTTP_PORT' | 'TRUST_PROXY'>;
  readonly checks: readonly HealthCheck[];
  readonly registry: Registry;
  readonly tls: TlsIdentity | null;
  readonly clock: Clock;
  readonly cleanUp: CleanUp;
}

/** Listens on HTTP_PORT where no console does. @returns the URL @throws CentreError port-in-use, port-not-allowed */
export async function startHealth({ settings, checks, registry, tls, clock, cleanUp }: HealthStart): Promise<string> {
  const pair = settings.TRUST_PROXY ? null : (tls?.current() ?? null);
  const server = createHealthServer({ checks, registry, clock, tls: pair });
  cleanUp.add('http', () => server.stop());
  return (await server.listen(settings.BIND, settings.HTTP_PORT)).url;
}

const WATCHED: readonly { component: string; names: readonly WatchName[]; within: Milliseconds; none: string }[] = [
  { component: 'audit', names: ['audit'], within: seconds(10), none: 'No auditor has reported: is the role watch running?' },
  {
    component: 'canary',
    names: ['canary-mqtt', 'canary-scaip'],
    within: minutes(3),
    none: 'No test alarm has come through yet: is the role watch running?',
  },
];

/** What the watch says of the centre; nobody is taken out of service for it. */
export function watchChecks(postgres: Postgres, clock: Clock): HealthCheck[] {
  const reports = createWatchReports(postgres);
  return WATCHED.map(({ component, names, within, none }) => ({
    name: component,
    needed: false,
    async check() {
      const found = (await reports.read()).filter(({ name }) => names.includes(name));
      if (found.length < names.length) return none;
      const now = clock.now();
      const ageSeconds = sinceFine(found, now);
      const old = found.find(({ at }) => now - at > within);
      if (old !== undefined) return { reason: `${old.name} last reported ${Math.round((now - old.at) / 1000)} s ago.`, ageSeconds };
      const bad = found.filter(({ fine }) => !fine);
      return { reason: bad.length === 0 ? null : bad.map(whyNot).join(' '), ageSeconds };
    },
  }));
}

/** Since the canary last went well over each protocol, in whole seconds; null where it never has, and of what is no canary. */
function sinceFine(found: readonly WatchReport[], now: Instant): number | null {
  const instants = found.map(({ detail: { fineAt } }) => (typeof fineAt === 'string' ? fromIso(fineAt) : null));
  const ages = instants.flatMap((at) => (at === null ? [] : [Math.max(0, now - at)]));
  return ages.length < found.length ? null : Math.floor(Math.max(...ages) / 1000);
}

/** In codes: who asks is not signed in. */
function whyNot({ name, detail }: WatchReport): string {
  const counts = Object.entries((detail['open'] ?? {}) as Record<string, number>).filter(([, count]) => count > 0);
  if (name === 'audit') {
    const failed = detail['failed'];
    if (Array.isArray(failed) && failed.length > 0) return `The auditor could not look: ${failed.join(', ')} failed.`;
    if (counts.length === 0) return 'The auditor found something within the last minute, and it was mended.';
    return `The auditor found: ${counts.map(([code, count]) => `${code} (${count})`).join(', ')}.`;
  }
  const step = detail['step'];
  return `${name}: the last test alarm did not come through${typeof step === 'string' ? ` (${step})` : ''}.`;
}
