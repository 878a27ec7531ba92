/** When what comes out of the spill is due. Pure. */
import type { Wait } from '../alarms/alarm.ts';
import type { Admission } from '../alarms/correlate.ts';
import type { Instant, Milliseconds } from '../base/clock.ts';

/** For a claim that was made meanwhile, and for the eye of an operator who sees the alarm anew. */
export const GRACE_MS: Milliseconds = 10_000;

/**
 * The waits of a replayed signal count from when it was received: the person has waited since then, and nobody is forgotten.
 * Where that instant has passed, the wait ends at `earliest`, a moment after the replay: then the ladder takes its first rung,
 * once, and each further wait counts from that act (design § 2, Waits). Nothing that was armed before is touched.
 */
export function notBefore(admission: Admission, earliest: Instant): Admission {
  const { decided } = admission;
  if (decided === null) return admission;
  const lifted = new Map<Wait, Instant>();
  const entries = decided.entries.map((entry) => {
    const arms = { ...entry.arms };
    for (const [what, at] of Object.entries(entry.arms) as [Wait, Instant | null][]) {
      if (at === null || at >= earliest) continue;
      arms[what] = earliest;
      lifted.set(what, earliest);
    }
    return { ...entry, arms };
  });
  const waits = { ...decided.alarm.waits };
  for (const [what, at] of lifted) if (waits[what] !== undefined) waits[what] = at;
  return { ...admission, decided: { alarm: { ...decided.alarm, waits }, entries } };
}
