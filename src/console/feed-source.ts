/** What the console's hub needs of the stores: the feed as a stream with epochs, and the alarms themselves. */
import type { Instant } from '../base/clock.ts';
import type { AlarmView } from '../alarms/view.ts';

/** A place in the feed; its feed id is `<epoch>.<id>`. */
export interface FeedPosition {
  /** New when the stream is created or Redis starts anew; holds no full stop. */
  readonly epoch: string;
  /** The stream's own id, `<milliseconds>-<number>`. */
  readonly id: string;
}

export const feedIdOf = ({ epoch, id }: FeedPosition): string => `${epoch}.${id}`;

/** Where a console process stands that never had a feed; foreign to every epoch. */
export const NO_POSITION: FeedPosition = { epoch: 'none', id: '0-0' };

export interface FeedEntry {
  readonly id: string;
  readonly view: AlarmView;
  /** The view as it was published. */
  readonly json: string;
}

/** `epoch`: another stream than before; `gap`: entries were trimmed before they were read; `connection`: another connection. */
export type FeedRead =
  | { readonly entries: readonly FeedEntry[]; readonly last: string }
  | { readonly lost: 'epoch' | 'gap' | 'connection' };

/** One reader of the feed. Every call throws CentreError store-away when Redis does not answer in time. */
export interface FeedSource {
  /** Makes the stream when there is none; tells its last id, and the first that it still holds. */
  open(): Promise<FeedPosition & { readonly first: string }>;
  /** Waits at most 500 ms for what comes after `from`; no entries when nothing came. */
  read(from: FeedPosition): Promise<FeedRead>;
  /**
   * What lies after the feed id `resume` up to and with `upTo`: null when that is not all there any more, is more than
   * `limit`, or `resume` is no id of this epoch (any text may be given).
   */
  between(resume: string, upTo: FeedPosition, limit: number): Promise<readonly FeedEntry[] | null>;
}

export interface AlarmVersion {
  readonly number: string;
  readonly version: number;
}

/** The alarms as PostgreSQL has them. Every call throws CentreError store-away. */
export interface AlarmSource {
  /** Every open alarm, and the versions of those closed since `closedSince`. */
  all(closedSince: Instant): Promise<{ readonly open: readonly AlarmView[]; readonly closed: readonly AlarmVersion[] }>;
  /** Alarms changed from `since` to `until` (null: to the end); `since` null: all that are open. */
  versions(since: Instant | null, until: Instant | null): Promise<readonly AlarmVersion[]>;
  these(numbers: readonly string[]): Promise<readonly AlarmView[]>;
}

/** `a` before `b`: negative. Both must be stream ids. */
export function compareIds(a: string, b: string): number {
  const [aMs = '0', aSeq = '0'] = a.split('-');
  const [bMs = '0', bSeq = '0'] = b.split('-');
  const byMs = compareDecimals(aMs, bMs);
  return byMs === 0 ? compareDecimals(aSeq, bSeq) : byMs;
}

/** Unsigned 64-bit numbers as text, without leading zeros: a longer one is larger. */
const compareDecimals = (a: string, b: string): number => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
