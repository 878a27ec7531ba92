/** Commands of duty and the staff that they are about, kept in PostgreSQL: what one process takes holds in all. */
import type { Role } from '../alarms/command.ts';
import { toIso } from '../base/clock.ts';
import type { RosterStore } from '../escalation/duty.ts';
import type { DutyCommandName } from '../escalation/roster.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

interface DutyRow {
  readonly id: string;
  readonly account: string;
  readonly team: string;
  readonly command: DutyCommandName;
  readonly at: Date;
  readonly until: Date;
  readonly given_by: string;
  readonly from_account: string | null;
}

interface StaffRow {
  readonly account: string;
  readonly name: string;
  readonly roles: Role[];
  readonly municipalities: string[];
}

const KNOWN = 'select id, account, team, command, at, until, given_by, from_account from duty where at > $1 order by id';
const STAFF = 'select username as account, name, roles, municipalities from account where disabled_at is null order by username';
// One statement: a person who goes off duty in two teams is off in both or in none.
const APPEND = `insert into duty (account, team, command, at, until, given_by, from_account)
  select account, team, command, at, until, given_by, from_account
  from jsonb_to_recordset($1::jsonb) as d(account text, team text, command text, at timestamptz, until timestamptz, given_by text, from_account text)`;

export function createRosterStore(postgres: Postgres): RosterStore {
  return {
    async known(since) {
      const [rows, staff] = await Promise.all([rowsOf<DutyRow>(postgres, KNOWN, [toIso(since)]), rowsOf<StaffRow>(postgres, STAFF)]);
      const commands = rows.map(({ id, account, team, command, at, until, given_by, from_account }) => {
        return { id, account, team, command, at: at.getTime(), until: until.getTime(), givenBy: given_by, from: from_account };
      });
      return { commands, staff };
    },
    async append(commands) {
      const rows = commands.map(({ account, team, command, at, until, givenBy, from }) => {
        return { account, team, command, at: toIso(at), until: toIso(until), given_by: givenBy, from_account: from };
      });
      await rowsOf(postgres, APPEND, [JSON.stringify(rows)]);
    },
  };
}
