/** Figures that every process gives: itself, its stores, whether it is fit, what the watch said, and the centre as PostgreSQL knows it. */
import { statfs } from 'node:fs/promises';
import { type Registry, collectDefaultMetrics } from 'prom-client';
import { type Clock, type Milliseconds, fromIso, seconds } from '../base/clock.ts';
import { type HealthCheck, readinessOf } from '../console/health-routes.ts';
import { type CentreFigures, readFigures } from '../store/figures.ts';
import type { Relay } from '../store/relay.ts';
import { createWatchReports } from '../store/watch-reports.ts';
import { AUDIT_PARTS, type WatchReport } from '../watch/report.ts';
import { count, counts, gauge, gauges } from './measures.ts';
import type { Stores } from './stores.ts';
import type { WatchedTlsIdentity } from './tls.ts';

export interface ProcessMeasures {
  readonly registry: Registry;
  readonly stores: Pick<Stores, 'postgres' | 'redis'>;
  readonly relay: Pick<Relay, 'stats'>;
  readonly tls: Pick<WatchedTlsIdentity, 'endsAt'> | null;
  /** Filled by and by: read when they are asked for. */
  readonly checks: readonly HealthCheck[];
  readonly dataDir: string;
  readonly version: string;
  readonly roles: readonly string[];
  readonly clock: Clock;
}

/** Several questions about the same rows, and several monitors, cost one statement in this time. */
const CACHED: Milliseconds = seconds(5);
const READINESS_CACHED: Milliseconds = seconds(1);

export function measureProcess(parts: ProcessMeasures): void {
  const { registry, stores, relay, tls, dataDir, version, roles, clock } = parts;
  collectDefaultMetrics({ register: registry });
  gauges(registry, { name: 'build_info', help: '1, with the version and the roles of this process', labels: ['version', 'roles'] }, () => [
    [{ version, roles: roles.join(',') }, 1],
  ]);
  if (tls !== null) {
    gauge(
      registry,
      'tls_certificate_expires_seconds',
      'Until the certificate of the TLS listeners ends',
      () => (tls.endsAt() - clock.now()) / 1000,
    );
  }
  gauge(registry, 'outbox_age_seconds', 'Age of the oldest change that was not published yet', () => relay.stats().outboxAgeMs / 1000);
  count(registry, 'relay_published_total', 'Changes of alarms that were published', () => relay.stats().published);
  count(registry, 'relay_failures_total', 'Batches of changes that could not be published', () => relay.stats().failures);
  gauges(
    registry,
    { name: 'database_connections', help: 'Connections to PostgreSQL: open, idle, and those who wait for one', labels: ['state'] },
    () => {
      const { totalCount, idleCount, waitingCount } = stores.postgres.pool;
      return [
        [{ state: 'open' }, totalCount],
        [{ state: 'idle' }, idleCount],
        [{ state: 'waiting' }, waitingCount],
      ];
    },
  );
  gauge(registry, 'data_dir_free_bytes', 'Free on the disk of DATA_DIR', async () => {
    const { bavail, bsize } = await statfs(dataDir);
    return bavail * bsize;
  });
  gauge(registry, 'data_dir_free_ratio', 'Free on the disk of DATA_DIR, as a part of it', async () => {
    const { bavail, blocks } = await statfs(dataDir);
    return blocks === 0 ? 0 : bavail / blocks;
  });
  measureReadiness(parts);
  measureWatch(parts);
  measureCentre(parts);
}

function measureReadiness({ registry, checks, clock }: ProcessMeasures): void {
  const read = cached(clock, READINESS_CACHED, () => readinessOf(checks, clock));
  gauge(registry, 'ready', '1 while this process is fit to serve, as /readyz says', async () => ((await read())?.ready === true ? 1 : 0));
  gauges(registry, { name: 'component_ok', help: '1 for each component of /readyz that is well', labels: ['component'] }, async () =>
    Object.entries((await read())?.components ?? {}).map(([component, { ok }]) => [{ component }, ok ? 1 : 0]),
  );
}

function measureWatch({ registry, stores, clock }: ProcessMeasures): void {
  const reports = createWatchReports(stores.postgres);
  const read = cached(clock, READINESS_CACHED, () => reports.read());
  const told = async <L extends string>(of: (report: WatchReport) => readonly (readonly [Record<L, string>, number])[]) =>
    ((await read()) ?? []).flatMap(of);
  gauges(registry, { name: 'watch_report_age_seconds', help: 'Since the watch last reported on this', labels: ['name'] }, () =>
    told(({ name, at }) => [[{ name }, Math.max(0, clock.now() - at) / 1000]]),
  );
  gauges(registry, { name: 'watch_fine', help: '1 when the last report on this was fine', labels: ['name'] }, () =>
    told(({ name, fine }) => [[{ name }, fine ? 1 : 0]]),
  );
  gauges(
    registry,
    { name: 'canary_age_seconds', help: 'Since a test alarm last came through over this protocol', labels: ['protocol'] },
    () =>
      told(({ name, detail: { fineAt } }) => {
        const at = typeof fineAt === 'string' ? fromIso(fineAt) : null;
        return at === null ? [] : [[{ protocol: name.replace('canary-', '') }, Math.max(0, clock.now() - at) / 1000]];
      }),
  );
  const byCode = (given: unknown) =>
    Object.entries((given ?? {}) as Record<string, number>).map(([code, value]) => [{ code }, value] as const);
  const audited = (field: 'open' | 'found' | 'mended') => () => told(({ name, detail }) => (name === 'audit' ? byCode(detail[field]) : []));
  gauges(registry, { name: 'audit_findings', help: 'What the auditor finds now, by code', labels: ['code'] }, audited('open'));
  counts(
    registry,
    { name: 'audit_found_total', help: 'What the auditor has found since its start, by code', labels: ['code'] },
    audited('found'),
  );
  counts(
    registry,
    { name: 'audit_mended_total', help: 'What the auditor has mended since its start, by code', labels: ['code'] },
    audited('mended'),
  );
  gauges(registry, { name: 'audit_failing', help: '1 for each part of the audit that cannot be done now', labels: ['part'] }, () =>
    told(({ name, detail: { failed } }) =>
      name === 'audit' && Array.isArray(failed) ? AUDIT_PARTS.map((part) => [{ part }, failed.includes(part) ? 1 : 0] as const) : [],
    ),
  );
  gauges(
    registry,
    { name: 'audit_too_long', help: 'Open alarms whose timeline is too long for the auditor to compare with their row', labels: [] },
    () => told(({ name, detail: { tooLong } }) => (name === 'audit' && typeof tooLong === 'number' ? [[{}, tooLong]] : [])),
  );
}

/** Every process tells the same of these: take the greatest, not the sum. */
function measureCentre({ registry, stores, clock }: ProcessMeasures): void {
  const read = cached(clock, CACHED, () => readFigures(stores.postgres, clock.now()));
  const one = (name: string, help: string, of: (figures: CentreFigures) => number): void =>
    gauges(registry, { name, help, labels: [] }, async () => {
      const figures = await read();
      return figures === null ? [] : [[{}, of(figures)]];
    });
  gauges(registry, { name: 'alarms_open', help: 'Open alarms, by priority and state', labels: ['priority', 'state'] }, async () =>
    ((await read())?.open ?? []).map(({ priority, state, count: alarms }) => [{ priority, state }, alarms]),
  );
  one('alarm_oldest_unclaimed_seconds', 'Age of the oldest alarm about a person that nobody has taken', (of) => of.oldestUnclaimedSeconds);
  one('alarms_claimed', 'Open alarms that an operator has taken', (of) => of.claims);
  one('asks_due', 'Asks to responders that are due and not sent', (of) => of.asksDue);
  one('held_signals', 'Signals that wait for their credentials', (of) => of.held);
  one('outbox_rows', 'Changes that are not published yet', (of) => of.outboxRows);
  gauges(
    registry,
    { name: 'devices_silent', help: 'Devices that are not heard as often as they should be', labels: ['silence'] },
    async () => ((await read())?.silent ?? []).map(({ silence, count: devices }) => [{ silence }, devices]),
  );
  gauges(
    registry,
    { name: 'refusals', help: 'What was refused and is on record for technicians', labels: ['protocol', 'code'] },
    async () => ((await read())?.refusals ?? []).map(({ protocol, code, count: refused }) => [{ protocol, code }, refused]),
  );
}

/** Reads at most once in `span`, all who ask meanwhile together; null while it cannot be read: then nothing is told. */
function cached<T>(clock: Clock, span: Milliseconds, read: () => Promise<T>): () => Promise<T | null> {
  let last: { readonly at: Milliseconds; readonly answer: Promise<T | null> } | null = null;
  return () => {
    const now = clock.monotonic();
    if (last === null || now - last.at >= span) last = { at: now, answer: read().catch(() => null) };
    return last.answer;
  };
}
