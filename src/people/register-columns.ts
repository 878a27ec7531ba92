/** The columns of a register file: what each may hold. docs/register-import.md shows the same table (a test compares them). */
import { fromIso, toIso } from '../base/clock.ts';
import { phoneOf } from './phone.ts';

/** A value as the register keeps it, or why it cannot be one (a sentence's end: "is not …"). */
export type Checked = { readonly value: string } | { readonly fault: string };
type Check = (text: string) => Checked;

/** Whom a column tells about: one household may have several rows, which then agree on its own columns. */
export type ColumnOf = 'household' | 'resident' | 'contact' | 'device';

export interface Column {
  readonly of: ColumnOf;
  readonly check: Check;
}

const ok = (value: string): Checked => ({ value });
const no = (fault: string): Checked => ({ fault });

const matching =
  (pattern: RegExp, fault: string): Check =>
  (text) =>
    pattern.test(text) ? ok(text) : no(fault);

const text =
  (limit: number): Check =>
  (given) =>
    given.length <= limit ? ok(given) : no(`has more than ${limit} characters`);

const phone: Check = (given) => {
  const number = phoneOf(given);
  return number === null ? no('is not a telephone number (eight Norwegian digits, or + and the country code)') : ok(number);
};

/** `1938-05-17` or `17.05.1938`; must be a day of the calendar. */
const date: Check = (given) => {
  const norwegian = /^(\d{1,2})\.(\d{1,2})\.(\d{4})$/.exec(given);
  const [, day = '', month = '', year = ''] = norwegian ?? [];
  const iso = norwegian === null ? given : `${year}-${month.padStart(2, '0')}-${day.padStart(2, '0')}`;
  const at = /^\d{4}-\d{2}-\d{2}$/.test(iso) ? fromIso(`${iso}T00:00:00Z`) : null;
  // The engine takes 31 April for 1 May; only a date that comes back as it went in is one.
  return at !== null && toIso(at).startsWith(iso) ? ok(iso) : no('is not a date (YYYY-MM-DD or DD.MM.YYYY)');
};

/** Within Norway, so that two that were swapped are found. */
const degrees =
  (from: number, to: number, what: string): Check =>
  (given) => {
    const number = /^-?\d{1,3}([.,]\d{1,12})?$/.test(given) ? Number(given.replace(',', '.')) : Number.NaN;
    return number >= from && number <= to ? ok(String(number)) : no(`is not a ${what} in Norway (${from} to ${to} degrees)`);
  };

const YES = ['ja', 'yes', 'j', 'y', 'x', '1', 'true'];
const NO = ['nei', 'no', 'n', '0', 'false'];
const yesNo: Check = (given) => {
  const word = given.toLowerCase();
  if (YES.includes(word)) return ok('yes');
  return NO.includes(word) ? ok('no') : no('is neither yes nor no (ja, nei)');
};

/** `p1=Halssmykke@Stue | p2=Snor@Bad`: id, name and room; the last two may be left out. */
const triggers: Check = (given) => {
  const ids = parseTriggers(given).map(({ id }) => id);
  if (ids.some((id) => !/^[\w.:-]{1,64}$/.test(id))) return no('is not a list of triggers (id=name@room | id=name@room)');
  return new Set(ids).size === ids.length ? ok(given) : no('names a trigger twice');
};

/** Leading zeros of a controller id make no difference: two that differ only in them are the same unit. */
export const plainControllerId = (controllerId: string): string => controllerId.replace(/^0+(?=.)/, '');

export interface TriggerDraft {
  readonly id: string;
  readonly name: string;
  readonly room: string;
}

export function parseTriggers(given: string): TriggerDraft[] {
  return given.split('|').map((part) => {
    const [, id = '', name = '', room = ''] = /^([^=@]*)(?:=([^@]*))?(?:@(.*))?$/.exec(part.trim()) ?? [];
    return { id: id.trim(), name: name.trim(), room: room.trim() };
  });
}

const household = (check: Check): Column => ({ of: 'household', check });
const resident = (check: Check): Column => ({ of: 'resident', check });
const contact = (check: Check): Column => ({ of: 'contact', check });
const device = (check: Check): Column => ({ of: 'device', check });

const SERIAL = /^[A-Za-z0-9._-]{1,64}$/;

export const COLUMNS = {
  household: household(matching(/^[\w.-]{1,64}$/, 'is not an id (letters A to Z, digits, . _ -, at most 64)')),
  municipality: household(matching(/^\d{4}$/, 'is not a municipality number of four digits')),
  name: household(text(120)),
  address: household(text(200)),
  postcode: household(matching(/^\d{4}$/, 'is not a postcode of four digits')),
  place: household(text(80)),
  zone: household(text(60)),
  lat: household(degrees(57, 72, 'latitude')),
  lon: household(degrees(4, 32, 'longitude')),
  entrance: household(text(200)),
  floor: household(text(60)),
  door_code: household(text(60)),
  key_box: household(text(200)),
  key_box_code: household(text(60)),
  lock: household(text(200)),
  key: household(text(200)),
  household_notes: household(text(1000)),
  resident: resident(text(120)),
  born: resident(date),
  phone: resident(phone),
  language: resident(text(60)),
  hearing: resident(text(200)),
  health: resident(text(1000)),
  away: resident(text(200)),
  notes: resident(text(1000)),
  contact1: contact(text(120)),
  contact1_relation: contact(text(60)),
  contact1_phone: contact(phone),
  contact1_key: contact(yesNo),
  contact2: contact(text(120)),
  contact2_relation: contact(text(60)),
  contact2_phone: contact(phone),
  contact2_key: contact(yesNo),
  contact3: contact(text(120)),
  contact3_relation: contact(text(60)),
  contact3_phone: contact(phone),
  contact3_key: contact(yesNo),
  device: device(matching(SERIAL, 'is not a serial (letters A to Z, digits, . _ -, at most 64)')),
  protocol: device(matching(/^(mqtt|scaip)$/, 'is neither mqtt nor scaip')),
  controller_id: device(matching(/^[\x21-\x7e]{1,64}$/, 'is not a controller id (printable, without spaces, at most 64)')),
  model: device(matching(/^[a-z0-9-]+\/[a-z0-9.-]+$/, 'is not a model (vendor/model)')),
  secret: device((given) => (given.length >= 8 && given.length <= 128 ? ok(given) : no('is not a secret of 8 to 128 characters'))),
  triggers: device(triggers),
} as const satisfies Record<string, Column>;

export type ColumnName = keyof typeof COLUMNS;
export const COLUMN_NAMES = Object.keys(COLUMNS).filter((name): name is ColumnName => name in COLUMNS);
