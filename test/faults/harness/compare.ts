/** Compares the ledger with the truth: what was lost, doubled, forgotten or told twice. Pure, so that it can be tried with planted faults. */
import type { SmsMessage } from '../../../simulators/sms-message.ts';
import { RUNGS } from './configuration.ts';
import type { Ledger } from './ledger.ts';
import { type Steps, byAlarm, judgeSteps } from './steps.ts';
import type { Truth } from './truth.ts';

export interface Books {
  readonly acknowledged: number;
  /** Acknowledged, and not in PostgreSQL or not in an alarm. */
  readonly lost: readonly string[];
  /** Two open alarms of one device's need (each device here has a household of its own), or of one joining key. */
  readonly doubledAlarms: readonly string[];
  /** A message that counts twice. */
  readonly doubledMessages: readonly string[];
  readonly steps: Steps;
  /** People who were to be told by SMS, by now. */
  readonly asks: number;
  readonly notTold: readonly string[];
  /** The same ask at the gateway more than once, by the same reference or another. */
  readonly toldTwice: readonly string[];
  /** Those of them that a gateway which knows its references (docs/escalation.md) passed on twice. */
  readonly heardTwice: readonly string[];
  /** Answered 200, and not in the timeline, or there twice. */
  readonly lostOrders: readonly string[];
  readonly outbox: number;
}

export interface Period {
  /** Place in the ledger, and wall clock, at which it begins. */
  readonly entry: number;
  readonly since: number;
  /** What fell due this long before the truth was read must have been done. */
  readonly graceMs: number;
}

/** About anything but life a person gets one gathered message a minute (design § 2, Waits). */
const GATHERED_MS = 60_000;

/** @param messages what the gateway took, all of them */
export function compare(ledger: Ledger, truth: Truth, messages: readonly SmsMessage[], period: Period): Books {
  const { entry, since, graceMs } = period;
  const dueBefore = truth.readAt - graceMs;
  const closed = new Set(truth.alarms.filter((alarm) => alarm.closed).map(({ number }) => number));
  return {
    ...signals(ledger, truth, entry),
    doubledAlarms: doubledAlarms(truth),
    steps: judgeSteps(truth.timeline, {
      rungs: RUNGS,
      since,
      dueBefore,
      storeAway: ledger.storeAway(truth.readAt),
      closed,
    }),
    ...told(truth, messages, period, dueBefore),
    lostOrders: lostOrders(ledger, truth, entry),
    outbox: truth.outbox,
  };
}

/** True when nothing is wrong, and nothing is left to wait for. */
export const balanced = (books: Books): boolean =>
  books.lost.length + books.doubledAlarms.length + books.doubledMessages.length + books.steps.missing.length === 0 &&
  books.steps.doubled.length + books.notTold.length + books.lostOrders.length + books.outbox === 0;

/** Whether all that was ever acknowledged is there, once. @param rows of all times */
export function wholeRun(ledger: Ledger, rows: Truth['signals']): string[] {
  // The canary's ids begin anew with its process.
  const units = new Set(ledger.of('acknowledged').map(({ unit }) => unit));
  const ours = rows.filter(({ source }) => units.has(unitOf(source)));
  const { lost, doubledMessages } = signals(ledger, { signals: ours, alarms: [] }, 0);
  return [...lost.map((one) => `lost: ${one}`), ...doubledMessages.map((one) => `doubled message: ${one}`)];
}

/** Sources are `mqtt:F-1` and `scaip:7001`. */
const unitOf = (source: string): string => source.replace(/^\w+:/, '');

function signals(
  ledger: Ledger,
  { signals: rows, alarms }: Pick<Truth, 'signals' | 'alarms'>,
  entry: number,
): Pick<Books, 'acknowledged' | 'lost' | 'doubledMessages'> {
  const counted = new Map<string, number>();
  const kept = new Set<string>();
  // Everything that is sent here is a call for help: one that is only kept, without an alarm, is lost.
  for (const { source, message_id: id, verdict, alarm } of rows) {
    const key = `${unitOf(source)} ${id ?? ''}`;
    if (verdict === 'duplicate') continue;
    if (alarm !== null) kept.add(key);
    // What says no id of its own is told from another by its bytes and its time alone.
    if (id !== null) counted.set(key, (counted.get(key) ?? 0) + 1);
  }
  const acknowledged = new Set(ledger.of('acknowledged', entry).map(({ unit, id }) => `${unit} ${id}`));
  return {
    acknowledged: acknowledged.size,
    lost: [
      ...[...acknowledged].filter((key) => !kept.has(key)),
      ...alarms.filter((alarm) => alarm.signals === 0).map(({ number }) => `alarm ${number} without a signal`),
    ],
    doubledMessages: [...counted].filter(([, count]) => count > 1).map(([key, count]) => `${key}: ${count} times`),
  };
}

/** By the device first: two of one joining key are what an index forbids, but a device may be joined by a wrong one. */
function doubledAlarms({ alarms }: Truth): string[] {
  const open = new Map<string, string[]>();
  for (const { device, joining_key: joining, lane, lane_key: laneKey, number, closed } of alarms) {
    if (closed) continue;
    const key = `${device === '' ? joining : device} ${lane} ${laneKey}`;
    open.set(key, [...(open.get(key) ?? []), number]);
  }
  return [...open].filter(([, numbers]) => numbers.length > 1).map(([key, numbers]) => `${key}: ${numbers.join(', ')}`);
}

/** Everybody whom the timeline names with an SMS has one at the gateway. */
function told(
  { timeline, asks, phones }: Truth,
  messages: readonly SmsMessage[],
  { since, graceMs }: Period,
  dueBefore: number,
): Pick<Books, 'asks' | 'notTold' | 'toldTwice' | 'heardTwice'> {
  // What was not due yet when the period before was judged is nobody else's.
  const from = since - 2 * graceMs;
  const byId = new Map(messages.map((message) => [message.id, message]));
  const rows = new Map(asks.map((ask) => [ask.id, ask]));
  const notTold: string[] = [];
  const endings = endingsIn(timeline);
  let due = 0;
  for (const { alarm, version, at, event } of timeline) {
    if (at < from) continue;
    for (const { account, asks: named } of event.recipients ?? []) {
      // Who has no telephone cannot be told by it; the timeline says so.
      for (const { id } of named.filter(({ channel }) => channel === 'sms' && (phones[account] ?? '') !== '')) {
        const ask = rows.get(id);
        const by = ask === undefined || ask.life ? dueBefore : dueBefore - GATHERED_MS;
        if (ask !== undefined && ask.due_at > by) continue;
        const needless = endings.get(alarm)?.some((end) => end.version > version && (end.account === null || end.account === account));
        if (ask?.state === 'withdrawn' && needless === true) continue;
        if (at >= since) due += 1;
        const message = byId.get(ask?.provider_id ?? '');
        const fine = ask !== undefined && (ask.state === 'sent' || ask.state === 'delivered') && message?.to === phones[account];
        if (!fine) notTold.push(`${account} about ${alarm} (${ask?.state ?? 'no ask'})`);
      }
    }
  }
  return { asks: due, notTold, ...twice(asks, messages, phones, since, dueBefore) };
}

/** Why nobody need be asked any more: somebody has taken the alarm, or it is over; who declined is not asked again. */
function endingsIn(timeline: Truth['timeline']): Map<string, { version: number; account: string | null }[]> {
  const endings = new Map<string, { version: number; account: string | null }[]>();
  for (const { alarm, version, account, event } of timeline) {
    if (!['accepted', 'closed', 'claimed', 'declined'].includes(event.event)) continue;
    endings.set(alarm, [...(endings.get(alarm) ?? []), { version, account: event.event === 'declined' ? account : null }]);
  }
  return endings;
}

/** A reference that was posted more than once, and what a person got about an alarm beyond the asks that there were. */
function twice(
  asks: Truth['asks'],
  messages: readonly SmsMessage[],
  phones: Truth['phones'],
  since: number,
  dueBefore: number,
): Pick<Books, 'toldTwice' | 'heardTwice'> {
  const asked = new Map<string, { count: number; pending: boolean }>();
  for (const { alarm, account, channel, state } of asks) {
    if (channel !== 'sms') continue;
    const key = `${phones[account] ?? ''} ${alarm}`;
    const before = asked.get(key) ?? { count: 0, pending: false };
    asked.set(key, { count: before.count + 1, pending: before.pending || state === 'pending' });
  }
  const got = new Map<string, number>();
  const posted: string[] = [];
  const heard: string[] = [];
  for (const { to, text, posted: times, acceptedAt } of messages) {
    const alarm = /Alarm (\d+)/.exec(text)?.[1] ?? '';
    const key = `${to} ${alarm}`;
    got.set(key, (got.get(key) ?? 0) + 1);
    const known = asked.get(key);
    if (acceptedAt < since || acceptedAt >= dueBefore || known === undefined || known.pending) continue;
    if (times > 1) posted.push(`alarm ${alarm}: posted ${times} times`);
    if ((got.get(key) ?? 0) > known.count) heard.push(`alarm ${alarm}: ${got.get(key)} messages for ${known.count} asks`);
  }
  return { toldTwice: [...posted, ...heard], heardTwice: heard };
}

function lostOrders(ledger: Ledger, { timeline }: Truth, entry: number): string[] {
  const events = new Map<string, TimelineOf>();
  for (const rows of byAlarm(timeline)) {
    for (const { alarm, account, event } of rows) {
      const key = `${alarm} ${account ?? ''} ${event.event}`;
      const of = events.get(key) ?? { count: 0, texts: [] };
      of.count += 1;
      if (event.text !== undefined) of.texts.push(event.text);
      events.set(key, of);
    }
  }
  return ledger.of('ordered', entry).flatMap(({ alarm, account, event, text }) => {
    const found = events.get(`${alarm} ${account} ${event}`);
    const times = text === null ? (found?.count ?? 0) : (found?.texts.filter((one) => one === text).length ?? 0);
    if (times === 0) return [`${event} by ${account} on ${alarm}`];
    return text !== null && times > 1 ? [`${event} by ${account} on ${alarm}: ${times} times`] : [];
  });
}

interface TimelineOf {
  count: number;
  readonly texts: string[];
}
