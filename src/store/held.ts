/** Held alarms in PostgreSQL: one row for each source and message, bounded, taken when due by putting the deadline off. */
import { UNREADABLE } from '../devices/interpretation.ts';
import { storable } from '../base/bytes.ts';
import { type Instant, toIso } from '../base/clock.ts';
import type { Signal } from '../alarms/signal.ts';
import type { HeldStore } from '../intake/hold.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

// Technical warnings and what may be a call for help have places of their own. Inserted in the order of their keys, so that two
// processes that hold at once cannot wait for each other in a circle.
const IS_TECHNICAL = (signal: string): string => `${signal}->'meaning'->>'role' is not distinct from 'technical'`;
const HOLD = `
  with told as (
    select t.n, t.id, t.source, t.signal, b.digest, b.raw, ${IS_TECHNICAL('t.signal')} as technical,
      row_number() over (partition by t.source, ${IS_TECHNICAL('t.signal')} order by t.n) as place
    from jsonb_to_recordset($1::jsonb) as t(n int, id uuid, source text, signal jsonb)
    join unnest($2::bytea[], $3::bytea[]) with ordinality as b(digest, raw, n) on b.n = t.n
  ), crowd as (
    select ${IS_TECHNICAL('signal')} as technical from held_signal group by 1 having count(*) >= $7
  ), placed as (
    select told.*, (select count(*) from held_signal h where h.source = told.source and (${IS_TECHNICAL('h.signal')}) = told.technical) as before
    from told
  )
  insert into held_signal (id, source, digest, held_at, due_at, signal, raw)
  select id, source, digest, $4, $5, signal, raw from placed
  where place + before <= $6 and (technical not in (select technical from crowd) or place + before = 1)
  order by source, digest
  on conflict do nothing
  returning 1`;
const WHICH_ARE_HELD = `
  select m.n::int from unnest($1::text[], $2::bytea[]) with ordinality as m(source, digest, n)
  where exists (select from held_signal h where (h.source, h.digest) = (m.source, m.digest))`;

// A statement of its own and no transaction around it: while the alarm is being kept, no row is locked.
const LEASE = `
  update held_signal h set due_at = $2
  from (select id from held_signal where due_at <= $1 order by due_at, id limit $3 for update skip locked) due
  where h.id = due.id returning h.id, h.source, h.digest, h.held_at, h.signal, h.raw`;
const REMOVE = `
  with gone as (
    select h.id from held_signal h join unnest($1::text[], $2::bytea[]) as m(source, digest) on (h.source, h.digest) = (m.source, m.digest)
    order by h.id for update of h
  )
  delete from held_signal where id in (select id from gone)`;

interface HeldRow {
  readonly id: string;
  readonly source: string;
  readonly digest: Buffer;
  readonly held_at: Date;
  readonly signal: Partial<Signal> | null;
  readonly raw: Buffer;
}

export function createHeldStore(postgres: Postgres): HeldStore {
  return {
    async hold(signals, heldAt, dueAt, { perSource, inAll }) {
      const told = signals.map((signal, index) => {
        const { raw: _raw, digest: _digest, ...rest } = signal;
        return { n: index + 1, id: signal.id, source: signal.source, signal: rest };
      });
      const digests = signals.map(({ digest }) => Buffer.from(digest));
      const raws = signals.map(({ raw }) => Buffer.from(raw));
      const values = [asJson(told), digests, raws, toIso(heldAt), toIso(dueAt), perSource, inAll];
      const made = await rowsOf(postgres, HOLD, values);
      if (made.length === signals.length) return signals.map(() => true);
      // Some were there before (or somebody made them just now), or do not fit.
      const sources = signals.map(({ source }) => storable(source));
      const held = new Set((await rowsOf<{ n: number }>(postgres, WHICH_ARE_HELD, [sources, digests])).map(({ n }) => n));
      return signals.map((_signal, index) => held.has(index + 1));
    },
    async lease(now, until, limit) {
      const rows = await rowsOf<HeldRow>(postgres, LEASE, [toIso(now), toIso(until), limit]);
      return rows.map(signalOf).toSorted((a, b) => a.receivedAt - b.receivedAt || (a.id < b.id ? -1 : 1));
    },
    async remove(keys) {
      await rowsOf(postgres, REMOVE, [keys.map(({ source }) => source), keys.map(({ digest }) => Buffer.from(digest))]);
    },
  };
}

/** NUL and lone surrogates are replaced: a text that PostgreSQL refuses must not keep an alarm from being held. */
const asJson = (value: unknown): string =>
  JSON.stringify(value, (_key, part: unknown) => (typeof part === 'string' ? storable(part) : part));

/** A row that another version wrote may lack something: its bytes are shown all the same. */
function signalOf({ id, source, digest, raw, held_at: heldAt, signal }: HeldRow): Signal {
  const given = signal ?? {};
  const receivedAt: Instant = given.receivedAt ?? heldAt.getTime();
  return {
    id,
    source,
    digest,
    raw,
    receivedAt,
    device: given.device ?? source,
    municipality: given.municipality ?? '',
    household: given.household ?? null,
    protocol: given.protocol ?? 'scaip',
    messageId: given.messageId ?? null,
    meaning: given.meaning ?? { ...UNREADABLE, trigger: '' },
    marks: given.marks ?? ['processing-failed'],
  };
}
