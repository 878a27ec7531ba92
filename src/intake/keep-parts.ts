/** Taking a batch apart in which one household is locked, or PostgreSQL fails at it, so that only that household waits. Pure. */
import { CentreError } from '../base/errors.ts';

/** A batch in which somebody's household is locked is tried in parts of so many, then each household by itself. */
const PART = 16;

/** Of a store's failure: somebody holds a household, and nothing is said about the others. */
export const isLocked = (error: unknown): boolean => error instanceof CentreError && error.code === 'household-locked';

/** Of a store's failure: PostgreSQL serves others, and what it failed at may be the fault of one household's rows. */
export const isFailing = (error: unknown): boolean => error instanceof CentreError && error.code === 'household-failing';

/** Of a store's failure: it is about one household at least, and nothing is said about the others. */
export const isOfHousehold = (error: unknown): boolean => isLocked(error) || isFailing(error);

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

/**
 * Of many groups some at a time, of few each by itself. What PostgreSQL fails at may take it seconds each time: then each by
 * itself at once.
 */
export function partsOf<T>(groups: readonly (readonly T[])[], error: unknown): T[][] {
  const most = groups.length > PART && !isFailing(error) ? PART : 1;
  const parts: T[][] = [];
  for (let from = 0; from < groups.length; from += most) parts.push(groups.slice(from, from + most).flat());
  return parts;
}
