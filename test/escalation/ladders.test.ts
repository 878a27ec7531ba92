/** The configuration of escalation with a sentence per mistake, which ladder an alarm climbs, and whom each rung asks. */
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { ladderFor } from '../../src/escalation/ladder.ts';
import { loadEscalation, readEscalation } from '../../src/escalation/configuration.ts';
import { planRung, type Planned } from '../../src/escalation/plan.ts';
import { callTheRoll, type DutyRecord } from '../../src/escalation/roster.ts';
import type { Escalation } from '../../src/escalation/ladder.ts';
import { CONFIG, MUNICIPALITIES } from '../support/escalating.ts';

const KNOWN = MUNICIPALITIES;
const NOW = Date.UTC(2026, 10, 22, 22, 0, 0);

interface Mistake {
  readonly mistake: string;
  readonly file: string;
  readonly at?: readonly (string | number)[];
  readonly set?: unknown;
  readonly remove?: boolean;
  readonly text?: string | null;
  readonly sentences: readonly string[];
}

const MISTAKES = JSON.parse(readFileSync(join(import.meta.dirname, '../vectors/config/escalation.json'), 'utf8')) as Mistake[];

function mistaken(dir: string, { file, at, set, remove, text }: Mistake): string {
  mkdirSync(dir, { recursive: true });
  for (const name of ['teams.json', 'duty.json', 'ladders.json']) cpSync(join(CONFIG, name), join(dir, name));
  const path = join(dir, file);
  if (text === null) rmSync(path);
  else if (text !== undefined) writeFileSync(path, text);
  else if (at !== undefined) {
    const whole = JSON.parse(readFileSync(path, 'utf8'));
    let part = whole;
    for (const step of at.slice(0, -1)) part = part[step];
    if (remove === true) delete part[at.at(-1)!];
    else part[at.at(-1)!] = set;
    writeFileSync(path, JSON.stringify(whole));
  }
  return dir;
}

await t.test('each mistake in the configuration gets its sentences, and no others', async (t) => {
  const dir = t.testdir();
  for (const [index, mistake] of MISTAKES.entries()) {
    const own = mistaken(join(dir, String(index)), mistake);
    const read = readEscalation(own, KNOWN);
    const faults = 'faults' in read ? read.faults : [];
    t.equal(faults.length, mistake.sentences.length, `${mistake.mistake}: ${faults.join(' | ')}`);
    for (const [i, sentence] of mistake.sentences.entries()) {
      t.ok(faults[i]?.startsWith(`${own}/${sentence}`), `${mistake.mistake}: ${faults[i]} begins as ${sentence}`);
    }
  }
});

await t.test('faults of all files are told in one run, as one error', async (t) => {
  const dir = t.testdir();
  mistaken(dir, { mistake: '', file: 'teams.json', at: ['teams', 0, 'role'], set: 'x', sentences: [] });
  writeFileSync(join(dir, 'duty.json'), '[]');
  rmSync(join(dir, 'ladders.json'));
  t.throws(() => loadEscalation(dir, KNOWN), {
    code: 'config-invalid',
    message: [
      `${dir}/teams.json: teams[0].role: must be responder, supervisor, overflow.`,
      `${dir}/duty.json: must be an object.`,
      `${dir}/ladders.json is missing.`,
    ].join('\n'),
  });
});

await t.test('what is shipped is right, and frozen', async (t) => {
  const escalation = loadEscalation(CONFIG, KNOWN);
  t.throws(() => ((escalation.ladders[0]!.rungs as unknown as unknown[])[0] = null), TypeError);
  t.throws(() => Object.assign(escalation.teams[0]!, { id: 'x' }), TypeError);
  const standard = ladderFor(escalation, { kind: 'fall', priority: 'life', municipality: '1103', zone: null });
  t.equal(standard.id, 'standard');
  t.match(standard.spans, { unclaimed: 60_000, claimIdle: 180_000, claimWarned: 60_000, ladderRestart: 300_000, longOnSite: 3_600_000 });
  t.match(ladderFor(escalation, { kind: 'battery-low', priority: 'technical', municipality: '1124', zone: 'x' }), {
    id: 'technical',
    rungs: [],
  });
});

const staff = (...accounts: string[]) =>
  accounts.map((account) => ({ account, name: account, roles: ['responder' as const], municipalities: ['*'] }));

/** Two zones of Stavanger with a patrol each, the north helping the south, and one patrol for Sola. */
function county(): Escalation {
  const shipped = loadEscalation(CONFIG, KNOWN);
  const team = (id: string, more: Partial<Escalation['teams'][number]>): Escalation['teams'][number] => ({
    id,
    name: id,
    role: 'responder',
    municipalities: ['1103'],
    zones: null,
    helps: [],
    members: [],
    ...more,
  });
  const always = (name: string, ...people: string[]) => ({ id: name, team: name, people, hours: null });
  return {
    ...shipped,
    teams: [
      team('north', { zones: ['Hundvåg'], helps: ['Madla'] }),
      team('south', { zones: ['Madla'] }),
      team('sola', { municipalities: ['1124'] }),
      team('lead', { role: 'supervisor', municipalities: KNOWN }),
      team('flood', { role: 'overflow', municipalities: KNOWN }),
    ],
    plan: {
      timeZone: 'Europe/Oslo',
      shifts: [
        always('north', 'n1', 'n2'),
        always('south', 's1'),
        always('sola', 'o1'),
        always('lead', 'boss'),
        always('flood', 'f1', 'boss'),
      ],
    },
  };
}

const ALL = staff('n1', 'n2', 's1', 'o1', 'boss', 'f1');

function alarm(more: Partial<Planned> & { climbed?: number; round?: number } = {}): Planned {
  const { climbed = 0, round = 0, ...rest } = more;
  return {
    kind: 'fall',
    priority: 'urgent',
    municipality: '1103',
    household: { zone: 'Madla' },
    declined: [],
    ladder: { id: 'standard', climbed, round, exhausted: false, nobodyOnDuty: false },
    ...rest,
  };
}

const off = (account: string, team: string): DutyRecord => ({
  id: '1',
  account,
  team,
  command: 'off',
  at: NOW - 1,
  until: NOW + 1,
  givenBy: account,
  from: null,
});

await t.test('the rungs of the default ladder, one after the other', async (t) => {
  const escalation = county();
  const roll = callTheRoll(escalation.plan, { commands: [], staff: ALL }, NOW);
  const climb = (climbed: number, more: Partial<Planned> = {}) => {
    const rung = planRung(escalation, alarm({ climbed, ...more }), roll);
    if (rung.step === 'exhausted') return 'exhausted';
    return `${rung.mode} ${rung.to}: ${rung.recipients.map((to) => `${to.account}(${to.team}) ${to.channels.map((c) => `${c.via}+${c.afterMs}`).join(' ')}`).join(', ')} wait ${rung.waitMs}`;
  };
  t.equal(climb(0), 'tell lead, flood: boss(lead) page+0 sms+0, f1(flood) page+0 sms+0 wait 60000', 'who is in both is told once');
  t.equal(climb(1), 'dispatch south: s1(south) page+0 sms+30000 wait 60000');
  t.equal(
    climb(1, { priority: 'life' }),
    'dispatch south: s1(south) page+0 sms+0 wait 60000',
    'no waiting with the SMS when it is about life',
  );
  t.equal(climb(2), 'dispatch south: s1(south) page+0 sms+0 wait 120000');
  t.equal(climb(3), 'dispatch north: n1(north) page+0 sms+0, n2(north) page+0 sms+0 wait 120000', 'the neighbour that helps');
  t.equal(climb(4), 'tell lead: boss(lead) page+0 sms+0 wait 120000');
  t.equal(climb(5), 'exhausted');
  t.equal(climb(99), 'exhausted');
  t.equal(climb(3, { household: { zone: 'Hundvåg' } }), climb(4), 'a zone that nobody helps has no such rung');
  t.equal(
    climb(1, { household: { zone: 'Where the resident lives' } }),
    'dispatch north, south: n1(north) page+0 sms+30000, n2(north) page+0 sms+30000, s1(south) page+0 sms+30000 wait 60000',
    'a zone that nobody knows is everybody’s in that municipality',
  );
  t.equal(climb(1, { household: null }), climb(1, { household: { zone: '' } }));
  t.equal(
    climb(1, { municipality: '1124' }),
    'dispatch sola: o1(sola) page+0 sms+30000 wait 60000',
    'zones of another municipality count for nothing',
  );
  t.equal(climb(0, { priority: 'technical', ladder: { ...alarm().ladder, id: 'technical' } }), 'exhausted');
  t.equal(
    climb(1, { ladder: { ...alarm().ladder, id: 'lost', climbed: 1 } }),
    climb(1),
    'a ladder that the configuration lost is the one that fits now',
  );
});

await t.test('nobody on duty is said with the team that was meant', async (t) => {
  const escalation = county();
  const roll = callTheRoll(escalation.plan, { commands: [off('s1', 'south')], staff: ALL }, NOW);
  t.match(planRung(escalation, alarm({ climbed: 1 }), roll), { step: 'rung', mode: 'dispatch', to: 'south', recipients: [] });
  const gone = callTheRoll(escalation.plan, { commands: [], staff: staff('n1') }, NOW);
  t.match(planRung(escalation, alarm({ climbed: 1 }), gone), { to: 'south', recipients: [] }, 'an account that is disabled or never was');
});

await t.test('who declined is passed over in the first round and asked again in the next', async (t) => {
  const escalation = county();
  const roll = callTheRoll(escalation.plan, { commands: [], staff: ALL }, NOW);
  const asked = (more: Parameters<typeof alarm>[0]) => {
    const rung = planRung(escalation, alarm(more), roll);
    return rung.step === 'rung' ? rung.recipients.map(({ account }) => account) : null;
  };
  t.same(asked({ climbed: 3, declined: ['n1'] }), ['n2']);
  t.same(asked({ climbed: 1, declined: ['s1'] }), []);
  t.same(asked({ climbed: 1, declined: ['s1'], round: 1 }), ['s1']);
});

await t.test('nobody is ever asked about a municipality that they or their team do not serve', async () => {
  const escalation = county();
  const accounts = ['n1', 'n2', 's1', 'o1', 'boss', 'f1'];
  fc.assert(
    fc.property(
      fc.array(fc.subarray(KNOWN), { minLength: 6, maxLength: 6 }),
      fc.constantFrom(...KNOWN),
      fc.constantFrom('Madla', 'Hundvåg', ''),
      fc.nat(6),
      fc.nat(2),
      fc.subarray(accounts),
      (served, municipality, zone, climbed, round, declined) => {
        const members = accounts.map((account, i) => ({ account, name: '', roles: [], municipalities: served[i] ?? [] }));
        const roll = callTheRoll(escalation.plan, { commands: [], staff: members }, NOW);
        const rung = planRung(escalation, alarm({ municipality, household: { zone }, climbed, round, declined }), roll);
        if (rung.step === 'exhausted') return true;
        const teams = rung.to.split(', ').map((id) => escalation.teams.find((team) => team.id === id));
        const once = new Set(rung.recipients.map(({ account }) => account)).size === rung.recipients.length;
        return (
          once &&
          teams.every((team) => team?.municipalities.includes(municipality)) &&
          rung.recipients.every(({ account }) => served[accounts.indexOf(account)]?.includes(municipality))
        );
      },
    ),
  );
});
