/** The outage of an area: how soon life alarms are on a console among ten thousand technical ones, and what stood before them where. */
import { RunningClock } from '../src/base/clock.ts';
import type { SmsGateway } from '../simulators/sms-gateway.ts';
import type { Centre } from './centre.ts';
import { type Fact, type Figure, figureOf } from './figures.ts';
import { runJob } from './job.ts';
import type { OutageJob, OutageResult, Span } from './jobs/outage.ts';
import { cpuOf } from './machine.ts';
import { comparedWith, emptied } from './offer.ts';
import { LARGEST_PAGE, type Plan } from './plan.ts';
import { fillOutage } from './register.ts';

const clock = new RunningClock();

/** One signal that the centre has kept, as far as the order of what waits goes. */
export interface Kept {
  readonly alarm: string;
  readonly life: boolean;
  /** When the centre received it, in ms. */
  readonly receivedAt: number;
  /** Of the transaction that keeps it: given when it begins to write. */
  readonly transaction: number;
}

/** What is received within so many ms of one another has no order. */
const SAME_MS = 2;

/**
 * Life signals that waited while a transaction with technical ones began: that transaction has something that was received
 * later than they were, and it began, and was put together, before theirs (of two that run side by side neither stands before
 * the other).
 */
export function behindTechnical(kept: readonly Kept[]): number {
  const transactions = new Map<number, { newest: number; technical: boolean }>();
  for (const { transaction, receivedAt, life } of kept) {
    const one = transactions.get(transaction) ?? { newest: receivedAt, technical: false };
    transactions.set(transaction, { newest: Math.max(one.newest, receivedAt), technical: one.technical || !life });
  }
  const technical = [...transactions].filter(([, one]) => one.technical);
  return kept.filter(({ life, receivedAt, transaction }) => {
    const own = transactions.get(transaction)?.newest ?? 0;
    return life && technical.some(([id, { newest }]) => id < transaction && newest > receivedAt + SAME_MS && newest < own);
  }).length;
}

/** Life alarms that the console was shown after a technical one that the centre had received later. */
export function shownBehindLater(kept: readonly Kept[], shown: readonly string[]): number {
  const placeOf = new Map(shown.map((alarm, place) => [alarm, place]));
  const technical = kept.filter(({ life, alarm }) => !life && placeOf.has(alarm));
  return kept.filter(({ life, alarm, receivedAt }) => {
    const place = placeOf.get(alarm);
    if (!life || place === undefined) return false;
    return technical.some((other) => other.receivedAt > receivedAt + SAME_MS && (placeOf.get(other.alarm) ?? place) < place);
  }).length;
}

/** Two transactions of 128: so many technical ones can be in hand when a life one comes. */
const UNDER_WAY = 256;

/** Of each life alarm: technical ones that were sent before it, waited when it was sent, and were acknowledged before it. */
export function aheadOf(life: readonly Span[], technical: readonly Span[]): number[] {
  return life.map(({ sentAt, ackAt }) => technical.filter((one) => one.sentAt <= sentAt && one.ackAt > sentAt && one.ackAt < ackAt).length);
}

const KEPT = `
select s.alarm::text as alarm, a.priority = 'life' as life, (extract(epoch from s.received_at) * 1000)::float8 as "receivedAt",
  s.xmin::text::float8 as transaction
from signal s join alarm a on a.number = s.alarm`;
const COUNTS = `
select (select count(*) from alarm where kind = 'mains-lost')::int as dark, (select count(*) from alarm where kind = 'device-lost')::int as missed,
  (select count(*) from alarm where priority = 'life')::int as life,
  (select count(*) from ask k join alarm a on a.number = k.alarm where a.priority = 'technical')::int as "technicalAsks",
  (select count(*) from ask k join alarm a on a.number = k.alarm where a.priority = 'life')::int as "lifeAsks",
  array(select number::text from alarm where priority = 'technical') as technical`;

interface Counts {
  readonly dark: number;
  readonly missed: number;
  readonly life: number;
  readonly technicalAsks: number;
  readonly lifeAsks: number;
  readonly technical: readonly string[];
}

export async function outage(
  centre: Centre,
  { outage: plan }: Plan,
  gateway: SmsGateway,
  add: (...more: Figure[]) => void,
): Promise<readonly Fact[]> {
  const { http, mqtt, sipUdp, pid } = centre.ready;
  await fillOutage(centre.pool, plan.devices);
  await emptied(centre);
  const already = gateway.messages().length;
  const run = `o${Math.round(clock.monotonic() % 46_656).toString(36)}`;
  let before = cpuOf([pid]);
  const result = await runJob<OutageJob, OutageResult>('outage', { http, mqtt, sipUdp, plan, run }, () => (before = cpuOf([pid])));
  const spent = cpuOf([pid]) - before;
  const { rows: kept } = await centre.pool.query<Kept>(KEPT);
  const { rows } = await centre.pool.query<Counts>(COUNTS);
  const [counts] = rows;
  if (counts === undefined) throw new Error('The database did not count.');
  const { dark, life, shown } = result;
  // One that is on no first page is behind all that are.
  const behindInList = Math.max(0, Math.min(counts.life, LARGEST_PAGE) - result.firstInList);
  const ahead = aheadOf(result.lifeSpans, result.darkSpans);
  const behindMany = ahead.filter((many) => many > UNDER_WAY).length;
  add(
    figureOf(dark, 'ack', {
      id: 'outage-dark',
      what: `${plan.devices} units lose power within ${plan.darkWithinMs / 1000} s: their last words → PUBACK or mrs`,
      offered: (plan.devices * 1000) / plan.darkWithinMs,
      ...comparedWith(dark.reachedInAll['ack'] ?? 0, counts.dark),
    }),
    figureOf(life, 'ack', {
      id: 'outage-life-ack',
      what: `meanwhile ${plan.lifeAlarms} life alarms over MQTT and SCAIP: pressed → PUBACK or mrs`,
      offered: (plan.lifeAlarms * 1000) / plan.forMs,
      ...comparedWith(life.reachedInAll['ack'] ?? 0, counts.life),
    }),
    figureOf(life, 'shown', {
      id: 'outage-life',
      what: `the same: pressed → on the console`,
      offered: (plan.lifeAlarms * 1000) / plan.forMs,
    }),
  );
  const technical = new Set(counts.technical);
  const messages = gateway.messages().slice(already);
  // The link names a port, which could be the number of an alarm.
  const numbersIn = (text: string): string[] => [...text.replace(/https?:\S*/g, '').matchAll(/\d+/g)].map(([number]) => number);
  const aboutTechnical = messages.filter(({ text }) => numbersIn(text).some((number) => technical.has(number)));
  const count = (what: string, value: number, id?: string): Fact => ({
    ...(id === undefined ? {} : { id }),
    what: `outage: ${what}`,
    value,
    unit: '',
  });
  return [
    count('technical alarms of units that told of it', counts.dark),
    count('technical alarms of units that supervision missed, until the end of the part', counts.missed),
    count(
      'life alarms behind technical ones: waiting, or in the list',
      behindTechnical(kept) + behindInList + behindMany,
      'outage-life-behind',
    ),
    count('technical ones before a life alarm between sending and acknowledgement, the most', Math.max(0, ...ahead)),
    count('life alarms shown after a technical one that was received later', shownBehindLater(kept, shown)),
    count('asks and SMS about technical alarms', counts.technicalAsks + aboutTechnical.length, 'outage-woken'),
    count('asks about life alarms', counts.lifeAsks),
    count('SMS about life alarms', messages.length - aboutTechnical.length),
    { what: 'outage: CPU of the centre in all', value: spent, unit: 'ms CPU' },
  ];
}
