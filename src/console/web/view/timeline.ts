/** The timeline in plain words: when, who, and what was done and why. */
import type { Actor } from '../../../alarms/command.ts';
import type { AlarmEvent, EventName } from '../../../alarms/event.ts';
import type { TimelineView } from '../../../alarms/view.ts';
import { fromIso } from '../../../base/clock.ts';
import type { EventSentences, Say } from '../texts/words.ts';

export type Weight = 'alarm' | 'problem' | 'person' | 'routine';

/** What must catch the eye: signals, what went wrong, what people did, and what is only kept for the record. */
const WEIGHTS: Readonly<Record<EventName, Weight>> = {
  opened: 'alarm',
  repeated: 'alarm',
  'duplicate-received': 'routine',
  restored: 'alarm',
  'cancel-received': 'alarm',
  'presence-received': 'alarm',
  'call-received': 'alarm',
  claimed: 'person',
  'taken-over': 'person',
  released: 'person',
  'claim-interrupted': 'problem',
  seen: 'routine',
  'contact-confirmed': 'person',
  'contact-overridden': 'person',
  withdrawn: 'person',
  noted: 'person',
  dispatched: 'person',
  told: 'routine',
  'nobody-on-duty': 'problem',
  'all-declined': 'problem',
  'ladder-exhausted': 'problem',
  'ladder-restarted': 'problem',
  'ask-sent': 'routine',
  'ask-delivered': 'routine',
  'ask-failed': 'problem',
  accepted: 'person',
  declined: 'problem',
  arrived: 'person',
  reported: 'person',
  'deadline-passed': 'problem',
  repaired: 'problem',
  snoozed: 'person',
  closed: 'person',
};

export interface TimelineLine {
  readonly version: number;
  readonly at: number;
  /** When it was done, where that was earlier than when the centre heard of it. */
  readonly doneAt: number | null;
  readonly actor: string;
  readonly text: string;
  readonly weight: Weight;
}

export type CentreParts = Readonly<Record<Extract<Actor, { type: 'centre' }>['part'], string>>;

/** How many entries there are beside those that were given: they are numbered from one. */
export const entriesLeftOut = (timeline: readonly TimelineView[]): number =>
  Math.max(0, ...timeline.map(({ version }) => version)) - timeline.length;

/** One sentence per entry, the newest first. */
export function timelineLines(timeline: readonly TimelineView[], sentences: EventSentences, parts: CentreParts, say: Say): TimelineLine[] {
  return timeline.map((entry) => lineOf(entry, sentences, parts, say)).toSorted((a, b) => b.version - a.version);
}

function lineOf(
  { version, at, doneAt, actor, event }: TimelineView,
  sentences: EventSentences,
  parts: CentreParts,
  say: Say,
): TimelineLine {
  return {
    version,
    at: fromIso(at) ?? 0,
    doneAt: doneAt === null ? null : fromIso(doneAt),
    actor: actor.type === 'person' ? say.who(actor.account) : parts[actor.part],
    text: sentenceOf(event, sentences, say),
    weight: WEIGHTS[event.event] ?? 'routine',
  };
}

/** The sentence of an event; the bare name of one that this console does not know (a newer centre may have more). */
function sentenceOf(event: AlarmEvent, sentences: EventSentences, say: Say): string {
  const sentence = sentences[event.event] as ((event: AlarmEvent, say: Say) => string) | undefined;
  return sentence === undefined ? event.event : sentence(event, say);
}
