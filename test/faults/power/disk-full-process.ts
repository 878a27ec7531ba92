/** The process of the scenario of full disks: in a mount namespace, with a tmpfs as the disk of one store after another. */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, renameSync, rmSync, statfsSync, writeSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { processesIn } from '../../../src/store/processes.ts';
import { call } from '../../support/outside.ts';
import { type Centre, type Scope, kill, spawnCentre, sql } from '../../support/process.ts';
import { until } from '../../support/stores.ts';
import type { DiskName } from './disk-full.ts';
import { type Load, type PowerResult, compare, freshFolder, importRegister, scoped, startLoad } from './field.ts';

const HOUSEHOLDS = 4;
const BETWEEN_MS = 30;
/** PostgreSQL's cluster and WAL take 80 MB after an import. */
const SIZES: Readonly<Record<DiskName, string>> = { postgres: '256m', redis: '8m', spill: '8m', all: '320m' };
/** Without an acknowledgement for so long: there are none. A device waits 8 s for one. */
const QUIET_MS = 3000;
const PATIENCE_MS = 60_000;

interface Told {
  readonly acknowledged: number;
  readonly lost: number;
  readonly doubled: number;
  readonly faults: readonly string[];
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const { rounds, disks } = JSON.parse(process.argv[2] ?? '{}') as { rounds: number; disks: DiskName[] };
const began = performance.now();
const told: Told[] = [];
for (let round = 0; round < rounds; round++) for (const disk of disks) told.push(await fillOnce(disk));
const sum = (of: (one: Told) => number): number => told.reduce((total, one) => total + of(one), 0);
const result: PowerResult = {
  cuts: told.length,
  acknowledged: sum(({ acknowledged }) => acknowledged),
  lost: sum(({ lost }) => lost),
  doubled: sum(({ doubled }) => doubled),
  seconds: Math.round((performance.now() - began) / 1000),
  faults: told.flatMap(({ faults }) => faults),
};
say(JSON.stringify(result));

function fillOnce(disk: DiskName): Promise<Told> {
  return scoped(async (scope) => {
    const folder = freshFolder(scope);
    const { dataDir } = folder;
    await importRegister(folder, HOUSEHOLDS);
    const place = disk === 'all' ? dataDir : path.join(dataDir, disk);
    onSmallDisk(scope, place, SIZES[disk]);
    const centre = spawnCentre(scope, { dataDir, env: { LOG_LEVEL: 'warn' } });
    await centre.whenReady();
    const load = startLoad(scope, () => centre.ready(), HOUSEHOLDS, BETWEEN_MS);
    await more(load, 40);
    const faults: string[] = [];
    const field = { centre, load, place, disk, faults, dataDir };
    const quietFor = await fullFor(field);
    const roomAt = performance.now();
    await more(load, 60).catch(() => faults.push(`${disk}: nothing is acknowledged ${PATIENCE_MS / 1000} s after there was room again`));
    const tookMs = Math.round(performance.now() - roomAt);
    await until('fit again', async () => (await readiness(centre))?.ready === true, PATIENCE_MS).catch(() =>
      faults.push(`${disk}: /readyz is not well again`),
    );
    await load.stop();
    const { lost, doubled } = await compare(dataDir, load);
    const { code } = await centre.stop();
    if (code !== 0) faults.push(`${disk}: the centre ended with ${code ?? 'a signal'}`);
    say(
      `disk full (${disk}): ${quietFor}; 60 more acknowledged ${tookMs} ms after there was room; ` +
        `${load.acknowledged.size} acknowledged, ${lost.length} lost, ${doubled.length} doubled`,
    );
    return { acknowledged: load.acknowledged.size, lost: lost.length, doubled: doubled.length, faults: [...faults, ...doubled] };
  });
}

interface Field {
  readonly centre: Centre;
  readonly load: Load;
  readonly place: string;
  readonly disk: DiskName;
  readonly faults: string[];
  readonly dataDir: string;
}

/** Fills the disk, sees what is promised of that, and makes room. @returns what was seen */
async function fullFor({ centre, load, place, disk, faults, dataDir }: Field): Promise<string> {
  const saidBefore = centre.output().length;
  const empty = fill(place);
  const spills = existsSync(path.join(dataDir, 'spill'));
  // Only while PostgreSQL is away is the spill written.
  const frozen = disk === 'spill' ? processesIn(path.join(dataDir, 'postgres')) : [];
  for (const pid of frozen) kill(pid, 'SIGSTOP');
  let seen = 'acknowledged on';
  if (disk === 'postgres' || disk === 'all') {
    // The log of changes goes on in the file that was begun: a new one must be made to find no room.
    const noRoom = async (): Promise<boolean> => {
      empty.again();
      await sql(dataDir, 'select pg_switch_wal()').catch(() => null);
      return /private-store-died/.test(centre.output().slice(saidBefore));
    };
    await until('PostgreSQL stops for want of room', noRoom, PATIENCE_MS);
    seen = 'PostgreSQL ended';
  }
  const mustBeQuiet = disk === 'all' || (disk === 'spill' && spills) || (disk === 'postgres' && !spills);
  if (mustBeQuiet) {
    await silence(load).then(
      () => (seen += ', nothing acknowledged'),
      () => faults.push(`${disk}: acknowledged on while nothing can be durable`),
    );
  } else {
    await more(load, 10).then(
      () => (seen += ', acknowledged on'),
      () => faults.push(`${disk}: nothing is acknowledged, though the other store has room`),
    );
  }
  const ready = await until('/readyz answers', () => readiness(centre), PATIENCE_MS);
  const unfit = Object.entries(ready.components).flatMap(([name, { ok }]) => (ok ? [] : [name]));
  if (disk !== 'redis' && unfit.length === 0) faults.push(`${disk}: /readyz tells of nothing`);
  const said = centre.output().slice(saidBefore);
  if (!/"level":(40|50)|"level":"(warn|error)"/.test(said)) faults.push(`${disk}: the log tells of nothing`);
  seen += `, /readyz names ${unfit.join(' and ') || 'nothing'}`;
  empty.room();
  for (const pid of frozen) kill(pid, 'SIGCONT');
  return seen;
}

/** Whatever was there goes along; the centre must be stopped. */
function onSmallDisk(scope: Scope, place: string, size: string): void {
  const kept = `${place}.kept`;
  const had = existsSync(place);
  if (had) renameSync(place, kept);
  mkdirSync(place, { recursive: true, mode: 0o700 });
  command('mount', '-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', place);
  scope.teardown(() => command('umount', '--lazy', place));
  if (had) command('cp', '--archive', `${kept}/.`, place);
  rmSync(kept, { recursive: true, force: true });
}

function command(program: string, ...args: string[]): void {
  const ended = spawnSync(program, args, { encoding: 'utf8' });
  if (ended.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${ended.error?.message ?? ended.stderr}`);
}

/** Takes all room of a disk; `again` what others gave back meanwhile. */
function fill(place: string): { again(): void; room(): void } {
  const file = path.join(place, 'filler');
  const again = (): void => {
    const fd = openSync(file, 'a');
    try {
      const block = Buffer.alloc(64 * 1024);
      while (statfsSync(place).bavail > 0) writeSync(fd, block);
    } catch {
      // ENOSPC: that is what it is for.
    } finally {
      closeSync(fd);
    }
  };
  again();
  return { again, room: () => rmSync(file, { force: true }) };
}

/** Resolves when so many more are acknowledged. */
async function more(load: Load, count: number): Promise<void> {
  const wanted = load.acknowledged.size + count;
  await until('messages go through', () => load.acknowledged.size >= wanted, PATIENCE_MS);
}

/** Resolves when nothing was acknowledged for a while. */
async function silence(load: Load): Promise<void> {
  let [size, since] = [load.acknowledged.size, performance.now()];
  await until(
    'no acknowledgements',
    () => {
      if (load.acknowledged.size > size) [size, since] = [load.acknowledged.size, performance.now()];
      return performance.now() - since > QUIET_MS;
    },
    PATIENCE_MS / 2,
  );
}

interface Readiness {
  readonly ready: boolean;
  readonly components: Readonly<Record<string, { readonly ok: boolean }>>;
}

async function readiness(centre: Centre): Promise<Readiness | null> {
  const ready = centre.ready();
  if (ready === null) return null;
  return (await call<Readiness>(ready.http, 'GET', '/readyz').catch(() => null))?.body ?? null;
}
