/** What the bridge remembers of its sessions at an external broker, in PostgreSQL. */
import { type Instant, toIso } from '../base/clock.ts';
import type { BridgeSession, BridgeSessionStore } from '../protocols/mqtt/bridge-options.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

interface Row {
  readonly client_id: string;
  readonly connected_at: Date;
  readonly seen_at: Date;
  readonly filters: string[];
  readonly settled_at: Date | null;
  readonly gap_from: Date | null;
  readonly echoes: boolean;
}

const LOAD = 'select client_id, connected_at, seen_at, filters, settled_at, gap_from, echoes from bridge_session order by client_id';
const SAVE = `
  insert into bridge_session (client_id, connected_at, seen_at, filters, settled_at, gap_from, echoes) values ($1, $2, $3, $4, $5, $6, $7)
  on conflict (client_id) do update set connected_at = excluded.connected_at, seen_at = excluded.seen_at, filters = excluded.filters,
    settled_at = excluded.settled_at, gap_from = excluded.gap_from, echoes = excluded.echoes`;

const isoOrNull = (at: Instant | null): string | null => (at === null ? null : toIso(at));

export function createBridgeSessionStore(postgres: Postgres): BridgeSessionStore {
  return {
    async load() {
      return (await rowsOf<Row>(postgres, LOAD)).map(sessionOf);
    },
    async save({ clientId, connectedAt, seenAt, filters, settledAt, gapFrom, echoes }) {
      const values = [clientId, toIso(connectedAt), toIso(seenAt), filters, isoOrNull(settledAt), isoOrNull(gapFrom), echoes];
      await rowsOf(postgres, SAVE, values);
    },
    async forget(clientId) {
      await rowsOf(postgres, 'delete from bridge_session where client_id = $1', [clientId]);
    },
  };
}

const sessionOf = (row: Row): BridgeSession => ({
  clientId: row.client_id,
  connectedAt: row.connected_at.getTime(),
  seenAt: row.seen_at.getTime(),
  filters: row.filters,
  settledAt: row.settled_at?.getTime() ?? null,
  gapFrom: row.gap_from?.getTime() ?? null,
  echoes: row.echoes,
});
