/** What a responder's phone keeps for when there is no network: who it is, the last cases, and acts not yet sent. */
import type { AlarmView } from '../../../alarms/view.ts';
import type { CardView, Centre, Duty, Session } from '../contract.ts';
import type { Acts } from '../view/acts.ts';

/** As much of localStorage as is needed. */
export interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

export interface KeptCase {
  readonly alarm: AlarmView;
  readonly card: CardView | null;
  /** RFC 3339. */
  readonly keptAt: string;
}

export interface Kept {
  readonly session: Session;
  readonly centre: Centre | null;
  readonly duty: Duty | null;
  readonly cases: readonly KeptCase[];
  readonly acts: Acts;
}

const KEY = 'responder';
/** Cases of a shift: more would be a register in a pocket. */
export const CASES_KEPT = 12;

/** What was kept, whoever it belongs to; null when there is nothing that can be read. */
export function readKept(storage: Storage): Kept | null {
  try {
    const text = storage.getItem(KEY);
    const kept = text === null ? null : (JSON.parse(text) as Partial<Kept> | null);
    if (kept === null || typeof kept.session?.account !== 'string') return null;
    return { session: kept.session, centre: kept.centre ?? null, duty: kept.duty ?? null, cases: kept.cases ?? [], acts: kept.acts ?? [] };
  } catch {
    return null;
  }
}

/** Keeps it; a full or forbidden store is no reason to stop working. @returns whether it was kept */
export function writeKept(storage: Storage, kept: Kept): boolean {
  try {
    storage.setItem(KEY, JSON.stringify(kept));
    return true;
  } catch {
    return false;
  }
}

/** Sign-out, or another account at the same phone: nothing may be left. */
export function wipeKept(storage: Storage): void {
  try {
    storage.removeItem(KEY);
  } catch {
    // A store that cannot be reached holds nothing of ours.
  }
}

const LEAVING = 'signing-out';

/** Somebody signed out without network: the session's cookie is out of a page's reach, and is ended at the next chance. */
export function markLeaving(storage: Storage, leaving: boolean): void {
  try {
    if (leaving) storage.setItem(LEAVING, '1');
    else storage.removeItem(LEAVING);
  } catch {
    // Then the session ends by its own time.
  }
}
export function isLeaving(storage: Storage): boolean {
  try {
    return storage.getItem(LEAVING) !== null;
  } catch {
    return false;
  }
}

/**
 * The cases to keep after the feed changed: open ones as they are now, and those that went out of sight as they were
 * last seen, the newest first.
 */
export function keepCases(
  kept: readonly KeptCase[],
  open: ReadonlyMap<string, AlarmView>,
  cards: ReadonlyMap<string, CardView>,
  now: string,
): KeptCase[] {
  const byNumber = new Map(kept.map((one) => [one.alarm.number, one]));
  for (const alarm of open.values()) {
    const before = byNumber.get(alarm.number);
    const card = cards.get(alarm.number) ?? before?.card ?? null;
    if (before !== undefined && before.alarm.version === alarm.version && before.card === card) continue;
    if (before !== undefined && before.alarm.version > alarm.version) continue;
    byNumber.set(alarm.number, { alarm, card, keptAt: now });
  }
  const rank = (one: KeptCase): number => (open.has(one.alarm.number) ? 0 : 1);
  return [...byNumber.values()]
    .sort((a, b) => rank(a) - rank(b) || (a.alarm.openedAt < b.alarm.openedAt ? 1 : a.alarm.openedAt > b.alarm.openedAt ? -1 : 0))
    .slice(0, CASES_KEPT);
}
