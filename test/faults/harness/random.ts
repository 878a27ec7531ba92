/** Chance by a seed, so that a run can be repeated. */

export type Dice = () => number;

/** @returns numbers from 0 to 1, the same for the same seed (mulberry32) */
export function dice(seed: number): Dice {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** In any order. */
export const shuffled = <T>(of: readonly T[], random: Dice): T[] =>
  of
    .map((one) => ({ one, at: random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ one }) => one);

/** @returns deals them out in any order, each once before any comes again */
export function dealing<T>(of: readonly T[], random: Dice): () => T {
  let left: T[] = [];
  return () => {
    if (left.length === 0) left = shuffled(of, random);
    const one = left.pop();
    if (one === undefined) throw new RangeError('nothing to deal out');
    return one;
  };
}

/** @throws RangeError when there is nothing to pick from */
export function pick<T>(of: readonly T[], random: Dice): T {
  const one = of[Math.floor(random() * of.length)];
  if (one === undefined) throw new RangeError('nothing to pick from');
  return one;
}
