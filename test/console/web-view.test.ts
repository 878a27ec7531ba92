/** The rules of the browser side, without a browser: board, feed, sounds, commands and keys, cases and acts, words. */
import t from 'tap';
import { STATES, WAITS, stateOf } from '../../src/alarms/alarm.ts';
import { ASK_FAILURES, CHANNELS, CONTACT_WAYS, OUTCOMES, REFUSALS, REPAIRS, ROLES, WITHDRAWABLE } from '../../src/alarms/command.ts';
import { type AlarmEvent, EVENT_NAMES, PRIORITY_RULES } from '../../src/alarms/event.ts';
import { KINDS, PRIORITIES } from '../../src/alarms/signal.ts';
import { type AlarmView, timelineViewOf, viewOf } from '../../src/alarms/view.ts';
import { checksum } from '../../src/console/feed-checksum.ts';
import type { PulseMessage, ServerMessage } from '../../src/console/feed-messages.ts';
import { readProblem, readSocketMessage } from '../../src/console/web/contract.ts';
import { en } from '../../src/console/web/texts/en.ts';
import { nb } from '../../src/console/web/texts/nb.ts';
import * as words from '../../src/console/web/texts/words.ts';
import {
  type Acts,
  type QueuedAct,
  afterTry,
  fateOf,
  nextAct,
  refusedActs,
  textToSave,
  waitingActs,
  withAct,
} from '../../src/console/web/view/acts.ts';
import {
  ageText,
  countdown,
  dateOf,
  instantOf,
  sameDay,
  shortTime,
  spanText,
  timeOfDay,
  whenText,
} from '../../src/console/web/view/ages.ts';
import { LANES, boardOf, flagsOf, neighbour, newestWaiting, outOfSight, toneOf } from '../../src/console/web/view/board.ts';
import { KEYS_OF, offersOf, readKey, withdrawable } from '../../src/console/web/view/commands.ts';
import { batteryTone, devicesPath, silentTone, triggerTone } from '../../src/console/web/view/devices.ts';
import {
  accessInOrder,
  addressOfHome,
  contactsInOrder,
  homePoint,
  percent,
  said,
  spaced,
  telOf,
} from '../../src/console/web/view/facts.ts';
import {
  NO_FEED,
  countsOf,
  freshness,
  retryDelay,
  wantsSnapshot,
  withAlarm,
  withAsked,
  withDisconnected,
  withMessage,
} from '../../src/console/web/view/feed.ts';
import { casesInOrder, stageNow, stageOf, stageWithActs } from '../../src/console/web/view/field.ts';
import { SCREENS, addressOf, placeOf, screensOf } from '../../src/console/web/view/places.ts';
import { coordinates, directionOf, distanceM, distanceText, sketchOf } from '../../src/console/web/view/position.ts';
import {
  NO_PROVISIONAL,
  claimOffer,
  isProvisional,
  newestProvisional,
  noticesFor,
  provisionalRows,
  withProvisional,
  withProvisionalMessage,
  withoutNotice,
} from '../../src/console/web/view/provisional.ts';
import { PATTERNS, soundFor, soundNow } from '../../src/console/web/view/sounds.ts';
import { inOrder } from '../../src/console/web/view/targets.ts';
import { entriesLeftOut, timelineLines } from '../../src/console/web/view/timeline.ts';
import { mayOrder } from '../../src/people/access.ts';
import { early } from '../support/direct.ts';
import { KARI, LEDER, NATT, START, after, openedBy, recipient, signal, take } from '../support/alarms.ts';

const base = viewOf(openedBy());
const view = (more: Partial<AlarmView> = {}): AlarmView => ({ ...base, ...more });
const kari = { account: 'operator', roles: ['operator'] } as const;
const leder = { account: 'leder', roles: ['supervisor'] } as const;
const counts = { life: 0, urgent: 0, care: 0, technical: 0 };
const numbers = (alarms: Iterable<AlarmView>): string[] => [...alarms].map(({ number }) => number);

type Tree = { readonly [key: string]: unknown };
const isTree = (value: unknown): value is Tree => typeof value === 'object' && value !== null;
const shape = (tree: Tree): unknown =>
  Object.fromEntries(Object.entries(tree).map(([key, value]) => [key, isTree(value) ? shape(value) : typeof value]));
const leaves = (tree: Tree, path = ''): [string, string][] =>
  Object.entries(tree).flatMap(([key, value]) =>
    isTree(value) ? leaves(value, `${path}${key}.`) : typeof value === 'string' ? [[`${path}${key}`, value] as [string, string]] : [],
  );
const leavesOf = (tree: Tree): Map<string, string> => new Map(leaves(tree));

await t.test('time as people read it', async (t) => {
  t.equal(spanText(42_000), '0:42');
  t.equal(spanText(725_000), '12:05');
  t.equal(spanText(3_600_000 * 3 + 7 * 60_000), '3 t 07 min');
  t.equal(spanText(86_400_000 * 2 + 4 * 3_600_000), '2 d 4 t');
  t.equal(spanText(-5), '0:00', 'a clock that is a little off makes no negative age');
  t.equal(ageText('2026-11-22T20:00:00.000Z', START + 61_000), '1:01');
  t.equal(ageText('rubbish', START), null);
  t.same(countdown('2026-11-22T20:01:00.000Z', START + 100), { text: '1:00', passed: false, close: false });
  t.same(countdown('2026-11-22T20:00:09.400Z', START), { text: '0:10', passed: false, close: true }, 'rounded up: 0:00 means now');
  t.same(countdown('2026-11-22T20:00:00.000Z', START + 65_000), { text: '1:05', passed: true, close: true });
  t.equal(countdown('rubbish', START), null);
  t.equal(timeOfDay(START), '21:00:00', 'Norwegian time, whatever the machine has');
  t.equal(shortTime(START), '21:00');
  t.equal(dateOf(START), '22.11.2026');
  t.ok(sameDay(START, START + 3_600_000));
  t.equal(whenText(START, START + 1000), '21:00');
  t.equal(whenText(START, START + 86_400_000), '22.11. 21:00');
  t.equal(instantOf(12), 12);
  t.equal(instantOf('2026-11-22T20:00:00Z'), START);
  t.equal(instantOf(null), null);
});

await t.test('the board: lanes, order, remarks', async (t) => {
  const at = (minute: number): string => `2026-11-22T20:0${minute}:00.000Z`;
  const quiet = { sounds: 'nobody', warned: false, interrupted: false } as const;
  const open = [
    view({ number: '1', openedAt: at(1), state: 'claimed', claimedBy: 'operator2', attention: quiet }),
    view({ number: '2', openedAt: at(3) }),
    view({ number: '3', openedAt: at(2) }),
    view({ number: '4', openedAt: at(0), state: 'claimed', claimedBy: 'operator', attention: quiet }),
    view({ number: '5', openedAt: at(5), state: 'dispatched', attention: quiet, ladder: { ...base.ladder, exhausted: true } }),
    view({ number: '10', openedAt: at(1), priority: 'technical', attention: quiet }),
    view({ number: '9', openedAt: at(1), priority: 'technical', attention: quiet }),
  ];
  const cap = { life: 100, urgent: 100, care: 100, technical: 1 };
  const lanes = boardOf(open, { me: 'operator', cap, counts: { ...counts, technical: 2000 } });
  t.same(
    lanes.map(({ priority }) => priority),
    LANES,
  );
  t.same(numbers(lanes[0]!.rows), ['3', '2', '5', '4', '1'], 'unclaimed and red first, the longest waiting before; then mine, then others');
  t.same(numbers(lanes[3]!.rows), ['9'], 'equal instants by number, which rises: 9 before 10');
  t.equal(lanes[3]!.more, 1999, 'what is not drawn is counted, also what was never sent');
  t.same(numbers(boardOf(open, { me: 'operator2', cap, counts })[0]!.rows), ['3', '2', '5', '1', '4'], 'mine is another for another');

  const repeat = view({ number: '8', openedAt: at(9), state: 'claimed', claimedBy: 'operator', attention: { ...quiet, sounds: 'owner' } });
  t.equal(boardOf([...open, repeat], { me: 'operator', cap, counts })[0]!.rows[3]?.number, '8', 'a repeat on what is mine presses as well');
  const later = view({ number: '6', lastSignalAt: at(6) });
  t.equal(newestWaiting([...open, later])?.number, '6', 'by its last signal');
  t.equal(newestWaiting([view({ priority: 'technical' })]), null);
  t.ok(outOfSight(lanes, '77'));
  t.notOk(outOfSight(lanes, '2'));

  t.equal(neighbour(lanes, null, 1), '3');
  t.equal(neighbour(lanes, null, -1), '9');
  t.equal(neighbour(lanes, '1', 1), '9', 'from lane to lane');
  t.equal(neighbour(lanes, '9', 1), '9', 'the last row stays');
  t.equal(neighbour([], null, 1), null);

  t.same(flagsOf(base), []);
  const all = view({
    signalCount: 3,
    unknownDevice: true,
    follows: '7',
    cancelledAt: at(1),
    restoredAt: at(1),
    position: { lat: 58, lon: 5 },
    attention: { sounds: 'everyone', warned: true, interrupted: true },
    ladder: { ...base.ladder, nobodyOnDuty: true, exhausted: true },
  });
  t.same(flagsOf(all).slice(0, 3), ['nobody-on-duty', 'ladder-exhausted', 'interrupted'], 'red ones first');
  t.equal(flagsOf(all).length, 10);
  t.same(flagsOf(view({ unreadable: true, unknownDevice: true })), ['unreadable'], 'unreadable says more than unknown');
  t.equal(toneOf('nobody-on-duty'), 'danger');
});

await t.test('sound until claimed, and for the owner on a repeat', async (t) => {
  const everyone = { ...base.attention, sounds: 'everyone' } as const;
  const owner = { ...base.attention, sounds: 'owner' } as const;
  const nobody = { ...base.attention, sounds: 'nobody' } as const;
  t.equal(soundNow([], 'operator'), null);
  t.equal(soundNow([view({ attention: nobody })], 'operator'), null);
  t.equal(
    soundNow([view({ attention: everyone, priority: 'care' }), view({ attention: everyone, priority: 'urgent' })], 'operator'),
    'urgent',
  );
  t.equal(soundNow([view({ attention: owner, claimedBy: 'operator' })], 'operator'), 'life');
  t.equal(soundNow([view({ attention: owner, claimedBy: 'operator' })], 'operator2'), null);
  t.equal(soundFor([]), null);
  for (const lane of LANES)
    t.ok(
      PATTERNS[lane].every > 1000 * Math.max(...PATTERNS[lane].tones.map(({ at, lasts }) => at + lasts)),
      `${lane} ends before it begins again`,
    );
});

await t.test('the feed: snapshot, changes, pulses', async (t) => {
  const one = view({ number: '1', version: 3 });
  const two = view({ number: '2', version: 1, priority: 'technical' });
  const snapshot = (alarms: AlarmView[], complete = true, more = counts): ServerMessage => ({
    type: 'snapshot',
    feed: 'e.1',
    alarms,
    counts: more,
    complete,
    now: '',
  });
  const pulse = (alarms: AlarmView[], feed = 'e.1'): PulseMessage => ({
    type: 'pulse',
    feed,
    counts: { ...counts, technical: 900 },
    now: '',
    ...checksum(alarms),
  });

  t.equal(freshness(NO_FEED, 0), 'first');
  let state = withMessage(NO_FEED, snapshot([one, two]), 1000);
  t.same(numbers(state.open.values()), ['1', '2']);
  t.ok(state.connected);
  t.equal(freshness(state, 7000), 'live');
  t.equal(freshness(state, 7001), 'stale', 'six seconds without a pulse');

  const newer = view({ number: '1', version: 5 });
  state = withMessage(state, { type: 'alarm', feed: 'e.2', alarm: newer }, 1100);
  t.equal(state.feed, 'e.2', 'resumes after what it has');
  t.equal(withAlarm(state, one), state, 'an older version changes nothing');
  t.equal(withMessage(state, { type: 'alarm', feed: 'e.2', alarm: newer }, 1100).open.get('1'), newer, 'the same version again neither');

  const closed = view({ number: '1', version: 6, state: 'closed', closedAt: '2026-11-22T20:10:00Z' });
  state = withMessage(state, { type: 'alarm', feed: 'e.3', alarm: closed }, 1200);
  t.same(numbers(state.open.values()), ['2']);
  t.same(numbers(withAlarm(state, newer).open.values()), ['2'], 'a late, older change does not bring a closed alarm back');
  t.same(numbers(withMessage(state, snapshot([newer, two]), 1300).open.values()), ['2'], 'nor does a snapshot that was read before');
  t.equal(state.gone.get('1')?.alarm, closed, 'how it ended is remembered');

  const again = withMessage(state, { type: 'gone', feed: 'e.4', number: '2', version: 2 }, 1300);
  t.equal(again.open.size, 0);
  t.same(numbers(withAlarm(again, view({ number: '2', version: 3 })).open.values()), ['2'], 'back when it is asked of us again');
  t.equal(withMessage(state, { type: 'gone', feed: 'e.4', number: '2', version: 0 }, 1300).open.size, 1, 'an older goodbye is ignored');

  t.equal(withMessage(state, pulse([two]), 3000).mismatches, 0);
  t.equal(freshness(withMessage(state, pulse([two]), 3000), 8000), 'live');
  let off = withMessage(state, pulse([two, one]), 3000);
  t.notOk(wantsSnapshot(off, 3000), 'one pulse may have overtaken the change that it counts');
  off = withMessage(off, pulse([two, one]), 5000);
  t.ok(wantsSnapshot(off, 5000));
  off = withMessage(withMessage(withAsked(off, 5000), pulse([one]), 6000), pulse([one]), 7000);
  t.notOk(wantsSnapshot(off, 7000), 'not again at once');
  t.ok(wantsSnapshot(off, 10_000));
  t.equal(withMessage(off, snapshot([two]), 10_000).mismatches, 0);
  t.equal(freshness(withMessage(state, snapshot([two]), 9000), 9000), 'stale', 'a snapshot alone does not say that the feed is alive');

  const partly = withMessage(NO_FEED, snapshot([one, two], false, { ...counts, life: 1, technical: 900 }), 0);
  t.equal(
    withMessage(partly, pulse([one, two, { ...two, number: '3' }]), 0).mismatches,
    0,
    'with technical ones left out only the others are compared',
  );
  t.equal(withMessage(partly, pulse([newer]), 0).mismatches, 1);
  t.same(countsOf(partly), { life: 1, urgent: 0, care: 0, technical: 900 });
  t.same(countsOf(state), { ...counts, technical: 1 }, 'a complete picture counts itself');

  t.notOk(withDisconnected(state).connected);
  t.equal(withDisconnected(NO_FEED), NO_FEED);
  t.ok(withMessage(withDisconnected(state), { type: 'resumed', feed: 'e.5', counts, now: '' }, 0).connected);
  t.equal(withMessage(state, { type: 'pong', now: '' }, 0), state);
  t.same(
    [0, 1, 2, 9].map((tries) => retryDelay(tries, 0)),
    [300, 600, 1200, 5000],
  );
  t.equal(retryDelay(0, 0.9), 210);
});

await t.test('the feed forgets the oldest closed ones', async (t) => {
  let state = NO_FEED;
  for (let n = 0; n < 2100; n += 1) state = withAlarm(state, view({ number: String(n), version: 2, closedAt: '2026-11-22T20:10:00Z' }));
  t.equal(state.gone.size, 2000);
  t.notOk(state.gone.has('0'));
});

await t.test('which commands are offered', async (t) => {
  const names = (alarm: AlarmView, me: Parameters<typeof offersOf>[1]): string[] => offersOf(alarm, me).map(({ command }) => command);
  const mine = view({ state: 'claimed', claimedBy: 'operator' });
  const others = view({ state: 'claimed', claimedBy: 'operator2' });
  t.same(names(base, kari), ['claim', 'confirm-contact', 'dispatch', 'note', 'close']);
  t.same(names(mine, kari), ['confirm-contact', 'dispatch', 'note', 'close', 'release']);
  const close = offersOf(mine, kari).find(({ command }) => command === 'close');
  t.same(close?.blocked, { why: 'no-confirmed-contact' }, 'close is seen, barred, with its reason');
  t.equal(offersOf(base, kari).find(({ primary }) => primary)?.command, 'claim');
  t.equal(offersOf(mine, kari).find(({ primary }) => primary)?.command, 'confirm-contact');
  const contacted = view({ ...mine, contact: { by: 'operator', at: '', how: 'voice' }, closable: true });
  t.equal(offersOf(contacted, kari).find(({ primary }) => primary)?.command, 'close');
  t.ok(names(contacted, kari).includes('withdraw'));
  t.ok(names(contacted, kari).includes('snooze'));
  t.same(offersOf(others, kari).find(({ command }) => command === 'dispatch')?.blocked, { why: 'taken-by-another', by: 'operator2' });
  t.notOk(names(others, kari).includes('take-over'), 'only a supervisor takes over');
  t.ok(names(others, leder).includes('take-over'));
  t.ok(names(base, leder).includes('override-contact'));
  t.notOk(names(contacted, leder).includes('override-contact'), 'nothing to override');
  t.equal(names(view({ ...mine, attention: { ...base.attention, sounds: 'owner' } }), kari)[0], 'see');
  t.same(names(view({ state: 'closed', closedAt: '' }), leder), ['note'], 'a closed alarm takes notes only');
  t.same(names(base, { account: 'natt', roles: ['responder'] }), [], 'a responder has the phone page');
  const technical = view({ priority: 'technical', closable: true });
  t.same(names(technical, { account: 'teknisk', roles: ['technician'] }), ['claim', 'note', 'close', 'snooze']);
  t.same(
    withdrawable(view({ state: 'on-site', responder: 'natt', contact: { by: 'natt', at: '', how: 'visit' } }), kari),
    [],
    'not what others did',
  );
  t.same(withdrawable(view({ state: 'on-site', responder: 'natt', contact: { by: 'natt', at: '', how: 'visit' } }), leder), [
    'contact',
    'arrival',
  ]);
  for (const role of ROLES) {
    for (const alarm of [base, mine, others, contacted, technical]) {
      for (const { command } of offersOf(alarm, { account: 'operator', roles: [role] }))
        t.ok(mayOrder([role], command), `${role} may ${command}`);
    }
  }
});

await t.test('keys', async (t) => {
  const press = (key: string, more: object = {}) =>
    readKey({ key, ctrlKey: false, altKey: false, metaKey: false, inField: false, ...more });
  t.same(press('t'), { wish: 'command', command: 'claim' });
  t.same(press('K'), { wish: 'command', command: 'confirm-contact' });
  t.equal(press('t', { inField: true }), null, 'letters are letters in a field');
  t.same(press('Escape', { inField: true }), { wish: 'back' });
  t.equal(press('t', { ctrlKey: true }), null, 'ctrl-T is the browser’s');
  t.same(press('ArrowDown'), { wish: 'move', step: 1 });
  t.same(press('ArrowUp'), { wish: 'move', step: -1 });
  t.same(press('?'), { wish: 'help' });
  t.same(press('m'), { wish: 'sound' });
  t.equal(press('x'), null);
  t.equal(new Set(Object.values(KEYS_OF)).size, Object.keys(KEYS_OF).length, 'no key twice');
});

await t.test('screens by role, and their addresses', async (t) => {
  t.same(screensOf(['operator']), ['board', 'duty', 'devices']);
  t.same(screensOf(['responder']), ['field']);
  t.same(screensOf(['technician']), ['devices', 'board'], 'the day queue is theirs');
  t.same(screensOf(['supervisor', 'responder']), SCREENS);
  t.equal(addressOf({ screen: 'board', alarm: '12' }), '#/tavle/12');
  t.same(placeOf('/', '#/tavle/12', ['operator']), { screen: 'board', alarm: '12' });
  t.same(placeOf('/', '', ['technician']), { screen: 'devices', alarm: null });
  t.same(placeOf('/', '#/enheter', ['responder']), { screen: 'field', alarm: null }, 'an address of others leads home');
  t.same(placeOf('/a/77', '', ['responder']), { screen: 'field', alarm: '77' }, 'the link of an SMS');
  t.same(placeOf('/', '#/alarm/77', ['operator', 'responder']), { screen: 'board', alarm: '77' });
  t.same(placeOf('/', '#/tavle/%E0%A4%A', ['operator']), { screen: 'board', alarm: '%E0%A4%A' }, 'a broken address is no error');
});

await t.test('a responder’s cases', async (t) => {
  let alarm = openedBy();
  const order = (command: Parameters<typeof after>[1], actor: Parameters<typeof after>[2]): AlarmView =>
    viewOf((alarm = after(alarm, command, actor)));
  const asked = order(
    { command: 'dispatch', to: 'Nattpatrulje', recipients: [recipient('natt'), recipient('natt2')], waitMs: 60_000 },
    KARI,
  );
  t.equal(stageOf(asked, 'natt'), 'asked');
  t.equal(stageOf(asked, 'fremmed'), 'left');
  const accepted = order({ command: 'accept', etaMinutes: 10 }, NATT);
  t.equal(stageOf(accepted, 'natt'), 'going');
  t.equal(stageOf(accepted, 'natt2'), 'taken');
  t.equal(stageOf(order({ command: 'arrive' }, NATT), 'natt'), 'on-site');
  t.equal(stageOf(order({ command: 'report', outcome: 'helped-on-site', text: '' }, NATT), 'natt'), 'reported');
  t.equal(stageOf(order({ command: 'close', outcome: 'helped-on-site', text: '' }, LEDER), 'natt'), 'closed');
  t.equal(stateOf(alarm), 'closed');

  const act = (command: QueuedAct['command'], more: Partial<QueuedAct> = {}): QueuedAct => ({
    key: command.command,
    number: asked.number,
    command,
    version: 1,
    doneAt: '',
    delayed: true,
    refused: null,
    ...more,
  });
  const acts = [act({ command: 'accept', etaMinutes: 10 }), act({ command: 'arrive' })];
  t.equal(stageWithActs(asked, 'natt', acts), 'on-site', 'what is queued counts for the one who did it');
  t.equal(
    stageWithActs(asked, 'natt', [act({ command: 'accept', etaMinutes: 10 }, { refused: { code: 'accepted-by-another', by: 'natt2' } })]),
    'asked',
  );
  t.equal(stageWithActs(view({ state: 'closed' }), 'natt', acts), 'closed');

  const life = { ...asked, number: '1' };
  const care = { ...asked, number: '2', priority: 'care' as const };
  const going = { ...accepted, number: '3' };
  t.same(
    casesInOrder([care, going, life], 'natt', []).map((one) => one.alarm.number),
    ['1', '3', '2'],
    'a life is asked for before all; then what is under way',
  );

  const live = { ...withMessage(NO_FEED, { type: 'snapshot', feed: 'e', alarms: [life], counts, complete: true, now: '' }, 0) };
  t.equal(stageNow(life, 'asked', live), 'asked');
  t.equal(stageNow(care, 'asked', live), 'left', 'a kept case that the living feed no longer has is not ours');
  t.equal(stageNow(care, 'asked', withAlarm(live, { ...care, version: 99, state: 'closed', closedAt: 'x' })), 'closed');
  t.equal(stageNow(care, 'asked', withDisconnected(live)), 'asked', 'without network the memory stands');
});

await t.test('acts on their way', async (t) => {
  const act = (key: string, more: Partial<QueuedAct> = {}): QueuedAct => ({
    key,
    number: '1',
    command: { command: 'arrive' },
    version: 1,
    doneAt: 'x',
    delayed: false,
    refused: null,
    ...more,
  });
  let acts: Acts = withAct(withAct([], act('a')), act('b'));
  t.equal(withAct(acts, act('a')), acts, 'the same key is one act');
  t.equal(nextAct(acts)?.key, 'a');
  acts = afterTry(acts, 'a', { became: 'away' });
  t.same(
    acts.map(({ delayed }) => delayed),
    [true, true],
    'what waits behind it is late as well',
  );
  t.equal(waitingActs(acts), 2);
  acts = afterTry(acts, 'a', { became: 'refused', problem: { status: 409, code: 'accepted-by-another', detail: '', by: 'natt2' } });
  t.same(refusedActs(acts, '1')[0]?.refused, { code: 'accepted-by-another', by: 'natt2' });
  t.equal(nextAct(acts)?.key, 'b', 'a refused act does not hold up the next');
  t.equal(waitingActs(afterTry(acts, 'b', { became: 'done' })), 0);
  t.equal(nextAct([]), null);
  for (const status of [401, 408, 429, 500, 503])
    t.equal(fateOf({ status, code: 'x', detail: '' }).became, 'away', `${status} refuses nothing`);
  for (const status of [400, 403, 404, 409]) t.equal(fateOf({ status, code: 'x', detail: '' }).became, 'refused');
  t.equal(
    textToSave(act('c', { command: { command: 'report', outcome: 'helped-on-site', text: 'Satt på gulvet' } }), nb.outcomes),
    'Hjulpet på stedet: Satt på gulvet',
  );
  t.equal(textToSave(act('c', { command: { command: 'report', outcome: 'test', text: '' } }), nb.outcomes), 'Prøvealarm');
  t.equal(textToSave(act('c', { command: { command: 'note', text: 'hei' } }), nb.outcomes), 'hei');
  t.equal(textToSave(act('c'), nb.outcomes), null);
});

await t.test('facts of the register', async (t) => {
  t.equal(said('  '), null);
  t.equal(said(null), null);
  t.equal(said(' x '), 'x');
  t.equal(telOf('+47 412 34 567'), 'tel:+4741234567');
  t.equal(spaced('+4741234567'), '412 34 567');
  t.equal(spaced('51234567'), '51 23 45 67');
  t.equal(spaced('113'), '113');
  t.equal(percent(null), null);
  t.equal(percent(8.6), '9 %');
  const home = {
    id: 'h',
    name: '',
    address: 'Lyngveien 4',
    postcode: '4050',
    place: 'Sola',
    zone: '',
    lat: 58.9,
    lon: 5.6,
    access: {},
    notes: '',
  };
  t.equal(addressOfHome(home), 'Lyngveien 4, 4050 Sola');
  t.equal(addressOfHome({ ...home, address: '', postcode: '', place: '' }), null);
  t.equal(addressOfHome(null), null);
  t.same(homePoint(home), { lat: 58.9, lon: 5.6 });
  t.equal(homePoint({ ...home, lon: null }), null);
  const contact = (name: string, rank: number, hasKey: boolean) => ({ name, rank, hasKey, relation: '', phone: '' });
  t.same(
    contactsInOrder([contact('b', 1, false), contact('c', 2, true), contact('a', 1, true)]).map(({ name }) => name),
    ['a', 'b', 'c'],
  );
  const target = (name: string, kind: 'team' | 'person', onDuty: number, proposed: boolean) => ({ to: name, name, kind, onDuty, proposed });
  t.same(
    inOrder([
      target('tom', 'team', 0, true),
      target('p', 'person', 1, false),
      target('lag', 'team', 1, false),
      target('best', 'team', 2, true),
    ]).map(({ name }) => name),
    ['best', 'lag', 'p', 'tom'],
  );
  t.same(accessInOrder({ news: 'x', doorCode: '1', entrance: 'port', floor: ' ' }, ['entrance', 'floor', 'doorCode']), [
    ['entrance', 'port'],
    ['doorCode', '1'],
    ['news', 'x'],
  ]);
  t.equal(batteryTone(9), 'danger');
  t.equal(batteryTone(15), 'warning');
  t.equal(batteryTone(50), 'plain');
  const seen = { lastSeenAt: '2026-11-22T19:59:00Z', online: null } as const;
  t.equal(silentTone({ ...seen, silence: 'none' }), 'plain');
  t.equal(silentTone({ ...seen, silence: 'late' }), 'warning');
  t.equal(silentTone({ ...seen, silence: 'lost', online: false }), 'danger');
  t.equal(silentTone({ ...seen, silence: 'none', online: false }), 'warning');
  t.equal(silentTone({ lastSeenAt: null, online: null, silence: 'none' }), 'warning');
  t.same(
    (['none', 'late', 'lost'] as const).map((silence) => triggerTone({ silence })),
    ['plain', 'warning', 'danger'],
  );
  t.equal(devicesPath({ search: '', refused: false, silent: false }, null), '/api/v1/devices');
  t.equal(
    devicesPath({ search: 'a&b', refused: true, silent: true }, 'c'),
    '/api/v1/devices?search=a%26b&refused=true&silent=true&cursor=c',
  );
});

await t.test('a position in words and as a sketch', async (t) => {
  const home = { lat: 58.889, lon: 5.6534 };
  const here = { lat: 58.8951, lon: 5.6402 };
  t.ok(Math.abs(distanceM(home, here) - 1017) < 10, 'about a kilometre');
  t.equal(directionOf(home, here), 7, 'north-west');
  t.equal(directionOf(here, home), 3, 'and back south-east');
  t.equal(distanceText(84), '80 m');
  t.equal(distanceText(1442), '1,4 km');
  t.equal(distanceText(12_400), '12 km');
  t.equal(coordinates(home), '58.88900, 5.65340');
  const sketch = sketchOf(home, here, 35);
  t.ok(sketch.here.x < sketch.home.x && sketch.here.y < sketch.home.y, 'west is left, north is up');
  for (const { x, y } of [sketch.home, sketch.here]) t.ok(x >= 0 && x <= 100 && y >= 0 && y <= 100);
  t.ok(sketch.scale.width > 5 && sketch.scale.width < 90);
});

await t.test('socket messages and problems of a newer or older centre', async (t) => {
  t.equal(readSocketMessage('{"type":"news"}'), null, 'what this console does not know');
  t.equal(readSocketMessage('{"type":"toString"}'), null);
  t.equal(readSocketMessage('rubbish'), null);
  t.equal(readSocketMessage('null'), null);
  t.equal(readSocketMessage('{"type":"pong","now":"x"}')?.type, 'pong');
  t.same(readProblem(409, { code: 'taken-by-another', detail: 'd', by: 'operator2' }, null), {
    status: 409,
    code: 'taken-by-another',
    detail: 'd',
    by: 'operator2',
  });
  t.same(readProblem(429, { code: 'slowed-down', title: 'T' }, '7'), { status: 429, code: 'slowed-down', detail: 'T', retryAfter: 7 });
  t.same(readProblem(502, null, null), { status: 502, code: 'unexpected', detail: '' });
});

await t.test('both languages have a text for every word of the domain', async (t) => {
  t.ok(words, 'the shape is loaded');
  for (const texts of [nb, en]) {
    const tables: [string, readonly string[], Record<string, unknown>][] = [
      ['kinds', KINDS, texts.kinds],
      ['priorities', PRIORITIES, texts.priorities],
      ['states', STATES, texts.states],
      ['waits', WAITS, texts.waits],
      ['waitsPassed', WAITS, texts.waitsPassed],
      ['repairs', REPAIRS, texts.repairs],
      ['refusals', REFUSALS, texts.refusals],
      ['outcomes', OUTCOMES, texts.outcomes],
      ['roles', ROLES, texts.roles],
      ['contactWays', CONTACT_WAYS, texts.contactWays],
      ['askFailures', ASK_FAILURES, texts.askFailures],
      ['priorityRules', PRIORITY_RULES, texts.priorityRules],
      ['withdrawables', WITHDRAWABLE, texts.withdrawables],
      ['channels', CHANNELS, texts.channels],
      ['events', EVENT_NAMES, texts.events],
    ];
    for (const [table, members, said] of tables) {
      t.same(
        Object.keys(said)
          .filter((key) => key !== 'override')
          .toSorted(),
        [...members].toSorted(),
        `${texts.lang}: ${table}`,
      );
    }
    t.same(Object.keys(texts.priorities), Object.keys(nb.priorities));
  }
  t.same(shape(en), shape(nb), 'the same keys in both');
  const same = leaves(en).filter(([key, text]) => text.length > 3 && leavesOf(nb).get(key) === text);
  t.ok(same.length < 20, `almost nothing is left untranslated: ${same.map(([key]) => key).join(', ')}`);
});

await t.test('every event has a sentence that a layman can read', async (t) => {
  const facts = {
    signal: 's',
    messageId: 'm',
    kind: 'fall',
    trigger: 'p1',
    marks: ['id-re-used', 'clock-off'],
    code: 'stc 0010',
    text: 'Hjelp',
  } as const;
  const asks = [{ account: 'natt', team: 'n', asks: [] }];
  const events: AlarmEvent[] = [
    {
      event: 'opened',
      lane: 'need',
      priority: 'life',
      priorityRule: 'soon-after-closed',
      sender: signal(),
      ladder: 'default',
      spans: openedBy().spans,
      follows: '1000',
      ...facts,
    },
    { event: 'repeated', priority: 'life', priorityRule: 'raised-by-repeat', ...facts },
    { event: 'duplicate-received', ...facts },
    { event: 'restored', ...facts },
    { event: 'cancel-received', ...facts },
    { event: 'presence-received', ...facts },
    { event: 'call-received', ...facts },
    { event: 'claimed' },
    { event: 'taken-over', from: 'operator', reason: 'Vaktskifte' },
    { event: 'released' },
    { event: 'claim-interrupted', by: 'operator', why: 'browser-gone' },
    { event: 'seen' },
    { event: 'contact-confirmed', how: 'voice' },
    { event: 'contact-overridden', reason: 'Kjent situasjon' },
    { event: 'withdrawn', what: 'contact' },
    { event: 'noted', text: 'Ringte datter' },
    { event: 'dispatched', to: 'Nattpatrulje', rung: 'night', recipients: asks },
    { event: 'told', to: 'Leder', rung: 'tell', recipients: asks },
    { event: 'nobody-on-duty', to: 'Nattpatrulje Sola', rung: 'night' },
    { event: 'all-declined', to: 'Nattpatrulje Sola', rung: 'night' },
    { event: 'ladder-exhausted', round: 2 },
    { event: 'ladder-restarted', round: 3 },
    { event: 'ask-sent', ask: 'a', account: 'natt', channel: 'sms' },
    { event: 'ask-delivered', ask: 'a', account: 'natt', channel: 'sms' },
    { event: 'ask-failed', ask: 'a', account: 'natt', channel: 'page', why: 'no-page-open' },
    { event: 'accepted', etaAt: START, etaGiven: true },
    { event: 'declined', reason: 'Opptatt' },
    { event: 'arrived' },
    { event: 'reported', outcome: 'helped-on-site', text: 'Alt vel' },
    { event: 'deadline-passed', what: 'unclaimed' },
    { event: 'repaired', what: 'row-differs' },
    { event: 'snoozed', until: START, reason: 'Ringer igjen' },
    { event: 'closed', outcome: 'helped-by-voice', text: 'Feil knapp' },
  ];
  t.same(
    events.map(({ event }) => event),
    EVENT_NAMES,
    'all of them are here',
  );
  const say = {
    who: (account: string) => (account === 'natt' ? 'Nina Natt' : 'Kari'),
    team: (id: string) => id,
    time: () => '21:00',
    minutes: () => 1,
  };
  const timeline = events.map((event, index) =>
    timelineViewOf({
      version: index + 1,
      at: START,
      doneAt: event.event === 'declined' ? START - 60_000 : null,
      actor: index === 0 ? { type: 'centre', part: 'intake' } : KARI,
      event,
      arms: {},
    }),
  );
  for (const texts of [nb, en]) {
    const lines = timelineLines(timeline, texts.events, texts.parts, say);
    t.equal(lines.length, events.length);
    t.equal(lines[0]?.version, events.length, 'the newest first');
    for (const { text, version } of lines) {
      t.match(text, /^[A-ZÆØÅ].*[.:»)\w]$/s, `${texts.lang} ${version}: ${text}`);
      t.notMatch(text, /undefined|null|\[object|natt\b/, 'no code words, no account names');
    }
  }
  t.equal(entriesLeftOut([]), 0);
  t.equal(entriesLeftOut(timeline), 0);
  t.equal(entriesLeftOut(timeline.toSpliced(1, 1)), 1, 'one between the first and the newest');
  const lines = timelineLines(timeline, nb.events, nb.parts, say);
  const [last] = lines;
  t.equal(last?.text, 'Lukket: Hjulpet over tale. Feil knapp');
  t.equal(last?.actor, 'Kari');
  t.same(
    lines.filter(({ doneAt }) => doneAt !== null).map(({ version }) => events[version - 1]?.event),
    ['declined'],
  );
  const first = timelineLines(timeline, nb.events, nb.parts, say).at(-1);
  t.equal(first?.actor, 'Mottaket');
  t.match(first?.text, 'hevet fordi forrige alarm nettopp ble lukket');
  const strange = { ...timeline[0]!, event: { event: 'of-tomorrow' } as unknown as AlarmEvent };
  t.equal(timelineLines([strange], nb.events, nb.parts, say)[0]?.text, 'of-tomorrow', 'a newer centre’s event is shown by name');
});

await t.test('a whole timeline of a real alarm reads without holes', async (t) => {
  const { decided } = take(signal());
  const say = { who: (account: string) => account, team: (id: string) => id, time: () => '21:00', minutes: () => 1 };
  const lines = timelineLines(decided!.entries.map(timelineViewOf), nb.events, nb.parts, say);
  t.match(lines[0]?.text, /^Alarmen kom: Trygghetsalarm\. Hastegrad Livsfare/);
});

await t.test('provisional alarms: what is held, in which order, and what becomes of them', async (t) => {
  const shown = (n: number, more: object = {}) => ({ ...early(n), lost: false, ...more });
  const whole = { type: 'provisional', storeAway: true, since: '2026-11-22T22:00:00.000Z', unheard: 0, more: 0 } as const;
  const alarms = [shown(1), shown(2, { claimedBy: 'operator' }), shown(3, { priority: 'technical' }), shown(4, { claimedBy: 'ola' })];
  let state = withProvisionalMessage(NO_PROVISIONAL, { ...whole, alarms, names: { ola: 'Ola Nordmann' } });
  t.match(state, { away: true, since: whole.since, returns: 0 });
  t.equal(state.names.get('ola'), 'Ola Nordmann');
  t.ok(isProvisional('F-00000001'));
  t.notOk(isProvisional('1001'));
  const order = (): string[] => provisionalRows(state.alarms.values(), 'life', 'operator').map(({ number }) => number);
  t.same(
    order(),
    [1, 2, 4].map((n) => early(n).number),
    'nobody’s, mine, others’',
  );
  state = withProvisionalMessage(state, { type: 'provisional-alarm', alarm: shown(0), names: {} });
  t.same(order().slice(0, 2), [early(0).number, early(1).number], 'the oldest first');
  t.equal(newestProvisional(state.alarms.values())?.number, early(1).number, 'taken and technical ones are not named');

  const lanes = boardOf([view({ number: '9', priority: 'life' })], {
    me: 'operator',
    cap: { life: 2, urgent: 9, care: 9, technical: 9 },
    counts,
    provisional: state.alarms.values(),
    provisionalLeft: 7,
  });
  t.match(lanes[0], { provisional: { length: 2 }, provisionalMore: 2, rows: { length: 1 } });
  t.match(lanes[3], { provisional: { length: 1 }, provisionalMore: 7 });
  t.equal(neighbour(lanes, null, 1), early(0).number, 'the keys begin at the top');
  t.equal(neighbour(lanes, early(1).number, 1), '9');
  t.equal(soundNow([], 'operator', state.alarms.values()), 'life', 'they sound until somebody takes them');
  t.equal(soundNow([], 'operator', [shown(2, { claimedBy: 'ola' })]), null);

  t.same(claimOffer(shown(1), 'operator'), { can: true });
  t.same(claimOffer(shown(1, { lost: true }), 'operator'), { can: false, why: 'lost' });
  t.same(claimOffer(shown(2, { claimedBy: 'operator', lost: true }), 'operator'), { can: false, why: 'mine' });
  t.same(claimOffer(shown(4, { claimedBy: 'ola' }), 'operator'), { can: false, why: 'taken', by: 'ola' });

  const replayed = { type: 'provisional-replayed', number: early(2).number, alarm: '9' } as const;
  const done = withProvisionalMessage(state, { ...replayed, claim: { by: 'operator', result: 'done' } });
  t.same(done.notices, [], 'a claim that holds needs no word');
  t.equal(done.became.get(early(2).number), '9');
  t.equal(withProvisional(done, shown(2)), done, 'it does not come back');
  t.notOk(withProvisionalMessage(done, { ...whole, alarms, names: {} }).alarms.has(early(2).number), 'nor with a whole that was late');
  const refused = withProvisionalMessage(state, { ...replayed, claim: { by: 'operator', result: 'refused', code: 'taken-by-another' } });
  t.match(noticesFor(refused, new Map(), 'operator'), [
    { number: early(2).number, alarm: '9', code: 'taken-by-another', was: { claimedBy: 'operator' } },
  ]);
  t.same(withoutNotice(refused, early(2).number).notices, []);
  const unknown = withProvisionalMessage(state, { ...replayed, claim: null });
  t.equal(noticesFor(unknown, new Map(), 'operator').length, 1, 'nobody said what became of the claim');
  t.same(noticesFor(unknown, new Map([['9', view({ number: '9', claimedBy: 'operator' })]]), 'operator'), [], 'but it is theirs');
  t.same(noticesFor(unknown, new Map(), 'ola'), [], 'it was not theirs');
  const back = withProvisionalMessage(state, { ...whole, storeAway: false, since: null, alarms: [], names: {} });
  t.match(back, { away: false, returns: 1, since: null });
  t.equal(back.alarms.size, 0);
  t.match(
    noticesFor(back, new Map(), 'operator'),
    [{ number: early(2).number, alarm: null, code: null }],
    'what they had claimed is gone without a word: intake and console were started anew',
  );
  t.same(
    noticesFor(back, new Map(), 'ola').map(({ number }) => number),
    [early(4).number],
  );
  const theirs = view({ number: '9', claimedBy: 'operator', device: early(2).device, household: early(2).household });
  t.same(noticesFor(back, new Map([['9', theirs]]), 'operator'), [], 'but an alarm from there is theirs');
  const technical = new Map([['9', { ...theirs, priority: 'technical' as const }]]);
  t.equal(noticesFor(back, technical, 'operator').length, 1, 'a technical one from there says nothing about a call for help');
  const again = withProvisionalMessage(back, { type: 'provisional-alarm', alarm: shown(2, { claimedBy: 'operator' }), names: {} });
  t.same(noticesFor(again, new Map(), 'operator'), [], 'shown again, nothing was lost');
  t.match(
    noticesFor(
      withProvisionalMessage(again, { ...replayed, claim: { by: 'operator', result: 'refused', code: 'taken-by-another' } }),
      new Map(),
      'operator',
    ),
    [{ alarm: '9', code: 'taken-by-another' }],
  );
  t.same(withProvisionalMessage(again, { ...replayed, claim: { by: 'operator', result: 'done' } }).notices.length, 1, 'of the other');
});

await t.test('a centre that reads nothing says from when its board is', async (t) => {
  const snapshot = { type: 'snapshot', feed: 'e.1-0', alarms: [], counts, complete: true, now: '2026-11-22T22:00:00.000Z' } as const;
  let state = withMessage(NO_FEED, snapshot, 1000);
  t.equal(freshness(state, 1000), 'live');
  state = withMessage(state, { type: 'blind', boardAt: '2026-11-22T21:58:00.000Z', now: '2026-11-22T22:00:02.000Z' }, 1500);
  t.equal(freshness(state, 1500), 'stale', 'at once, not after 6 s');
  t.equal(state.blindSince, '2026-11-22T21:58:00.000Z');
  state = withMessage(state, { type: 'pulse', feed: 'e.1-0', ...checksum([]), counts, now: '2026-11-22T22:00:04.000Z' }, 2000);
  t.equal(freshness(state, 2000), 'live');
});
