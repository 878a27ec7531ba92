/** The bench's figures: what a load becomes, what it is compared by, when an aim is missed, and what the table says. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { outOfOrder } from '../../bench/deadline-rows.ts';
import { AIMS, type Figure, figureOf, judge, percentile, ratiosOf, unmeasured } from '../../bench/figures.ts';
import { cpuOf, familyOf, memoryOf, residentOf } from '../../bench/machine.ts';
import { comparedWith } from '../../bench/offer.ts';
import { openFilesLimit, socketsOf, tooFewFiles } from '../../bench/open-files.ts';
import { type Kept, aheadOf, behindTechnical, shownBehindLater } from '../../bench/outage.ts';
import { PATHS } from '../../bench/paths.ts';
import { PARTS, type Plan, devicesOf, messagesOf, readArguments } from '../../bench/plan.ts';
import { floors, slopeOf } from '../../bench/steady.ts';
import { type Report, ratioText, reportText, short, tableOf } from '../../bench/table.ts';
import type { LoadResult } from '../../simulators/load.ts';
import { latenciesOf, openLoop } from '../../simulators/load/open-loop.ts';
import { RunningClock } from '../../src/base/clock.ts';

const hundred = latenciesOf(Float64Array.from({ length: 100 }, (_, i) => 100 - i));
const result: LoadResult = {
  scheduled: 110,
  reached: { puback: 100 },
  reachedInAll: { puback: 120 },
  failures: {},
  lost: 10,
  spanMs: 2000,
  perSecond: 50,
  latencies: { puback: hundred },
  generatorLateMs: 3,
};
const figure = (more: Partial<Figure>): Figure => ({
  id: 'one',
  what: 'one',
  offered: 500,
  perSecond: 500,
  p50: 2,
  p99: 10,
  max: 12,
  lost: 0,
  lateMs: 1,
  ...more,
});

await t.test('a load becomes a figure by nearest rank; what was lost is said, not left out', async (t) => {
  t.same([1, 50, 99, 99.9].map((p) => percentile(hundred, p)).slice(1), [50, 99, 100]);
  t.ok(Number.isNaN(percentile(hundred, 1)), 'a rank that was not taken');
  t.same(figureOf(result, 'puback', { id: 'mqtt', what: 'MQTT', offered: 55 }), {
    id: 'mqtt',
    what: 'MQTT',
    offered: 55,
    perSecond: 50,
    p50: 50,
    p99: 99,
    max: 100,
    lost: 10,
    lateMs: 3,
  });
  const none: LoadResult = { ...result, reached: { puback: 0 }, latencies: { puback: latenciesOf(Float64Array.of()) } };
  t.match(figureOf(none, 'puback', { id: 'x', what: 'x', offered: 1 }), { perSecond: 0, p50: null, p99: null, max: null, lost: 110 });
  const failed: LoadResult = { ...result, repeated: 3, failures: { 'answered 503': 9, 'connection ended': 1 } };
  t.equal(
    figureOf(failed, 'puback', { id: 'x', what: 'x', offered: 1, note: 'so' }).note,
    'so; 9 × answered 503; 1 × connection ended; 3 datagrams sent again',
  );
  t.match(figureOf(result, 'mrs', { id: 'x', what: 'x', offered: 1 }), { p50: null, lost: 110 }, 'a stage that nothing reached');
});

await t.test('latencies are compared while a load is kept up with, throughput when it is not', async (t) => {
  const reference = figure({ id: 'bare', p50: 1, p99: 4 });
  const kept = figure({ id: 'own', against: ['bare', 'not measured'] });
  t.same(ratiosOf(kept, [reference, kept]), [
    { to: 'bare', by: 'p50', times: 2 },
    { to: 'bare', by: 'p99', times: 2.5 },
  ]);
  const saturated = figure({ id: 'own', offered: 8000, perSecond: 3000, against: ['bare'] });
  t.same(ratiosOf(saturated, [reference]), [{ to: 'bare', by: 'perSecond', times: 6 }]);
  t.same(ratiosOf(figure({ offered: null, against: ['bare'] }), [reference]), [{ to: 'bare', by: 'perSecond', times: 1 }]);
  t.same(ratiosOf(figure({ p50: null, against: ['bare'] }), [figure({ id: 'bare', p99: 0 })]), [], 'nothing is divided by nothing');
  const asked = figure({ id: 'own', offered: null, byLatency: true, against: ['bare'] });
  t.same(
    ratiosOf(asked, [reference]).map(({ by }) => by),
    ['p50', 'p99'],
    'questions that were asked one after the other',
  );
  t.same(ratioText(ratiosOf(kept, [reference])), 'p50 × 2.00, p99 × 2.50 of bare');
});

await t.test('an aim is reached only by a figure that is there, good enough and without a loss', async (t) => {
  const aimOf = (id: string) => AIMS.find((aim) => aim.figure === id);
  const [throughput, latency, storm, never] = ['scaip-saturated', 'mqtt-500', 'storm-10000-at-once', 'outage-woken'].map(aimOf);
  const judged = (more: Partial<Figure>, aim = throughput!) => judge([aim], [figure({ id: aim.figure, ...more })])[0]?.reached;
  t.equal(judged({ perSecond: 3000 }), true);
  t.equal(judged({ perSecond: 2999 }), false);
  t.equal(judged({ perSecond: 3000, lost: 1 }), false);
  t.equal(judged({ p99: 9.9 }, latency), true);
  t.equal(judged({ p99: 10 }, latency), false);
  t.equal(judged({ p99: null }, latency), false);
  t.equal(judged({ max: 29_999 }, storm), true);
  t.equal(judged({ max: 30_000 }, storm), false);
  t.equal(judged({ max: 3000, lost: 1 }, storm), false, 'a device that never came back');
  const counted = (value: number) => judge([never!], [], [{ id: never!.figure, what: 'woken', value, unit: '' }])[0];
  t.match(counted(0), { got: 0, reached: true });
  t.match(counted(1), { got: 1, reached: false }, 'one is one too many');
  t.match(judge([never!], [], [])[0], { got: null, reached: false }, 'not counted');
  t.match(judge([aimOf('mqtt-saturated')!], [unmeasured('mqtt-saturated', 'MQTT', 'it failed')])[0], { got: null, reached: false });
  t.same(comparedWith(100, 100), { unkept: 0, note: '' });
  t.same(comparedWith(100, 101), { unkept: 0, note: '' }, 'whose acknowledgement came too late');
  t.same(comparedWith(100, 99), { unkept: 1, note: '1 ACKNOWLEDGED AND NOT THERE' });
  t.equal(judged({ perSecond: 3000, unkept: 1 }), false, 'fast, and one is not there');
  t.match(
    judge(AIMS, []),
    AIMS.map(() => ({ got: null, reached: false })),
  );
});

await t.test('the table says all of it, with the machine', async (t) => {
  t.same([null, Number.NaN, 0.123, 1.234, 12.34, 1234.5, -1.5].map(short), ['–', '–', '0.12', '1.23', '12.3', '1235', '-1.50']);
  t.equal(tableOf(['a', 'long'], [['longer', 'b']]), '| a      | long |\n| ------ | ---- |\n| longer | b    |');
  const figures = [figure({ id: 'aedes-500', p50: 1, p99: 5 }), figure({ id: 'mqtt-500', against: ['aedes-500'], note: 'so' })];
  const report: Report = {
    at: '2026-01-02T03:04:05.678Z',
    plan: 'quick',
    machine: { cpu: 'some CPU', cores: 2, memoryMb: 4000, node: '20.20.0', postgres: '18.4', loadBefore: 0.25 },
    figures,
    aims: judge(AIMS, figures),
    facts: [
      { what: 'memory', value: 120, unit: 'MB' },
      { what: 'woken', value: 0, unit: '' },
    ],
  };
  const text = reportText(report);
  t.match(text, 'some CPU, 2 cores, 4000 MB; Node 20.20.0, PostgreSQL 18.4');
  t.match(text, 'load average before the run: 0.25');
  t.match(text, 'p50 × 2.00, p99 × 2.00 of aedes-500; so');
  t.match(text, /device → PUBACK p99 at 500\/s, ms +\| < 10 +\| 10\.0 +\| MISSED/);
  t.match(text, /Aims of which this run says nothing: .*; device → every one of 200 consoles p99 at 500\/s, ms;/, 'none is left out');
  t.match(text, /memory +\| 120 MB/);
  t.match(text, /woken +\| 0 +\|/);
});

await t.test('what stood before a life alarm is told by the transactions that keep them', async (t) => {
  const kept = (alarm: string, life: boolean, receivedAt: number, transaction: number): Kept => ({ alarm, life, receivedAt, transaction });
  const span = (sentAt: number, ackAt: number) => ({ sentAt, ackAt });
  const fifo = [kept('1', false, 0, 1), kept('2', true, 10, 2), kept('3', false, 20, 3)];
  t.equal(behindTechnical(fifo), 0, 'what was begun before it came is nobody that stands before it');
  t.equal(behindTechnical([kept('1', false, 20, 1), kept('2', true, 10, 2), kept('3', false, 30, 2)]), 1, 'one that came later went first');
  t.equal(
    behindTechnical([kept('1', false, 5, 1), kept('4', true, 20, 1), kept('2', true, 10, 2), kept('3', false, 30, 2)]),
    1,
    'one that came earlier, but was begun while it waited',
  );
  t.equal(behindTechnical([kept('1', true, 20, 1), kept('2', true, 10, 2), kept('3', false, 30, 2)]), 0, 'another life alarm');
  t.equal(behindTechnical([kept('1', false, 30, 1), kept('2', true, 10, 2)]), 0, 'two side by side: its own was put together first');
  t.equal(behindTechnical([kept('1', false, 11, 1), kept('2', true, 10, 2), kept('3', false, 30, 2)]), 0, 'at the same moment');
  const technical = [span(0, 5), span(0, 12), span(8, 30), span(11, 12)];
  t.same(aheadOf([span(10, 20), span(10, 40), span(50, 60)], technical), [1, 2, 0], 'those that waited when it came, and went first');
  t.equal(shownBehindLater(fifo, ['1', '2', '3']), 0);
  t.equal(shownBehindLater(fifo, ['1', '3', '2']), 1);
  t.equal(shownBehindLater(fifo, ['2', '1']), 0, 'what was not shown was not shown before it');
});

await t.test('deadlines are in order by the transactions that passed them, three of which run side by side', async (t) => {
  const passed = (...ranks: number[][]) =>
    ranks.flatMap((some, transaction) => some.map((rank) => ({ rank, transaction: 100 + 7 * transaction })));
  t.equal(outOfOrder(passed([0, 0], [0, 1], [1, 2], [2, 2]), 1), 0);
  t.equal(outOfOrder(passed([0], [1], [0], [2]), 1), 0, 'beside each other');
  t.equal(outOfOrder(passed([0], [1, 1], [1], [1], [0], [2]), 1), 2, 'three transactions later there was still one of life');
  t.equal(outOfOrder(passed([0], [1, 1], [1], [1], [0], [2]), 2), 0, 'two desks');
});

await t.test('growth of memory is the slope of what is left after collections', async (t) => {
  const sawtooth = Array.from({ length: 60 }, (_, n) => ({ at: n / 6, mb: 100 + (n % 6) * 10 + Math.floor(n / 6) * 2 }));
  const lowest = floors(sawtooth, 1);
  t.same(
    lowest.map(({ mb }) => mb),
    [100, 102, 104, 106, 108, 110, 112, 114, 116, 118],
  );
  t.ok(Math.abs(slopeOf(lowest) - 2) < 1e-9);
  t.equal(slopeOf([]), 0);
  t.equal(slopeOf([{ at: 1, mb: 5 }]), 0);
});

await t.test('arguments', async (t) => {
  t.match(readArguments([]), { plan: { size: 'full' }, parts: PARTS, profileTo: null });
  t.match(readArguments(['--quick', '--only', 'start,mqtt', '--profile', 'out']), {
    plan: { size: 'quick' },
    parts: ['mqtt', 'start'],
    profileTo: 'out',
  });
  t.match(readArguments(['--try']), { plan: { size: 'try' } });
  t.match(readArguments(['--only', 'mqtt,nothing']), { wrong: /no part "nothing"; there are reference, / });
  t.match(readArguments(['--profile']), { wrong: /Name the folder/ });
  t.match(readArguments(['--fast']), { wrong: /"--fast" is not known/ });
});

const plans = [[], ['--quick'], ['--try']].map((args): Plan => {
  const asked = readArguments(args);
  if ('wrong' in asked) throw new Error(asked.wrong);
  return asked.plan;
});

await t.test('a limit on open files that is too low is one sentence that tells what to do', async (t) => {
  const [plan] = plans;
  const needed = Math.max(...PARTS.map((part) => socketsOf(plan!, part))) + 1100;
  t.ok(needed > 11_000, 'ten thousand connections');
  t.equal(tooFewFiles(plan!, PARTS, null), null);
  t.equal(tooFewFiles(plan!, PARTS, needed), null);
  t.equal(
    tooFewFiles(plan!, ['mqtt', 'connections', 'scaip-tls', 'keeper'], 4096),
    'The connections of this run need 13100 open files, and the system allows 4096: run `ulimit -n 13100` first ' +
      '(as root, or raise LimitNOFILE for good), or measure only what fits: --only scaip-tls,keeper.',
  );
  t.match(tooFewFiles(plan!, ['storm'], 1024), /need 11100 open files, .* \(as root, or raise LimitNOFILE for good\)\.$/);
  t.ok((openFilesLimit() ?? 1024) >= 1024);
});

await t.test('each part is told of in the docs, and each aim is of a figure that a part makes', async (t) => {
  const docs = readFileSync(new URL('../../docs/bench.md', import.meta.url), 'utf8');
  t.same(
    [...docs.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, part]) => part),
    [...PARTS],
  );
  t.match(docs, `parts: ${PARTS.join(', ')}`);
  const [full] = plans;
  const made = [
    ...PATHS.flatMap(({ part }) => [`${part}-saturated`, `${part}-500`]),
    ...full!.connections.counts.map((count) => `connections-${count}-saturated`),
    ...full!.storms.flatMap(({ devices, jitters }) => {
      return jitters.map((ms) => `storm-${devices}-${ms === 0 ? 'at-once' : `within-${ms / 1000}s`}`);
    }),
    ...['mqtt-0', 'mqtt-1', 'scaip'].map((way) => `heartbeats-${way}`),
    ...full!.consoles.counts.flatMap((count) => full!.consoles.loads.map(({ ratePerSecond }) => `consoles-${count}-${ratePerSecond}`)),
    ...full!.keeper.inFlight.map((count) => `keeper-${count}`),
    ...full!.desk.deadlines.flatMap((count) => [`deadlines-${count}`, `deadlines-${count}-out-of-order`]),
    'life-signs-flood',
    ...['outage-life', 'outage-life-behind', 'outage-woken'],
    ...['steady-centre-slope', 'steady-stores-slope', 'steady-hour-slope'],
  ];
  t.same(
    AIMS.map(({ figure: id }) => id).filter((id) => !made.includes(id)),
    [],
  );
});

await t.test('there are devices enough that every message opens an alarm, and sockets enough for them', async (t) => {
  for (const plan of plans) {
    const { rates, streamRates, saturation, consoles, connections, storms, heartbeats, outage, steady, archive } = plan;
    const all = [...connections.counts, ...storms.map(({ devices }) => devices), heartbeats.devices, outage.lifeAlarms, steady.devices];
    t.ok(Math.max(...all, ...archive.sizes.map(({ open }) => open)) <= devicesOf(plan), 'an open need for each household');
    for (const load of [heartbeats.mqtt, heartbeats.scaip]) {
      t.ok(messagesOf(load) / heartbeats.devices < 3000, 'far below what one unit may send in a minute');
    }
    for (const load of [...rates, ...streamRates, saturation.mqtt, saturation.scaip, ...consoles.loads]) {
      t.ok(messagesOf(load) <= devicesOf(plan), `${load.ratePerSecond}/s`);
      t.ok(messagesOf(load) <= 15_000, 'each device is a socket, in the generator and in the centre');
      t.ok(load.forMs > load.warmUpMs);
    }
  }
});

await t.test('a generator that is held up measures from the schedule: no coordinated omission', async (t) => {
  // The whole process stands still for 100 ms; each message was due in that time, and waited until its end.
  // Timers of the clock let a process end.
  const awake = setInterval(() => undefined, 1000);
  t.teardown(() => clearInterval(awake));
  let stalled = false;
  const clock = new RunningClock();
  const { latencies, generatorLateMs, lost } = await openLoop({ ratePerSecond: 500, forMs: 300 }, ['done'], clock, (_i, progress) => {
    if (!stalled) {
      stalled = true;
      const until = clock.monotonic() + 100;
      while (clock.monotonic() < until);
    }
    progress.reached('done', clock.monotonic());
  });
  t.equal(lost, 0);
  t.ok(generatorLateMs >= 90, `late by ${generatorLateMs} ms`);
  // Of 150 messages 50 were due during the stall: evenly late between 100 and 0 ms.
  t.ok(percentile(latencies['done']!, 75) >= 20, `p75 ${percentile(latencies['done']!, 75)} ms`);
  t.ok(percentile(latencies['done']!, 99) >= 90, `p99 ${percentile(latencies['done']!, 99)} ms`);
});

await t.test('what the system tells of processes', { skip: process.platform === 'linux' ? false : 'reads /proc' }, async (t) => {
  const before = cpuOf([process.pid]);
  const until = process.cpuUsage().user + 60_000;
  while (process.cpuUsage().user < until);
  t.ok(cpuOf([process.pid]) - before >= 40, 'the time that was just used');
  const used = process.memoryUsage.rss() / 1_048_576;
  t.ok(Math.abs(residentOf(process.pid) / used - 1) < 0.3, `${residentOf(process.pid)} MB of ${used}`);
  t.ok(memoryOf([process.pid]) > 10);
  t.ok(familyOf(process.ppid).includes(process.pid));
  t.equal(cpuOf([0x7fff_ffff]), 0, 'none of that number');
});
