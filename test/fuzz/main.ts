/**
 * `npm run fuzz`: a million inputs for each parser; findings are kept in test/vectors/fuzz, and each run begins with them.
 *
 *   npm run fuzz -- [--inputs 1000000] [--seed <number>] [--parser <name>]…
 */
import process from 'node:process';
import { parseArgs } from 'node:util';
import { run } from './campaign.ts';
import { keep } from './corpus.ts';
import { PARSERS } from './parsers.ts';

const { values } = parseArgs({
  options: {
    inputs: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    parser: { type: 'string', multiple: true, default: PARSERS.map(({ name }) => name) },
  },
});
const [inputs, seed] = [Number(values.inputs), Number(values.seed)];
const chosen = PARSERS.filter(({ name }) => values.parser.includes(name));
if (!Number.isSafeInteger(inputs) || !Number.isSafeInteger(seed) || chosen.length === 0) {
  console.error(`--inputs and --seed are whole numbers; --parser is one of ${PARSERS.map(({ name }) => name).join(', ')}.`);
  process.exit(2);
}

console.log(`seed ${seed}`);
let found = 0;
for (const fuzzed of chosen) {
  const startedAt = performance.now();
  const told = (done: number): void => {
    if (!process.stdout.isTTY) return;
    process.stdout.write(`\r${fuzzed.name}: ${done} of ${inputs}, ${((performance.now() - startedAt) / 1000).toFixed(0)} s `);
  };
  const report = await run(fuzzed, inputs, seed, told);
  const { outcomes, seconds, slowest, grown, findings } = report;
  const line = `${inputs} inputs, ${outcomes} outcomes, ${seconds.toFixed(0)} s, slowest ${slowest.toFixed(1)} ms, memory +${(grown / 1e6).toFixed(1)} MB`;
  console.log(`${process.stdout.isTTY ? '\r' : ''}${fuzzed.name}: ${line}, ${findings.length} findings`);
  for (const { at, why, input } of findings) {
    console.log(`  input ${at}: ${why}${input.length === 0 ? '' : `\n    kept as ${keep(fuzzed.name, input)}`}`);
  }
  found += findings.length;
}
console.log(found === 0 ? 'Nothing found.' : `${found} findings. Again with: npm run fuzz -- --inputs ${inputs} --seed ${seed}`);
process.exitCode = found === 0 ? 0 : 1;
