/** What a broken device on the platform has been seen to send, or might: the centre must keep and show all of it. */
import type { SeededRandom } from '../random.ts';

export interface MqttLie {
  readonly name: string;
  /** Below the device's own `nj/v1/{municipality}/{device}/`. */
  readonly topic: string;
  readonly payload: Buffer;
}

/** One of the lies; those that are JSON carry `id`. */
export function garbageOf(id: string, random: SeededRandom): MqttLie {
  const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
  const lies: readonly MqttLie[] = [
    { name: 'cut-short', topic: 'alarm', payload: Buffer.from(`{"id":"${id}","type":"fa`) },
    { name: 'not-text', topic: 'alarm', payload: Buffer.from([0xff, 0xfe, 0x00, 0xc3, 0x28, 0x80]) },
    { name: 'nul-in-text', topic: 'alarm', payload: json({ id, type: 'fall', text: '\u0000' }) },
    { name: 'lone-surrogate', topic: 'alarm', payload: Buffer.from(`{"id":"${id}","type":"fall","text":"\\ud800"}`) },
    { name: 'no-id', topic: 'alarm', payload: json({ type: 'call-button' }) },
    { name: 'unknown-type', topic: 'alarm', payload: json({ id, type: 'levitation' }) },
    { name: 'year-zero', topic: 'alarm', payload: json({ id, type: 'call-button', at: '0000-01-01T00:00:00Z' }) },
    { name: 'too-large', topic: 'alarm', payload: json({ id, type: 'call-button', text: 'x'.repeat(9000) }) },
    { name: 'unknown-topic', topic: 'levitation', payload: json({ id, type: 'call-button' }) },
    { name: 'empty', topic: 'alarm', payload: Buffer.alloc(0) },
  ];
  return random.pick(lies);
}
