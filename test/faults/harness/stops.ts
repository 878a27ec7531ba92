/** Stopped, restarted, emptied, full and away: processes and stores that do not die but do not answer either. */
import { readFileSync } from 'node:fs';
import { type House, storeFault } from './house.ts';
import { NOTICED, STORE_AWAY } from './kills.ts';
import type { StoreName } from './own-stores.ts';
import { until } from './probe.ts';
import { pick } from './random.ts';
import { LATE_FAULT_MS, type Scenario, type Stage, type Told } from './scenario.ts';

const STOPPED_MS = 15_000;
/** Minutes that the issue asks for in the long run, seconds in the default one. */
const awayMs = (rounds: number): number => (rounds > 1 ? 60_000 : 10_000);

export const stoppedProcesses: Scenario = {
  name: 'stopped-processes',
  about: 'SIGSTOP for 15 s of one process of each role at once',
  explains: [...NOTICED, 'signal-not-acknowledged'],
  lateMs: LATE_FAULT_MS,
  async run({ house, rounds, random, pause, recovered }) {
    for (let round = 0; round < Math.min(rounds, 4); round++) {
      const stopped = ['intake', 'escalation', 'console', 'watch'].map((role) => pick(house.of(role), random));
      for (const member of stopped) member.signal('SIGSTOP');
      await pause(STOPPED_MS);
      for (const member of stopped) member.signal('SIGCONT');
      await recovered();
    }
    return undefined;
  },
};

const stoppedStore = (store: StoreName): Scenario => ({
  name: `stopped-${store}`,
  about: `SIGSTOP for 15 s of all processes of ${store === 'postgres' ? 'PostgreSQL' : 'Redis'}`,
  explains: STORE_AWAY,
  lateMs: LATE_FAULT_MS,
  async run({ house, pause, recovered }) {
    const pid = house.stores.pid(store);
    if (pid === null) throw new Error(`${store} is down`);
    const all = (signal: NodeJS.Signals): void => [pid, ...childrenOf(pid)].forEach((one) => process.kill(one, signal));
    const fault = storeFault(house, store);
    // The postmaster first: it must not make new ones meanwhile.
    all('SIGSTOP');
    await pause(STOPPED_MS);
    all('SIGCONT');
    fault.end();
    await recovered();
    return undefined;
  },
});

function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

export const restartedPostgres: Scenario = {
  name: 'restarted-postgres',
  about: 'PostgreSQL stopped in order and started again',
  explains: STORE_AWAY,
  lateMs: LATE_FAULT_MS,
  async run({ house, rounds, traffic, recovered }) {
    for (let round = 0; round < Math.min(rounds, 5); round++) {
      await traffic(10);
      const fault = storeFault(house, 'postgres');
      await house.stores.stop('postgres');
      await house.stores.start('postgres');
      fault.end();
      await recovered();
    }
    return undefined;
  },
};

export const awayPostgres: Scenario = {
  name: 'away-postgres',
  about: 'PostgreSQL away for 10 s (60 s with --rounds): the spill takes over, consoles show it all the same',
  explains: STORE_AWAY,
  lateMs: LATE_FAULT_MS,
  async run({ house, rounds, pause, recovered }) {
    const from = house.ledger.length;
    const fault = storeFault(house, 'postgres');
    await house.stores.stop('postgres');
    const awayFrom = performance.now();
    await pause(awayMs(rounds));
    const meanwhile = house.ledger.of('acknowledged', from).filter(({ mono }) => mono > awayFrom);
    const told = await shownMeanwhile(house, from, meanwhile);
    await house.stores.start('postgres');
    fault.end();
    await recovered();
    return told;
  },
};

/** What was acknowledged without PostgreSQL stands on every console before PostgreSQL is back; how long that took at worst is told. */
async function shownMeanwhile(
  house: House,
  from: number,
  meanwhile: readonly { readonly unit: string; readonly mono: number }[],
): Promise<Told> {
  if (meanwhile.length === 0) return { broken: ['nothing was acknowledged without PostgreSQL'] };
  const units = new Set(meanwhile.map(({ unit }) => unit));
  const unseen = (): string[] => {
    const shown = new Set(house.ledger.of('shown-without-store', from).map(({ unit, console }) => `${console} ${unit}`));
    return house.screens.flatMap(({ name }) =>
      [...units].filter((unit) => !shown.has(`${name} ${unit}`)).map((unit) => `${unit} on ${name}`),
    );
  };
  const end = performance.now() + 1000;
  await until(
    () => unseen().length === 0,
    () => performance.now() > end,
  );
  // The first of each device: what comes behind it joins what is shown already.
  const firstOf = new Map(meanwhile.toReversed().map(({ unit, mono }) => [unit, mono]));
  const late = house.ledger
    .of('shown-without-store', from)
    .flatMap(({ unit, mono }) => (firstOf.has(unit) ? [mono - (firstOf.get(unit) ?? 0)] : []));
  return {
    note: `${meanwhile.length} acknowledged meanwhile, shown ${Math.max(0, Math.round(Math.max(0, ...late)))} ms later at most`,
    broken: unseen().map((one) => `acknowledged without PostgreSQL and not shown: ${one}`),
  };
}

export const emptiedRedis: Scenario = {
  name: 'emptied-redis',
  about: 'FLUSHALL, again and again under load',
  explains: NOTICED,
  lateMs: LATE_FAULT_MS,
  async run({ house, rounds, traffic, recovered }) {
    for (let round = 0; round < 4 * Math.min(rounds, 10); round++) {
      await traffic(8, 2000);
      await house.stores.redis('FLUSHALL');
    }
    await recovered();
    return undefined;
  },
};

export const awayRedis: Scenario = {
  name: 'away-redis',
  about: 'Redis away for 10 s (60 s with --rounds)',
  explains: STORE_AWAY,
  lateMs: LATE_FAULT_MS,
  async run({ house, rounds, pause, recovered }) {
    await house.stores.stop('redis');
    await pause(awayMs(rounds) / 2);
    // Without Redis too a person who presses is helped.
    await recovered();
    await pause(awayMs(rounds) / 2);
    await house.stores.start('redis');
    await recovered();
    return undefined;
  },
};

export const fullRedis: Scenario = {
  name: 'full-redis',
  about: 'Redis out of memory: maxmemory 1 MB, noeviction',
  explains: STORE_AWAY,
  lateMs: LATE_FAULT_MS,
  async run({ house, rounds, pause, recovered }: Stage) {
    await house.stores.redis('CONFIG', 'SET', 'maxmemory', '1mb');
    await pause(awayMs(rounds) / 2);
    const refused = await house.stores.redis('SET', 'faults-full', 'x').then(
      () => false,
      (error: unknown) => error instanceof Error && error.message.startsWith('OOM'),
    );
    await recovered();
    await house.stores.redis('CONFIG', 'SET', 'maxmemory', '0');
    await recovered();
    return refused ? undefined : { broken: ['Redis was not full: it took a write'] };
  },
};

export const stops: readonly Scenario[] = [
  stoppedProcesses,
  stoppedStore('postgres'),
  stoppedStore('redis'),
  restartedPostgres,
  awayPostgres,
  emptiedRedis,
  awayRedis,
  fullRedis,
];
