/** The sweep: finds deadlines that are due, plans what comes next, and tells the desk; the desk re-checks under its lock. */
import type { Alarm, Deadline } from '../alarms/alarm.ts';
import type { RungPlan } from '../alarms/command.ts';
import type { Desk } from '../alarms/desk.ts';
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';

/** What the sweep needs of the store. */
export interface Deadlines {
  /**
   * Open alarms whose deadline is not after `now`, read without a lock: the most urgent first, then the longest overdue.
   * @param except numbers to leave out
   * @throws CentreError store-away
   */
  due(now: Instant, limit: number, except: readonly string[]): Promise<readonly Due[]>;
}

export interface Due {
  readonly alarm: Alarm;
  readonly deadline: Deadline;
}

/** The plan of the next rung for an alarm, by the roster as it was when the planner was made. */
export type Planner = (alarm: Alarm) => RungPlan;

export interface SweepParts {
  readonly deadlines: Deadlines;
  readonly desk: Desk;
  /** Reads who is on duty now; asked once for each look that found something. */
  readonly plan: () => Promise<Planner>;
  readonly clock: Clock;
  readonly log: Log;
  /** How many alarms at once. */
  readonly parallel?: number;
  /** Told how late each deadline was acted on, for a histogram. */
  readonly observe?: (lateMs: Milliseconds, deadline: Deadline, alarm: Alarm) => void;
}

export interface Sweep {
  /** Something may be due: look now instead of at the next turn. */
  poke(): void;
  /** Deadlines acted on, tries that failed, alarms that are being left alone for a moment after failing, and the last look. */
  stats(): { readonly passed: number; readonly failures: number; readonly setAside: number; readonly lookedAt: Instant };
  /** Ends after what is in hand. */
  stop(): Promise<void>;
}

export const SWEEP_EVERY_MS: Milliseconds = 250;
/** In hand at once: the desk makes transactions of them, and while it is at some, others must be ready for the next. */
const PARALLEL = 192;
/** Enough to keep all busy until the next look, few enough that something more urgent is not kept behind them. All that is kept in memory. */
const LOOK_AT = 1024;
/** What has become due meanwhile and is more urgent than what is queued waits no longer than this. */
const LOOK_AGAIN_MS: Milliseconds = 500;
/** An alarm that others had locked at so many looks is waited for: it must not be left for ever. */
const LEAVES = 2;
/** At most so many are left alone for a moment; beyond that they are tried at each look, which costs time and forgets nothing. */
const MOST_ASIDE = 5000;
const FIRST_PAUSE_MS: Milliseconds = 1000;
const LONGEST_PAUSE_MS: Milliseconds = 30_000;

/**
 * Begins with a look at once, so that what passed while the centre was down is acted on now. Several sweeps may run
 * anywhere: of two that saw the same deadline, the second is refused with `not-due`.
 */
export function startSweep({ deadlines, desk, plan, clock, log, parallel = PARALLEL, observe }: SweepParts): Sweep {
  const inHand = new Map<string, Promise<void>>();
  const aside = new Map<string, Aside>();
  let queue: Due[] = [];
  let planner: Planner | null = null;
  let looking: Promise<void> | null = null;
  let wanted = false;
  let more = false;
  let away = false;
  let lookedAt = 0;
  let stopped = false;
  let passed = 0;
  let failures = 0;

  const turn = clock.every(SWEEP_EVERY_MS, () => {
    // While there is enough to do, looking more often than this would only take time from doing it.
    if (queue.length <= parallel || clock.now() - lookedAt >= LOOK_AGAIN_MS) poke();
  });
  poke();
  return {
    poke,
    stats: () => ({ passed, failures, setAside: aside.size, lookedAt }),
    async stop() {
      stopped = true;
      turn.cancel();
      await looking;
      await Promise.all(inHand.values());
    },
  };

  function poke(): void {
    wanted = true;
    if (stopped || looking !== null) return;
    wanted = false;
    looking = look().finally(() => {
      looking = null;
      if (wanted) poke();
    });
  }

  /** Never waits for alarms in hand: one that is slow keeps its place among the parallel ones and holds up nobody else. */
  async function look(): Promise<void> {
    try {
      const now = clock.now();
      lookedAt = now;
      for (const [number, { until, left }] of aside) if (now - until > (left > 0 ? FIRST_PAUSE_MS : LONGEST_PAUSE_MS)) aside.delete(number);
      const busy = [...inHand.keys(), ...[...aside].filter(([, { until }]) => until > now).map(([number]) => number)];
      const found = await deadlines.due(now, LOOK_AT, busy);
      more = found.length === LOOK_AT;
      queue = [...found];
      if (found.length > 0) planner = await plan();
      if (away) log.info('sweep-store-back');
      away = false;
    } catch (error) {
      failures += 1;
      queue = [];
      more = false;
      if (!away) log.warn('sweep-look-failed', { error });
      away = true;
    }
    work();
  }

  function work(): void {
    while (!stopped && planner !== null && inHand.size < parallel) {
      const next = queue.shift();
      if (next === undefined) break;
      const { number } = next.alarm;
      if (inHand.has(number)) continue;
      const doing = pass(next, planner).finally(() => {
        inHand.delete(number);
        work();
      });
      inHand.set(number, doing);
    }
    if (more && queue.length < parallel) {
      more = false;
      poke();
    }
  }

  async function pass({ alarm, deadline }: Due, planned: Planner): Promise<void> {
    const { number } = alarm;
    const left = aside.get(number)?.left ?? 0;
    try {
      const answer = await desk.order({
        number,
        command: { command: 'pass-deadline', armed: deadline, rung: planned(alarm) },
        actor: { type: 'centre', part: 'sweep' },
        version: null,
        doneAt: null,
        key: null,
        // Whoever has it locked now is another sweep, as a rule: it does the same, and this one goes on with the next.
        busy: left < LEAVES ? 'leave' : 'wait',
      });
      aside.delete(number);
      if ('refused' in answer) {
        // Passed by somebody else; should the row and its fold disagree, this one does not take every look.
        putAside(number, { until: clock.now() + SWEEP_EVERY_MS, pause: FIRST_PAUSE_MS / 2, left: left + 1 });
        return;
      }
      passed += 1;
      const lateMs = Math.max(0, clock.now() - deadline.at);
      observe?.(lateMs, deadline, alarm);
      log.info('deadline-passed', { alarm: number, code: deadline.what, lateMs });
    } catch (error) {
      failures += 1;
      // A store that is away is nobody's fault among the alarms: the next look tells, and begins again with the most urgent.
      if (error instanceof CentreError && error.kind === 'store') {
        queue = [];
        return;
      }
      const pause = Math.min(LONGEST_PAUSE_MS, (aside.get(number)?.pause ?? FIRST_PAUSE_MS / 2) * 2);
      putAside(number, { until: clock.now() + pause, pause, left: 0 });
      log.error('deadline-not-passed', { alarm: number, code: deadline.what, error });
    }
  }

  function putAside(number: string, how: Aside): void {
    if (aside.size < MOST_ASIDE) aside.set(number, how);
  }
}

/** An alarm that is left alone for a moment. */
interface Aside {
  readonly until: Instant;
  /** How long, after a failure; the next one doubles it. */
  readonly pause: Milliseconds;
  /** At how many looks in a row it was somebody else's. */
  readonly left: number;
}
