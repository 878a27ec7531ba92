/** The benchmarks: measures the real centre and its reference points in one run, prints a table, keeps it in bench/results. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { RunningClock, toIso } from '../src/base/clock.ts';
import { AIMS, judge } from './figures.ts';
import { thisMachine } from './machine.ts';
import { measure } from './measures.ts';
import { openFilesLimit, tooFewFiles } from './open-files.ts';
import { readArguments } from './plan.ts';
import { type Report, reportText } from './table.ts';

const RESULTS = fileURLToPath(new URL('results', import.meta.url));

const asked = readArguments(process.argv.slice(2));
if ('wrong' in asked) {
  process.stderr.write(`${asked.wrong}\n`);
  process.exit(1);
}
const tooFew = tooFewFiles(asked.plan, asked.parts, openFilesLimit());
if (tooFew !== null) {
  process.stderr.write(`${tooFew}\n`);
  process.exit(1);
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));

const folder = mkdtempSync(path.join(tmpdir(), 'responssenter-bench-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const at = toIso(new RunningClock().now());
const before = thisMachine('');
const { figures, facts, postgres, failed } = await measure(asked, folder, (line) => process.stderr.write(`${line}\n`));
const report: Report = {
  at,
  plan: asked.plan.size,
  machine: { ...before, postgres },
  figures,
  aims: judge(AIMS, figures, facts),
  facts,
};
process.stdout.write(`${reportText(report)}\n`);
mkdirSync(RESULTS, { recursive: true });
const file = path.join(RESULTS, `${at.replaceAll(':', '')}.json`);
writeFileSync(file, `${JSON.stringify(report, null, 2)}\n`);
process.stderr.write(`Kept in ${path.relative(process.cwd(), file)}\n`);
process.exit(failed.length === 0 && figures.every(({ unkept = 0 }) => unkept === 0) ? 0 : 1);
