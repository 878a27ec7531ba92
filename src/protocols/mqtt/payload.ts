/** Reads payloads of the platform contract leniently (what is of no use becomes null, never an error), and writes receipts. */
import { storable } from '../../base/bytes.ts';
import { fromIso, type Instant, toIso } from '../../base/clock.ts';
import {
  type MqttFields,
  type MqttPayload,
  type MqttPosition,
  type MqttReceipt,
  type MqttTrigger,
  PAYLOAD_LIMIT,
  type Unreadable,
} from './message.ts';

const ID_LIMIT = 64;
const TEXT_LIMIT = 256;
/** More triggers than a unit can have; also what keeps one heartbeat from writing a thousand rows. */
const TRIGGER_LIMIT = 64;

/** The fields that the contract names. */
export const FIELDS = [
  'id',
  'at',
  'type',
  'trigger',
  'position',
  'battery',
  'triggers',
  'mains',
  'signal',
  'charging',
  'online',
  'voice',
  'text',
] as const;
const KNOWN: ReadonlySet<string> = new Set(FIELDS);

type Fields = Readonly<Record<string, unknown>>;

/**
 * Reads one payload (UTF-8 JSON object, at most 8 KiB). Never throws. Texts come out storable: NUL and lone surrogates,
 * which JSON escapes can hold, are replaced, so that a fall with a broken text stays a fall.
 */
export function decodePayload(bytes: Uint8Array): MqttPayload {
  if (bytes.length > PAYLOAD_LIMIT) return unread('too-large');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return unread('not-utf8');
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return unread('not-json');
  }
  return isObject(value) ? { read: true, ...fieldsOf(value) } : unread('not-an-object');
}

const unread = (why: Unreadable): MqttPayload => ({ read: false, why });

function fieldsOf(object: Fields): MqttFields {
  return {
    id: name(object['id']),
    at: instant(object['at']),
    type: name(object['type']),
    trigger: name(object['trigger']),
    position: position(object['position']) ?? position(object),
    battery: percent(object['battery']),
    triggers: triggers(object['triggers']),
    mains: flag(object['mains']),
    signal: between(object['signal'], 1, 5),
    charging: flag(object['charging']),
    online: flag(object['online']),
    voice: voice(object['voice']),
    text: typeof object['text'] === 'string' && object['text'] !== '' ? storable(object['text'], TEXT_LIMIT) : null,
    unknown: Object.fromEntries(Object.entries(object).filter(([field]) => !KNOWN.has(field))),
  };
}

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null && !Array.isArray(value);

/** An id or a word. A number is taken for its digits; a longer one is cut: duplicates are compared by their bytes too. */
function name(value: unknown): string | null {
  if (typeof value === 'number' && Number.isFinite(value)) return String(value);
  if (typeof value !== 'string') return null;
  const trimmed = value.trim();
  return trimmed === '' ? null : storable(trimmed, ID_LIMIT);
}

const RFC_3339 = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?([Zz]|[+-]\d\d:?\d\d)$/;
/** 2000-01-01 to 2100-01-01: a clock outside has never been set, and PostgreSQL refuses the year 0. */
const EARLIEST = 946_684_800_000;
const LATEST = 4_102_444_800_000;

function instant(value: unknown): Instant | null {
  if (typeof value !== 'string' || !RFC_3339.test(value)) return null;
  const at = fromIso(value);
  return at !== null && at >= EARLIEST && at < LATEST ? at : null;
}

const number = (value: unknown, low: number, high: number): number | null =>
  typeof value === 'number' && value >= low && value <= high ? value : null;

function between(value: unknown, low: number, high: number): number | null {
  const found = number(value, low, high);
  return found === null ? null : Math.round(found);
}

const percent = (value: unknown): number | null => between(value, 0, 100);
const flag = (value: unknown): boolean | null => (typeof value === 'boolean' ? value : null);

/** Also read from the message itself: a `position` message is seen both with the block and without. */
function position(value: unknown): MqttPosition | null {
  if (!isObject(value)) return null;
  const lat = number(value['lat'], -90, 90);
  const lon = number(value['lon'], -180, 180);
  if (lat === null || lon === null) return null;
  return { lat, lon, accuracy: number(value['accuracy'], 0, 20_000_000), at: instant(value['at']) };
}

function triggers(value: unknown): MqttTrigger[] {
  if (!Array.isArray(value)) return [];
  const found = new Map<string, MqttTrigger>();
  for (const entry of value.slice(0, TRIGGER_LIMIT) as unknown[]) {
    if (!isObject(entry)) continue;
    const id = name(entry['id']);
    if (id !== null) found.set(id, { id, battery: percent(entry['battery']), seenAt: instant(entry['seenAt']) });
  }
  return [...found.values()];
}

/** It becomes a link that an operator presses: nothing but the schemes of telephony. */
const VOICE = /^(sips?|tel):[\x21-\x7e]{1,250}$/i;
const voice = (value: unknown): string | null => (typeof value === 'string' && VOICE.test(value.trim()) ? value.trim() : null);

/** The receipt as the contract has it; `alarm` is left out when there is none. */
export function encodeReceipt({ id, result, alarm, at }: MqttReceipt): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ id, result, ...(alarm === null ? {} : { alarm }), at: toIso(at) }));
}
