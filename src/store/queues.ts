/** BullMQ queues of asks by urgency: they make asks prompt and own none; emptied or away, they are filled again from the rows. */
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { Clock, Milliseconds, Timer } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { reached } from '../base/points.ts';
import { type AskQueue, URGENCIES, type Urgency } from '../escalation/ask.ts';
import { withRedis } from './redis.ts';

interface AskJob {
  /** Null: the canary, which only has to be run. */
  readonly ask: string | null;
}

/** BullMQ's own settings would re-run a killed worker's job after 59 s and fail it for good at its second crash. */
const WORKER = { lockDuration: 5000, stalledInterval: 2000, maxStalledCount: 100, drainDelay: 1 } as const;
/** A gateway that hangs must not hold the urgent asks of others: life has the most workers. */
const CONCURRENCY: Readonly<Record<Urgency, number>> = { life: 32, urgent: 12, care: 12 };
const CANARY_EVERY_MS: Milliseconds = 2000;
/** A canary that nobody has run for this long, and nothing else either: the workers are dead, whatever they say of themselves. */
const CANARY_DEAD_MS: Milliseconds = 6000;
/** BullMQ waits for a connection as long as it takes; those who add do not. */
const ANSWER_WITHIN_MS: Milliseconds = 2000;
const CLOSE_WITHIN_MS: Milliseconds = 2000;
/** A connection on which nothing comes for so long, though it was asked, is made anew: the far side may be gone without a word. */
const SILENCE_MS: Milliseconds = 2000;

export interface AskQueueParts {
  /** `redis://…`, `rediss://…` or the path of a unix socket. */
  readonly url: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly work: (ask: string) => Promise<void>;
}

interface Opened {
  readonly queues: Readonly<Record<Urgency, Queue<AskJob>>>;
  /** Whether its connection is there, whatever the queues make of it. */
  connected(): boolean;
  close(): Promise<void>;
}

/** Begins to work at once, also when Redis is away now. */
export function openAskQueue({ url, clock, log, work }: AskQueueParts): AskQueue {
  let opened = open();
  let stopped = false;
  let looking: Promise<void> | null = null;
  /** Since when this very canary was seen waiting: another process' may have come in its place. */
  const waiting = new Map<Urgency, { readonly canary: number; readonly since: number }>();
  /** When a worker began a job last: as good as the canary, which may stand behind hundreds. */
  const worked = new Map<Urgency, number>();
  /** Jobs in hand: where all places are taken (a gateway that hangs), a canary that waits says nothing about the workers. */
  const running: Record<Urgency, number> = { life: 0, urgent: 0, care: 0 };
  let failingSince: number | null = null;
  const canaries = clock.every(CANARY_EVERY_MS, () => {
    looking ??= within(lookAtCanaries())
      .then(() => {
        failingSince = null;
      })
      .catch(async () => {
        // Redis is away: a canary that waited for it proves nothing about the workers.
        waiting.clear();
        if (!opened.connected()) failingSince = null;
        else if (clock.now() - (failingSince ??= clock.now()) > CANARY_DEAD_MS) await renew();
      })
      .finally(() => {
        looking = null;
      });
  });

  return {
    add: (urgency, asks) =>
      withRedis(async () => {
        const jobs = asks.map(({ id, tryAt, delay }) => ({ name: 'ask', data: { ask: id }, opts: { jobId: `${id}-${tryAt}`, delay } }));
        await within(opened.queues[urgency].addBulk(jobs));
        reached('queued');
      }),
    async stop() {
      stopped = true;
      canaries.cancel();
      // Both at once: each takes its full patience when Redis is away.
      await Promise.all([looking, opened.close()]);
    },
  };

  async function lookAtCanaries(): Promise<void> {
    const now = clock.now();
    for (const urgency of URGENCIES) {
      const queue = opened.queues[urgency];
      const canary = await queue.getJob('canary');
      if (canary === undefined) {
        const { timestamp } = await queue.add('canary', { ask: null }, { jobId: 'canary' });
        waiting.set(urgency, { canary: timestamp, since: now });
        continue;
      }
      const seen = waiting.get(urgency);
      const full = running[urgency] >= CONCURRENCY[urgency];
      if (full || seen?.canary !== canary.timestamp) waiting.set(urgency, { canary: canary.timestamp, since: now });
      else if (now - Math.max(seen.since, worked.get(urgency) ?? 0) > CANARY_DEAD_MS) return renew();
    }
  }

  /** Queues and workers anew: BullMQ does not recover by itself from a connection that failed while it was being set up. */
  async function renew(): Promise<void> {
    if (stopped) return;
    log.error('ask-workers-dead', { component: 'redis' });
    waiting.clear();
    failingSince = null;
    const before = opened;
    opened = open();
    await before.close();
  }

  async function within<T>(doing: Promise<T>): Promise<T> {
    let timer: Timer | null = null;
    const late = new Promise<never>((_resolve, reject) => {
      timer = clock.after(ANSWER_WITHIN_MS, () => reject(new Error(`no answer within ${ANSWER_WITHIN_MS} ms`)));
    });
    try {
      return await Promise.race([doing, late]);
    } finally {
      (timer as Timer | null)?.cancel();
    }
  }

  function open(): Opened {
    const connections: Redis[] = [];
    let away = false;
    // Without listeners an error would end the process; only the change is logged, a Redis that is away fails often.
    const lost = (error: unknown): void => {
      if (!away) log.warn('ask-queue-lost', { component: 'redis', error });
      away = true;
    };
    const connect = (options: object): Redis => {
      const connection = new Redis(url, { retryStrategy: (times) => Math.min(1000, 50 * 2 ** Math.min(times, 6)), ...options });
      connection.on('error', lost);
      connection.on('ready', () => {
        if (away) log.info('ask-queue-back', { component: 'redis' });
        away = false;
      });
      connections.push(connection);
      return connection;
    };
    const adding = connect({ enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: 1000, socketTimeout: SILENCE_MS });
    const working = connect({ maxRetriesPerRequest: null });
    const queueOf = (urgency: Urgency): Queue<AskJob> => {
      const queue = new Queue<AskJob>(`asks-${urgency}`, {
        connection: adding,
        skipVersionCheck: true,
        defaultJobOptions: { attempts: 1, removeOnComplete: true, removeOnFail: true },
      });
      queue.on('error', lost);
      return queue;
    };
    const queues = { life: queueOf('life'), urgent: queueOf('urgent'), care: queueOf('care') };
    const workers = URGENCIES.map((urgency) => {
      const worker = new Worker<AskJob>(`asks-${urgency}`, ({ data }) => run(urgency, data.ask), {
        connection: working,
        concurrency: CONCURRENCY[urgency],
        skipVersionCheck: true,
        removeOnComplete: { count: 0 },
        removeOnFail: { count: 0 },
        ...WORKER,
      });
      worker.on('error', lost);
      return worker;
    });
    return {
      queues,
      connected: () => adding.status === 'ready',
      async close() {
        const closing = [...workers, ...Object.values(queues)].map((part) => part.close());
        await Promise.race([Promise.allSettled(closing), new Promise<void>((resolve) => clock.after(CLOSE_WITHIN_MS, resolve))]);
        for (const connection of connections) connection.disconnect();
      },
    };
  }

  /** What goes wrong stays in the row: the job is over, and the row is tried again by its own time. */
  async function run(urgency: Urgency, ask: string | null): Promise<void> {
    worked.set(urgency, clock.now());
    if (ask === null) return;
    running[urgency] += 1;
    try {
      await work(ask);
    } catch (error) {
      log.warn('ask-not-sent', { ask, error });
    } finally {
      running[urgency] -= 1;
    }
  }
}
