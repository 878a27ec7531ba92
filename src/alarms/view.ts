/** The alarm as consoles and other systems see it (interfaces.md, AlarmView): plain JSON, instants in RFC 3339. */
import { toIso } from '../base/clock.ts';
import { type Alarm, type Attention, type LadderPosition, type State, type Wait, deadlineOf, needsContact, stateOf } from './alarm.ts';
import type { TimelineEntry } from './event.ts';
import type { AlarmPriority, Kind, Position } from './signal.ts';

export interface PositionView {
  readonly lat: number;
  readonly lon: number;
  readonly accuracy?: number;
  readonly at?: string;
}

export interface AlarmView {
  readonly number: string;
  readonly version: number;
  readonly municipality: string;
  readonly device: string;
  readonly trigger: string;
  readonly signalCount: number;
  readonly duplicateCount: number;
  readonly state: State;
  readonly priority: AlarmPriority;
  readonly kind: Kind;
  readonly household: { readonly id: string; readonly name: string; readonly zone: string } | null;
  readonly openedAt: string;
  readonly lastSignalAt: string;
  /** The version that the last signal made: a caller whose version is lower is `overtaken` when it closes. */
  readonly lastSignalVersion: number;
  readonly claimedBy: string | null;
  readonly claimedAt: string | null;
  readonly contact: { readonly by: string; readonly at: string; readonly how: string } | null;
  /** False: closing will be refused with `no-confirmed-contact`. */
  readonly closable: boolean;
  readonly dispatchedTo: string | null;
  readonly responder: string | null;
  readonly etaAt: string | null;
  readonly asked: readonly string[];
  readonly declined: readonly string[];
  readonly nextDeadline: { readonly at: string; readonly what: Wait } | null;
  readonly ladder: LadderPosition;
  readonly attention: Attention;
  readonly position: PositionView | null;
  readonly voice: string | null;
  readonly text: string | null;
  readonly restoredAt: string | null;
  readonly cancelledAt: string | null;
  readonly report: { readonly by: string; readonly at: string; readonly outcome: string } | null;
  readonly follows: string | null;
  readonly unreadable: boolean;
  readonly unknownDevice: boolean;
  readonly closedAt: string | null;
  readonly closedBy: string | null;
  readonly outcome: string | null;
}

const isoOrNull = (at: number | null): string | null => (at === null ? null : toIso(at));

function positionView({ at, ...where }: Position): PositionView {
  return { ...where, ...(at === undefined ? {} : { at: toIso(at) }) };
}

export function viewOf(alarm: Alarm): AlarmView {
  const deadline = deadlineOf(alarm);
  return {
    number: alarm.number,
    version: alarm.version,
    municipality: alarm.municipality,
    device: alarm.device,
    trigger: alarm.trigger,
    signalCount: alarm.signalCount,
    duplicateCount: alarm.duplicateCount,
    state: stateOf(alarm),
    priority: alarm.priority,
    kind: alarm.kind,
    household: alarm.household,
    openedAt: toIso(alarm.openedAt),
    lastSignalAt: toIso(alarm.lastSignalAt),
    lastSignalVersion: alarm.lastSignalVersion,
    claimedBy: alarm.claim?.by ?? null,
    claimedAt: isoOrNull(alarm.claim?.at ?? null),
    contact: alarm.contact === null ? null : { ...alarm.contact, at: toIso(alarm.contact.at) },
    closable: alarm.contact !== null || !needsContact(alarm),
    dispatchedTo: alarm.response.to,
    responder: alarm.response.by,
    etaAt: isoOrNull(alarm.response.etaAt),
    asked: alarm.asked,
    declined: alarm.declined,
    nextDeadline: deadline === null ? null : { at: toIso(deadline.at), what: deadline.what },
    ladder: alarm.ladder,
    attention: alarm.attention,
    position: alarm.position === null ? null : positionView(alarm.position),
    voice: alarm.voice,
    text: alarm.text,
    restoredAt: isoOrNull(alarm.restoredAt),
    cancelledAt: isoOrNull(alarm.cancelledAt),
    report: alarm.report === null ? null : { ...alarm.report, at: toIso(alarm.report.at) },
    follows: alarm.follows,
    unreadable: alarm.kind === 'unreadable',
    unknownDevice: alarm.household === null,
    closedAt: isoOrNull(alarm.closed?.at ?? null),
    closedBy: alarm.closed?.by ?? null,
    outcome: alarm.closed?.outcome ?? null,
  };
}

/** A timeline row on the wire; `event` is as in `AlarmEvent`, with its instants as numbers of milliseconds. */
export interface TimelineView extends Omit<TimelineEntry, 'at' | 'doneAt' | 'arms'> {
  readonly at: string;
  readonly doneAt: string | null;
  readonly deadlines: Readonly<Partial<Record<Wait, string | null>>>;
}

export function timelineViewOf(entry: TimelineEntry): TimelineView {
  const deadlines = Object.fromEntries(Object.entries(entry.arms).map(([what, at]) => [what, isoOrNull(at)]));
  return {
    version: entry.version,
    at: toIso(entry.at),
    doneAt: isoOrNull(entry.doneAt),
    actor: entry.actor,
    event: entry.event,
    deadlines,
  };
}
