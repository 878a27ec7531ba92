/** The processes of this centre: who lives, what it does and where it is reached; and the secret by which they know one another. */
import { type Instant, type Milliseconds, toIso } from '../base/clock.ts';
import { type Random, secret } from '../base/ids.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

/** One process; addresses are null where it does not listen. */
export interface CentreNode {
  /** Of this start of it (UUID). */
  readonly id: string;
  readonly roles: readonly string[];
  /** `host:port` of its direct stream. */
  readonly direct: string | null;
  /** SHA-256 of the certificate of the direct stream, hexadecimal; null: it speaks plain TCP. */
  readonly directSha256: string | null;
  /** URL. */
  readonly http: string | null;
  /** `host:port`. */
  readonly mqtt: string | null;
  /** `host:port`. */
  readonly sipUdp: string | null;
}

/** Each call may throw CentreError store-away. */
export interface Nodes {
  /** Says that this process lives and where it is reached; again at least every `ANNOUNCE_EVERY_MS`. */
  announce(node: CentreNode, now: Instant): Promise<void>;
  /** Those that were heard within `NODE_DEAD_AFTER_MS`. */
  list(now: Instant): Promise<CentreNode[]>;
  remove(id: string): Promise<void>;
}

export const ANNOUNCE_EVERY_MS: Milliseconds = 5000;
export const NODE_DEAD_AFTER_MS: Milliseconds = 15_000;
/** Rows of the dead are of interest to nobody after this. */
const FORGOTTEN_AFTER_MS: Milliseconds = 3_600_000;

const ANNOUNCE = `
  with gone as (delete from node where heard_at < $9)
  insert into node (id, roles, direct, direct_sha256, http, mqtt, sip_udp, heard_at) values ($1, $2, $3, $4, $5, $6, $7, $8)
  on conflict (id) do update set roles = excluded.roles, direct = excluded.direct, direct_sha256 = excluded.direct_sha256,
    http = excluded.http, mqtt = excluded.mqtt, sip_udp = excluded.sip_udp, heard_at = excluded.heard_at`;
const LIST = `select id, roles, direct, direct_sha256, http, mqtt, sip_udp from node where heard_at > $1 order by id`;

interface NodeRow {
  readonly id: string;
  readonly roles: string[];
  readonly direct: string | null;
  readonly direct_sha256: string | null;
  readonly http: string | null;
  readonly mqtt: string | null;
  readonly sip_udp: string | null;
}

export function createNodes(postgres: Postgres): Nodes {
  return {
    async announce({ id, roles, direct, directSha256, http, mqtt, sipUdp }, now) {
      const values = [id, roles, direct, directSha256, http, mqtt, sipUdp, toIso(now), toIso(now - FORGOTTEN_AFTER_MS)];
      await rowsOf(postgres, ANNOUNCE, values);
    },
    async list(now) {
      const rows = await rowsOf<NodeRow>(postgres, LIST, [toIso(now - NODE_DEAD_AFTER_MS)]);
      return rows.map(({ direct_sha256: directSha256, sip_udp: sipUdp, ...node }) => ({ ...node, directSha256, sipUdp }));
    },
    async remove(id) {
      await rowsOf(postgres, 'delete from node where id = $1', [id]);
    },
  };
}

/**
 * A secret that all processes of this centre share; whoever asks first makes it.
 * @param name `direct`: what a console shows to an intake's direct stream
 * @throws CentreError store-away
 */
export async function centreSecret(postgres: Postgres, name: string, random: Random, now: Instant): Promise<string> {
  const make = 'insert into centre_secret (name, secret, made_at) values ($1, $2, $3) on conflict do nothing';
  await rowsOf(postgres, make, [name, secret(random, 256), toIso(now)]);
  const [row] = await rowsOf<{ secret: string }>(postgres, 'select secret from centre_secret where name = $1', [name]);
  if (row === undefined) throw new RangeError(`the secret "${name}" was made and is not there`);
  return row.secret;
}
