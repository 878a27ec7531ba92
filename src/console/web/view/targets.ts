/** The order in which the dispatch panel shows whom one can send. */
import type { DispatchTarget } from '../contract.ts';

/** Proposed and manned first, then manned, then those where nobody is on duty; teams before persons, then by name. */
export function inOrder(targets: readonly DispatchTarget[]): DispatchTarget[] {
  const rank = ({ proposed, onDuty }: DispatchTarget): number => (onDuty === 0 ? 2 : proposed ? 0 : 1);
  return targets.toSorted(
    (a, b) => rank(a) - rank(b) || Number(a.kind === 'person') - Number(b.kind === 'person') || a.name.localeCompare(b.name, 'nb'),
  );
}
