/** Runs one parser over many inputs and watches it: exceptions, time for each input, memory in all. */
import { performance } from 'node:perf_hooks';
import process from 'node:process';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { CentreError } from '../../src/base/errors.ts';
import { Draw, nextInput } from './mutate.ts';

/** A parser with what it needs to be fed. */
export interface Fuzzed {
  readonly name: string;
  /** What the first inputs are made of. */
  readonly seeds: readonly Uint8Array[];
  readonly words: readonly string[];
  /** Bytes of the longest input. */
  readonly longest: number;
  /**
   * Feeds one input and checks what comes out.
   * @returns the outcome in a few words: an input with a new outcome is kept and changed further
   * @throws Broken when a property does not hold; whatever else it throws, except a CentreError, is a fault too
   */
  feed(input: Buffer, draw: Draw): string | Promise<string>;
}

/** A property does not hold. */
export class Broken extends Error {}

export function holds(condition: boolean, property: string): asserts condition {
  if (!condition) throw new Broken(property);
}

export interface Finding {
  readonly parser: string;
  /** The number of the input, counted from the first of the seed; −1: it stands in the corpus. */
  readonly at: number;
  readonly why: string;
  readonly input: Buffer;
}

export interface Report {
  readonly parser: string;
  readonly inputs: number;
  readonly outcomes: number;
  readonly seconds: number;
  /** Milliseconds; a suspect counts with the best of its repetitions. */
  readonly slowest: number;
  /** Bytes that are held after the run and were not before. */
  readonly grown: number;
  readonly findings: readonly Finding[];
}

const SLOW_MS = 50;
/** An input that took so long is measured again, so often: the collector, or another process, may have had the time. */
const SUSPECT_MS = 10;
const MEASURED_AGAIN = 3;
const MOST_GROWN = 16 * 1024 * 1024;
/** Inputs kept for their outcome, and their longest: 2 MB at most. */
const POOL = 1024;
const POOL_INPUT = 2048;
const MOST_FINDINGS = 20;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Feeds the seeds, then `inputs` mutations of them and of whatever made a new outcome. */
export async function run(fuzzed: Fuzzed, inputs: number, seed: number, told: (done: number) => void = () => {}): Promise<Report> {
  const draw = new Draw(seed);
  const pool = [...fuzzed.seeds];
  const known = new Set<string>();
  const findings: Finding[] = [];
  const startedAt = performance.now();
  let slowest = 0;

  // What is thrown behind a callback belongs to the input that is being fed.
  let thrownBehind: Error | null = null;
  const behind = (error: Error): void => {
    thrownBehind ??= error;
  };
  process.on('uncaughtException', behind);

  for (const input of fuzzed.seeds) await feed(Buffer.from(input), -1);
  // What a parser keeps for good (compiled patterns, caches) is there after some thousand inputs.
  const warm = Math.min(inputs, Math.max(2000, Math.floor(inputs / 20)));
  let before = 0;
  for (let n = 0; n < inputs && findings.length < MOST_FINDINGS; n++) {
    if (n === warm) before = await held();
    const input = nextInput(draw, { ...fuzzed, pool });
    const outcome = await feed(input, n);
    if (outcome !== null && !known.has(outcome)) {
      known.add(outcome);
      if (pool.length < POOL + fuzzed.seeds.length && input.length <= POOL_INPUT) pool.push(input);
    }
    if (n % 1000 === 0) {
      told(n);
      // What was feeding all the time in promises alone lets the event loop turn.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const grown = before === 0 ? 0 : Math.max(0, (await held()) - before);
  if (grown > MOST_GROWN) {
    findings.push({
      parser: fuzzed.name,
      at: inputs,
      why: `in all it holds ${grown} bytes more than at the beginning`,
      input: Buffer.alloc(0),
    });
  }
  process.off('uncaughtException', behind);
  const seconds = (performance.now() - startedAt) / 1000;
  return { parser: fuzzed.name, inputs, outcomes: known.size, seconds, slowest, grown, findings };

  /** The outcome; null when there was none, because a fault was found. */
  async function feed(input: Buffer, at: number): Promise<string | null> {
    try {
      const began = performance.now();
      const outcome = fuzzed.feed(input, draw);
      const settled = typeof outcome === 'string' ? outcome : await outcome;
      let took = performance.now() - began;
      if (thrownBehind !== null) {
        const thrown = thrownBehind;
        thrownBehind = null;
        throw thrown;
      }
      if (took > SUSPECT_MS) took = await measuredAgain(input, took);
      if (took > slowest) slowest = took;
      if (took > SLOW_MS) throw new Broken(`took ${took.toFixed(0)} ms`);
      return settled;
    } catch (error) {
      if (error instanceof CentreError) return error.code;
      const why = error instanceof Broken ? error.message : error instanceof Error ? (error.stack ?? error.message) : String(error);
      findings.push({ parser: fuzzed.name, at, why, input });
      return null;
    }
  }

  async function measuredAgain(input: Buffer, first: number): Promise<number> {
    let best = first;
    for (let again = 0; again < MEASURED_AGAIN && best > SUSPECT_MS; again++) {
      if (again > 0) collectGarbage();
      const began = performance.now();
      const usedBefore = process.cpuUsage();
      await fuzzed.feed(input, new Draw(1));
      const used = process.cpuUsage(usedBefore);
      // Of the two the smaller: on a busy machine a process waits for its turn.
      best = Math.min(best, performance.now() - began, (used.user + used.system) / 1000);
    }
    return best;
  }
}

/** The least of some measurements: what streams hold is given back in later turns of the event loop. */
async function held(): Promise<number> {
  let least = Infinity;
  for (let turn = 0; turn < 4; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    least = Math.min(least, heapUsed + arrayBuffers);
  }
  return least;
}
