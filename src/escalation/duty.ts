/** Going on and off duty and taking over, who is on duty now, and whom an operator can send: what the doors of the centre ask. */
import { type Clock, type Instant, type Milliseconds, toIso } from '../base/clock.ts';
import type { Recipient } from '../alarms/command.ts';
import { servesMunicipality, type Viewer } from '../people/access.ts';
import { decideDuty, type DutyOrder, type DutyRefusal, inOrderOf, seesTeam } from './duty-order.ts';
import { type Escalation, ladderOf } from './ladder.ts';
import { channelsFor, planRung, type Planned, recipientsIn, zoneOf } from './plan.ts';
import { callTheRoll, type DutyRecord, type DutyRoll, LONGEST_COMMAND_MS, onDutyIn } from './roster.ts';

/** What the roster needs of the store; both throw CentreError store-away. */
export interface RosterStore {
  /** Commands that began after `since`, and all accounts that are not disabled. */
  known(since: Instant): Promise<{ readonly commands: readonly DutyRecord[]; readonly staff: readonly Viewer[] }>;
  /** Keeps commands, all or none; they decide at once, everywhere. */
  append(commands: readonly Omit<DutyRecord, 'id'>[]): Promise<void>;
}

export interface DutyView {
  /** Null for an account that belongs to no team. */
  readonly me: { readonly onDuty: boolean; readonly team: string | null; readonly until: string | null } | null;
  readonly teams: readonly {
    readonly id: string;
    readonly name: string;
    readonly onDuty: readonly {
      readonly account: string;
      readonly name: string;
      readonly since: string | null;
      readonly until: string | null;
    }[];
  }[];
}

/** `last-on-duty`: it was done, but now nobody of that team is on duty. */
export type DutyAnswer = { readonly view: DutyView; readonly warning: 'last-on-duty' | null } | { readonly refused: DutyRefusal };

export interface DispatchTarget {
  readonly to: string;
  readonly name: string;
  readonly kind: 'team' | 'person';
  /** How many would be asked. */
  readonly onDuty: number;
  /** What the ladder would ask first. */
  readonly proposed: boolean;
}

export type DispatchTo =
  | { readonly recipients: readonly Recipient[]; readonly waitMs: Milliseconds }
  | { readonly refused: 'unknown-recipient' | 'nobody-on-duty' };

export interface Duty {
  /** The roster as an account sees it: teams of municipalities that it serves. @throws CentreError store-away */
  view(viewer: Viewer): Promise<DutyView>;
  /** @throws CentreError store-away */
  order(viewer: Viewer, order: DutyOrder): Promise<DutyAnswer>;
  /** Whom an alarm can be sent to. @throws CentreError store-away */
  dispatchTargets(alarm: Planned): Promise<{ readonly targets: readonly DispatchTarget[] }>;
  /** Turns `dispatch {to}` (a team's id or an account) into recipients. @throws CentreError store-away */
  resolveDispatch(to: string, alarm: Planned): Promise<DispatchTo>;
  /** Who is on duty now, for planning rungs. @throws CentreError store-away */
  roll(): Promise<DutyRoll>;
}

export function createDuty({ escalation, store, clock }: { escalation: Escalation; store: RosterStore; clock: Clock }): Duty {
  const { teams, plan } = escalation;

  async function roll(): Promise<DutyRoll> {
    const now = clock.now();
    return callTheRoll(plan, await store.known(now - LONGEST_COMMAND_MS), now);
  }

  return {
    roll,
    view: async (viewer) => viewOfDuty(escalation, await roll(), viewer),
    async order(viewer, order) {
      const before = await roll();
      const decided = decideDuty(escalation, before, viewer, order);
      if ('refused' in decided) return decided;
      await store.append(decided.records);
      const after = await roll();
      const left = decided.records.some(({ team, command }) => command === 'off' && !after.onDuty.some((duty) => duty.team === team));
      return { view: viewOfDuty(escalation, after, viewer), warning: left ? 'last-on-duty' : null };
    },
    async dispatchTargets(alarm) {
      const now = await roll();
      const proposed = firstDispatch(escalation, alarm, now);
      const targets = teams
        .filter((team) => team.municipalities.includes(alarm.municipality) && team.role !== 'overflow')
        .flatMap((team) => {
          const there = onDutyIn(now, team, alarm.municipality);
          const people = there.map(({ account }): DispatchTarget => ({
            to: account,
            name: now.staff.get(account)?.name ?? account,
            kind: 'person',
            onDuty: 1,
            proposed: false,
          }));
          return [{ to: team.id, name: team.name, kind: 'team' as const, onDuty: there.length, proposed: proposed === team.id }, ...people];
        });
      return { targets: targets.filter(({ to, kind }, i) => targets.findIndex((other) => other.to === to && other.kind === kind) === i) };
    },
    async resolveDispatch(to, alarm) {
      const now = await roll();
      const { dispatch } = ladderOf(escalation, alarm.ladder.id, { ...alarm, zone: zoneOf(escalation, alarm) });
      const channels = channelsFor(dispatch.channels, alarm.priority);
      const team = teams.find(({ id }) => id === to);
      if (team !== undefined) {
        if (!team.municipalities.includes(alarm.municipality)) return { refused: 'unknown-recipient' };
        return answer(recipientsIn([team], alarm.municipality, channels, now));
      }
      const member = now.staff.get(to);
      const theirs = teams.filter(
        ({ id, members }) => members.includes(to) || now.onDuty.some((duty) => duty.account === to && duty.team === id),
      );
      if (member === undefined || theirs.length === 0 || !servesMunicipality(member, alarm.municipality))
        return { refused: 'unknown-recipient' };
      return answer(recipientsIn(theirs, alarm.municipality, channels, now).filter(({ account }) => account === to));

      function answer(recipients: Recipient[]): DispatchTo {
        return recipients.length === 0 ? { refused: 'nobody-on-duty' } : { recipients, waitMs: dispatch.wait };
      }
    },
  };
}

/** The team that the ladder's next rung that sends somebody would ask, when anybody is there. */
function firstDispatch(escalation: Escalation, alarm: Planned, now: DutyRoll): string | null {
  for (let climbed = 0; ; climbed++) {
    const rung = planRung(escalation, { ...alarm, ladder: { ...alarm.ladder, climbed } }, now);
    if (rung.step === 'exhausted') return null;
    if (rung.mode === 'dispatch' && rung.recipients.length > 0) return rung.recipients[0]?.team ?? null;
  }
}

const isoOrNull = (at: Instant | null): string | null => (at === null ? null : toIso(at));

export function viewOfDuty({ teams }: Pick<Escalation, 'teams'>, { onDuty, staff }: DutyRoll, viewer: Viewer): DutyView {
  const mine = inOrderOf(
    teams,
    onDuty.filter(({ account }) => account === viewer.account),
  );
  const [first] = mine;
  const belongs = first !== undefined || teams.some(({ members }) => members.includes(viewer.account));
  return {
    me: belongs ? { onDuty: first !== undefined, team: first?.team ?? null, until: isoOrNull(first?.until ?? null) } : null,
    teams: teams
      .filter((team) => seesTeam(viewer, team))
      .map(({ id, name }) => ({
        id,
        name,
        onDuty: onDuty
          .filter(({ team }) => team === id)
          .map(({ account, since, until }) => ({
            account,
            name: staff.get(account)?.name ?? account,
            since: isoOrNull(since),
            until: isoOrNull(until),
          })),
      })),
  };
}
