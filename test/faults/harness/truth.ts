/** What PostgreSQL says, read by plain queries that share nothing with the code that wrote it. */
import type { OwnStores } from './own-stores.ts';

export interface SignalRow {
  readonly id: string;
  readonly source: string;
  readonly message_id: string | null;
  readonly verdict: 'opened' | 'repeated' | 'joined' | 'kept' | 'duplicate';
  readonly alarm: string | null;
}

export interface AlarmRow {
  readonly number: string;
  readonly device: string;
  readonly joining_key: string;
  readonly lane: string;
  readonly lane_key: string;
  readonly version: number;
  readonly signals: number;
  readonly closed: boolean;
}

/** An event as it lies in the row; only what is judged here. */
export interface TimelineEvent {
  readonly event: string;
  readonly what?: string;
  readonly rung?: string | null;
  readonly text?: string;
  /** Of the one that opened the alarm. */
  readonly sender?: { readonly municipality: string | null };
  readonly recipients?: readonly {
    readonly account: string;
    readonly asks: readonly { readonly id: string; readonly channel: string }[];
  }[];
}

export interface TimelineRow {
  readonly alarm: string;
  readonly version: number;
  /** Wall clock, milliseconds. */
  readonly at: number;
  readonly account: string | null;
  readonly event: TimelineEvent;
  /** Which wait is armed for when; null: not any more. */
  readonly arms: Readonly<Record<string, number | null>>;
}

export interface AskRow {
  readonly id: string;
  readonly alarm: string;
  readonly account: string;
  readonly channel: string;
  readonly state: 'pending' | 'sent' | 'delivered' | 'failed' | 'withdrawn';
  readonly due_at: number;
  /** Whether its alarm is of the priority `life`. */
  readonly life: boolean;
  readonly provider_id: string | null;
}

export interface Truth {
  /** Wall clock, milliseconds: when it was read. */
  readonly readAt: number;
  readonly signals: readonly SignalRow[];
  /** Those that are open, or changed since. */
  readonly alarms: readonly AlarmRow[];
  /** Their timelines, whole, by alarm and version. */
  readonly timeline: readonly TimelineRow[];
  /** Their asks. */
  readonly asks: readonly AskRow[];
  readonly outbox: number;
  /** Telephone numbers of accounts. */
  readonly phones: Readonly<Record<string, string>>;
}

/** A message whose acknowledgement was late may have been kept this much earlier. */
const BEFORE_MS = 120_000;
/** A command is answered a little later than it was carried out. */
const ANSWER_MS = 15_000;
const EPOCH_MS = (column: string): string => `(extract(epoch from ${column}) * 1000)::float8`;

/** Of all times. */
export const readSignals = ({ sql }: Pick<OwnStores, 'sql'>): Promise<SignalRow[]> =>
  sql<SignalRow>('select id, source, message_id, verdict, alarm from signal');

/** @param since wall clock, milliseconds */
export async function readTruth({ sql }: Pick<OwnStores, 'sql'>, since: number): Promise<Truth> {
  const from = new Date(since - ANSWER_MS);
  const concerned = 'select number from alarm where closed_at is null or changed_at >= $1';
  const [signals, alarms, timeline, asks, outbox, accounts] = await Promise.all([
    sql<SignalRow>('select id, source, message_id, verdict, alarm from signal where received_at >= $1', [new Date(since - BEFORE_MS)]),
    sql<AlarmRow>(
      `select number, device, joining_key, lane, lane_key, version, closed_at is not null as closed,
        (select count(*)::int from signal s where s.alarm = a.number and s.verdict <> 'duplicate') as signals
      from alarm a where number in (${concerned})`,
      [from],
    ),
    sql<TimelineRow>(
      `select alarm, version, ${EPOCH_MS('at')} as at, actor->>'account' as account, event, arms
      from timeline where alarm in (${concerned}) order by alarm, version`,
      [from],
    ),
    sql<AskRow>(
      `select id, alarm, account, channel, state, ${EPOCH_MS('due_at')} as due_at, provider_id,
        (select priority = 'life' from alarm a where a.number = ask.alarm) as life
      from ask where alarm in (${concerned})`,
      [from],
    ),
    sql<{ count: number }>('select count(*)::int as count from outbox'),
    sql<{ username: string; phone: string }>('select username, phone from account'),
  ]);
  return {
    readAt: Date.now(),
    signals,
    alarms,
    timeline,
    asks,
    outbox: outbox[0]?.count ?? 0,
    phones: Object.fromEntries(accounts.map(({ username, phone }) => [username, phone])),
  };
}
