/** The lifecycle of an alarm: decide(alarm, command, now) gives events or a refusal with a name. Pure. */
import { type Instant, minutes } from '../base/clock.ts';
import { type Alarm, type Wait, needsContact } from './alarm.ts';
import type { AlarmCommand, CommandContext, Recipient, Refusal, RefusalCode } from './command.ts';
import type { AlarmEvent, AskedRecipient, TimelineEntry } from './event.ts';
import { doer, fold } from './fold.ts';
import { type Ruling, ruleOfTheClock } from './lapses.ts';
import { rearm } from './waits.ts';

/** What was decided: the timeline's new rows and the alarm after them. */
export interface Decided {
  readonly alarm: Alarm;
  readonly entries: readonly TimelineEntry[];
}
export type Decision = Decided | Refusal;

type Verdict = Ruling | Refusal;

const MAX_SNOOZE_MINUTES = 7 * 24 * 60;
/** A responder is late when one and a half times the promised time has passed (design § 2, Waits). */
const ETA_SLACK = 1.5;

const refuse = (refused: RefusalCode, by?: string): Refusal => (by === undefined ? { refused } : { refused, by });
const rule = (events: readonly AlarmEvent[], arms: Ruling['arms'] = {}): Ruling => ({ events, arms });

/**
 * Decides a command on an alarm as it stands.
 * @param newId makes the id of an ask
 * @returns the entries to append, or the refusal; the order of the refusals is fixed in interfaces.md
 */
export function decide(alarm: Alarm, command: AlarmCommand, context: CommandContext, now: Instant, newId: () => string): Decision {
  const verdict = refusedFirst(alarm, command, context) ?? judge(alarm, command, context, now, newId);
  return 'refused' in verdict ? verdict : append(alarm.number, alarm, verdict, context, now);
}

/** Turns a ruling into entries and folds them; the last entry arms and disarms the waits. */
export function append(
  number: string,
  before: Alarm | null,
  ruling: Ruling,
  context: Pick<CommandContext, 'actor' | 'doneAt'>,
  now: Instant,
): Decided {
  const entries: TimelineEntry[] = [];
  let alarm = before;
  for (const event of ruling.events) {
    const entry = { version: (alarm?.version ?? 0) + 1, at: now, doneAt: context.doneAt, actor: context.actor, event, arms: {} };
    alarm = fold(number, alarm, entry);
    entries.push(entry);
  }
  const last = entries.at(-1);
  if (alarm === null || last === undefined) throw new RangeError(`alarm ${number}: a ruling without events`);
  const arms = rearm(alarm, now, ruling.arms);
  entries[entries.length - 1] = { ...last, arms };
  const upToLast = entries.slice(0, -1).reduce((folded: Alarm | null, entry) => fold(number, folded, entry), before);
  return { alarm: fold(number, upToLast, { ...last, arms }), entries };
}

/** What may still be said of a closed alarm: how an ask went, for the record; and its row is mended like any other. */
const AFTER_CLOSING: readonly AlarmCommand['command'][] = ['record-ask', 'note', 'repair'];
/** Only the owner of a claim may order these while there is one. */
const OWNERS: readonly AlarmCommand['command'][] = [
  'claim',
  'release',
  'see',
  'confirm-contact',
  'dispatch',
  'close',
  'override-contact',
  'snooze',
];

/** The first four refusals, in the order that interfaces.md fixes. */
function refusedFirst(alarm: Alarm, command: AlarmCommand, context: CommandContext): Refusal | null {
  if (alarm.closed !== null && !AFTER_CLOSING.includes(command.command)) return refuse('already-closed', alarm.closed.by);
  const { claim } = alarm;
  if (claim !== null && OWNERS.includes(command.command)) {
    const mine = context.actor.type === 'person' && context.actor.account === claim.by;
    const override = command.command === 'override-contact';
    if (!override && (!mine || command.command === 'claim')) return refuse('taken-by-another', claim.by);
  }
  if (command.command !== 'close') return null;
  if (needsContact(alarm) && alarm.contact === null) return refuse('no-confirmed-contact');
  if (context.version !== null && context.version < alarm.lastSignalVersion) return refuse('overtaken');
  return null;
}

function judge(alarm: Alarm, command: AlarmCommand, context: CommandContext, now: Instant, newId: () => string): Verdict {
  const { actor } = context;
  const me = doer(actor);
  const supervisor = actor.type === 'person' && actor.roles.includes('supervisor');
  switch (command.command) {
    case 'claim':
      return rule([{ event: 'claimed' }]);
    case 'take-over':
      if (!supervisor) return refuse('not-allowed');
      if (command.reason.trim() === '') return refuse('reason-required');
      return rule([{ event: 'taken-over', from: alarm.claim?.by ?? null, reason: command.reason }]);
    case 'release':
      return alarm.claim === null ? refuse('not-claimed') : rule([{ event: 'released' }]);
    case 'see':
      // Nobody may silence for all what nobody has taken.
      if (alarm.claim === null && alarm.response.stage === 'none' && alarm.contact === null) return refuse('not-claimed');
      return rule([{ event: 'seen' }], { 'repeat-unseen': null });
    case 'confirm-contact':
      return rule([{ event: 'contact-confirmed', how: command.how }], HEARD);
    case 'override-contact':
      if (!supervisor) return refuse('not-allowed');
      if (command.reason.trim() === '') return refuse('reason-required');
      return rule([{ event: 'contact-overridden', reason: command.reason }], HEARD);
    case 'note':
      return command.text.trim() === '' ? refuse('reason-required') : rule([{ event: 'noted', text: command.text }]);
    case 'dispatch': {
      if (command.recipients.length === 0) return refuse('nobody-on-duty');
      const recipients = asked(command.recipients, now, newId);
      return rule([{ event: 'dispatched', to: command.to, rung: null, recipients }], {
        'not-accepted': now + command.waitMs,
        'ladder-restart': null,
        'repeat-unseen': null,
        // More help for one who is on the way: when nobody is there after that wait, the operator is warned.
        'not-arrived': now + command.waitMs,
      });
    }
    case 'accept':
      return accept(alarm, me, command.etaMinutes, now);
    case 'decline':
      return decline(alarm, me, command.reason, now);
    case 'arrive':
      return arrive(alarm, me);
    case 'report':
      if (alarm.response.by === me && alarm.response.stage !== 'on-site') return refuse('not-on-site');
      return notResponder(alarm, me) ?? rule([{ event: 'reported', outcome: command.outcome, text: command.text }], HEARD);
    case 'close':
      return rule([{ event: 'closed', outcome: command.outcome, text: command.text }]);
    case 'snooze':
      return snooze(alarm, command.minutes, command.reason, now);
    case 'withdraw':
      return withdraw(alarm, command.what, me, supervisor);
    case 'lapse-claim':
      if (alarm.claim?.by !== command.by) return refuse('not-due');
      return rule([{ event: 'claim-interrupted', by: command.by, why: 'browser-gone' }]);
    case 'record-ask': {
      const { ask, account, channel, result, why } = command;
      if (result !== 'failed') return rule([{ event: result === 'sent' ? 'ask-sent' : 'ask-delivered', ask, account, channel }]);
      return rule([{ event: 'ask-failed', ask, account, channel, why: why ?? 'not-delivered' }]);
    }
    case 'repair':
      // What it waits for is armed by its phase, as after every command.
      return actor.type === 'centre' && actor.part === 'auditor'
        ? rule([{ event: 'repaired', what: command.what }])
        : refuse('not-allowed');
    case 'pass-deadline':
      return ruleOfTheClock(alarm, command.armed, command.rung, now, (recipients) => asked(recipients, now, newId)) ?? refuse('not-due');
  }
}

/** Somebody has spoken to the person: the ladder's own waits end, and an unseen repeat has been seen. */
const HEARD: Partial<Record<Wait, null>> = { unclaimed: null, 'ladder-restart': null, 'repeat-unseen': null };

function asked(recipients: readonly Recipient[], now: Instant, newId: () => string): AskedRecipient[] {
  return recipients.map(({ account, team, channels }) => ({
    account,
    team,
    asks: channels.map(({ via, afterMs }) => ({ id: newId(), channel: via, dueAt: now + afterMs })),
  }));
}

function accept(alarm: Alarm, me: string, etaMinutes: number | null, now: Instant): Verdict {
  const { stage, by } = alarm.response;
  if (by !== null && by !== me) return refuse('accepted-by-another', by);
  if (stage === 'responding' || stage === 'on-site') return refuse('already-accepted', me);
  if (!alarm.asked.includes(me)) return refuse('not-asked');
  const eta = etaMinutes === null ? alarm.spans.defaultEta : minutes(etaMinutes);
  return rule([{ event: 'accepted', etaAt: Math.round(now + eta), etaGiven: etaMinutes !== null }], {
    'not-arrived': now + ETA_SLACK * eta,
  });
}

/** Whoever of those asked is there first has the case: the one who accepted may be stuck, and more help was sent. */
function arrive(alarm: Alarm, me: string): Verdict {
  const { stage, by } = alarm.response;
  if (stage === 'on-site') return by === me ? refuse('already-on-site') : refuse('accepted-by-another', by ?? undefined);
  const helps = stage === 'responding' && alarm.asked.includes(me) && !alarm.told.includes(me);
  return helps ? rule([{ event: 'arrived' }]) : (notResponder(alarm, me) ?? rule([{ event: 'arrived' }]));
}

/** One who accepted may still have to give up (a breakdown on the way): then the next rung is asked at once. */
function decline(alarm: Alarm, me: string, reason: string, now: Instant): Verdict {
  const mine = alarm.response.by === me;
  if (!mine && !alarm.asked.includes(me)) return refuse('not-asked');
  if (mine && alarm.response.stage === 'on-site') return refuse('already-on-site');
  const left = alarm.asked.filter((account) => account !== me && !alarm.told.includes(account));
  const nobodyLeft = mine || (alarm.response.stage === 'dispatched' && left.length === 0);
  const next: Wait = alarm.ladder.exhausted ? 'ladder-restart' : 'not-accepted';
  return rule([{ event: 'declined', reason }], nobodyLeft ? { [next]: now } : {});
}

function notResponder(alarm: Alarm, me: string): Refusal | null {
  if (alarm.response.by === null) return refuse('not-accepted');
  return alarm.response.by === me ? null : refuse('accepted-by-another', alarm.response.by);
}

function snooze(alarm: Alarm, span: number, reason: string, now: Instant): Verdict {
  if (needsContact(alarm) && alarm.contact === null) return refuse('no-confirmed-contact');
  if (alarm.response.stage !== 'none' || span <= 0 || span > MAX_SNOOZE_MINUTES) return refuse('not-snoozable');
  const until = now + minutes(span);
  const arms = { snoozed: until, 'not-closed': null, 'day-queue': null, unclaimed: null, 'ladder-restart': null, 'repeat-unseen': null };
  return rule([{ event: 'snoozed', until, reason }], arms);
}

/** Each may take back their own act, a supervisor anybody's. */
function withdraw(alarm: Alarm, what: 'contact' | 'arrival', me: string, supervisor: boolean): Verdict {
  const by = what === 'contact' ? alarm.contact?.by : alarm.response.stage === 'on-site' ? alarm.response.by : undefined;
  if (by === undefined || by === null) return refuse('nothing-to-withdraw');
  if (by !== me && !supervisor && alarm.claim?.by !== me) return refuse('not-allowed', by);
  return rule([{ event: 'withdrawn', what }]);
}
