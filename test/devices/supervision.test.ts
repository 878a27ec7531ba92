/** Supervision: silence counted in listening time, what is told of it and when, batteries, and units that nobody registered. */
import fc from 'fast-check';
import t from 'tap';
import type { Signal } from '../../src/alarms/signal.ts';
import { joiningKey } from '../../src/alarms/correlate.ts';
import { type Instant, type Milliseconds, MovableClock, minutes, seconds } from '../../src/base/clock.ts';
import { CentreError } from '../../src/base/errors.ts';
import { systemRandom } from '../../src/base/ids.ts';
import { createLog } from '../../src/base/log.ts';
import { SEEN, type SeenFacts } from '../../src/devices/interpretation.ts';
import { loadModels } from '../../src/devices/models.ts';
import { type Noticed, type Step, silenceSignal } from '../../src/devices/silence-signal.ts';
import { type Found, JUDGE_EVERY_MS, type SilenceStore, type Told, watchSilence } from '../../src/devices/silence-watch.ts';
import {
  BATTERY_CHARGED,
  BATTERY_LOW,
  BEAT_EVERY_MS,
  type ListeningSpan,
  PAUSE_MS,
  SLACK_MS,
  type Silence,
  type Watched,
  batteryStep,
  cutOff,
  cutOffsOf,
  silenceStep,
} from '../../src/devices/silence.ts';
import { type DeviceSeen, createLifeSigns } from '../../src/devices/supervision.ts';
import { createKeeper } from '../../src/intake/keep.ts';
import { createStrangers } from '../../src/intake/strangers.ts';
import { createLifeSignStore } from '../../src/store/life-signs.ts';
import { createSignalStore } from '../../src/store/signal-store.ts';
import { createSilenceStore } from '../../src/store/silence.ts';
import { SeededRandom } from '../../simulators/random.ts';
import { START, ladderFor } from '../support/alarms.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const MODELS = loadModels('config/models');
const ALL_MODELS = MODELS.names.map((id) => MODELS.get(id));
const away = (): CentreError => new CentreError('store-away', 'PostgreSQL does not answer.');
const facts = (more: Partial<SeenFacts> = {}): SeenFacts => ({ ...SEEN, via: 'mqtt', ...more });
const span = (from: Instant, end: Instant): ListeningSpan => ({ from, until: end });

await t.test('the cut-off is walked back to over the time in which nobody listened', async (t) => {
  const cases: readonly [what: string, spans: ListeningSpan[], asOf: number, listened: number, expected: number | null][] = [
    ['one span', [span(0, 100)], 100, 30, 70],
    ['exactly all of it', [span(0, 100)], 100, 100, 0],
    ['more than there is', [span(0, 100)], 100, 101, null],
    ['no span at all', [], 100, 1, null],
    ['a restart: the pause is walked over', [span(0, 100), span(150, 160)], 160, 30, 80],
    ['just started after a long pause', [span(0, 100), span(10_000, 10_000)], 10_000, 30, 70],
    ['the pause that still lasts', [span(0, 100)], 500, 30, 70],
    ['two pauses', [span(0, 10), span(20, 30), span(40, 50)], 50, 25, 5],
    ['the limit ends where a span begins', [span(0, 10), span(20, 30)], 30, 10, 20],
    ['spans of two processes that overlap count once', [span(0, 60), span(40, 100)], 100, 70, 30],
    ['one inside another', [span(0, 100), span(20, 30)], 100, 90, 10],
    ['in any order', [span(40, 50), span(0, 10), span(20, 30)], 50, 25, 5],
    ['a span that goes on after the instant', [span(0, 100)], 50, 30, 20],
    ['a span that lies after it', [span(0, 40), span(60, 100)], 50, 30, 10],
  ];
  for (const [what, spans, asOf, listened, expected] of cases) t.equal(cutOff(spans, asOf, listened), expected, what);
});

await t.test('the cut-off is what counting instant by instant gives', async (t) => {
  const spans = fc.array(
    fc.tuple(fc.nat(60), fc.nat(20)).map(([from, length]) => span(from, from + length)),
    { maxLength: 8 },
  );
  fc.assert(
    fc.property(spans, fc.nat(80), fc.integer({ min: 1, max: 60 }), (all, asOf, listened) => {
      let left = listened;
      let expected: number | null = null;
      for (let at = asOf - 1; at >= 0 && expected === null; at--) {
        if (all.some(({ from, until: end }) => from <= at && at < end)) left -= 1;
        if (left === 0) expected = at;
      }
      return cutOff(all, asOf, listened) === expected;
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

await t.test('steps: each is told once, and nothing is told of what nobody expects to hear', async (t) => {
  const cuts = { late: 100, lost: 50 };
  const watched = (silence: Silence, seenAt: number, more: Partial<Watched> = {}): Watched => ({
    silence,
    seenAt,
    countsFrom: seenAt,
    excused: false,
    ...more,
  });
  const table: readonly [Silence, number, ReturnType<typeof silenceStep>, Partial<Watched>?][] = [
    ['none', 100, null],
    ['none', 99, 'late'],
    ['none', 50, 'late'],
    ['none', 49, 'lost'],
    ['late', 99, null],
    ['late', 50, null],
    ['late', 49, 'lost'],
    ['late', 100, 'back'],
    ['lost', 49, null],
    ['lost', 99, null],
    ['lost', 100, 'back'],
    ['none', 49, null, { excused: true }],
    ['late', 49, null, { excused: true }],
    ['lost', 100, 'back', { excused: true }],
    ['none', 49, 'late', { countsFrom: 60 }],
    ['none', 49, null, { countsFrom: 100 }],
    ['late', 49, null, { countsFrom: 100 }],
    ['lost', 49, null, { countsFrom: 100 }],
  ];
  for (const [silence, seenAt, expected, more] of table) {
    t.equal(silenceStep(watched(silence, seenAt, more), cuts), expected, `${silence}, seen ${seenAt} ${JSON.stringify(more ?? {})}`);
  }
  t.equal(silenceStep(watched('none', 0), { late: null, lost: null }), null, 'the centre has not listened that long');
  t.same(
    [null, 0, 14, 15, 24, 25, 100].map((percent) => [batteryStep(percent, false, false), batteryStep(percent, true, false)]),
    [
      [null, null],
      ['battery-low', null],
      ['battery-low', null],
      [null, null],
      [null, null],
      [null, 'battery-charged'],
      [null, 'battery-charged'],
    ],
  );
  t.same([batteryStep(3, false, true), batteryStep(90, true, true)], [null, 'battery-charged'], 'in a test window');
  t.ok(BATTERY_CHARGED >= BATTERY_LOW + 10);
});

await t.test(
  'a device that keeps its rhythm is never late, whatever one outage or restart does; one that stops is lost in time',
  async (t) => {
    const { supervision } = MODELS.get('generic/stationary');
    /** Judged each 10 s by beats each 5 s; the steps with their instants. */
    const play = (heard: (at: Instant) => boolean, listens: (at: Instant) => boolean, phase: number, forMs: Milliseconds) => {
      const spans: { from: Instant; until: Instant }[] = [];
      const steps: [SilenceStepName, Instant][] = [];
      let seenAt = 0;
      let silence: Silence = 'none';
      for (let at = 0; at <= forMs; at += BEAT_EVERY_MS) {
        for (let sent = at - BEAT_EVERY_MS; sent < at; sent += 1000) {
          if ((sent - phase) % supervision.signEvery === 0 && heard(sent) && listens(sent)) seenAt = sent;
        }
        if (!listens(at)) continue;
        const newest = spans.at(-1);
        if (newest === undefined || at - newest.until > PAUSE_MS) spans.push({ from: at, until: at });
        else newest.until = at;
        if (at % JUDGE_EVERY_MS !== 0) continue;
        const [cuts] = cutOffsOf([MODELS.get('generic/stationary')], spans, at);
        const step = silenceStep({ silence, seenAt, countsFrom: seenAt, excused: false }, cuts!);
        if (step === null) continue;
        steps.push([step, at]);
        silence = step === 'back' ? 'none' : step;
      }
      return steps;
    };
    type SilenceStepName = NonNullable<ReturnType<typeof silenceStep>>;
    const phase = fc.integer({ min: 0, max: 299 }).map(seconds);
    const outage = fc.record({
      from: fc.integer({ min: 60, max: 2400 }).map(seconds),
      length: fc.integer({ min: 0, max: 7200 }).map(seconds),
    });
    fc.assert(
      fc.property(phase, outage, (offset, { from, length }) => {
        const listens = (at: Instant): boolean => at < from || at >= from + length;
        return play(() => true, listens, offset, from + length + minutes(40)).length === 0;
      }),
      { numRuns: 150 },
    );
    fc.assert(
      fc.property(phase, outage, fc.integer({ min: 700, max: 2000 }).map(seconds), (offset, { from, length }, stops) => {
        const listens = (at: Instant): boolean => at < from || at >= from + length;
        const steps = play((at) => at < stops, listens, offset, stops + length + minutes(40));
        // Heard last at most one rhythm (and an outage) before it stopped, judged within a turn, a pause and the slack.
        const latest = stops + length + supervision.lostAfter + SLACK_MS + PAUSE_MS + JUDGE_EVERY_MS + BEAT_EVERY_MS;
        const [first, second] = steps;
        return steps.length === 2 && first?.[0] === 'late' && second?.[0] === 'lost' && second[1] <= latest;
      }),
      { numRuns: 150 },
    );
    t.pass();
  },
);

await t.test('what is said: the text, and an id that follows from what it is about', async (t) => {
  const at = Date.UTC(2026, 10, 22, 13, 30);
  const noticed = (more: Partial<Noticed> = {}): Noticed => ({
    serial: 'd1',
    trigger: '',
    municipality: '1103',
    household: { id: 'h1', name: 'H', zone: '' },
    silence: 'none',
    seenAt: at - minutes(27),
    battery: null,
    ...more,
  });
  const every = (ms: Milliseconds) => ({ ...MODELS.get('generic/stationary').supervision, signEvery: ms });
  const say = (step: Step, more: Partial<Noticed> = {}, limits = every(minutes(5))) => silenceSignal('id', noticed(more), step, limits, at);
  const text = (...args: Parameters<typeof say>) => say(...args).meaning.text;
  t.equal(text('lost'), 'Ingen livstegn siden 14.03, ventet hvert 5. minutt');
  t.equal(text('late', {}, every(minutes(1))), 'Ingen livstegn siden 14.03, ventet hvert minutt');
  t.equal(text('late', { seenAt: at - minutes(26 * 60) }, every(minutes(24 * 60))), 'Ingen livstegn siden 21.11. 12.30, ventet hvert døgn');
  t.equal(text('late', {}, every(minutes(120))), 'Ingen livstegn siden 14.03, ventet hver 2. time');
  t.equal(text('late', {}, every(seconds(90))), 'Ingen livstegn siden 14.03, ventet hvert 90. sekund');
  t.match(text('lost', { trigger: 'p1' }), 'Ingen livstegn fra utløseren siden 14.03, grensen er 53 timer');
  t.equal(text('back', { silence: 'lost' }), 'Livstegn igjen 14.03, var borte');
  t.equal(text('battery-low', { battery: 9 }), 'Batteriet er på 9 %');
  const fields = (step: Step, trigger = '') => {
    const { role, kind, priority } = say(step, { trigger, battery: 9 }).meaning;
    return [role, kind, priority];
  };
  t.same(fields('late'), ['information', 'device-lost', 'information']);
  t.same(fields('lost'), ['technical', 'device-lost', 'technical']);
  t.same(fields('lost', 'p1'), ['technical', 'trigger-lost', 'technical']);
  t.same(fields('back'), ['restore', 'device-lost', 'information']);
  t.same(fields('battery-low', 'p1'), ['technical', 'battery-low', 'technical']);
  t.same(fields('battery-charged'), ['restore', 'battery-low', 'information']);
  const key = ({ messageId, digest }: Signal) => `${messageId} ${Buffer.from(digest).toString('hex')}`;
  t.equal(key(say('lost')), key(silenceSignal('other', noticed(), 'lost', every(minutes(9)), at + 5000)), 'two processes say the same');
  const others = [
    say('late'),
    say('lost', { trigger: 'p1' }),
    say('lost', { seenAt: at - 1 }),
    say('lost', { serial: 'd2' }),
    say('lost', {}, { ...every(minutes(5)), lostAfter: minutes(99) }),
  ];
  t.equal(new Set([say('lost'), ...others].map(key)).size, 6, 'and never the same of something else');
  t.ok(others.every(({ messageId }) => (messageId ?? '').length <= 64));
});

/** A store of silence in memory, and what was kept and remembered. */
function handStore(found: () => Found[]) {
  const told: Told[] = [];
  const beats: Instant[] = [];
  let fault: 'none' | 'away' = 'none';
  const store: SilenceStore = {
    async listened(at) {
      if (fault === 'away') throw away();
      beats.push(at);
      return true;
    },
    spans: async () => [span(0, START + minutes(600_000))],
    find: async () => found(),
    open: async (signals) => new Set(signals.map(({ id }) => id)),
    async remember(all) {
      told.push(...all);
    },
  };
  return { store, told, beats, goes: (now: 'none' | 'away') => (fault = now) };
}

const found = (serial: string, more: Partial<Found> = {}): Found => ({
  serial,
  trigger: '',
  municipality: '1103',
  household: { id: 'h1', name: 'H', zone: '' },
  silence: 'none',
  seenAt: START - minutes(60),
  countsFrom: START - minutes(60),
  excused: false,
  battery: null,
  batteryLow: false,
  model: 'generic/stationary',
  ...more,
});

await t.test('the watch: nobody is judged by what is not written yet, a store that is away stops it, one fault stops nobody', async (t) => {
  const clock = new MovableClock(START);
  const lines: string[] = [];
  const log = createLog('info', { write: (line) => void lines.push((JSON.parse(line) as { event: string }).event) });
  const hand = handStore(() => [
    found('silent'),
    found('heard'),
    found('poison'),
    found('homeless', { household: null, seenAt: START - minutes(12), countsFrom: START - minutes(12) }),
    found('settled', { silence: 'lost' }),
  ]);
  const kept: Signal[] = [];
  let flushes = true;
  const watch = watchSilence({
    models: MODELS,
    store: hand.store,
    lifeSigns: { flush: async () => flushes, unwritten: (serial) => (serial === 'heard' ? START : null) },
    keep: async (signal) => {
      if (signal.device === 'poison') throw new Error('it cannot be kept');
      kept.push(signal);
    },
    clock,
    random: systemRandom,
    log,
  });
  await until('the first turn is over', () => hand.told.length > 0);
  t.same(
    kept.map(({ device, meaning }) => [device, meaning.role]),
    [['silent', 'technical']],
  );
  t.same(
    hand.told.map(({ serial, steps }) => [serial, steps]),
    [
      ['silent', ['lost']],
      ['poison', ['lost']],
      ['homeless', ['late']],
    ],
    'of one without a household being late is no alarm, and stands in the list',
  );
  t.same(lines, ['silence-not-told', 'silence-told']);
  const beats = hand.beats.length;
  flushes = false;
  await clock.advance(minutes(1));
  t.equal(hand.beats.length, beats, 'what cannot be written was not listened to');
  flushes = true;
  hand.goes('away');
  lines.length = 0;
  await clock.advance(minutes(1));
  t.same(lines, ['listening-not-noted'], 'said once');
  hand.goes('none');
  await clock.advance(BEAT_EVERY_MS);
  await watch.stop();
  t.ok(lines.includes('listening-again'));
  const after = hand.beats.length;
  await clock.advance(minutes(1));
  t.equal(hand.beats.length, after);
});

await t.test('a storm of silence is fed by small parts: whoever comes meanwhile waits for one of them at most', async (t) => {
  const clock = new MovableClock(START);
  const hand = handStore(() => (hand.told.length > 0 ? [] : Array.from({ length: 300 }, (_, n) => found(`d${n}`))));
  let waiting = 0;
  let most = 0;
  const watch = watchSilence({
    models: MODELS,
    store: hand.store,
    lifeSigns: { flush: async () => true, unwritten: () => null },
    keep: async () => {
      most = Math.max(most, ++waiting);
      await new Promise((resolve) => setImmediate(resolve));
      waiting -= 1;
    },
    clock,
    random: systemRandom,
    log: SILENT,
  });
  await until('all are told', () => hand.told.length === 300);
  await watch.stop();
  t.ok(most <= 32, `${most} at once`);
});

await t.test('life signs: a will is none, whoever passes it on; a pendant is expected only where its unit tells of it', async (t) => {
  const clock = new MovableClock(START);
  const written: DeviceSeen[] = [];
  let open: (() => void) | null = null;
  let slow = false;
  const store = {
    async writeSeen(seen: readonly DeviceSeen[]) {
      if (slow) await new Promise<void>((resolve) => (open = resolve));
      written.push(...seen);
    },
  };
  const signs = createLifeSigns({ clock, log: SILENT, store });
  const pressed = { id: 'p1', battery: null, seenAt: 'now', test: false } as const;
  signs.seen('will', facts({ alive: false, online: false }), START, 'status');
  signs.seen('passed-on', facts({ online: false, triggers: [pressed] }), START, 'status');
  signs.seen('pressed', facts({ triggers: [pressed] }), START, 'signal');
  signs.seen('tested', facts({ test: true, triggers: [pressed] }), START, 'test');
  signs.seen('reports', facts({ triggers: [pressed] }), START, 'heartbeat');
  signs.seen(
    'listed',
    facts({
      triggers: [
        { ...pressed, seenAt: START - 5 },
        { ...pressed, id: 'p2', seenAt: null },
      ],
    }),
    START,
    'status',
  );
  t.equal(signs.unwritten('reports', 'p1'), START);
  t.equal(signs.unwritten('listed', ''), START);
  t.equal(signs.unwritten('passed-on', ''), null);
  t.equal(signs.unwritten('stranger', ''), null);
  slow = true;
  const first = signs.flush();
  signs.seen('late', facts(), START + 1, 'heartbeat');
  const second = signs.flush();
  t.equal(signs.flush(), second, 'shared by all who wait');
  t.equal(signs.unwritten('reports', 'p1'), START, 'while it is being written');
  slow = false;
  await until('the write waits', () => open !== null);
  (open as (() => void) | null)?.();
  t.ok(await first);
  t.ok(await second);
  t.equal(written.at(-1)?.serial, 'late', 'a flush writes what was noted before it, also behind one that is under way');
  t.equal(signs.unwritten('late', ''), null);
  const told = written.map(({ serial, seenAt, triggers }) => [
    serial,
    seenAt,
    ...[...triggers].map(([id, one]) => [id, one.seenAt, one.reports]),
  ]);
  t.same(told, [
    ['will', null],
    ['passed-on', null, ['p1', null, false]],
    ['pressed', START, ['p1', START, false]],
    ['tested', START, ['p1', START, false]],
    ['reports', START, ['p1', START, true]],
    ['listed', START, ['p1', START - 5, true], ['p2', null, false]],
    ['late', START + 1],
  ]);
  await signs.stop();
});

await t.test('an unregistered unit is told of once, twenty an hour; then it is only counted', async (t) => {
  const kept: Signal[] = [];
  let gone = false;
  const strangers = createStrangers({
    keeper: {
      async keep(signal) {
        if (gone) throw away();
        kept.push(signal);
        return { verdict: 'opened', alarm: '1' };
      },
    },
    random: systemRandom,
    log: SILENT,
  });
  const hear = (n: number | string, at: Instant): void =>
    strangers.heard({ source: `scaip:${n}`, device: String(n), municipality: '1103', household: null }, 'scaip', Buffer.from('<mrq/>'), at);
  const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  for (let n = 0; n < 50; n++) hear('a', START + n);
  await settled();
  t.equal(kept.length, 1);
  t.match(kept[0], {
    source: 'scaip:a',
    marks: ['unknown-device', 'supervision'],
    meaning: { role: 'technical', kind: 'fault', priority: 'technical' },
  });
  for (let n = 0; n < 100; n++) hear(n, START + 100);
  await settled();
  t.equal(kept.length, 20);
  hear(99, START + minutes(61));
  await settled();
  t.equal(kept.at(-1)?.source, 'scaip:99', 'told in the next hour');
  gone = true;
  hear('b', START + minutes(62));
  await settled();
  gone = false;
  hear('b', START + minutes(63));
  await settled();
  t.equal(kept.at(-1)?.source, 'scaip:b', 'what could not be kept is told with the next');
  const again = createStrangers({
    keeper: { keep: async (signal) => (kept.push(signal), { verdict: 'opened', alarm: '1' }) },
    random: systemRandom,
    log: SILENT,
  });
  again.heard(
    { source: 'scaip:a', device: 'a', municipality: '1103', household: null },
    'scaip',
    Buffer.from('<other/>'),
    START + minutes(30),
  );
  await settled();
  t.same([kept.at(-1)?.messageId, kept.at(-1)?.digest], [kept[0]?.messageId, kept[0]?.digest], 'after a restart it is a duplicate');
});

await t.test('on the real PostgreSQL', async (t) => {
  const stores = await startStores();
  t.teardown(() => stores.stop());
  const { pool } = stores.postgres;
  const silence = createSilenceStore(stores.postgres);
  const rows = async <R extends object>(text: string): Promise<R[]> => (await pool.query<R>(text)).rows;

  await t.test('listening: carried on, begun again after a pause, and one of all judges', async (t) => {
    const beat = (at: number) => silence.listened(START + seconds(at), PAUSE_MS, JUDGE_EVERY_MS);
    t.same(
      [await beat(0), await beat(0), await beat(5), await beat(10), await beat(10), await beat(14)],
      [true, false, false, true, false, false],
    );
    await beat(9);
    t.same(await silence.spans(START), [span(START, START + seconds(14))], 'never shortened');
    t.equal(await beat(29), true, 'a gap that is no pause');
    t.equal(await beat(60), true);
    await Promise.all(Array.from({ length: 8 }, (_, n) => beat(61 + (n % 2))));
    t.same(await silence.spans(START), [span(START + seconds(60), START + seconds(62)), span(START, START + seconds(29))]);
    t.same(await silence.spans(START + seconds(40)), [span(START + seconds(60), START + seconds(62))]);
    await stores.empty();
    const first = await Promise.all(Array.from({ length: 6 }, () => beat(0)));
    t.ok(first.includes(true));
    t.equal(cutOff(await silence.spans(0), START + seconds(30), 1), null, 'spans without a length');
  });

  await t.test('what the statement finds is what the rule says', async (t) => {
    await stores.empty();
    await pool.query(`insert into household (id, municipality, name) values ('h1', '1103', 'H')`);
    const now = START;
    const spans = [span(now - minutes(100), now - minutes(40)), span(now - minutes(30), now)];
    const long = [span(now - minutes(100 * 24 * 60), now - minutes(110)), ...spans];
    const cuts = cutOffsOf(ALL_MODELS, long, now);
    const random = new SeededRandom(7);
    const models = ['generic/stationary', 'generic/generic', 'generic/mobile-alarm', 'gone/model'];
    const watched: { serial: string; trigger: string; expected: string }[] = [];
    const text = (at: number | null): string => (at === null ? 'null' : `'${new Date(at).toISOString()}'`);
    const bridgeSince = now - minutes(30);
    for (let n = 0; n < 600; n++) {
      const serial = `d${n}`;
      const model = random.pick(models);
      const state = random.pick(['in-service', 'in-service', 'in-service', 'retired', 'in-stock']);
      const test = random.pick([null, null, null, now + minutes(5), now - minutes(random.whole(0, 120))]);
      const unit = {
        silence: random.pick(['none', 'none', 'late', 'lost'] as const),
        seenAt: now - seconds(random.whole(0, random.pick([2000, 8000, 120_000]))),
      };
      const via = random.pick(['mqtt', 'scaip', 'bridge']);
      const watchedFrom = random.pick([null, null, now - seconds(random.whole(0, 20_000))]);
      const anew = Math.max(watchedFrom ?? 0, via === 'bridge' ? bridgeSince : 0);
      const battery = random.pick([null, 3, 14, 15, 20, 25, 90]);
      const low = random.pick([false, true]);
      const own = cuts.find((one) => one.model === model) ?? cuts.find((one) => one.model === 'generic/generic')!;
      const inTest = test !== null && test > now;
      const testEnded = test !== null && test <= now ? test : 0;
      await pool.query(`
        insert into device (serial, municipality, household_id, protocol, model, state, test_until, watched_from)
          values ('${serial}', '1103', ${n % 3 === 0 ? 'null' : `'h1'`}, 'mqtt', '${model}', '${state}', ${text(test)}, ${text(watchedFrom)});
        insert into device_seen (serial, seen_at, via, silence, battery, battery_low)
          values ('${serial}', ${text(unit.seenAt)}, '${via}', '${unit.silence}', ${battery}, ${low})`);
      const expect = (
        trigger: string,
        one: Watched,
        limits: { late: number | null; lost: number | null },
        percent: number | null,
        isLow: boolean,
      ) => {
        const step = [silenceStep(one, limits), batteryStep(percent, isLow, one.excused)].filter((each) => each !== null).join('+');
        if (step !== '' && state === 'in-service') watched.push({ serial, trigger, expected: step });
      };
      expect('', { ...unit, countsFrom: Math.max(unit.seenAt, testEnded, anew), excused: inTest }, own, battery, low);
      const backAt = random.pick([null, now - minutes(random.whole(0, 5000))]);
      const reports = random.pick([true, true, false]);
      const part = { silence: random.pick(['none', 'late', 'lost'] as const), seenAt: now - minutes(random.whole(0, 5000)) };
      await pool.query(`
        update device_seen set back_at = ${text(backAt)} where serial = '${serial}';
        insert into trigger (serial, id, reports, seen_at, silence, battery, battery_low) values
          ('${serial}', 'p1', ${reports}, ${text(part.seenAt)}, '${part.silence}', ${battery}, ${low}),
          ('${serial}', 'p2', true, null, 'none', 3, false)`);
      if (!reports) continue;
      const excused = inTest || unit.silence !== 'none' || unit.seenAt < (own.late ?? -Infinity);
      const countsFrom = Math.max(part.seenAt, backAt ?? 0, testEnded, anew);
      expect('p1', { ...part, countsFrom, excused }, { late: own.triggerLate, lost: own.triggerLost }, battery, low);
    }
    const answer = await silence.find(cuts, 'generic/generic', now, 5000, bridgeSince);
    const said = answer.map((one) => {
      const own = cuts.find(({ model }) => model === one.model) ?? cuts.find(({ model }) => model === 'generic/generic')!;
      const step = silenceStep(one, one.trigger === '' ? own : { late: own.triggerLate, lost: own.triggerLost });
      return {
        serial: one.serial,
        trigger: one.trigger,
        expected: [step, batteryStep(one.battery, one.batteryLow, one.excused)].filter((each) => each !== null).join('+'),
      };
    });
    const sorted = (all: typeof watched) => all.map(({ serial, trigger, expected }) => `${serial}/${trigger} ${expected}`).toSorted();
    const unread = await silence.find(cuts, 'generic/generic', now, 5000, null);
    const behind = new Set(
      (await pool.query<{ serial: string }>(`select serial from device_seen where via = 'bridge'`)).rows.map((row) => row.serial),
    );
    const missed = unread.filter(({ serial, excused }) => behind.has(serial) && !excused);
    t.same(missed, [], 'while the bridge is not read, nobody behind it is missed');
    t.ok(watched.length > 200, `${watched.length} of 1800`);
    t.strictSame(sorted(said), sorted(watched));
    t.ok(
      ['late', 'lost', 'back', 'battery-low', 'battery-charged'].every((step) => watched.some(({ expected }) => expected.includes(step))),
    );
    t.match(
      answer.find(({ household }) => household !== null),
      { household: { id: 'h1', name: 'H', zone: '' }, municipality: '1103' },
    );
    t.equal((await silence.find(cuts, 'generic/generic', now, 7, null)).length, 7);
    t.same(
      await silence
        .find(cutOffsOf(ALL_MODELS, [span(now, now)], now), 'generic/generic', now, 5000, null)
        .then((all) =>
          all.filter(({ silence: was, batteryLow, battery }) => was === 'none' && !batteryLow && (battery ?? 99) >= BATTERY_LOW),
        ),
      [],
      'a centre that has only begun to listen misses nobody',
    );
  });

  const LOOKS = `select device, kind, priority, state, signal_count, duplicates from (
    select device, kind, priority, state, (fold->>'signalCount')::int as signal_count, (fold->>'duplicateCount')::int as duplicates from alarm) a order by device, kind`;
  const keeper = () =>
    createKeeper({ store: createSignalStore(stores.postgres, () => undefined), ladderFor, keyOf: joiningKey, log: SILENT });

  await t.test('two watches on one database: late, lost and back, each told once, by the path of all signals', async (t) => {
    await stores.empty();
    const clock = new MovableClock(START);
    await pool.query(`insert into household (id, municipality, name) values ('h1', '1103', 'H');
      insert into device (serial, municipality, household_id, protocol, model) select 'd' || n, '1103', 'h1', 'mqtt', 'generic/stationary' from generate_series(1, 40) n`);
    const signs = createLifeSigns({ clock, log: SILENT, store: createLifeSignStore(stores.postgres) });
    const [one, other] = [keeper(), keeper()];
    const watches = [one, other].map((each) =>
      watchSilence({
        models: MODELS,
        store: silence,
        lifeSigns: signs,
        keep: (signal) => each.keep(signal),
        clock,
        random: systemRandom,
        log: SILENT,
      }),
    );
    const all = Array.from({ length: 40 }, (_, n) => `d${n + 1}`);
    const hear = (): void => {
      for (const serial of all) signs.seen(serial, facts(), clock.now(), 'heartbeat');
    };
    hear();
    /** All that began has ended: nothing of ours is at work in PostgreSQL, twice in a row. */
    const goes = async (span_: Milliseconds): Promise<void> => {
      for (let gone = 0; gone < span_; gone += BEAT_EVERY_MS) {
        await clock.advance(BEAT_EVERY_MS);
        let quiet = 0;
        await until('the watches rest', async () => {
          const [busy] = await rows<{ n: number }>(
            `select count(*)::int as n from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle' and application_name = 'responssenter'`,
          );
          quiet = busy?.n === 0 ? quiet + 1 : 0;
          return quiet >= 2;
        });
      }
    };
    const states = async () =>
      (await rows<{ silence: string; n: number }>('select silence, count(*)::int as n from device_seen group by 1')).map(
        ({ silence: was, n }) => `${was} ${n}`,
      );
    await goes(minutes(10));
    t.same(await states(), ['none 40']);
    await goes(minutes(1));
    t.same(await states(), ['late 40']);
    t.same(await rows(LOOKS), [], 'being late is no alarm');
    await goes(minutes(5));
    t.same(await states(), ['lost 40']);
    const lost = await rows<{ kind: string; signal_count: number; state: string; priority: string }>(LOOKS);
    t.equal(lost.length, 40);
    t.ok(
      lost.every(
        ({ kind, signal_count, state, priority }) =>
          kind === 'device-lost' && signal_count === 1 && state === 'waiting' && priority === 'technical',
      ),
    );
    hear();
    await goes(minutes(1));
    t.same(await states(), ['none 40']);
    const closed = await rows<{ state: string }>(LOOKS);
    t.ok(closed.length === 40 && closed.every(({ state }) => state === 'closed'), 'the restore ended them');
    const signals = await rows<{ role: string; verdict: string; n: number }>(
      `select meaning->>'role' as role, verdict, count(*)::int as n from signal where verdict <> 'duplicate' group by 1, 2 order by 1`,
    );
    t.same(signals, [
      { role: 'information', verdict: 'kept', n: 40 },
      { role: 'restore', verdict: 'joined', n: 40 },
      { role: 'technical', verdict: 'opened', n: 40 },
    ]);
    await Promise.all(watches.map((watch) => watch.stop()));
    await signs.stop();
  });

  await t.test('a process that is stopped and goes on after an hour, or a store that is away as long, makes nobody late', async (t) => {
    for (const what of ['stopped', 'away'] as const) {
      await stores.empty();
      await pool.query(`insert into device (serial, municipality, protocol, model) values ('d1', '1103', 'mqtt', 'generic/stationary')`);
      let at = START;
      let gone = false;
      const ticks: (() => void)[] = [];
      const clock = {
        now: () => at,
        monotonic: () => at as number,
        after: () => ({ cancel: () => undefined }),
        every: (_period: Milliseconds, run: () => void) => {
          ticks.push(run);
          return { cancel: () => undefined };
        },
      };
      const real = createLifeSignStore(stores.postgres);
      const signs = createLifeSigns({
        clock,
        log: SILENT,
        store: { writeSeen: (seen) => (gone ? Promise.reject(away()) : real.writeSeen(seen)) },
      });
      signs.seen('d1', facts(), at, 'heartbeat');
      let judged = 0;
      const counting: SilenceStore = {
        ...silence,
        listened: (...args) => (gone ? Promise.reject(away()) : silence.listened(...args)),
        remember: (told, now) => silence.remember(told, now).then(() => void (judged += told.length)),
      };
      const kept: string[] = [];
      const watch = watchSilence({
        models: MODELS,
        store: counting,
        lifeSigns: signs,
        keep: async ({ device }) => void kept.push(device),
        clock,
        random: systemRandom,
        log: SILENT,
      });
      const tick = async (span_: Milliseconds): Promise<void> => {
        at += span_;
        for (const run of ticks) run();
        await signs.flush();
        await watch.rest();
      };
      for (let n = 0; n < 40; n++) await tick(JUDGE_EVERY_MS);
      if (what === 'stopped') at += minutes(60);
      else {
        gone = true;
        for (let n = 0; n < 36; n++) await tick(minutes(100) / 60);
        gone = false;
      }
      for (let n = 0; n < 20; n++) await tick(JUDGE_EVERY_MS);
      t.equal(judged, 0, `${what}: it was listened to for ten minutes in all`);
      for (let n = 0; n < 5; n++) await tick(JUDGE_EVERY_MS);
      t.match(await rows('select silence from device_seen'), [{ silence: 'late' }], `${what}: and now it is late`);
      await watch.stop();
      await signs.stop();
    }
  });

  await t.test('told and not remembered (a crash): told again, as a duplicate', async (t) => {
    await stores.empty();
    await pool.query(`insert into device (serial, municipality, protocol, model) values ('d1', '1103', 'mqtt', 'generic/stationary');
      insert into device_seen (serial, seen_at) values ('d1', '${new Date(START - minutes(60)).toISOString()}');
      insert into listening (from_at, until_at, judged_at) select at, '${new Date(START).toISOString()}', '-infinity' from (select '${new Date(START - minutes(90)).toISOString()}'::timestamptz as at) x`);
    const crashing = { ...silence, remember: () => Promise.reject(away()) };
    const keep = keeper();
    for (const store of [crashing, crashing, silence]) {
      await pool.query(`update listening set judged_at = '-infinity'`);
      let told = 0;
      const watch = watchSilence({
        models: MODELS,
        store: { ...store, remember: (all, at) => store.remember(all, at).finally(() => (told = all.length)) },
        lifeSigns: { flush: async () => true, unwritten: () => null },
        keep: (signal) => keep.keep(signal),
        clock: new MovableClock(START + seconds(10)),
        random: systemRandom,
        log: SILENT,
      });
      await until('it was told', () => told > 0);
      await watch.stop();
    }
    t.match(await rows(LOOKS), [{ device: 'd1', kind: 'device-lost', signal_count: 1, duplicates: 2 }]);
    t.match(await rows('select silence from device_seen'), [{ silence: 'lost' }]);
  });
});
