/** Correlation: whether a signal is a duplicate, opens an alarm, joins one, or is only kept. Pure. */
import { type Instant, type Milliseconds, minutes } from '../base/clock.ts';
import type { Alarm, Lane, WaitSpans } from './alarm.ts';
import type { AlarmEvent, SignalFacts } from './event.ts';
import { isQuiet } from './fold.ts';
import { type Decided, append } from './lifecycle.ts';
import type { Signal, SignalMark, SignalRole } from './signal.ts';
import { retriage, triage } from './triage.ts';

/** The same id and bytes within a day is a duplicate (design § 1.3). */
export const DUPLICATE_WINDOW_MS: Milliseconds = minutes(24 * 60);
/** Without an id: the same source and bytes within ten minutes. */
export const DUPLICATE_WINDOW_WITHOUT_ID_MS: Milliseconds = minutes(10);
/** A need so soon after a closed alarm says so and starts one step higher. */
export const SOON_AFTER_CLOSED_MS: Milliseconds = minutes(60);

/** What a signal is joined by: one row to lock. */
export const joiningKey = (signal: Pick<Signal, 'household' | 'source'>): string =>
  signal.household === null ? `source:${signal.source}` : `household:${signal.household.id}`;

/** Which open alarm within the joining key; null when the signal never opens one. */
export function laneOf(signal: Signal): { readonly lane: Lane; readonly laneKey: string } | null {
  const role = openingRole(signal);
  if (role === null) return null;
  if (role === 'need') return { lane: 'need', laneKey: '' };
  if (role === 'unreadable') return { lane: 'unreadable', laneKey: signal.source };
  const key = technicalKey(signal);
  // What an unknown sender merely mentions is no fault of which its next message could be the end.
  return { lane: 'technical', laneKey: signal.meaning.role === 'technical' ? key : `${key}/mentioned` };
}

/** Each pendant and sensor, and each fault that is told apart, has a technical alarm of its own: when one is back, the other may still be lost. */
export const technicalKey = ({ device, meaning }: Pick<Signal, 'device' | 'meaning'>): string =>
  `${device}/${meaning.kind}${meaning.about === undefined ? '' : `#${meaning.about}`}/${meaning.trigger}`;

/** What an unknown sender says is looked at, whatever it is (design § 1.2). */
function openingRole({ meaning, household }: Signal): 'need' | 'technical' | 'unreadable' | null {
  const { role } = meaning;
  if (role === 'need' || role === 'technical' || role === 'unreadable') return role;
  // A device that calls without an alarm: somebody may be on the line whose alarm never came.
  if (role === 'call') return 'need';
  return household === null ? 'technical' : null;
}

/** What the store found under the locks. */
export interface Situation {
  /** The open alarm of the signal's lane. */
  readonly open: Alarm | null;
  /** The household's open need alarm: what cancels, presence and restores may join. */
  readonly openNeed: Alarm | null;
  /** The open technical alarm of the same device, trigger and kind, for a restore. */
  readonly restorable: Alarm | null;
  readonly lastClosed: { readonly number: string; readonly at: Instant } | null;
  /** The earlier signal with the same id and bytes (without an id: the same bytes); its alarm, open or closed, if it had one. */
  readonly duplicateOf: { readonly alarm: Alarm | null } | null;
  /** The same id came before, with other bytes or longer ago. */
  readonly idSeenBefore: boolean;
}

/** Which ladder a new alarm starts on. */
export type LadderFor = (alarm: {
  readonly kind: Signal['meaning']['kind'];
  readonly priority: Alarm['priority'];
  readonly municipality: string;
  readonly zone: string | null;
}) => { readonly id: string; readonly spans: WaitSpans };

export interface Admission {
  readonly verdict: 'opened' | 'repeated' | 'joined' | 'kept' | 'duplicate';
  readonly marks: readonly SignalMark[];
  /** Null when the signal is only kept. */
  readonly decided: Decided | null;
  readonly alarm: string | null;
}

const CONTEXT = { actor: { type: 'centre', part: 'intake' }, doneAt: null } as const;

/**
 * Decides what becomes of one signal.
 * @param newNumber gives the number of an alarm that is opened
 */
export function admit(signal: Signal, situation: Situation, ladderFor: LadderFor, newNumber: () => string): Admission {
  const now = signal.receivedAt;
  const marks = situation.idSeenBefore && situation.duplicateOf === null ? [...signal.marks, 'id-re-used' as const] : signal.marks;
  const facts = factsOf(signal, marks);
  if (situation.duplicateOf !== null) {
    const { alarm } = situation.duplicateOf;
    if (alarm === null) return { verdict: 'duplicate', marks, decided: null, alarm: null };
    return joined('duplicate', alarm, { event: 'duplicate-received', ...facts });
  }
  const lane = laneOf(signal);
  const { role } = signal.meaning;
  const attends = (role === 'restore' && situation.restorable !== null) || (role === 'call' && situation.openNeed !== null);
  if (lane === null || attends) return attend(role, situation, facts);
  if (situation.open !== null) return repeat(situation.open);
  return open(lane.lane);

  function joined(verdict: 'joined' | 'duplicate', alarm: Alarm, event: AlarmEvent, more: readonly AlarmEvent[] = []): Admission {
    return {
      verdict,
      marks,
      decided: append(alarm.number, alarm, { events: [event, ...more], arms: {} }, CONTEXT, now),
      alarm: alarm.number,
    };
  }

  function attend(does: SignalRole, { openNeed, restorable }: Situation, about: SignalFacts): Admission {
    if (does === 'restore' && restorable !== null) {
      const closes = restorable.claim === null && restorable.priority === 'technical';
      const closed: AlarmEvent = { event: 'closed', outcome: 'restored', text: '' };
      return joined('joined', restorable, { event: 'restored', ...about }, closes ? [closed] : []);
    }
    if (openNeed !== null) {
      if (does === 'restore') return joined('joined', openNeed, { event: 'restored', ...about });
      if (does === 'cancel') return joined('joined', openNeed, { event: 'cancel-received', ...about });
      if (does === 'presence') return joined('joined', openNeed, { event: 'presence-received', ...about });
      if (does === 'call') return joined('joined', openNeed, { event: 'call-received', ...about });
    }
    return { verdict: 'kept', marks, decided: null, alarm: null };
  }

  function repeat(alarm: Alarm): Admission {
    const { priority, rule: priorityRule } = retriage(alarm.priority, alarm.lane, signal.meaning);
    const outdated = !isQuiet(alarm, facts) && contactOutdated(alarm, now);
    const event: AlarmEvent = { event: 'repeated', ...facts, priority, priorityRule, ...(outdated ? { outdatesContact: true } : {}) };
    const arms = isQuiet(alarm, facts) ? {} : repeatArms(alarm, now);
    return {
      verdict: 'repeated',
      marks,
      decided: append(alarm.number, alarm, { events: [event], arms }, CONTEXT, now),
      alarm: alarm.number,
    };
  }

  function open(into: Lane): Admission {
    const { lastClosed } = situation;
    const soon = into === 'need' && lastClosed !== null && now - lastClosed.at < SOON_AFTER_CLOSED_MS;
    const { priority, rule: priorityRule } = triage(signal.meaning, signal.household !== null, soon);
    const ladder = ladderFor({ kind: facts.kind, priority, municipality: signal.municipality, zone: signal.household?.zone ?? null });
    const { source, device, municipality, household } = signal;
    const event: AlarmEvent = {
      event: 'opened',
      ...facts,
      lane: into,
      priority,
      priorityRule,
      sender: { source, device, municipality, household },
      ladder: ladder.id,
      spans: ladder.spans,
      follows: soon ? lastClosed.number : null,
    };
    const number = newNumber();
    return { verdict: 'opened', marks, decided: append(number, null, { events: [event], arms: {} }, CONTEXT, now), alarm: number };
  }
}

/** A second press during the call is the same need; one that comes later is a new one, to which nobody has spoken yet. */
const SAME_CALL_MS: Milliseconds = minutes(1);

/** Contact counts for what came before it, and for a moment after it while somebody has the alarm (design § 1.5). */
function contactOutdated({ contact, claim }: Alarm, now: Instant): boolean {
  return contact !== null && (claim === null || now - contact.at > SAME_CALL_MS);
}

/** A repeat on a claimed alarm must be seen by its owner within its wait. */
function repeatArms(alarm: Alarm, now: Instant): Partial<Record<'repeat-unseen', Instant>> {
  if (alarm.claim === null || alarm.waits['repeat-unseen'] !== undefined) return {};
  return { 'repeat-unseen': now + alarm.spans.repeatUnseen };
}

function factsOf(signal: Signal, marks: readonly SignalMark[]): SignalFacts {
  const { kind, trigger, code, text, voice, position, deviceAt } = signal.meaning;
  return {
    signal: signal.id,
    messageId: signal.messageId,
    kind,
    trigger,
    marks,
    ...(code === undefined ? {} : { code }),
    ...(text === undefined ? {} : { text }),
    ...(voice === undefined ? {} : { voice }),
    ...(position === undefined ? {} : { position }),
    ...(deviceAt === undefined ? {} : { deviceAt }),
  };
}
