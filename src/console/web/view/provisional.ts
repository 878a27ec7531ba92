/** Provisional alarms as a console keeps and orders them: what came while the database was away, and what became of it. */
import type { AlarmPriority } from '../../../alarms/signal.ts';
import type { AlarmView } from '../../../alarms/view.ts';
import type { ShownProvisional } from '../../direct.ts';
import type { ProvisionalAlarmMessage, ProvisionalMessage, ProvisionalReplayedMessage } from '../../feed-messages.ts';

/** A claim of a provisional alarm that did not become a claim of the alarm, or of which that is not known (`code` null). */
export interface ClaimNotice {
  readonly number: string;
  /** As it was shown; null when it was not. */
  readonly was: ShownProvisional | null;
  readonly alarm: string | null;
  readonly code: string | null;
}

export interface ProvisionalState {
  readonly away: boolean;
  readonly since: string | null;
  readonly unheard: number;
  /** Technical ones that the centre left out. */
  readonly more: number;
  readonly alarms: ReadonlyMap<string, ShownProvisional>;
  /** The alarm that each became, of those that were replayed while this page was open; null: none. */
  readonly became: ReadonlyMap<string, string | null>;
  readonly names: ReadonlyMap<string, string>;
  readonly notices: readonly ClaimNotice[];
  /** How often the database came back: what could not be read before is read again then. */
  readonly returns: number;
}

const BECAME_KEPT = 2000;
const NOTICES_KEPT = 100;

export const NO_PROVISIONAL: ProvisionalState = {
  away: false,
  since: null,
  unheard: 0,
  more: 0,
  alarms: new Map(),
  became: new Map(),
  names: new Map(),
  notices: [],
  returns: 0,
};

export const isProvisional = (number: string): boolean => number.startsWith('F-');

function withNames(state: ProvisionalState, names: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  const entries = Object.entries(names);
  if (entries.every(([account, name]) => state.names.get(account) === name)) return state.names;
  return new Map([...state.names, ...entries]);
}

/** Takes one in, from the feed or from the answer to a claim; one that was replayed stays so. */
export function withProvisional(state: ProvisionalState, alarm: ShownProvisional): ProvisionalState {
  if (state.became.has(alarm.number)) return state;
  return { ...state, alarms: new Map([...state.alarms, [alarm.number, alarm]]) };
}

function withWhole(state: ProvisionalState, message: ProvisionalMessage): ProvisionalState {
  const { storeAway, since, unheard, more } = message;
  const alarms = message.alarms.filter(({ number }) => !state.became.has(number)).map((alarm) => [alarm.number, alarm] as const);
  const returns = state.away && !storeAway ? state.returns + 1 : state.returns;
  const shown = new Map(alarms);
  // Claimed, and gone without a word: the console process was another meanwhile. Technical ones may only have been left out.
  const silent = [...state.alarms.values()].filter(
    ({ number, claimedBy, priority }) => claimedBy !== null && !shown.has(number) && (more === 0 || priority !== 'technical'),
  );
  const notices = silent.reduce((before, was) => withNotice(before, { number: was.number, was, alarm: null, code: null }), state.notices);
  return { ...state, away: storeAway, since, unheard, more, alarms: shown, names: withNames(state, message.names), notices, returns };
}

const withNotice = (notices: readonly ClaimNotice[], notice: ClaimNotice): readonly ClaimNotice[] =>
  [...notices.filter(({ number }) => number !== notice.number), notice].slice(-NOTICES_KEPT);

function withReplayed(state: ProvisionalState, { number, alarm, claim }: ProvisionalReplayedMessage): ProvisionalState {
  const was = state.alarms.get(number) ?? null;
  const alarms = new Map(state.alarms);
  alarms.delete(number);
  const became = new Map(state.became).set(number, alarm);
  for (const oldest of became.keys()) {
    if (became.size <= BECAME_KEPT) break;
    became.delete(oldest);
  }
  const next = { ...state, alarms, became };
  if (claim?.result === 'done') return withoutNotice(next, number);
  if (claim === null && (was === null || was.claimedBy === null)) return next;
  return { ...next, notices: withNotice(state.notices, { number, was, alarm, code: claim?.code ?? null }) };
}

/** Folds one message in. */
export function withProvisionalMessage(
  state: ProvisionalState,
  message: ProvisionalMessage | ProvisionalAlarmMessage | ProvisionalReplayedMessage,
): ProvisionalState {
  switch (message.type) {
    case 'provisional':
      return withWhole(state, message);
    case 'provisional-alarm':
      return { ...withProvisional(state, message.alarm), names: withNames(state, message.names) };
    case 'provisional-replayed':
      return withReplayed(state, message);
  }
}

export const withoutNotice = (state: ProvisionalState, number: string): ProvisionalState => ({
  ...state,
  notices: state.notices.filter((notice) => notice.number !== number),
});

/** What this person must be told: refused claims, and those of which nobody knows, unless the alarm is theirs after all. */
export function noticesFor({ notices, alarms }: ProvisionalState, open: ReadonlyMap<string, AlarmView>, me: string): ClaimNotice[] {
  return notices.filter(({ number, code, was, alarm }) => {
    if (code !== null) return true;
    if (was?.claimedBy !== me || alarms.has(number)) return false;
    if (alarm !== null) return open.get(alarm)?.claimedBy !== me;
    // What it became is not known: a claimed alarm of theirs of that sort from the same place is it.
    const placeOf = ({ household, device }: Pick<AlarmView, 'household' | 'device'>): string => household?.id ?? device;
    const isOfItsSort = ({ priority }: Pick<AlarmView, 'priority'>): boolean =>
      (priority === 'technical') === (was.priority === 'technical');
    return ![...open.values()].some((one) => one.claimedBy === me && isOfItsSort(one) && placeOf(one) === placeOf(was));
  });
}

/** 0 asks for somebody, 1 is mine, 2 is in other hands. */
const pressing = ({ claimedBy }: ShownProvisional, me: string): number => (claimedBy === null ? 0 : claimedBy === me ? 1 : 2);

/** Those of one lane: which nobody has taken first, then the oldest; equal instants by number, so that rows never jump. */
export function provisionalRows(alarms: Iterable<ShownProvisional>, priority: AlarmPriority, me: string): ShownProvisional[] {
  return [...alarms]
    .filter((alarm) => alarm.priority === priority)
    .sort((a, b) => pressing(a, me) - pressing(b, me) || compare(a.receivedAt, b.receivedAt) || compare(a.number, b.number));
}
const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The one that came last of those that nobody has taken, technical ones apart. */
export function newestProvisional(alarms: Iterable<ShownProvisional>): ShownProvisional | null {
  let newest: ShownProvisional | null = null;
  for (const alarm of alarms) {
    if (alarm.priority === 'technical' || alarm.claimedBy !== null) continue;
    if (newest === null || alarm.receivedAt > newest.receivedAt) newest = alarm;
  }
  return newest;
}

/** Whether this person can claim it now, and why not. */
export type ClaimOffer =
  | { readonly can: true }
  | { readonly can: false; readonly why: 'mine' }
  | { readonly can: false; readonly why: 'lost' }
  | { readonly can: false; readonly why: 'taken'; readonly by: string };
export function claimOffer(alarm: ShownProvisional, me: string): ClaimOffer {
  if (alarm.claimedBy === me) return { can: false, why: 'mine' };
  if (alarm.claimedBy !== null) return { can: false, why: 'taken', by: alarm.claimedBy };
  return alarm.lost ? { can: false, why: 'lost' } : { can: true };
}
