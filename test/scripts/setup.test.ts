/** The set-up says nothing when there is nothing to do, and one sentence when it cannot do what is needed. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));

function folder(t: Test): string {
  const made = realpathSync(mkdtempSync(path.join(tmpdir(), 'setup-')));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** A clone without browser side, whose packages are those of this one; `tools`: and the Redis that was unpacked here. */
function clone(t: Test, tools = false): string {
  const root = folder(t);
  for (const name of ['scripts', 'package.json', 'package-lock.json', '.taprc'])
    cpSync(path.join(ROOT, name), path.join(root, name), { recursive: true });
  symlinkSync(path.join(ROOT, 'node_modules'), path.join(root, 'node_modules'));
  if (tools && existsSync(path.join(ROOT, '.tools'))) symlinkSync(path.join(ROOT, '.tools'), path.join(root, '.tools'));
  return root;
}

/** A folder with links to every program on PATH except some, for a PATH of its own. */
function programsWithout(t: Test, ...missing: string[]): string {
  const made = folder(t);
  for (const place of (process.env.PATH ?? '').split(':').filter((place) => existsSync(place))) {
    for (const name of readdirSync(place)) {
      if (!missing.includes(name)) linkOnce(path.join(place, name), path.join(made, name));
    }
  }
  return made;
}

function linkOnce(from: string, to: string): void {
  try {
    symlinkSync(from, to);
  } catch {
    // The same name earlier on PATH wins.
  }
}

function setup(root: string, purpose: string, env: Readonly<Record<string, string>> = {}): { status: number | null; output: string } {
  const words = ['-u', 'NODE_OPTIONS', '-u', 'REDIS_URL', ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
  const ended = spawnSync('env', [...words, process.execPath, 'scripts/setup.mjs', purpose], { cwd: root, encoding: 'utf8' });
  return { status: ended.status, output: ended.stdout + ended.stderr };
}

await t.test('nothing to do, nothing said', async (t) => {
  for (const purpose of ['check', 'config', 'test', 'run']) t.same(setup(clone(t, true), purpose), { status: 0, output: '' }, purpose);
});

await t.test('what it cannot do is one sentence and exit code 1', async (t) => {
  const PATH = programsWithout(t, 'redis-server', 'apt-get');
  const root = clone(t);
  for (const purpose of ['run', 'test']) {
    const { status, output } = setup(root, purpose, { PATH });
    t.equal(status, 1);
    t.match(output, /^There is no redis-server .*set REDIS_URL\.\n$/);
  }
  t.same(setup(root, 'run', { PATH, REDIS_URL: 'redis://127.0.0.1' }), { status: 0, output: '' }, 'no Redis is needed where one is given');
  t.same(setup(root, 'check', { PATH }), { status: 0, output: '' }, 'nor where none is used');
  t.match(setup(root, 'dance'), { status: 1, output: /^There is no purpose "dance"/ });
});

await t.test('a Redis that is too old does not count', async (t) => {
  const PATH = programsWithout(t, 'redis-server', 'apt-get');
  writeFileSync(path.join(PATH, 'redis-server'), '#!/bin/sh\necho "Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc-5.2.1 bits=64"\n', {
    mode: 0o755,
  });
  t.match(setup(clone(t), 'run', { PATH }), { status: 1, output: /6\.2 or newer/ });
});

await t.test('the console is built when its sources have changed, and an older one stays when that fails', async (t) => {
  const root = clone(t, true);
  const web = path.join(root, 'src', 'console', 'web');
  mkdirSync(web, { recursive: true });
  writeFileSync(path.join(web, 'vite.config.ts'), 'export default {};\n');
  writeFileSync(path.join(web, 'index.html'), '<!doctype html><title>one</title>\n');
  t.match(setup(root, 'run'), { status: 0, output: /^Building the console …\n$/ });
  t.ok(existsSync(path.join(root, 'build', 'console', 'index.html')));
  t.same(setup(root, 'run'), { status: 0, output: '' });
  writeFileSync(path.join(web, 'index.html'), '<!doctype html><script type="module" src="./nowhere.ts"></script>\n');
  t.match(setup(root, 'run'), { status: 1, output: /nowhere[^]*could not be built/ });
  t.ok(existsSync(path.join(root, 'build', 'console', 'index.html')));
  t.same(readdirSync(path.join(root, 'build')).toSorted(), ['console', 'console.stamp'], 'nothing half built is left');
});
