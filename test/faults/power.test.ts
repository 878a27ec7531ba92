/**
 * Power cuts: first that the library which records writes and syncs, and the cut, do what they say; then that a loss would be
 * seen; then that the centre as it is shipped loses nothing. Longer: npm run faults (docs/power-cuts.md).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import t, { type Test } from 'tap';
import { RunningClock } from '../../src/base/clock.ts';
import { ROOT, missing, temporary } from '../support/process.ts';
import { type CutReport, cut } from './power/cut.ts';
import { dice } from './power/field.ts';
import { powerCuts } from './power/power.ts';
import { compileShim, recorder } from './power/shim.ts';

const base = temporary(t);
const compiled = compileShim(base);
const library = 'library' in compiled ? compiled.library : '';
const reason = 'reason' in compiled ? compiled.reason : false;
const skip = reason !== false && process.env['CI'] !== 'true' ? reason : false;
t.equal(reason !== false && process.env['CI'] === 'true', false, 'CI=true has a compiler');

interface Disk {
  readonly folder: string;
  /** Runs statements in a Node whose writes are recorded; `at(name)` is a path on the disk. */
  run(statements: string): void;
  program(file: string, ...args: string[]): void;
  cut(everything: boolean, seed?: number): CutReport;
  read(name: string): string;
  has(name: string): boolean;
  readonly journal: string;
}

/** An empty disk, with what `before` writes to it already there. */
function disk(t: Test, kind: 'journaling' | 'posix' = 'journaling', before: Record<string, string> = {}): Disk {
  const own = temporary(t);
  const folder = path.join(own, 'disk');
  mkdirSync(folder);
  for (const [name, text] of Object.entries(before)) writeFileSync(path.join(folder, name), text);
  const { journal, graves, env } = recorder(library, own, [folder]);
  const program = (file: string, ...args: string[]): void => {
    const ended = spawnSync(file, args, { env: { ...env }, encoding: 'utf8' });
    if (ended.status !== 0) throw new Error(`${file}: ${ended.signal ?? ''}${ended.stderr}`);
  };
  return {
    folder,
    journal,
    program,
    run: (statements) =>
      program(
        process.execPath,
        '-e',
        `const fs = require('node:fs'); const at = (name) => ${JSON.stringify(`${folder}/`)} + name; ${statements}`,
      ),
    cut: (everything, seed = 1) => cut({ roots: [folder], posix: () => kind === 'posix', journal, graves, random: dice(seed), everything }),
    read: (name) => readFileSync(path.join(folder, name), 'latin1'),
    has: (name) => existsSync(path.join(folder, name)),
  };
}

await t.test('a process that is started later tells the time of the one that started it, whatever the wall says', (t) => {
  const parent = new RunningClock();
  // As a clock that was lifted above what is stored, or whose wall was stepped since.
  parent.atLeast(parent.now() + 3_600_000);
  const program = `import { RunningClock } from './src/base/clock.ts'; console.log(new RunningClock(${parent.anchor()}).now());`;
  const before = parent.now();
  const child = spawnSync(process.execPath, ['--import=tsx', '--input-type=module', '-e', program], { cwd: ROOT, encoding: 'utf8' });
  const told = Number(child.stdout);
  t.ok(before <= told + 1 && told <= parent.now() + 1, `${told - before} ms later: ${child.stderr}`);
  t.end();
});

/** Sectors by their first letter: `AAB` is three of them; `?` one that holds two sorts of bytes. */
const lettersOf = (text: string, sector: number): string =>
  Array.from({ length: text.length / sector }, (_, n) => {
    const one = text.slice(n * sector, (n + 1) * sector);
    return new Set(one).size === 1 ? one[0]! : '?';
  }).join('');

await t.test('what was synced stays, what was not goes', { skip }, (t) => {
  const one = disk(t, 'journaling', { old: 'before', log: 'first\n', wide: 'A'.repeat(8192) });
  one.run(`
    const log = fs.openSync(at('log'), 'a');
    fs.writeSync(log, 'second\\n'); fs.fdatasyncSync(log); fs.writeSync(log, 'third\\n');
    const old = fs.openSync(at('old'), 'r+');
    fs.writeSync(old, 'AFTER', 0); fs.fsyncSync(old); fs.writevSync(old, [Buffer.from('lo'), Buffer.from('st')], 3);
    const made = fs.openSync(at('made'), 'w'); fs.writeSync(made, 'never synced');
    const synced = fs.openSync(at('synced'), 'w'); fs.writeSync(synced, 'in time'); fs.fdatasyncSync(synced); fs.ftruncateSync(synced, 2);
    const direct = fs.openSync(at('wide'), fs.constants.O_WRONLY | fs.constants.O_DSYNC), other = fs.openSync(at('wide'), 'r+');
    fs.writeSync(direct, 'B'.repeat(512)); fs.writeSync(other, 'C'.repeat(4096), 4096); fs.writeSync(direct, 'B'.repeat(512));
  `);
  t.equal(one.read('log'), 'first\nsecond\nthird\n', 'a kill alone loses none of it');
  one.cut(true);
  t.equal(one.read('log'), 'first\nsecond\n');
  t.equal(one.read('old'), 'AFTERe', 'what was overwritten is back');
  t.equal(one.has('made'), false);
  t.equal(one.read('synced'), 'in time', 'and what was cut off');
  t.equal(
    lettersOf(one.read('wide'), 512),
    'BBAAAAAAAAAAAAAA',
    'what was written with O_DSYNC stays, what was written otherwise in between goes',
  );

  one.run(`fs.appendFileSync(at('log'), 'fourth')`);
  one.cut(true);
  t.equal(one.read('log'), 'first\nsecond\n', 'what survived a cut is on the disk, and the next cut counts from there');
  t.end();
});

await t.test('of what was not synced any part may stay, whole sectors of it, by the seed', { skip }, (t) => {
  const outcome = (seed: number): string => {
    const one = disk(t, 'journaling', { pages: 'A'.repeat(64 * 4096), log: '' });
    one.run(`
      const pages = fs.openSync(at('pages'), 'r+');
      fs.writeSync(pages, Buffer.alloc(64 * 4096, 'B'), 0, 64 * 4096, 0);
      fs.writeSync(pages, Buffer.alloc(8 * 4096, 'C'), 0, 8 * 4096, 0);
      const log = fs.openSync(at('log'), 'a');
      for (let n = 0; n < 8; n++) fs.writeSync(log, 'x'.repeat(700));
    `);
    one.cut(false, seed);
    const letters = lettersOf(one.read('pages'), 512);
    t.match(letters, /^[ABC]{64}[AB]{448}$/, 'no sector is half of one and half of another');
    const log = one.read('log');
    t.ok(log.length % 700 === 0 && log.length <= 5600, 'the size is one that the file has had');
    t.match(log, /^[x\0]*$/, 'a sector that did not come is empty');
    return `${letters}${log.length}`;
  };
  const outcomes = [1, 2, 3, 4, 1].map(outcome);
  t.equal(outcomes[4], outcomes[0], 'a seed can be tried again');
  t.ok(new Set(outcomes).size >= 3, 'other seeds, other disks');
  t.match(outcomes.join(''), /A.*B.*C|C.*B.*A/, 'old and new beside each other');
  t.end();
});

await t.test('names come to the disk by a sync of their folder, or with the file where file systems do so', { skip }, (t) => {
  const statements = `
    const folder = fs.openSync(at('.'), 'r');
    const write = (name, text) => { const fd = fs.openSync(at(name), 'w'); fs.writeSync(fd, text); fs.fsyncSync(fd); fs.closeSync(fd); };
    write('kept.tmp', 'new'); fs.renameSync(at('kept.tmp'), at('kept')); fs.unlinkSync(at('gone')); fs.fsyncSync(folder);
    write('loose.tmp', 'new'); fs.renameSync(at('loose.tmp'), at('loose')); fs.unlinkSync(at('unlinked'));
    fs.mkdirSync(at('made')); write('made/file', 'text'); fs.mkdirSync(at('empty')); fs.linkSync(at('kept'), at('linked'));
  `;
  const before = { kept: 'old', gone: 'x', loose: 'old', unlinked: 'still needed' };
  for (const kind of ['journaling', 'posix'] as const) {
    const one = disk(t, kind, before);
    one.run(statements);
    one.cut(true);
    t.equal(one.read('kept'), 'new');
    t.equal(one.has('gone'), false);
    t.equal(one.read('loose'), 'old', 'a rename without a sync of the folder is taken back, with what it replaced');
    t.equal(one.read('unlinked'), 'still needed');
    t.equal(one.has('linked'), false);
    t.equal(one.has('empty'), false);
    t.equal(one.has('loose.tmp'), kind === 'journaling', `${kind}: a new file that was synced`);
    t.equal(one.has('made/file'), kind === 'journaling', `${kind}: and the folder that it lies in`);
  }
  const some = new Set(
    [1, 2, 3, 4, 5, 6].map((seed) => {
      const one = disk(t, 'journaling', before);
      one.run(statements);
      one.cut(false, seed);
      t.equal(one.read('kept'), 'new');
      t.ok(
        !one.has('linked') || !one.has('unlinked'),
        'names that were not synced come in their order: a later one not without an earlier',
      );
      return `${one.read('loose')} ${one.has('linked')} ${one.has('unlinked')}`;
    }),
  );
  t.ok(some.size >= 2, 'by the seed');
  t.end();
});

const WRITER = `
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **words) {
  (void)count;
  if (chdir(words[1]) != 0) return 1;
  if (strcmp(words[2], "map") == 0) {
    int fd = open("mapped", O_RDWR);
    return mmap(0, 4, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED;
  }
  int fd = openat(AT_FDCWD, "./shared", O_RDWR | O_CREAT, 0600), other = open64("other", O_RDWR);
  struct iovec parts[2] = { { "on ", 3 }, { "disk", 4 } };
  if (pwritev(fd, parts, 2, 0) != 7 || fdatasync(fd) != 0) return 2;
  if (posix_fallocate(fd, 0, 100) != 0 || pwrite64(fd, "LOST", 4, 50) != 4 || truncate("other", 1) != 0) return 3;
  FILE *file = fopen("by-stdio", "w");
  fputs("x", file);
  fclose(file);
  for (int n = 0; n < 4; n++) {
    if (fork() != 0) continue;
    /* A child syncs what its brothers write too: a sync is of the file. */
    for (int m = 0; m < 50; m++) if (pwrite(other, "child", 5, 5 * (50 * n + m)) != 5) _exit(1);
    if (n == 3) fsync(other);
    raise(SIGKILL);
  }
  while (wait(0) > 0) {}
  return 0;
}
`;

await t.test('other ways to write, several processes, and what cannot be recorded', { skip }, (t) => {
  const source = path.join(base, 'writer.c');
  writeFileSync(source, WRITER);
  const writer = path.join(base, 'writer');
  t.equal(spawnSync('cc', ['-o', writer, source]).status, 0);
  const one = disk(t, 'journaling', { other: 'old other', mapped: 'abcd' });
  one.program(writer, one.folder, 'write');
  t.equal(one.read('shared').length, 100);
  const report = one.cut(true);
  t.equal(one.read('shared'), 'on disk');
  t.equal(one.has('by-stdio'), false);
  t.match(one.read('other'), /^(child|\0{5}|old o|ther){1,200}$/);
  t.ok(one.read('other').endsWith('child'), 'what was written before the last sync began, whoever wrote it');
  t.ok(report.writes >= 203, `${report.writes} writes of five processes`);

  one.program(writer, one.folder, 'map');
  t.throws(() => one.cut(true), /mapped to be written/, 'a way past the records is a fault of the run, not a quiet hole');
  t.end();
});

await t.test('a database that does not wait for its disk is found out', { skip: skip || missing(t, 'setpriv', '--version') }, async (t) => {
  const settings = { rounds: 1, seed: 1, everything: true, patience: 1500, log: (line: string) => t.comment(line) };
  const { lost, faults } = await powerCuts({ ...settings, postgresSettings: ['synchronous_commit=off', 'wal_writer_delay=10s'] });
  t.ok(lost > 0, `${lost} acknowledged alarms were lost`);
  t.same(faults, []);
});

await t.test(
  'the centre as it is shipped loses nothing that it acknowledged',
  { skip: skip || missing(t, 'setpriv', '--version') },
  async (t) => {
    const seed = Number(process.env['FAULTS_SEED'] ?? Date.now() % 1_000_000);
    t.comment(`FAULTS_SEED=${seed}`);
    const result = await powerCuts({ rounds: 2, seed, log: (line) => t.comment(line) });
    t.match(result, { cuts: 2, lost: 0, doubled: 0, faults: [], skipped: undefined });
    t.ok(result.acknowledged > 20, `${result.acknowledged} acknowledged`);
  },
);
