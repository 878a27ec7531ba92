/** A responder's acts on their way to the centre: kept with their time and key until they are answered, in order. */
import type { RefusalCode } from '../../../alarms/command.ts';
import type { OrderedCommand, Problem } from '../contract.ts';

export interface QueuedAct {
  /** Idempotency key: the same act sent twice is carried out once. */
  readonly key: string;
  readonly number: string;
  readonly command: OrderedCommand;
  /** The version that the responder saw. */
  readonly version: number;
  /** RFC 3339. */
  readonly doneAt: string;
  /** It could not be sent at once, so its own time goes with it. */
  readonly delayed: boolean;
  /** The centre said no; kept until the responder has seen it. */
  readonly refused: { readonly code: RefusalCode | string; readonly by: string | null } | null;
}

export type Acts = readonly QueuedAct[];

/** Puts one more act last; the same key twice is one act. */
export const withAct = (acts: Acts, act: QueuedAct): Acts => (acts.some(({ key }) => key === act.key) ? acts : [...acts, act]);
export const without = (acts: Acts, key: string): Acts => acts.filter((act) => act.key !== key);

/** The next to send: strictly in order, for what was done first happened first. */
export const nextAct = (acts: Acts): QueuedAct | null => acts.find((act) => act.refused === null) ?? null;

/** How many are waiting to be sent. */
export const waitingActs = (acts: Acts): number => acts.filter((act) => act.refused === null).length;
export const refusedActs = (acts: Acts, number: string): QueuedAct[] => acts.filter((act) => act.number === number && act.refused !== null);

/** What became of the try to send one act. */
export type Sent =
  | { readonly became: 'done' }
  /** No network, or the centre cannot write now: the act stays and is tried again. */
  | { readonly became: 'away' }
  | { readonly became: 'refused'; readonly problem: Problem };

const RETRIED_STATUS = (status: number): boolean => status === 401 || status === 408 || status === 429 || status >= 500;

/** A problem as fate of an act: a centre that is away or asks to sign in again has not refused anything. */
export const fateOf = (problem: Problem): Sent => (RETRIED_STATUS(problem.status) ? { became: 'away' } : { became: 'refused', problem });

/** What the queue is after one try. Nothing is ever dropped unseen: a refused act stays, marked. */
export function afterTry(acts: Acts, key: string, sent: Sent): Acts {
  switch (sent.became) {
    case 'done':
      return without(acts, key);
    case 'away':
      return acts.map((act) => (act.key === key || act.refused === null ? { ...act, delayed: true } : act));
    case 'refused': {
      const refused = { code: sent.problem.code, by: sent.problem.by ?? null };
      return acts.map((act) => (act.key === key ? { ...act, refused } : act));
    }
  }
}

/** What a refused report or note said, so that it can still reach the operator as a note; null when it said nothing. */
export function textToSave(act: QueuedAct, outcomes: Readonly<Record<string, string>>): string | null {
  if (act.command.command === 'note') return act.command.text;
  if (act.command.command !== 'report') return null;
  return [outcomes[act.command.outcome] ?? act.command.outcome, act.command.text].filter((part) => part !== '').join(': ');
}
