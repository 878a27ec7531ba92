/** Escalation's steps as the timeline tells them: which were missing, done twice or late. Pure. */
import type { Span } from './ledger.ts';
import type { TimelineRow } from './truth.ts';

export interface Steps {
  readonly done: number;
  readonly missing: readonly string[];
  readonly doubled: readonly string[];
  /** For each, milliseconds from its deadline until it was done, or until somebody overtook it that was not done in time. */
  readonly late: readonly number[];
  /** The same without the time in which the truth was away by the harness' own doing. */
  readonly lateUnexplained: readonly number[];
  /** Those that were late by more than two seconds: which, when it was done, and by how much. */
  readonly slow: readonly string[];
}

const SLOW_MS = 2000;
/** What somebody overtook so soon behind its instant may have been under way. */
const OVERTAKEN_MS = 500;
/** The ladder's waits are seconds here (`configuration.ts`), behind an outage as many more: one that is armed for later is forgotten. */
const SHORT_WAITS = ['unclaimed', 'not-accepted', 'ladder-restart', 'claim-idle', 'claim-warned', 'repeat-unseen'];
const FORGOTTEN_MS = 120_000;

export interface StepRules {
  /** Names of the rungs in their order. */
  readonly rungs: readonly string[];
  /** Steps done before are not counted as late; wall clock. */
  readonly since: number;
  /** What fell due before this, and is not done, is missing. */
  readonly dueBefore: number;
  readonly storeAway: readonly Span[];
  /** Closed alarms wait for nothing. */
  readonly closed: ReadonlySet<string>;
}

/** @param timeline by alarm and version */
export function judgeSteps(timeline: readonly TimelineRow[], rules: StepRules): Steps {
  const steps = {
    done: 0,
    missing: [] as string[],
    doubled: [] as string[],
    late: [] as number[],
    lateUnexplained: [] as number[],
    slow: [] as string[],
  };
  for (const rows of byAlarm(timeline)) {
    judgeWaits(rows, rules, steps);
    judgeRungs(rows, rules, steps);
    judgeVersions(rows, steps);
  }
  return steps;
}

type Found = { -readonly [K in keyof Steps]: Steps[K] extends readonly (infer T)[] ? T[] : Steps[K] };

/** Each deadline that was armed is passed once: not before its instant, not twice, and not never. */
function judgeWaits(rows: readonly TimelineRow[], { since, dueBefore, storeAway, closed }: StepRules, steps: Found): void {
  const armed = new Map<string, number>();
  const passed = new Set<string>();
  const alarm = rows[0]?.alarm ?? '';
  // Its ladder is built in, with waits of minutes where only a fault leads.
  const isCanary = rows[0]?.event.sender?.municipality === 'canary';
  const count = (what: string, due: number, at: number, how: string): void => {
    steps.late.push(Math.max(0, at - due));
    const late = Math.max(0, at - due - overlap({ from: due, to: at }, storeAway));
    steps.lateUnexplained.push(late);
    if (late > SLOW_MS) steps.slow.push(`${alarm}: ${what} ${how} ${new Date(at).toISOString()}, ${Math.round(late)} ms late`);
  };
  for (const { at, event, arms, version } of rows) {
    if (event.event === 'deadline-passed' && event.what !== undefined) {
      const due = armed.get(event.what);
      const key = `${event.what} ${due}`;
      // Whole milliseconds in the row, fractions in the clock.
      if (due === undefined || at < due - 1 || passed.has(key)) steps.doubled.push(`${alarm}: ${event.what} at version ${version}`);
      else if (at >= since) {
        steps.done += 1;
        count(event.what, due, at, 'at');
      }
      passed.add(key);
    }
    // What people did meanwhile must not hide that a step was not done in its time.
    const ends = event.event === 'closed' ? [...armed.keys()] : Object.keys(arms);
    for (const what of ends) {
      const due = armed.get(what);
      if (due === undefined || due === arms[what] || passed.has(`${what} ${due}`) || at < since) continue;
      if (at > due + OVERTAKEN_MS) count(what, due, at, 'not done until it was overtaken at');
    }
    if (event.event === 'closed') armed.clear();
    for (const [what, due] of Object.entries(arms)) {
      if (due === null) armed.delete(what);
      else {
        armed.set(what, due);
        if (due > at + FORGOTTEN_MS && SHORT_WAITS.includes(what) && !isCanary) {
          steps.missing.push(`${alarm}: ${what} armed for ${Math.round((due - at) / 1000)} s later at version ${version}`);
        }
      }
    }
  }
  if (closed.has(alarm)) return;
  if (armed.size === 0) steps.missing.push(`${alarm}: waits for nothing`);
  for (const [what, due] of armed)
    if (due < dueBefore) steps.missing.push(`${alarm}: ${what}, due ${Math.round(dueBefore - due)} ms before`);
}

const TAKES: readonly string[] = ['claimed', 'taken-over', 'accepted'];

/** In each round of the ladder every rung comes once, in its order. */
function judgeRungs(rows: readonly TimelineRow[], { rungs }: StepRules, steps: Found): void {
  let last: number | null = null;
  let foundNobody = false;
  for (const { alarm, event, version } of rows) {
    // Behind its end the ladder begins anew: by its own time, or because somebody had the alarm and left it.
    if (event.event === 'ladder-restarted' || event.event === 'ladder-exhausted') last = null;
    if (event.event === 'ladder-exhausted') foundNobody = true;
    // Once a ladder has found nobody, whoever takes the alarm at last takes it off the ladder: a climb after that is a new one.
    if (foundNobody && TAKES.includes(event.event)) {
      last = null;
      foundNobody = false;
    }
    if (event.rung === undefined || event.rung === null) continue;
    const at = rungs.indexOf(event.rung);
    // An alarm soon after a closed one starts one step higher; people may order help of their own between rungs.
    if (last !== null && at <= last) steps.doubled.push(`${alarm}: rung ${event.rung} at version ${version}`);
    if (last !== null && at > last + 1) steps.missing.push(`${alarm}: a rung before ${event.rung}`);
    last = at;
  }
}

/** 1, 2, 3 … without gaps. */
function judgeVersions(rows: readonly TimelineRow[], steps: Found): void {
  rows.forEach(({ alarm, version }, n) => {
    if (version !== n + 1) steps.missing.push(`${alarm}: version ${n + 1} of the timeline`);
  });
}

/** By alarm, in the order in which they come. */
export function byAlarm(timeline: readonly TimelineRow[]): TimelineRow[][] {
  const groups = new Map<string, TimelineRow[]>();
  for (const row of timeline) {
    const rows = groups.get(row.alarm);
    if (rows === undefined) groups.set(row.alarm, [row]);
    else rows.push(row);
  }
  return [...groups.values()];
}

/** How much of a span lies in any of the others (which do not overlap each other). */
function overlap({ from, to }: Span, spans: readonly Span[]): number {
  return spans.reduce((sum, span) => sum + Math.max(0, Math.min(to, span.to) - Math.max(from, span.from)), 0);
}
