/** Accounts and sessions in PostgreSQL: what sign-in, the cookie and the command line ask for. */
import { CANARY_MUNICIPALITY } from '../alarms/canary.ts';
import type { Role } from '../alarms/command.ts';
import { toIso } from '../base/clock.ts';
import type { SessionStore } from '../console/session.ts';
import type { Account, AccountBook, Credentials } from '../people/accounts.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';
import { inTransaction } from './transaction.ts';

interface AccountRow {
  readonly username: string;
  readonly name: string;
  readonly roles: Role[];
  readonly municipalities: string[];
  readonly phone: string;
  readonly disabled_at: Date | null;
}

/** The centre's own accounts (src/store/canary.ts) are nobody's: they sign in nowhere, are not listed and not changed. */
const OF_PEOPLE = `not '${CANARY_MUNICIPALITY}' = any(municipalities)`;
const COLUMNS = 'a.username, a.name, a.roles, a.municipalities, a.phone, a.disabled_at';

const accountOf = (row: AccountRow): Account => ({
  account: row.username,
  name: row.name,
  roles: row.roles,
  municipalities: row.municipalities,
  phone: row.phone,
  disabledAt: row.disabled_at?.getTime() ?? null,
});

export function createCredentials(postgres: Postgres): Credentials {
  return {
    async find(username) {
      const text = `select ${COLUMNS}, a.password_hash from account a where a.username = $1 and ${OF_PEOPLE}`;
      const [row] = await rowsOf<AccountRow & { password_hash: string }>(postgres, text, [username]);
      return row === undefined ? null : { account: accountOf(row), passwordHash: row.password_hash };
    },
    async any() {
      return (await rowsOf(postgres, `select 1 from account where disabled_at is null and ${OF_PEOPLE} limit 1`)).length > 0;
    },
  };
}

export function createAccountBook(postgres: Postgres): AccountBook {
  return {
    async list() {
      return (await rowsOf<AccountRow>(postgres, `select ${COLUMNS} from account a where ${OF_PEOPLE} order by a.username`)).map(accountOf);
    },
    async add({ account, name, roles, municipalities, phone, disabledAt }, passwordHash, at) {
      const text = `insert into account (username, name, password_hash, roles, municipalities, phone, created_at, disabled_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing returning username`;
      const disabled = disabledAt === null ? null : toIso(disabledAt);
      const values = [account, name, passwordHash, roles, municipalities, phone, toIso(at), disabled];
      return (await rowsOf(postgres, text, values)).length > 0;
    },
    setPassword: (username, passwordHash) => changed(postgres, 'password_hash = $2', username, passwordHash),
    setDisabled: (username, at) => changed(postgres, 'disabled_at = $2', username, at === null ? null : toIso(at)),
  };
}

/** Changes one account and ends its sessions: whoever had the old password is out. */
function changed(postgres: Postgres, set: string, username: string, value: string | Date | null): Promise<boolean> {
  return inTransaction(postgres, async (client) => {
    const { rowCount } = await client.query(`update account set ${set} where username = $1 and ${OF_PEOPLE}`, [username, value]);
    if (rowCount === 0) return false;
    await client.query('delete from session where username = $1', [username]);
    return true;
  });
}

export function createSessionStore(postgres: Postgres): SessionStore {
  return {
    async open(tokenSha256, username, at, expiresAt) {
      await rowsOf(postgres, 'delete from session where expires_at < $1', [toIso(at)]);
      const text = 'insert into session (token_sha256, username, created_at, expires_at) values ($1, $2, $3, $4)';
      await rowsOf(postgres, text, [Buffer.from(tokenSha256), username, toIso(at), toIso(expiresAt)]);
    },
    async find(tokenSha256, now) {
      const text = `select ${COLUMNS}, s.created_at, s.expires_at from session s join account a using (username)
        where s.token_sha256 = $1 and s.expires_at > $2 and a.disabled_at is null`;
      type Row = AccountRow & { created_at: Date; expires_at: Date };
      const [row] = await rowsOf<Row>(postgres, text, [Buffer.from(tokenSha256), toIso(now)]);
      if (row === undefined) return null;
      const { account, name, roles, municipalities } = accountOf(row);
      const viewer = { account, name, roles, municipalities };
      return { viewer, createdAt: row.created_at.getTime(), expiresAt: row.expires_at.getTime() };
    },
    async extend(tokenSha256, expiresAt) {
      const text = 'update session set expires_at = $2 where token_sha256 = $1';
      await rowsOf(postgres, text, [Buffer.from(tokenSha256), toIso(expiresAt)]);
    },
    async end(tokenSha256) {
      await rowsOf(postgres, 'delete from session where token_sha256 = $1', [Buffer.from(tokenSha256)]);
    },
  };
}
