/** The fold: what an alarm is after one more timeline entry. Knows no rules; those were applied when the entry was decided. */
import type { Alarm, LadderPosition, Response, Wait } from './alarm.ts';
import type { Actor } from './command.ts';
import type { AlarmEvent, SignalFacts, TimelineEntry } from './event.ts';

const NO_RESPONSE: Response = { stage: 'none', to: null, by: null, at: null, etaAt: null };

/** Who did it, as the alarm remembers it: the account, or the part of the centre. */
export const doer = (actor: Actor): string => (actor.type === 'person' ? actor.account : actor.part);

/** @throws RangeError when the entry does not follow from the alarm: a hole in a timeline is a bug, never bridged */
export function fold(number: string, before: Alarm | null, entry: TimelineEntry): Alarm {
  if (entry.version !== (before?.version ?? 0) + 1) {
    throw new RangeError(`alarm ${number}: entry ${entry.version} does not follow version ${before?.version ?? 0}`);
  }
  const after = before === null ? opened(number, entry) : changed(before, entry);
  return { ...after, version: entry.version, waits: after.closed === null ? armed(after.waits, entry.arms) : {} };
}

function armed(before: Alarm['waits'], arms: TimelineEntry['arms']): Alarm['waits'] {
  const waits: Partial<Record<Wait, number>> = { ...before };
  for (const [what, at] of Object.entries(arms) as [Wait, number | null][]) {
    if (at === null) delete waits[what];
    else waits[what] = at;
  }
  return waits;
}

function opened(number: string, { at, event }: TimelineEntry): Alarm {
  if (event.event !== 'opened') throw new RangeError(`alarm ${number}: a timeline begins with "opened", not "${event.event}"`);
  const technical = event.lane === 'technical';
  return {
    number,
    version: 0,
    municipality: event.sender.municipality,
    household: event.sender.household,
    source: event.sender.source,
    device: event.sender.device,
    trigger: event.trigger,
    lane: event.lane,
    kind: event.kind,
    priority: event.priority,
    signalCount: 1,
    duplicateCount: 0,
    openedAt: at,
    lastSignalAt: at,
    lastSignalVersion: 1,
    claim: null,
    contact: null,
    response: NO_RESPONSE,
    ladder: { id: event.ladder, climbed: 0, round: 0, exhausted: false, nobodyOnDuty: false },
    attention: { sounds: technical ? 'nobody' : 'everyone', warned: false, interrupted: false },
    spans: event.spans,
    waits: {},
    asked: [],
    told: [],
    declined: [],
    position: event.position ?? null,
    voice: event.voice ?? null,
    text: event.text ?? null,
    restoredAt: null,
    cancelledAt: null,
    report: null,
    follows: event.follows,
    closed: null,
  };
}

/** A device that goes on publishing where it may not is a task for the technicians, not one more sound for operators. */
export const isQuiet = (alarm: Pick<Alarm, 'lane'>, { marks }: Pick<SignalFacts, 'marks'>): boolean =>
  alarm.lane === 'technical' || marks.includes('foreign-topic');

/** What a signal of the same need renews. */
const renewed = (alarm: Alarm, facts: SignalFacts) => ({
  position: facts.position ?? alarm.position,
  voice: facts.voice ?? alarm.voice,
  text: facts.text ?? alarm.text,
});

/** Somebody has it now: the red of a ladder that found nobody goes, and the next climb starts from the bottom. */
const relieved = (ladder: LadderPosition): LadderPosition => ({
  ...ladder,
  climbed: ladder.exhausted ? 0 : ladder.climbed,
  exhausted: false,
  nobodyOnDuty: false,
});

const climbed = (ladder: LadderPosition, rung: string | null, nobodyOnDuty = false): LadderPosition =>
  rung === null ? { ...ladder, nobodyOnDuty } : { ...ladder, climbed: ladder.climbed + 1, nobodyOnDuty };

const underWay = (alarm: Alarm): boolean => alarm.response.stage === 'responding' || alarm.response.stage === 'on-site';

function changed(alarm: Alarm, { at, actor, event, version }: TimelineEntry): Alarm {
  const by = doer(actor);
  switch (event.event) {
    case 'opened':
      throw new RangeError(`alarm ${alarm.number}: opened twice`);
    case 'repeated':
      return {
        ...alarm,
        ...renewed(alarm, event),
        ...(event.priorityRule === 'more-serious-kind' ? { kind: event.kind, trigger: event.trigger } : {}),
        priority: event.priority,
        contact: event.outdatesContact === true ? null : alarm.contact,
        signalCount: alarm.signalCount + 1,
        lastSignalAt: at,
        lastSignalVersion: version,
        cancelledAt: null,
        restoredAt: null,
        attention: isQuiet(alarm, event) ? alarm.attention : { ...alarm.attention, sounds: alarm.claim === null ? 'everyone' : 'owner' },
      };
    case 'duplicate-received':
      return { ...alarm, duplicateCount: alarm.duplicateCount + 1 };
    case 'restored':
      return event.kind === alarm.kind && event.trigger === alarm.trigger ? { ...alarm, restoredAt: at } : alarm;
    case 'cancel-received':
      return { ...alarm, cancelledAt: at };
    case 'claimed':
    case 'taken-over':
      return {
        ...alarm,
        claim: { by, at },
        ladder: relieved(alarm.ladder),
        attention: { sounds: 'nobody', warned: false, interrupted: false },
      };
    case 'released':
      return { ...alarm, claim: null, attention: withoutOwner(alarm, false) };
    case 'claim-interrupted':
      return { ...alarm, claim: null, attention: withoutOwner(alarm, true) };
    case 'seen':
      return { ...alarm, attention: { ...alarm.attention, sounds: 'nobody' } };
    case 'contact-confirmed':
      return { ...alarm, contact: { by, at, how: event.how }, attention: calm(alarm) };
    case 'contact-overridden':
      return { ...alarm, contact: { by, at, how: 'override' }, attention: calm(alarm) };
    case 'withdrawn':
      return event.what === 'contact'
        ? {
            ...alarm,
            contact: null,
            attention: underWay(alarm) ? alarm.attention : { ...alarm.attention, sounds: alarm.claim === null ? 'everyone' : 'owner' },
          }
        : { ...alarm, response: { ...alarm.response, stage: 'responding', at } };
    case 'dispatched':
      return { ...withAsked(alarm, event), ladder: climbed(alarm.ladder, event.rung), response: dispatchedTo(alarm, event.to, at) };
    case 'told':
      return { ...withAsked(alarm, event), ladder: climbed(alarm.ladder, event.rung) };
    case 'nobody-on-duty':
      return { ...alarm, ladder: climbed(alarm.ladder, event.rung, true) };
    case 'all-declined':
      return { ...alarm, ladder: climbed(alarm.ladder, event.rung) };
    case 'ladder-exhausted':
      return { ...alarm, ladder: { ...alarm.ladder, exhausted: true } };
    case 'ladder-restarted':
      return { ...alarm, ladder: { ...alarm.ladder, climbed: 0, round: event.round } };
    case 'accepted':
      return {
        ...alarm,
        response: { ...alarm.response, stage: 'responding', by, at, etaAt: event.etaAt },
        asked: alarm.asked.includes(by) ? alarm.asked : [...alarm.asked, by],
        declined: alarm.declined.filter((account) => account !== by),
        ladder: relieved(alarm.ladder),
        attention: { ...alarm.attention, sounds: 'nobody', warned: false },
      };
    case 'declined':
      return {
        ...alarm,
        response: alarm.response.by === by ? { ...alarm.response, stage: 'dispatched', by: null, etaAt: null } : alarm.response,
        asked: alarm.asked.filter((account) => account !== by),
        declined: [...alarm.declined.filter((account) => account !== by), by],
      };
    case 'arrived':
      return { ...alarm, response: { ...alarm.response, stage: 'on-site', by, at }, attention: { ...alarm.attention, warned: false } };
    case 'reported':
      return {
        ...alarm,
        contact: { by, at, how: 'visit' },
        report: { by, at, outcome: event.outcome },
        response: NO_RESPONSE,
        attention: calm(alarm),
      };
    case 'deadline-passed':
      return { ...alarm, attention: reminded(alarm, event.what) };
    case 'snoozed':
      return { ...alarm, claim: null, attention: { sounds: 'nobody', warned: false, interrupted: false } };
    case 'closed':
      return {
        ...alarm,
        closed: { at, by, outcome: event.outcome },
        attention: { sounds: 'nobody', warned: false, interrupted: false },
      };
    case 'presence-received':
    case 'call-received':
    case 'noted':
    case 'repaired':
    case 'ask-sent':
    case 'ask-delivered':
    case 'ask-failed':
      return alarm;
  }
}

const calm = (alarm: Alarm): Alarm['attention'] => ({ ...alarm.attention, sounds: 'nobody', warned: false });

function withoutOwner(alarm: Alarm, interrupted: boolean): Alarm['attention'] {
  return { sounds: underWay(alarm) || alarm.lane === 'technical' ? 'nobody' : 'everyone', warned: false, interrupted };
}

/** More help for a case that somebody is already on the way to changes nothing of the first one's response. */
function dispatchedTo(alarm: Alarm, to: string, at: number): Response {
  return underWay(alarm) ? alarm.response : { stage: 'dispatched', to, by: null, at, etaAt: null };
}

function withAsked(alarm: Alarm, event: Extract<AlarmEvent, { event: 'dispatched' | 'told' }>): Alarm {
  const accounts = event.recipients.map((recipient) => recipient.account);
  const others = alarm.told.filter((account) => !accounts.includes(account));
  const onlyTold =
    event.event === 'told' ? accounts.filter((account) => !alarm.asked.includes(account) || alarm.told.includes(account)) : [];
  return {
    ...alarm,
    asked: [...new Set([...alarm.asked, ...accounts])],
    told: [...others, ...onlyTold],
    declined: alarm.declined.filter((account) => !accounts.includes(account)),
  };
}

/** Who is reminded when a wait is over; the ladder's own waits ask people instead of sounding anew. */
function reminded(alarm: Alarm, what: Wait): Alarm['attention'] {
  const owner = alarm.claim === null ? 'everyone' : 'owner';
  switch (what) {
    case 'claim-idle':
    case 'not-arrived':
    case 'long-on-site':
    case 'not-closed':
      return { ...alarm.attention, warned: true, sounds: owner };
    case 'repeat-unseen':
      return { ...alarm.attention, sounds: 'everyone' };
    case 'snoozed':
      return { ...alarm.attention, sounds: alarm.lane === 'technical' ? 'nobody' : owner };
    case 'day-queue':
      return { ...alarm.attention, warned: true };
    case 'unclaimed':
    case 'claim-warned':
    case 'not-accepted':
    case 'ladder-restart':
      return alarm.attention;
  }
}
