/** What replaying the spill asks of PostgreSQL beside the keeping itself: what is there already, and the aliases. */
import type { Alias } from '../alarms/provisional.ts';
import type { SpillStore } from '../intake/spill-replay.ts';
import type { Postgres } from './postgres.ts';
import { failingOrAway, probe } from './probe.ts';
import { rowsOf } from './query.ts';

const KNOWN = 'select id::text, alarm::text from signal where id = any($1::uuid[])';
/** What was said of a claim first, stands. */
const NAME = `insert into alarm_alias (alias, alarm, claim) select * from unnest($1::text[], $2::bigint[], $3::jsonb[])
on conflict (alias) do update set claim = excluded.claim where alarm_alias.claim is null and excluded.claim is not null`;
const ALIASES = 'select alias, alarm::text, claim from alarm_alias where alias = any($1::text[])';

export function createSpillStore(postgres: Postgres): SpillStore {
  return {
    async known(ids) {
      try {
        const rows = await rowsOf<{ id: string; alarm: string | null }>(postgres, KNOWN, [ids]);
        return new Map(rows.map(({ id, alarm }) => [id, alarm]));
      } catch (error) {
        throw await failingOrAway(postgres, error);
      }
    },
    async name(aliases) {
      // A signal may have been spilled twice, and a statement may change a row but once.
      const each = [...new Map(aliases.map((one) => [one.number, one])).values()];
      if (each.length === 0) return;
      const claims = each.map(({ claim }) => (claim === null ? null : JSON.stringify(claim)));
      await rowsOf(postgres, NAME, [each.map(({ number }) => number), each.map(({ alarm }) => alarm), claims]);
    },
    async aliasOf(number) {
      return (await aliasesOf(postgres, [number])).get(number) ?? null;
    },
    probe: () => probe(postgres),
  };
}

/** What these provisional numbers became, as far as they are known. @throws CentreError store-away */
export async function aliasesOf(postgres: Postgres, numbers: readonly string[]): Promise<ReadonlyMap<string, Alias>> {
  const rows = await rowsOf<{ alias: string } & Alias>(postgres, ALIASES, [numbers]);
  return new Map(rows.map(({ alias, alarm, claim }) => [alias, { alarm, claim }]));
}
