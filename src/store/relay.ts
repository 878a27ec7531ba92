/** The relay: carries what was committed from the outbox into the feed, alarm by alarm in its current version. */
import type { Alarm } from '../alarms/alarm.ts';
import type { AlarmView } from '../alarms/view.ts';
import { type Clock, type Milliseconds, RunningClock, type Timer } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { reached } from '../base/points.ts';
import { viewsOfRows } from './alarm-views.ts';
import type { FeedWriter } from './feed.ts';
import type { Postgres } from './postgres.ts';

const BATCH = 500;
const POLL_MS: Milliseconds = 200;
/**
 * Between the beginnings of two batches: under load many changes share one publication and one read by each console. What
 * comes after a pause goes at once.
 */
const PACE_MS: Milliseconds = 10;
const RETRY_MS: Milliseconds = 50;
const RETRY_AT_MOST_MS: Milliseconds = 1000;
/** A view that waited longer than this between PostgreSQL and Redis (a process that was stopped) is read anew. */
const STALE_MS: Milliseconds = 1500;

export interface Relay {
  /** Something was committed: look at once instead of at the next poll. */
  poke(): void;
  /** Since the start, and how long the oldest row of the last look had waited; 0 when there was none. */
  stats(): { readonly published: number; readonly failures: number; readonly outboxAgeMs: Milliseconds };
  /** Ends after what is in hand. */
  stop(): Promise<void>;
}

export interface RelayParts {
  readonly pg: Postgres;
  readonly feed: FeedWriter;
  readonly clock: Clock;
  readonly log: Log;
  /** Told of what was published, for queues that want it prompt. Its failure is logged and holds nothing up. */
  readonly alsoRelay?: (views: readonly AlarmView[]) => Promise<void>;
}

/**
 * Rows are read without a lock, published, then deleted by id, so that no transaction is open during a call to Redis.
 * Two relays at once, or a failure between, publish a view twice; a relay that lags may publish an older version behind a
 * newer one. Consoles ignore versions that they have (design § 2, Feed), so both are harmless. What is never lost is the
 * newest: it has a row until it was published.
 */
export function startRelay({ pg, feed, clock, log, alsoRelay }: RelayParts): Relay {
  // Real time, also where the centre's clock stands still: it spares the machine, and no rule depends on it.
  const pace = new RunningClock();
  let stopped = false;
  let wanted = false;
  let running: Promise<void> | null = null;
  let endPause = (): void => undefined;
  let published = 0;
  let failures = 0;
  let outboxAgeMs = 0;
  const poll: Timer = clock.every(POLL_MS, poke);
  poke();
  return {
    poke,
    stats: () => ({ published, failures, outboxAgeMs }),
    async stop() {
      stopped = true;
      poll.cancel();
      endPause();
      await running;
    },
  };

  function poke(): void {
    wanted = true;
    if (stopped || running !== null) return;
    running = run().finally(() => {
      running = null;
      // A poke between the last look and here.
      if (wanted) poke();
    });
  }

  async function run(): Promise<void> {
    let retry = RETRY_MS;
    while (wanted && !stopped) {
      wanted = false;
      try {
        const beganAt = pace.monotonic();
        const full = await relayBatch();
        if (full) wanted = true;
        else await pause(PACE_MS - (pace.monotonic() - beganAt), pace);
        retry = RETRY_MS;
      } catch (error) {
        failures += 1;
        // Once when it begins; then a line for every doubling would say nothing new.
        if (retry === RETRY_MS) log.warn('relay-failed', { error });
        await pause(retry);
        retry = Math.min(RETRY_AT_MOST_MS, retry * 2);
        wanted = true;
      }
    }
  }

  /** Ended early by `stop`. */
  async function pause(span: Milliseconds, by: Clock = clock): Promise<void> {
    if (span <= 0 || stopped) return;
    await new Promise<void>((resolve) => {
      endPause = resolve;
      by.after(span, resolve);
    });
  }

  /** True when there may be more. */
  async function relayBatch(): Promise<boolean> {
    const startedAt = clock.monotonic();
    const rows = await pg.pool.query<OutboxRow>({ name: 'take-outbox', text: TAKE, values: [BATCH] });
    const first = rows.rows[0];
    outboxAgeMs = first === undefined ? 0 : Math.max(0, clock.now() - first.oldest_at.getTime());
    if (first === undefined) return false;
    const views = viewsOfRows(
      rows.rows.flatMap(({ alarm, fold }) => (fold === null ? [] : [{ number: alarm, fold }])),
      log,
    );
    if (clock.monotonic() - startedAt > STALE_MS) return true;
    reached('outbox-read');
    await feed.publish(views);
    reached('published');
    await pg.pool.query({ name: 'published', text: PUBLISHED, values: [rows.rows.map((row) => row.id)] });
    published += views.length;
    await alsoRelay?.(views).catch((error: unknown) => log.warn('relay-hook-failed', { error }));
    return rows.rows.length === BATCH;
  }
}

interface OutboxRow {
  readonly id: string;
  readonly alarm: string;
  /** Of the oldest row that is there, taken or not. */
  readonly oldest_at: Date;
  /** With the last of an alarm's rows; null with the others, and when there is no such alarm. */
  readonly fold: Alarm | null;
}

/** Rows and alarms are of one snapshot: what a row announces is committed, so its alarm has at least that version (0011-relay). */
const TAKE = 'select id, alarm, oldest_at, fold from take_outbox($1)';
const PUBLISHED = 'delete from outbox where id = any($1::bigint[])';
