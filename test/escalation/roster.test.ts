/** The duty roster: shifts over midnight and over the nights when clocks change, commands over the plan, and who may give them. */
import fc from 'fast-check';
import { DateTime } from 'luxon';
import t from 'tap';
import { decideDuty, DUTY_REFUSALS, type DutyOrder } from '../../src/escalation/duty-order.ts';
import { type DutyPlan, type Escalation, type Shift, WEEKDAYS } from '../../src/escalation/ladder.ts';
import { callTheRoll, type DutyRecord, LONGEST_COMMAND_MS, onDutyAt } from '../../src/escalation/roster.ts';
import { plannedAt } from '../../src/escalation/shifts.ts';

const OSLO = 'Europe/Oslo';
const local = (text: string): number => DateTime.fromISO(text, { zone: OSLO }).toMillis();
const utc = (text: string): number => Date.parse(text);
const HOUR = 3_600_000;

const time = (text: string) => ({ hour: Number(text.slice(0, 2)), minute: Number(text.slice(3)) });
const shift = (from: string, to: string, more: Partial<Shift> & { days?: readonly (typeof WEEKDAYS)[number][] } = {}): Shift => ({
  id: `${from}-${to}`,
  team: more.team ?? 'patrol',
  people: more.people ?? ['ann'],
  hours: { days: more.days ?? WEEKDAYS, from: time(from), to: time(to) },
});
const plan = (...shifts: Shift[]): DutyPlan => ({ timeZone: OSLO, shifts });
const ANN = ['ann', 'patrol'] as const;

await t.test('a shift over midnight belongs to the day on which it begins', async (t) => {
  // 2026-11-20 is a Friday.
  const night = plan(shift('22:00', '07:30', { days: ['friday'] }));
  t.equal(plannedAt(night, ...ANN, local('2026-11-20T21:59')), null);
  const all = { since: local('2026-11-20T22:00'), until: local('2026-11-21T07:30') };
  t.same(plannedAt(night, ...ANN, local('2026-11-20T22:00')), all, 'from its first moment');
  t.same(plannedAt(night, ...ANN, local('2026-11-21T03:00')), all);
  t.equal(plannedAt(night, ...ANN, local('2026-11-21T07:30')), null, 'up to, not including, its last');
  t.equal(plannedAt(night, ...ANN, local('2026-11-20T03:00')), null, 'not the night before');
  t.equal(plannedAt(night, 'bo', 'patrol', local('2026-11-21T03:00')), null);
  t.equal(plannedAt(night, 'ann', 'other', local('2026-11-21T03:00')), null);
});

await t.test('shifts that meet or overlap are one stretch; a whole day ends at 24:00', async (t) => {
  const day = plan(
    shift('00:00', '24:00', { days: ['saturday'] }),
    shift('00:00', '08:00', { days: ['sunday'] }),
    shift('07:00', '09:00', { days: ['sunday'] }),
  );
  t.same(plannedAt(day, ...ANN, local('2026-11-21T12:00')), { since: local('2026-11-21T00:00'), until: local('2026-11-22T09:00') });
  t.same(plannedAt(plan({ ...shift('08:00', '16:00'), hours: null }), ...ANN, 0), { since: null, until: null }, 'always');
});

await t.test('the nights when the clocks change', async (t) => {
  const night = plan(shift('22:00', '07:00'));
  // EU rule (Directive 2000/84/EC): 01:00 UTC on the last Sunday of March and October.
  const spring = plannedAt(night, ...ANN, utc('2026-03-29T00:30Z'))!;
  t.equal(spring.until! - spring.since!, 8 * HOUR, 'a short night in March');
  const autumn = plannedAt(night, ...ANN, utc('2026-10-25T00:30Z'))!;
  t.equal(autumn.until! - autumn.since!, 10 * HOUR, 'a long one in October');

  const changeover = plan(shift('22:00', '02:30'), shift('02:30', '07:00', { people: ['bo'] }));
  const who = (at: string) => onDutyAt(changeover, [], utc(at)).map(({ account }) => account);
  t.same(who('2026-03-29T00:59:59Z'), ['ann'], '01:59 in winter time');
  t.same(who('2026-03-29T01:00:00Z'), ['bo'], 'the skipped 02:30 is the moment of the change');
  t.same(who('2026-10-25T00:29:59Z'), ['ann'], '02:29 for the first time');
  t.same(who('2026-10-25T00:30:00Z'), ['bo'], '02:30 for the first time');
  t.same(who('2026-10-25T01:15:00Z'), ['bo'], '02:15 for the second time: once is enough');
});

const YEAR = { min: utc('2026-01-01T00:00Z'), max: utc('2028-01-01T00:00Z') };
const DST_NIGHTS = ['2026-03-29T01:00Z', '2026-10-25T01:00Z', '2027-03-28T01:00Z', '2027-10-31T01:00Z'].map(utc);
const anInstant = fc.oneof(
  fc.integer(YEAR),
  fc.tuple(fc.constantFrom(...DST_NIGHTS), fc.integer({ min: -4 * HOUR, max: 4 * HOUR })).map(([night, by]) => night + by),
);
const aTime = fc
  .integer({ min: 0, max: 1439 })
  .map((m) => `${String(Math.floor(m / 60)).padStart(2, '0')}:${String(m % 60).padStart(2, '0')}`);

await t.test('shifts that share out the day leave no moment to nobody and none to two', async () => {
  fc.assert(
    fc.property(fc.uniqueArray(aTime, { minLength: 2, maxLength: 5 }), anInstant, (times, at) => {
      const sorted = times.toSorted();
      const shared = plan(...sorted.map((from, i) => shift(from, sorted[(i + 1) % sorted.length]!, { people: [`p${i}`] })));
      return onDutyAt(shared, [], at).length === 1;
    }),
    { numRuns: 200 },
  );
});

await t.test('on a day without a change, being on duty is what the clock on the wall says', async () => {
  fc.assert(
    fc.property(aTime, aTime, fc.subarray([...WEEKDAYS], { minLength: 1 }), anInstant, (from, to, days, at) => {
      const wall = DateTime.fromMillis(at, { zone: OSLO });
      const changes = [-1, 0, 1, 2].some((day) => {
        const midnight = wall.startOf('day').plus({ days: day });
        return midnight.offset !== midnight.plus({ days: 1 }).offset;
      });
      if (from === to || changes) return true;
      const now = wall.toFormat('HH:mm');
      const on = (weekday: number): boolean => days.includes(WEEKDAYS[(weekday + 6) % 7]!);
      const expected =
        from < to ? on(wall.weekday) && from <= now && now < to : (on(wall.weekday) && from <= now) || (on(wall.weekday - 1) && now < to);
      return (plannedAt(plan(shift(from, to, { days })), ...ANN, at) !== null) === expected;
    }),
    { numRuns: 300 },
  );
});

await t.test('a stretch of duty holds the asked moment, is the same from each of its moments, and ends when it says', async () => {
  fc.assert(
    fc.property(aTime, aTime, anInstant, fc.double({ min: 0, max: 0.999, noNaN: true }), (from, to, at, part) => {
      if (from === to) return true;
      const night = plan(shift(from, to));
      const stretch = plannedAt(night, ...ANN, at);
      if (stretch === null || stretch.since === null || stretch.until === null) return stretch === null;
      const other = Math.floor(stretch.since + (stretch.until - stretch.since) * part);
      const same = plannedAt(night, ...ANN, other);
      return (
        stretch.since <= at &&
        at < stretch.until &&
        same?.since === stretch.since &&
        same.until === stretch.until &&
        plannedAt(night, ...ANN, stretch.until) === null
      );
    }),
    { numRuns: 500 },
  );
});

const record = (id: number, command: DutyRecord['command'], at: number, until: number, more: Partial<DutyRecord> = {}): DutyRecord => ({
  id: String(id),
  account: 'ann',
  team: 'patrol',
  command,
  at,
  until,
  givenBy: 'boss',
  from: null,
  ...more,
});

await t.test('commands decide over the plan until their time is over', async (t) => {
  const day = plan(shift('08:00', '16:00'));
  const at = (text: string) => local(`2026-11-20T${text}`);
  const on = (commands: DutyRecord[], text: string) => onDutyAt(day, commands, at(text)).map(({ account }) => account);
  const off = record(1, 'off', at('09:00'), at('11:00'));
  t.same(on([off], '08:59'), ['ann']);
  t.same(on([off], '09:00'), []);
  t.same(on([off], '11:00'), ['ann'], 'then the plan again');
  const late = record(2, 'on', at('15:00'), at('18:00'));
  t.match(onDutyAt(day, [late], at('17:00')), [{ account: 'ann', since: at('15:00'), until: at('18:00'), by: 'command' }]);
  t.match(
    onDutyAt(day, [record(2, 'on', at('07:00'), at('09:00'))], at('08:30')),
    [{ since: at('07:00'), until: at('16:00') }],
    'the shift goes on',
  );
  t.same(on([late], '18:00'), []);
  const both = [record(3, 'on', at('16:00'), at('22:00')), record(10, 'off', at('17:00'), at('18:00'))];
  t.same(on(both, '17:30'), [], 'the newest decides, by number and not by text');
  t.same(on(both, '19:00'), [], 'an older command does not come back when a newer one is over');
  const relieved = [record(4, 'take-over', at('10:00'), at('12:00'), { account: 'bo', from: 'ann' })];
  t.same(on(relieved, '11:00'), ['bo'], 'who takes over is on, who was relieved is off');
  t.same(on(relieved, '12:00'), ['ann']);
  t.same(on([...relieved, record(5, 'on', at('10:30'), at('12:00'))], '11:00'), ['ann', 'bo'], 'and may come back on');
  t.same(on([record(6, 'on', at('17:00'), at('18:00'), { team: 'other' })], '17:30'), ['ann'], 'for another team');
});

await t.test('the newest command of any list decides, whatever its order; without one, the plan', async () => {
  const day = plan(shift('08:00', '16:00'));
  const noon = local('2026-11-20T12:00');
  const aRecord = fc.tuple(
    fc.constantFrom('on' as const, 'off' as const, 'take-over' as const),
    fc.integer({ min: -9, max: 3 }),
    fc.integer({ min: 1, max: 12 }),
    fc.constantFrom('ann', 'bo'),
  );
  fc.assert(
    fc.property(fc.array(aRecord, { maxLength: 6 }), fc.boolean(), (given, backwards) => {
      const commands = given.map(([command, begins, lasts, account], i) =>
        record(i + 1, command, noon + begins * HOUR, noon + (begins + lasts) * HOUR, {
          account,
          from: command === 'take-over' ? (account === 'ann' ? 'bo' : 'ann') : null,
        }),
      );
      const newest = commands.findLast(({ at, account, from }) => at <= noon && (account === 'ann' || from === 'ann'));
      const expected = newest === undefined || newest.until <= noon ? true : newest.command !== 'off' && newest.account === 'ann';
      return onDutyAt(day, backwards ? commands.toReversed() : commands, noon).some(({ account }) => account === 'ann') === expected;
    }),
  );
});

const NOW = local('2026-11-20T12:00');
const TEAMS: Escalation['teams'] = [
  {
    id: 'patrol',
    name: 'Patrol',
    role: 'responder',
    municipalities: ['1103'],
    zones: null,
    helps: [],
    members: ['ann', 'bo', 'bare', 'far'],
  },
  { id: 'sola', name: 'Sola', role: 'responder', municipalities: ['1124'], zones: null, helps: [], members: ['bo'] },
  { id: 'flood', name: 'Flood', role: 'overflow', municipalities: ['1103'], zones: null, helps: [], members: ['bare'] },
];
const person = (account: string, roles: ('responder' | 'supervisor')[] = ['responder'], municipalities = ['*']) => ({
  account,
  name: account,
  roles,
  municipalities,
});
const STAFF = [
  person('ann'),
  person('bo'),
  person('cy'),
  person('bare', []),
  person('far', ['responder'], ['1124']),
  person('boss', ['supervisor']),
  person('solaboss', ['supervisor'], ['1124']),
];
const ROLL = callTheRoll(plan(shift('08:00', '16:00')), { commands: [], staff: STAFF }, NOW);

await t.test('who may order what', async (t) => {
  const order = (by: string, given: DutyOrder) => {
    const decided = decideDuty(
      { teams: TEAMS },
      ROLL,
      STAFF.find(({ account }) => account === by)!,
      given,
    );
    if ('refused' in decided) return decided.refused;
    return decided.records
      .map(
        (r) => `${r.command} ${r.account} ${r.team}${r.from === null ? '' : ` from ${r.from}`} ${(r.until - NOW) / HOUR} h by ${r.givenBy}`,
      )
      .join(', ');
  };
  const hours = (h: number) => new Date(NOW + h * HOUR).toISOString();
  const answers: [string, DutyOrder, string][] = [
    ['ann', { command: 'on' }, 'on ann patrol 4 h by ann'],
    ['ann', { command: 'off' }, 'off ann patrol 4 h by ann'],
    ['bo', { command: 'on' }, 'team-required'],
    ['bo', { command: 'on', team: 'sola' }, 'on bo sola 12 h by bo'],
    ['bo', { command: 'off' }, 'off bo patrol 12 h by bo, off bo sola 12 h by bo'],
    ['bo', { command: 'on', team: 'sola', until: hours(3) }, 'on bo sola 3 h by bo'],
    ['bo', { command: 'take-over', from: 'ann' }, 'take-over bo patrol from ann 4 h by bo'],
    ['bo', { command: 'take-over', from: 'cy' }, 'not-on-duty'],
    ['bo', { command: 'take-over', from: 'cy', team: 'patrol' }, 'not-on-duty'],
    ['bo', { command: 'take-over', from: 'bo' }, 'not-on-duty'],
    ['bo', { command: 'take-over' }, 'not-on-duty'],
    ['ann', { command: 'on', team: 'nowhere' }, 'unknown-team'],
    ['cy', { command: 'on' }, 'team-required'],
    ['cy', { command: 'off' }, 'team-required'],
    ['cy', { command: 'on', team: 'patrol' }, 'not-a-member'],
    ['cy', { command: 'off', team: 'patrol' }, 'off cy patrol 12 h by cy'],
    ['ann', { command: 'off', account: 'bo' }, 'not-allowed'],
    ['bare', { command: 'on', team: 'patrol' }, 'wrong-role'],
    ['bare', { command: 'on', team: 'flood' }, 'on bare flood 12 h by bare'],
    ['far', { command: 'on', team: 'patrol' }, 'municipality-not-served'],
    ['boss', { command: 'on', account: 'cy', team: 'patrol' }, 'on cy patrol 12 h by boss'],
    ['boss', { command: 'off', account: 'ann' }, 'off ann patrol 4 h by boss'],
    ['boss', { command: 'take-over', account: 'cy', from: 'ann' }, 'take-over cy patrol from ann 4 h by boss'],
    ['boss', { command: 'on', account: 'ghost', team: 'patrol' }, 'unknown-account'],
    ['solaboss', { command: 'off', account: 'ann' }, 'municipality-not-served'],
    ['ann', { command: 'on', until: 'tomorrow' }, 'until-invalid'],
    ['ann', { command: 'on', until: hours(-1) }, 'until-invalid'],
    ['ann', { command: 'on', until: hours(LONGEST_COMMAND_MS / HOUR + 1) }, 'until-invalid'],
  ];
  for (const [by, given, expected] of answers) t.equal(order(by, given), expected, `${by}: ${JSON.stringify(given)}`);
  const seen = new Set(answers.map(([, , expected]) => expected));
  t.same(
    DUTY_REFUSALS.filter((refusal) => !seen.has(refusal)),
    [],
    'every refusal has its case',
  );
});
