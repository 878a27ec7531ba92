/** The layer table holds, the tools that guard it really look, and every source file is loaded by a test. */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

interface Layer {
  readonly folder: string;
  readonly imports: readonly string[];
  readonly types?: readonly string[];
  readonly npm: readonly string[];
}

const { LAYERS } = createRequire(import.meta.url)('../../scripts/layers.cjs') as { LAYERS: readonly Layer[] };

interface Cruise {
  readonly modules: readonly { readonly source: string; readonly dependencies: readonly { readonly resolved: string }[] }[];
  readonly summary: {
    readonly violations: readonly { readonly rule: { readonly name: string }; readonly from: string; readonly to: string }[];
  };
}

/** Runs a tool of the house, without what the test runner loads into every Node below it. */
function tool(cwd: string, name: string, ...args: string[]): string {
  const words = ['-u', 'NODE_OPTIONS', path.join(ROOT, 'node_modules', '.bin', name), ...args];
  return spawnSync('env', words, { cwd, encoding: 'utf8', maxBuffer: 256 * 1024 * 1024 }).stdout;
}

const cruise = (cwd: string, ...folders: string[]): Cruise =>
  JSON.parse(tool(cwd, 'depcruise', '--config', '.dependency-cruiser.cjs', '--output-type', 'json', ...folders)) as Cruise;

/** Every TypeScript file below a folder of the root, by its path from there. */
function sources(folder: string): string[] {
  if (!existsSync(path.join(ROOT, folder))) return [];
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return sources(name);
    return /\.tsx?$/.test(entry.name) && !entry.name.endsWith('.d.ts') ? [name] : [];
  });
}

/** A small tree with the house's own tool configurations, in which faults can be planted. */
function plot(t: Test, files: Readonly<Record<string, string>>): string {
  const folder = realpathSync(mkdtempSync(path.join(tmpdir(), 'plot-')));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  for (const name of ['.dependency-cruiser.cjs', '.oxlintrc.json', 'tsconfig.json', 'package.json', 'scripts/layers.cjs']) {
    cpSync(path.join(ROOT, name), path.join(folder, name));
  }
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
  return folder;
}

const beside = ['simulators', 'bench'].filter((folder) => existsSync(path.join(ROOT, folder)));
const real = cruise(ROOT, 'src', ...beside, 'test');

await t.test('every source file was looked at, and keeps to its layer', async (t) => {
  const seen = new Set(real.modules.map(({ source }) => source));
  const files = ['src', ...beside].flatMap(sources);
  t.ok(files.length > 50, `${files.length} source files`);
  t.same(
    files.filter((file) => !seen.has(file)),
    [],
    'none was overlooked',
  );
  t.same(
    real.summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} → ${to}`),
    [],
  );
});

await t.test('a planted import that breaks the table is found, each in its own way', async (t) => {
  const folder = plot(t, {
    'src/alarms/stores.ts': `import { kept } from '../store/kept.ts';\nexport const a = kept;\n`,
    'src/alarms/types.ts': `import type { Kept } from '../store/kept.ts';\nexport type A = Kept;\n`,
    'src/alarms/files.ts': `import { readFileSync } from 'node:fs';\nexport const a = readFileSync;\n`,
    'src/alarms/packages.ts': `import { pino } from 'pino';\nexport const a = pino;\n`,
    'src/devices/values.ts': `import { decoded } from '../protocols/scaip/decoded.ts';\nexport const a = decoded;\n`,
    'src/devices/fine.ts': `import type { Decoded } from '../protocols/scaip/decoded.ts';\nexport type A = Decoded;\n`,
    'src/protocols/scaip/decoded.ts': `import { gate } from '../mqtt/gate.ts';\nexport const decoded = gate;\nexport type Decoded = 1;\n`,
    'src/protocols/mqtt/gate.ts': `import timers from 'node:timers/promises';\nexport const gate = timers;\n`,
    'src/store/kept.ts': `import { start } from '../app.ts';\nexport const kept = start;\nexport type Kept = 1;\n`,
    'src/app.ts': `export const start = 1;\n`,
    'src/helpers/lost.ts': `import { start } from '../app.ts';\nexport const a = start;\n`,
    'src/console/web/page.ts': `import type { Kept } from '../../store/kept.ts';\nexport type A = Kept;\n`,
    'simulators/unit.ts': `import type { A } from '../src/alarms/types.ts';\nexport type B = A;\n`,
  });
  const found = new Set(cruise(folder, 'src', 'simulators').summary.violations.map(({ rule, from }) => `${rule.name}: ${from}`));
  for (const expected of [
    'alarms-imports: src/alarms/stores.ts',
    'alarms-imports: src/alarms/types.ts',
    'alarms-node: src/alarms/files.ts',
    'alarms-packages: src/alarms/packages.ts',
    'devices-imports-values: src/devices/values.ts',
    'protocols-scaip-imports: src/protocols/scaip/decoded.ts',
    'protocols-mqtt-timers: src/protocols/mqtt/gate.ts',
    'root-is-not-imported: src/store/kept.ts',
    'unknown-folder: src/helpers/lost.ts',
    'console-web-imports: src/console/web/page.ts',
    'simulators-imports: simulators/unit.ts',
  ]) {
    t.ok(found.has(expected), expected);
  }
  t.same(
    [...found].filter((text) => text.endsWith('src/devices/fine.ts')),
    [],
    'a type of a protocol is allowed to devices',
  );
});

await t.test('a planted promise that nobody awaits, and time that nobody handed in, are found', async (t) => {
  const lines = [
    `import { EventEmitter } from 'node:events';`,
    `async function later(): Promise<void> {}`,
    `later();`,
    `new EventEmitter().on('x', async () => later());`,
    `if (later()) Math.random();`,
    `export const now = Date.now();`,
    `setTimeout(() => {}, 1);`,
  ];
  const folder = plot(t, { 'src/intake/lost.ts': `${lines.join('\n')}\n`, 'src/base/clock.ts': 'export const now = Date.now();\n' });
  const { diagnostics } = JSON.parse(tool(folder, 'oxlint', '--format=json', 'src')) as {
    diagnostics: { code: string; filename: string; labels: { span: { line: number } }[] }[];
  };
  const found = diagnostics.map(({ code, filename, labels }) => `${code} ${filename}:${labels[0]?.span.line}`);
  t.same(
    new Set(found),
    new Set([
      'typescript(no-floating-promises) src/intake/lost.ts:3',
      'typescript(no-misused-promises) src/intake/lost.ts:4',
      'typescript(no-misused-promises) src/intake/lost.ts:5',
      'eslint(no-restricted-properties) src/intake/lost.ts:5',
      'eslint(no-restricted-globals) src/intake/lost.ts:6',
      'eslint(no-restricted-globals) src/intake/lost.ts:7',
    ]),
  );
});

await t.test('every source file is loaded by a test', async (t) => {
  const edges = new Map(real.modules.map(({ source, dependencies }) => [source, dependencies.map(({ resolved }) => resolved)]));
  const reached = new Set<string>();
  const waiting = sources('test').filter((file) => file.endsWith('.test.ts'));
  // A browser runs what is built from these; it does so when a test opens one.
  const opensBrowser = sources('test').some((file) => /from 'playwright-core'/.test(readFileSync(path.join(ROOT, file), 'utf8')));
  if (opensBrowser) waiting.push('src/console/web/main.tsx', 'src/console/web/sw.ts');
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (reached.has(file)) continue;
    reached.add(file);
    waiting.push(...(edges.get(file) ?? []));
    // A program that a test starts as a process of its own is named in it.
    if (file.startsWith('test/')) waiting.push(...startedBy(file));
  }
  const configuration = /\/vite\.config\.ts$/;
  t.same(
    sources('src').filter((file) => !reached.has(file) && !configuration.test(file)),
    [],
  );
});

function startedBy(file: string): string[] {
  const text = readFileSync(path.join(ROOT, file), 'utf8');
  const named = [...text.matchAll(/['"`/](src|simulators|bench)\/([\w./-]+\.ts)['"`]/g)].map(([, top, rest]) => `${top}/${rest}`);
  const local = [...text.matchAll(/new URL\('([\w./-]+\.ts)', import\.meta\.url\)/g)].map(([, name = '']) =>
    path.posix.join(path.posix.dirname(file), name),
  );
  return [...named, ...local].filter((name) => existsSync(path.join(ROOT, name)));
}

await t.test('ARCHITECTURE.md tells the same table', async (t) => {
  const rows = new Map(
    readFileSync(path.join(ROOT, 'ARCHITECTURE.md'), 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) => line.split('|').map((cell) => cell.trim()))
      .flatMap(([, names = '', , imports = '', npm = '']) =>
        [...names.matchAll(/`([\w./*]+)`/g)].map(([, name = '']) => [name, { imports, npm }]),
      ),
  );
  const folders = readdirSync(path.join(ROOT, 'src'), { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of folders) {
    t.ok(
      [name, `${name}/`, `${name}/*`].some((row) => rows.has(row)),
      `src/${name} has a row`,
    );
  }
  for (const { folder, imports, npm } of LAYERS) {
    const [, name = '', rest] = /^src\/([\w-]+)(\/.+)?$/.exec(folder) ?? [];
    const row = rows.get(name) ?? rows.get(`${name}/*`);
    if (row === undefined || rest !== undefined) continue;
    if (row.imports !== "every folder's ports") {
      t.same(
        imports.filter((other) => !new RegExp(`\\b${other.slice('src/'.length)}\\b`).test(row.imports)),
        [],
        `${folder}: imports`,
      );
    }
    t.same(
      npm.filter((wanted) => !row.npm.includes(wanted) && !(wanted.startsWith('@fastify/') && row.npm.includes('its plugins'))),
      [],
      `${folder}: packages`,
    );
  }
});
