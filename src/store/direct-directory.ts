/** What PostgreSQL tells the consoles about the direct streams: which intake processes there are, the secret, and what was replayed. */
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { DirectDirectory, DirectNode } from '../console/direct.ts';
import { centreSecret, createNodes } from './nodes.ts';
import type { Postgres } from './postgres.ts';
import { aliasesOf } from './spill-replay.ts';

export function createDirectDirectory(postgres: Postgres, clock: Clock, random: Random): DirectDirectory {
  const nodes = createNodes(postgres);
  return {
    async nodes(now) {
      const found: DirectNode[] = [];
      for (const { id, direct, directSha256 } of await nodes.list(now)) if (direct !== null) found.push({ id, direct, directSha256 });
      return found;
    },
    token: () => centreSecret(postgres, 'direct', random, clock.now()),
    replayed: (numbers) => aliasesOf(postgres, numbers),
  };
}
