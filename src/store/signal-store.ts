/** Intake's store: a batch of signals and all that they cause in one transaction, under the locks of their joining keys. */
import type pg from 'pg';
import { type Admission, DUPLICATE_WINDOW_WITHOUT_ID_MS, SOON_AFTER_CLOSED_MS, joiningKey, laneOf } from '../alarms/correlate.ts';
import { type Instant, type Milliseconds, toIso } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';
import { reached } from '../base/points.ts';
import type { Signal } from '../alarms/signal.ts';
import type { Admit, Receipt, SignalStore } from '../intake/keep.ts';
import { ALARM_PARAMETERS, type ChangedAlarm, WRITE_ALARMS, alarmValues } from './alarm-rows.ts';
import { changeAsks } from './ask-effects.ts';
import { arrayLiteral, bigints, byteStrings, instants, jsons, texts } from './binary-arrays.ts';
import { type Postgres, storeFault } from './postgres.ts';
import { failingOrAway } from './probe.ts';
import { type AlarmRow, type ClosedRow, type EarlierSignal, type Memory, type Prepared, type UsedId, remember } from './signal-memory.ts';
import { type WithCommit, inTransaction } from './transaction.ts';

const PREPARE = 'select * from prepare_batch($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)';

/** The alarms and the signals in one statement. */
const KEEP = `${WRITE_ALARMS},
signals as (
  insert into signal (id, received_at, protocol, source, device, municipality, household_id, message_id, digest, raw, meaning,
    marks, verdict, alarm)
  select id::uuid, received_at, protocol, source, device, municipality, household_id, message_id, digest, raw, meaning,
    marks::text[], verdict, alarm
  from unnest(${['text', 'timestamptz', 'text', 'text', 'text', 'text', 'text', 'text', 'bytea', 'bytea', 'json', 'text', 'text', 'bigint']
    .map((type, index) => `$${ALARM_PARAMETERS + 1 + index}::${type}[]`)
    .join(', ')})
    as s(id, received_at, protocol, source, device, municipality, household_id, message_id, digest, raw, meaning, marks, verdict, alarm)
  on conflict (id) do nothing
)
select 1`;

/** Whoever holds a household for longer keeps only that household waiting (keep.ts), and never a lane for long. */
const LOCK_WITHIN_MS: Milliseconds = 400;

/** @param committed called after each commit, to make the relay prompt */
export function createSignalStore(postgres: Postgres, committed: () => void): SignalStore {
  const numbers = new Numbers();
  return {
    async keep(signals, admitOne, now = Math.max(...signals.map(({ receivedAt }) => receivedAt))) {
      try {
        const receipts = await inTransaction(
          postgres,
          (client, withCommit) => keepBatch(client, withCommit, signals, admitOne, numbers, now),
          LOCK_WITHIN_MS,
        );
        reached('after-commit');
        committed();
        return receipts;
      } catch (error) {
        throw isSignalsFault(error) ? error : await failingOrAway(postgres, error);
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

async function keepBatch(
  client: pg.ClientBase,
  withCommit: WithCommit,
  signals: readonly Signal[],
  admitOne: Admit,
  numbers: Numbers,
  now: Instant,
): Promise<Receipt[]> {
  const prepared = signals.map((signal) => ({
    signal,
    key: joiningKey(signal),
    digest: Buffer.from(signal.digest),
  }));
  const keys = [...new Set(prepared.map(({ key }) => key))].toSorted();
  const { memory, spare } = await prepare(client, prepared, keys, numbers);
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
  withCommit(write(client, prepared, admissions, changed, now));
  withCommit(changeAsks(client, changed, now));
  reached('before-commit');
  return admissions.map(({ verdict, alarm }) => ({ verdict, alarm }));
}

interface Found {
  readonly earlier: EarlierSignal[] | null;
  readonly used: UsedId[] | null;
  readonly alarms: AlarmRow[] | null;
  readonly closed: ClosedRow[] | null;
  readonly numbers: string[];
}

/** Locks the keys, then reads what the signals meet (migration 0012-recall). */
async function prepare(
  client: pg.ClientBase,
  prepared: readonly Prepared[],
  keys: readonly string[],
  numbers: Numbers,
): Promise<{ readonly memory: Memory; readonly spare: string[] }> {
  const withId = prepared.filter(({ signal }) => signal.messageId !== null);
  const without = prepared.filter(({ signal }) => signal.messageId === null);
  const earliest = Math.min(...prepared.map(({ signal }) => signal.receivedAt));
  const openings = prepared.filter(({ signal }) => laneOf(signal) !== null).length;
  const spare = numbers.take(openings);
  const values = [
    texts(keys),
    texts(withId.map(({ signal }) => signal.source)),
    texts(withId.map(({ signal }) => signal.messageId)),
    byteStrings(withId.map(({ digest }) => digest)),
    texts(without.map(({ signal }) => signal.source)),
    byteStrings(without.map(({ digest }) => digest)),
    toIso(earliest - DUPLICATE_WINDOW_WITHOUT_ID_MS),
    toIso(earliest - SOON_AFTER_CLOSED_MS),
    openings > 0,
    openings - spare.length,
  ];
  const { rows } = await client.query<Found>({ name: 'prepare-batch', text: PREPARE, values });
  const [found] = rows;
  return {
    memory: remember(found?.earlier ?? [], found?.used ?? [], found?.alarms ?? [], found?.closed ?? []),
    spare: [...spare, ...(found?.numbers ?? [])],
  };
}

async function write(
  client: pg.ClientBase,
  prepared: readonly Prepared[],
  admissions: readonly Admission[],
  changed: readonly ChangedAlarm[],
  now: Instant,
): Promise<void> {
  const signals = prepared.map(({ signal }) => signal);
  const values = [
    ...alarmValues(changed, now),
    texts(signals.map(({ id }) => id)),
    instants(signals.map(({ receivedAt }) => receivedAt)),
    texts(signals.map(({ protocol }) => protocol)),
    texts(signals.map(({ source }) => source)),
    texts(signals.map(({ device }) => device)),
    texts(signals.map(({ municipality }) => municipality)),
    texts(signals.map(({ household }) => household?.id ?? null)),
    texts(signals.map(({ messageId }) => messageId)),
    byteStrings(signals.map(({ digest }) => digest)),
    byteStrings(signals.map(({ raw }) => raw)),
    jsons(signals.map(({ meaning }) => meaning)),
    texts(signals.map(({ marks }, index) => arrayLiteral(admissions[index]?.marks ?? marks))),
    texts(admissions.map(({ verdict }) => verdict)),
    bigints(admissions.map(({ alarm }) => alarm)),
  ];
  await client.query({ name: 'keep-signals', text: KEEP, values });
}
