/** The rows of asks: leased, put off, recorded; what is due, what is overdue, and what waits for a report. */
import type pg from 'pg';
import type { Channel } from '../alarms/command.ts';
import type { AlarmPriority } from '../alarms/signal.ts';
import { type Instant, type Milliseconds, toIso } from '../base/clock.ts';
import type { AskBacklog, AskLedger, LeasedAsk, SentAsk, SentAsks, Urgency } from '../escalation/ask.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';
import { inTransaction } from './transaction.ts';

/** Design § 2, Waits: one person gets at most one gathered message a minute about anything but life. */
const PACE_MS: Milliseconds = 60_000;
/** For how long a provider is asked about a message; after that it stays "sent". */
const REPORTS_FOR_MS: Milliseconds = 10 * 60_000;
const FIRST_REPORT_MS: Milliseconds = 2000;

/** `skip locked`: an ask that somebody else is taking is not waited for, and no two leases can wait for each other. */
const TAKE = `select k.id, k.alarm, k.account, k.channel, k.due_at, k.attempts + 1 as attempt, a.priority,
    a.municipality, a.fold->'household'->>'zone' as zone, coalesce(p.phone, '') as phone
  from ask k join alarm a on a.number = k.alarm left join account p on p.username = k.account and p.disabled_at is null`;
const TAKE_ONE = `${TAKE} where k.id = $1 and k.state = 'pending' and k.try_at <= $2 for update of k skip locked`;
const TAKE_OTHERS = `${TAKE} where k.account = $1 and k.state = 'pending' and k.channel = 'sms' and k.try_at <= $2 and k.id <> $3
  and a.priority_rank > 0 order by k.due_at, k.id for update of k skip locked`;
const KIND = `select k.account, k.channel, a.priority_rank from ask k join alarm a on a.number = k.alarm
  where k.id = $1 and k.state = 'pending' and k.try_at <= $2`;
const MAKE_PACE = 'insert into sms_pace (account, ask, next_at) values ($1, $2, $3) on conflict do nothing';
const PACE = 'select ask, next_at from sms_pace where account = $1 for update';
const SET_PACE = 'update sms_pace set ask = $2, next_at = $3 where account = $1';
const WAIT_FOR_PACE = `update ask set try_at = $2 where id = $1 and state = 'pending' and try_at <= $3`;
const LEASE = `update ask set try_at = $2, attempts = attempts + 1 where id = any($1::uuid[])`;

interface KindRow {
  readonly account: string;
  readonly channel: Channel;
  readonly priority_rank: number;
}

interface TakenRow {
  readonly id: string;
  readonly alarm: string;
  readonly account: string;
  readonly channel: Channel;
  readonly due_at: Date;
  readonly attempt: number;
  readonly priority: AlarmPriority;
  readonly municipality: string;
  readonly zone: string | null;
  readonly phone: string;
}

const leased = ({ id, alarm, account, channel, due_at, attempt, priority, municipality, zone, phone }: TakenRow): LeasedAsk => {
  return { id, alarm, account, channel, phone, priority, municipality, zone, dueAt: due_at.getTime(), attempt };
};

export function createAskLedger(postgres: Postgres): AskLedger {
  return {
    lease: (id, now, leaseUntil) =>
      inTransaction(postgres, async (client) => {
        const kind = (await client.query<KindRow>({ name: 'ask-kind', text: KIND, values: [id, toIso(now)] })).rows[0];
        if (kind === undefined) return [];
        const paced = kind.channel === 'sms' && kind.priority_rank > 0;
        if (paced && !(await mayHaveMessage(client, kind.account, id, now))) return [];
        const lead = (await client.query<TakenRow>({ name: 'take-ask', text: TAKE_ONE, values: [id, toIso(now)] })).rows[0];
        if (lead === undefined) return [];
        const taken = paced ? [lead, ...(await client.query<TakenRow>(TAKE_OTHERS, [lead.account, toIso(now), id])).rows] : [lead];
        if (paced) await client.query(SET_PACE, [lead.account, id, toIso(now + PACE_MS)]);
        await client.query(LEASE, [taken.map((row) => row.id), toIso(leaseUntil)]);
        return taken.map(leased);
      }),
    async again(ids, tryAt) {
      await rowsOf(postgres, `update ask set try_at = $2 where id = any($1::uuid[]) and state = 'pending'`, [ids, toIso(tryAt)]);
    },
    async record(id, outcome, providerId, now) {
      // A sent one keeps the instant of sending; its next try_at is when the provider is asked for a report.
      const text = `update ask set state = $2, provider_id = coalesce($3, provider_id), recorded_at = $4, try_at = $5
        where id = $1 and state in ('pending', 'sent') and state <> $2`;
      await rowsOf(postgres, text, [id, outcome, providerId, toIso(now), toIso(now + FIRST_REPORT_MS)]);
    },
    async hasten(alarm, account, now) {
      const text = `update ask set due_at = $3, try_at = $3 where alarm = $1 and account = $2 and state = 'pending' and due_at > $3`;
      await rowsOf(postgres, text, [alarm, account, toIso(now)]);
    },
  };
}

/**
 * Whether the person's minute is over, or this ask led the last message and is tried again. The row of the person is
 * locked before any ask: of two workers with two asks of one person, the first gathers both and the second waits.
 */
async function mayHaveMessage(client: pg.ClientBase, account: string, id: string, now: Instant): Promise<boolean> {
  await client.query(MAKE_PACE, [account, id, toIso(now)]);
  const pace = (await client.query<{ ask: string; next_at: Date }>(PACE, [account])).rows[0];
  if (pace === undefined || pace.ask === id || pace.next_at.getTime() <= now) return true;
  await client.query(WAIT_FOR_PACE, [id, pace.next_at, toIso(now)]);
  return false;
}

/** Ranks of alarms.priority_rank: 0 life, 1 urgent, 2 care, 3 technical. */
const RANKS: Readonly<Record<Urgency, readonly [number, number]>> = { life: [0, 0], urgent: [1, 1], care: [2, 3] };

interface WaitingRow {
  readonly id: string;
  readonly try_at: Date;
}
const waiting = ({ id, try_at: at }: WaitingRow) => ({ id, tryAt: at.getTime() });

export function createAskBacklog(postgres: Postgres): AskBacklog {
  return {
    async soon(urgency, until, limit) {
      const text = `select id, try_at from ask where state = 'pending' and priority_rank between $1 and $2 and try_at <= $3
        order by try_at limit $4`;
      return (await rowsOf<WaitingRow>(postgres, text, [...RANKS[urgency], toIso(until), limit])).map(waiting);
    },
    async overdue(since, limit) {
      const text = `select id, try_at from ask where state = 'pending' and try_at <= $1 order by priority_rank, try_at limit $2`;
      return (await rowsOf<WaitingRow>(postgres, text, [toIso(since), limit])).map(waiting);
    },
  };
}

interface SentRow {
  readonly id: string;
  readonly alarm: string;
  readonly account: string;
  readonly channel: Channel;
  readonly provider_id: string;
}
const sentAsk = ({ id, alarm, account, channel, provider_id: providerId }: SentRow): SentAsk => {
  return { id, alarm, account, channel, providerId };
};

/** Asked for again after half of the time that has passed since it was sent: often at first, seldom later. */
const UNREPORTED = `update ask set try_at = $1::timestamptz + greatest(interval '2 seconds', ($1::timestamptz - recorded_at) / 2)
  where id in (select id from ask where state = 'sent' and recorded_at > $2 and try_at <= $1 and provider_id is not null
    order by try_at limit $3 for update skip locked)
  returning id, alarm, account, channel, provider_id`;
const BY_PROVIDER = `select id, alarm, account, channel, provider_id from ask where state = 'sent' and recorded_at > $2 and provider_id = $1`;

export function createSentAsks(postgres: Postgres): SentAsks {
  return {
    async unreported(now, limit) {
      return (await rowsOf<SentRow>(postgres, UNREPORTED, [toIso(now), toIso(now - REPORTS_FOR_MS), limit])).map(sentAsk);
    },
    async byProvider(providerId, now) {
      return (await rowsOf<SentRow>(postgres, BY_PROVIDER, [providerId, toIso(now - REPORTS_FOR_MS)])).map(sentAsk);
    },
  };
}
