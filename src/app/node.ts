/** Says in PostgreSQL that this process lives and where it is reached, so that the others find it. */
import type { Clock } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { ANNOUNCE_EVERY_MS, type CentreNode, createNodes } from '../store/nodes.ts';
import type { Postgres } from '../store/postgres.ts';
import type { CleanUp } from './clean-up.ts';

/** At once, then again and again; while PostgreSQL is away the others go on with what they knew. */
export async function announceNode(parts: {
  readonly postgres: Postgres;
  /** As it is now: certificates are renewed. */
  readonly node: () => CentreNode;
  readonly clock: Clock;
  readonly log: Log;
  readonly cleanUp: CleanUp;
}): Promise<void> {
  const { postgres, node, clock, log, cleanUp } = parts;
  const nodes = createNodes(postgres);
  let announcing = false;
  let failed = false;
  const announce = async (): Promise<void> => {
    if (announcing) return;
    announcing = true;
    try {
      await nodes.announce(node(), clock.now());
      failed = false;
    } catch (error) {
      if (!failed) log.warn('node-not-announced', { error });
      failed = true;
    } finally {
      announcing = false;
    }
  };
  await announce();
  const timer = clock.every(ANNOUNCE_EVERY_MS, () => void announce());
  cleanUp.add('node', async () => {
    timer.cancel();
    // A row that stays is dead in 15 s.
    await nodes.remove(node().id).catch(() => undefined);
  });
}
