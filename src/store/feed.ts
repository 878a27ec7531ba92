/** The feed in Redis: a stream of alarm views with an epoch, written by the relay and read by each console process. */
import type { Redis } from 'ioredis';
import { type Random, secret } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { AlarmView } from '../alarms/view.ts';
import { type FeedEntry, type FeedPosition, type FeedSource, compareIds } from '../console/feed-source.ts';
import { type RedisLink, withRedis } from './redis.ts';

const STREAM = 'feed';
const EPOCH = 'feed:epoch';
/** About an hour of a busy evening; a console away for longer gets a snapshot. */
const KEPT = 20_000;
/** Views in one script call: Redis does nothing else while it runs. */
const AT_ONCE = 100;
const READ_AT_ONCE = 500;
const BLOCK_MS = 500;

/**
 * Publishes what is given and makes the stream with a new epoch when either is missing, in one step: no entry can come
 * into a stream whose epoch is that of another. The first entry holds no view, so that the stream is never empty.
 * KEYS stream, epoch; ARGV a new epoch, how many to keep, then views. Answers epoch, first id, last id.
 */
const PUBLISH = `
local epoch = redis.call('GET', KEYS[2])
if not epoch or redis.call('EXISTS', KEYS[1]) == 0 then
  epoch = ARGV[1]
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], epoch)
  redis.call('XADD', KEYS[1], '*', 'e', epoch)
end
for i = 3, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'e', epoch, 'v', ARGV[i])
end
local first = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
return { epoch, first[1][1], last[1][1] }
`;

export interface FeedWriter {
  /** Puts the views into the feed in their order. Done again after a failure, some are there twice. @throws CentreError store-away */
  publish(views: readonly AlarmView[]): Promise<void>;
}

export function createFeedWriter({ redis, random, kept = KEPT }: { redis: RedisLink; random: Random; kept?: number }): FeedWriter {
  return {
    async publish(views) {
      for (let from = 0; from < views.length; from += AT_ONCE) {
        const written = views.slice(from, from + AT_ONCE).map((view) => JSON.stringify(view));
        await withRedis(() => redis.quick.eval(PUBLISH, 2, STREAM, EPOCH, secret(random, 128).slice(0, 12), kept, ...written));
      }
    },
  };
}

/** One blocking reader, for one console process. */
export function createFeedSource({ redis, random, log }: { redis: RedisLink; random: Random; log: Log }): FeedSource {
  const reader = redis.reader();
  // A server's run id cannot change within a connection, so it is asked for once in each.
  let connection = 0;
  let opened = -1;
  let stored = '';
  reader.on('connect', () => {
    connection += 1;
  });

  return {
    open: () =>
      withRedis(async () => {
        await settled(reader);
        const current = connection;
        const [made, info] = await Promise.all([
          reader.eval(PUBLISH, 2, STREAM, EPOCH, secret(random, 128).slice(0, 12), KEPT) as Promise<[string, string, string]>,
          reader.info('server'),
        ]);
        const [epoch, first, last] = made;
        opened = current;
        stored = epoch;
        return { epoch: `${epoch}~${runId(info)}`, first, id: last };
      }),

    read: (from) =>
      withRedis(async () => {
        if (connection !== opened) return { lost: 'connection' };
        // Asked in one go on one connection: the answers about epoch and first entry hold for the read behind them.
        const [epoch, firstKept, read] = await Promise.all([
          reader.get(EPOCH),
          reader.xrange(STREAM, '-', '+', 'COUNT', 1),
          reader.xread('COUNT', READ_AT_ONCE, 'BLOCK', BLOCK_MS, 'STREAMS', STREAM, from.id),
        ]);
        if (connection !== opened) return { lost: 'connection' };
        const first = firstKept[0]?.[0];
        if (epoch !== stored || first === undefined) return { lost: 'epoch' };
        if (compareIds(first, from.id) > 0) return { lost: 'gap' };
        const rows = read?.[0]?.[1] ?? [];
        if (rows.some(([, fields]) => fields[1] !== stored)) return { lost: 'epoch' };
        return { entries: entriesOf(rows, log), last: rows.at(-1)?.[0] ?? from.id };
      }),

    between: (resume, upTo, limit) =>
      withRedis(async () => {
        const after = idWithin(resume, upTo);
        if (after === null) return null;
        const [epoch, firstKept, rows] = await Promise.all([
          redis.quick.get(EPOCH),
          redis.quick.xrange(STREAM, '-', '+', 'COUNT', 1),
          redis.quick.xrange(STREAM, `(${after}`, upTo.id, 'COUNT', limit + 1),
        ]);
        const first = firstKept[0]?.[0];
        if (epoch === null || epoch !== stored || first === undefined || compareIds(first, after) > 0) return null;
        return rows.length > limit ? null : entriesOf(rows, log);
      }),
  };
}

/** A connection that is just being made gets to its end, good or bad: at a start nothing has been lost yet. */
async function settled(reader: Redis): Promise<void> {
  if (reader.status !== 'connecting' && reader.status !== 'connect') return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      reader.off('ready', done).off('close', done);
      resolve();
    };
    reader.on('ready', done).on('close', done);
  });
}

/** The stream id in a feed id, when that is of the same epoch and not beyond the position; else null. */
function idWithin(feedId: string, { epoch, id }: FeedPosition): string | null {
  if (!feedId.startsWith(`${epoch}.`)) return null;
  const given = feedId.slice(epoch.length + 1);
  if (!/^(0|[1-9]\d{0,17})-(0|[1-9]\d{0,17})$/.test(given)) return null;
  return compareIds(given, id) <= 0 ? given : null;
}

const runId = (info: string): string => /^run_id:([0-9a-f]+)/m.exec(info)?.[1]?.slice(0, 12) ?? 'unknown';

function entriesOf(rows: readonly [string, string[]][], log: Log): FeedEntry[] {
  return rows.flatMap(([id, fields]) => {
    const json = fields[2] === 'v' ? fields[3] : undefined;
    if (json === undefined) return [];
    try {
      return [{ id, json, view: JSON.parse(json) as AlarmView }];
    } catch (error) {
      // Nobody but the relay writes here; what cannot be read is found in PostgreSQL by the hub's look-over.
      log.error('feed-entry-unreadable', { error });
      return [];
    }
  });
}
