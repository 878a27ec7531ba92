/** Keeps asks going: fills the queues from the rows, sends straight from its row what a queue forgot, and asks for reports. */
import type { Instant, Milliseconds } from '../base/clock.ts';
import { type AskBacklog, type AskQueue, type DeliveryReports, type SentAsk, type SentAsks, URGENCIES, type Urgency } from './ask.ts';
import { type AskSenderParts, createAskSender, recordAsk } from './ask-sender.ts';

/** Asks that fall due within this time are put into the queue with their delay. */
const AHEAD_MS: Milliseconds = 1000;
/** An ask still pending this long after it was due is sent straight from its row (design § 2, Outbox). */
const OVERDUE_MS: Milliseconds = 2000;
/** A queue that refused an ask within this time brings nobody anything: what is due is sent straight, without that wait. */
const REFUSED_MS: Milliseconds = 1000;
const LOOK_EVERY_MS: Milliseconds = 250;
const REPORTS_EVERY_MS: Milliseconds = 1000;
/** Put into the queue again after this time, in case that Redis has forgotten it; adding the same twice does nothing. */
const ADD_AGAIN_MS: Milliseconds = 1000;
/**
 * So many of an urgency are read at once, and so many may be in its queue by us: beyond that they stay in their rows, where they
 * are safe, until some were taken. It bounds our memory and Redis', and keeps what is hastened from standing behind thousands.
 */
const MOST_QUEUED = 500;
/** While more than this are in the queue, it is filled up at the next turn, not at each commit. */
const ENOUGH_QUEUED = 200;
/** When PostgreSQL is back, whoever has sent something writes it down first: an ask whose lease ran out meanwhile may be such a one. */
const AFTER_AWAY_MS: Milliseconds = 500;
const STRAIGHT_AT_ONCE = 32;
const REPORTS_AT_ONCE = 32;

export interface AsksParts extends Omit<AskSenderParts, 'hastened' | 'ending'> {
  readonly backlog: AskBacklog;
  readonly sent: SentAsks;
  /** Opens the queues, with what their workers do with the id of an ask. */
  readonly openQueue: (work: (ask: string) => Promise<void>) => AskQueue;
  /** Null: nobody reports deliveries. */
  readonly reports: DeliveryReports | null;
}

export interface Asks {
  /** Something was committed: asks may be waiting. */
  poke(): void;
  /** Takes a delivery report that a gateway sent by itself; false when no message of ours is known by that id. */
  report(providerId: string, status: 'delivered' | 'failed'): Promise<boolean>;
  /** Asks that were sent straight from their rows since the start, because no queue had brought them. */
  stats(): { readonly straight: number; readonly failures: number };
  stop(): Promise<void>;
}

export function startAsks(parts: AsksParts): Asks {
  const { backlog, sent, reports, clock, log } = parts;
  const send = createAskSender({ ...parts, hastened: () => fill.poke(), ending: () => ending });
  let ending = false;
  /** What is in the queues by us, and since when, until it is taken: by urgency, then by the ask. */
  const queued = new Map<Urgency, Map<string, { readonly tryAt: Instant; readonly at: Instant }>>(URGENCIES.map((one) => [one, new Map()]));
  const queue = parts.openQueue(async (id) => {
    for (const asks of queued.values()) if (asks.delete(id)) break;
    await send(id);
  });
  let filledAt: Instant = Number.NEGATIVE_INFINITY;
  const straightInHand = new Map<string, Promise<void>>();
  let straight = 0;
  let failures = 0;
  let awayAt: Instant = Number.NEGATIVE_INFINITY;
  let refusedAt: Instant = Number.NEGATIVE_INFINITY;

  const fill = turns('ask-queue-not-filled', LOOK_EVERY_MS, async () => {
    const now = clock.now();
    const turn = now - filledAt >= LOOK_EVERY_MS;
    if (turn) filledAt = now;
    for (const [urgency, asks] of queued) {
      for (const [id, { at }] of asks) if (now - at >= ADD_AGAIN_MS) asks.delete(id);
      if (asks.size > ENOUGH_QUEUED && !turn) continue;
      const waiting = await fromRows(backlog.soon(urgency, now + AHEAD_MS, MOST_QUEUED));
      const fresh = waiting.filter(({ id, tryAt }) => asks.get(id)?.tryAt !== tryAt).slice(0, MOST_QUEUED - asks.size);
      if (fresh.length === 0) continue;
      // Before they are added: one that is taken while its fellows are still being added is no longer there.
      for (const { id, tryAt } of fresh) asks.set(id, { tryAt, at: now });
      try {
        await queue.add(
          urgency,
          fresh.map(({ id, tryAt }) => ({ id, tryAt, delay: Math.max(0, tryAt - now) })),
        );
      } catch (error) {
        for (const { id } of fresh) asks.delete(id);
        refusedAt = clock.now();
        sendLate.poke();
        throw error;
      }
    }
  });

  const sendLate = turns('overdue-asks-not-read', LOOK_EVERY_MS, async () => {
    const free = STRAIGHT_AT_ONCE - straightInHand.size;
    if (free <= 0) return;
    const now = clock.now();
    const patience = now - refusedAt < REFUSED_MS ? 0 : OVERDUE_MS;
    const late = await fromRows(backlog.overdue(now - patience, STRAIGHT_AT_ONCE * 2));
    for (const { id } of late.filter((ask) => !straightInHand.has(ask.id)).slice(0, free)) {
      straight += 1;
      const doing = send(id)
        .catch((error: unknown) => log.warn('ask-not-sent', { ask: id, error }))
        .finally(() => {
          straightInHand.delete(id);
          // With more behind it, a place that has become free is not left empty until the next turn.
          if (late.length === STRAIGHT_AT_ONCE * 2) sendLate.poke();
        });
      straightInHand.set(id, doing);
    }
  });

  const fetchReports =
    reports === null
      ? null
      : turns('reports-not-fetched', REPORTS_EVERY_MS, async () => {
          const waiting = await sent.unreported(clock.now(), REPORTS_AT_ONCE);
          const messages = new Set(waiting.map(({ providerId }) => providerId));
          await Promise.all(
            [...messages].map(async (message) => {
              const status = await reports.statusOf(message);
              if (status !== 'delivered' && status !== 'failed') return;
              await settle(
                waiting.filter(({ providerId }) => providerId === message),
                status,
              );
            }),
          );
        });

  return {
    poke: () => fill.poke(),
    async report(providerId, status) {
      const asks = await sent.byProvider(providerId, clock.now());
      await settle(asks, status);
      return asks.length > 0;
    },
    stats: () => ({ straight, failures }),
    async stop() {
      ending = true;
      await Promise.all([fill.stop(), sendLate.stop(), fetchReports?.stop()]);
      await queue.stop();
      await Promise.all(straightInHand.values());
    },
  };

  /** Nothing when PostgreSQL was away a moment ago: the next turn takes it. */
  async function fromRows<T>(reading: Promise<readonly T[]>): Promise<readonly T[]> {
    try {
      const rows = await reading;
      return clock.now() - awayAt < AFTER_AWAY_MS ? [] : rows;
    } catch (error) {
      awayAt = clock.now();
      throw error;
    }
  }

  async function settle(asks: readonly SentAsk[], status: 'delivered' | 'failed'): Promise<void> {
    await Promise.all(asks.map((ask) => recordAsk(parts, ask, status, status === 'failed' ? 'not-delivered' : null, null)));
  }

  /** One after the other, never two at once; a failure is logged when it begins and tried again at the next turn. */
  function turns(failed: string, every: Milliseconds, work: () => Promise<void>): { poke(): void; stop(): Promise<void> } {
    let running: Promise<void> | null = null;
    let wanted = false;
    let failing = false;
    let stopped = false;
    const timer = clock.every(every, poke);
    return {
      poke,
      async stop() {
        stopped = true;
        timer.cancel();
        await running;
      },
    };

    function poke(): void {
      wanted = true;
      if (stopped || running !== null) return;
      wanted = false;
      running = turn().finally(() => {
        running = null;
        if (wanted) poke();
      });
    }

    async function turn(): Promise<void> {
      try {
        await work();
        failing = false;
      } catch (error) {
        failures += 1;
        if (!failing) log.warn(failed, { error });
        failing = true;
      }
    }
  }
}
