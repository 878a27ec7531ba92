/** A short run of every fuzzed parser, always the same; `npm run fuzz` has the long one. And that the watching itself finds what it shall. */
import process from 'node:process';
import t from 'tap';
import { CentreError } from '../../src/base/errors.ts';
import { type Fuzzed, holds, run } from './campaign.ts';
import { PARSERS } from './parsers.ts';

const SEED = 20_261_122;
/** Some seconds in all on an idle machine. */
const INPUTS: Readonly<Record<string, number>> = {
  'sip-datagram': 4000,
  'sip-stream': 1200,
  'sip-headers': 6000,
  'scaip-body': 3000,
  'mqtt-payload': 4000,
  'mqtt-packets': 1500,
};

for (const fuzzed of PARSERS) {
  await t.test(`${fuzzed.name}: no exception, nothing slow, nothing kept`, async (t) => {
    const inputs = INPUTS[fuzzed.name] ?? 1000;
    const { findings, outcomes, slowest, seconds } = await run(fuzzed, inputs, SEED);
    t.same(
      findings.map(({ why, input }) => ({ why, input: input.toString('latin1', 0, 300) })),
      [],
    );
    t.ok(outcomes > 10, `${outcomes} outcomes of ${inputs} inputs in ${seconds.toFixed(1)} s, the slowest took ${slowest.toFixed(1)} ms`);
  });
}

await t.test('a fault is found: an exception, a broken property, a slow input, memory that is kept', async (t) => {
  const parser = (feed: Fuzzed['feed']): Fuzzed => ({ name: 'faulty', seeds: [Buffer.from('seed')], words: ['word'], longest: 1000, feed });
  const whyOf = async (feed: Fuzzed['feed'], inputs = 500): Promise<string> => (await run(parser(feed), inputs, 1)).findings[0]?.why ?? '';
  const hasWord = (input: Buffer): boolean => input.includes('word');

  t.match(await whyOf((input) => (hasWord(input) ? JSON.parse('{') : 'fine')), /SyntaxError/);
  t.match(
    await whyOf((input) => {
      holds(!hasWord(input), 'no word');
      return 'fine';
    }),
    /^no word$/,
  );
  t.match(await whyOf((input) => Promise.reject(new Error(`later ${input.length}`))), /later 4/);
  t.equal(
    await whyOf(() => {
      throw new CentreError('settings-invalid', 'an error of the catalogue');
    }),
    '',
  );
  t.match(
    await whyOf((input) => {
      const before = process.cpuUsage();
      const most = hasWord(input) ? 60_000 : 0;
      while (process.cpuUsage(before).user + process.cpuUsage(before).system < most);
      return 'fine';
    }, 40),
    /^took \d+ ms$/,
  );
  const kept: Buffer[] = [];
  const keeps = (): string => {
    kept.push(Buffer.alloc(8192));
    return 'fine';
  };
  t.match(await whyOf(keeps, 5000), /^in all it holds \d+ bytes more/);
});
