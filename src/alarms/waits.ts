/** Which waits belong to which phase of an alarm (design § 2, Waits), and what a change of phase arms and disarms. */
import type { Instant, Milliseconds } from '../base/clock.ts';
import { type Alarm, type Wait, WAITS } from './alarm.ts';

type Phase =
  | 'waiting'
  | 'claimed'
  | 'contacted'
  | 'contacted-claimed'
  | 'dispatched'
  | 'responding'
  | 'on-site'
  | 'technical'
  | 'technical-claimed';

/** The first is armed when none of them is; the others may stand in its place. */
const ALLOWED: Readonly<Record<Phase, readonly [Wait, ...Wait[]]>> = {
  waiting: ['unclaimed', 'ladder-restart'],
  claimed: ['claim-idle', 'claim-warned'],
  contacted: ['not-closed', 'snoozed', 'unclaimed', 'ladder-restart'],
  'contacted-claimed': ['not-closed'],
  dispatched: ['not-accepted', 'ladder-restart'],
  responding: ['not-arrived'],
  'on-site': ['long-on-site'],
  technical: ['day-queue', 'snoozed'],
  'technical-claimed': ['not-closed'],
};

function phaseOf(alarm: Alarm): Phase {
  const { stage } = alarm.response;
  if (stage !== 'none') return stage;
  if (alarm.priority === 'technical') return alarm.claim === null ? 'technical' : 'technical-claimed';
  if (alarm.contact !== null) return alarm.claim === null ? 'contacted' : 'contacted-claimed';
  return alarm.claim === null ? 'waiting' : 'claimed';
}

/** How long a wait lasts by the alarm's ladder. `not-accepted` is the rung's own and given where it is armed. */
export function spanOf(alarm: Alarm, what: Wait): Milliseconds {
  const { spans } = alarm;
  switch (what) {
    case 'unclaimed':
    case 'not-accepted':
      return spans.unclaimed;
    case 'claim-idle':
      return spans.claimIdle;
    case 'claim-warned':
      return spans.claimWarned;
    case 'repeat-unseen':
      return spans.repeatUnseen;
    case 'not-arrived':
      return spans.defaultEta;
    case 'long-on-site':
      return spans.longOnSite;
    case 'not-closed':
    case 'snoozed':
      return spans.notClosed;
    case 'ladder-restart':
      return spans.ladderRestart;
    case 'day-queue':
      return spans.dayQueue;
  }
}

/**
 * What must be armed and disarmed so that the alarm waits for what its phase waits for. A wait that still belongs
 * there keeps its instant; `explicit` ones were decided by the command and win.
 */
export function rearm(
  after: Alarm,
  now: Instant,
  explicit: Readonly<Partial<Record<Wait, Instant | null>>>,
): Partial<Record<Wait, Instant | null>> {
  if (after.closed !== null) return {};
  const arms: Partial<Record<Wait, Instant | null>> = { ...explicit };
  const allowed = ALLOWED[phaseOf(after)];
  for (const what of WAITS) {
    const stays = allowed.includes(what) || (what === 'repeat-unseen' && after.claim !== null);
    if (!stays && after.waits[what] !== undefined) arms[what] = null;
    if (!stays && arms[what] !== undefined && arms[what] !== null) delete arms[what];
  }
  const isArmed = (what: Wait): boolean => (arms[what] === undefined ? after.waits[what] !== undefined : arms[what] !== null);
  const [usual] = allowed;
  if (!allowed.some(isArmed)) arms[usual] = now + spanOf(after, usual);
  // Rows keep whole milliseconds: a deadline with a fraction would never equal its row.
  for (const what of WAITS) {
    const at = arms[what];
    if (at !== undefined && at !== null) arms[what] = Math.round(at);
  }
  return arms;
}
