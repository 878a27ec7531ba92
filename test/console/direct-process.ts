/** A console process' direct client alone, for a test that freezes it: says on standard output how many alarms it holds. */
import process from 'node:process';
import { RunningClock } from '../../src/base/clock.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { startDirect } from '../../src/console/direct-nodes.ts';

const [address = '', token = ''] = process.argv.slice(2);
const direct = startDirect({
  directory: {
    nodes: async () => [{ id: 'intake', direct: address, directSha256: null }],
    token: async () => token,
    replayed: async () => new Map(),
  },
  board: { has: () => true, listen: () => undefined },
  clock: new RunningClock(),
  random: systemRandom,
  log: createLog('silent'),
});
const tell = (): void =>
  void process.stdout.write(`${JSON.stringify({ ...direct.stats(), lost: direct.alarms().filter(({ lost }) => lost).length })}\n`);
direct.listen(tell);
// Its own timers do not keep a process alive.
setInterval(tell, 100);
