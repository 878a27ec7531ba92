/** The rules of duty commands: who may order what for whom, for which team, and until when. Pure. */
import { fromIso, type Instant, type Milliseconds, minutes } from '../base/clock.ts';
import { servesMunicipality, type Viewer } from '../people/access.ts';
import type { Escalation, Team } from './ladder.ts';
import { type DutyCommandName, type DutyRecord, type DutyRoll, LONGEST_COMMAND_MS, type OnDuty } from './roster.ts';

/** As the responder page and the supervisor send it; what is missing is worked out. */
export interface DutyOrder {
  readonly command: DutyCommandName;
  readonly team?: string | undefined;
  /** Whose duty is taken over. */
  readonly from?: string | undefined;
  /** RFC 3339; else the end of the shift, or twelve hours. */
  readonly until?: string | undefined;
  /** Whom it is about, when a supervisor orders it for somebody else. */
  readonly account?: string | undefined;
}

export const DUTY_REFUSALS = [
  'unknown-account',
  'unknown-team',
  'team-required',
  'not-allowed',
  'not-a-member',
  'wrong-role',
  'municipality-not-served',
  'until-invalid',
  'not-on-duty',
] as const;
export type DutyRefusal = (typeof DUTY_REFUSALS)[number];

const USUAL_COMMAND_MS: Milliseconds = minutes(12 * 60);
/** A phone whose clock is a little behind may name an end that is just over. */
const SHORTEST_COMMAND_MS: Milliseconds = minutes(1);

/** Whether any of the team's municipalities is one of the viewer's. */
export const seesTeam = (viewer: Viewer, team: Team): boolean =>
  team.municipalities.some((municipality) => servesMunicipality(viewer, municipality));

/** In the order in which the configuration has the teams. */
export const inOrderOf = (teams: readonly Team[], duties: readonly OnDuty[]): OnDuty[] =>
  teams.flatMap(({ id }) => duties.filter(({ team }) => team === id));

type Decided = { readonly records: readonly Omit<DutyRecord, 'id'>[] } | { readonly refused: DutyRefusal };

/** The rules of duty, pure: members order for themselves, supervisors for everybody; off duty is never refused to a member. */
export function decideDuty({ teams }: Pick<Escalation, 'teams'>, roll: DutyRoll, viewer: Viewer, order: DutyOrder): Decided {
  const account = order.account ?? viewer.account;
  const supervisor = viewer.roles.includes('supervisor');
  if (account !== viewer.account && !supervisor) return { refused: 'not-allowed' };
  const person = roll.staff.get(account);
  if (person === undefined) return { refused: 'unknown-account' };
  const relieved = order.command === 'take-over' ? (order.from ?? null) : null;
  if (order.command === 'take-over' && (relieved === null || relieved === account)) return { refused: 'not-on-duty' };

  const chosen = teamsMeant();
  if ('refused' in chosen) return chosen;
  const records: Omit<DutyRecord, 'id'>[] = [];
  for (const team of chosen) {
    const refused = order.command === 'off' ? null : unfit(team, person, supervisor);
    if (refused !== null) return { refused };
    if (supervisor && account !== viewer.account && !seesTeam(viewer, team)) return { refused: 'municipality-not-served' };
    const current = roll.onDuty.find((duty) => duty.team === team.id && duty.account === (relieved ?? account));
    if (relieved !== null && current === undefined) return { refused: 'not-on-duty' };
    const until = untilOf(order, current, roll.at);
    if (until === null) return { refused: 'until-invalid' };
    records.push({ account, team: team.id, command: order.command, at: roll.at, until, givenBy: viewer.account, from: relieved });
  }
  return { records };

  function teamsMeant(): readonly Team[] | { readonly refused: DutyRefusal } {
    if (order.team !== undefined) {
      const team = teams.find(({ id }) => id === order.team);
      return team === undefined ? { refused: 'unknown-team' } : [team];
    }
    const on = inOrderOf(
      teams,
      roll.onDuty.filter((duty) => duty.account === (relieved ?? account)),
    ).map(({ team }) => team);
    const member = teams.filter(({ members }) => members.includes(account));
    const there = teams.filter(({ id }) => on.includes(id));
    if (order.command === 'off') return there.length > 0 ? there : member.length > 0 ? member : { refused: 'team-required' };
    const [only, ...others] = order.command === 'take-over' ? there : member;
    return only === undefined || others.length > 0
      ? { refused: order.command === 'take-over' && only === undefined ? 'not-on-duty' : 'team-required' }
      : [only];
  }
}

function unfit(team: Team, person: Viewer, supervisor: boolean): DutyRefusal | null {
  if (!seesTeam(person, team)) return 'municipality-not-served';
  if (team.role !== 'overflow' && !person.roles.includes(team.role)) return 'wrong-role';
  return supervisor || team.members.includes(person.account) ? null : 'not-a-member';
}

/** When the command's time is over; null for one that is over already, too long, or no time at all. */
function untilOf({ until }: DutyOrder, current: OnDuty | undefined, now: Instant): Instant | null {
  if (until === undefined) {
    // What is left of the shift, where there is one.
    const end = current?.until ?? null;
    return end !== null && end - now <= LONGEST_COMMAND_MS ? end : now + USUAL_COMMAND_MS;
  }
  const at = fromIso(until);
  return at === null || at - now < SHORTEST_COMMAND_MS || at - now > LONGEST_COMMAND_MS ? null : at;
}
