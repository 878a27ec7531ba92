/** The role watch as a process of its own, what every process answers about itself, and the rules that are built on that. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import t from 'tap';
import { startCentre as startHere } from '../../src/app.ts';
import { readSettings } from '../../src/base/settings.ts';
import type { ProcessRole } from '../../src/app/command-line.ts';
import { testCertificate, withoutOpenssl } from '../support/certificates.ts';
import { MqttDevice } from '../support/devices.ts';
import { type Centre, PATIENCE_MS, ROOT, type ReadyFile, kill, sql, startCentre, temporary } from '../support/process.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

interface Figures {
  readonly text: string;
  readonly told: ReadonlyMap<string, { readonly help: string; readonly type: string }>;
  readonly series: readonly Series[];
  /** The sum of a metric's series with these labels; null: there is none. */
  of(name: string, labels?: Readonly<Record<string, string>>): number | null;
}

async function figuresAt(http: string): Promise<Figures> {
  const text = await (await fetch(`${http}/metrics`)).text();
  const told = new Map<string, { help: string; type: string }>();
  const series: Series[] = [];
  for (const line of text.split('\n')) {
    const [, what, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? [];
    if (what === 'HELP') told.set(name, { help: rest, type: '' });
    else if (what === 'TYPE') told.set(name, { help: told.get(name)?.help ?? '', type: rest });
    const sample = /^([a-z_0-9]+)(?:\{(.*)\})? (\S+)$/i.exec(line);
    if (sample === null || line.startsWith('#')) continue;
    const labels = Object.fromEntries([...(sample[2] ?? '').matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]));
    series.push({ name: sample[1] ?? '', labels, value: Number(sample[3]) });
  }
  const of = (name: string, labels: Readonly<Record<string, string>> = {}): number | null => {
    const found = series.filter((one) => one.name === name && Object.entries(labels).every(([key, value]) => one.labels[key] === value));
    return found.length === 0 ? null : found.reduce((sum, { value }) => sum + value, 0);
  };
  return { text, told, series, of };
}

/** Processes of that centre that run the watch. */
const watches = (centre: Centre): number[] =>
  centre.processes().filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').join(' ').includes('--role watch');
    } catch {
      return false;
    }
  });

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly text: string;
}

/** Simple on purpose: one rule begins with `- alert:`, each of its fields is one line. */
function rulesOf(text: string): Rule[] {
  return text
    .split(/^ {6}- alert: /m)
    .slice(1)
    .map((rule) => ({ alert: rule.split('\n')[0]!.trim(), expr: /^ +expr: (.*)$/m.exec(rule)?.[1] ?? '', text: rule }));
}

const WORDS = new Set([
  'by',
  'le',
  'and',
  'or',
  'unless',
  'on',
  'max',
  'min',
  'sum',
  'rate',
  'increase',
  'absent',
  'histogram_quantile',
  'm',
  'h',
  'e',
]);

/** Metrics with their labels, out of an expression of Prometheus. */
function metricsIn(expr: string): { name: string; labels: string[] }[] {
  const bare = expr.replaceAll(/\bby \([^)]*\)/g, ' ').replaceAll(/\[\w+\]/g, ' ');
  return [...bare.matchAll(/([a-z_][a-z_0-9]*)(?:\{([^}]*)\})?/g)].flatMap(([, name = '', inner]) => {
    if (WORDS.has(name) || /^e\d+$/.test(name)) return [];
    const labels = [...(inner ?? '').matchAll(/(\w+)(?:=~|!=|!~|=)"/g)].map(([, label = '']) => label);
    return [{ name, labels }];
  });
}
/** Labels that are named in `by (…)`. */
const groupedBy = (expr: string): string[] =>
  [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list = '']) => list.split(',').map((one) => one.trim()));

const DOC = path.join(ROOT, 'docs/metrics.md');
const ours = (name: string): boolean => !/^(process|nodejs)_/.test(name);
interface DocRow {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
}
const docRows = (text: string): DocRow[] =>
  [...text.matchAll(/^\| `(\w+)` \| (\w+) \| ([^|]*)\| ([^|]*)\|$/gm)].map(([, name = '', type = '', labels = '', help = '']) => ({
    name,
    type,
    labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label),
    help: help.trim(),
  }));

await t.test(
  'the watch lives beside the others, comes again when it is killed, and goes with its centre',
  { skip: withoutOpenssl },
  async (t) => {
    const folder = temporary(t);
    const { cert, key } = testCertificate('localhost');
    const [TLS_CERT, TLS_KEY] = [path.join(folder, 'cert.pem'), path.join(folder, 'key.pem')];
    writeFileSync(TLS_CERT, cert);
    writeFileSync(TLS_KEY, key);
    const env = { TLS_CERT, TLS_KEY, TRUST_PROXY: 'true', MQTTS_PORT: '0', SIPS_PORT: '0', LOG_LEVEL: 'info' };
    const { centre, ready } = await startCentre(t, { env });
    const [first = 0] = await until('the watch runs', () => (watches(centre).length === 1 ? watches(centre) : null), PATIENCE_MS);
    const audit = await until(
      'the auditor has reported',
      async () => {
        const { components } = (await (await fetch(`${ready.http}/readyz`)).json()) as { components: Record<string, { ok: boolean }> };
        return components['audit']?.ok === true ? components : null;
      },
      PATIENCE_MS,
    );
    t.hasProps(audit, ['canary']);

    await t.test('every figure has its line in docs/metrics.md, and the rules name figures that there are', async (t) => {
      const device = await MqttDevice.connect(ready.mqtt, 'NJ-1103-0001');
      await device.alarms('call-button');
      await until('the alarm is counted', async () => ((await figuresAt(ready.http)).of('alarms_open') ?? 0) > 0, PATIENCE_MS);
      await device.stop();
      const figures = await figuresAt(ready.http);
      const labelsOf = (name: string): string[] => [
        ...new Set(
          figures.series
            .filter((one) => one.name === name || [`${name}_bucket`, `${name}_sum`, `${name}_count`].includes(one.name))
            .flatMap(({ labels }) => Object.keys(labels))
            .filter((label) => label !== 'le'),
        ),
      ];
      if (process.env['WRITE_DOCS'] !== undefined) writeDoc(figures, labelsOf);
      const rows = docRows(readFileSync(DOC, 'utf8'));
      const documented = new Map(rows.map((row) => [row.name, row]));
      t.same(
        rows.map(({ name, type, help }) => `${name} ${type}: ${help}`).toSorted(),
        [...figures.told]
          .filter(([name]) => ours(name))
          .map(([name, { type, help }]) => `${name} ${type}: ${help}`)
          .toSorted(),
        'names, types and meanings (WRITE_DOCS=1 writes them)',
      );
      for (const { name, labels } of rows) {
        const strange = labelsOf(name).filter((label) => !labels.includes(label));
        t.same(strange, [], `${name}: no label that the page does not tell of`);
      }
      const rules = rulesOf(readFileSync(path.join(ROOT, 'deploy/prometheus/alerts.yml'), 'utf8'));
      t.ok(rules.length > 25);
      for (const { alert, expr, text } of rules) {
        t.match(text, /severity: (page|ticket)/, `${alert} has a severity`);
        t.match(text, /summary: .{20}/, `${alert} says what is wrong`);
        t.match(text, /action: .{20}/, `${alert} says what to do`);
        const named = metricsIn(expr);
        t.ok(named.length > 0, `${alert}: ${expr}`);
        const labelsKnown = (base: string): readonly string[] => documented.get(base)?.labels ?? [];
        const baseOf = (name: string): string => (figures.told.has(name) ? name : name.replace(/_(bucket|count|sum)$/, ''));
        for (const { name, labels } of named.filter((one) => one.name !== 'up')) {
          t.ok(figures.told.has(baseOf(name)), `${alert}: there is a metric ${name}`);
          for (const label of labels) t.ok(labelsKnown(baseOf(name)).includes(label), `${alert}: ${name} has the label ${label}`);
        }
        for (const label of groupedBy(expr).filter((one) => !['le', 'instance'].includes(one))) {
          t.ok(
            named.some(({ name }) => labelsKnown(baseOf(name)).includes(label)),
            `${alert}: grouped by ${label}`,
          );
        }
      }
      t.equal(figures.of('ready'), 1);
      t.equal(figures.of('component_ok', { component: 'database' }), 1);
      t.equal(figures.of('build_info', { roles: 'intake,escalation,console,watch' }), 1);
      t.ok((figures.of('watch_report_age_seconds', { name: 'audit' }) ?? 99) < 10);
      t.equal(figures.of('audit_failing', { part: 'look' }), 0);
      t.equal(figures.of('audit_failing', { part: 'walk' }), 0);
      t.ok((figures.of('tls_certificate_expires_seconds') ?? 0) > 20 * 24 * 3600);
      t.notMatch(figures.text, /NJ-1103|Ødegård|operator2/, 'nothing of anybody');
    });

    kill(first, 'SIGKILL');
    const second = await until('it comes again', () => watches(centre).find((pid) => pid !== first) ?? null, PATIENCE_MS);
    await until('that is counted', async () => (await figuresAt(ready.http)).of('watch_restarts_total') === 1, PATIENCE_MS);
    const at = (await sql<{ at: Date }>(centre.dataDir, `select at from watch_report where name = 'audit'`))[0]?.at.getTime() ?? 0;
    await until(
      'and looks again',
      async () =>
        ((await sql<{ at: Date }>(centre.dataDir, `select at from watch_report where name = 'audit'`))[0]?.at.getTime() ?? 0) > at,
      PATIENCE_MS,
    );
    const stopping = performance.now();
    const { code } = await centre.stop();
    t.equal(code, 0);
    t.ok(performance.now() - stopping < 10_000, 'within ten seconds');
    t.same(watches(centre), [], 'the watch has gone with it');
    t.notOk(existsSync(`/proc/${second}`));
    t.notMatch(centre.output(), /stop-failed|watch-failed|stop-cut-short/);
  },
);

await t.test('a centre that is killed leaves no watch behind', async (t) => {
  const { centre } = await startCentre(t);
  const [watch = 0] = await until('the watch runs', () => (watches(centre).length === 1 ? watches(centre) : null), PATIENCE_MS);
  kill(centre.pid, 'SIGKILL');
  await centre.ended;
  await until(
    'it has ended',
    () => !existsSync(`/proc/${watch}`) || readFileSync(`/proc/${watch}/stat`, 'latin1').includes(') Z '),
    PATIENCE_MS,
  );
  t.pass('it noticed');
});

await t.test('each role alone answers for itself, without the console', async (t) => {
  const stores = await startStores();
  t.teardown(() => stores.stop());
  const roles: readonly (readonly ProcessRole[])[] = [['watch'], ['intake'], ['escalation']];
  for (const role of roles) {
    const settings = readSettings({
      HTTP_PORT: '0',
      MQTT_PORT: '0',
      SIP_PORT: '0',
      DATA_DIR: path.join(temporary(t), 'data'),
      CONFIG_DIR: path.join(ROOT, 'config'),
      PUBLIC_URL: 'http://centre.example',
    });
    const centre = await startHere({
      settings: { ...settings, DATABASE_URL: stores.databaseServer.url, REDIS_URL: stores.redisServer.url },
      roles: role,
      demo: false,
      log: SILENT,
    });
    const http = (centre.ready as unknown as ReadyFile).http;
    t.same(await (await fetch(`${http}/healthz`)).json(), { alive: true }, role.join());
    const readiness = await fetch(`${http}/readyz`);
    t.equal(readiness.status, 200);
    t.match(await readiness.json(), { ready: true, components: { database: { ok: true }, audit: {} } });
    const figures = await figuresAt(http);
    t.equal(figures.of('build_info', { roles: role[0] ?? '' }), 1);
    t.equal(figures.told.has('messages_total'), role[0] === 'intake');
    t.equal(figures.told.has('sweep_passed_total'), role[0] === 'escalation');
    const console = await fetch(`${http}/api/v1/session`);
    t.equal(console.status, 404);
    t.match(console.headers.get('content-type'), 'application/problem+json');
    if (role[0] === 'watch')
      await until('the auditor reports', async () => (await figuresAt(http)).of('watch_fine', { name: 'audit' }) === 1, PATIENCE_MS);
    await centre.stop();
  }
});

/** What stands above the table is written by hand. */
function writeDoc(figures: Figures, labelsOf: (name: string) => string[]): void {
  const before = readFileSync(DOC, 'utf8');
  const known = new Map(docRows(before).map((row) => [row.name, row.labels]));
  const lines = [...figures.told]
    .filter(([name]) => ours(name))
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { type, help }]) => {
      const labels = new Set([...labelsOf(name), ...(known.get(name) ?? [])]);
      return `| \`${name}\` | ${type} | ${[...labels].map((label) => `\`${label}\``).join(', ')} | ${help} |`;
    });
  const head = before.slice(0, before.indexOf('| metric |'));
  writeFileSync(DOC, `${head}| metric | type | labels | meaning |\n|---|---|---|---|\n${lines.join('\n')}\n`);
}
