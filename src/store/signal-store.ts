/** Intake's store: a batch of signals and all that they cause in one transaction, under the locks of their joining keys. */
import type pg from 'pg';
import { type Admission, DUPLICATE_WINDOW_WITHOUT_ID_MS, SOON_AFTER_CLOSED_MS, joiningKey, laneOf } from '../alarms/correlate.ts';
import { toIso } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';
import type { Signal } from '../alarms/signal.ts';
import type { Admit, Receipt, SignalStore } from '../intake/keep.ts';
import { type ChangedAlarm, WRITE_ALARMS, alarmValues } from './alarm-rows.ts';
import { changeAsks } from './ask-effects.ts';
import { type Postgres, storeFault } from './postgres.ts';
import { type AlarmRow, type ClosedRow, type EarlierSignal, type Memory, type Prepared, remember } from './signal-memory.ts';
import { inTransaction, storeAway } from './transaction.ts';

/**
 * Makes the keys that are not there and locks all, in order: two batches cannot wait for each other in a circle, and the
 * household always comes before its alarms. A key that somebody else made while this waited is neither made nor seen here:
 * then fewer are held than were asked for, and LOCK_KEYS, which sees it, follows.
 */
const MAKE_AND_LOCK_KEYS = `
with made as (
  insert into joining (key) select key from unnest($1::text[]) key order by key on conflict do nothing returning key
), locked as (
  select key from joining where key = any($1) and (select count(*) from made) >= 0 order by key for update
)
select (select count(*) from made)::int + (select count(*) from locked)::int as held`;
const LOCK_KEYS = 'select key from joining where key = any($1) order by key for update';

/**
 * Earlier messages with the same id, or without id the same bytes, one for each pair of sender and message; and the alarms:
 * everything that is open under the keys, and those, open or closed, that the earlier messages belong to.
 */
const RECALL = `
with by_id as (
  select distinct on (s.source, s.message_id, s.digest) s.source, s.message_id, s.digest, s.received_at, s.alarm
  from unnest($1::text[], $2::text[]) as m(source, id) join signal s on s.source = m.source and s.message_id = m.id
  where s.verdict <> 'duplicate'
  order by s.source, s.message_id, s.digest, s.received_at desc
), by_bytes as (
  select distinct on (s.source, s.digest) s.source, null as message_id, s.digest, s.received_at, s.alarm
  from unnest($3::text[], $4::bytea[]) as m(source, digest) join signal s on s.source = m.source and s.digest = m.digest
  where s.received_at > $5 and s.message_id is null and s.verdict <> 'duplicate'
  order by s.source, s.digest, s.received_at desc
), earlier as materialized (select * from by_id union all select * from by_bytes),
found as (
  select fold, joining_key, lane, lane_key from alarm
  where (closed_at is null and joining_key = any($6)) or number = any(array(select alarm from earlier where alarm is not null))
  order by number for update
)
select
  (select json_agg(json_build_object('source', source, 'message_id', message_id, 'digest', encode(digest, 'hex'),
    'at', (extract(epoch from received_at) * 1000)::float8, 'alarm', alarm::text)) from earlier) as earlier,
  (select json_agg(found) from found) as alarms`;

/**
 * What opening takes: the needs that were closed last, and numbers. Asked after the alarms were locked: the desk may have
 * closed one while RECALL waited for its row.
 */
const BEFORE_OPENING = `
select
  (select json_agg(closed) from (
    select distinct on (joining_key) joining_key, number::text, (extract(epoch from closed_at) * 1000)::float8 as at from alarm
    where joining_key = any($1) and lane = 'need' and closed_at > $2 order by joining_key, closed_at desc
  ) closed) as closed,
  array(select nextval('alarm_number')::text from generate_series(1, $3)) as numbers`;

/** The alarms and the signals in one statement; parameters 1 and 2 are those of WRITE_ALARMS. */
const KEEP = `${WRITE_ALARMS},
signals as (
  insert into signal (id, received_at, protocol, source, device, municipality, household_id, message_id, digest, raw, meaning,
    marks, verdict, alarm)
  select s.id, s.received_at, s.protocol, s.source, s.device, s.municipality, s.household_id, s.message_id, b.digest, b.raw,
    s.meaning, s.marks, s.verdict, s.alarm
  from jsonb_to_recordset($3::jsonb) as s(n int, id uuid, received_at timestamptz, protocol text, source text, device text,
    municipality text, household_id text, message_id text, meaning jsonb, marks text[], verdict text, alarm bigint)
  join unnest($4::bytea[], $5::bytea[]) with ordinality as b(digest, raw, n) on b.n = s.n
  on conflict (id) do nothing
)
select 1`;

/** @param committed called after each commit, to make the relay prompt */
export function createSignalStore(postgres: Postgres, committed: () => void): SignalStore {
  const numbers = new Numbers();
  return {
    async keep(signals, admitOne) {
      try {
        const receipts = await inTransaction(postgres, (client) => keepBatch(client, signals, admitOne, numbers));
        committed();
        return receipts;
      } catch (error) {
        throw isSignalsFault(error) ? error : storeAway(error);
      }
    },
  };
}

/**
 * Only what lies in the signals themselves may make poison of one: data that PostgreSQL refuses (SQLSTATE classes 22, 23, 54)
 * and our own exceptions. A lock, a time limit, missing rights or a full disk say nothing about the signal.
 */
function isSignalsFault(error: unknown): boolean {
  if (error instanceof CentreError) return false;
  const code = systemCode(error);
  if (code !== null && /^[0-9A-Z]{5}$/.test(code)) return /^(22|23|54)/.test(code);
  return storeFault(error) === 'refused';
}

/** Alarm numbers are fetched for a whole batch at once; those that a batch did not need serve the next. */
class Numbers {
  readonly #spare: string[] = [];

  /** Up to `count` that were left over. */
  take(count: number): string[] {
    return this.#spare.splice(0, count);
  }

  giveBack(unused: readonly string[]): void {
    this.#spare.push(...unused);
  }
}

async function keepBatch(client: pg.ClientBase, signals: readonly Signal[], admitOne: Admit, numbers: Numbers): Promise<Receipt[]> {
  const prepared = signals.map((signal) => ({
    signal,
    key: joiningKey(signal),
    digest: Buffer.from(signal.digest),
  }));
  const keys = [...new Set(prepared.map(({ key }) => key))].toSorted();
  await lockKeys(client, keys);
  const { memory, spare } = await recall(client, prepared, keys, numbers);
  const newNumber = (): string => {
    const number = spare.shift();
    if (number === undefined) throw new RangeError('more alarms were opened than signals can open');
    return number;
  };
  const admissions = prepared.map((one) => {
    const admission = admitOne(one.signal, memory.situationOf(one), newNumber);
    memory.learn(one, admission);
    return admission;
  });
  numbers.giveBack(spare);
  const changed = memory.changed();
  await write(client, prepared, admissions, changed);
  const now = Math.max(...signals.map(({ receivedAt }) => receivedAt));
  for (const change of changed) await changeAsks(client, change, now);
  return admissions.map(({ verdict, alarm }) => ({ verdict, alarm }));
}

async function lockKeys(client: pg.ClientBase, keys: readonly string[]): Promise<void> {
  const query = { name: 'make-and-lock-joining', text: MAKE_AND_LOCK_KEYS, values: [keys] };
  const { rows } = await client.query<{ held: number }>(query);
  if (rows[0]?.held !== keys.length) await client.query({ name: 'lock-joining', text: LOCK_KEYS, values: [keys] });
}

interface Recalled {
  readonly earlier: EarlierSignal[] | null;
  readonly alarms: AlarmRow[] | null;
}

async function recall(
  client: pg.ClientBase,
  prepared: readonly Prepared[],
  keys: readonly string[],
  numbers: Numbers,
): Promise<{ readonly memory: Memory; readonly spare: string[] }> {
  const withId = prepared.filter(({ signal }) => signal.messageId !== null);
  const without = prepared.filter(({ signal }) => signal.messageId === null);
  const earliest = Math.min(...prepared.map(({ signal }) => signal.receivedAt));
  const values = [
    withId.map(({ signal }) => signal.source),
    withId.map(({ signal }) => signal.messageId),
    without.map(({ signal }) => signal.source),
    without.map(({ digest }) => digest),
    toIso(earliest - DUPLICATE_WINDOW_WITHOUT_ID_MS),
    keys,
  ];
  const recalled = await client.query<Recalled>({ name: 'recall', text: RECALL, values });
  const { earlier, alarms } = recalled.rows[0] ?? { earlier: null, alarms: null };
  const openings = prepared.filter(({ signal }) => laneOf(signal) !== null).length;
  if (openings === 0) return { memory: remember(earlier ?? [], alarms ?? [], []), spare: [] };
  const spare = numbers.take(openings);
  const text = BEFORE_OPENING;
  const before = await client.query<{ closed: ClosedRow[] | null; numbers: string[] }>({
    name: 'before-opening',
    text,
    values: [keys, toIso(earliest - SOON_AFTER_CLOSED_MS), openings - spare.length],
  });
  const [found] = before.rows;
  return { memory: remember(earlier ?? [], alarms ?? [], found?.closed ?? []), spare: [...spare, ...(found?.numbers ?? [])] };
}

async function write(
  client: pg.ClientBase,
  prepared: readonly Prepared[],
  admissions: readonly Admission[],
  changed: readonly ChangedAlarm[],
): Promise<void> {
  const rows = prepared.map(({ signal }, index) => {
    const admission = admissions[index];
    return {
      n: index + 1,
      id: signal.id,
      received_at: toIso(signal.receivedAt),
      protocol: signal.protocol,
      source: signal.source,
      device: signal.device,
      municipality: signal.municipality,
      household_id: signal.household?.id ?? null,
      message_id: signal.messageId,
      meaning: signal.meaning,
      marks: admission?.marks ?? signal.marks,
      verdict: admission?.verdict ?? 'kept',
      alarm: admission?.alarm ?? null,
    };
  });
  const now = Math.max(...prepared.map(({ signal }) => signal.receivedAt));
  const digests = prepared.map(({ digest }) => digest);
  const raws = prepared.map(({ signal }) => Buffer.from(signal.raw));
  const values = [...alarmValues(changed, now), JSON.stringify(rows), digests, raws];
  await client.query({ name: 'keep-signals', text: KEEP, values });
}
