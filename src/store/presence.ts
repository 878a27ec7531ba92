/** Who has a page open, in Redis: a key for each account that its console process keeps alive. */
import { withRedis, type RedisLink } from './redis.ts';
import type { Presence } from '../console/presence.ts';

const TTL_SECONDS = 10;
const keyOf = (account: string): string => `presence:${account}`;

export function createPresence({ quick }: RedisLink): Presence {
  return {
    renew: (accounts) =>
      withRedis(async () => {
        await Promise.all(accounts.map((account) => quick.set(keyOf(account), '1', 'EX', TTL_SECONDS)));
      }),
    isPresent: (account) => withRedis(async () => (await quick.exists(keyOf(account))) === 1),
  };
}
