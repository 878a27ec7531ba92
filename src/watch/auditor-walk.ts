/** The walk: which alarms are examined next, so that each look costs little and in time all are seen. */
import type { Instant, Milliseconds } from '../base/clock.ts';
import type { AuditStore, Candidate } from './auditor-store.ts';
import { LONGEST_EXAMINED } from './auditor-verdict.ts';

/** An alarm's instant of change is taken before its commit: so far back each look begins. */
const OVERLAP_MS: Milliseconds = 5000;
/** Timeline entries in one look: some milliseconds of work. An alarm that has more, up to LONGEST_EXAMINED, is read alone. */
const ENTRIES_AT_ONCE = 4000;

/** What is examined in one look. */
export interface Stretch {
  readonly numbers: readonly string[];
  /** Of whom it can be said afterwards that nothing is wrong: those of `numbers`, and the suspected that are gone or too long. */
  readonly seen: ReadonlySet<string>;
}

export interface Walk {
  /** @param suspected numbers to examine whatever their place in the walk, as many of the first as fit @throws CentreError store-away */
  next(now: Instant, suspected: readonly string[]): Promise<Stretch>;
  /** When the walk had last been through all open alarms. */
  throughAt(): Instant | null;
  /** Open alarms with too long a timeline to be examined, met since it last went through all, or the time before. */
  tooLong(): number;
}

export function createWalk(store: Pick<AuditStore, 'candidates'>): Walk {
  const start = { openAfter: '0', closedAfter: '0' };
  let places = start;
  let lookedAt: Instant | null = null;
  let throughAt: Instant | null = null;
  let tooLong = 0;
  let tooLongBefore = 0;

  return {
    throughAt: () => throughAt,
    tooLong: () => Math.max(tooLong, tooLongBefore),
    async next(now, suspected) {
      const found = await store.candidates({ ...places, suspected, changedSince: (lookedAt ?? now) - OVERLAP_MS });
      lookedAt = now;
      const walked = within(ENTRIES_AT_ONCE, found.open);
      const sampled = within(ENTRIES_AT_ONCE / 4, found.closed);
      tooLong += walked.filter(isTooLong).length;
      if (found.open.length === 0) {
        throughAt = now;
        [tooLongBefore, tooLong] = [tooLong, 0];
      }
      places = { openAfter: walked.at(-1)?.number ?? start.openAfter, closedAfter: sampled.at(-1)?.number ?? start.closedAfter };
      const ofNumber = new Map(found.suspected.map((one) => [one.number, one]));
      const inOrder = suspected.flatMap((number) => ofNumber.get(number) ?? []);
      const first = within(ENTRIES_AT_ONCE, inOrder);
      const later = new Set(inOrder.slice(first.length).map(({ number }) => number));
      const changed = within(ENTRIES_AT_ONCE, found.changed);
      const justClosed = within(ENTRIES_AT_ONCE / 4, found.justClosed);
      const all = [first, changed, justClosed, walked, sampled].flat().filter((one) => !isTooLong(one));
      const numbers = [...new Set(all.map(({ number }) => number))];
      return { numbers, seen: new Set([...suspected.filter((number) => !later.has(number)), ...numbers]) };
    },
  };
}

const isTooLong = ({ version }: Candidate): boolean => version > LONGEST_EXAMINED;

/** As many of the first as have so many entries together, but at least one; what is too long is passed by and costs nothing. */
function within(entries: number, candidates: readonly Candidate[]): readonly Candidate[] {
  let sum = 0;
  const over = candidates.findIndex((one) => {
    if (isTooLong(one)) return false;
    const isFirst = sum === 0;
    sum += one.version;
    return sum > entries && !isFirst;
  });
  return over === -1 ? candidates : candidates.slice(0, over);
}
