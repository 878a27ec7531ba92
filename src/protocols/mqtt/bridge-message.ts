/** Reads what the external broker delivers as the message of a device, exactly as if the device had connected directly. Pure. */
import { storable } from '../../base/bytes.ts';
import type { Instant } from '../../base/clock.ts';
import { placeOfTopic } from './bridge-topics.ts';
import { DOWN_KINDS, type MqttMessage, PAYLOAD_LIMIT, type UpKind } from './message.ts';
import { decodePayload } from './payload.ts';

/** One PUBLISH of the broker (MQTT 3.1.1, 3.3). */
export interface Delivered {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1 | 2;
  readonly dup: boolean;
  readonly retain: boolean;
}

/**
 * Who sent it is what the topic says: the broker lets a device publish under its own topics only. `down`: a receipt or a
 * command, ours or another node's. `retained`: kept by the broker from some earlier day; only an alarm is taken from there,
 * for it may be one that was never heard (one that was is a duplicate).
 */
export function readDelivered(
  delivered: Delivered,
  parts: { readonly clientId: string; readonly ownMunicipality: string; readonly receivedAt: Instant },
): MqttMessage | 'down' | 'retained' {
  const { qos, dup, retain } = delivered;
  const place = placeOfTopic(delivered.topic);
  const { kind = null } = place ?? {};
  if (isDown(kind)) return 'down';
  if (retain && kind !== 'alarm') return 'retained';
  // A copy: a slice would keep the whole chunk that it came in.
  const payload = Uint8Array.prototype.slice.call(delivered.payload);
  const body = decodePayload(payload);
  return {
    device: place?.serial ?? parts.clientId,
    municipality: place?.municipality ?? parts.ownMunicipality,
    topic: storable(delivered.topic),
    kind,
    foreign: false,
    // The broker sends a last will under the device's name and says nothing of it; no device tells itself that it is gone.
    will: kind === 'status' && body.read && body.online === false,
    qos,
    payload,
    tooLarge: payload.length > PAYLOAD_LIMIT,
    duplicateFlag: dup,
    receivedAt: parts.receivedAt,
    body,
  };
}

const isDown = (kind: string | null): kind is Exclude<typeof kind, UpKind | null> => DOWN_KINDS.some((down) => down === kind);
