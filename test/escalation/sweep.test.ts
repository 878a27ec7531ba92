/** The sweep on the real database: the ladder step by step, two sweeps at once, poisoned alarms, a store that goes away. */
import t from 'tap';
import { MovableClock, RunningClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import type { Desk } from '../../src/alarms/desk.ts';
import { planRung } from '../../src/escalation/plan.ts';
import { startSweep, type Sweep, type SweepParts } from '../../src/escalation/sweep.ts';
import { createDeadlines } from '../../src/store/deadlines.ts';
import { openPostgres } from '../../src/store/postgres.ts';
import { type Escalating, escalating } from '../support/escalating.ts';
import { KARI, NATT } from '../support/alarms.ts';
import { SILENT, startStores, until } from '../support/stores.ts';

const stores = await startStores();
t.teardown(() => stores.stop());
const { postgres } = stores;

t.beforeEach(() => stores.empty());

/** A sweep that tests move along by hand; `steady` waits until it has nothing to do at this instant. */
function sweeping(clock: MovableClock, parts: Escalating, more: Partial<SweepParts> = {}) {
  const { duty, escalation, desk } = parts;
  const deadlines = createDeadlines(postgres);
  const sweep = startSweep({
    deadlines,
    desk,
    plan: async () => {
      const roll = await duty.roll();
      return (alarm) => planRung(escalation, alarm, roll);
    },
    clock,
    log: SILENT,
    ...more,
  });
  return {
    sweep,
    move: async (ms: number) => {
      await clock.advance(ms);
      await until('nothing is due', async () => {
        sweep.poke();
        return (await deadlines.due(clock.now(), 1, [])).length === 0;
      });
    },
  };
}

const order = (desk: Desk, number: string, command: Parameters<Desk['order']>[0]['command'], actor = KARI) =>
  desk.order({ number, command, actor, version: null, doneAt: null, key: null });

await t.test('an alarm that nobody answers climbs every rung, is exhausted, and begins again', async (t) => {
  const clock = new MovableClock();
  const parts = escalating(postgres, clock);
  await parts.people();
  const late: number[] = [];
  const { sweep, move } = sweeping(clock, parts, { observe: (ms) => late.push(ms) });
  t.teardown(() => sweep.stop());
  const number = await parts.press('h1');
  await move(59_750);
  t.same(await parts.told(number), ['opened'], 'nothing before its time');
  await move(250);
  await move(59_750);
  t.same(await parts.told(number, 1), [
    'passed unclaimed',
    'told supervisor-and-overflow to vaktleder, overløp: leder(page+sms), operator2(page+sms)',
  ]);
  await move(250);
  await move(60_000);
  await move(120_000);
  await move(120_000);
  t.same(await parts.told(number, 3), [
    'passed unclaimed',
    'dispatched own-zone to nattpatrulje: natt(page+sms), natt2(page+sms)',
    'passed not-accepted',
    'dispatched own-zone-again to nattpatrulje: natt(page+sms), natt2(page+sms)',
    'passed not-accepted',
    'told supervisor-decides to vaktleder: leder(page+sms)',
    'passed not-accepted',
    'ladder-exhausted',
  ]);
  await move(299_750);
  t.equal((await parts.told(number)).length, 11);
  await move(250);
  await move(1000);
  t.same((await parts.told(number, 11)).slice(0, 4), [
    'passed ladder-restart',
    'ladder-restarted',
    'passed not-accepted',
    'told supervisor-and-overflow to vaktleder, overløp: leder(page+sms), operator2(page+sms)',
  ]);
  t.ok(late.length >= 7 && late.every((ms) => ms <= 1000), 'acted on at once by its clock');

  t.match(await order(parts.desk, number, { command: 'accept', etaMinutes: 10 }, NATT), { alarm: { state: 'responding' } });
  await move(14 * 60_000);
  t.same((await parts.told(number)).slice(-1), ['accepted'], 'whoever accepted has one and a half times the promised time');
  await move(60_000);
  t.same((await parts.told(number)).slice(-1), ['passed not-arrived']);
});

await t.test(
  'nobody on duty is said at once and the ladder goes on within seconds; off duty holds everywhere without a restart',
  async (t) => {
    const clock = new MovableClock();
    const parts = escalating(postgres, clock);
    await parts.people();
    const elsewhere = escalating(postgres, clock).duty;
    const viewer = (account: string, role: 'responder' | 'supervisor') => ({
      account,
      name: account,
      roles: [role],
      municipalities: ['*'],
    });
    t.match(await elsewhere.order(viewer('natt', 'responder'), { command: 'off' }), { warning: null, view: { me: { onDuty: false } } });
    t.match(
      await elsewhere.order(viewer('natt2', 'responder'), { command: 'off' }),
      { warning: 'last-on-duty' },
      'allowed, with a warning',
    );
    t.match(await parts.duty.view(viewer('leder', 'supervisor')), {
      me: { onDuty: true, team: 'vaktleder', until: null },
      teams: [
        { id: 'nattpatrulje', name: 'Nattpatrulje', onDuty: [] },
        { id: 'vaktleder', onDuty: [{ account: 'leder', name: 'leder', since: null, until: null }] },
        { id: 'overløp' },
      ],
    });
    const { sweep, move } = sweeping(clock, parts);
    t.teardown(() => sweep.stop());
    const number = await parts.press('h1');
    await move(60_000);
    await move(60_000);
    await move(1000);
    await move(1000);
    t.same(await parts.told(number, 3), [
      'passed unclaimed',
      'nobody-on-duty own-zone',
      'passed unclaimed',
      'nobody-on-duty own-zone-again',
      'passed unclaimed',
      'told supervisor-decides to vaktleder: leder(page+sms)',
    ]);
    const alarm = await parts.desk.order({
      number,
      command: { command: 'note', text: 'x' },
      actor: KARI,
      version: null,
      doneAt: null,
      key: null,
    });
    if (!('alarm' in alarm)) throw new Error(alarm.refused);
    t.same(await parts.duty.resolveDispatch('nattpatrulje', alarm.alarm), { refused: 'nobody-on-duty' });
    t.same(await parts.duty.resolveDispatch('natt', alarm.alarm), { refused: 'nobody-on-duty' });
    t.same(await parts.duty.resolveDispatch('dagpatrulje', alarm.alarm), { refused: 'unknown-recipient' });
    t.same(await parts.duty.resolveDispatch('teknisk', alarm.alarm), { refused: 'unknown-recipient' });

    await parts.duty.order(viewer('natt2', 'responder'), { command: 'on' });
    t.match(await elsewhere.dispatchTargets({ ...alarm.alarm, ladder: { ...alarm.alarm.ladder, climbed: 0 } }), {
      targets: [
        { to: 'nattpatrulje', name: 'Nattpatrulje', kind: 'team', onDuty: 1, proposed: true },
        { to: 'natt2', kind: 'person', onDuty: 1, proposed: false },
        { to: 'vaktleder', kind: 'team', onDuty: 1, proposed: false },
        { to: 'leder', kind: 'person', onDuty: 1, proposed: false },
      ],
    });
    t.match(await elsewhere.resolveDispatch('natt2', alarm.alarm), {
      recipients: [
        {
          account: 'natt2',
          team: 'nattpatrulje',
          channels: [
            { via: 'page', afterMs: 0 },
            { via: 'sms', afterMs: 0 },
          ],
        },
      ],
      waitMs: 60_000,
    });
    t.match(await elsewhere.order(viewer('leder', 'supervisor'), { command: 'take-over', account: 'natt', from: 'natt2' }), {
      view: { teams: [{ onDuty: [{ account: 'natt' }] }] },
    });
  },
);

await t.test('two sweeps at once take each step exactly once', async (t) => {
  const clock = new MovableClock();
  const parts = escalating(postgres, clock);
  await parts.people();
  const numbers = await Promise.all(Array.from({ length: 150 }, (_, i) => parts.press(`h${i}`)));
  const other = openPostgres(stores.databaseServer.url, SILENT);
  t.teardown(() => other.stop());
  await clock.advance(60_000);
  const one = sweeping(clock, parts);
  const two = sweeping(clock, escalating(other, clock));
  await one.move(0);
  await Promise.all([one.sweep.stop(), two.sweep.stop()]);
  for (const number of numbers) {
    t.strictSame(
      await parts.told(number, 1),
      ['passed unclaimed', 'told supervisor-and-overflow to vaktleder, overløp: leder(page+sms), operator2(page+sms)'],
      number,
    );
  }
  const [first, second] = [one.sweep.stats(), two.sweep.stats()];
  t.equal(first.passed + second.passed, numbers.length);
  t.equal(first.failures + second.failures, 0);
  const asks = await postgres.pool.query('select count(*)::int as n from ask');
  t.same(asks.rows, [{ n: 4 * numbers.length }]);
});

await t.test('one that throws is tried again later and stops nobody else', async (t) => {
  const clock = new MovableClock();
  const parts = escalating(postgres, clock);
  await parts.people();
  const poisoned = await parts.press('poisoned');
  await postgres.pool.query(`update alarm set fold = fold::jsonb - 'ladder' where number = $1`, [poisoned]);
  const numbers = await Promise.all(Array.from({ length: 20 }, (_, i) => parts.press(`h${i}`)));
  const lines: string[] = [];
  const { sweep } = sweeping(clock, parts, { parallel: 1, log: createLog('error', { write: (line) => lines.push(line) }) });
  t.teardown(() => sweep.stop());
  await clock.advance(60_000);
  for (const number of numbers) await until(`${number} was told`, async () => (await parts.told(number)).length === 3);
  t.same(await parts.told(poisoned), ['opened']);
  t.equal(lines.length, 1);
  t.match(JSON.parse(lines[0]!), { event: 'deadline-not-passed', alarm: poisoned, code: 'unclaimed' });
  await clock.advance(750);
  await clock.advance(500);
  await until('it was tried again after its pause', () => lines.length === 2);
  await clock.advance(1500);
  t.equal(lines.length, 2, 'and then after a longer one');
  const whole = JSON.stringify({ id: 'standard', climbed: 0, round: 0, exhausted: false, nobodyOnDuty: false });
  await postgres.pool.query(`update alarm set fold = jsonb_set(fold::jsonb, '{ladder}', $2) where number = $1`, [poisoned, whole]);
  await clock.advance(1000);
  await until('it goes on when it is mended', async () => (await parts.told(poisoned)).length === 3);
  t.equal(sweep.stats().setAside, 0);
});

await t.test('one that hangs takes one place only; the more urgent goes first', async (t) => {
  const clock = new MovableClock();
  const parts = escalating(postgres, clock);
  await parts.people();
  const care = await parts.press('care', { meaning: { priority: 'care' } });
  await clock.advance(1000);
  const life = await parts.press('life', { meaning: { priority: 'life' } });
  const seen: string[] = [];
  let release = (): void => undefined;
  const desk: Desk = {
    async order(request) {
      seen.push(request.number);
      if (request.number === life) await new Promise<void>((resolve) => (release = resolve));
      return parts.desk.order(request);
    },
  };
  await clock.advance(60_000);
  let looks = 0;
  const deadlines = createDeadlines(postgres);
  const { sweep } = sweeping(
    clock,
    { ...parts, desk },
    {
      parallel: 2,
      deadlines: {
        async due(...about) {
          const found = await deadlines.due(...about);
          looks += 1;
          return found;
        },
      },
    },
  );
  await until('the other one was told', async () => (await parts.told(care)).length === 3);
  t.same(seen, [life, care], 'life first, although it has waited for a shorter time');
  const before = looks;
  await until('it has looked again and again', async () => {
    await clock.advance(250);
    return looks > before + 3;
  });
  t.equal(seen.filter((number) => number === life).length, 1, 'not asked again while it is in hand');
  release();
  await sweep.stop();
  t.equal((await parts.told(life)).length, 3);
});

await t.test('what passed while the centre was down is acted on within 2 s; many at once within 5 s', async (t) => {
  const clock = new RunningClock();
  const parts = escalating(postgres, clock);
  await parts.people();
  const count = 300;
  await Promise.all(Array.from({ length: count }, (_, i) => parts.press(`h${i}`)));
  const past = clock.now() - 60_000;
  await postgres.pool.query(`update alarm set deadline_at = $1, fold = jsonb_set(fold::jsonb, '{waits,unclaimed}', to_jsonb($2::bigint))`, [
    new Date(past),
    past,
  ]);
  const { duty, escalation, desk } = parts;
  const plan = async () => {
    const roll = await duty.roll();
    return (alarm: Parameters<typeof planRung>[1]) => planRung(escalation, alarm, roll);
  };
  const late: number[] = [];
  const startedAt = performance.now();
  const sweep: Sweep = startSweep({ deadlines: createDeadlines(postgres), desk, plan, clock, log: SILENT, observe: (ms) => late.push(ms) });
  t.teardown(() => sweep.stop());
  await until('the first', () => sweep.stats().passed > 0, 2000);
  await until('all of them', () => sweep.stats().passed >= count, 5000);
  t.comment(`${count} deadlines in ${Math.round(performance.now() - startedAt)} ms`);
  t.ok(
    late.every((ms) => ms >= 60_000),
    'lateness is told as it was',
  );
  const next = await postgres.pool.query<{ soonest: Date }>('select min(deadline_at) as soonest from alarm');
  t.ok(next.rows[0]!.soonest.getTime() > clock.now() + 50_000, 'the next deadline counts from the act, not from the missed time');
});

await t.test('PostgreSQL away and back', async (t) => {
  const clock = new RunningClock();
  const parts = escalating(postgres, clock);
  await parts.people();
  const number = await parts.press('h1');
  const { duty, escalation, desk } = parts;
  const lines: string[] = [];
  const sweep = startSweep({
    deadlines: createDeadlines(postgres),
    desk,
    plan: async () => {
      const roll = await duty.roll();
      return (alarm) => planRung(escalation, alarm, roll);
    },
    clock,
    log: createLog('info', { write: (line) => lines.push(line) }),
  });
  t.teardown(() => sweep.stop());
  const before = stores.databaseServer.pid()!;
  process.kill(before, 'SIGKILL');
  await until('it is back', async () => {
    const pid = stores.databaseServer.pid();
    return pid !== null && pid !== before && (await postgres.pool.query('select 1').catch(() => null));
  });
  const said = (event: string): number => lines.filter((line) => line.includes(event)).length;
  t.ok(said('sweep-look-failed') <= 1, 'said once at most');
  await postgres.pool.query(`update alarm set deadline_at = $1, fold = jsonb_set(fold::jsonb, '{waits,unclaimed}', to_jsonb($2::bigint))`, [
    new Date(clock.now()),
    clock.now(),
  ]);
  await until('and works', async () => (await parts.told(number)).length === 3);
  t.equal(said('sweep-look-failed'), said('sweep-store-back'));
});
