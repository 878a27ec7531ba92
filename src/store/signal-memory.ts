/** What the store found of a batch's households and senders, kept true while its signals are admitted one after another. */
import type { Alarm } from '../alarms/alarm.ts';
import {
  type Admission,
  DUPLICATE_WINDOW_MS,
  DUPLICATE_WINDOW_WITHOUT_ID_MS,
  type Situation,
  laneOf,
  technicalKey,
} from '../alarms/correlate.ts';
import type { Signal } from '../alarms/signal.ts';
import { minutes } from '../base/clock.ts';
import type { ChangedAlarm } from './alarm-rows.ts';

export interface EarlierSignal {
  readonly source: string;
  readonly message_id: string | null;
  readonly digest: string;
  readonly at: number;
  readonly alarm: string | null;
  /** It came without the credentials that its sender must bring. */
  readonly unproven: boolean;
}

/** An id that came before, in messages with other bytes. */
export interface UsedId {
  readonly source: string;
  readonly message_id: string;
}

export interface AlarmRow {
  readonly fold: Alarm;
  readonly joining_key: string;
  readonly lane: string;
  readonly lane_key: string;
}

export interface ClosedRow {
  readonly joining_key: string;
  readonly number: string;
  readonly at: number;
}

/** For so long a message with credentials is taken for the one that came without them. */
const SAME_PRESS_MS = minutes(1);
const isUnproven = ({ marks }: Signal): boolean => marks.includes('unauthenticated');

/** A signal with what it is looked up by. */
export interface Prepared {
  readonly signal: Signal;
  readonly key: string;
  readonly digest: Buffer;
}

/** Answers what a signal meets, and learns what was made of it. */
export interface Memory {
  situationOf(one: Prepared): Situation;
  learn(one: Prepared, admission: Admission): void;
  changed(): ChangedAlarm[];
}

export function remember(
  earlier: readonly EarlierSignal[],
  used: readonly UsedId[],
  rows: readonly AlarmRow[],
  closedRows: readonly ClosedRow[],
): Memory {
  const messages = new Map<string, EarlierSignal>();
  const ids = new Set<string>();
  const open = new Map<string, Alarm>();
  const alarms = new Map<string, Alarm>();
  const changed = new Map<string, ChangedAlarm>();
  const places = new Map<string, { joiningKey: string; laneKey: string }>();
  const lastClosed = new Map(closedRows.map((row) => [row.joining_key, { number: row.number, at: row.at }]));

  // None of the parts holds a NUL (`storable`): no two can be taken for one.
  const messageKey = (source: string, id: string | null, digest: string): string => `${source}\0${id === null ? '' : `:${id}`}\0${digest}`;
  const idKey = (source: string, id: string): string => `${source}\0${id}`;
  const place = (key: string, lane: string, laneKey: string): string => `${key}\0${lane}\0${laneKey}`;

  function learnMessage(message: EarlierSignal): void {
    messages.set(messageKey(message.source, message.message_id, message.digest), message);
    if (message.message_id !== null) ids.add(idKey(message.source, message.message_id));
  }
  function learnAlarm(alarm: Alarm, key: string, laneKey: string): void {
    alarms.set(alarm.number, alarm);
    places.set(alarm.number, { joiningKey: key, laneKey });
    if (alarm.closed === null) open.set(place(key, alarm.lane, laneKey), alarm);
    else open.delete(place(key, alarm.lane, laneKey));
  }
  for (const message of earlier) learnMessage(message);
  for (const { source, message_id: id } of used) ids.add(idKey(source, id));
  for (const row of rows) learnAlarm(row.fold, row.joining_key, row.lane_key);

  /** Whoever guesses what a unit will send next, and sends it without proof before, must not make a duplicate of the real one. */
  function hides(earlier: EarlierSignal, signal: Signal): boolean {
    if (!earlier.unproven || isUnproven(signal)) return false;
    const alarm = earlier.alarm === null ? null : (alarms.get(earlier.alarm) ?? null);
    return alarm === null || alarm.closed !== null || signal.receivedAt - earlier.at > SAME_PRESS_MS;
  }

  return {
    situationOf({ signal, key, digest }) {
      const lane = laneOf(signal);
      const same = messages.get(messageKey(signal.source, signal.messageId, digest.toString('hex')));
      const window = signal.messageId === null ? DUPLICATE_WINDOW_WITHOUT_ID_MS : DUPLICATE_WINDOW_MS;
      const duplicate = same !== undefined && signal.receivedAt - same.at < window && !hides(same, signal) ? same : null;
      return {
        open: lane === null ? null : (open.get(place(key, lane.lane, lane.laneKey)) ?? null),
        openNeed: open.get(place(key, 'need', '')) ?? null,
        restorable: open.get(place(key, 'technical', technicalKey(signal))) ?? null,
        lastClosed: lastClosed.get(key) ?? null,
        duplicateOf: duplicate === null ? null : { alarm: duplicate.alarm === null ? null : (alarms.get(duplicate.alarm) ?? null) },
        idSeenBefore:
          signal.messageId !== null && ids.has(idKey(signal.source, signal.messageId)) && !(same !== undefined && hides(same, signal)),
      };
    },
    learn({ signal, key, digest }, { verdict, decided, alarm }) {
      if (verdict !== 'duplicate') {
        learnMessage({
          source: signal.source,
          message_id: signal.messageId,
          digest: digest.toString('hex'),
          at: signal.receivedAt,
          alarm,
          unproven: isUnproven(signal),
        });
      }
      if (decided === null) return;
      const before = places.get(decided.alarm.number);
      const where = before ?? { joiningKey: key, laneKey: laneOf(signal)?.laneKey ?? '' };
      learnAlarm(decided.alarm, where.joiningKey, where.laneKey);
      const entries = [...(changed.get(decided.alarm.number)?.entries ?? []), ...decided.entries];
      changed.set(decided.alarm.number, { alarm: decided.alarm, entries, ...where });
    },
    changed: () => [...changed.values()],
  };
}
