/** kill -9: of every process and store at random moments, and of whoever comes to a named point of the path. */
import type { Point } from '../../../src/base/points.ts';
import { type House, storeFault } from './house.ts';
import type { Member } from './member.ts';
import type { StoreName } from './own-stores.ts';
import { until } from './probe.ts';
import { LATE_CALM_MS, LATE_FAULT_MS, type Scenario, type Stage, type Told } from './scenario.ts';

/** What the watch says when it sees a fault; in peace it must say nothing. */
export const NOTICED = ['canary-failed', 'audit-finding', 'audit-findings'] as const;
/** What processes say of a store that was killed or stopped under them. */
export const STORE_AWAY = [...NOTICED, 'signal-not-acknowledged', 'ask-workers-dead', 'spill-began', 'spill-not-replayed'] as const;

export const calm: Scenario = {
  name: 'calm',
  about: 'no fault at all: what the others are measured against',
  explains: [],
  lateMs: LATE_CALM_MS,
  async run({ pause, rounds, recovered }) {
    await pause(10_000 * Math.min(3, rounds));
    await recovered();
    return undefined;
  },
};

/** kill -9 at a moment that nobody chose. A store is away from then until its new server answers. @returns how many were killed: none that was down */
export async function killStore(house: House, store: StoreName): Promise<number> {
  const before = house.stores.pid(store);
  if (before === null) return 0;
  const fault = storeFault(house, store);
  process.kill(before, 'SIGKILL');
  const end = performance.now() + 30_000;
  await until(
    () => house.stores.pid(store) !== null && house.stores.pid(store) !== before,
    () => performance.now() > end,
  );
  fault.end();
  return 1;
}

/** How many kills are followed by another before everything is up again. */
const TOGETHER = 0.25;

export const randomKills: Scenario = {
  name: 'random-kills',
  about: 'kill -9 of every process and store at random moments',
  explains: STORE_AWAY,
  lateMs: LATE_FAULT_MS,
  async run({ house, rounds, random, pause, traffic, recovered }) {
    const names = [...house.members.map(({ name }) => name), 'postgres', 'redis'] as const;
    const restarts: Promise<number>[] = [];
    for (let round = 0; round < rounds; round++) {
      for (const name of names.toSorted(() => random() - 0.5)) {
        await traffic(3, 2000);
        await pause(random() * 200);
        const member = house.members.find((one) => one.name === name);
        const down = member === undefined ? killStore(house, name as StoreName) : killed(member);
        restarts.push(down);
        // Mostly one thing breaks at a time; now and then the next one while the first is still starting.
        if (random() < TOGETHER) continue;
        await down;
        await house.ready();
      }
    }
    const died = await Promise.all(restarts);
    await recovered();
    await house.ready();
    const kills = died.reduce((sum, one) => sum + one, 0);
    return { kills, ...(kills === 0 ? { broken: ['nothing was killed'] } : {}) };
  },
};

/** Once it is there to be killed. @returns how many were */
async function killed(member: Member): Promise<number> {
  const end = performance.now() + 20_000;
  await until(
    () => member.ready() !== null,
    () => performance.now() > end,
  );
  const before = member.kills;
  member.signal('SIGKILL');
  await until(
    () => member.kills > before,
    () => performance.now() > end,
  );
  return member.kills - before;
}

interface KillPoint {
  readonly point: Point;
  readonly about: string;
  /** Whose path comes there. */
  readonly roles: readonly string[];
  /** How often the path comes there between two kills, at most. */
  readonly passes: number;
  readonly more?: Pick<Scenario, 'tellsTwice'>;
  /** What must be so for the path to come there. */
  readonly meanwhile?: (stage: Stage) => Promise<void>;
}

const KILLS_IN_A_ROUND = 2;
/** Six that die at the same moment, and start at the same moment, would try the machine and not the point. */
const ARMED_AT_ONCE = 2;

const POINTS: readonly KillPoint[] = [
  { point: 'received', about: 'a message is whole, nothing is kept', roles: ['intake'], passes: 4 },
  { point: 'before-commit', about: 'everything but the commit is on its way', roles: ['intake'], passes: 4 },
  { point: 'after-commit', about: 'committed, and nobody was told', roles: ['intake'], passes: 4 },
  { point: 'before-ack', about: 'kept, and not yet acknowledged', roles: ['intake'], passes: 4 },
  { point: 'after-ack', about: 'acknowledged this instant', roles: ['intake'], passes: 4 },
  { point: 'outbox-read', about: 'the relay has read, and published nothing', roles: ['intake', 'escalation', 'console'], passes: 4 },
  { point: 'published', about: 'published, and the outbox still says to', roles: ['intake', 'escalation', 'console'], passes: 4 },
  { point: 'queued', about: 'asks are in the queue', roles: ['escalation'], passes: 4 },
  {
    point: 'provider-answered',
    about: 'the gateway took the message, and nothing says so yet',
    roles: ['escalation'],
    passes: 4,
    more: { tellsTwice: true },
  },
  {
    point: 'answer-kept',
    about: "the gateway's answer is kept, and nothing else says so",
    roles: ['escalation'],
    passes: 4,
    // Not that message: the others that left in the same breath.
    more: { tellsTwice: true },
  },
  { point: 'before-spill-sync', about: 'in the spill, not yet on its disk', roles: ['intake'], passes: 5, meanwhile: withoutPostgres },
  { point: 'after-spill-sync', about: 'durable in the spill, not acknowledged', roles: ['intake'], passes: 5, meanwhile: withoutPostgres },
  { point: 'replayed', about: 'in PostgreSQL, and still in the spill', roles: ['intake'], passes: 1, meanwhile: withoutPostgres },
];

/** Away long enough to be noticed (1 s), then back, so that what was spilled is replayed. */
async function withoutPostgres({ house, pause }: Stage): Promise<void> {
  const fault = storeFault(house, 'postgres');
  await house.stores.stop('postgres');
  await pause(4000);
  await house.stores.start('postgres');
  fault.end();
  await pause(1500);
}

export const atPoints: readonly Scenario[] = POINTS.map(({ point, about, roles, passes, more, meanwhile }) => ({
  name: `at-${point}`,
  about: `kill -9 at a point of the path: ${about}`,
  explains: meanwhile === undefined ? NOTICED : STORE_AWAY,
  lateMs: LATE_FAULT_MS,
  ...more,
  async run(stage) {
    const { house, rounds, random, recovered } = stage;
    const members = house.members.filter(({ role }) => roles.includes(role));
    const wanted = KILLS_IN_A_ROUND * rounds;
    const before = members.map(({ kills }) => kills);
    const killedSoFar = (): number => members.reduce((sum, { kills }, n) => sum + kills - (before[n] ?? 0), 0);
    const armedAt = new Map<Member, number>();
    const end = performance.now() + 20_000 + wanted * 4000;
    while (killedSoFar() < wanted && performance.now() < end) {
      if (armedAt.size === 0 || [...armedAt].some(([{ kills }, at]) => kills > at)) {
        for (const member of armedAt.keys()) member.arm(null);
        armedAt.clear();
        const up = members.length > ARMED_AT_ONCE ? members.filter((member) => member.ready() !== null) : members;
        for (const member of up.toSorted(() => random() - 0.5).slice(0, ARMED_AT_ONCE)) {
          armedAt.set(member, member.kills);
          // Another number of passes each time, so that it is not always the first message of a connection.
          member.arm({ point, nth: 1 + Math.floor(random() * passes), signal: 'SIGKILL' });
        }
      }
      if (meanwhile === undefined) await stage.pause(50);
      else await meanwhile(stage);
    }
    for (const member of members) member.arm(null);
    await recovered();
    await house.ready();
    const kills = killedSoFar();
    return { kills, ...shortOf(kills, wanted, meanwhile !== undefined) } satisfies Told;
  },
}));

const shortOf = (kills: number, wanted: number, spill: boolean): Told => {
  if (kills >= wanted) return {};
  return spill && kills > 0
    ? { note: `${kills} of ${wanted}` }
    : { broken: [`the path came to this point ${kills} times instead of ${wanted}`] };
};
