/** What PostgreSQL tells the consoles about the direct streams: which intake processes there are, the secret, and what was replayed. */
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { DirectDirectory, DirectNode } from '../console/direct.ts';
import { centreSecret, createNodes } from './nodes.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

const ALARMS_OF = 'select alias, alarm::text from alarm_alias where alias = any($1::text[])';

export function createDirectDirectory(postgres: Postgres, clock: Clock, random: Random): DirectDirectory {
  const nodes = createNodes(postgres);
  return {
    async nodes(now) {
      const found: DirectNode[] = [];
      for (const { id, direct, directSha256 } of await nodes.list(now)) if (direct !== null) found.push({ id, direct, directSha256 });
      return found;
    },
    token: () => centreSecret(postgres, 'direct', random, clock.now()),
    async replayed(numbers) {
      const rows = await rowsOf<{ alias: string; alarm: string }>(postgres, ALARMS_OF, [numbers]);
      return new Map(rows.map(({ alias, alarm }) => [alias, alarm]));
    },
  };
}
