/** The auditor: looks every second whether anybody is forgotten, orders what mends it, and says so in the log and in its report. */
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type AuditLook, type Suspicion, overdueIn } from './auditor-checks.ts';
import { createFindings } from './auditor-findings.ts';
import type { AuditStore, Mender } from './auditor-store.ts';
import { type Examined, verdictOn } from './auditor-verdict.ts';
import { createWalk } from './auditor-walk.ts';
import type { AuditPart, WatchReports } from './report.ts';

const LOOK_EVERY_MS: Milliseconds = 1000;
/** After such a pause (a store away, a process stopped, a start) what is late may be so because nobody could act. */
const BLIND_MS: Milliseconds = 3000;
/** A walk that failed is begun again after this: it may have kept the look waiting until it was cut off. */
const WALK_PAUSE_MS: Milliseconds = 10_000;
/** Alarms that something is said of already and that are examined again in one look; all have their turn. */
const EXAMINED_AGAIN = 25;
/** More alarms at once would take from those whose work it is what they need to do it. */
const MENDED_AT_ONCE = 10;

export interface AuditorParts {
  readonly store: AuditStore;
  readonly mender: Mender;
  readonly reports: Pick<WatchReports, 'write'>;
  readonly clock: Clock;
  readonly log: Log;
}

export interface Auditor {
  /** Ends after what is in hand. */
  stop(): Promise<void>;
}

/**
 * Any number of auditors may look at the same tables: each repair is checked again under the alarm's lock, and of two the
 * second finds nothing left to do.
 */
export function startAuditor({ store, mender, reports, clock, log }: AuditorParts): Auditor {
  const findings = createFindings({ clock, log });
  const walk = createWalk(store);
  const inHand = new Map<string, { readonly doing: Promise<void>; readonly ofAlarm: boolean }>();
  let seeingSince: Instant | null = null;
  let sawAt: Milliseconds | null = null;
  let running: Promise<void> | null = null;
  /** The line that was written when it began to fail; null: the last look went well. */
  let failing: 'audit-away' | 'audit-failed' | null = null;
  let walkFailed = false;
  let walkAgainAt: Milliseconds = 0;
  let stopped = false;
  const timer = clock.every(LOOK_EVERY_MS, begin);
  begin();
  return {
    async stop() {
      stopped = true;
      timer.cancel();
      await running;
      await Promise.all([...inHand.values()].map(({ doing }) => doing));
    },
  };

  function begin(): void {
    if (running !== null || stopped) return;
    running = turn().finally(() => {
      running = null;
    });
  }

  /** What is late or forgotten comes first, and depends on nothing else; the timelines are read afterwards. */
  async function turn(): Promise<void> {
    const startedAt = clock.monotonic();
    try {
      const now = clock.now();
      if (seeingSince === null || sawAt === null || startedAt - sawAt > BLIND_MS) {
        seeingSince = now;
        findings.forget();
      }
      const look = await store.look(now);
      for (const suspicion of findings.take('tables', overdueIn(look, now, seeingSince))) mend(suspicion, look);
      await walked(look, now);
      // What the walk took, or a report that could not be written, is no time in which nobody could act.
      sawAt = clock.monotonic();
      await report(startedAt, []);
      if (failing !== null) log.info('audit-back');
      failing = null;
    } catch (error) {
      await failed(startedAt, error);
    }
  }

  /** Said when it begins; the report says it too, where that can be written, and else grows old, which says the same. */
  async function failed(startedAt: Milliseconds, error: unknown): Promise<void> {
    const event = error instanceof CentreError && error.kind === 'store' ? 'audit-away' : 'audit-failed';
    if (failing !== event) log[event === 'audit-away' ? 'warn' : 'error'](event, { error });
    failing = event;
    await report(startedAt, ['look']).catch((fault: unknown) => log.debug('audit-not-told', { error: fault }));
  }

  async function report(startedAt: Milliseconds, failures: readonly AuditPart[]): Promise<void> {
    const { fine, detail } = findings.report();
    const notDone: readonly AuditPart[] = [...failures, ...(walkFailed ? (['walk'] as const) : [])];
    const tookMs = Math.round(clock.monotonic() - startedAt);
    await reports.write({
      name: 'audit',
      at: clock.now(),
      fine: fine && notDone.length === 0,
      detail: { ...detail, failed: notDone, tooLong: walk.tooLong(), throughAt: walk.throughAt(), tookMs },
    });
  }

  /** Rows against their timelines: of the alarms that something is said of, and of those whose turn it is. Never rejects. */
  async function walked(look: AuditLook, now: Instant): Promise<void> {
    if (walkFailed && clock.monotonic() < walkAgainAt) return;
    const late = [...look.withoutDeadline, ...look.overdue.map(({ alarm }) => alarm.number)];
    try {
      const { numbers, seen } = await walk.next(now, [...new Set([...findings.alarms().slice(0, EXAMINED_AGAIN), ...late])]);
      const suspicions = (await store.examine(numbers)).flatMap(suspicionsOf);
      for (const suspicion of findings.take('timelines', suspicions, seen)) mend(suspicion, look);
      if (walkFailed) log.info('audit-walk-back');
      walkFailed = false;
    } catch (error) {
      if (!walkFailed) log.error('audit-walk-failed', { error });
      walkFailed = true;
      walkAgainAt = clock.monotonic() + WALK_PAUSE_MS;
    }
  }

  function mend(suspicion: Suspicion, look: AuditLook): void {
    const { code, alarm } = suspicion;
    const key = alarm ?? code;
    // What concerns the centre as a whole has a place beside any number of alarms.
    const alarmsInHand = [...inHand.values()].filter(({ ofAlarm }) => ofAlarm).length;
    if (inHand.has(key) || (alarm !== null && alarmsInHand >= MENDED_AT_ONCE) || stopped) return;
    const remedy = remedyFor(suspicion, look);
    if (remedy === 'wait') return;
    if (remedy === null) return findings.needsPerson(suspicion);
    const doing = remedy()
      .catch((error: unknown) => {
        log.warn('audit-not-mended', { code, error, ...(alarm === null ? {} : { alarm }) });
        return false;
      })
      .then((done) => findings.tried(suspicion, done))
      .finally(() => inHand.delete(key));
    inHand.set(key, { doing, ofAlarm: alarm !== null });
  }

  /** Null: nobody but a person, or the part whose work it is, can do it. `wait`: something else must be mended before. */
  function remedyFor({ code, alarm, about }: Suspicion, look: AuditLook): (() => Promise<boolean>) | 'wait' | null {
    const number = alarm ?? '';
    switch (code) {
      case 'no-deadline':
      case 'row-differs':
        return () => mender.refold(number, code);
      case 'deadline-overdue': {
        const due = look.overdue.find((one) => one.alarm.number === number);
        // What its row says cannot be trusted before the row is what its timeline says; where nobody can tell, it goes on as it is.
        if (due === undefined || (findings.isMending(number) && !walkFailed)) return 'wait';
        return () => mender.passDeadline(due.alarm, due.deadline);
      }
      case 'claim-abandoned':
        return findings.isMending(number) && !walkFailed ? 'wait' : () => mender.returnClaim(number, about);
      case 'outbox-old':
        return () => mender.relay();
      case 'held-overdue':
        return () => mender.showHeld();
      case 'ask-overdue':
      case 'timeline-broken':
        return null;
    }
  }
}

function suspicionsOf(one: Examined): Suspicion[] {
  const { number: alarm } = one;
  const verdict = verdictOn(one);
  if (verdict.verdict === 'broken') return [{ code: 'timeline-broken', alarm, about: verdict.why }];
  if (verdict.verdict !== 'differs') return [];
  // One finding, whether the look at the tables or this one saw it first.
  return [{ code: verdict.what, alarm, about: verdict.what === 'no-deadline' ? '' : verdict.where.join(' ') }];
}
