/** The browser side of the console: built into build/console when its sources have changed since. */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { CannotSetUp, digest, inRoot, readStamp, run, sentenceFor, writeStamp } from './ground.mjs';

const WEB = inRoot('src', 'console', 'web');
const BUILT = inRoot('build', 'console');
const STAMP = inRoot('build', 'console.stamp');

/** Every file below a folder, in a fixed order. */
function below(folder) {
  if (!existsSync(folder)) return [];
  const entries = readdirSync(folder, { withFileTypes: true }).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  return entries.flatMap((entry) => {
    const name = path.join(folder, entry.name);
    return entry.isDirectory() ? below(name) : [name];
  });
}

// The pages use words and types of these folders too.
const wanted = () =>
  digest([...below(WEB), ...below(inRoot('src', 'alarms')), inRoot('src', 'base', 'clock.ts'), inRoot('package-lock.json')]);

export const consolePages = {
  isDone: () => !existsSync(path.join(WEB, 'vite.config.ts')) || (existsSync(BUILT) && readStamp(STAMP) === wanted()),

  async make() {
    console.log('Building the console …');
    const sources = wanted();
    const next = `${BUILT}.next-${process.pid}`;
    try {
      mkdirSync(path.dirname(BUILT), { recursive: true });
      const vite = [
        inRoot('node_modules', 'vite', 'bin', 'vite.js'),
        'build',
        WEB,
        '--outDir',
        next,
        '--emptyOutDir',
        '--logLevel',
        'warn',
      ];
      const { fine, output } = run(process.execPath, vite);
      if (!fine) {
        console.error(output.trimEnd());
        throw new CannotSetUp('The console could not be built for the reason above: mend it, then run the command again.');
      }
      rmSync(STAMP, { force: true });
      rmSync(BUILT, { recursive: true, force: true });
      renameSync(next, BUILT);
      writeStamp(STAMP, sources);
    } catch (error) {
      throw sentenceFor(error, 'The console (build)');
    } finally {
      rmSync(next, { recursive: true, force: true });
    }
  },
};
