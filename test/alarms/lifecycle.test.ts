/** The lifecycle as a table of every state × every command, its refusals in order, and its waits. */
import t from 'tap';
import { type Alarm, type State, STATES, deadlineOf, stateOf } from '../../src/alarms/alarm.ts';
import { type Actor, type AlarmCommand, type CommandName, PERSON_COMMANDS, SYSTEM_COMMANDS } from '../../src/alarms/command.ts';
import { fold } from '../../src/alarms/fold.ts';
import { decide } from '../../src/alarms/lifecycle.ts';
import { timelineViewOf, viewOf } from '../../src/alarms/view.ts';
import { minutes } from '../../src/base/clock.ts';
import {
  DISPATCH,
  KARI,
  LEDER,
  NATT,
  NATT2,
  OLA,
  RUNG,
  SPANS,
  START,
  SWEEP,
  after,
  openedBy,
  person,
  recipient,
  signal,
  take,
  uuid,
} from '../support/alarms.ts';

const waiting = openedBy();
const claimed = after(waiting, { command: 'claim' });
const dispatched = after(claimed, DISPATCH);
const responding = after(dispatched, { command: 'accept', etaMinutes: 10 }, NATT);
const onSite = after(responding, { command: 'arrive' }, NATT);
const contacted = after(claimed, { command: 'confirm-contact', how: 'voice' });
const closed = after(contacted, { command: 'close', outcome: 'helped-by-voice', text: '' });

const IN_STATE: Record<State, Alarm> = { waiting, claimed, dispatched, responding, 'on-site': onSite, closed };

/** One order of each kind, by the person who would give it. */
const ORDERS: Record<CommandName, (alarm: Alarm) => [AlarmCommand, Actor]> = {
  claim: () => [{ command: 'claim' }, OLA],
  'take-over': () => [{ command: 'take-over', reason: 'bytter plass' }, LEDER],
  release: () => [{ command: 'release' }, KARI],
  see: () => [{ command: 'see' }, KARI],
  'confirm-contact': () => [{ command: 'confirm-contact', how: 'voice' }, KARI],
  note: () => [{ command: 'note', text: 'ringer datter' }, OLA],
  dispatch: () => [DISPATCH, KARI],
  accept: () => [{ command: 'accept', etaMinutes: null }, NATT2],
  decline: () => [{ command: 'decline', reason: 'opptatt' }, NATT2],
  arrive: () => [{ command: 'arrive' }, NATT],
  report: () => [{ command: 'report', outcome: 'helped-on-site', text: 'hjulpet opp' }, NATT],
  close: () => [{ command: 'close', outcome: 'other', text: '' }, KARI],
  'override-contact': () => [{ command: 'override-contact', reason: 'sett av nabo' }, LEDER],
  snooze: () => [{ command: 'snooze', minutes: 30, reason: 'ringer igjen' }, KARI],
  withdraw: () => [{ command: 'withdraw', what: 'arrival' }, NATT],
  'pass-deadline': (alarm) => [{ command: 'pass-deadline', armed: deadlineOf(alarm) ?? { at: 0, what: 'unclaimed' }, rung: RUNG }, SWEEP],
  'lapse-claim': () => [{ command: 'lapse-claim', by: 'operator' }, SWEEP],
  'record-ask': () => [{ command: 'record-ask', ask: uuid(), account: 'natt', channel: 'sms', result: 'delivered', why: null }, SWEEP],
  repair: () => [
    { command: 'repair', what: 'row-differs' },
    { type: 'centre', part: 'auditor' },
  ],
};

/** What comes of each order in each state: the state after it, or `!` and the refusal. In the order of STATES. */
const TABLE: Record<CommandName, readonly [string, string, string, string, string, string]> = {
  claim: ['claimed', '!taken-by-another', '!taken-by-another', '!taken-by-another', '!taken-by-another', '!already-closed'],
  'take-over': ['claimed', 'claimed', 'dispatched', 'responding', 'on-site', '!already-closed'],
  release: ['!not-claimed', 'waiting', 'dispatched', 'responding', 'on-site', '!already-closed'],
  see: ['!not-claimed', 'claimed', 'dispatched', 'responding', 'on-site', '!already-closed'],
  'confirm-contact': ['waiting', 'claimed', 'dispatched', 'responding', 'on-site', '!already-closed'],
  note: ['waiting', 'claimed', 'dispatched', 'responding', 'on-site', 'closed'],
  dispatch: ['dispatched', 'dispatched', 'dispatched', 'responding', 'on-site', '!already-closed'],
  accept: ['!not-asked', '!not-asked', 'responding', '!accepted-by-another', '!accepted-by-another', '!already-closed'],
  decline: ['!not-asked', '!not-asked', 'dispatched', 'responding', 'on-site', '!already-closed'],
  arrive: ['!not-accepted', '!not-accepted', '!not-accepted', 'on-site', '!already-on-site', '!already-closed'],
  report: ['!not-accepted', '!not-accepted', '!not-accepted', '!not-on-site', 'claimed', '!already-closed'],
  close: [
    '!no-confirmed-contact',
    '!no-confirmed-contact',
    '!no-confirmed-contact',
    '!no-confirmed-contact',
    '!no-confirmed-contact',
    '!already-closed',
  ],
  'override-contact': ['waiting', 'claimed', 'dispatched', 'responding', 'on-site', '!already-closed'],
  snooze: [
    '!no-confirmed-contact',
    '!no-confirmed-contact',
    '!no-confirmed-contact',
    '!no-confirmed-contact',
    '!no-confirmed-contact',
    '!already-closed',
  ],
  withdraw: [
    '!nothing-to-withdraw',
    '!nothing-to-withdraw',
    '!nothing-to-withdraw',
    '!nothing-to-withdraw',
    'responding',
    '!already-closed',
  ],
  'pass-deadline': ['dispatched', 'claimed', 'dispatched', 'responding', 'on-site', '!already-closed'],
  'lapse-claim': ['!not-due', 'waiting', 'dispatched', 'responding', 'on-site', '!already-closed'],
  'record-ask': ['waiting', 'claimed', 'dispatched', 'responding', 'on-site', 'closed'],
  repair: ['waiting', 'claimed', 'dispatched', 'responding', 'on-site', 'closed'],
};

const LATER = START + minutes(24 * 60);
const order = (alarm: Alarm, command: AlarmCommand, actor: Actor, version: number | null = null, at = LATER) =>
  decide(alarm, command, { actor, version, doneAt: null }, at, uuid);

await t.test('every state answers every command as the table says', async (t) => {
  t.same(Object.keys(TABLE).toSorted(), [...PERSON_COMMANDS, ...SYSTEM_COMMANDS].toSorted(), 'the table has every command');
  for (const name of Object.keys(TABLE) as CommandName[]) {
    for (const [index, state] of STATES.entries()) {
      const before = IN_STATE[state];
      const [command, actor] = ORDERS[name](before);
      const answer = order(before, command, actor);
      const got = 'refused' in answer ? `!${answer.refused}` : stateOf(answer.alarm);
      t.equal(got, TABLE[name][index], `${name} in ${state}`);
      if ('refused' in answer) continue;
      t.same(
        answer.entries.reduce((alarm: Alarm, entry) => fold(alarm.number, alarm, entry), before),
        answer.alarm,
        'the alarm is its fold',
      );
      if (state !== 'closed') t.not(deadlineOf(answer.alarm), null, `${name} in ${state} leaves a deadline`);
    }
  }
});

await t.test('refusals come in their fixed order, and say who', async (t) => {
  const close: AlarmCommand = { command: 'close', outcome: 'other', text: '' };
  t.same(order(closed, close, OLA, 1), { refused: 'already-closed', by: 'operator' });
  t.same(order(claimed, close, OLA, 1), { refused: 'taken-by-another', by: 'operator' }, 'before the missing contact');
  t.same(order(claimed, close, KARI, 0), { refused: 'no-confirmed-contact' }, 'before being overtaken');
  const again = take(signal(), { open: contacted }).decided?.alarm;
  if (again === undefined) throw new Error('the repeat joined nothing');
  t.same(order(again, close, KARI, contacted.version), { refused: 'overtaken' });
  t.match(order(again, close, KARI, again.version), { alarm: { closed: { by: 'operator' } } });
  t.match(order(again, close, KARI, null), { alarm: { closed: {} } }, 'a caller that tells no version is not refused for it');
  const noted = after(contacted, { command: 'note', text: 'x' }, OLA);
  t.match(order(noted, close, KARI, contacted.version), { alarm: { closed: {} } }, 'only a signal overtakes, not a note');
  t.same(order(claimed, { command: 'claim' }, KARI), { refused: 'taken-by-another', by: 'operator' }, 'a second claim, even by the same');
  t.same(order(responding, { command: 'accept', etaMinutes: 5 }, NATT2), { refused: 'accepted-by-another', by: 'natt' });
  t.same(order(responding, { command: 'accept', etaMinutes: 5 }, NATT), { refused: 'already-accepted', by: 'natt' });
  t.same(order(claimed, { command: 'override-contact', reason: 'x' }, KARI), { refused: 'not-allowed' });
  t.same(order(claimed, { command: 'override-contact', reason: ' ' }, LEDER), { refused: 'reason-required' });
  t.same(order(claimed, { command: 'dispatch', to: 'x', recipients: [], waitMs: 1 }, KARI), { refused: 'nobody-on-duty' });
});

await t.test('contact: by voice, by a report from the site, by a supervisor; arriving alone is none', async (t) => {
  const close: AlarmCommand = { command: 'close', outcome: 'other', text: '' };
  t.match(order(onSite, close, KARI), { refused: 'no-confirmed-contact' });
  const reported = after(onSite, { command: 'report', outcome: 'helped-on-site', text: 'hjulpet opp' }, NATT);
  t.match(reported, { contact: { by: 'natt', how: 'visit' }, report: { by: 'natt' }, response: { stage: 'none' } });
  t.match(order(reported, close, KARI), { alarm: { closed: { outcome: 'other' } } });
  const overridden = after(claimed, { command: 'override-contact', reason: 'sett av nabo' }, LEDER);
  t.match(order(overridden, close, KARI), { alarm: { closed: {} } });
  const withdrawn = after(contacted, { command: 'withdraw', what: 'contact' });
  t.match(order(withdrawn, close, KARI), { refused: 'no-confirmed-contact' });
  t.equal(deadlineOf(withdrawn)?.what, 'claim-idle', 'and the claim must do something again');
});

await t.test('losing or releasing a claim never undoes a dispatch', async (t) => {
  for (const before of [dispatched, responding, onSite]) {
    const released = after(before, { command: 'release' });
    t.equal(stateOf(released), stateOf(before));
    const lapsed = after(before, { command: 'lapse-claim', by: 'operator' }, SWEEP);
    t.equal(stateOf(lapsed), stateOf(before));
    t.equal(lapsed.attention.interrupted, true);
    t.same(deadlineOf(lapsed), deadlineOf(before));
  }
});

const armedAt = (alarm: Alarm) => {
  const deadline = deadlineOf(alarm);
  if (deadline === null) throw new Error('nothing is armed');
  return deadline;
};
const pass = (alarm: Alarm, rung = RUNG, late = 0): Alarm => {
  const armed = armedAt(alarm);
  return after(alarm, { command: 'pass-deadline', armed, rung }, SWEEP, armed.at + late);
};

await t.test('each wait has its span and its consequence', async (t) => {
  const wait = (alarm: Alarm) => ({ what: armedAt(alarm).what, seconds: (armedAt(alarm).at - START) / 1000 });
  t.same(wait(waiting), { what: 'unclaimed', seconds: 60 });
  t.same(wait(claimed), { what: 'claim-idle', seconds: 180 });
  t.same(wait(dispatched), { what: 'not-accepted', seconds: 60 });
  t.same(wait(responding), { what: 'not-arrived', seconds: 900 }, 'one and a half times the promised ten minutes');
  t.same(wait(onSite), { what: 'long-on-site', seconds: 3600 });
  t.same(wait(contacted), { what: 'not-closed', seconds: 900 });
  t.equal(deadlineOf(closed), null);

  const warned = pass(claimed);
  t.match(warned, { claim: { by: 'operator' }, attention: { warned: true, sounds: 'owner' } });
  t.same(armedAt(warned), { at: START + 240_000, what: 'claim-warned' });
  const idle = pass(warned);
  t.match(idle, { claim: null, attention: { interrupted: true, sounds: 'everyone' } });
  t.same(armedAt(idle), { at: START + 300_000, what: 'unclaimed' });

  const late = pass(responding);
  t.match(late, { attention: { warned: true } });
  t.equal(armedAt(late).what, 'not-arrived', 'warned again until they arrive or give up');
});

await t.test('the next deadline counts from the act, never from the missed schedule', async (t) => {
  const afterOutage = pass(waiting, RUNG, minutes(60));
  t.same(armedAt(afterOutage), { at: START + 60_000 + minutes(60) + 60_000, what: 'not-accepted' });
});

await t.test('a ladder: told, dispatched, nobody, exhausted in red, started again', async (t) => {
  const told = pass(waiting, { ...RUNG, mode: 'tell', rung: 'overflow' } as typeof RUNG);
  t.equal(stateOf(told), 'waiting');
  t.same(armedAt(told).what, 'unclaimed');
  const sent = pass(told);
  t.equal(stateOf(sent), 'dispatched');
  t.same(sent.asked, ['natt', 'natt2']);
  t.equal(sent.ladder.climbed, 2);
  const nobody = pass(sent, { ...RUNG, recipients: [] } as typeof RUNG);
  t.match(nobody.ladder, { climbed: 3, nobodyOnDuty: true });
  t.equal(armedAt(nobody).at - armedAt(sent).at, 1000, 'a rung without anybody is left at once');
  const exhausted = pass(nobody, { step: 'exhausted' });
  t.match(exhausted.ladder, { exhausted: true });
  t.same(armedAt(exhausted).what, 'ladder-restart');
  const restarted = pass(exhausted);
  t.match(restarted.ladder, { climbed: 0, round: 1, exhausted: true }, 'still red: nobody has taken it');
  t.same(armedAt(restarted), { what: 'not-accepted', at: armedAt(exhausted).at });
  const accepted = after(restarted, { command: 'accept', etaMinutes: null }, NATT, armedAt(restarted).at);
  t.match(accepted, { ladder: { exhausted: false }, response: { by: 'natt', stage: 'responding' } });
});

await t.test('a deadline that is not the armed one, or not due, is not acted on', async (t) => {
  const armed = armedAt(waiting);
  const early = decide(
    waiting,
    { command: 'pass-deadline', armed, rung: RUNG },
    { actor: SWEEP, version: null, doneAt: null },
    armed.at - 1,
    uuid,
  );
  t.same(early, { refused: 'not-due' });
  const stale = order(claimed, { command: 'pass-deadline', armed, rung: RUNG }, SWEEP);
  t.same(stale, { refused: 'not-due' }, 'claimed meanwhile');
});

await t.test('all who were asked decline: the next rung is asked at once', async (t) => {
  const one = after(dispatched, { command: 'decline', reason: 'opptatt' }, NATT, START + 5000);
  t.equal(armedAt(one).at, START + 60_000, 'one is left');
  const none = after(one, { command: 'decline', reason: 'for langt' }, NATT2, START + 6000);
  t.same(armedAt(none), { at: START + 6000, what: 'not-accepted' });
  const givesUp = after(responding, { command: 'decline', reason: 'bilen stoppet' }, NATT, START + 7000);
  t.equal(stateOf(givesUp), 'dispatched');
  t.same(armedAt(givesUp), { at: START + 7000, what: 'not-accepted' });
});

await t.test('a repeat on a claimed alarm sounds for its owner, unseen for everyone', async (t) => {
  const repeat = take(signal({}, { receivedAt: START + 10_000 }), { open: contacted }).decided?.alarm;
  if (repeat === undefined) throw new Error('the repeat joined nothing');
  t.match(repeat, { signalCount: 2, attention: { sounds: 'owner' } });
  t.same(armedAt(repeat), { at: START + 70_000, what: 'repeat-unseen' });
  const unseen = pass(repeat);
  t.equal(unseen.attention.sounds, 'everyone');
  const seen = after(repeat, { command: 'see' });
  t.equal(seen.attention.sounds, 'nobody');
  t.not(armedAt(seen).what, 'repeat-unseen');
});

await t.test('contact counts for what came before it: a later press must be spoken to again', async (t) => {
  const aside = after(contacted, { command: 'snooze', minutes: 60, reason: 'ringer igjen' });
  t.match(aside, { claim: null });
  t.same(armedAt(aside), { what: 'snoozed', at: START + minutes(60) });
  const repeat = take(signal({}, { receivedAt: START + 1000 }), { open: aside }).decided?.alarm;
  if (repeat === undefined) throw new Error('the repeat joined nothing');
  t.same(armedAt(repeat), { what: 'unclaimed', at: START + 61_000 }, 'the ladder begins again');
  t.match(repeat, { contact: null, attention: { sounds: 'everyone' } });
  const duringTheCall = take(signal({}, { receivedAt: START + 60_000 }), { open: contacted }).decided?.alarm;
  t.match(duringTheCall, { contact: { how: 'voice' } }, 'a second press during the call is the same need');
  const later = take(signal({}, { receivedAt: START + 60_001 }), { open: contacted }).decided?.alarm;
  if (later === undefined) throw new Error('the repeat joined nothing');
  t.equal(later.contact, null);
  t.ok(later.waits['claim-idle'], 'and the claim must do something again');
  t.match(order(later, { command: 'close', outcome: 'other', text: '' }, KARI), { refused: 'no-confirmed-contact' });
});

await t.test('instants are whole milliseconds, so that a row equals its alarm', async (t) => {
  const accepted = after(dispatched, { command: 'accept', etaMinutes: 10 / 7 }, NATT);
  t.ok(Number.isInteger(armedAt(accepted).at) && Number.isInteger(accepted.response.etaAt));
  const snoozed = after(contacted, { command: 'snooze', minutes: 1 / 7, reason: 'x' });
  t.ok(Number.isInteger(armedAt(snoozed).at));
});

await t.test('more help for one who is on the way: the operator is warned, and whoever is there first has the case', async (t) => {
  const helped = after(responding, { ...DISPATCH, recipients: [recipient('sola1')] } as typeof DISPATCH, KARI, START + 1000);
  t.equal(stateOf(helped), 'responding');
  t.same(armedAt(helped), { what: 'not-arrived', at: START + 61_000 });
  const there = after(helped, { command: 'arrive' }, person('sola1', 'responder'), START + 2000);
  t.match(there.response, { stage: 'on-site', by: 'sola1' });
  t.match(order(there, { command: 'arrive' }, NATT), { refused: 'accepted-by-another', by: 'sola1' });
});

await t.test('only the auditor repairs, and an alarm that waits for nothing waits again for what its phase waits for', async (t) => {
  t.same(order(waiting, { command: 'repair', what: 'row-differs' }, LEDER), { refused: 'not-allowed' });
  const forgotten = { ...claimed, waits: {} };
  const mended = after(forgotten, { command: 'repair', what: 'no-deadline' }, { type: 'centre', part: 'auditor' }, START + 5000);
  t.same(armedAt(mended), { at: START + 5000 + SPANS.claimIdle, what: 'claim-idle' });
  t.same({ ...mended, waits: {}, version: 0 }, { ...forgotten, version: 0 }, 'nothing else of it changes');
});

await t.test('nobody silences for all what nobody has taken', async (t) => {
  t.match(order(waiting, { command: 'see' }, KARI), { refused: 'not-claimed' });
  const unclaimed = after(waiting, { command: 'confirm-contact', how: 'voice' });
  t.equal(after(unclaimed, { command: 'withdraw', what: 'contact' }).attention.sounds, 'everyone');
});

await t.test('a technical alarm closes without contact and climbs no ladder', async (t) => {
  const technical = openedBy(signal({ role: 'technical', kind: 'battery-low', priority: 'technical' }));
  t.same(armedAt(technical), { at: START + SPANS.dayQueue, what: 'day-queue' });
  t.equal(technical.attention.sounds, 'nobody');
  t.match(order(technical, { command: 'close', outcome: 'technical-task', text: '' }, KARI), { alarm: { closed: {} } });
});

await t.test('the view is plain JSON with instants in RFC 3339', async (t) => {
  t.match(viewOf(waiting), {
    number: '1001',
    state: 'waiting',
    closable: false,
    openedAt: '2026-11-22T20:00:00.000Z',
    nextDeadline: { at: '2026-11-22T20:01:00.000Z', what: 'unclaimed' },
    household: { id: 'h1' },
    claimedBy: null,
  });
  t.equal(viewOf(contacted).closable, true);
  const entry = take(signal()).decided?.entries[0];
  if (entry === undefined) throw new Error('no entry');
  t.match(timelineViewOf(entry), { version: 1, at: '2026-11-22T20:00:00.000Z', deadlines: { unclaimed: '2026-11-22T20:01:00.000Z' } });
});

await t.test('a timeline with a hole, or that opens twice, is a bug and never bridged', async (t) => {
  const entry = { version: 9, at: START, doneAt: null, actor: KARI, event: { event: 'claimed' }, arms: {} } as const;
  t.throws(() => fold('1001', waiting, entry), RangeError);
  t.throws(() => fold('1001', null, { ...entry, version: 1 }), RangeError);
});
