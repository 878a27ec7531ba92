/** The named points of an alarm's path at which a crash matters; a fault harness may listen and stop the process there (ADR 16). */
import diagnosticsChannel from 'node:diagnostics_channel';

/** In the order of the path. */
export const POINTS = [
  /** A message is whole and its sender known; nothing is kept. */
  'received',
  'before-commit',
  'after-commit',
  'before-spill-sync',
  'after-spill-sync',
  'before-ack',
  'after-ack',
  /** The relay has read outbox rows, and published nothing. */
  'outbox-read',
  /** The relay has published, and the outbox rows still stand. */
  'published',
  /** Asks are in the queue. */
  'queued',
  /** A provider took the message for a responder, and nothing says so yet. */
  'provider-answered',
  /** The provider's answer is kept with the ask, and nobody was told. */
  'answer-kept',
  /** Spilled signals are in PostgreSQL, and the spill still holds them. */
  'replayed',
] as const;
export type Point = (typeof POINTS)[number];

const channels = new Map(POINTS.map((point) => [point, diagnosticsChannel.channel(`responssenter:${point}`)]));

/** Says that the path has come to this point; listeners run before it goes on. Passes nothing along: no data of anybody. */
export function reached(point: Point): void {
  const channel = channels.get(point);
  if (channel?.hasSubscribers === true) channel.publish(point);
}
