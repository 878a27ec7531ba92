/** The API's routes about alarms: the list, one alarm with its timeline, its card, and the commands on it. */
import { z } from 'zod';
import type { AlarmCommand } from '../alarms/command.ts';
import type { Desk } from '../alarms/desk.ts';
import type { AlarmView } from '../alarms/view.ts';
import { type Clock, toIso } from '../base/clock.ts';
import { storable } from '../base/bytes.ts';
import type { Duty } from '../escalation/duty.ts';
import { type Viewer, mayOrder, seesAlarm, servesMunicipality } from '../people/access.ts';
import { ALARM_LIST, ALARM_OR_PROVISIONAL, CARD, OPENINGS, ORDERED } from './api-schema.ts';
import type { Board } from './board.ts';
import { type CardParts, openCard } from './card.ts';
import { claimProvisional, isProvisional, numberOf, provisionalFor } from './direct-orders.ts';
import type { DirectAlarms, DirectDirectory } from './direct.ts';
import { ORDER_BODY, type OrderBody, type Ordered, commandOf, doneAtOf } from './order-body.ts';
import { type Answer, type Route, json, problem, route } from './route.ts';

export interface AlarmRouteParts extends CardParts {
  readonly board: Board;
  readonly desk: Desk;
  readonly duty: Pick<Duty, 'resolveDispatch'>;
  /** The feed's last id, read before the list: what changes later is in the feed after it. */
  readonly feedId: () => Promise<string>;
  /** What intake says without any store. */
  readonly direct?: DirectAlarms;
  /** What PostgreSQL knows of provisional numbers. */
  readonly aliases?: Pick<DirectDirectory, 'replayed'>;
  readonly clock: Clock;
}

const PAGE = { usual: 200, most: 500 };
const OPENINGS_AT_ONCE = 10_000;

const unknownAlarm = (number: string): Answer => problem('unknown-alarm', `There is no alarm ${number.slice(0, 20)} for this account.`);

export function alarmRoutes(parts: AlarmRouteParts): Route[] {
  const { board, feedId, cards } = parts;
  const one = async (viewer: Viewer, number: string): Promise<AlarmView | null> => (await board.one(viewer, number))?.alarm ?? null;
  return [
    route({
      method: 'GET',
      path: '/api/v1/alarms',
      summary: 'Alarms that the account sees: open ones most urgent first, then oldest; closed ones the last closed first.',
      query: z.object({
        state: z.enum(['open', 'closed']).default('open'),
        limit: z.coerce.number().int().min(1).max(PAGE.most).default(PAGE.usual),
        cursor: z.string().max(500).optional(),
      }),
      ok: { status: 200, schema: ALARM_LIST },
      problems: ['invalid-cursor'],
      async handle({ query: { state, limit, cursor } }, viewer) {
        const feed = await feedId();
        const page = await board.page(viewer, { state, limit, cursor: cursor ?? null });
        if (page === null) return problem('invalid-cursor', 'Use the "next" of the page before, or none.');
        return json({ alarms: page.alarms, feed, ...(page.next === null ? {} : { next: page.next }) });
      },
    }),
    route({
      method: 'GET',
      path: '/api/v1/alarms/{number}',
      summary:
        'One alarm with its timeline (of one with more than 1,000 entries the first 50 and the newest 950); of a provisional number the alarm that it became, or what is known of it so far.',
      ok: { status: 200, schema: ALARM_OR_PROVISIONAL },
      problems: ['unknown-alarm'],
      async handle({ params: { number = '' } }, viewer) {
        const provisional = provisionalFor(parts, viewer, number);
        if (provisional !== null) return json({ provisional });
        const known = await numberOf(parts, number);
        const found = known === null ? null : await board.one(viewer, known);
        if (found === null) return unknownAlarm(number);
        const { alarm, timeline, leftOut } = found;
        return json({ ...alarm, timeline, ...(leftOut === 0 ? {} : { timelineLeftOut: leftOut }) });
      },
    }),
    route({
      method: 'GET',
      path: '/api/v1/alarms/{number}/card',
      summary: 'Who, where, how to get in, whom to call and what came before. Every opening is logged: who, in which role, why.',
      query: z.object({ why: z.string().max(200).default('alarm') }),
      ok: { status: 200, schema: CARD },
      problems: ['unknown-alarm'],
      async handle({ params: { number = '' }, query: { why } }, viewer) {
        const known = await numberOf(parts, number);
        const alarm = known === null ? null : await one(viewer, known);
        const card = alarm === null ? null : await openCard(parts, viewer, alarm, storable(why));
        return card === null ? unknownAlarm(number) : json(card);
      },
    }),
    route({
      method: 'POST',
      path: '/api/v1/alarms/{number}/commands',
      summary: 'Gives a command on the alarm; a provisional one can be claimed. The same key again gets the stored answer.',
      body: ORDER_BODY,
      ok: { status: 200, schema: ORDERED },
      problems: [
        'unknown-alarm',
        'still-provisional',
        'intake-away',
        'claim-not-kept',
        'already-closed',
        'taken-by-another',
        'no-confirmed-contact',
        'overtaken',
        'not-allowed',
      ],
      async handle({ params: { number = '' }, body }, viewer) {
        if (!isProvisional(number)) return give(parts, viewer, number, body);
        const answer = await claimProvisional(parts, viewer, number, body.command);
        if (answer !== null) return answer;
        const known = await numberOf(parts, number);
        return known === null ? unknownAlarm(number) : give(parts, viewer, known, body, number);
      },
    }),
    route({
      method: 'GET',
      path: '/api/v1/households/{id}/openings',
      summary: "Who opened the household's card, in which role and why, the latest first: for the resident who asks.",
      access: ['supervisor'],
      query: z.object({ limit: z.coerce.number().int().min(1).max(OPENINGS_AT_ONCE).default(1000) }),
      ok: { status: 200, schema: OPENINGS },
      problems: ['unknown-household'],
      async handle({ params: { id = '' }, query: { limit } }, viewer) {
        const household = id.includes('\0') ? null : await cards.household(id);
        if (household === null || !servesMunicipality(viewer, household.municipality)) {
          return problem('unknown-household', 'There is no such household for this account.');
        }
        const openings = await cards.openings(id, limit);
        return json({ openings: openings.map((opening) => ({ ...opening, at: toIso(opening.at) })) });
      },
    }),
  ];
}

/** @param asked under which number: who does not see the alarm is not told the other one */
async function give(parts: AlarmRouteParts, viewer: Viewer, number: string, body: OrderBody, asked = number): Promise<Answer> {
  const { desk, clock, board } = parts;
  const ordered = commandOf(body);
  if (!mayOrder(viewer.roles, ordered.command)) {
    // An alarm that the account does not see, and one that is closed, are said first: that order is fixed.
    const alarm = (await board.one(viewer, number))?.alarm;
    if (alarm === undefined) return unknownAlarm(asked);
    if (alarm.state === 'closed') return refusal('already-closed', alarm.closedBy ?? undefined);
    return refusal('not-allowed');
  }
  const command = await complete(parts, viewer, number, ordered);
  if (command === null) return unknownAlarm(asked);
  const now = clock.now();
  const answer = await desk.order({
    number,
    command: command.command,
    actor: { type: 'person', account: viewer.account, roles: viewer.roles },
    version: body.version ?? null,
    doneAt: doneAtOf(body, now),
    key: body.key ?? null,
    visible: (alarm) => seesAlarm(viewer, alarm, now),
  });
  if ('alarm' in answer) return json(answer.alarm);
  if (answer.refused === 'unknown-alarm') return unknownAlarm(asked);
  // The desk knows only that there is nobody to ask; why, the roster has said.
  const refused = answer.refused === 'nobody-on-duty' ? (command.refused ?? answer.refused) : answer.refused;
  return refusal(refused, 'by' in answer ? answer.by : undefined);
}

type Refused = Parameters<typeof problem>[0];
interface Complete {
  readonly command: AlarmCommand;
  readonly refused?: Refused;
}

/**
 * Works a dispatch's recipients out. Nobody found is left to the desk, which first says what stands before it (closed,
 * taken by another); null: the viewer sees no such alarm.
 */
async function complete({ board, duty }: AlarmRouteParts, viewer: Viewer, number: string, ordered: Ordered): Promise<Complete | null> {
  if (ordered.command !== 'dispatch') return { command: ordered };
  const found = await board.one(viewer, number);
  if (found === null) return null;
  const resolved = await duty.resolveDispatch(ordered.to, found.alarm);
  if ('recipients' in resolved) return { command: { ...ordered, ...resolved } };
  return { command: { ...ordered, recipients: [], waitMs: 0 }, refused: resolved.refused };
}

function refusal(code: Refused, by?: string): Answer {
  const detail = by === undefined ? `The command was refused: ${code}.` : `The command was refused: ${code}, by ${by}.`;
  return problem(code, detail, by === undefined ? {} : { by });
}
