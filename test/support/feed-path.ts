/** The way from a signal to the hub of a console process, on real stores: what tests of the feed and the sockets stand on. */
import { type Desk, createDesk } from '../../src/alarms/desk.ts';
import { joiningKey } from '../../src/alarms/correlate.ts';
import type { Meaning } from '../../src/alarms/signal.ts';
import { type Clock, RunningClock } from '../../src/base/clock.ts';
import { receiptId, systemRandom } from '../../src/base/ids.ts';
import type { Log } from '../../src/base/log.ts';
import { type FeedHub, startFeedHub } from '../../src/console/feed-hub.ts';
import type { FeedSource } from '../../src/console/feed-source.ts';
import { type Keeper, createKeeper } from '../../src/intake/keep.ts';
import { createAlarmStore } from '../../src/store/alarm-store.ts';
import { createAlarmSource } from '../../src/store/alarm-views.ts';
import { type FeedWriter, createFeedSource, createFeedWriter } from '../../src/store/feed.ts';
import { type RedisLink, openRedis } from '../../src/store/redis.ts';
import { type Relay, startRelay } from '../../src/store/relay.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { ladderFor, signal } from './alarms.ts';
import { SILENT, type Stores } from './stores.ts';

export interface FeedPath {
  readonly clock: Clock;
  readonly redis: RedisLink;
  readonly writer: FeedWriter;
  readonly source: FeedSource;
  readonly hub: FeedHub;
  readonly relay: Relay;
  readonly desk: Desk;
  readonly keeper: Keeper;
  /** A signal of a household; resolves to the alarm's number when it is committed. */
  press(household: string, more?: { municipality?: string; meaning?: Partial<Meaning>; device?: string }): Promise<string>;
  stop(): Promise<void>;
}

/** @param kept entries that the feed keeps; @param relaying false: nothing carries the outbox to the feed */
export function startFeedPath(
  stores: Stores,
  { kept = 20_000, relaying = true, log = SILENT }: { kept?: number; relaying?: boolean; log?: Log } = {},
): FeedPath {
  const clock = new RunningClock();
  const redis = openRedis(stores.redisServer.url, log, systemRandom);
  const writer = createFeedWriter({ redis, random: systemRandom, kept });
  const nowhere: Relay = {
    poke: () => undefined,
    stats: () => ({ published: 0, failures: 0, outboxAgeMs: 0 }),
    stop: async () => undefined,
  };
  const relay = relaying ? startRelay({ pg: stores.postgres, feed: writer, clock, log }) : nowhere;
  const source = createFeedSource({ redis, random: systemRandom, log });
  const hub = startFeedHub({ source, alarms: createAlarmSource({ pg: stores.postgres, log }), clock, log });
  const poke = (): void => {
    relay.poke();
  };
  const desk = createDesk({ store: createAlarmStore(stores.postgres, poke), clock, random: systemRandom });
  const keeper = createKeeper({ store: createSignalStore(stores.postgres, poke), ladderFor, keyOf: joiningKey, log });
  return {
    clock,
    redis,
    writer,
    source,
    hub,
    relay,
    desk,
    keeper,
    async press(household, { municipality = '1103', meaning = {}, device = `D-${household}` } = {}) {
      const now = clock.now();
      const id = receiptId(now, systemRandom);
      const receipt = await keeper.keep(
        signal(meaning, {
          id,
          receivedAt: now,
          messageId: id,
          raw: Buffer.from(id),
          source: `mqtt:${device}`,
          device,
          municipality,
          household: { id: household, name: `Husstand ${household}`, zone: 'sentrum' },
        }),
      );
      if (receipt.alarm === null) throw new Error('the signal was only kept');
      return receipt.alarm;
    },
    async stop() {
      await relay.stop();
      await hub.stop();
      await redis.stop();
    },
  };
}
