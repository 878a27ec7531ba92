/** Cuts the power of a whole centre under load, again and again, and compares what was acknowledged with what is there. */
import { cpSync, existsSync, rmSync } from 'node:fs';
import path from 'node:path';
import { type Centre, type Scope, kill, spawnCentre } from '../../support/process.ts';
import { until } from '../../support/stores.ts';
import { processesIn } from '../../../src/store/processes.ts';
import { type CutReport, cut } from './cut.ts';
import {
  type Load,
  type PowerOptions,
  type PowerResult,
  compare,
  dice,
  freshFolder,
  importRegister,
  scoped,
  skipped,
  startLoad,
} from './field.ts';
import { type Recorder, compileShim, recorder } from './shim.ts';

const HOUSEHOLDS = 6;
const BETWEEN_MS = 20;

export interface CutSettings extends PowerOptions {
  /** What a test that must lose something changes of PostgreSQL, as `name=value`. */
  readonly postgresSettings?: readonly string[];
  /** Always everything that was not synced, or always any part of it; in turn by chance when absent. */
  readonly everything?: boolean;
  /** How long what was acknowledged may take to be in the database again, in milliseconds. */
  readonly patience?: number;
  /** Where to put the records of a cut that lost something. */
  readonly evidence?: string;
}

interface Field {
  readonly scope: Scope;
  readonly dataDir: string;
  readonly recording: Recorder;
  readonly random: () => number;
  readonly load: Load;
  centre: Centre;
}

type Moment = 'acknowledged' | 'any' | 'start' | 'store-away';
const MOMENTS: readonly Moment[] = ['acknowledged', 'any', 'store-away', 'acknowledged', 'any', 'acknowledged', 'store-away', 'start'];

/**
 * One process with all roles, its private PostgreSQL and its spill, under load of MQTT and SCAIP devices. At each cut everything
 * is killed at once, all files are taken back to what might be on a disk, and the centre is started on them.
 */
export async function powerCuts(options: CutSettings): Promise<PowerResult> {
  const began = performance.now();
  return scoped(async (scope) => {
    const folder = freshFolder(scope);
    const { base, dataDir } = folder;
    const compiled = compileShim(base);
    if ('reason' in compiled) return skipped(compiled.reason);
    const random = dice(options.seed);
    const recording = recorder(compiled.library, base, [dataDir], options.postgresSettings);
    // PostgreSQL's own files live on what real file systems do; for what the centre makes itself, only what POSIX promises counts.
    const posix = (name: string): boolean => !name.startsWith(path.join(dataDir, 'postgres/'));
    const cutBack = (everything: boolean): CutReport => cut({ roots: [dataDir], posix, ...recording, random, everything });
    await importRegister(folder, HOUSEHOLDS, recording.env);
    cutBack(true);
    if (!existsSync(path.join(dataDir, 'postgres', 'PG_VERSION'))) {
      throw new Error('a power cut right behind the import of a register took the whole database');
    }
    const start = (): Centre => spawnCentre(scope, { dataDir, env: { ...recording.env, LOG_LEVEL: 'error' } });
    let centre = start();
    await centre.whenReady();
    const load = startLoad(scope, () => centre.ready(), HOUSEHOLDS, BETWEEN_MS);
    const forgiven = new Set<string>();
    const left: Pick<Load, 'acknowledged'> = {
      get acknowledged() {
        return new Set([...load.acknowledged].filter((id) => !forgiven.has(id)));
      },
    };
    let doubled: string[] = [];

    for (let round = 0; round < options.rounds; round++) {
      const moment = MOMENTS[round % MOMENTS.length] ?? 'any';
      await darkAt(moment, { scope, dataDir, recording, random, load, centre });
      const everything = options.everything ?? random() < 0.5;
      const report = cutBack(everything);
      const redisToo = random() < 0.3;
      if (redisToo) rmSync(path.join(dataDir, 'redis'), { recursive: true, force: true });
      centre = start();
      if (moment === 'start') {
        // The light goes out again while the first start is still mending.
        const again = performance.now() + random() * 1500;
        await until('a moment of the start', () => performance.now() >= again, 5000);
        await dark(centre);
        cutBack(everything);
        centre = start();
      }
      await centre.whenReady();
      const found = await compare(dataDir, left, options.patience);
      doubled = found.doubled;
      for (const id of found.lost) forgiven.add(id);
      const fate = `${report.writesLost}/${report.writes} writes and ${report.namesLost}/${report.names} names taken back`;
      options.log(
        `power cut ${round + 1}/${options.rounds} (${moment}, ${everything ? 'everything unsynced' : 'a part'}${redisToo ? ', Redis empty' : ''}): ` +
          `${fate}, ${report.syncs} syncs; ${load.acknowledged.size} acknowledged, ${found.lost.length} lost, ${doubled.length} doubled`,
      );
      if (found.lost.length > 0 && options.evidence !== undefined) {
        cpSync(`${recording.journal}.last`, path.join(options.evidence, `round-${round + 1}`), { recursive: true });
        options.log(`lost: ${found.lost.join(' ')}; records in ${options.evidence}`);
      }
    }
    await load.stop();
    const final = await compare(dataDir, left, options.patience);
    const ended = await centre.stop();
    return {
      cuts: options.rounds,
      acknowledged: load.acknowledged.size,
      lost: forgiven.size + final.lost.length,
      doubled: final.doubled.length,
      seconds: Math.round((performance.now() - began) / 1000),
      faults: [...final.doubled, ...(ended.code === 0 ? [] : [`the centre ended with ${ended.code ?? ended.signal ?? '?'}`])],
    };
  });
}

/** Waits for the moment and puts out the light. */
async function darkAt(moment: Moment, field: Field): Promise<void> {
  const { load, random, centre, dataDir } = field;
  const more = 10 + Math.floor(random() * 60);
  const pids = new Set<number>();
  let isDark = false;
  load.after(more, () => {
    // In the very turn in which the acknowledgement came: what it promised must be on the disk by now.
    if (moment === 'acknowledged' || moment === 'start') for (const pid of pids) kill(pid, 'SIGKILL');
    isDark = true;
  });
  const refreshed = (): boolean => {
    for (const pid of centre.processes()) pids.add(pid);
    return isDark;
  };
  await until('messages go through', refreshed, 60_000);
  if (moment === 'any') {
    const then = performance.now() + random() * 60;
    await until('a bad moment', () => performance.now() >= then, 5000);
  }
  if (moment === 'store-away') {
    for (const pid of processesIn(path.join(dataDir, 'postgres'))) kill(pid, 'SIGSTOP');
    const then = performance.now() + 1500 + random() * 1500;
    await until('the store is away for a while', () => performance.now() >= then, 10_000);
  }
  await dark(centre);
}

/** Everything is dead when this resolves: the centre first, so that nothing acknowledges what its store did not live to keep. */
async function dark(centre: Centre): Promise<void> {
  kill(centre.pid, 'SIGKILL');
  await centre.killEverything();
}
