/** What replying to SCAIP units needs of PostgreSQL: which units do not acknowledge, and which message was the first of a need. */
import { type Instant, toIso } from '../base/clock.ts';
import type { ReplyMarkStore } from '../devices/reply-marks.ts';
import type { Postgres } from './postgres.ts';
import { rowsOf } from './query.ts';

const MARKED = 'select serial from device_seen where reply_unacknowledged_at is not null';
const MARK = 'update device_seen set reply_unacknowledged_at = $2 where serial = $1';

export function createReplyMarkStore(postgres: Postgres): ReplyMarkStore {
  return {
    marked: async () => (await rowsOf<{ serial: string }>(postgres, MARKED)).map(({ serial }) => serial),
    mark: async (serial: string, since: Instant | null) => {
      await rowsOf(postgres, MARK, [serial, since === null ? null : toIso(since)]);
    },
  };
}

const FIRST_NEED = `
  select message_id, digest from signal
  where alarm = $1 and source = $2 and meaning ->> 'role' = 'need' and verdict in ('opened', 'repeated')
  order by received_at, id limit 1`;

/** One message of a sender: what it said, and to which alarm that belongs. */
export interface NeedMessage {
  readonly alarm: string;
  readonly source: string;
  readonly messageId: string | null;
  readonly digest: Uint8Array;
}

/**
 * Whether a message was the first need of its sender in its alarm; the same for a duplicate of it, also after a restart.
 * @throws CentreError store-away
 */
export function createFirstNeeds(postgres: Postgres): (message: NeedMessage) => Promise<boolean> {
  return async ({ alarm, source, messageId, digest }) => {
    const [first] = await rowsOf<{ message_id: string | null; digest: Buffer }>(postgres, FIRST_NEED, [alarm, source]);
    return first !== undefined && first.message_id === messageId && first.digest.equals(digest);
  };
}
