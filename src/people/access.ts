/** Who may see which alarm and order what: roles and municipalities, as pure rules that every door of the centre asks. */
import type { Alarm } from '../alarms/alarm.ts';
import { CANARY_MUNICIPALITY } from '../alarms/canary.ts';
import type { PersonCommand, Role } from '../alarms/command.ts';
import type { AlarmPriority } from '../alarms/signal.ts';
import type { AlarmView } from '../alarms/view.ts';
import { type Instant, type Milliseconds, fromIso, minutes } from '../base/clock.ts';

/** Stands in an account's municipalities for all of them, the reserved one of the canary left out: that is nobody's (ADR 17). */
export const ALL_MUNICIPALITIES = '*';

/** A signed-in person, as far as rights go. */
export interface Viewer {
  readonly account: string;
  /** For screens; never for logs. */
  readonly name: string;
  readonly roles: readonly Role[];
  /** Municipality numbers, or `*` for all. */
  readonly municipalities: readonly string[];
}

/** What of an alarm decides who sees it. */
export interface Sighting {
  readonly municipality: string;
  readonly priority: AlarmPriority;
  readonly asked: readonly string[];
  readonly responder: string | null;
  readonly closedAt: Instant | null;
}

/** How long a responder still sees a case that was closed: the phone keeps its last cases, and the report may be late. */
export const RESPONDER_KEEPS: Milliseconds = minutes(24 * 60);

export const servesMunicipality = ({ municipalities }: Pick<Viewer, 'municipalities'>, municipality: string): boolean =>
  (municipalities.includes(ALL_MUNICIPALITIES) && municipality !== CANARY_MUNICIPALITY) || municipalities.includes(municipality);

/** Whether two people may know of each other: they serve a municipality in common. The canary's accounts are known to nobody. */
export const servesWith = (viewer: Pick<Viewer, 'municipalities'>, other: Pick<Viewer, 'municipalities'>): boolean =>
  other.municipalities.some((one) =>
    one === ALL_MUNICIPALITIES ? viewer.municipalities.some((own) => own !== CANARY_MUNICIPALITY) : servesMunicipality(viewer, one),
  );

const has = ({ roles }: Pick<Viewer, 'roles'>, ...wanted: readonly Role[]): boolean => wanted.some((role) => roles.includes(role));

/**
 * The role through which a viewer sees an alarm; null: for this viewer there is no such alarm. What is written down
 * when a resident's card is opened.
 */
export function sightOf(viewer: Viewer, alarm: Sighting, now: Instant): Role | null {
  if (!servesMunicipality(viewer, alarm.municipality)) return null;
  if (has(viewer, 'operator')) return 'operator';
  if (has(viewer, 'supervisor')) return 'supervisor';
  const asked = alarm.asked.includes(viewer.account) || alarm.responder === viewer.account;
  const fresh = alarm.closedAt === null || now - alarm.closedAt < RESPONDER_KEEPS;
  if (has(viewer, 'responder') && asked && fresh) return 'responder';
  if (has(viewer, 'technician') && alarm.priority === 'technical') return 'technician';
  return null;
}

export const sightingOf = (alarm: Alarm): Sighting => ({
  municipality: alarm.municipality,
  priority: alarm.priority,
  asked: alarm.asked,
  responder: alarm.response.by,
  closedAt: alarm.closed?.at ?? null,
});

/** Whether an alarm as the desk holds it exists for this viewer. */
export const seesAlarm = (viewer: Viewer, alarm: Alarm, now: Instant): boolean => sightOf(viewer, sightingOf(alarm), now) !== null;

/** The same of an alarm as it goes out to consoles, for the feed and the board. */
export function seesView(viewer: Viewer, view: AlarmView, now: Instant): boolean {
  const closedAt = view.closedAt === null ? null : fromIso(view.closedAt);
  return sightOf(viewer, { ...view, closedAt }, now) !== null;
}

/** A viewer's sight as a condition that a store can search by; the parts are joined by "or" within the municipalities. */
export interface Scope {
  /** Null: all but the reserved one of the canary. */
  readonly municipalities: readonly string[] | null;
  readonly everything: boolean;
  readonly technical: boolean;
  /** Alarms that this account was asked to go to or accepted, the closed ones since `closedSince`. */
  readonly askedAccount: string | null;
  readonly closedSince: Instant;
}

/** The search condition that agrees with `sightOf` (a test holds the two against each other). */
export function scopeOf(viewer: Viewer, now: Instant): Scope {
  return {
    municipalities: viewer.municipalities.includes(ALL_MUNICIPALITIES) ? null : viewer.municipalities,
    everything: has(viewer, 'operator', 'supervisor'),
    technical: has(viewer, 'technician'),
    askedAccount: has(viewer, 'responder') ? viewer.account : null,
    closedSince: now - RESPONDER_KEEPS,
  };
}

type Ordered = PersonCommand['command'];

const OPERATORS: readonly Ordered[] = ['claim', 'release', 'see', 'confirm-contact', 'note', 'dispatch', 'close', 'snooze', 'withdraw'];

/** Who may give which command. What the state of the alarm forbids is the lifecycle's business. */
export const COMMANDS_OF: Readonly<Record<Role, readonly Ordered[]>> = {
  operator: OPERATORS,
  supervisor: [...OPERATORS, 'take-over', 'override-contact'],
  responder: ['accept', 'decline', 'arrive', 'report', 'note', 'withdraw'],
  // The day queue is theirs; they see nothing but technical alarms.
  technician: ['claim', 'release', 'see', 'note', 'close', 'snooze'],
};

export const mayOrder = (roles: readonly Role[], command: Ordered): boolean => roles.some((role) => COMMANDS_OF[role].includes(command));
