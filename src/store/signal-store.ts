/** Intake's store: a batch of signals and all that they cause in one transaction, under the locks of their joining keys. */
import type pg from 'pg';
import { type Admission, DUPLICATE_WINDOW_WITHOUT_ID_MS, SOON_AFTER_CLOSED_MS, joiningKey, laneOf } from '../alarms/correlate.ts';
import { toIso } from '../base/clock.ts';
import type { Signal } from '../alarms/signal.ts';
import type { Admit, Receipt, SignalStore } from '../intake/keep.ts';
import { writeAlarms } from './alarm-rows.ts';
import type { Postgres } from './postgres.ts';
import { type AlarmRow, type ClosedRow, type EarlierSignal, type Memory, type Prepared, remember } from './signal-memory.ts';
import { inTransaction } from './transaction.ts';

/** Always the household before its alarms, and keys in order: two batches cannot wait for each other in a circle. */
const LOCK_KEYS = 'select key from joining where key = any($1) order by key for update';
const MAKE_KEYS = 'insert into joining (key) select unnest($1::text[]) on conflict do nothing';

/** Earlier messages with the same id, or without id the same bytes; one row for each pair of sender and message. */
const EARLIER = `
select distinct on (s.source, s.message_id, s.digest) s.source, s.message_id, encode(s.digest, 'hex') as digest,
  (extract(epoch from s.received_at) * 1000)::float8 as at, s.alarm
from unnest($1::text[], $2::text[]) as m(source, id) join signal s on s.source = m.source and s.message_id = m.id
where s.verdict <> 'duplicate'
order by s.source, s.message_id, s.digest, s.received_at desc`;
const EARLIER_BYTES = `
select distinct on (s.source, s.digest) s.source, null as message_id, encode(s.digest, 'hex') as digest,
  (extract(epoch from s.received_at) * 1000)::float8 as at, s.alarm
from unnest($1::text[], $2::bytea[]) as m(source, digest) join signal s on s.source = m.source and s.digest = m.digest
where s.received_at > $3 and s.message_id is null and s.verdict <> 'duplicate'
order by s.source, s.digest, s.received_at desc`;

/** Everything that is open under the keys, and the alarms, open or closed, that a duplicate belongs to. */
const ALARMS = `
select fold, joining_key, lane, lane_key from alarm
where (closed_at is null and joining_key = any($1)) or number = any($2::bigint[])
order by number for update`;

const LAST_CLOSED = `
select distinct on (joining_key) joining_key, number, closed_at from alarm
where joining_key = any($1) and lane = 'need' and closed_at > $2 order by joining_key, closed_at desc`;

const KEEP = `
insert into signal (id, received_at, protocol, source, device, municipality, household_id, message_id, digest, raw, meaning, marks, verdict, alarm)
select s.id, s.received_at, s.protocol, s.source, s.device, s.municipality, s.household_id, s.message_id, b.digest, b.raw,
  s.meaning, s.marks, s.verdict, s.alarm
from jsonb_to_recordset($1::jsonb) as s(n int, id uuid, received_at timestamptz, protocol text, source text, device text,
  municipality text, household_id text, message_id text, meaning jsonb, marks text[], verdict text, alarm bigint)
join unnest($2::bytea[], $3::bytea[]) with ordinality as b(digest, raw, n) on b.n = s.n
on conflict (id) do nothing`;

/** @param committed called after each commit, to make the relay prompt */
export function createSignalStore(postgres: Postgres, committed: () => void): SignalStore {
  const numbers = createNumbers();
  return {
    async keep(signals, admitOne) {
      const receipts = await inTransaction(postgres, (client) => keepBatch(client, signals, admitOne, numbers));
      committed();
      return receipts;
    },
  };
}

/** Alarm numbers are fetched for a whole batch at once; those that a batch did not need serve the next. */
function createNumbers() {
  const spare: string[] = [];
  return {
    /** Takes `count` numbers out for one batch; what is left over must be given back. */
    async reserve(count: number, client: pg.ClientBase): Promise<string[]> {
      const mine = spare.splice(0, count);
      if (mine.length === count) return mine;
      const text = `select nextval('alarm_number') as number from generate_series(1, $1)`;
      const got = await client.query<{ number: string }>(text, [count - mine.length]);
      return [...mine, ...got.rows.map((row) => row.number)];
    },
    giveBack: (unused: readonly string[]): void => {
      spare.push(...unused);
    },
  };
}
type Numbers = ReturnType<typeof createNumbers>;

async function keepBatch(client: pg.ClientBase, signals: readonly Signal[], admitOne: Admit, numbers: Numbers): Promise<Receipt[]> {
  const prepared = signals.map((signal) => ({
    signal,
    key: joiningKey(signal),
    digest: Buffer.from(signal.digest),
  }));
  const keys = [...new Set(prepared.map(({ key }) => key))].toSorted();
  await lockKeys(client, keys);
  const memory = await recall(client, prepared, keys);
  const spare = await numbers.reserve(prepared.filter(({ signal }) => laneOf(signal) !== null).length, client);
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
  const now = Math.max(...signals.map(({ receivedAt }) => receivedAt));
  await writeAlarms(client, memory.changed(), now);
  await keepSignals(client, prepared, admissions);
  return admissions.map(({ verdict, alarm }) => ({ verdict, alarm }));
}

async function lockKeys(client: pg.ClientBase, keys: readonly string[]): Promise<void> {
  const locked = await client.query({ name: 'lock-joining', text: LOCK_KEYS, values: [keys] });
  if (locked.rows.length === keys.length) return;
  await client.query(MAKE_KEYS, [keys]);
  await client.query({ name: 'lock-joining', text: LOCK_KEYS, values: [keys] });
}

async function recall(client: pg.ClientBase, prepared: readonly Prepared[], keys: readonly string[]): Promise<Memory> {
  const earlier = await recallSignals(client, prepared);
  const toldOf = earlier.flatMap(({ alarm }) => (alarm === null ? [] : [alarm]));
  const found = await client.query<AlarmRow>({ name: 'alarms-of-keys', text: ALARMS, values: [keys, toldOf] });
  const earliest = Math.min(...prepared.map(({ signal }) => signal.receivedAt)) - SOON_AFTER_CLOSED_MS;
  const closedRows = prepared.some(({ signal }) => signal.meaning.role === 'need')
    ? (await client.query<ClosedRow>({ name: 'last-closed', text: LAST_CLOSED, values: [keys, toIso(earliest)] })).rows
    : [];
  return remember(earlier, found.rows, closedRows);
}

async function recallSignals(client: pg.ClientBase, prepared: readonly Prepared[]): Promise<EarlierSignal[]> {
  const withId = prepared.filter(({ signal }) => signal.messageId !== null);
  const without = prepared.filter(({ signal }) => signal.messageId === null);
  const rows: EarlierSignal[] = [];
  if (withId.length > 0) {
    const values = [withId.map(({ signal }) => signal.source), withId.map(({ signal }) => signal.messageId)];
    rows.push(...(await client.query<EarlierSignal>({ name: 'earlier', text: EARLIER, values })).rows);
  }
  if (without.length > 0) {
    const since = Math.min(...without.map(({ signal }) => signal.receivedAt)) - DUPLICATE_WINDOW_WITHOUT_ID_MS;
    const values = [without.map(({ signal }) => signal.source), without.map(({ digest }) => digest), toIso(since)];
    rows.push(...(await client.query<EarlierSignal>({ name: 'earlier-bytes', text: EARLIER_BYTES, values })).rows);
  }
  return rows;
}

async function keepSignals(client: pg.ClientBase, prepared: readonly Prepared[], admissions: readonly Admission[]): Promise<void> {
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
  const values = [JSON.stringify(rows), prepared.map(({ digest }) => digest), prepared.map(({ signal }) => Buffer.from(signal.raw))];
  await client.query({ name: 'keep-signals', text: KEEP, values });
}
