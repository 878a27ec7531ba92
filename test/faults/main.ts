/** `npm run faults`: injects faults under load, compares the harness' books with the truth, prints one table. Exit code 1: a promise was broken. */
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { atTheEnd, carryOut } from './harness/scenario.ts';
import { SCENARIOS } from './harness/scenarios.ts';
import { openHouse } from './harness/house.ts';
import { startLoad } from './harness/load.ts';
import { POWER_SCENARIOS, type PowerResult, runPower } from './harness/power-contract.ts';
import { dice } from './harness/random.ts';
import { summarise, table, writeReport } from './harness/report.ts';
import type { Result } from './harness/scenario.ts';

const USAGE = `npm run faults -- [options]

  --only a,b      these scenarios only (see --list)
  --rounds N      every fault N times, and the long spans (60 s away): with 29 there are about 1,000 kills
  --seed N        the same moments again
  --json FILE     everything that was found; else it is kept in test/faults/results/<date>.json
  --logs DIR      what the processes said
  --list          the scenarios
`;

/** Where a run is kept that names no file, by its date. */
const RESULTS = fileURLToPath(new URL('results', import.meta.url));
/** Lines on the screen about what is broken. */
const SHOWN = 30;
const say = (line: string): void => void process.stdout.write(`${line}\n`);
const powerNames = Object.keys(POWER_SCENARIOS) as (keyof typeof POWER_SCENARIOS)[];

interface Wanted {
  readonly names: readonly string[];
  readonly rounds: number;
  readonly seed: number;
  readonly json: string;
  readonly logs: string | null;
}

const wanted = read();
// Connections of the devices may still be closing: nobody waits for that.
if (wanted !== null) process.exit(await run(wanted));

function read(): Wanted | null {
  const known = [...SCENARIOS.map(({ name }) => name), ...powerNames];
  try {
    const { values } = parseArgs({
      options: {
        only: { type: 'string' },
        rounds: { type: 'string', default: '1' },
        seed: { type: 'string', default: String(Date.now() % 1_000_000) },
        json: { type: 'string' },
        logs: { type: 'string' },
        list: { type: 'boolean', default: false },
      },
    });
    if (values.list) {
      for (const { name, about } of SCENARIOS) say(`${name.padEnd(24)} ${about}`);
      for (const name of powerNames) say(`${name.padEnd(24)} test/faults/power`);
      return null;
    }
    const names = values.only?.split(',').map((name) => name.trim()) ?? known;
    const strange = names.find((name) => !known.includes(name));
    if (strange !== undefined) throw new Error(`There is no scenario "${strange}".`);
    const [rounds, seed] = [Number(values.rounds), Number(values.seed)];
    if (!(rounds >= 1) || !Number.isFinite(seed)) throw new Error('--rounds and --seed are numbers, rounds at least 1.');
    const json = values.json ?? path.join(RESULTS, `${new Date().toISOString().replaceAll(':', '')}.json`);
    mkdirSync(path.dirname(json), { recursive: true });
    if (values.logs !== undefined) mkdirSync(values.logs, { recursive: true });
    return { names, rounds, seed, json, logs: values.logs ?? null };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
    return null;
  }
}

async function run({ names, rounds, seed, json, logs }: Wanted): Promise<number> {
  say(`Faults with --seed ${seed} --rounds ${rounds}`);
  const chosen = SCENARIOS.filter(({ name }) => names.includes(name));
  const tellingTwice = new Set(SCENARIOS.filter(({ tellsTwice }) => tellsTwice === true).map(({ name }) => name));
  const { results, afterwards } = chosen.length === 0 ? { results: [], afterwards: [] } : await inHouse();
  const power: PowerResult[] = [];
  for (const name of powerNames.filter((one) => names.includes(one))) {
    const result = await tried(name, { rounds, seed, log: say });
    if (result === null) say(`${name}: skipped, its runner (test/faults/power) is not there`);
    else power.push(result);
  }
  const summary = summarise(results, power, tellingTwice, afterwards);
  if (results.length > 0) say(`\n${table(results)}`);
  for (const { name, cuts, acknowledged, lost, doubled, seconds, skipped } of power) {
    const figures = `${cuts} cuts, ${acknowledged} acknowledged, ${lost} lost, ${doubled} doubled, ${seconds.toFixed(0)} s`;
    say(`${name}: ${skipped === undefined ? figures : `skipped, ${skipped}`}`);
  }
  const { kills, acknowledged, lost, doubled, asks, toldTwice, toldTwiceShare, heardTwice } = summary;
  say(`\n${kills} kills, ${acknowledged} acknowledged, ${lost} lost, ${doubled} doubled.`);
  const share = `${toldTwice} of ${asks} (${(toldTwiceShare * 100).toFixed(2)} %)`;
  say(`Told twice outside the points made for it: ${share}; ${heardTwice} through a gateway that knows its references.`);
  for (const one of summary.missed) say(`missed  ${one}`);
  for (const one of summary.broken.slice(0, SHOWN)) say(`BROKEN  ${one}`);
  if (summary.broken.length > SHOWN) say(`BROKEN  and ${summary.broken.length - SHOWN} more (all of them in the file)`);
  writeReport(json, { seed, rounds }, results, power, summary);
  say(`Kept in ${path.relative(process.cwd(), json)}`);
  return summary.broken.length === 0 ? 0 : 1;

  /** A runner that fails has not shown what it was to show; the table is printed all the same. */
  async function tried(name: keyof typeof POWER_SCENARIOS, options: Parameters<typeof runPower>[1]): Promise<PowerResult | null> {
    try {
      return await runPower(name, options);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return { ...{ name, cuts: 0, acknowledged: 0, lost: 0, doubled: 0, seconds: 0 }, faults: [`the scenario itself failed: ${why}`] };
    }
  }

  async function inHouse(): Promise<{ results: Result[]; afterwards: string[] }> {
    const house = await openHouse({ seed, ...(logs === null ? {} : { logs }) });
    try {
      const load = startLoad(house, seed);
      const done: Result[] = [];
      const random = dice(seed + 1);
      for (const scenario of chosen) {
        const result = await carryOut(scenario, house, load, rounds, random);
        done.push(result);
        // A run that is cut short has told what it found.
        writeReport(json, { seed, rounds }, done, [], summarise(done, [], tellingTwice));
        const verdict = result.broken.length > 0 ? 'BROKEN' : result.missed.length > 0 ? 'missed' : 'ok';
        say(`${verdict.padEnd(7)} ${result.name} (${result.seconds.toFixed(0)} s) ${result.broken[0] ?? result.missed[0] ?? ''}`);
      }
      await load.stop();
      return { results: done, afterwards: await atTheEnd(house) };
    } finally {
      await house.close();
    }
  }
}
