/** The auditor: looks every second whether anybody is forgotten, orders what mends it, and says so in the log and in its report. */
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type AuditLook, type Suspicion, type Verdict, overdueIn, verdictOn } from './auditor-checks.ts';
import { createFindings } from './auditor-findings.ts';
import type { AuditStore, Mender } from './auditor-store.ts';
import { createWalk } from './auditor-walk.ts';
import type { WatchReports } from './report.ts';

const LOOK_EVERY_MS: Milliseconds = 1000;
/** After such a pause (a store away, a process stopped, a start) what is late may be so because nobody could act. */
const BLIND_MS: Milliseconds = 3000;
/** More at once would take from those whose work it is what they need to do it. */
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
  const inHand = new Map<string, Promise<void>>();
  let seeingSince: Instant | null = null;
  let sawAt: Milliseconds | null = null;
  let running: Promise<void> | null = null;
  let away = false;
  let stopped = false;
  const timer = clock.every(LOOK_EVERY_MS, begin);
  begin();
  return {
    async stop() {
      stopped = true;
      timer.cancel();
      await running;
      await Promise.all(inHand.values());
    },
  };

  function begin(): void {
    if (running !== null || stopped) return;
    running = turn().finally(() => {
      running = null;
    });
  }

  async function turn(): Promise<void> {
    try {
      const startedAt = clock.monotonic();
      const now = clock.now();
      if (seeingSince === null || sawAt === null || startedAt - sawAt > BLIND_MS) {
        seeingSince = now;
        findings.forget();
      }
      const look = await store.look(now);
      const verdicts = await examined(look, now);
      sawAt = startedAt;
      for (const suspicion of findings.take([...suspicionsOf(verdicts), ...overdueIn(look, now, seeingSince)])) {
        mend(suspicion, look, verdicts);
      }
      const { fine, detail } = findings.report();
      const tookMs = Math.round(clock.monotonic() - startedAt);
      await reports.write({ name: 'audit', at: clock.now(), fine, detail: { ...detail, throughAt: walk.throughAt(), tookMs } });
      if (away) log.info('audit-back');
      away = false;
    } catch (error) {
      if (!(error instanceof CentreError && error.kind === 'store')) log.error('audit-failed', { error });
      else if (!away) log.warn('audit-away', { error });
      away = true;
    }
  }

  /** The alarms that something is said of already, whatever their place in the walk, and those whose turn it is. */
  async function examined(look: AuditLook, now: Instant): Promise<ReadonlyMap<string, Verdict>> {
    const suspected = [...look.withoutDeadline, ...look.overdue.map(({ alarm }) => alarm.number), ...findings.alarms()];
    const numbers = [...new Set([...suspected, ...(await walk.next(now))])];
    return new Map((await store.examine(numbers)).map((one) => [one.number, verdictOn(one)]));
  }

  function mend(suspicion: Suspicion, look: AuditLook, verdicts: ReadonlyMap<string, Verdict>): void {
    const key = suspicion.alarm ?? suspicion.code;
    if (inHand.has(key) || inHand.size >= MENDED_AT_ONCE || stopped) return;
    const remedy = remedyFor(suspicion, look, verdicts);
    if (remedy === 'wait') return;
    if (remedy === null) return findings.needsPerson(suspicion);
    const doing = remedy()
      .catch((error: unknown) => {
        log.warn('audit-not-mended', { code: suspicion.code, error, ...(suspicion.alarm === null ? {} : { alarm: suspicion.alarm }) });
        return false;
      })
      .then((done) => findings.tried(suspicion, done))
      .finally(() => inHand.delete(key));
    inHand.set(key, doing);
  }

  /** Null: nobody but a person, or the part whose work it is, can do it. `wait`: something else must be mended before. */
  function remedyFor(
    { code, alarm: number, about }: Suspicion,
    look: AuditLook,
    verdicts: ReadonlyMap<string, Verdict>,
  ): (() => Promise<boolean>) | 'wait' | null {
    const verdict = verdicts.get(number ?? '');
    switch (code) {
      case 'no-deadline':
      case 'row-differs':
        return verdict?.verdict === 'differs' ? () => mender.refold(number ?? '', verdict.what) : 'wait';
      case 'deadline-overdue': {
        const due = look.overdue.find(({ alarm }) => alarm.number === number);
        // What its row says cannot be trusted before the row is what its timeline says.
        if (due === undefined || verdict?.verdict !== 'agrees') return 'wait';
        return () => mender.passDeadline(due.alarm, due.deadline);
      }
      case 'claim-abandoned':
        return verdict?.verdict === 'differs' ? 'wait' : () => mender.returnClaim(number ?? '', about);
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

function suspicionsOf(verdicts: ReadonlyMap<string, Verdict>): Suspicion[] {
  return [...verdicts].flatMap(([alarm, verdict]): Suspicion[] => {
    if (verdict.verdict === 'agrees') return [];
    if (verdict.verdict === 'broken') return [{ code: 'timeline-broken', alarm, about: verdict.why }];
    return [{ code: verdict.what, alarm, about: verdict.where.join(' ') }];
  });
}
