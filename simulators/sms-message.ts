/** What the SMS gateway takes and tells, and the ways in which it can behave. */
import { toIso, type Instant, type Milliseconds } from '../src/base/clock.ts';

export type SmsStatus = 'accepted' | 'sent' | 'delivered' | 'failed';

/** A message that the gateway took. */
export interface SmsMessage {
  readonly id: string;
  readonly to: string;
  readonly from: string;
  readonly text: string;
  /** The sender's own key: the same again is the same message. */
  readonly reference: string;
  readonly acceptedAt: Instant;
  /** How often it was posted: more than once when the sender did not get our answer. */
  readonly posted: number;
  readonly status: SmsStatus;
  readonly statusAt: Instant;
}

export interface SmsBehaviour {
  /**
   * `refuse`: 4xx with a code, nothing taken. `error`: 500, nothing taken. `hang`: no answer, nothing taken.
   * `take-and-hang`: taken and sent, but the answer never comes; `take-and-fail`: the same with a 500.
   */
  readonly mode: 'accept' | 'refuse' | 'error' | 'hang' | 'take-and-hang' | 'take-and-fail';
  /** Before answering. */
  readonly delay: Milliseconds;
  /** For `refuse`. */
  readonly status: number;
  readonly code: string;
  /** What the network makes of a message that was taken; `never`: it stays `sent`. */
  readonly delivery: 'delivered' | 'failed' | 'never';
  readonly deliveryAfter: Milliseconds;
}
export const ACCEPTING: SmsBehaviour = {
  mode: 'accept',
  delay: 0,
  status: 422,
  code: 'invalid-number',
  delivery: 'delivered',
  deliveryAfter: 200,
};

/** What a sender posts. */
export interface Given {
  readonly to: string;
  readonly from: string;
  readonly text: string;
  readonly reference: string;
  readonly callbackUrl: string | null;
}

/** Null when the body is no message. */
export function readMessage(body: string): Given | null {
  let json: unknown;
  try {
    json = JSON.parse(body);
  } catch {
    return null;
  }
  if (typeof json !== 'object' || json === null) return null;
  const { to, from, text, reference, callbackUrl } = json as Readonly<Record<string, unknown>>;
  if (typeof to !== 'string' || typeof from !== 'string' || typeof text !== 'string' || typeof reference !== 'string') return null;
  if (to === '' || reference === '') return null;
  return { to, from, text, reference, callbackUrl: typeof callbackUrl === 'string' ? callbackUrl : null };
}

/** As the gateway's API shows it. */
export function shown(message: SmsMessage): object {
  return { ...message, acceptedAt: toIso(message.acceptedAt), statusAt: toIso(message.statusAt) };
}
