/**
 * A redis-server for the private Redis: the one on PATH, else unpacked from Debian's packages into .tools/redis, which
 * needs no rights beyond writing in the clone. Which of the two is used is decided again by src/store/private-redis.ts.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { CannotSetUp, inRoot, onPath, run, sentenceFor } from './ground.mjs';

const UNPACKED = inRoot('.tools', 'redis');
const WORK = inRoot('.tools', 'apt');
/** redis-tools holds the binary; redis-server only the link to it, and the service. */
const PACKAGES = ['redis-server', 'redis-tools', 'libjemalloc2', 'liblzf1', 'libatomic1'];

/** Library → the packages that have it, the newest Debian's last; for what a slim machine lacks beyond the above. */
const LIBRARIES = {
  'libssl.so.3': ['libssl3', 'libssl3t64'],
  'libcrypto.so.3': ['libssl3', 'libssl3t64'],
  'libsystemd.so.0': ['libsystemd0'],
  'libstdc++.so.6': ['libstdc++6'],
  'libgcc_s.so.1': ['libgcc-s1'],
  'libcap.so.2': ['libcap2'],
  'libgcrypt.so.20': ['libgcrypt20'],
  'libgpg-error.so.0': ['libgpg-error0'],
  'liblzma.so.5': ['liblzma5'],
  'libzstd.so.1': ['libzstd1'],
  'liblz4.so.1': ['liblz4-1'],
  'liblua5.1.so.0': ['liblua5.1-0'],
  'libhiredis.so.0.14': ['libhiredis0.14'],
  'libhiredis.so.1.1.0': ['libhiredis1.1.0'],
};

const BY_HAND = 'run "apt-get install redis-server" as root, or set REDIS_URL to a Redis 6.2 or newer';

export const redis = {
  isDone: (needs) => !needs.redis || isFresh(onPath('redis-server'), process.env) || isFresh(binaryIn(UNPACKED), withLibraries(UNPACKED)),

  async make() {
    if (onPath('apt-get') === null || onPath('dpkg') === null) {
      throw new CannotSetUp(`There is no redis-server 6.2 or newer on PATH and this is not a Debian: install one, or set REDIS_URL.`);
    }
    console.log('Unpacking Redis from Debian packages (once) …');
    const next = `${UNPACKED}.next-${process.pid}`;
    try {
      rmSync(WORK, { recursive: true, force: true });
      unpack(next);
      rmSync(UNPACKED, { recursive: true, force: true });
      renameSync(next, UNPACKED);
    } catch (error) {
      throw sentenceFor(error, 'Redis (.tools)');
    } finally {
      rmSync(next, { recursive: true, force: true });
      rmSync(WORK, { recursive: true, force: true });
    }
  },
};

const binaryIn = (folder) => path.join(folder, 'usr', 'bin', 'redis-server');

/** The environment in which an unpacked server finds its libraries. */
function withLibraries(folder) {
  const places = ['usr/lib', 'lib'].flatMap((place) => {
    const full = path.join(folder, place);
    return existsSync(full) ? [full, ...readdirSync(full).map((name) => path.join(full, name))] : [];
  });
  return { ...process.env, LD_LIBRARY_PATH: places.join(':') };
}

/** True when that server starts and is 6.2 or newer. */
function isFresh(binary, env) {
  if (binary === null || !existsSync(binary)) return false;
  const { fine, output } = run(binary, ['--version'], { env });
  const [, major = '0', minor = '0'] = /v=(\d+)\.(\d+)/.exec(output) ?? [];
  return fine && (Number(major) > 6 || (Number(major) === 6 && Number(minor) >= 2));
}

function unpack(next) {
  mkdirSync(next, { recursive: true });
  download(PACKAGES, next);
  for (let round = 0; round < 4; round += 1) {
    const { output } = run('ldd', [binaryIn(next)], { env: withLibraries(next) });
    const missing = [...output.matchAll(/(\S+) => not found/g)].map((found) => found[1]);
    if (missing.length === 0) break;
    download([...new Set(missing.map(packageOf))], next);
  }
  if (isFresh(binaryIn(next), withLibraries(next))) return;
  throw new CannotSetUp(`The Redis of this system's packages does not start or is older than 6.2: ${BY_HAND}.`);
}

function packageOf(library) {
  const names = LIBRARIES[library] ?? [];
  const known = names.find((name) => apt('apt-cache', ['show', '--no-all-versions', name], { own: true }).fine);
  if (known === undefined) throw new CannotSetUp(`Redis needs ${library}, which no known package has: ${BY_HAND}.`);
  return known;
}

/** Downloads packages and unpacks them into `into`; with the system's package lists, else with lists of our own. */
function download(names, into) {
  const debs = path.join(WORK, 'debs');
  rmSync(debs, { recursive: true, force: true });
  for (const folder of ['debs', 'cache/archives/partial', 'lists/partial']) mkdirSync(path.join(WORK, folder), { recursive: true });
  writeFileSync(path.join(WORK, 'status'), '');
  let got = apt('apt-get', ['download', ...names], { own: false });
  if (!got.fine) {
    const updated = apt('apt-get', ['update'], { own: true });
    got = updated.fine ? apt('apt-get', ['download', ...names], { own: true }) : updated;
  }
  if (!got.fine) {
    console.error(got.output.trimEnd());
    throw new CannotSetUp(`Debian's packages could not be fetched for the reason above: ${BY_HAND}.`);
  }
  for (const deb of readdirSync(debs)) {
    const { fine, output } = run('dpkg', ['-x', path.join(debs, deb), into]);
    if (!fine) throw new CannotSetUp(`${deb} could not be unpacked (${output.trim()}): ${BY_HAND}.`);
  }
}

/** apt without rights: everything that it writes goes below .tools/apt. `own`: the package lists too. */
function apt(program, args, { own }) {
  const options = [
    `Dir::Cache=${WORK}/cache`,
    'Debug::NoLocking=true',
    'Acquire::Retries=2',
    'Acquire::Languages=none',
    // Root's apt would hand the download to an account that may not be able to enter this clone.
    ...(process.getuid?.() === 0 ? ['APT::Sandbox::User=root'] : []),
    // Our lists, and nothing taken for installed: `update` then needs nothing of the system but its sources.
    ...(own ? [`Dir::State::Lists=${WORK}/lists`, `Dir::State::status=${WORK}/status`] : []),
  ];
  return run(program, [...options.flatMap((option) => ['-o', option]), ...args], { cwd: path.join(WORK, 'debs') });
}
