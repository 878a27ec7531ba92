/** The ladder, team and duty of the canary: built in, so that no configuration can make it ask, or miss, anybody. Pure. */
import { CANARY_ID, CANARY_MUNICIPALITY, CANARY_RESPONDER } from '../alarms/canary.ts';
import { minutes, seconds } from '../base/clock.ts';
import type { ChannelPlan, Escalation, Ladder, Team } from './ladder.ts';

const PAGE: ChannelPlan = { via: 'page', after: 0, afterForLife: 0 };

const TEAM: Team = {
  id: CANARY_ID,
  name: CANARY_ID,
  role: 'responder',
  municipalities: [CANARY_MUNICIPALITY],
  zones: null,
  helps: [],
  members: [CANARY_RESPONDER],
};

/** Short waits at its beginning, so that deadline, sweep, queue and page are used each time; long ones where only a fault leads. */
const LADDER: Ladder = {
  id: CANARY_ID,
  fits: { priorities: null, kinds: null, municipalities: [CANARY_MUNICIPALITY], zones: null },
  spans: {
    unclaimed: seconds(1),
    claimIdle: minutes(10),
    claimWarned: minutes(10),
    repeatUnseen: minutes(10),
    longOnSite: minutes(60),
    notClosed: minutes(60),
    ladderRestart: minutes(60),
    dayQueue: minutes(720),
    defaultEta: minutes(20),
  },
  rungs: [
    {
      name: CANARY_ID,
      mode: 'dispatch',
      to: [{ team: CANARY_ID, role: null, zone: null }],
      wait: minutes(10),
      channels: [PAGE],
    },
  ],
  dispatch: { wait: minutes(10), channels: [PAGE] },
};

/**
 * A centre's configuration with the canary in it. Its ladder is the first, for its municipality alone; its team serves no
 * other, and no other team serves it: nobody real is asked, whoever is on duty.
 */
export const withCanary = (escalation: Escalation): Escalation =>
  Object.freeze({
    zones: escalation.zones,
    teams: [TEAM, ...escalation.teams],
    plan: {
      ...escalation.plan,
      shifts: [{ id: CANARY_ID, team: CANARY_ID, people: [CANARY_RESPONDER], hours: null }, ...escalation.plan.shifts],
    },
    ladders: [LADDER, ...escalation.ladders],
  });
