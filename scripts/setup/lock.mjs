/** One set-up at a time in one clone: a name that the kernel holds for us and lets go of when we die, however we die. */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { createServer } from 'node:net';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { ROOT, CannotSetUp } from './ground.mjs';

// An abstract socket (Linux): no file that could be left behind. Elsewhere nobody runs two set-ups at once.
const NAME = `\0responssenter-setup-${createHash('sha256').update(realpathSync(ROOT)).digest('hex').slice(0, 32)}`;
const LONGEST_MS = 20 * 60_000;

/** Runs `work` while no other set-up of this clone runs; waits for its turn, and says so. */
export async function held(work) {
  const release = process.platform === 'linux' ? await take() : () => {};
  try {
    return await work();
  } finally {
    release();
  }
}

async function take() {
  const until = Date.now() + LONGEST_MS;
  for (let attempt = 0; Date.now() < until; attempt += 1) {
    const server = createServer((socket) => socket.destroy());
    const failure = await new Promise((resolve) => {
      server.once('error', resolve);
      server.listen({ path: NAME }, () => resolve(null));
    });
    if (failure === null) return () => server.close();
    if (failure.code !== 'EADDRINUSE') throw failure;
    if (attempt === 10) console.log('Waiting for another set-up of this clone to finish …');
    await sleep(100);
  }
  throw new CannotSetUp('Another set-up of this clone has been running for 20 minutes: end it, then run the command again.');
}
