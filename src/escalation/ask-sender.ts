/** Sends one ask: takes its lease, calls the notifier with no transaction open, keeps its answer, tells the desk, closes the row. */
import { createHash } from 'node:crypto';
import type { AskFailure } from '../alarms/command.ts';
import type { Desk } from '../alarms/desk.ts';
import { type Clock, type Instant, type Milliseconds, sleep } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { reached } from '../base/points.ts';
import type { AskLedger, AskOutcome, LeasedAsk, Notice, NoticeResult, Notifier, SentAsk, Taken } from './ask.ts';
import { type Escalation, knownZone } from './ladder.ts';

/** Longer than a notifier may take; a worker that dies holds an ask for no longer than this. */
const LEASE_MS: Milliseconds = 10_000;
/** Between two tries to write down what a notifier answered, while PostgreSQL is away. */
const RECORD_AGAIN_MS: Milliseconds = 100;
/** Before the second, third … try; then the ask has failed and the ladder goes on without it. */
const BACKOFF_MS: readonly Milliseconds[] = [1000, 2000, 4000, 8000, 15_000];
const NONE_TAKEN: ReadonlyMap<string, Taken> = new Map();
/** Tries that left no result (a crash each time, a desk that throws): beyond this nobody is bothered again. */
const MOST_TRIES = BACKOFF_MS.length + 4;

export interface AskSenderParts {
  readonly ledger: AskLedger;
  readonly desk: Desk;
  readonly notifier: Notifier;
  readonly zones: Escalation['zones'];
  /** Where the page of an alarm is found. */
  readonly linkTo: (alarm: string) => string;
  readonly clock: Clock;
  readonly log: Log;
  /** Told how long after it was due an ask was first tried. */
  readonly observe?: ((lateMs: Milliseconds, ask: LeasedAsk) => void) | undefined;
  /** Called when another ask has become due at once. */
  readonly hastened: () => void;
  /** The process ends: nothing is waited for any more. */
  readonly ending: () => boolean;
}

/** @returns sends the ask of that id, when it is due and nobody else has it. @throws CentreError store-away */
export function createAskSender(parts: AskSenderParts): (id: string) => Promise<void> {
  const { ledger, notifier, clock, log, observe } = parts;
  /** Being sent, or sent and not yet written down: PostgreSQL, back after their lease, would give them out again. */
  const inHand = new Set<string>();
  return async (id) => {
    if (inHand.has(id)) return;
    const now = clock.now();
    // A gathered message finds what another one has sent and not written down yet, when that took longer than the lease.
    const asks = (await ledger.lease(id, now, now + LEASE_MS)).filter((ask) => !inHand.has(ask.id));
    for (const ask of asks) inHand.add(ask.id);
    try {
      const taken = asks.some(({ attempt }) => attempt > 1) ? await ledger.taken(asks.map((ask) => ask.id)) : NONE_TAKEN;
      const fresh = asks.filter((ask) => !taken.has(ask.id));
      // The message that fresh ones would go with may have gone already: then they wait for their person's next.
      const gone = taken.has(id);
      await Promise.all([
        ...asks.map((ask) => recordTaken(ask, taken.get(ask.id))),
        gone
          ? ledger.again(
              fresh.map((ask) => ask.id),
              now,
            )
          : sendAll(fresh, now),
      ]);
    } finally {
      for (const ask of asks) inHand.delete(ask.id);
    }
  };

  async function sendAll(asks: readonly LeasedAsk[], now: Instant): Promise<void> {
    const [lead] = asks;
    if (lead === undefined) return;
    if (lead.attempt === 1) observe?.(Math.max(0, now - lead.dueAt), lead);
    const exhausted: NoticeResult = { result: 'failed', why: 'gateway-away', retry: false };
    const result = lead.attempt > MOST_TRIES ? exhausted : await tried(lead, asks);
    const backoff = BACKOFF_MS[lead.attempt - 1];
    if (result.result === 'failed' && result.retry && backoff !== undefined) {
      log.warn('ask-put-off', { ask: lead.id, alarm: lead.alarm, channel: lead.channel, code: result.why, attempt: lead.attempt });
      await ledger.again(
        asks.map((ask) => ask.id),
        clock.now() + backoff,
      );
      return;
    }
    if (result.result === 'sent') {
      const { providerId } = result;
      await untilBack(() =>
        ledger.keepTaken(
          asks.map((ask) => ask.id),
          providerId,
        ),
      );
      reached('answer-kept');
    }
    // All at once: one after the other, those of a large gathered message would outlast their lease.
    await Promise.all(asks.map((ask) => record(ask, result)));
  }

  async function recordTaken(ask: LeasedAsk, taken: Taken | undefined): Promise<void> {
    if (taken === undefined) return;
    const { providerId, told } = taken;
    if (told) await untilBack(() => closeRow(parts, ask, 'sent', null, providerId));
    else await record(ask, { result: 'sent', providerId });
  }

  async function record(ask: LeasedAsk, result: NoticeResult): Promise<void> {
    const why = result.result === 'failed' ? result.why : null;
    const providerId = result.result === 'sent' ? result.providerId : null;
    // Each for itself: what the desk has stands in the timeline once, however often the row is tried.
    await untilBack(() => tellDesk(parts, ask, result.result, why));
    await untilBack(() => closeRow(parts, ask, result.result, why, providerId));
    if (result.result !== 'failed') return;
    await untilBack(() => ledger.hasten(ask.alarm, ask.account, clock.now()));
    parts.hastened();
  }

  /** Until it is written down: whoever gave up would have the person told once more when PostgreSQL is back. */
  async function untilBack(write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (!(error instanceof CentreError && error.kind === 'store') || parts.ending()) throw error;
        await sleep(clock, RECORD_AGAIN_MS);
      }
    }
  }

  async function tried(lead: LeasedAsk, asks: readonly LeasedAsk[]): Promise<NoticeResult> {
    try {
      const result = await notifier.notify(noticeOf(lead, asks, parts));
      if (result.result !== 'failed') reached('provider-answered');
      return result;
    } catch (error) {
      log.error('notifier-failed', { ask: lead.id, channel: lead.channel, error });
      return { result: 'failed', why: 'gateway-away', retry: true };
    }
  }
}

/** The notice for a lease; what stands in it comes from the configuration and the alarm's number, never from the register. */
export function noticeOf(lead: LeasedAsk, asks: readonly LeasedAsk[], { zones, linkTo }: Pick<AskSenderParts, 'zones' | 'linkTo'>): Notice {
  const numbers = [...new Set(asks.map(({ alarm }) => alarm))];
  return {
    reference: referenceOf(asks),
    account: lead.account,
    phone: lead.phone,
    channel: lead.channel,
    number: lead.alarm,
    zone: knownZone({ zones }, lead.municipality, lead.zone) ?? '',
    priority: lead.priority,
    link: linkTo(lead.alarm),
    others: numbers.filter((number) => number !== lead.alarm),
  };
}

/** A gathered message that gathers something else on its next try is another message: the gateway must not swallow it. */
function referenceOf(asks: readonly LeasedAsk[]): string {
  const [only, ...others] = asks.map(({ id }) => id).toSorted();
  if (only === undefined || others.length === 0) return only ?? '';
  return createHash('sha256')
    .update([only, ...others].join(' '))
    .digest('hex')
    .slice(0, 32);
}

/**
 * Tells the desk how an ask went, then closes its row. In this order: after a crash between the two the row is taken up again;
 * the other way round nobody would ever read that it was sent.
 */
export async function recordAsk(
  parts: RecordParts,
  ask: AskOfAlarm,
  outcome: AskOutcome,
  why: AskFailure | null,
  providerId: string | null,
): Promise<void> {
  await tellDesk(parts, ask, outcome, why);
  await closeRow(parts, ask, outcome, why, providerId);
}

type RecordParts = Pick<AskSenderParts, 'ledger' | 'desk' | 'clock' | 'log'>;
type AskOfAlarm = Pick<SentAsk, 'id' | 'alarm' | 'account' | 'channel'>;

async function tellDesk(
  { desk, log }: RecordParts,
  { id, alarm, account, channel }: AskOfAlarm,
  outcome: AskOutcome,
  why: AskFailure | null,
): Promise<void> {
  try {
    const answer = await desk.order({
      number: alarm,
      command: { command: 'record-ask', ask: id, account, channel, result: outcome, why },
      actor: { type: 'centre', part: 'ask' },
      version: null,
      doneAt: null,
      key: null,
    });
    if ('refused' in answer) log.warn('ask-not-recorded', { ask: id, alarm, code: answer.refused });
  } catch (error) {
    if (error instanceof CentreError && error.kind === 'store') throw error;
    // A bug about one alarm: its timeline lacks a line, but the person is not asked again for it.
    log.error('ask-not-recorded', { ask: id, alarm, error });
  }
}

async function closeRow(
  { ledger, clock, log }: RecordParts,
  { id, alarm, channel }: AskOfAlarm,
  outcome: AskOutcome,
  why: AskFailure | null,
  providerId: string | null,
): Promise<void> {
  await ledger.record(id, outcome, providerId, clock.now());
  log.info('ask-recorded', { ask: id, alarm, channel, code: why ?? outcome });
}
