/** SCAIP bodies to requests: lenient, since a pattern that does not fit must never cost an alarm. */
import { storable } from '../../base/bytes.ts';
import { fromIso } from '../../base/clock.ts';
import { type CallerId, type Coded, type Degrees, type GeoBlock, MESSAGE_TYPES, type ScaipRequest, VOICE_SCHEMES } from './message.ts';
import { type Element, findElement, readElement, xmlText } from './xml.ts';

/** What a body holds. `ref` and `cid` are found in some bodies that are otherwise unreadable. */
export interface DecodedBody {
  readonly request: ScaipRequest | null;
  readonly ref: string | null;
  readonly cid: string | null;
}

/** No element is longer than 256 characters by the reference; what is longer is shown cut. */
const MAX_TEXT = 1024;
/** A reference longer than this is no reference: echoing it cut would match nothing. */
const MAX_REF = 64;

/** What a request is called; `scaip` in one dialect only, whose elements are the same (reference § 6). */
const ROOTS = ['mrq', 'scaip'];

/**
 * Reads the first `<mrq>` (else `<scaip>`) in a body, whatever the Content-Type, the encoding, a declaration or what stands
 * around it. A document that declares entities is not read. Never throws.
 */
export function decodeBody(body: Uint8Array): DecodedBody {
  const text = xmlText(body);
  const found = ROOTS.reduce((first: ReturnType<typeof findElement>, name) => first ?? findElement(text, name), null);
  const root = found === null || !found.whole || /<!ENTITY/i.test(text) ? null : readElement(found.xml);
  if (root === null) return { request: null, ref: salvage(text, 'ref', MAX_REF), cid: salvage(text, 'cid', MAX_REF) };
  const request = interpretElements(root);
  return { request, ref: request.ref, cid: request.cid };
}

/** Reads an `<mrs>`; null when it is none. For simulators and tests. */
export function decodeReply(body: Uint8Array): { readonly ref: string | null; readonly snu: number | null } | null {
  const found = findElement(xmlText(body), 'mrs');
  const root = found === null || !found.whole ? null : readElement(found.xml);
  if (root === null) return null;
  const texts = new Map(root.children.map((child) => [child.name, child.text.trim()]));
  return { ref: texts.get('ref') ?? null, snu: numeric(texts.get('snu') ?? null)?.value ?? null };
}

/** The content of an element in text that is no XML as a whole. */
function salvage(text: string, name: string, limit: number): string | null {
  const found = new RegExp(`<${name}>[ \\t\\r\\n]{0,16}([^<>&\\s]{1,${limit}})[ \\t\\r\\n]{0,16}</`, 'i').exec(text)?.[1];
  return found === undefined ? null : storable(found);
}

/** All elements of a request (reference § 2), those of the position too. */
export const ELEMENTS: readonly string[] =
  'ref ver sco cha mty hbo cid dty did dco dte crd stc stt pri lco lva lge geo tim gga lte ico ite ame mreq'.split(' ');
const KNOWN = new Set(ELEMENTS);

function interpretElements(root: Element): ScaipRequest {
  const first = new Map<string, Element>();
  const callers: CallerId[] = [];
  const unknown: [string, string][] = [];
  for (const element of root.children) {
    const { name } = element;
    const text = textOf(element);
    if (text === null && element.children.length === 0) continue;
    if (name === 'crd') callers.push(callerId(text ?? ''));
    else if (KNOWN.has(name) && !first.has(name)) first.set(name, element);
    else unknown.push([storable(name, 64), text ?? element.children.map((child) => `${child.name}=${textOf(child) ?? ''}`).join(' ')]);
  }
  const text = (name: string): string | null => textOf(first.get(name));
  const number = (name: string): Coded<number> | null => numeric(text(name));
  const ref = text('ref');
  const type = text('mty');
  return {
    ref: ref !== null && ref.length > MAX_REF ? null : ref,
    ver: text('ver'),
    sco: number('sco'),
    cha: number('cha'),
    mty: type === null ? null : { raw: type, value: MESSAGE_TYPES.find((known) => known === type.toUpperCase()) ?? null },
    hbo: number('hbo'),
    // Digits by the standard; there are units that put spaces before or into them.
    cid: text('cid')?.replace(/\s/g, '') ?? null,
    dty: number('dty'),
    did: text('did'),
    dco: number('dco'),
    dte: text('dte'),
    crd: callers,
    stc: number('stc'),
    stt: text('stt'),
    pri: number('pri'),
    lco: number('lco'),
    lva: text('lva'),
    lge: geoBlock((first.get('lge') ?? root).children),
    lte: text('lte'),
    ico: number('ico'),
    ite: text('ite'),
    ame: number('ame'),
    mreq: number('mreq'),
    unknown,
  };
}

/** Trimmed; null when absent or empty. */
function textOf(element: Element | undefined): string | null {
  const text = storable(element?.text.trim() ?? '', MAX_TEXT);
  return text === '' ? null : text;
}

function numeric(raw: string | null): Coded<number> | null {
  return raw === null ? null : { raw, value: /^\d{1,9}$/.test(raw) ? Number(raw) : null };
}

/** `gsm:+47…`, `sip:user@host`, `no-voice:`; a number without digits (`gsm:+`) is "not told". */
function callerId(raw: string): CallerId {
  const colon = raw.indexOf(':');
  const word = (colon === -1 ? raw : raw.slice(0, colon)).trim().toLowerCase();
  const scheme = VOICE_SCHEMES.find((known) => known === word) ?? 'unknown';
  const target = scheme === 'unknown' || colon === -1 ? '' : raw.slice(colon + 1).trim();
  return { raw, scheme, target: /[\p{L}\p{N}]/u.test(target) ? target : null };
}

/** The position's three parts; devices also put them beside the other elements instead of into `lge`. */
function geoBlock(elements: readonly Element[]): GeoBlock | null {
  const part = (name: string): string | null => textOf(elements.find((child) => child.name === name));
  const coded = <T>(raw: string | null, read: (text: string) => T | null): Coded<T> | null =>
    raw === null ? null : { raw, value: read(raw) };
  const block = { geo: coded(part('geo'), readGeo), tim: coded(part('tim'), readTime), gga: coded(part('gga'), readGga) };
  return block.geo === null && block.tim === null && block.gga === null ? null : block;
}

/** 0,0 lies in the sea off Africa: what a receiver says that has no position yet. */
const degrees = (lat: number, lon: number): Degrees | null =>
  Math.abs(lat) <= 90 && Math.abs(lon) <= 180 && (lat !== 0 || lon !== 0) ? { lat, lon } : null;

/** `58.97,5.7331`: decimal latitude and longitude; signs and a `geo:` in front are taken too (RFC 5870). */
function readGeo(text: string): Degrees | null {
  const match = /^(?:geo:)?\s*([+-]?\d{1,3}(?:\.\d{1,16})?)\s*[,;\s]\s*([+-]?\d{1,3}(?:\.\d{1,16})?)/i.exec(text);
  return match === null ? null : degrees(Number(match[1]), Number(match[2]));
}

/** RFC 3339 with or without seconds; one without an offset is not understood, since nobody knows which zone it means. */
function readTime(text: string): number | null {
  const match = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z|[+-]\d\d:?\d\d)$/i.exec(text);
  return match === null ? null : fromIso(text.replace(/([+-]\d\d)(\d\d)$/, '$1:$2'));
}

/** NMEA 0183 GGA: `$GPGGA,time,ddmm.mmmm,N,dddmm.mmmm,E,fix,…`; without a fix (quality 0) or with a wrong checksum no position. */
function readGga(text: string): Degrees | null {
  const [body = '', sum] = text.replace(/^\$/, '').split('*');
  const fields = body.split(',');
  if (!/GGA$/i.test(fields[0] ?? '') || Number(fields[6] ?? '0') === 0) return null;
  let check = 0;
  for (const char of body) check ^= char.charCodeAt(0);
  if (sum !== undefined && Number.parseInt(sum.trim(), 16) !== check) return null;
  const lat = nmeaDegrees(fields[2], 2, fields[3], 'S');
  const lon = nmeaDegrees(fields[4], 3, fields[5], 'W');
  return lat === null || lon === null ? null : degrees(lat, lon);
}

function nmeaDegrees(value: string | undefined, digits: number, side: string | undefined, negative: string): number | null {
  if (value === undefined || !/^\d{4,5}(?:\.\d{1,9})?$/.test(value)) return null;
  const minutes = Number(value.slice(digits));
  if (minutes >= 60) return null;
  const magnitude = Number(value.slice(0, digits)) + minutes / 60;
  return side?.toUpperCase() === negative ? -magnitude : magnitude;
}
