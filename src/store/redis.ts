/** Opens Redis: one connection that fails fast for those who wait, and one of their own for those who block. */
import { Redis } from 'ioredis';
import { CentreError, reason } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Random } from '../base/ids.ts';

/** How long somebody waits for an answer of Redis before doing without it. */
const COMMAND_TIMEOUT_MS = 1000;
/** A connection on which nothing comes for this long although something was asked is dead, whatever TCP says. */
const SILENCE_MS = 2000;
const CONNECT_TIMEOUT_MS = 2000;

export interface RedisLink {
  /** Fails at once without a connection, and after 1 s without an answer. For every read and write that somebody waits for. */
  readonly quick: Redis;
  /** A connection of its own for blocking reads of at most 1 s; ended by `stop`. */
  reader(): Redis;
  /** Whether the quick connection is there now. */
  connected(): boolean;
  stop(): Promise<void>;
}

/**
 * Connects in the background and for ever: Redis may be away now and at any time (design § 1.8).
 * @param url `redis://…`, `rediss://…` or the path of a unix socket
 */
export function openRedis(url: string, log: Log, random: Random): RedisLink {
  const opened: Redis[] = [];
  const options = {
    enableOfflineQueue: false,
    // Sending again what was in flight makes duplicates and answers nobody waits for any more.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SILENCE_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepAlive: 5000,
    retryStrategy: (times: number) => retryDelay(times, random),
    // A node that became a replica, or is loading, is left for whoever is behind the address next.
    reconnectOnError: (error: Error) => /^(READONLY|LOADING|MASTERDOWN)/.test(error.message),
  };
  const quick = open('quick');
  return {
    quick,
    reader: () => open('reader'),
    connected: () => quick.status === 'ready',
    async stop() {
      for (const connection of opened) connection.disconnect();
      await Promise.all(opened.map(ended));
    },
  };

  function open(name: string): Redis {
    const connection = new Redis(url, { ...options, connectionName: `responssenter-${name}` });
    let away = false;
    // Without a listener an error would end the process. A Redis that is away fails often: only the change is logged.
    connection.on('error', (error: Error) => {
      if (!away) log.warn('redis-lost', { component: name, error });
      away = true;
    });
    connection.on('ready', () => {
      if (away) log.info('redis-back', { component: name });
      away = false;
    });
    opened.push(connection);
    return connection;
  }
}

/** 50 ms doubling to 800 ms, up to half of it taken off at random, so that many processes do not return at once. */
function retryDelay(times: number, random: Random): number {
  const longest = Math.min(800, 50 * 2 ** Math.min(times, 10));
  return Math.round(longest * (1 - (random(1)[0] ?? 0) / 512));
}

/** One that was waiting to connect again never tells that it has ended: its timer is cancelled, and that is all. */
async function ended(connection: Redis): Promise<void> {
  if (connection.status === 'end' || connection.status === 'reconnecting') return;
  await new Promise<void>((resolve) => connection.once('end', () => resolve()));
}

/** Runs one exchange with Redis; whatever goes wrong in it is a store that is away. @throws CentreError store-away */
export async function withRedis<T>(exchange: () => Promise<T>): Promise<T> {
  try {
    return await exchange();
  } catch (error) {
    throw new CentreError('store-away', `Redis did not do what it was asked (${reason(error)}); it is tried again.`, { cause: error });
  }
}
