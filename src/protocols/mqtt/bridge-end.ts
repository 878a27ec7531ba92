/** What the end of a connection to the external broker means: what people are told of it, how loudly, and when to try again. Pure. */
import type { Instant, Milliseconds } from '../../base/clock.ts';

/** MQTT 5, 3.14.2.1: another client came with the same client id. Two centres that do that cut each other off without end. */
const TAKEN_OVER = 'DISCONNECT 142';
/** User name or password refused, or not authorised: MQTT 3.1.1, 3.2.2.3; MQTT 5, 3.2.2.2. */
const CREDENTIALS_REFUSED: readonly string[] = ['CONNACK 4', 'CONNACK 5', 'CONNACK 134', 'CONNACK 135'];
/** Nobody but a person can mend it, and an error at each attempt would bury the rest of the log. */
const TELL_AGAIN_AFTER: Milliseconds = 600_000;

export interface BridgeEnd {
  readonly level: 'error' | 'warn' | 'info' | 'debug';
  readonly event: 'bridge-client-id-in-use' | 'bridge-credentials-refused' | 'bridge-speaks-mqtt-3' | 'bridge-disconnected';
  /** For /readyz; holds nothing that was configured. */
  readonly fault: string;
}

/** `refusalToldAt`: when a refusal was last an error line, while it lasts. `lowered`: the next attempt speaks an older version. */
export function onEnded(
  why: string,
  known: { readonly now: Instant; readonly attempt: number; readonly lowered: boolean; readonly refusalToldAt: Instant | null },
): BridgeEnd {
  const { now, attempt, lowered, refusalToldAt } = known;
  const fault = `not connected (${why}), trying again`;
  if (why === TAKEN_OVER) return { level: 'error', event: 'bridge-client-id-in-use', fault };
  if (CREDENTIALS_REFUSED.includes(why)) {
    const told = refusalToldAt !== null && now - refusalToldAt < TELL_AGAIN_AFTER;
    return {
      ...(told ? { level: 'debug', event: 'bridge-disconnected' } : { level: 'error', event: 'bridge-credentials-refused' }),
      fault: `the broker refuses its user name or password (${why}): check MQTT_BRIDGE_USERNAME and MQTT_BRIDGE_PASSWORD against the broker's`,
    };
  }
  if (lowered) return { level: 'info', event: 'bridge-speaks-mqtt-3', fault };
  return { level: attempt === 0 ? 'warn' : 'debug', event: 'bridge-disconnected', fault };
}

/** At random (`share`: 0 to 1) between bounds that widen: the nodes of a platform that was away must not all come at once. */
export const retryDelay = ([least, most]: readonly [Milliseconds, Milliseconds], attempt: number, share: number): Milliseconds =>
  least + share * (Math.min(most, least * 2 ** attempt) - least);
