/** Reads alarms as views out of PostgreSQL: some by number, all that are open, and who is newer than what is known. */
import type pg from 'pg';
import type { Alarm } from '../alarms/alarm.ts';
import { type AlarmView, viewOf } from '../alarms/view.ts';
import { toIso } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { AlarmSource, AlarmVersion } from '../console/feed-source.ts';
import { type Postgres, storeFault } from './postgres.ts';
import { storeAway } from './transaction.ts';

interface FoldRow {
  readonly number: string;
  readonly fold: Alarm;
}

/** So many folds stay well under the statement timeout. */
const AT_ONCE = 1000;

const THESE = 'select number, fold from alarm_folds($1::bigint[])';
const OPEN = 'select number, fold from alarm where closed_at is null and number > $1 order by number limit $2';
const CLOSED = 'select number, version from alarm where closed_at > $1';
const CHANGED = `select number, version from alarm where changed_at >= $1 and ($2::timestamptz is null or changed_at <= $2)`;
const ALL_OPEN = 'select number, version from alarm where closed_at is null';

/** In the order of the numbers given; those that do not exist, or whose row cannot be shown (logged), are left out. */
export async function viewsOf(pool: pg.Pool, numbers: readonly string[], log: Log): Promise<AlarmView[]> {
  const found = await pool.query<FoldRow>({ name: 'alarm-views', text: THESE, values: [numbers] });
  const byNumber = new Map(found.rows.map((row) => [row.number, row]));
  return numbers.flatMap((number) => viewsOfRows([byNumber.get(number)], log));
}

/** One alarm that cannot be shown must not hide the others. */
export function viewsOfRows(rows: readonly (FoldRow | undefined)[], log: Log): AlarmView[] {
  return rows.flatMap((row) => {
    if (row === undefined) return [];
    try {
      return [viewOf(row.fold)];
    } catch (error) {
      log.error('alarm-not-shown', { alarm: row.number, error });
      return [];
    }
  });
}

/** Reads outside a transaction; whatever is not a mistake of ours is a store that is away. @throws CentreError store-away */
export async function reading<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (storeFault(error) === 'refused') throw error;
    throw storeAway(error);
  }
}

export function createAlarmSource({ pg: { pool }, log }: { pg: Postgres; log: Log }): AlarmSource {
  return {
    all: (closedSince) =>
      reading(async () => {
        // Asked first: an alarm that is closed meanwhile is in both, and the later version counts.
        const closed = await pool.query<AlarmVersion>(CLOSED, [toIso(closedSince)]);
        return { open: await allOpen(pool, log), closed: closed.rows };
      }),
    versions: (since, until) =>
      reading(async () => {
        const asked =
          since === null
            ? pool.query<AlarmVersion>(ALL_OPEN)
            : pool.query<AlarmVersion>(CHANGED, [toIso(since), until === null ? null : toIso(until)]);
        return (await asked).rows;
      }),
    these: (numbers) =>
      reading(async () => {
        const views: AlarmView[] = [];
        for (let from = 0; from < numbers.length; from += AT_ONCE) {
          views.push(...(await viewsOf(pool, numbers.slice(from, from + AT_ONCE), log)));
        }
        return views;
      }),
  };
}

async function allOpen(pool: pg.Pool, log: Log): Promise<AlarmView[]> {
  const views: AlarmView[] = [];
  let after = '0';
  for (;;) {
    const page = await pool.query<FoldRow>(OPEN, [after, AT_ONCE]);
    views.push(...viewsOfRows(page.rows, log));
    const last = page.rows.at(-1);
    if (last === undefined || page.rows.length < AT_ONCE) return views;
    after = last.number;
  }
}
