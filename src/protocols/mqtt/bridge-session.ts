/** What becomes of the memory of a session when the bridge connects, subscribes and goes on. Pure. */
import type { Instant, Milliseconds } from '../../base/clock.ts';
import type { BridgeSession } from './bridge-options.ts';

/*
 * A loss must be told once, whatever dies in between:
 *
 *   CONNACK: no session, or one that does not prove itself ─► gap_from = seen_at   (committed before SUBSCRIBE)
 *   SUBACK: all granted ─► the gap is told, up to now      (told again after a crash it is a duplicate of itself)
 *                       ─► gap_from = null                 (committed)
 *
 * The flag of CONNACK alone is not believed: the broker makes the new session when it reads CONNECT. If the CONNACK that
 * says so never arrives, the next one says that there is a session, and it is an empty one.
 */

/** At CONNACK. `whole`: the broker has kept the session with its subscriptions. */
export function onConnected(known: BridgeSession | null, whole: boolean): BridgeSession | null {
  if (known === null || whole || known.filters.length === 0) return known;
  return lost(known);
}

/** A subscription was refused, or stands without guarantee: from now on messages are missed. */
export const onRefused = (known: BridgeSession | null): BridgeSession | null => (known === null ? null : lost(known));

function lost(known: BridgeSession): BridgeSession {
  return known.gapFrom === null ? { ...known, gapFrom: known.seenAt, settledAt: null } : known;
}

/** All subscriptions stand, and a gap that there was has been told. */
export function onSubscribed(known: BridgeSession | null, clientId: string, filters: readonly string[], now: Instant): BridgeSession {
  if (known === null) return { clientId, connectedAt: now, seenAt: now, filters, settledAt: null, gapFrom: null, echoes: false };
  const continues = known.gapFrom === null && known.filters.length > 0;
  const same = continues && filters.length === known.filters.length && filters.every((filter) => known.filters.includes(filter));
  return {
    ...known,
    connectedAt: continues ? known.connectedAt : now,
    seenAt: now,
    filters,
    settledAt: same ? known.settledAt : null,
    gapFrom: null,
  };
}

/**
 * Now and then while it is connected. `answeredAt`: when the last thing that the broker answered was sent; that a connection
 * is not closed says nothing, for a stalled one is noticed late, and a loss in between must not lie before the gap.
 * `readyFor`: for how long it has read without a break.
 */
export function onSeen(
  known: BridgeSession,
  answeredAt: Instant | null,
  now: Instant,
  readyFor: Milliseconds,
  settledAfter: Milliseconds,
): BridgeSession {
  const seenAt = Math.max(known.seenAt, answeredAt ?? known.seenAt);
  return { ...known, seenAt, settledAt: known.settledAt ?? (readyFor >= settledAfter ? now : null) };
}
