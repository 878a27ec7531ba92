/** Which alarms exist for whom: one rule, used by the board, the feed and the desk, with a twin in SQL (store/board.ts). */
import type { Role } from '../alarms/command.ts';

/** Who looks: the account as the session knows it. `municipalities` holds numbers, or '*' for all. */
export interface Viewer {
  readonly account: string;
  readonly roles: readonly Role[];
  readonly municipalities: readonly string[];
}

/** What of an alarm the rule looks at; an AlarmView has it all. */
export interface Audience {
  readonly municipality: string;
  readonly priority: string;
  /** Accounts that were asked to go and have not declined. */
  readonly asked: readonly string[];
  /** The account that accepted; null when nobody has. */
  readonly responder: string | null;
}

const EVERYWHERE = '*';

/** True when the viewer serves all municipalities. */
export const servesAll = (viewer: Pick<Viewer, 'municipalities'>): boolean => viewer.municipalities.includes(EVERYWHERE);

/** True for those who see every alarm of their municipalities, whatever becomes of it. */
export const seesWholeBoard = (viewer: Pick<Viewer, 'roles'>): boolean =>
  viewer.roles.includes('operator') || viewer.roles.includes('supervisor');

/**
 * Operators and supervisors see the alarms of their municipalities; responders of those the ones that they were asked
 * to go to (and have not declined) or accepted; technicians of those the technical ones. Whoever has several roles sees
 * what any of them sees. What is not seen does not exist: 404, absent from lists, feed and counts (interfaces.md).
 */
export function canSee(viewer: Viewer, alarm: Audience): boolean {
  if (!servesAll(viewer) && !viewer.municipalities.includes(alarm.municipality)) return false;
  if (seesWholeBoard(viewer)) return true;
  if (viewer.roles.includes('technician') && alarm.priority === 'technical') return true;
  return viewer.roles.includes('responder') && (alarm.responder === viewer.account || alarm.asked.includes(viewer.account));
}

/** The same for two viewers exactly when they see the same alarms: what is worked out for one serves the other. */
export function scopeOf(viewer: Viewer): string {
  const where = servesAll(viewer) ? EVERYWHERE : viewer.municipalities.toSorted().join(',');
  if (seesWholeBoard(viewer)) return `board:${where}`;
  const technician = viewer.roles.includes('technician') ? ':technical' : '';
  const responder = viewer.roles.includes('responder') ? `:asked:${viewer.account}` : '';
  return `part:${where}${technician}${responder}`;
}
