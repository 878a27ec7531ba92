/** The board out of PostgreSQL: lists, pages and single alarms, each only as far as the viewer's sight goes. */
import { type RawBuilder, type SqlBool, sql } from 'kysely';
import { CANARY_MUNICIPALITY } from '../alarms/canary.ts';
import type { TimelineEntry } from '../alarms/event.ts';
import { timelineViewOf } from '../alarms/view.ts';
import { type Clock, toIso } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import { type Board, type BoardCounts, TECHNICAL_SHOWN } from '../console/board.ts';
import { type Viewer, scopeOf } from '../people/access.ts';
import { reading, viewsOfRows } from './alarm-views.ts';
import type { Postgres } from './postgres.ts';

const NUMBER = /^[1-9]\d{0,17}$/;
const LONGEST_PAGE = 500;
/** Of a timeline: how it began, and the newest. A device that repeats itself each second makes it hundreds of thousands long. */
const TOLD_FIRST = 50;
const TOLD_LAST = 950;

/** The condition on the table `alarm` that agrees with `sightOf` (a test holds the two against each other). */
function seen(viewer: Viewer, clock: Clock): RawBuilder<SqlBool> {
  const { municipalities, everything, technical, askedAccount, closedSince } = scopeOf(viewer, clock.now());
  const where =
    municipalities === null
      ? sql<SqlBool>`municipality <> ${CANARY_MUNICIPALITY}`
      : sql<SqlBool>`municipality = any(${[...municipalities]}::text[])`;
  if (everything) return where;
  const asked = sql<SqlBool>`(asked @> array[${askedAccount}]::text[] or fold->'response'->>'by' = ${askedAccount})
    and (closed_at is null or closed_at > ${toIso(closedSince)})`;
  const parts = [
    ...(technical ? [sql<SqlBool>`priority = 'technical'`] : []),
    ...(askedAccount === null ? [] : [sql<SqlBool>`(${asked})`]),
  ];
  return parts.length === 0 ? sql<SqlBool>`false` : sql<SqlBool>`${where} and (${sql.join(parts, sql` or `)})`;
}

/** The place behind a row, as an opaque text. Open: rank, instant opened, number. Closed: instant closed, number. */
type Place = readonly number[];
/** The end of the year 9999: no instant, and no number of an alarm, is beyond. */
const LATEST = 253_402_300_799_999;
const writeCursor = (place: Place): string => Buffer.from(place.join(',')).toString('base64url');

function readCursor(cursor: string, length: number): Place | null {
  const text = Buffer.from(cursor, 'base64url').toString('latin1');
  if (!/^\d{1,16}(,\d{1,16}){1,2}$/.test(text)) return null;
  const place = text.split(',').map(Number);
  return place.length === length && place.every((part) => part <= LATEST) ? place : null;
}

export function createBoard({ pg: { db }, clock, log }: { pg: Postgres; clock: Clock; log: Log }): Board {
  const open = (viewer: Viewer) =>
    db
      .selectFrom('alarm')
      .select(['number', 'priority_rank', 'opened_at', 'fold'])
      .where('closed_at', 'is', null)
      .where(seen(viewer, clock))
      .orderBy('priority_rank')
      .orderBy('opened_at')
      .orderBy('number');

  async function counts(viewer: Viewer): Promise<BoardCounts> {
    const rows = await db
      .selectFrom('alarm')
      .select(['priority', sql<string>`count(*)`.as('count')])
      .where('closed_at', 'is', null)
      .where(seen(viewer, clock))
      .groupBy('priority')
      .execute();
    const of = (priority: keyof BoardCounts): number => Number(rows.find((row) => row.priority === priority)?.count ?? 0);
    return { life: of('life'), urgent: of('urgent'), care: of('care'), technical: of('technical') };
  }

  async function openPage(viewer: Viewer, after: Place | null, limit: number) {
    const [rank = 0, openedAt = 0, number = 0] = after ?? [];
    const query =
      after === null
        ? open(viewer)
        : open(viewer).where(sql<SqlBool>`(priority_rank, opened_at, number) > (${rank}, ${toIso(openedAt)}, ${number})`);
    const rows = await query.limit(limit + 1).execute();
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    const next = last === undefined ? null : writeCursor([last.priority_rank, last.opened_at.getTime(), Number(last.number)]);
    return { alarms: viewsOfRows(rows.slice(0, limit), log), next };
  }

  async function closedPage(viewer: Viewer, after: Place | null, limit: number) {
    const [closedAt = 0, number = 0] = after ?? [];
    const query = db
      .selectFrom('alarm')
      .select(['number', 'closed_at', 'fold'])
      .where('closed_at', 'is not', null)
      .where(seen(viewer, clock))
      .$if(after !== null, (all) => all.where(sql<SqlBool>`(closed_at, number) < (${toIso(closedAt)}, ${number})`))
      .orderBy('closed_at', 'desc')
      .orderBy('number', 'desc');
    const rows = await query.limit(limit + 1).execute();
    const last = rows.length > limit ? rows[limit - 1] : undefined;
    const next = last === undefined ? null : writeCursor([last.closed_at?.getTime() ?? 0, Number(last.number)]);
    return { alarms: viewsOfRows(rows.slice(0, limit), log), next };
  }

  return {
    open: (viewer) =>
      reading(async () => {
        const [needs, technical, counted] = await Promise.all([
          open(viewer).where('priority', '<>', 'technical').execute(),
          open(viewer).where('priority', '=', 'technical').limit(TECHNICAL_SHOWN).execute(),
          counts(viewer),
        ]);
        return { alarms: viewsOfRows([...needs, ...technical], log), counts: counted };
      }),

    page: (viewer, { state, cursor, limit }) =>
      reading(async () => {
        const after = cursor === null ? null : readCursor(cursor, state === 'open' ? 3 : 2);
        if (cursor !== null && after === null) return null;
        const size = Math.min(LONGEST_PAGE, Math.max(1, Math.trunc(limit) || 1));
        return state === 'open' ? openPage(viewer, after, size) : closedPage(viewer, after, size);
      }),

    one: (viewer, number) =>
      reading(async () => {
        if (!NUMBER.test(number)) return null;
        const rows = await db
          .selectFrom('alarm')
          .select(['number', 'fold'])
          .where('number', '=', number)
          .where(seen(viewer, clock))
          .execute();
        const alarm = viewsOfRows(rows, log)[0];
        if (alarm === undefined) return null;
        const { version: newest } = alarm;
        const told = db.selectFrom('timeline').select(['version', 'at', 'done_at', 'actor', 'event', 'arms']).where('alarm', '=', number);
        const after = Math.max(TOLD_FIRST, newest - TOLD_LAST);
        // Two ranges of the key, each read by itself.
        const entries = await told
          .where('version', '<=', Math.min(TOLD_FIRST, newest))
          .unionAll(told.where('version', '>', after).where('version', '<=', newest))
          .orderBy('version')
          .execute();
        const timeline = entries.map(({ version, at, done_at, actor, event, arms }) =>
          timelineViewOf({ version, at: at.getTime(), doneAt: done_at?.getTime() ?? null, actor, event, arms } satisfies TimelineEntry),
        );
        return { alarm, timeline, leftOut: after - TOLD_FIRST };
      }),
  };
}
