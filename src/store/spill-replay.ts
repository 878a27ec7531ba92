/** What replaying the spill asks of PostgreSQL beside the keeping itself: what is there already, and the aliases. */
import type { SpillStore } from '../intake/spill-replay.ts';
import type { Milliseconds } from '../base/clock.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';
import { inTransaction } from './transaction.ts';

const KNOWN = 'select id::text, alarm::text from signal where id = any($1::uuid[])';
const NAME = `insert into alarm_alias (alias, alarm) select * from unnest($1::text[], $2::bigint[]) on conflict (alias) do nothing`;
const ALARM_OF = 'select alarm::text from alarm_alias where alias = $1';

/** What keeping locks of tables, then a record in the write-ahead log that nobody reads: the commit must reach the disk. */
const PROBE = `lock table joining, signal, alarm, timeline in row exclusive mode;
select pg_logical_emit_message(true, 'responssenter', 'probe')`;
const PROBE_WITHIN_MS: Milliseconds = 400;

export function createSpillStore(postgres: Postgres): SpillStore {
  return {
    async known(ids) {
      const rows = await rowsOf<{ id: string; alarm: string | null }>(postgres, KNOWN, [ids]);
      return new Map(rows.map(({ id, alarm }) => [id, alarm]));
    },
    async name(aliases) {
      if (aliases.length === 0) return;
      await rowsOf(postgres, NAME, [aliases.map(({ number }) => number), aliases.map(({ alarm }) => alarm)]);
    },
    alarmOf: createAliases(postgres),
    probe: () => inTransaction(postgres, async (client) => void (await client.query(PROBE)), PROBE_WITHIN_MS),
  };
}

/** The alarm that a provisional number became; null: none has that name. @throws CentreError store-away */
export function createAliases(postgres: Postgres): (number: string) => Promise<string | null> {
  return async (number) => (await rowsOf<{ alarm: string }>(postgres, ALARM_OF, [number]))[0]?.alarm ?? null;
}
