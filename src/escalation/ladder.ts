/** What the configuration says about escalation: zones, teams, shifts and ladders; and which ladder an alarm climbs. */
import { type Milliseconds, seconds } from '../base/clock.ts';
import type { WaitSpans } from '../alarms/alarm.ts';
import type { Channel } from '../alarms/command.ts';
import type { AlarmPriority, Kind } from '../alarms/signal.ts';

export const TEAM_ROLES = ['responder', 'supervisor', 'overflow'] as const;
/** What a team is for: `responder` goes, `supervisor` decides, `overflow` is told when nobody claims. */
export type TeamRole = (typeof TEAM_ROLES)[number];

export interface Zone {
  /** As staff call it and households have it; the only place name that ever stands in an SMS. */
  readonly name: string;
  readonly municipality: string;
}

export interface Team {
  readonly id: string;
  readonly name: string;
  readonly role: TeamRole;
  /** Municipality numbers; it is never asked about others. */
  readonly municipalities: readonly string[];
  /** Its own zones; null: all of its municipalities. */
  readonly zones: readonly string[] | null;
  /** Zones that it helps when their own team cannot. */
  readonly helps: readonly string[];
  /** Account names of those who may go on duty for it by themselves. */
  readonly members: readonly string[];
}

export const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'] as const;
export type Weekday = (typeof WEEKDAYS)[number];

/** A time of day on the wall. */
export interface LocalTime {
  readonly hour: number;
  readonly minute: number;
}

/** A line of the plan of duty. */
export interface Shift {
  readonly id: string;
  readonly team: string;
  readonly people: readonly string[];
  /** Null: always. `to` not after `from`: it ends on the next day. */
  readonly hours: { readonly days: readonly Weekday[]; readonly from: LocalTime; readonly to: LocalTime } | null;
}

export interface DutyPlan {
  /** IANA name; shifts are written in its wall time. */
  readonly timeZone: string;
  readonly shifts: readonly Shift[];
}

/** Whom a rung asks: a team, or whatever teams of a role serve the alarm's place. */
export interface Target {
  readonly team: string | null;
  readonly role: TeamRole | null;
  /** `own`: teams of the household's zone; `neighbour`: those that help it; null: any of the municipality. */
  readonly zone: 'own' | 'neighbour' | null;
}

/** How somebody is reached, and how long after the rung began. */
export interface ChannelPlan {
  readonly via: Channel;
  readonly after: Milliseconds;
  /** The same for an alarm of priority `life`. */
  readonly afterForLife: Milliseconds;
}

export interface Rung {
  readonly name: string;
  readonly mode: 'tell' | 'dispatch';
  readonly to: readonly Target[];
  readonly wait: Milliseconds;
  readonly channels: readonly ChannelPlan[];
}

export interface Ladder {
  readonly id: string;
  /** Null: all of them. */
  readonly fits: {
    readonly priorities: readonly AlarmPriority[] | null;
    readonly kinds: readonly Kind[] | null;
    readonly municipalities: readonly string[] | null;
    readonly zones: readonly string[] | null;
  };
  readonly spans: WaitSpans;
  readonly rungs: readonly Rung[];
  /** How an operator's own dispatch asks and waits. */
  readonly dispatch: { readonly wait: Milliseconds; readonly channels: readonly ChannelPlan[] };
}

/** Where and what an alarm is, as far as a ladder is chosen by it. */
export interface Case {
  readonly kind: Kind;
  readonly priority: AlarmPriority;
  readonly municipality: string;
  readonly zone: string | null;
}

/** The configuration of escalation, read once and frozen. */
export interface Escalation {
  readonly zones: readonly Zone[];
  readonly teams: readonly Team[];
  readonly plan: DutyPlan;
  readonly ladders: readonly Ladder[];
}

/** For a configuration whose ladders cover nothing of a case: the check refuses such a one, so this is never silent either. */
const NO_LADDER: Ladder = {
  id: 'none',
  fits: { priorities: null, kinds: null, municipalities: null, zones: null },
  spans: {
    unclaimed: seconds(60),
    claimIdle: seconds(180),
    claimWarned: seconds(60),
    repeatUnseen: seconds(60),
    longOnSite: seconds(3600),
    notClosed: seconds(900),
    ladderRestart: seconds(300),
    dayQueue: seconds(43_200),
    defaultEta: seconds(1200),
  },
  rungs: [],
  dispatch: { wait: seconds(60), channels: [{ via: 'page', after: 0, afterForLife: 0 }] },
};

const among = <T>(list: readonly T[] | null, value: T | null): boolean => list === null || (value !== null && list.includes(value));

export function fits(ladder: Ladder, { kind, priority, municipality, zone }: Case): boolean {
  const { priorities, kinds, municipalities, zones } = ladder.fits;
  return among(priorities, priority) && among(kinds, kind) && among(municipalities, municipality) && among(zones, zone);
}

/** The first ladder of the file that fits; intake copies its id and spans into `opened`. */
export const ladderFor = (escalation: Pick<Escalation, 'ladders'>, about: Case): Ladder =>
  escalation.ladders.find((ladder) => fits(ladder, about)) ?? NO_LADDER;

/** The ladder that an alarm began on; when the configuration has lost it, the one that would be chosen now. */
export const ladderOf = (escalation: Pick<Escalation, 'ladders'>, id: string, about: Case): Ladder =>
  escalation.ladders.find((ladder) => ladder.id === id) ?? ladderFor(escalation, about);

/** The zone that the configuration knows in that municipality; null for any other text that a register may hold. */
export const knownZone = (escalation: Pick<Escalation, 'zones'>, municipality: string, zone: string | null): string | null =>
  escalation.zones.find(({ name, municipality: of }) => name === zone && of === municipality)?.name ?? null;
