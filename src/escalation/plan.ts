/** The plan of the next rung: whom to ask and how, from the ladder, the place and those on duty. Pure. */
import type { Alarm } from '../alarms/alarm.ts';
import type { Recipient, RungPlan } from '../alarms/command.ts';
import { type ChannelPlan, type Escalation, knownZone, type Ladder, ladderOf, type Rung, type Target, type Team } from './ladder.ts';
import { type DutyRoll, onDutyIn } from './roster.ts';

/** What planning needs to know of an alarm; an `Alarm` and an `AlarmView` both do. */
export type Planned = Pick<Alarm, 'kind' | 'priority' | 'municipality' | 'ladder' | 'declined'> & {
  readonly household: { readonly zone: string } | null;
};

/** The household's zone, when the configuration knows it in that municipality; else null, and all its teams count as own. */
export const zoneOf = (escalation: Pick<Escalation, 'zones'>, { municipality, household }: Pick<Planned, 'municipality' | 'household'>) =>
  knownZone(escalation, municipality, household?.zone ?? null);

/** The teams that a target means for a place, in the order of the configuration. */
export function teamsOf(escalation: Pick<Escalation, 'teams'>, target: Target, municipality: string, zone: string | null): Team[] {
  return escalation.teams.filter((team) => {
    if (target.team === null ? team.role !== target.role : team.id !== target.team) return false;
    if (!team.municipalities.includes(municipality)) return false;
    const own = zone === null || team.zones === null || team.zones.includes(zone);
    if (target.zone === 'own') return own;
    return target.zone === 'neighbour' ? !own && team.helps.includes(zone) : true;
  });
}

/** A ladder's rungs that have any team for that place at all; the others (no neighbour there) are not climbed. */
export function rungsFor(escalation: Pick<Escalation, 'teams'>, ladder: Ladder, municipality: string, zone: string | null): Rung[] {
  return ladder.rungs.filter(({ to }) => to.some((target) => teamsOf(escalation, target, municipality, zone).length > 0));
}

/** How long after the rung each channel is used. */
export const channelsFor = (channels: readonly ChannelPlan[], priority: Alarm['priority']): Recipient['channels'] =>
  channels.map(({ via, after, afterForLife }) => ({ via, afterMs: priority === 'life' ? afterForLife : after }));

/**
 * The rung that an alarm climbs next. Nobody on duty there: a rung without recipients, which the timeline says and the
 * board shows in red. Who declined is not asked again in the first round; when the ladder begins anew, everybody is.
 */
export function planRung(escalation: Escalation, alarm: Planned, roll: DutyRoll): RungPlan {
  const { municipality, priority } = alarm;
  const zone = zoneOf(escalation, alarm);
  const ladder = ladderOf(escalation, alarm.ladder.id, { kind: alarm.kind, priority, municipality, zone });
  const rung = rungsFor(escalation, ladder, municipality, zone)[alarm.ladder.climbed];
  if (rung === undefined) return { step: 'exhausted' };
  const teams = unique(rung.to.flatMap((target) => teamsOf(escalation, target, municipality, zone)));
  const channels = channelsFor(rung.channels, priority);
  const passedOver = alarm.ladder.round === 0 ? alarm.declined : [];
  const recipients = recipientsIn(teams, municipality, channels, roll, passedOver);
  const asked = teams.filter(({ id }) => recipients.some(({ team }) => team === id));
  const to = (asked.length > 0 ? asked : teams).map(({ id }) => id).join(', ');
  // Why nobody is asked decides what the timeline says: that all have said no is not that nobody is there.
  const allDeclined = recipients.length === 0 && recipientsIn(teams, municipality, channels, roll).length > 0;
  return { step: 'rung', rung: rung.name, mode: rung.mode, to, recipients, waitMs: rung.wait, ...(allDeclined ? { allDeclined } : {}) };
}

/** Each person of the teams who is on duty, once, for the first team that they are there for. */
export function recipientsIn(
  teams: readonly Team[],
  municipality: string,
  channels: Recipient['channels'],
  roll: DutyRoll,
  passedOver: readonly string[] = [],
): Recipient[] {
  const recipients = new Map<string, Recipient>();
  for (const team of teams) {
    for (const { account } of onDutyIn(roll, team, municipality)) {
      if (!recipients.has(account) && !passedOver.includes(account)) recipients.set(account, { account, team: team.id, channels });
    }
  }
  return [...recipients.values()];
}

const unique = <T>(list: readonly T[]): T[] => [...new Set(list)];
