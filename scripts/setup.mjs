/**
 * Makes a clean checkout ready for one of the npm scripts, and says nothing when there is nothing to do.
 *
 *   node scripts/setup.mjs [check | config | test | run]
 *
 * Plain Node and nothing else: it runs before any package is there. What it cannot do with the rights that it has
 * becomes one sentence and exit code 1.
 */
import process from 'node:process';

const OLDEST = [20, 19];
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
  console.error(
    `Node ${OLDEST.join('.')} or newer is needed and this is ${process.versions.node}: install Node 24, then run the command again.`,
  );
  process.exit(1);
}

// Loaded only now: an older Node might not even read them.
const { held } = await import('./setup/lock.mjs');
const { packages } = await import('./setup/packages.mjs');
const { consolePages } = await import('./setup/console-pages.mjs');
const { redis } = await import('./setup/redis.mjs');
const { CannotSetUp } = await import('./setup/ground.mjs');

/** What each purpose needs. `dev`: also the packages that only tests and checks use. */
const PURPOSES = {
  check: { dev: true, parts: [packages] },
  config: { dev: false, parts: [packages] },
  test: { dev: true, parts: [packages, redis, consolePages] },
  run: { dev: false, parts: [packages, redis, consolePages] },
};

const name = process.argv[2] ?? 'run';
const purpose = PURPOSES[name];
try {
  if (purpose === undefined) throw new CannotSetUp(`There is no purpose "${name}"; there are ${Object.keys(PURPOSES).join(', ')}.`);
  const needs = { dev: purpose.dev, redis: name === 'test' || !process.env.REDIS_URL };
  for (const part of purpose.parts) {
    // Asked twice: another set-up in the same clone may have done it while this one waited for its turn.
    if (part.isDone(needs)) continue;
    await held(async () => {
      if (!part.isDone(needs)) await part.make(needs);
    });
  }
} catch (error) {
  if (!(error instanceof CannotSetUp)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
