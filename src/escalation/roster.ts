/** The duty roster: who is on duty at an instant, by the plan and by the commands that were given since. Pure. */
import { type Instant, type Milliseconds, minutes } from '../base/clock.ts';
import { servesMunicipality, type Viewer } from '../people/access.ts';
import type { DutyPlan, Team } from './ladder.ts';
import { type Interval, plannedAt } from './shifts.ts';

export const DUTY_COMMANDS = ['on', 'off', 'take-over'] as const;
export type DutyCommandName = (typeof DUTY_COMMANDS)[number];

/** The longest time for which a command can overrule the plan: nobody is forgotten on or off duty for ever. */
export const LONGEST_COMMAND_MS: Milliseconds = minutes(7 * 24 * 60);

/** A command of duty as it was kept; `id` grows with each. */
export interface DutyRecord {
  readonly id: string;
  readonly account: string;
  readonly team: string;
  readonly command: DutyCommandName;
  readonly at: Instant;
  readonly until: Instant;
  readonly givenBy: string;
  /** Who was relieved by a `take-over`: it takes them off duty until the same time. */
  readonly from: string | null;
}

/** Somebody on duty for a team. */
export interface OnDuty extends Interval {
  readonly account: string;
  readonly team: string;
  readonly by: 'plan' | 'command';
}

/**
 * Who is on duty at `at`, by team and then by account. The newest command about a person and team decides until its
 * time is over; then, and without one, the plan does. An older command never comes back when a newer one is over.
 * @param commands any order; those that began after `at` count for nothing
 */
export function onDutyAt(plan: DutyPlan, commands: readonly DutyRecord[], at: Instant): OnDuty[] {
  const pairs = new Map<string, { account: string; team: string }>();
  const remember = (account: string, team: string): void => {
    pairs.set(JSON.stringify([team, account]), { account, team });
  };
  for (const { team, people } of plan.shifts) for (const account of people) remember(account, team);
  for (const { account, team } of commands) remember(account, team);
  return [...pairs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([, { account, team }]) => {
      const duty = dutyOf(plan, commands, account, team, at);
      return duty === null ? [] : [duty];
    });
}

function dutyOf(plan: DutyPlan, commands: readonly DutyRecord[], account: string, team: string, at: Instant): OnDuty | null {
  const planned = plannedAt(plan, account, team, at);
  const newest = newestAbout(commands, account, team, at);
  if (newest === null || newest.until <= at) return planned === null ? null : { account, team, ...planned, by: 'plan' };
  if (newest.command === 'off' || newest.account !== account) return null;
  const goesOn = planned !== null && (planned.until === null || planned.until > newest.until);
  const since = planned !== null && (planned.since === null || planned.since < newest.at) ? planned.since : newest.at;
  return { account, team, since, until: goesOn ? planned.until : newest.until, by: 'command' };
}

function newestAbout(commands: readonly DutyRecord[], account: string, team: string, at: Instant): DutyRecord | null {
  let newest: DutyRecord | null = null;
  for (const command of commands) {
    const concerns = command.team === team && (command.account === account || command.from === account);
    if (concerns && command.at <= at && (newest === null || BigInt(command.id) > BigInt(newest.id))) newest = command;
  }
  return newest;
}

/** Who can be asked right now: the roster, without accounts that do not exist or were disabled. */
export interface DutyRoll {
  readonly at: Instant;
  readonly onDuty: readonly OnDuty[];
  readonly staff: ReadonlyMap<string, Viewer>;
}

export function callTheRoll(
  plan: DutyPlan,
  known: { readonly commands: readonly DutyRecord[]; readonly staff: readonly Viewer[] },
  at: Instant,
): DutyRoll {
  const staff = new Map(known.staff.map((member) => [member.account, member]));
  return { at, staff, onDuty: onDutyAt(plan, known.commands, at).filter(({ account }) => staff.has(account)) };
}

/** Those of a team who are on duty and may be asked about that municipality. */
export function onDutyIn(roll: DutyRoll, team: Team, municipality: string): OnDuty[] {
  if (!team.municipalities.includes(municipality)) return [];
  return roll.onDuty.filter((duty) => {
    const member = roll.staff.get(duty.account);
    return duty.team === team.id && member !== undefined && servesMunicipality(member, municipality);
  });
}
