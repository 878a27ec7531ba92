/** What the canary needs of PostgreSQL: its household, devices and accounts, whose turn it is, and an end to what it leaves behind. */
import { createHash } from 'node:crypto';
import type pg from 'pg';
import {
  CANARY_CONTROLLER,
  CANARY_ID,
  CANARY_MUNICIPALITY,
  CANARY_OPERATOR,
  CANARY_PROTOCOLS,
  CANARY_RESPONDER,
  type CanaryProtocol,
  canaryDevice,
} from '../alarms/canary.ts';
import { provisionalNumber } from '../alarms/provisional.ts';
import { type Instant, type Milliseconds, minutes, toIso } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Random } from '../base/ids.ts';
import { ha1 } from '../protocols/sip/digest.ts';
import type { CanarySetUp, CanaryStore } from '../watch/canary-store.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';
import { inTransaction } from './transaction.ts';

/** Nobody supervises such a device, and it is let in all the same. */
const STATE = 'reserved';
/** As long as a watch presses, its secret stays: another start takes it over. */
const SECRET_OUTLIVES: Milliseconds = minutes(5);
const SESSION: Milliseconds = minutes(12 * 60);
/** Few rows at a time, so that nothing of the path waits for it; a minute leaves two alarms. */
const ALARMS_AT_ONCE = 20;
const SIGNALS_AT_ONCE = 200;

const ROUND = `
  insert into canary_round as r (protocol, next_at, secret) values ($1, $2, $3)
  on conflict (protocol) do update set secret = case when r.next_at < $4 then excluded.secret else r.secret end
  returning secret`;
const HOUSEHOLD = `
  insert into household as h (id, municipality, name) values ($1, $2, $3)
  on conflict (id) do update set name = excluded.name where h.municipality = excluded.municipality returning id`;
const DEVICE = `
  insert into device as d (serial, municipality, household_id, protocol, controller_id, model, state, secret_sha256, sip_ha1_md5, sip_ha1_sha256)
  values ($1, $2, $1, $3, $4, $5, $6, $7, $8, $9)
  on conflict (serial) do update set household_id = excluded.household_id, controller_id = excluded.controller_id, model = excluded.model,
    state = excluded.state, secret_sha256 = excluded.secret_sha256, sip_ha1_md5 = excluded.sip_ha1_md5,
    sip_ha1_sha256 = excluded.sip_ha1_sha256, certificate_sha256 = null, test_until = null
  where d.municipality = excluded.municipality returning serial`;
const ACCOUNT = `
  insert into account as a (username, name, password_hash, roles, municipalities, created_at) values ($1, $2, $3, $4, $5, $6)
  on conflict (username) do update set name = excluded.name, roles = excluded.roles, disabled_at = null
  where a.municipalities = excluded.municipalities returning username`;
const SESSION_OF = `
  insert into session as s (token_sha256, username, created_at, expires_at) values ($1, $2, $3, $4)
  on conflict (token_sha256) do update set created_at = excluded.created_at, expires_at = excluded.expires_at
  where s.username = excluded.username`;
const CLAIM = `
  update canary_round set next_at = $3, turn = turn + 1 where protocol = $1 and next_at <= $2 returning turn, secret`;
const ENDED = `
  update canary_round set fine_at = case when $3 then $2 else fine_at end, in_row = case when $3 then least(in_row + 1, 1000000) else 0 end
  where protocol = $1`;

/** @param realm SIP_REALM, which the digest of the SCAIP device holds */
export function createCanaryStore(postgres: Postgres, { realm, random }: { readonly realm: string; readonly random: Random }): CanaryStore {
  return {
    setUp: (given) =>
      inTransaction(postgres, async (client) => {
        for (const protocol of CANARY_PROTOCOLS) await setUpDevice(client, protocol, realm, given);
        const { at, tokens } = given;
        await setUpAccount(client, CANARY_OPERATOR, 'operator', { at, random, token: tokens.operator });
        await setUpAccount(client, CANARY_RESPONDER, 'responder', { at, random, token: tokens.responder });
      }),
    async claim(protocol, by, next) {
      const [row] = await rowsOf<{ turn: string; secret: string }>(postgres, CLAIM, [protocol, toIso(by), toIso(next)]);
      return row === undefined ? null : { turn: Number(row.turn), secret: row.secret };
    },
    async standing() {
      type Row = { protocol: CanaryProtocol; fine_at: Date | null; in_row: number };
      const rows = await rowsOf<Row>(postgres, 'select protocol, fine_at, in_row from canary_round');
      return new Map(rows.map(({ protocol, fine_at, in_row: inRow }) => [protocol, { fineAt: fine_at?.getTime() ?? null, inRow }]));
    },
    async ended(protocol, at, fine) {
      await rowsOf(postgres, ENDED, [protocol, toIso(at), fine]);
    },
    forget: (before) => forget(postgres, before),
    async leave({ operator, responder }) {
      await rowsOf(postgres, 'delete from session where token_sha256 = any($1::bytea[])', [
        [Buffer.from(operator), Buffer.from(responder)],
      ]);
    },
  };
}

async function setUpDevice(client: pg.ClientBase, protocol: CanaryProtocol, realm: string, { at, secrets }: CanarySetUp): Promise<void> {
  const serial = canaryDevice(protocol);
  const values = [protocol, toIso(at), secrets[protocol], toIso(at - SECRET_OUTLIVES)];
  const round = await client.query<{ secret: string }>(ROUND, values);
  const secret = round.rows[0]?.secret ?? '';
  const home = await client.query(HOUSEHOLD, [serial, CANARY_MUNICIPALITY, serial]);
  expectOurs(home, `household ${serial}`);
  const over =
    protocol === 'mqtt'
      ? [null, createHash('sha256').update(secret).digest(), null, null]
      : [CANARY_CONTROLLER, null, ...(['MD5', 'SHA-256'] as const).map((algorithm) => ha1(algorithm, CANARY_CONTROLLER, realm, secret))];
  const [controller, sha256, md5, digest] = over;
  const device = await client.query(DEVICE, [serial, CANARY_MUNICIPALITY, protocol, controller, CANARY_ID, STATE, sha256, md5, digest]);
  expectOurs(device, `device ${serial}`);
}

interface OpenSession {
  readonly at: Instant;
  readonly random: Random;
  readonly token: Uint8Array;
}

async function setUpAccount(client: pg.ClientBase, account: string, role: string, { at, random, token }: OpenSession): Promise<void> {
  // No password has this hash; and sign-in does not look at these accounts in the first place (accounts.ts).
  const base64 = (size: number): string => Buffer.from(random(size)).toString('base64').replaceAll('=', '');
  const hash = `$argon2id$v=19$m=19456,t=2,p=1$${base64(16)}$${base64(32)}`;
  const made = await client.query(ACCOUNT, [account, account, hash, [role], [CANARY_MUNICIPALITY], toIso(at)]);
  expectOurs(made, `account ${account}`);
  await client.query(SESSION_OF, [Buffer.from(token), account, toIso(at), toIso(at + SESSION)]);
}

/** A register or a list of staff may hold that name already; then it is not ours to change. */
function expectOurs({ rowCount }: pg.QueryResult, what: string): void {
  if (rowCount === 1) return;
  throw new CentreError('canary-name-taken', `The ${what} belongs to somebody: the centre needs the name to watch itself. Rename it.`);
}

const OLD = `select number from alarm where municipality = '${CANARY_MUNICIPALITY}' and closed_at < $1 order by closed_at limit ${ALARMS_AT_ONCE}`;
/** The alarm itself last: what a crash leaves is found again by it. Its commands have no keys. */
const BELONGING = ['outbox', 'ask', 'claim_lease', 'timeline'] as const;
const OLD_SIGNALS = `
  delete from signal where id in (select s.id from signal s left join alarm a on a.number = s.alarm
    where s.municipality = '${CANARY_MUNICIPALITY}' and s.received_at < $1 and a.number is null limit ${SIGNALS_AT_ONCE})`;

async function forget(postgres: Postgres, before: Instant): Promise<void> {
  await inTransaction(postgres, async (client) => {
    const { rows } = await client.query<{ number: string }>(OLD, [toIso(before)]);
    if (rows.length === 0) return;
    const numbers = [rows.map(({ number }) => number)];
    for (const table of BELONGING) await client.query(`delete from ${table} where alarm = any($1::bigint[])`, numbers);
    const signals = await client.query<{ id: string }>('delete from signal where alarm = any($1::bigint[]) returning id', numbers);
    await client.query('delete from alarm_alias where alias = any($1)', [signals.rows.map(({ id }) => provisionalNumber(id))]);
    await client.query('delete from alarm where number = any($1::bigint[])', numbers);
  });
  await rowsOf(postgres, OLD_SIGNALS, [toIso(before)]);
}
