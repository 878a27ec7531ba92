/** Taking a batch apart in which somebody's household is locked, so that only that household waits. Pure. */
import { CentreError } from '../base/errors.ts';

/** A batch in which somebody's household is locked is tried in parts of so many, then each household by itself. */
const PART = 16;

/** Of a store's failure: somebody holds a household, and nothing is said about the others. */
export const isLocked = (error: unknown): boolean => error instanceof CentreError && error.code === 'household-locked';

/** In order of their first, and within a group in order. */
export function groupedBy<T>(all: readonly T[], keyOf: (one: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const one of all) {
    const key = keyOf(one);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [one]);
    else group.push(one);
  }
  return groups;
}

/** Of many groups some at a time, of few each by itself. */
export function partsOf<T>(groups: readonly (readonly T[])[]): T[][] {
  const most = groups.length > PART ? PART : 1;
  const parts: T[][] = [];
  for (let from = 0; from < groups.length; from += most) parts.push(groups.slice(from, from + most).flat());
  return parts;
}
