/** What the auditor has found: which suspicions have stood long enough, what was tried about each and when again, said once each. */
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { minutes } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { FINDINGS, type FindingCode, LOOKS, type Suspicion } from './auditor-checks.ts';

const FIRST_PAUSE_MS: Milliseconds = 2000;
const LONGEST_PAUSE_MS: Milliseconds = minutes(1);
/** So many tries in vain, and a person must look. */
const TRIES = 4;
/** A row that differs again and again is broken by something: it is not mended for ever. */
const MENDED_AT_MOST = 3;
const MENDED_WITHIN: Milliseconds = minutes(60);
/** The report is not fine for so long after something was found, though it was mended: who looks seldom sees it too. */
const SAID_FOR_MS: Milliseconds = minutes(1);
/** Lines for one kind of finding in one look; what is beyond is in the count. */
const LINES_AT_ONCE = 5;
const SHOWN = 20;

/** Where a suspicion comes from: what every look reads, or the walk over the timelines, which may lag or fail by itself. */
export type LookedAt = 'tables' | 'timelines';

interface Standing {
  readonly suspicion: Suspicion;
  readonly from: Set<LookedAt>;
  looks: number;
  found: boolean;
  tries: number;
  nextTryAt: Instant;
  person: boolean;
}

export interface Findings {
  /**
   * Takes all suspicions of one look at the tables or the timelines: what only that had shown, and shows no more, is over.
   * @param seen of which alarms it can tell; all by default
   * @returns those of them that are found and to be mended now, in their order
   */
  take(at: LookedAt, suspicions: readonly Suspicion[], seen?: ReadonlySet<string>): readonly Suspicion[];
  /** A try to mend it has ended. `done` false: it was refused or failed; it is tried again later, if it still stands then. */
  tried(suspicion: Suspicion, done: boolean): void;
  /** Nobody but a person can mend it. */
  needsPerson(suspicion: Suspicion): void;
  /** Alarms that something stands about, those first that were not looked at for longest. */
  alarms(): readonly string[];
  /** Whether the alarm's row is not what it should be, and that is still to be mended by the auditor. */
  isMending(alarm: string): boolean;
  /** Nothing is known of the time since the last look: every suspicion begins anew. */
  forget(): void;
  report(): { readonly fine: boolean; readonly detail: Readonly<Record<string, unknown>> };
}

const keyOf = ({ code, alarm, about }: Suspicion): string => `${code} ${alarm ?? ''} ${about}`;
const zeros = (): Record<FindingCode, number> => Object.fromEntries(FINDINGS.map((code) => [code, 0])) as Record<FindingCode, number>;

export function createFindings({ clock, log }: { clock: Clock; log: Log }): Findings {
  const standing = new Map<string, Standing>();
  const mendedAt = new Map<string, Instant[]>();
  const found = zeros();
  const mended = zeros();
  let lastFoundAt: Instant | null = null;

  return {
    take(at, suspicions, seen) {
      const now = clock.now();
      const keys = new Set(suspicions.map(keyOf));
      for (const [key, { suspicion, from, found: was }] of standing) {
        if (keys.has(key) || (seen !== undefined && !seen.has(suspicion.alarm ?? ''))) continue;
        if (!from.delete(at) || from.size > 0) continue;
        standing.delete(key);
        if (was) log.info('audit-finding-over', { code: suspicion.code, ...ofAlarm(suspicion) });
      }
      const taken = suspicions.map((suspicion) => {
        const key = keyOf(suspicion);
        const stands = standing.get(key) ?? { suspicion, from: new Set(), looks: 0, found: false, tries: 0, nextTryAt: now, person: false };
        stands.from.add(at);
        stands.looks += 1;
        // To the end: who was not looked at for longest comes first.
        standing.delete(key);
        standing.set(key, stands);
        return stands;
      });
      say(now);
      for (const [alarm, times] of mendedAt) if ((times.at(-1) ?? 0) < now - MENDED_WITHIN) mendedAt.delete(alarm);
      const due = taken.filter((one) => one.found && one.nextTryAt <= now);
      const worn = due.filter(({ suspicion: { alarm } }) => (mendedAt.get(alarm ?? '')?.length ?? 0) >= MENDED_AT_MOST);
      for (const one of worn) toPerson(one);
      return due.filter((one) => !worn.includes(one)).map(({ suspicion }) => suspicion);
    },

    tried(suspicion, done) {
      const now = clock.now();
      if (done) {
        mended[suspicion.code] += 1;
        log.warn('audit-mended', { code: suspicion.code, ...ofAlarm(suspicion) });
        if (suspicion.alarm !== null && suspicion.code !== 'deadline-overdue') {
          const before = mendedAt.get(suspicion.alarm) ?? [];
          mendedAt.set(suspicion.alarm, [...before.filter((at) => at > now - MENDED_WITHIN), now]);
        }
      }
      const stands = standing.get(keyOf(suspicion));
      if (stands === undefined) return;
      stands.tries += 1;
      stands.nextTryAt = now + Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (stands.tries - 1));
      if (stands.tries >= TRIES) toPerson(stands);
    },

    needsPerson(suspicion) {
      const stands = standing.get(keyOf(suspicion));
      if (stands === undefined) return;
      stands.nextTryAt = Infinity;
      toPerson(stands);
    },

    alarms: () => [...new Set([...standing.values()].flatMap(({ suspicion: { alarm } }) => (alarm === null ? [] : [alarm])))],
    isMending: (alarm) =>
      [...standing.values()].some(
        ({ suspicion, person }) => suspicion.alarm === alarm && !person && ['no-deadline', 'row-differs'].includes(suspicion.code),
      ),
    forget: () => standing.clear(),

    report() {
      const all = [...standing.values()].filter((one) => one.found);
      const open = zeros();
      for (const { suspicion } of all) open[suspicion.code] += 1;
      const persons = all.filter(({ person }) => person).map(({ suspicion }) => ({ code: suspicion.code, alarm: suspicion.alarm }));
      const fine = all.length === 0 && (lastFoundAt === null || clock.now() - lastFoundAt > SAID_FOR_MS);
      return { fine, detail: { open, found, mended, persons: persons.slice(0, SHOWN) } };
    },
  };

  /** Each finding once, in the moment that it has stood long enough. */
  function say(now: Instant): void {
    const lines = new Map<FindingCode, number>();
    for (const stands of standing.values()) {
      const { code } = stands.suspicion;
      if (stands.found || stands.looks < LOOKS[code]) continue;
      stands.found = true;
      lastFoundAt = now;
      found[code] += 1;
      const line = (lines.get(code) ?? 0) + 1;
      lines.set(code, line);
      if (line <= LINES_AT_ONCE) log.error('audit-finding', { code, path: stands.suspicion.about, ...ofAlarm(stands.suspicion) });
    }
    for (const [code, count] of lines) if (count > LINES_AT_ONCE) log.error('audit-findings', { code, count });
  }

  function toPerson(stands: Standing): void {
    if (stands.person) return;
    stands.person = true;
    log.error('audit-needs-person', { code: stands.suspicion.code, ...ofAlarm(stands.suspicion) });
  }
}

const ofAlarm = ({ alarm }: Suspicion) => (alarm === null ? {} : { alarm });
