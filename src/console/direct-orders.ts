/** What HTTP does with provisional numbers: finds the provisional alarm, claims it, or leads to the alarm that it became. */
import type { PersonCommand } from '../alarms/command.ts';
import type { Clock } from '../base/clock.ts';
import { type Viewer, mayOrder } from '../people/access.ts';
import { type DirectAlarms, type DirectDirectory, type ShownProvisional, seesProvisional } from './direct.ts';
import { type Answer, json, problem } from './route.ts';

export interface ProvisionalParts {
  readonly direct?: DirectAlarms;
  readonly aliases?: Pick<DirectDirectory, 'replayed'>;
  readonly clock: Clock;
}

/** `F-` and eight signs (src/alarms/provisional.ts). */
export const isProvisional = (number: string): boolean => /^F-[0-9A-Z]{8}$/.test(number);

/** Null: no such provisional alarm for this viewer, or it is none any more. */
export function provisionalFor({ direct }: ProvisionalParts, viewer: Viewer, number: string): ShownProvisional | null {
  const alarm = direct?.one(number) ?? null;
  return alarm !== null && seesProvisional(viewer, alarm) ? alarm : null;
}

/**
 * The alarm's own number: itself, or of a provisional one the alarm that it became; null: it became none, or is not known.
 * @throws CentreError store-away
 */
export async function numberOf({ direct, aliases }: ProvisionalParts, number: string): Promise<string | null> {
  if (!isProvisional(number)) return number;
  const became = direct?.became(number);
  if (became !== undefined) return became;
  return (await aliases?.replayed([number]))?.get(number)?.alarm ?? null;
}

/** Null: it is not provisional (any more), and the command is one for the alarm that it became. */
export async function claimProvisional(
  parts: ProvisionalParts,
  viewer: Viewer,
  number: string,
  command: PersonCommand['command'],
): Promise<Answer | null> {
  const { direct, clock } = parts;
  const alarm = provisionalFor(parts, viewer, number);
  if (direct === undefined || alarm === null) return null;
  if (!mayOrder(viewer.roles, command)) return problem('not-allowed', 'The account may not do this.');
  if (command !== 'claim')
    return problem('still-provisional', 'The database is away: the alarm can be claimed, and all else follows later.');
  const answer = await direct.claim(number, viewer, clock.now());
  if ('claimed' in answer) return json({ provisional: { ...answer.claimed, lost: false } satisfies ShownProvisional });
  switch (answer.refused) {
    case 'gone':
    case 'unknown-alarm':
      return null;
    case 'taken-by-another':
      return problem('taken-by-another', `Another operator has the alarm: ${answer.by}.`, { by: answer.by });
    case 'not-kept':
      return problem('claim-not-kept', 'Nobody has the alarm; try again shortly.', {}, { 'retry-after': '1' });
    case 'intake-away':
      return problem('intake-away', 'Whether the alarm is claimed is not known; try again shortly.', {}, { 'retry-after': '1' });
  }
}
