/** The shape of a language: every word of the domain has a text, checked by the compiler. */
import type { State, Wait } from '../../../alarms/alarm.ts';
import type { AskFailure, Channel, ContactWay, Outcome, RefusalCode, Repaired, Role, Withdrawable } from '../../../alarms/command.ts';
import type { AlarmEvent, EventName, PriorityRule } from '../../../alarms/event.ts';
import type { Kind, Priority, SignalMark } from '../../../alarms/signal.ts';
import type { DutyRefusal } from '../../../escalation/duty-order.ts';
import type { Flag } from '../view/board.ts';
import type { ConsoleCommand } from '../view/commands.ts';
import type { Stage } from '../view/field.ts';
import type { Screen } from '../view/places.ts';
import type { CentreParts } from '../view/timeline.ts';

/** What an event's sentence may ask for: names of accounts, times as the reader has them. */
export interface Say {
  who(account: string): string;
  team(id: string): string;
  time(at: number): string;
  minutes(ms: number): number;
}

export type EventSentences = { readonly [E in EventName]: (event: Extract<AlarmEvent, { event: E }>, say: Say) => string };

/** Tables that must have a text for every member of a union. */
export interface WordTables {
  readonly kinds: Record<Kind, string>;
  readonly priorities: Record<Priority, string>;
  readonly states: Record<State, string>;
  /** What will happen when the wait runs out, read before a countdown. */
  readonly waits: Record<Wait, string>;
  /** What it meant that the wait ran out, for the timeline. */
  readonly waitsPassed: Record<Wait, string>;
  /** What the centre's own control found and mended. */
  readonly repairs: Record<Repaired, string>;
  readonly refusals: Record<RefusalCode, string>;
  readonly outcomes: Record<Outcome, string>;
  readonly dutyRefusals: Record<DutyRefusal, string>;
  readonly roles: Record<Role, string>;
  readonly contactWays: Record<ContactWay | 'override', string>;
  readonly askFailures: Record<AskFailure, string>;
  readonly marks: Record<SignalMark, string>;
  readonly priorityRules: Record<PriorityRule, string>;
  readonly withdrawables: Record<Withdrawable, string>;
  readonly channels: Record<Channel, string>;
  readonly flags: Record<Flag, string>;
  readonly commands: Record<ConsoleCommand, string>;
  readonly screens: Record<Screen, string>;
  readonly stages: Record<Stage, string>;
  readonly parts: CentreParts;
  readonly events: EventSentences;
}
