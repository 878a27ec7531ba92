/** What a SCAIP unit wrote, in the reader's words: taken out of the line of codes that travels with each of its signals. */
import type { TimelineView } from '../../../alarms/view.ts';
import type { ScaipTexts } from '../texts/scaip-nb.ts';

/** One message of a unit in words; null and empty: it did not say. */
export interface Written {
  /** What kind of device, and which part of it. */
  readonly type: string | null;
  readonly event: string | null;
  /** Room or area, with its number and the unit's own words for it. */
  readonly place: string | null;
  /** The place where it tells more than that the person is at home: worth a word beside the alarm's name. */
  readonly where: string | null;
  /** How voice comes, where no address to call is known. */
  readonly voice: string | null;
  /** The device's own name for itself. */
  readonly name: string | null;
  /** Other things worth knowing: group scheme, message type, priority of its own. */
  readonly more: readonly string[];
  /** Elements that the centre does not know: name and text. */
  readonly unknown: readonly (readonly [name: string, text: string])[];
  /** The unit's words for the place: they are part of the text of the device as well. */
  readonly placeText: string | null;
}

type Table = Readonly<Record<string, string>>;

const KNOWN = new Set('mty dty dco stc pri lco lva lte sco ame cha ico mreq crd dte geo tim gga'.split(' '));
/** Several of these are ordinary. */
const MANY = new Set(['crd', 'geo', 'tim', 'gga']);
/** Unknown, and undefined: no place at all. */
const NO_PLACE = [0, 1];
/** Resets that say so themselves. */
const RESETS = [92, 93, 94];
/** At home, indoors, inside. */
const ORDINARY_PLACES = [2, 4, 6];

/** The line taken apart; null when it is not of a SCAIP unit (every one of those begins with an element that we know). */
function pairsOf(code: string): [string, string][] | null {
  const pairs = [...code.matchAll(/([^\s"]+) (?:"([^"]*)(?:"|$)|(\S+))/g)].map(([, name = '', quoted, plain]): [string, string] => [
    name,
    quoted ?? plain ?? '',
  ]);
  return KNOWN.has(pairs[0]?.[0] ?? '') ? pairs : null;
}

/** Reads the line of codes of one signal; null when no SCAIP unit wrote it. */
export function writtenBy(code: string | null | undefined, texts: ScaipTexts): Written | null {
  const pairs = pairsOf(code ?? '');
  if (pairs === null) return null;
  const first = new Map<string, string>();
  const all = (name: string): string[] => pairs.flatMap(([given, value]) => (given === name ? [value] : []));
  const unknown = pairs.filter(([name, value]) => {
    if (!KNOWN.has(name) || (first.has(name) && !MANY.has(name))) return true;
    first.set(name, value);
    return false;
  });
  const word = (name: keyof ScaipTexts['unknownCodes']): string | null =>
    coded(texts[name], first.get(name), (raw) => `${texts.unknownCodes[name]} «${raw}»`);
  const number = (name: string, label: string): string[] => (first.has(name) ? [`${label} ${first.get(name)}`] : []);
  const state = (name: 'sco' | 'ame' | 'cha' | 'mreq'): string[] => {
    const text = coded(texts[name], first.get(name), (raw) => `${texts.unknown} ${name} «${raw}»`);
    return text === null ? [] : [text];
  };
  const mty = first.get('mty')?.toUpperCase();
  const placeText = first.get('lte') ?? null;
  const place = joined([joined([placeOf(first.get('lco'), texts), first.get('lva')], ' '), placeText], ', ');
  const lco = Number(first.get('lco'));
  const ordinary = !first.has('lva') && placeText === null && (ORDINARY_PLACES.includes(lco) || !(lco in texts.lco));
  return {
    type: joined([word('dty'), first.has('dty') ? lower(word('dco')) : word('dco')], ', '),
    event: word('stc'),
    place,
    where: ordinary ? null : place,
    voice: joined(
      all('crd').map((raw) => voiceOf(raw, texts)),
      ', ',
    ),
    name: first.get('dte') ?? null,
    more: [
      ...(mty === undefined || mty === 'ME' || (mty === 'RE' && RESETS.includes(Number(first.get('stc')))) ? [] : [word('mty') ?? '']),
      ...state('sco'),
      ...state('ame'),
      ...state('cha'),
      ...state('mreq'),
      ...number('pri', texts.priority),
      ...number('ico', texts.info),
      ...['geo', 'tim', 'gga'].flatMap((name) => all(name).map((raw) => `${texts.unreadablePosition} «${raw}»`)),
    ],
    unknown,
    placeText,
  };
}

const joined = (parts: readonly (string | null | undefined)[], by: string): string | null =>
  parts.filter((part) => part !== null && part !== undefined && part !== '').join(by) || null;

/** The text of a code: `2`, `02` and `0002` are one. What no table knows is shown as the unit wrote it. */
function coded(table: Table, raw: string | undefined, unknown: (raw: string) => string): string | null {
  if (raw === undefined) return null;
  const key = /^\d+$/.test(raw) ? String(Number(raw)) : raw.toUpperCase();
  return (Object.hasOwn(table, key) ? table[key] : undefined) ?? unknown(raw);
}

const placeOf = (raw: string | undefined, texts: ScaipTexts): string | null =>
  raw !== undefined && NO_PLACE.includes(Number(raw)) ? null : coded(texts.lco, raw, (given) => `${texts.unknownCodes.lco} «${given}»`);

function voiceOf(raw: string, texts: ScaipTexts): string {
  const colon = raw.indexOf(':');
  const scheme = (colon === -1 ? raw : raw.slice(0, colon)).trim().toLowerCase();
  const way = (texts.crd as Table)[scheme];
  if (way === undefined || !Object.hasOwn(texts.crd, scheme)) return raw;
  if (scheme === 'no-voice') return way;
  const target = colon === -1 ? '' : raw.slice(colon + 1).trim();
  return /[\p{L}\p{N}]/u.test(target) ? `${way}: ${target}` : `${way}, ${texts.numberNotTold}`;
}

/** What a signal told, for a sentence of the timeline; without a SCAIP unit, the code as it came. */
export function saidBy({ trigger, code, text }: { trigger: string; code?: string; text?: string }, texts: ScaipTexts): string[] {
  const written = writtenBy(code, texts);
  const own = textBeside(text, written);
  const told =
    written === null
      ? [code === undefined ? null : `${texts.code} ${code}`]
      : [
          lower(written.type),
          lower(written.event),
          written.place === null ? null : `${texts.place}: ${lower(written.place)}`,
          ...written.more.map(lower),
          ...written.unknown.map(([name, value]) => `${lower(texts.unknown)} ${name} «${value}»`),
        ];
  return [trigger === '' ? null : `${texts.trigger} ${trigger}`, ...told, own === null ? null : `${texts.deviceText} «${own}»`].filter(
    (part) => part !== null,
  );
}

/** In the middle of a sentence, but `CO-varsler` and `GPS` stay. */
const lower = <T extends string | null>(text: T): T =>
  (text === null || /^.[^\p{Ll}]/u.test(text) ? text : text.charAt(0).toLowerCase() + text.slice(1)) as T;

/** The text of the device without what the place has said already. */
export function textBeside(text: string | null | undefined, written: Written | null): string | null {
  const parts = (text ?? '').split(' · ').filter((part) => part !== '' && part !== written?.placeText);
  return parts.join(' · ') || null;
}

/** The codes of the newest message that made the alarm what it is; null before the timeline is there. */
export function newestCode(timeline: readonly TimelineView[] | null): string | null {
  const events = (timeline ?? []).toSorted((a, b) => b.version - a.version).map(({ event }) => event);
  const newest = events.find((event) => event.event === 'opened' || event.event === 'repeated');
  return newest !== undefined && 'code' in newest ? (newest.code ?? null) : null;
}
