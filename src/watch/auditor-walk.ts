/** The walk: which alarms are examined next, so that each look costs little and in time all are seen. */
import type { Instant, Milliseconds } from '../base/clock.ts';
import type { AuditStore, Candidate, Places } from './auditor-store.ts';

/** An alarm's instant of change is taken before its commit: so far back each look begins. */
const OVERLAP_MS: Milliseconds = 5000;
/** Timeline entries in one look: some milliseconds of work. One alarm that is longer is read all the same, alone. */
const ENTRIES_AT_ONCE = 4000;

export interface Walk {
  /** Numbers to examine now. @throws CentreError store-away */
  next(now: Instant): Promise<readonly string[]>;
  /** When the walk had last been through all open alarms. */
  throughAt(): Instant | null;
}

export function createWalk(store: Pick<AuditStore, 'candidates'>): Walk {
  const start: Omit<Places, 'changedSince'> = { openAfter: '0', closedAfter: '0' };
  let places = start;
  let lookedAt: Instant | null = null;
  let throughAt: Instant | null = null;

  return {
    throughAt: () => throughAt,
    async next(now) {
      const { changed, open, closed } = await store.candidates({ ...places, changedSince: (lookedAt ?? now) - OVERLAP_MS });
      lookedAt = now;
      const walked = within(ENTRIES_AT_ONCE, open);
      const sampled = within(ENTRIES_AT_ONCE / 4, closed);
      if (open.length === 0) throughAt = now;
      places = { openAfter: walked.at(-1)?.number ?? start.openAfter, closedAfter: sampled.at(-1)?.number ?? start.closedAfter };
      const all = [...within(ENTRIES_AT_ONCE, changed), ...walked, ...sampled];
      return [...new Set(all.map(({ number }) => number))];
    },
  };
}

/** As many of the first as have so many entries together, but at least one. */
function within(entries: number, candidates: readonly Candidate[]): readonly Candidate[] {
  let sum = 0;
  const over = candidates.findIndex(({ version }, index) => {
    sum += version;
    return sum > entries && index > 0;
  });
  return over === -1 ? candidates : candidates.slice(0, over);
}
