/** Where registered SIP units can be reached, kept over a restart: one row for each unit. */
import { toIso } from '../base/clock.ts';
import type { Binding, BindingStore } from '../protocols/sip/registrar.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

interface BindingRow {
  readonly unit: string;
  readonly transport: Binding['transport'];
  readonly address: string;
  readonly port: number;
  readonly contact: string;
  readonly registered_at: Date;
  readonly expires_at: Date;
}

// Of two registrations of a unit that two processes write at once, the later one stays.
const SAVE = `
  insert into sip_binding as b (unit, transport, address, port, contact, registered_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7)
  on conflict (unit) do update set transport = excluded.transport, address = excluded.address, port = excluded.port,
    contact = excluded.contact, registered_at = excluded.registered_at, expires_at = excluded.expires_at
  where b.registered_at <= excluded.registered_at`;

export function createBindingStore(postgres: Postgres): BindingStore {
  return {
    async load() {
      const rows = await rowsOf<BindingRow>(postgres, 'select * from sip_binding');
      return rows.map(({ registered_at: registeredAt, expires_at: expiresAt, ...binding }) => ({
        ...binding,
        registeredAt: registeredAt.getTime(),
        expiresAt: expiresAt.getTime(),
      }));
    },
    async save({ unit, transport, address, port, contact, registeredAt, expiresAt }) {
      await rowsOf(postgres, SAVE, [unit, transport, address, port, contact, toIso(registeredAt), toIso(expiresAt)]);
    },
    async remove(unit) {
      await rowsOf(postgres, 'delete from sip_binding where unit = $1', [unit]);
    },
  };
}
