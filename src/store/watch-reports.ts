/** The rows of the watch: what it found last, one row for each thing that it looks at. */
import { toIso } from '../base/clock.ts';
import { WATCH_NAMES, type WatchName, type WatchReport, type WatchReports } from '../watch/report.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

const WRITE = `insert into watch_report as w (name, at, fine, detail) values ($1, $2, $3, $4)
  on conflict (name) do update set at = excluded.at, fine = excluded.fine, detail = excluded.detail where w.at <= excluded.at`;
const READ = 'select name, at, fine, detail from watch_report where name = any($1::text[])';

interface ReportRow {
  readonly name: WatchName;
  readonly at: Date;
  readonly fine: boolean;
  readonly detail: WatchReport['detail'];
}

export function createWatchReports(postgres: Postgres): WatchReports {
  return {
    async write({ name, at, fine, detail }) {
      await rowsOf(postgres, WRITE, [name, toIso(at), fine, JSON.stringify(detail)]);
    },
    async read() {
      const rows = await rowsOf<ReportRow>(postgres, READ, [WATCH_NAMES], 'watch-reports');
      return rows.map(({ at, ...row }) => ({ ...row, at: at.getTime() }));
    },
  };
}
