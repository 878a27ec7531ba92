/** The rows of asks: leased, put off, recorded, many at once; what is due, what is overdue, and what waits for a report. */
import type pg from 'pg';
import type { Channel } from '../alarms/command.ts';
import type { AlarmPriority } from '../alarms/signal.ts';
import { type Instant, type Milliseconds, toIso } from '../base/clock.ts';
import type { AskBacklog, AskLedger, AskOutcome, LeasedAsk, SentAsk, SentAsks, Urgency } from '../escalation/ask.ts';
import { gathering } from '../intake/gather.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';
import { inTransaction } from './transaction.ts';

/** Design § 2, Waits: one person gets at most one gathered message a minute about anything but life. */
const PACE_MS: Milliseconds = 60_000;
/** For how long a provider is asked about a message; after that it stays "sent". */
const REPORTS_FOR_MS: Milliseconds = 10 * 60_000;
const FIRST_REPORT_MS: Milliseconds = 2000;

/**
 * Of so many others at most a gathered message tells: all of them must be recorded well within the lease. Whoever is behind
 * more than that is told of the rest a minute later.
 */
const GATHERED_AT_MOST = 1000;
/** Leases, and results, of so many asks share a statement. */
const AT_ONCE = 64;

const LEASE_ALL = 'select * from lease_asks($1, $2, $3)';
/** `skip locked`: an ask that somebody else is taking is not waited for, and no two leases can wait for each other. */
const TAKE = `select k.id, k.alarm, k.account, k.channel, k.due_at, k.attempts + 1 as attempt, a.priority,
    a.municipality, a.fold->'household'->>'zone' as zone, coalesce(p.phone, '') as phone
  from ask k join alarm a on a.number = k.alarm left join account p on p.username = k.account and p.disabled_at is null`;
const TAKE_ONE = `${TAKE} where k.id = $1 and k.state = 'pending' and k.try_at <= $2 for update of k skip locked`;
const TAKE_OTHERS = `${TAKE} where k.account = $1 and k.state = 'pending' and k.channel = 'sms' and k.try_at <= $2 and k.id <> $3
  and a.priority_rank > 0 order by k.due_at, k.id limit ${GATHERED_AT_MOST} for update of k skip locked`;
const MAKE_PACE = 'insert into sms_pace (account, ask, next_at) values ($1, $2, $3) on conflict do nothing';
const PACE = 'select ask, next_at from sms_pace where account = $1 for update';
const SET_PACE = 'update sms_pace set ask = $2, next_at = $3 where account = $1';
/** All that wait for the person's minute, not only the one that was to be sent: with hundreds, each would come to ask. */
const WAIT_FOR_PACE = `update ask set try_at = $2 where id in (select k.id from ask k join alarm a on a.number = k.alarm
  where k.account = $1 and k.state = 'pending' and k.channel = 'sms' and k.try_at <= $3 and k.id <> $4 and a.priority_rank > 0
  order by k.id for update of k skip locked)`;
const LEASE = `update ask set try_at = $2, attempts = attempts + 1 where id = any($1::uuid[])`;
const AGAIN = `update ask set try_at = $2 where id in (select id from ask where id = any($1::uuid[]) and state = 'pending' order by id for update)`;

/** Locked in the order of their ids, as wherever several asks are written (0009-deadlines). */
const KEEP_TAKEN = `with locked as (select id from ask where id = any($1::uuid[]) and state = 'pending' order by id for update)
  update ask k set provider_id = t.provider_id from locked l join unnest($1::uuid[], $2::text[]) as t(id, provider_id) on t.id = l.id
  where k.id = l.id`;
/** Only the newest entries are looked through: a timeline may be very long, and this is about seconds ago. */
const TAKEN = `select k.id, k.provider_id, exists (
    select from (select event from timeline where alarm = k.alarm order by version desc limit 500) e
    where e.event->>'event' = 'ask-sent' and e.event->>'ask' = k.id::text) as told
  from ask k where k.id = any($1::uuid[]) and k.provider_id is not null`;

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

/** What a lease of several finds: an ask that was taken, or one that its person's pace decides about. */
type FoundRow = (TakenRow & { readonly paced: false }) | { readonly id: string; readonly account: string; readonly paced: true };

const leased = ({ id, alarm, account, channel, due_at, attempt, priority, municipality, zone, phone }: TakenRow): LeasedAsk => {
  return { id, alarm, account, channel, phone, priority, municipality, zone, dueAt: due_at.getTime(), attempt };
};

export function createAskLedger(postgres: Postgres): AskLedger {
  const leaseOne = gathering(AT_ONCE, async (wishes: readonly Wish[]) => {
    const now = Math.max(...wishes.map((wish) => wish.now));
    const until = Math.max(...wishes.map((wish) => wish.leaseUntil));
    const values = [wishes.map(({ id }) => id), toIso(now), toIso(until)];
    const rows = await rowsOf<FoundRow>(postgres, LEASE_ALL, values, 'lease-asks');
    const found = new Map(rows.map((row) => [row.id, row]));
    return wishes.map(({ id }) => {
      const row = found.get(id) ?? null;
      // The same id twice at once: one of them has the lease.
      found.delete(id);
      return row;
    });
  });
  const keepOne = gathering(AT_ONCE, async (all: readonly { ids: readonly string[]; providerId: string }[]) => {
    const values = [all.flatMap(({ ids }) => ids), all.flatMap(({ ids, providerId }) => ids.map(() => providerId))];
    await rowsOf(postgres, KEEP_TAKEN, values);
    return all.map(() => undefined);
  });
  const recordOne = gathering(AT_ONCE, async (results: readonly Result[]) => {
    const rows = lastOfEach(results).map(({ id, outcome, providerId, now }) => {
      return { id, outcome, provider_id: providerId, recorded_at: toIso(now), try_at: toIso(now + FIRST_REPORT_MS) };
    });
    await rowsOf(postgres, 'select record_asks($1)', [JSON.stringify(rows)], 'record-asks');
    return results.map(() => undefined);
  });
  const hastenOne = gathering(AT_ONCE, async (all: readonly { alarm: string; account: string; now: Instant }[]) => {
    const values = [all.map(({ alarm }) => alarm), all.map(({ account }) => account), toIso(Math.max(...all.map(({ now }) => now)))];
    await rowsOf(postgres, 'select hasten_asks($1, $2, $3)', values, 'hasten-asks');
    return all.map(() => undefined);
  });
  return {
    async lease(id, now, leaseUntil) {
      const found = await leaseOne({ id, now, leaseUntil });
      if (found === null) return [];
      return found.paced ? leasePaced(postgres, found.account, { id, now, leaseUntil }) : [leased(found)];
    },
    async again(ids, tryAt) {
      await rowsOf(postgres, AGAIN, [ids, toIso(tryAt)]);
    },
    keepTaken: (ids, providerId) => keepOne({ ids, providerId }),
    async taken(ids) {
      const rows = await rowsOf<{ id: string; provider_id: string; told: boolean }>(postgres, TAKEN, [ids]);
      return new Map(rows.map(({ id, provider_id: providerId, told }) => [id, { providerId, told }]));
    },
    record: (id, outcome, providerId, now) => recordOne({ id, outcome, providerId, now }),
    hasten: (alarm, account, now) => hastenOne({ alarm, account, now }),
  };
}

interface Wish {
  readonly id: string;
  readonly now: Instant;
  readonly leaseUntil: Instant;
}

interface Result {
  readonly id: string;
  readonly outcome: AskOutcome;
  readonly providerId: string | null;
  readonly now: Instant;
}

/** One result for each ask, as if they had been recorded one after the other: only "sent" is followed by another. */
function lastOfEach(results: readonly Result[]): Result[] {
  const last = new Map<string, Result>();
  for (const result of results) {
    const before = last.get(result.id);
    if (before === undefined) last.set(result.id, result);
    else if (before.outcome === 'sent') last.set(result.id, { ...result, providerId: result.providerId ?? before.providerId });
  }
  return [...last.values()];
}

/** An SMS about anything but life: with it goes all that is due for its person, once a minute. */
function leasePaced(postgres: Postgres, account: string, { id, now, leaseUntil }: Wish): Promise<LeasedAsk[]> {
  return inTransaction(postgres, async (client) => {
    if (!(await mayHaveMessage(client, account, id, now))) return [];
    const lead = (await client.query<TakenRow>({ name: 'take-ask', text: TAKE_ONE, values: [id, toIso(now)] })).rows[0];
    if (lead === undefined) return [];
    const taken = [lead, ...(await client.query<TakenRow>(TAKE_OTHERS, [account, toIso(now), id])).rows];
    await client.query(SET_PACE, [account, id, toIso(now + PACE_MS)]);
    await client.query(LEASE, [taken.map((row) => row.id), toIso(leaseUntil)]);
    return taken.map(leased);
  });
}

/**
 * Whether the person's minute is over, or this ask led the last message and is tried again. The row of the person is
 * locked before any ask: of two workers with two asks of one person, the first gathers both and the second waits.
 */
async function mayHaveMessage(client: pg.ClientBase, account: string, id: string, now: Instant): Promise<boolean> {
  await client.query(MAKE_PACE, [account, id, toIso(now)]);
  const pace = (await client.query<{ ask: string; next_at: Date }>(PACE, [account])).rows[0];
  if (pace === undefined || pace.ask === id || pace.next_at.getTime() <= now) return true;
  await client.query(WAIT_FOR_PACE, [account, pace.next_at, toIso(now), pace.ask]);
  return false;
}

/** Ranks of alarms.priority_rank: 0 life, 1 urgent, 2 care, 3 technical. */
const RANKS: Readonly<Record<Urgency, readonly [number, number]>> = { life: [0, 0], urgent: [1, 1], care: [2, 3] };

const DUE = 'select id, try_at from due_asks($1, $2, $3, $4)';

interface WaitingRow {
  readonly id: string;
  readonly try_at: Date;
}
const waiting = ({ id, try_at: at }: WaitingRow) => ({ id, tryAt: at.getTime() });

export function createAskBacklog(postgres: Postgres): AskBacklog {
  return {
    async soon(urgency, until, limit) {
      return (await rowsOf<WaitingRow>(postgres, DUE, [...RANKS[urgency], toIso(until), limit], 'due-asks')).map(waiting);
    },
    async overdue(since, limit) {
      return (await rowsOf<WaitingRow>(postgres, DUE, [0, 3, toIso(since), limit], 'due-asks')).map(waiting);
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
