/** Starting and stopping in order: all processes in turn under load, two at once on the same ground. */
import path from 'node:path';
import type { House } from './house.ts';
import { type ErrorLine, Member } from './member.ts';
import { until } from './probe.ts';
import { LATE_CALM_MS, LATE_FAULT_MS, type Scenario } from './scenario.ts';

const START_WITHIN_MS = 60_000;

export const rolling: Scenario = {
  name: 'rolling-restart',
  about: 'SIGTERM and a new start of every process in turn under load, as for a new version',
  explains: [],
  lateMs: LATE_CALM_MS,
  async run({ house, rounds, recovered }) {
    const broken: string[] = [];
    for (let round = 0; round < Math.min(rounds, 5); round++) {
      for (const member of house.members) {
        const how = await member.end();
        if (how?.code !== 0) broken.push(`${member.name} ended with ${how?.signal ?? how?.code ?? 'nothing'} on SIGTERM`);
        member.start();
        await house.ready(START_WITHIN_MS);
      }
    }
    await recovered();
    return { broken };
  },
};

/** A process beside the house's own, on what it is told; its error lines are its own affair. */
function beside(
  house: House,
  name: string,
  env: Readonly<Record<string, string>>,
  dataDir: string,
): { member: Member; lines: ErrorLine[] } {
  const lines: ErrorLine[] = [];
  const member = new Member({ name, role: 'console', env, dataDir, random: house.random, errorLine: (line) => lines.push(line) });
  return { member, lines };
}

const environmentOf = (house: House, database: string, redis: string): Record<string, string> => ({
  HTTP_PORT: '0',
  LOG_LEVEL: 'warn',
  CONFIG_DIR: path.join(house.folder, 'config'),
  DATABASE_URL: `postgres://responssenter@127.0.0.1:${house.ways.get('console-1 postgres')?.port ?? 0}/${database}`,
  REDIS_URL: `redis://127.0.0.1:${house.ways.get('console-1 redis')?.port ?? 0}/${redis}`,
});

export const twoStarts: Scenario = {
  name: 'two-starts',
  about: 'a second process on the same DATA_DIR is refused; two that migrate one empty database at once both run',
  explains: [],
  lateMs: LATE_FAULT_MS,
  async run({ house, rounds, recovered }) {
    const broken: string[] = [];
    for (let round = 0; round < Math.min(rounds, 5); round++) {
      broken.push(...(await sameFolder(house)), ...(await sameDatabase(house, `twice${round}`)));
    }
    await recovered();
    return { broken };
  },
};

async function sameFolder(house: House): Promise<string[]> {
  const [first] = house.of('console');
  const holder = first?.pid();
  const { member, lines } = beside(house, 'second', environmentOf(house, 'responssenter', '0'), path.join(house.folder, 'console-1'));
  member.start();
  await until(() => member.lastEnd !== null, late());
  const ended = member.lastEnd?.code;
  await member.end();
  const named = lines.some(({ line }) => line.includes(String(holder)));
  return [
    ...(ended === 1 && named ? [] : [`the second on one DATA_DIR ended with ${ended ?? 'nothing'}, naming the first: ${String(named)}`]),
    ...(first?.pid() === holder && first?.ready() !== null ? [] : ['the first on one DATA_DIR was disturbed']),
  ];
}

async function sameDatabase(house: House, database: string): Promise<string[]> {
  await house.stores.sql(`create database ${database}`);
  const env = environmentOf(house, database, '5');
  const all = [1, 2].map((n) => beside(house, `twin-${n}`, env, path.join(house.folder, `${database}-${n}`)));
  for (const { member } of all) member.start();
  const bothReady = await until(() => all.every(({ member }) => member.ready() !== null), late());
  await Promise.all(all.map(({ member }) => member.end()));
  await house.stores.sql(`drop database ${database} with (force)`);
  const said = all.flatMap(({ lines }) => lines.map(({ line }) => line.slice(0, 200)));
  return bothReady && said.length === 0 ? [] : [`two that migrate at once: ${bothReady ? 'ready' : 'not ready'}; ${said.join(' | ')}`];
}

function late(): () => boolean {
  const end = performance.now() + START_WITHIN_MS;
  return () => performance.now() > end;
}
