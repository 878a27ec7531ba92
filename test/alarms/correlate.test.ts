/** Triage and correlation: tables, and properties over any order of duplicates, repeats, restores, commands and delays. */
import fc from 'fast-check';
import t from 'tap';
import { type Alarm, deadlineOf, needsContact } from '../../src/alarms/alarm.ts';
import { type Admission, type Situation, joiningKey, laneOf, technicalKey } from '../../src/alarms/correlate.ts';
import { decide } from '../../src/alarms/lifecycle.ts';
import type { AlarmPriority, Kind, Meaning, Signal, SignalRole } from '../../src/alarms/signal.ts';
import { raised, rank, retriage, triage } from '../../src/alarms/triage.ts';
import { minutes } from '../../src/base/clock.ts';
import { ALONE, KARI, NATT, RUNG, START, SWEEP, after, openedBy, recipient, signal, take, uuid } from '../support/alarms.ts';

await t.test('priority is raised by repeats and kinds and never lowered', async (t) => {
  t.same((['life', 'urgent', 'care', 'technical'] as const).map(raised), ['life', 'life', 'urgent', 'technical']);
  const need = (priority: Meaning['priority']): Pick<Meaning, 'role' | 'priority'> => ({ role: 'need', priority });
  t.same(triage(need('urgent'), true, false), { priority: 'urgent', rule: 'by-kind' });
  t.same(triage(need('urgent'), false, false), { priority: 'life', rule: 'unknown-device-raised' });
  t.same(triage(need('care'), true, true), { priority: 'urgent', rule: 'soon-after-closed' });
  t.same(triage({ role: 'technical', priority: 'technical' }, false, true), { priority: 'technical', rule: 'by-kind' });
  t.same(retriage('care', 'need', { priority: 'care' }), { priority: 'urgent', rule: 'raised-by-repeat' });
  t.same(retriage('care', 'need', { priority: 'life' }), { priority: 'life', rule: 'more-serious-kind' });
  t.same(retriage('life', 'need', { priority: 'care' }), { priority: 'life', rule: 'unchanged' });
  t.same(retriage('urgent', 'unreadable', { priority: 'urgent' }), { priority: 'urgent', rule: 'unchanged' }, 'noise does not climb');
  t.same(retriage('urgent', 'unreadable', { priority: 'life' }), { priority: 'life', rule: 'more-serious-kind' });
});

await t.test('what a signal joins', async (t) => {
  const lane = (role: SignalRole, kind: Kind, household = true) =>
    laneOf(signal({ role, kind }, household ? {} : { household: null }))?.lane ?? null;
  t.equal(lane('need', 'fall'), 'need');
  t.equal(lane('technical', 'battery-low'), 'technical');
  t.equal(lane('unreadable', 'unreadable'), 'unreadable');
  for (const role of ['restore', 'cancel', 'presence', 'information'] as const) {
    t.equal(lane(role, 'fault'), null, `${role} opens nothing`);
    t.equal(lane(role, 'fault', false), 'technical', `${role} of an unknown sender is shown`);
  }
  t.equal(joiningKey(signal()), 'household:h1');
  t.equal(joiningKey(signal({}, { household: null })), 'source:mqtt:NJ-1103-0001');
});

await t.test('a more serious kind takes over the row, a lesser one does not', async (t) => {
  const water = openedBy(signal({ kind: 'water', priority: 'care' }));
  const smoke = take(signal({ kind: 'smoke', priority: 'life', trigger: 'kitchen' }), { open: water }).decided?.alarm;
  t.match(smoke, { kind: 'smoke', priority: 'life', trigger: 'kitchen', signalCount: 2 });
  const again = take(signal({ kind: 'water', priority: 'care' }), { open: smoke ?? null }).decided?.alarm;
  t.match(again, { kind: 'smoke', priority: 'life', signalCount: 3 });
});

await t.test('a duplicate is counted, in the timeline, and raises nothing, also on a closed alarm', async (t) => {
  const open = openedBy(signal({ priority: 'care', kind: 'water' }));
  const { verdict, decided } = take(signal(), { open, duplicateOf: { alarm: open } });
  t.equal(verdict, 'duplicate');
  t.match(decided?.alarm, { priority: 'care', signalCount: 1, duplicateCount: 1, lastSignalVersion: 1, waits: open.waits });
  const contacted = after(open, { command: 'confirm-contact', how: 'voice' });
  const closed = after(contacted, { command: 'close', outcome: 'other', text: '' });
  const late = take(signal(), { duplicateOf: { alarm: closed } });
  t.match(late, { verdict: 'duplicate', alarm: '1001' });
  t.match(late.decided?.alarm, { duplicateCount: 1, closed: { by: 'operator' } });
});

await t.test('the same id with other bytes is a new signal that says so', async (t) => {
  const { marks, verdict } = take(signal(), { idSeenBefore: true });
  t.same(marks, ['id-re-used']);
  t.equal(verdict, 'opened');
});

await t.test('a need soon after a closed alarm opens a new one that says so', async (t) => {
  const lastClosed = { number: '900', at: START - minutes(59) };
  t.match(openedBy(signal({ kind: 'water', priority: 'care' }), { lastClosed }), { follows: '900', priority: 'urgent' });
  const long = { number: '900', at: START - minutes(60) };
  t.match(openedBy(signal({ kind: 'water', priority: 'care' }), { lastClosed: long }), { follows: null, priority: 'care' });
});

await t.test('two faults of one device that are told apart have an alarm each', (t) => {
  const lost = (about?: string) =>
    signal({ role: 'technical', kind: 'fault', priority: 'technical', ...(about === undefined ? {} : { about }) });
  const keys = [lost('ip-link'), lost('mobile-link'), lost()].map(technicalKey);
  t.equal(new Set(keys).size, 3);
  t.equal(technicalKey(lost('ip-link')), technicalKey({ ...lost('ip-link'), meaning: { ...lost('ip-link').meaning, role: 'restore' } }));
  t.end();
});

await t.test('a restore closes a technical alarm that nobody has claimed, and nothing else', async (t) => {
  const technical = openedBy(signal({ role: 'technical', kind: 'mains-lost', priority: 'technical' }));
  const restore = signal({ role: 'restore', kind: 'mains-lost', priority: 'technical' });
  t.match(take(restore, { restorable: technical }).decided?.alarm, { closed: { outcome: 'restored', by: 'intake' } });
  const claimed = after(technical, { command: 'claim' });
  t.match(take(restore, { restorable: claimed }).decided?.alarm, { closed: null, restoredAt: START });
  const need = openedBy(signal({ kind: 'smoke' }));
  t.match(take(restore, { openNeed: need }).decided?.alarm, { closed: null, restoredAt: null }, 'the power is back, not the smoke gone');
  t.match(take(signal({ role: 'restore', kind: 'smoke' }), { openNeed: need }).decided?.alarm, { closed: null, restoredAt: START });
  t.match(take(signal({ role: 'cancel' }), { openNeed: need }).decided?.alarm, { closed: null, cancelledAt: START });
  t.match(take(restore), { verdict: 'kept', decided: null });
  const stranger = openedBy(signal({ role: 'technical', kind: 'mains-lost', priority: 'technical' }, { household: null }));
  const back = signal({ role: 'restore', kind: 'mains-lost', priority: 'technical' }, { household: null });
  t.match(
    take(back, { open: stranger, restorable: stranger }).decided?.alarm,
    { closed: { outcome: 'restored' } },
    'also of an unknown unit',
  );
});

// A household in memory, told apart exactly as the store tells its rows apart.
type Step =
  | { readonly do: 'signal'; readonly role: SignalRole; readonly kind: Kind; readonly priority: AlarmPriority; readonly id: number }
  | { readonly do: 'again'; readonly which: number }
  | { readonly do: 'wait'; readonly minutes: number }
  | {
      readonly do: 'command';
      readonly name: 'claim' | 'release' | 'confirm-contact' | 'close' | 'dispatch' | 'accept' | 'arrive' | 'snooze';
    };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    do: fc.constant('signal' as const),
    role: fc.constantFrom<SignalRole>('need', 'need', 'technical', 'restore', 'cancel', 'presence', 'unreadable'),
    kind: fc.constantFrom<Kind>('call-button', 'fall', 'smoke', 'mains-lost', 'battery-low'),
    priority: fc.constantFrom<AlarmPriority>('life', 'urgent', 'care'),
    id: fc.nat(5),
  }),
  fc.record({ do: fc.constant('again' as const), which: fc.nat(20) }),
  fc.record({ do: fc.constant('wait' as const), minutes: fc.integer({ min: 1, max: 90 }) }),
  fc.record({
    do: fc.constant('command' as const),
    name: fc.constantFrom('claim', 'release', 'confirm-contact', 'close', 'dispatch', 'accept', 'arrive', 'snooze'),
  }),
);

class House {
  now = START;
  readonly alarms = new Map<string, { alarm: Alarm; place: string }>();
  readonly sent: { signal: Signal; admission: Admission; at: number }[] = [];
  #number = 1000;

  open(place: string): Alarm | null {
    for (const one of this.alarms.values()) if (one.place === place && one.alarm.closed === null) return one.alarm;
    return null;
  }

  receive(one: Signal): Admission {
    const lane = laneOf(one);
    const same = this.sent.find(({ signal: s }) => s.messageId === one.messageId && Buffer.compare(s.raw, one.raw) === 0);
    const place = lane === null ? null : `${lane.lane}/${lane.laneKey}`;
    const closed = [...this.alarms.values()].flatMap(({ alarm }) => (alarm.lane === 'need' && alarm.closed ? [alarm] : []));
    const last = closed.toSorted((a, b) => (b.closed?.at ?? 0) - (a.closed?.at ?? 0))[0];
    const earlier = same?.admission.alarm ?? null;
    const situation: Situation = {
      ...ALONE,
      open: place === null ? null : this.open(place),
      openNeed: this.open('need/'),
      restorable: this.open(`technical/${one.device}/${one.meaning.kind}`),
      lastClosed: last === undefined ? null : { number: last.number, at: last.closed?.at ?? 0 },
      duplicateOf: same === undefined ? null : { alarm: earlier === null ? null : (this.alarms.get(earlier)?.alarm ?? null) },
    };
    const admission = take(one, situation, String(++this.#number));
    if (same === undefined) this.sent.push({ signal: one, admission, at: this.now });
    if (admission.decided !== null) {
      const { alarm } = admission.decided;
      this.alarms.set(alarm.number, { alarm, place: this.alarms.get(alarm.number)?.place ?? place ?? '' });
    }
    return admission;
  }

  /** The clock goes on: every deadline that falls due is acted on, as the sweep would. */
  wait(span: number): void {
    const until = this.now + span;
    for (let guard = 0; guard < 10_000; guard++) {
      const due = [...this.alarms.values()]
        .flatMap(({ alarm }) => (deadlineOf(alarm) === null ? [] : [{ alarm, at: deadlineOf(alarm)?.at ?? 0 }]))
        .filter(({ at }) => at <= until)
        .toSorted((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.now = Math.max(this.now, due.at);
      const armed = deadlineOf(due.alarm);
      if (armed === null) break;
      const rung = due.alarm.ladder.climbed < 3 ? RUNG : ({ step: 'exhausted' } as const);
      this.put(after(due.alarm, { command: 'pass-deadline', armed, rung }, SWEEP, this.now));
    }
    this.now = until;
  }

  put(alarm: Alarm): void {
    this.alarms.set(alarm.number, { alarm, place: this.alarms.get(alarm.number)?.place ?? '' });
  }
}

function play(house: House, one: Step, t: Tap.Test): void {
  if (one.do === 'wait') return house.wait(minutes(one.minutes));
  if (one.do === 'command') {
    for (const { alarm } of [...house.alarms.values()]) {
      const command = commandOf(one.name);
      const actor = one.name === 'accept' || one.name === 'arrive' ? NATT : KARI;
      const decision = decide(alarm, command, { actor, version: null, doneAt: null }, house.now, uuid);
      if ('refused' in decision) continue;
      if (decision.alarm.closed !== null && alarm.closed === null && needsContact(alarm)) {
        t.not(alarm.contact, null, 'closed only with contact');
      }
      house.put(decision.alarm);
    }
    return undefined;
  }
  const again = one.do === 'again' ? house.sent[one.which % Math.max(1, house.sent.length)] : undefined;
  if (one.do === 'again' && again === undefined) return undefined;
  const meaning = one.do === 'signal' ? meaningOf(one) : {};
  const fresh = again === undefined ? signal(meaning, { receivedAt: house.now }) : { ...again.signal, id: uuid(), receivedAt: house.now };
  const before = [...house.alarms.values()].map(({ alarm }) => alarm);
  const admission = house.receive(fresh);
  check(t, house, before, fresh, admission);
  return undefined;
}

const meaningOf = (one: Extract<Step, { do: 'signal' }>): Partial<Meaning> => ({
  role: one.role,
  kind: one.role === 'unreadable' ? 'unreadable' : one.kind,
  priority: one.role === 'technical' || one.role === 'restore' ? 'technical' : one.priority,
});

function commandOf(name: Extract<Step, { do: 'command' }>['name']) {
  switch (name) {
    case 'confirm-contact':
      return { command: name, how: 'voice' } as const;
    case 'close':
      return { command: name, outcome: 'other', text: '' } as const;
    case 'dispatch':
      return { command: name, to: 'night-patrol', recipients: [recipient('natt')], waitMs: 60_000 } as const;
    case 'accept':
      return { command: name, etaMinutes: 10 } as const;
    case 'snooze':
      return { command: name, minutes: 30, reason: 'x' } as const;
    case 'claim':
    case 'release':
    case 'arrive':
      return { command: name } as const;
  }
}

function check(t: Tap.Test, house: House, before: readonly Alarm[], fresh: Signal, admission: Admission): void {
  const role = fresh.meaning.role;
  if (admission.verdict !== 'duplicate' && (role === 'need' || role === 'technical' || role === 'unreadable')) {
    const alarm = house.alarms.get(admission.alarm ?? '')?.alarm;
    t.ok(alarm !== undefined && alarm.closed === null, 'a need is on the board');
    const was = before.find(({ number }) => number === admission.alarm);
    if (was !== undefined && alarm !== undefined) t.ok(rank(alarm.priority) <= rank(was.priority), 'priority never falls');
  }
  for (const was of before) {
    const is = house.alarms.get(was.number)?.alarm;
    if (was.closed === null && is?.closed !== null) {
      t.equal(was.priority, 'technical', 'a signal closes only technical alarms');
      t.equal(was.claim, null, 'that nobody has claimed');
    }
  }
}

declare namespace Tap {
  type Test = typeof t;
}

await t.test('no order of signals, duplicates, restores, commands and delays loses an alarm or closes one for a person', async (t) => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const house = new House();
      const quiet = quietTest();
      for (const one of steps) play(house, one, quiet.test);
      const open = [...house.alarms.values()].filter(({ alarm }) => alarm.closed === null);
      const places = open.map(({ place }) => place);
      for (const { alarm } of open) quiet.test.not(deadlineOf(alarm), null, 'nobody is forgotten: every open alarm waits for something');
      quiet.test.equal(new Set(places).size, places.length, 'one open alarm for each need');
      return quiet.failures.length === 0 ? true : assertFailed(quiet.failures);
    }),
    { numRuns: 400 },
  );
  t.pass('400 histories');
});

function assertFailed(failures: readonly string[]): never {
  throw new Error(failures.join('; '));
}

/** Collects what failed without printing a line for each of a hundred thousand checks. */
function quietTest() {
  const failures: string[] = [];
  const need = (good: boolean, message: string): boolean => {
    if (!good) failures.push(message);
    return good;
  };
  const test = {
    ok: (value: unknown, message: string) => need(Boolean(value), message),
    not: (a: unknown, b: unknown, message: string) => need(a !== b, message),
    equal: (a: unknown, b: unknown, message: string) => need(a === b, message),
  } as unknown as Tap.Test;
  return { test, failures };
}
