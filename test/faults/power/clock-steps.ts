/** Steps the wall clock by an hour while the centre runs: deadlines neither fire nor wait for it, and nobody is thrown out. */
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { type Console, MqttDevice, type Person, call, signIn } from '../../support/outside.ts';
import { type Centre, ROOT, type Scope, kill, spawnCentre } from '../../support/process.ts';
import { until } from '../../support/stores.ts';
import {
  type Load,
  type PowerOptions,
  type PowerResult,
  compare,
  freshFolder,
  importRegister,
  scoped,
  skipped,
  startLoad,
} from './field.ts';
import { postgresWith } from './shim.ts';

/** Those that press all the time; the household behind them presses once in each round. */
const LOADED = 2;
const BETWEEN_MS = 200;
const HOUR_S = 3600;
/** The first deadline of an alarm in this scenario's configuration. */
const UNCLAIMED_MS = 5000;
const LATE_MS = 5000;
const WAITED_MS = 30_000;
const PATIENCE_MS = 60_000;

type Who = 'both' | 'postgres' | 'centre';
interface Step {
  readonly who: Who;
  /** Seconds off the true time from now on, of whom it concerns. */
  readonly off: number;
}
/** Each is a step of an hour; the ones to 0 go the other way. */
const STEPS: readonly Step[] = [
  { who: 'both', off: HOUR_S },
  { who: 'both', off: 0 },
  { who: 'postgres', off: -HOUR_S },
  { who: 'postgres', off: 0 },
  { who: 'centre', off: -HOUR_S },
  { who: 'centre', off: 0 },
];

interface Field {
  readonly scope: Scope;
  readonly dataDir: string;
  readonly env: Readonly<Record<string, string>>;
  readonly load: Load;
  readonly faults: string[];
  readonly person: Person;
  readonly console: Console;
  readonly centre: Centre;
  readonly step: (step: Step) => void;
}

/** `rounds` steps, and at last a start with a clock that is an hour behind what is stored. */
export async function clockSteps(options: PowerOptions): Promise<PowerResult> {
  const library = findFaketime();
  if (library === null) return skipped('libfaketime is not installed (Debian: faketime)');
  const began = performance.now();
  return scoped(async (scope) => {
    const folder = freshFolder(scope);
    const { base, dataDir } = folder;
    await importRegister(folder, LOADED + options.rounds + 2);
    const clocks = { centre: path.join(base, 'clock-centre'), postgres: path.join(base, 'clock-postgres') };
    const step = ({ who, off }: Step): void => {
      if (who !== 'postgres') setClock(clocks.centre, off);
      if (who !== 'centre') setClock(clocks.postgres, off);
    };
    step({ who: 'both', off: 0 });
    const env = {
      ...faketime(library, clocks.centre),
      ...postgresWith(base, faketime(library, clocks.postgres)),
      CONFIG_DIR: impatient(base),
      LOG_LEVEL: 'warn',
    };
    leaveAlone('redis-server', path.join(base, 'bin'));
    let centre = spawnCentre(scope, { dataDir, env });
    const ready = await centre.whenReady();
    const load = startLoad(scope, () => centre.ready(), LOADED, BETWEEN_MS);
    const person = await signIn(ready, 'operator');
    const console = person.socket();
    scope.teardown(() => console.close());
    await until('the console is open', () => console.opened === 1);
    const faults: string[] = [];
    const acknowledged = new Set<string>();
    const field = { scope, dataDir, env, load, faults, person, console, centre, step };

    for (let round = 0; round < options.rounds; round++) {
      const one = STEPS[round % STEPS.length] ?? STEPS[0]!;
      options.log(`clock step ${round + 1}/${options.rounds}: ${await stepOnce(field, one, LOADED + round, acknowledged)}`);
    }
    step({ who: 'both', off: 0 });
    if (console.opened !== 1) faults.push(`the console was thrown out: it opened ${console.opened} sockets`);

    // A machine that comes up with a clock that is behind: time goes on from what is stored.
    const before = await press(() => centre.ready(), scope, LOADED + options.rounds, acknowledged);
    await load.stop();
    step({ who: 'both', off: -HOUR_S });
    const { code } = await centre.stop();
    if (code !== 0) faults.push(`the centre ended with ${code ?? 'a signal'}`);
    centre = spawnCentre(scope, { dataDir, env });
    const again = await signIn(await centre.whenReady(), 'operator');
    const lateMs = Math.round((await told(again, before.device)) - before.at - UNCLAIMED_MS);
    await press(() => centre.ready(), scope, LOADED + options.rounds + 1, acknowledged);
    faults.push(...(await backwards(again)));
    options.log(`started an hour behind: the deadline from before acted on ${lateMs} ms after it was due, the start included`);

    const { lost, doubled } = await compare(dataDir, { acknowledged: new Set([...load.acknowledged, ...acknowledged]) });
    return {
      cuts: options.rounds + 1,
      acknowledged: load.acknowledged.size + acknowledged.size,
      lost: lost.length,
      doubled: doubled.length,
      seconds: Math.round((performance.now() - began) / 1000),
      faults: [...faults, ...doubled],
    };
  });
}

/** One alarm, one step behind it, and what must hold then. @returns what was seen */
async function stepOnce(field: Field, one: Step, household: number, acknowledged: Set<string>): Promise<string> {
  const { scope, centre, faults, person, step, load } = field;
  const name = `${one.who} to ${one.off} s`;
  const saidBefore = centre.output().length;
  const { device, from, at } = await press(() => centre.ready(), scope, household, acknowledged);
  await until('a second has passed', () => performance.now() - at > 1000);
  step(one);
  // A watch that is started again must not take its time from a wall clock that its parent does not follow.
  if (one.off !== 0 && one.who !== 'postgres') for (const pid of watchesOf(centre)) kill(pid, 'SIGKILL');
  const before = load.acknowledged.size;
  const toldAt = await told(person, device);
  const afterMs = Math.round(toldAt - at);
  // It counts from when the alarm was received: somewhere between the first try and the acknowledgement.
  if (toldAt - from < UNCLAIMED_MS - 100)
    faults.push(`${name}: a deadline of ${UNCLAIMED_MS} ms was acted on after ${Math.round(toldAt - from)} ms`);
  if (afterMs > UNCLAIMED_MS + LATE_MS) faults.push(`${name}: a deadline of ${UNCLAIMED_MS} ms was acted on only after ${afterMs} ms`);
  await until('messages go through', () => load.acknowledged.size >= before + 5, PATIENCE_MS);

  if (one.who !== 'postgres') {
    const isSaid = (): boolean => centre.output().slice(saidBefore).includes('wall-clock-jumped');
    await until('wall-clock-jumped', isSaid, 15_000).catch(() => faults.push(`${name}: wall-clock-jumped is not logged`));
  }
  // The centre's own time does not follow the wall; PostgreSQL's does.
  const differs = one.who !== 'centre' && one.off !== 0;
  const reason = await until(
    '/readyz follows',
    async () => {
      const found = await databaseReason(centre);
      return /differ/.test(found) === differs ? { found } : null;
    },
    15_000,
  ).then(
    ({ found }) => found,
    () => null,
  );
  if (reason === null) faults.push(`${name}: /readyz ${differs ? 'does not tell' : 'still tells'} that the clocks differ`);
  const { status } = await person.get('/api/v1/session');
  if (status !== 200) faults.push(`${name}: the session is gone (${status})`);
  faults.push(...(await backwards(person)).map((what) => `${name}: ${what}`));
  return `${name}; the deadline was acted on ${afterMs - UNCLAIMED_MS} ms after it was due${differs ? `; /readyz: ${reason ?? ''}` : ''}`;
}

/** One press of a device that has an alarm of its own; begun and acknowledged when, on this process' monotonic clock. */
async function press(
  ready: ConstructorParameters<typeof MqttDevice>[0],
  scope: Scope,
  household: number,
  acknowledged: Set<string>,
): Promise<{ device: string; from: number; at: number }> {
  const device = new MqttDevice(ready, `F-${household}`, '1103');
  scope.teardown(() => device.close());
  const id = `once-${household}`;
  const from = performance.now();
  await device.press(JSON.stringify({ id, type: 'fall' }));
  acknowledged.add(id);
  return { device: device.serial, from, at: performance.now() };
}

/** When somebody was seen to be told of that device's alarm. */
async function told(person: Person, device: string): Promise<number> {
  const [alarm] = await until('the alarm', async () => {
    const found = await person.alarmsOf(device);
    return found.length > 0 ? found : null;
  });
  const number = alarm?.number ?? '';
  await until(
    `somebody is told of ${device}`,
    async () => (await person.alarm(number)).timeline.some(({ event }) => event.event === 'told'),
    PATIENCE_MS,
  );
  return performance.now();
}

/**
 * Timelines that go back, and alarms that were opened before one with a lower number, by more than what one that waited for its
 * turn explains: an event has the instant at which its cause came, and is written when the alarm is free.
 */
async function backwards(person: Person): Promise<string[]> {
  const alarms = (await person.alarms()).toSorted((one, other) => Number(one.number) - Number(other.number));
  const found: string[] = [];
  let opened = 0;
  for (const { number } of alarms) {
    const { timeline } = await person.alarm(number);
    const instants = timeline.map(({ at }) => Date.parse(at));
    const most = Math.max(0, ...instants.map((at, n) => (instants[n - 1] ?? at) - at));
    if (most > WAITED_MS) {
      const last = timeline[instants.findIndex((at, n) => (instants[n - 1] ?? at) - at === most) - 1];
      found.push(`the timeline of ${number} goes back by ${most} ms behind ${last?.event.event ?? ''} of ${JSON.stringify(last?.actor)}`);
    }
    const first = instants[0] ?? 0;
    if (first < opened - WAITED_MS) found.push(`${number} was opened ${opened - first} ms before an earlier alarm`);
    opened = Math.max(opened, first);
  }
  return found;
}

const watchesOf = (centre: Centre): number[] =>
  centre.processes().filter((pid) => readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('--role\0watch'));

async function databaseReason(centre: Centre): Promise<string> {
  const { http = '' } = centre.ready() ?? {};
  const { body } = await call<{ components: Record<string, { ok: boolean; reason?: string }> }>(http, 'GET', '/readyz');
  return body.components['database']?.reason ?? '';
}

/** Read anew by libfaketime once a second. */
function setClock(file: string, off: number): void {
  writeFileSync(`${file}.new`, `${off < 0 ? '-' : '+'}${Math.abs(off)}\n`);
  renameSync(`${file}.new`, file);
}

/** The wall clock alone: timers, and what measures spans, go on. */
const faketime = (library: string, file: string): Record<string, string> => ({
  LD_PRELOAD: library,
  FAKETIME_TIMESTAMP_FILE: file,
  // In seconds. Without it the file is read at each of a million looks at the clock.
  FAKETIME_CACHE_DURATION: '1',
  FAKETIME_DISABLE_SHM: '1',
  DONT_FAKE_MONOTONIC: '1',
  NO_FAKE_STAT: '1',
});

/** A program that does not stand libfaketime (jemalloc asks for the time before libfaketime can tell it) is run without. */
function leaveAlone(program: string, programs: string): void {
  const real = spawnSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).stdout.trim();
  if (real === '') return;
  writeFileSync(path.join(programs, program), `#!/bin/sh\nunset LD_PRELOAD\nexec '${real}' "$@"\n`);
  chmodSync(path.join(programs, program), 0o755);
}

function findFaketime(): string | null {
  const places = ['/usr/lib', '/usr/local/lib', '/usr/lib64'].flatMap((root) => {
    if (process.platform !== 'linux' || !existsSync(root)) return [];
    return [
      root,
      ...readdirSync(root)
        .filter((name) => name.includes('-linux-'))
        .map((name) => path.join(root, name)),
    ];
  });
  return places.map((place) => path.join(place, 'faketime', 'libfaketimeMT.so.1')).find((file) => existsSync(file)) ?? null;
}

/** The configuration with a short first deadline. */
function impatient(base: string): string {
  const folder = path.join(base, 'config');
  cpSync(path.join(ROOT, 'config'), folder, { recursive: true });
  const ladders = path.join(folder, 'ladders.json');
  writeFileSync(ladders, readFileSync(ladders, 'utf8').replaceAll('"unclaimed": 60', `"unclaimed": ${UNCLAIMED_MS / 1000}`));
  return folder;
}
