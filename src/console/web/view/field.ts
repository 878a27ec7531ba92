/** The responder's cases: how far each is, also with what the phone has queued and not yet sent. */
import type { AlarmView } from '../../../alarms/view.ts';
import type { OrderedCommand } from '../contract.ts';
import type { QueuedAct } from './acts.ts';
import type { FeedState } from './feed.ts';

/** `asked`: answer wanted; `taken`: somebody else accepted first; `reported`: done here, the operator closes. */
export const STAGES = ['asked', 'going', 'on-site', 'reported', 'taken', 'closed', 'left'] as const;
export type Stage = (typeof STAGES)[number];

/** How far the case is as the centre knows it. */
export function stageOf(alarm: AlarmView, me: string): Stage {
  if (alarm.state === 'closed') return 'closed';
  // A report ends the response: after it nobody is responding, until somebody is sent anew.
  if (alarm.report?.by === me && alarm.responder === null && alarm.dispatchedTo === null) return 'reported';
  if (alarm.responder === me) {
    return alarm.state === 'on-site' ? 'on-site' : 'going';
  }
  if (alarm.responder !== null) return 'taken';
  return alarm.asked.includes(me) ? 'asked' : 'left';
}

const AFTER: Partial<Record<OrderedCommand['command'], Stage>> = {
  accept: 'going',
  decline: 'left',
  arrive: 'on-site',
  report: 'reported',
};

/** How far the case is for the person who acted: what is still queued counts, what was refused does not. */
export function stageWithActs(alarm: AlarmView, me: string, acts: readonly QueuedAct[]): Stage {
  let stage = stageOf(alarm, me);
  if (stage === 'closed') return stage;
  for (const act of acts) {
    if (act.number === alarm.number && act.refused === null) stage = AFTER[act.command.command] ?? stage;
  }
  return stage;
}

/** A case wants attention most when it waits for an answer, then when it is under way. */
const ORDER: Readonly<Record<Stage, number>> = { 'on-site': 0, going: 1, asked: 2, taken: 3, reported: 4, left: 5, closed: 6 };
const URGENCY: Readonly<Record<AlarmView['priority'], number>> = { life: 0, urgent: 1, care: 2, technical: 3 };

/** Cases in the order of the phone page: a call to life before all, then what this person is doing, then what is asked. */
export function casesInOrder(alarms: Iterable<AlarmView>, me: string, acts: readonly QueuedAct[]): { alarm: AlarmView; stage: Stage }[] {
  const rank = ({ alarm, stage }: { alarm: AlarmView; stage: Stage }): number =>
    stage === 'asked' && alarm.priority === 'life' ? -1 : ORDER[stage];
  return [...alarms]
    .map((alarm) => ({ alarm, stage: stageWithActs(alarm, me, acts) }))
    .sort(
      (a, b) =>
        rank(a) - rank(b) ||
        URGENCY[a.alarm.priority] - URGENCY[b.alarm.priority] ||
        (a.alarm.openedAt < b.alarm.openedAt ? -1 : a.alarm.openedAt > b.alarm.openedAt ? 1 : 0),
    );
}

/**
 * The stage as far as the feed bears it out: a kept case that the living feed no longer holds was closed or given to
 * others. Without a feed the phone's memory is all there is, and stands.
 */
export function stageNow(alarm: AlarmView, stage: Stage, feed: FeedState): Stage {
  if (!feed.connected || feed.open.has(alarm.number)) return stage;
  if (stage === 'closed' || stage === 'left') return stage;
  return feed.gone.get(alarm.number)?.alarm?.state === 'closed' ? 'closed' : 'left';
}
