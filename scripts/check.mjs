/** `npm run check`: format, lint, types, layers and unused code, each step named, with what to do when it fails. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const BIN = path.join(ROOT, 'node_modules', '.bin');
const WEB = 'src/console/web';

/** Every TypeScript file below a folder, relative to the root. */
function sources(folder) {
  if (!existsSync(path.join(ROOT, folder))) return [];
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return sources(name);
    return /\.tsx?$/.test(entry.name) && !entry.name.endsWith('.d.ts') ? [name] : [];
  });
}

/** Runs one tool; gives what it wrote and whether it was content. */
function run(tool, ...args) {
  const ended = spawnSync(path.join(BIN, tool), args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  if (ended.error !== undefined) return { fine: false, output: `${tool} could not be started: ${ended.error.message}` };
  return { fine: ended.status === 0, output: ended.stdout + ended.stderr };
}

const types = (project, name) => () =>
  run('tsc', '--project', project, '--incremental', '--tsBuildInfoFile', `build/check/${name}.tsbuildinfo`, '--pretty', 'false');

/** A cruiser that was given a compiler it does not know finds no files and no faults: so count what it saw. */
function layers() {
  const folders = ['src', 'simulators'].filter((folder) => existsSync(path.join(ROOT, folder)));
  const expected = folders.flatMap(sources).length;
  const { fine, output } = run('depcruise', '--config', '.dependency-cruiser.cjs', '--output-type', 'err-long', ...folders);
  const seen = Number(/(\d+) modules/.exec(output)?.[1] ?? 0);
  if (seen >= expected) return { fine, output };
  return { fine: false, output: `${output}\nOnly ${seen} modules were looked at, though there are ${expected} source files.` };
}

const STEPS = [
  { name: 'format', run: () => run('oxfmt', '--check', '.'), remedy: 'Run: npm run format' },
  {
    name: 'lint',
    run: () => run('oxlint', '--deny-warnings', '--report-unused-disable-directives'),
    remedy: 'Mend the lines above; what a rule is for is told in CONTRIBUTING.md.',
  },
  { name: 'types', run: types('tsconfig.json', 'server'), remedy: 'Mend the lines above.' },
  {
    name: 'types of the browser side',
    skip: () => !existsSync(path.join(ROOT, WEB, 'tsconfig.json')),
    run: types(`${WEB}/tsconfig.json`, 'web'),
    remedy: 'Mend the lines above.',
  },
  { name: 'layers', run: layers, remedy: 'Who may import whom is told in ARCHITECTURE.md and .dependency-cruiser.cjs.' },
  {
    name: 'unused code',
    skip: () => !existsSync(path.join(ROOT, 'src/main.ts')),
    run: () => run('knip', '--no-config-hints'),
    remedy: 'Remove it, or the `export` in front of it.',
  },
];

mkdirSync(path.join(ROOT, 'build/check'), { recursive: true });
let failed = 0;
for (const step of STEPS) {
  if (step.skip?.() === true) {
    console.log(`skip  ${step.name} (nothing there yet)`);
    continue;
  }
  const startedAt = Date.now();
  const { fine, output } = step.run();
  console.log(`${fine ? 'ok  ' : 'FAIL'}  ${step.name} (${((Date.now() - startedAt) / 1000).toFixed(1)} s)`);
  if (fine) continue;
  failed += 1;
  console.log(`${output.trimEnd().replaceAll(/^/gm, '      ')}\n      → ${step.remedy}`);
}
console.log(failed === 0 ? 'All checks passed.' : `${failed} of ${STEPS.length} checks failed.`);
process.exitCode = failed === 0 ? 0 : 1;
