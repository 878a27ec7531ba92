/** Whether this process is fit to serve: what /readyz asks of the stores and of the clock. */
import { CentreError } from '../base/errors.ts';
import type { Clock } from '../base/clock.ts';
import type { HealthCheck } from '../console/health-routes.ts';
import { rowsOf } from '../store/query.ts';
import type { Stores } from './stores.ts';

/** Nodes whose clocks differ by more would give deadlines different meanings (design § 2, Time). */
const CLOCK_SLACK_MS = 1000;

/**
 * @param standsIn this process keeps signals also while PostgreSQL is away. Then it stays fit: taken out of a load balancer, it
 * could not be reached by the devices whose alarms only it can take. What it cannot do without PostgreSQL no other process can.
 */
export function checksOf({ postgres, redis }: Stores, clock: Clock, standsIn: () => boolean): HealthCheck[] {
  let unreachable = false;
  return [
    {
      name: 'database',
      get needed() {
        return !unreachable || !standsIn();
      },
      check: () => orAway(() => databaseFault()),
    },
    {
      name: 'redis',
      // Without it everything goes on from PostgreSQL, only less promptly (design § 1.8).
      needed: false,
      check: () => orAway(async () => ((await redis.quick.ping()) === 'PONG' ? null : 'Redis answers strangely.')),
    },
  ];

  async function databaseFault(): Promise<string | null> {
    // Also while it hangs.
    unreachable = true;
    const [row] = await rowsOf<{ at: Date }>(postgres, 'select clock_timestamp() as at');
    unreachable = false;
    const by = row === undefined ? 0 : Math.abs(row.at.getTime() - clock.now());
    return by <= CLOCK_SLACK_MS ? null : `This node's clock and PostgreSQL's differ by ${Math.round(by)} ms: set both by NTP.`;
  }
}

async function orAway(check: () => Promise<string | null>): Promise<string | null> {
  try {
    return await check();
  } catch (error) {
    return error instanceof CentreError ? error.message : 'It does not answer.';
  }
}
