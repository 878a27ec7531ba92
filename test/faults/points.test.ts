/** The short part of `npm run faults`: the harness sees each fault that is planted in its books, and a few kills at named points lose nothing. */
import t from 'tap';
import type { SmsMessage } from '../../simulators/sms-message.ts';
import { type Books, balanced, compare, wholeRun } from './harness/compare.ts';
import { openHouse } from './harness/house.ts';
import { atPoints } from './harness/kills.ts';
import { Ledger } from './harness/ledger.ts';
import { startLoad } from './harness/load.ts';
import { dice } from './harness/random.ts';
import { atTheEnd, carryOut, explained } from './harness/scenario.ts';
import type { AlarmRow, AskRow, SignalRow, TimelineRow, Truth } from './harness/truth.ts';

const SEED = 4;
/** An afternoon. */
const T = Date.UTC(2026, 10, 22, 15, 0, 0);

const signal = (n: number, more: Partial<SignalRow> = {}): SignalRow => ({
  id: `s${n}`,
  source: 'mqtt:F-1',
  message_id: `m${n}`,
  verdict: n === 1 ? 'opened' : 'repeated',
  alarm: '1001',
  ...more,
});
const alarm = (number: string, more: Partial<AlarmRow> = {}): AlarmRow => ({
  number,
  device: 'F-1',
  joining_key: 'household:F-1',
  lane: 'need',
  lane_key: '',
  version: 4,
  signals: 2,
  closed: false,
  ...more,
});
const row = (version: number, after: number, event: TimelineRow['event'], arms: TimelineRow['arms'] = {}): TimelineRow => ({
  ...{ alarm: '1001', version, at: T + after, account: null, event, arms },
});
const ask = (id: string, more: Partial<AskRow> = {}): AskRow => ({
  ...{ id, alarm: '1001', account: 'natt', channel: 'sms', state: 'sent', due_at: T + 5020, life: true, provider_id: `sms-${id}` },
  ...more,
});
const message = (id: string, more: Partial<SmsMessage> = {}): SmsMessage => ({
  ...{ id: `sms-${id}`, to: '+47', from: 'Alarm', text: 'Alarm 1001, LIV, Hundvåg.', reference: id, acceptedAt: T + 5100, posted: 1 },
  ...{ status: 'sent', statusAt: T + 5100 },
  ...more,
});
const recipients = (...ids: string[]) => [{ account: 'natt', asks: ids.map((id) => ({ id, channel: 'sms' })) }];

/** One household that pressed twice; nobody came, the first rung was told 20 ms late, the second was dispatched; an operator noted. */
const TIMELINE = [
  row(1, 0, { event: 'opened' }, { unclaimed: T + 5000 }),
  row(2, 5020, { event: 'deadline-passed', what: 'unclaimed' }),
  row(3, 5020, { event: 'told', rung: 'supervisor-and-overflow', recipients: recipients('a') }, { unclaimed: T + 10_020 }),
  { ...row(4, 6000, { event: 'noted', text: 'Ringer' }), account: 'operator' },
  row(5, 10_030, { event: 'deadline-passed', what: 'unclaimed' }),
  row(6, 10_030, { event: 'dispatched', rung: 'own-zone', recipients: recipients('b') }, { unclaimed: null, 'not-accepted': T + 15_030 }),
];
const SOUND: Truth = {
  readAt: T + 14_000,
  signals: [signal(1), signal(2), signal(2, { id: 's3', verdict: 'duplicate' })],
  alarms: [alarm('1001')],
  timeline: TIMELINE,
  asks: [ask('a'), ask('b', { due_at: T + 10_030 })],
  outbox: 0,
  phones: { natt: '+47', operator: '' },
};
const MESSAGES = [message('a'), message('b', { acceptedAt: T + 10_100 })];

function booksOf(truth: Partial<Truth>, messages: readonly SmsMessage[] = MESSAGES): Books {
  const ledger = new Ledger();
  for (const id of ['m1', 'm2']) ledger.write({ what: 'acknowledged', unit: 'F-1', id, via: 'intake-1' });
  ledger.write({ what: 'ordered', alarm: '1001', account: 'operator', event: 'noted', text: 'Ringer' });
  return compare(ledger, { ...SOUND, ...truth }, messages, { entry: 0, since: T - 1000, graceMs: 1000 });
}

await t.test('books that are in order balance', (t) => {
  const books = booksOf({});
  t.ok(balanced(books));
  t.match(books, { acknowledged: 2, lost: [], asks: 2, toldTwice: [], steps: { done: 2, late: [20, 10] } });
  t.end();
});

await t.test('what is acknowledged and missing is seen, also when only the alarm is', (t) => {
  t.same(booksOf({ signals: [signal(1)] }).lost, ['F-1 m2']);
  t.same(booksOf({ signals: [signal(1), signal(2, { verdict: 'duplicate' })] }).lost, ['F-1 m2'], 'a duplicate of nothing');
  t.same(booksOf({ signals: [signal(1), signal(2, { alarm: null })] }).lost, ['F-1 m2']);
  t.same(booksOf({ signals: [signal(1), signal(2, { alarm: null, verdict: 'kept' })] }).lost, ['F-1 m2'], 'kept, and nobody sees it');
  t.same(booksOf({ alarms: [alarm('1001'), alarm('1002', { device: 'x', signals: 0 })] }).lost, ['alarm 1002 without a signal']);
  t.notOk(balanced(booksOf({ signals: [] })));
  t.end();
});

await t.test('what was acknowledged long ago and is gone at the end is seen', (t) => {
  const ledger = new Ledger();
  for (const id of ['m1', 'm2']) ledger.write({ what: 'acknowledged', unit: 'F-1', id, via: 'intake-1' });
  t.same(wholeRun(ledger, SOUND.signals), []);
  t.same(wholeRun(ledger, [signal(1), signal(1, { id: 's9' })]), ['lost: F-1 m2', 'doubled message: F-1 m1: 2 times']);
  t.end();
});

await t.test('what counts twice is seen: an alarm, a message', (t) => {
  t.same(booksOf({ alarms: [alarm('1001'), alarm('1002')] }).doubledAlarms, ['F-1 need : 1001, 1002']);
  t.same(booksOf({ alarms: [alarm('1001'), alarm('1002', { joining_key: 'source:F-1' })] }).doubledAlarms, ['F-1 need : 1001, 1002']);
  t.same(booksOf({ alarms: [alarm('1001'), alarm('1000', { closed: true })] }).doubledAlarms, [], 'one after the other is none');
  t.same(booksOf({ signals: [signal(1), signal(2), signal(2, { id: 's4' })] }).doubledMessages, ['F-1 m2: 2 times']);
  t.end();
});

await t.test('steps that are missing, done twice, too early or out of order are seen', (t) => {
  const missing = (timeline: TimelineRow[], readAt = SOUND.readAt) => booksOf({ timeline, readAt }).steps.missing;
  const doubled = (timeline: TimelineRow[]) => booksOf({ timeline }).steps.doubled;
  t.same(missing(TIMELINE, T + 20_000), ['1001: not-accepted, due 3970 ms before']);
  t.same(missing(TIMELINE.map((one, n) => (n === 5 ? row(6, 10_030, one.event, { unclaimed: null }) : one))), ['1001: waits for nothing']);
  t.same(missing(TIMELINE.filter(({ version }) => version !== 4)).length, 2, 'a gap in the versions');
  const late = row(3, 5020, { event: 'told', rung: 'supervisor-and-overflow', recipients: recipients('a') }, { unclaimed: T + 905_020 });
  t.match(
    missing([...TIMELINE.slice(0, 2), late]),
    ['1001: unclaimed armed for 900 s later at version 3'],
    'so late that nobody waits for it',
  );
  const third = row(
    6,
    10_030,
    { event: 'dispatched', rung: 'own-zone-again', recipients: recipients('b') },
    { unclaimed: null, x: T + 15_030 },
  );
  t.same(missing([...TIMELINE.slice(0, 5), third]), ['1001: a rung before own-zone-again']);

  const again = row(7, 10_040, { event: 'deadline-passed', what: 'unclaimed' });
  t.same(doubled([...TIMELINE, again]), ['1001: unclaimed at version 7']);
  const early = TIMELINE.map((one) => (one.version === 2 ? row(2, 4000, one.event) : one));
  t.same(doubled(early), ['1001: unclaimed at version 2']);
  const sameRung = row(7, 10_040, { event: 'dispatched', rung: 'own-zone' });
  t.same(doubled([...TIMELINE, sameRung]), ['1001: rung own-zone at version 7']);
  const nextRound = [row(7, 10_040, { event: 'ladder-restarted' }), row(8, 10_050, { event: 'told', rung: 'supervisor-and-overflow' })];
  t.same(doubled([...TIMELINE, ...nextRound]), [], 'each round anew');
  const exhausted = [row(7, 10_040, { event: 'ladder-exhausted' }), { ...row(8, 10_050, { event: 'claimed' }), account: 'operator' }];
  const inNextRound = [row(9, 10_060, { event: 'claimed' }), row(10, 10_070, { event: 'told', rung: 'supervisor-and-overflow' })];
  const restarted = [row(7, 10_040, { event: 'ladder-exhausted' }), { ...nextRound[0]!, version: 8 }];
  const upAgain = [row(9, 10_050, { event: 'told', rung: 'supervisor-and-overflow' })];
  const claimedThen = inNextRound.map((one) => ({ ...one, version: one.version + 1 }));
  t.same(doubled([...TIMELINE, ...restarted, ...upAgain, ...claimedThen]), [], 'somebody had it in the second round');
  t.same(
    doubled([...TIMELINE, ...inNextRound]),
    ['1001: rung supervisor-and-overflow at version 10'],
    'a ladder that is not at its end goes on',
  );
  t.same(doubled([...TIMELINE, ...exhausted, row(9, 10_060, { event: 'told', rung: 'supervisor-and-overflow' })]), []);
  t.end();
});

await t.test('lateness is told whole, and without the time in which the truth was away', (t) => {
  const late = TIMELINE.map((one) => (one.version === 2 ? row(2, 9000, one.event) : one));
  t.same(booksOf({ timeline: late }).steps.late[0], 4000);
  const claimed = { ...row(2, 9000, { event: 'claimed' }, { unclaimed: null, 'claim-idle': T + 19_000 }), account: 'operator' };
  const overtaken = booksOf({ timeline: [...TIMELINE.slice(0, 1), claimed] }).steps;
  t.same([overtaken.done, overtaken.late], [0, [4000]], 'that somebody came all the same does not hide it');
  const ledger = new Ledger();
  ledger.write({ what: 'fault-began', fault: 'postgres away', store: true });
  const [away] = ledger.storeAway(Number.MAX_SAFE_INTEGER);
  t.ok(away !== undefined && away.to === Number.MAX_SAFE_INTEGER, 'one that has not ended goes on');
  const from = ledger.of('fault-began')[0]!.at;
  const armed = [
    row(1, 0, { event: 'opened' }, { unclaimed: from - 100 }),
    { ...row(2, 0, { event: 'deadline-passed', what: 'unclaimed' }), at: from + 3000 },
  ];
  const { steps } = compare(ledger, { ...SOUND, timeline: armed, readAt: from + 5000 }, [], { entry: 0, since: 0, graceMs: 1000 });
  t.same([steps.late, steps.lateUnexplained], [[3100], [100]]);
  t.end();
});

await t.test('who was not told, and who was told twice, is seen', (t) => {
  t.same(booksOf({ asks: [ask('a')] }).notTold, ['natt about 1001 (no ask)']);
  t.same(booksOf({ asks: [ask('a'), ask('b', { state: 'pending', provider_id: null })] }).notTold, ['natt about 1001 (pending)']);
  const gathered = { state: 'pending', provider_id: null, life: false } as const;
  t.same(booksOf({ asks: [ask('a'), ask('b', gathered)] }).notTold, [], 'about anything but life within a minute');
  t.same(booksOf({ asks: [ask('a'), ask('b', gathered)], readAt: T + 80_000 }).notTold, ['natt about 1001 (pending)']);
  t.same(booksOf({ asks: [ask('a'), ask('b', { state: 'failed', provider_id: null })] }).notTold, ['natt about 1001 (failed)']);
  t.same(booksOf({}, [message('a')]).notTold, ['natt about 1001 (sent)'], 'said to be sent, and not at the gateway');
  const next = compare(new Ledger(), { ...SOUND, asks: [ask('a')] }, MESSAGES, { entry: 0, since: T + 11_000, graceMs: 1000 });
  t.match(next, { asks: 0, notTold: ['natt about 1001 (no ask)'] }, 'what was made at the very end of the period before');
  const withdrawn = { asks: [ask('a'), ask('b', { state: 'withdrawn', provider_id: null })] } as const;
  t.same(booksOf(withdrawn, [message('a')]).notTold, ['natt about 1001 (withdrawn)'], 'for nothing');
  const then = (event: string, account: string) => [...TIMELINE, { ...row(7, 10_040, { event }), account }];
  t.same(booksOf({ ...withdrawn, timeline: then('claimed', 'operator') }, [message('a')]).notTold, [], 'needless meanwhile');
  t.same(booksOf({ ...withdrawn, timeline: then('declined', 'natt') }, [message('a')]).notTold, []);
  t.same(booksOf({ ...withdrawn, timeline: then('declined', 'natt2') }, [message('a')]).notTold, ['natt about 1001 (withdrawn)']);

  const postedTwice = booksOf({}, [message('a'), message('b', { posted: 2 })]);
  t.match(postedTwice, { toldTwice: ['alarm 1001: posted 2 times'], heardTwice: [] });
  const heard = ['alarm 1001: 3 messages for 2 asks'];
  t.match(booksOf({}, [...MESSAGES, message('c')]), { toldTwice: heard, heardTwice: heard });
  t.end();
});

await t.test('a command that was answered, and is not in the timeline or there twice, is seen', (t) => {
  t.same(booksOf({ timeline: TIMELINE.filter(({ version }) => version !== 4) }).lostOrders, ['noted by operator on 1001']);
  const twice = [...TIMELINE, { ...row(7, 10_100, { event: 'noted', text: 'Ringer' }), account: 'operator' }];
  t.same(booksOf({ timeline: twice }).lostOrders, ['noted by operator on 1001: 2 times']);
  t.end();
});

await t.test('what the auditor finds is explained by an absence, or it breaks the run', (t) => {
  const line = (event: string, code = '') => explained({ event, code }, ['audit-finding', 'audit-findings', 'canary-failed']);
  t.ok(line('canary-failed', 'no-answer') && line('audit-finding', 'deadline-overdue') && line('audit-findings', 'outbox-old'));
  for (const code of ['row-differs', 'timeline-broken', 'no-deadline', '']) t.notOk(line('audit-finding', code), code);
  t.ok(line('audit-needs-person', 'ask-overdue'));
  t.notOk(line('audit-needs-person', 'deadline-overdue'), 'it could not mend it');
  t.notOk(line('signal-not-acknowledged'));
  t.end();
});

await t.test('killed between commit and acknowledgement, and between the provider and the commit', async (t) => {
  const house = await openHouse({ seed: SEED, copies: { intake: 2, escalation: 1, console: 1, watch: 0 } });
  t.teardown(() => house.close());
  const load = startLoad(house, SEED);
  for (const name of ['at-after-commit', 'at-provider-answered']) {
    const scenario = atPoints.find((one) => one.name === name);
    if (scenario === undefined) throw new RangeError(name);
    const { broken, kills, books } = await carryOut(scenario, house, load, 1, dice(SEED));
    t.same(broken, [], name);
    t.same(await atTheEnd(house), []);
    t.ok(kills >= 2 && books.acknowledged > 0, `${name}: ${kills} kills, ${books.acknowledged} acknowledged`);
  }
  await load.stop();
});
