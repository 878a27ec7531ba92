/** Draws and mutations: the same seed gives the same inputs, in the same order. */

/** Xorshift (Marsaglia, 32 bits): fast, since a campaign draws some hundred million times. */
export class Draw {
  #state: number;

  constructor(seed: number) {
    // Mixed, so that neighbouring seeds part at once; never 0, where xorshift stays.
    const mixed = Math.imul(seed ^ (seed >>> 16), 0x45d9f3b);
    this.#state = (mixed ^ (mixed >>> 15)) >>> 0 || 1;
  }

  /** A whole number from 0 to below `end`. */
  below(end: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return this.#state % end;
  }

  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  /** @throws RangeError when the list is empty */
  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    if (picked === undefined) throw new RangeError('There is nothing to choose from.');
    return picked;
  }
}

/** What inputs are made of. */
export interface Material {
  /** Inputs that are worth changing. */
  readonly pool: readonly Uint8Array[];
  /** Words of the language, put in anywhere. */
  readonly words: readonly string[];
  /** No input is longer. */
  readonly longest: number;
}

const INTERESTING = [0, 1, 9, 10, 13, 32, 34, 37, 38, 44, 47, 58, 59, 60, 61, 62, 64, 92, 0x7f, 0x80, 0xbf, 0xc3, 0xed, 0xfe, 0xff];
const NUMBERS = ['0', '-1', '1', '127', '128', '255', '256', '65535', '65536', '2147483648', '4294967296', '9999999999', '1e999', '0x10'];

type Mutation = (input: Buffer, draw: Draw, material: Material) => Buffer;

const cut = (input: Buffer, from: number, to: number, put: Uint8Array): Buffer =>
  Buffer.concat([input.subarray(0, from), put, input.subarray(to)]);

/** A stretch of the input, mostly a short one. */
function stretch(input: Buffer, draw: Draw): readonly [number, number] {
  const from = draw.below(input.length + 1);
  const size = draw.below(draw.oneIn(4) ? input.length + 1 : 17);
  return [from, Math.min(input.length, from + size)];
}

const flipBit: Mutation = (input, draw) => {
  const at = draw.below(input.length);
  input[at] = (input[at] ?? 0) ^ (1 << draw.below(8));
  return input;
};
const setByte: Mutation = (input, draw) => {
  input[draw.below(input.length)] = draw.oneIn(2) ? draw.pick(INTERESTING) : draw.below(256);
  return input;
};
const insertBytes: Mutation = (input, draw) => {
  const at = draw.below(input.length + 1);
  return cut(input, at, at, Buffer.from(Array.from({ length: 1 + draw.below(8) }, () => draw.below(256))));
};
const insertWord: Mutation = (input, draw, { words }) => {
  const [from, to] = draw.oneIn(2) ? stretch(input, draw) : [draw.below(input.length + 1), null];
  return cut(input, from, to ?? from, Buffer.from(draw.pick(words), 'latin1'));
};
const remove: Mutation = (input, draw) => cut(input, ...stretch(input, draw), Buffer.alloc(0));
const truncate: Mutation = (input, draw) => input.subarray(0, draw.below(input.length));
const copyWithin: Mutation = (input, draw) => {
  const at = draw.below(input.length + 1);
  return cut(input, at, at, input.subarray(...stretch(input, draw)));
};
const swapLines: Mutation = (input, draw) => {
  const lines = input.toString('latin1').split('\n');
  const [a, b] = [draw.below(lines.length), draw.below(lines.length)];
  [lines[a], lines[b]] = [lines[b] ?? '', lines[a] ?? ''];
  return Buffer.from(lines.join('\n'), 'latin1');
};
const changeNumber: Mutation = (input, draw) => {
  const found = [...input.toString('latin1', 0, 4096).matchAll(/\d+/g)];
  if (found.length === 0) return input;
  const { index, 0: digits } = draw.pick(found);
  return cut(input, index, index + digits.length, Buffer.from(draw.pick(NUMBERS)));
};
const splice: Mutation = (input, draw, { pool }) => {
  const other = draw.pick(pool);
  return Buffer.concat([input.subarray(0, draw.below(input.length + 1)), other.subarray(draw.below(other.length + 1))]);
};
/** A stretch many times over: what looks for more than linear time, and for limits that are checked too late. */
const amplify: Mutation = (input, draw, { longest }) => {
  const [from, to] = stretch(input, draw);
  const part = input.subarray(from, Math.max(to, Math.min(from + 1, input.length)));
  if (part.length === 0) return input;
  const times = draw.below(Math.max(2, Math.floor(longest / part.length)));
  return cut(input, from, from, Buffer.alloc(part.length * times, part));
};

const COMMON: readonly Mutation[] = [flipBit, setByte, insertBytes, insertWord, insertWord, remove, copyWithin, changeNumber, swapLines];
const RARE: readonly Mutation[] = [truncate, splice, insertWord];
/** Amplified inputs take a thousand times as long as others. */
const AMPLIFIED = 300;

/** A new input out of one of the pool. */
export function nextInput(draw: Draw, material: Material): Buffer {
  let input: Buffer = Buffer.from(draw.pick(material.pool));
  for (let left = 1 + draw.below(4); left > 0; left--) {
    const mutation = draw.pick(draw.oneIn(6) ? RARE : COMMON);
    if (input.length === 0) input = Buffer.from(draw.pick(material.words), 'latin1');
    input = mutation(input, draw, material);
  }
  if (draw.oneIn(AMPLIFIED)) input = amplify(input, draw, material);
  return input.subarray(0, material.longest);
}
