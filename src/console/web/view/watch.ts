/** What the line about the centre's watch on itself says. Pure. */
import { CANARY_PROTOCOLS, type CanaryProtocol } from '../../../alarms/canary.ts';
import { type Instant, fromIso, minutes } from '../../../base/clock.ts';
import type { WatchView } from '../../watch-routes.ts';

/** Three rounds that did not come. */
const LATE_AFTER_MS = minutes(3);

export type WatchState =
  /** Nothing is known (yet). */
  | { readonly state: 'unknown' }
  /** All protocols went well; `since`: the one that was longest ago. */
  | { readonly state: 'fine'; readonly since: Instant }
  | { readonly state: 'late'; readonly since: Instant | null }
  | { readonly state: 'failed'; readonly protocol: CanaryProtocol; readonly step: string };

/** @param watch what was heard last; null: nothing. While no answer comes, it grows old by itself */
export function watchStateOf(watch: WatchView | null, now: Instant): WatchState {
  if (watch === null || watch.canaries.length === 0) return { state: 'unknown' };
  const failed = watch.canaries.find(({ fine }) => !fine);
  if (failed !== undefined) return { state: 'failed', protocol: failed.protocol, step: failed.step ?? '' };
  const instants = CANARY_PROTOCOLS.map((protocol) => {
    const fineAt = watch.canaries.find((one) => one.protocol === protocol)?.fineAt ?? null;
    return fineAt === null ? null : fromIso(fineAt);
  });
  const known = instants.filter((at) => at !== null);
  const since = known.length < instants.length ? null : Math.min(...known);
  return since !== null && now - since <= LATE_AFTER_MS ? { state: 'fine', since } : { state: 'late', since };
}
