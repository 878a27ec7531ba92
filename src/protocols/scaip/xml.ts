/** Finds an element in bytes of any encoding and reads it as XML, leniently and within limits. */
import { SaxesParser } from 'saxes';
import { storable } from '../../base/bytes.ts';

/** Name in lower case without prefix, text with entities resolved, children. */
export interface Element {
  readonly name: string;
  readonly text: string;
  readonly children: readonly Element[];
}

interface OpenElement {
  readonly name: string;
  text: string;
  readonly children: Element[];
}

/** Elements and attributes together. */
const MAX_ELEMENTS = 256;
const MAX_DEPTH = 8;
const MAX_TEXT = 4096;

/**
 * Bytes as text, whatever the sender says about their encoding: UTF-16 by its mark or its zeros, UTF-8 where it is,
 * else Windows-1252. Characters that XML forbids become U+FFFD.
 */
export function xmlText(bytes: Uint8Array): string {
  // eslint-disable-next-line no-control-regex
  return storable(decoded(bytes), bytes.length).replace(/[\u0001-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, '\uFFFD');
}

function decoded(bytes: Uint8Array): string {
  const wide = wideEncoding(bytes);
  if (wide !== null) return new TextDecoder(wide).decode(bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

/** UTF-16 shows in its mark, or in a zero in nearly every pair of bytes; a stray NUL alone makes none. */
function wideEncoding(bytes: Uint8Array): 'utf-16le' | 'utf-16be' | null {
  const [a, b] = bytes;
  if (a === 0xff && b === 0xfe) return 'utf-16le';
  if (a === 0xfe && b === 0xff) return 'utf-16be';
  const zeros = [0, 0];
  const head = bytes.subarray(0, 64);
  for (const [index, byte] of head.entries()) if (byte === 0) zeros[index % 2] = (zeros[index % 2] ?? 0) + 1;
  const [first = 0, second = 0] = zeros;
  if (Math.max(first, second) <= head.length / 4) return null;
  return second > first ? 'utf-16le' : 'utf-16be';
}

/** What stands between the first start tag `name` and its end tag; null when there is no start tag. Case does not matter. */
export function findElement(text: string, name: string): { readonly xml: string; readonly whole: boolean } | null {
  const open = new RegExp(`<((?:[A-Za-z_][\\w.-]{0,31}:)?${name})(?=[\\s>/])`, 'i').exec(text);
  if (open === null) return null;
  const from = text.slice(open.index);
  const tag = open[1] ?? name;
  const close = new RegExp(`</${tag.replaceAll('.', '\\.')}(?=[\\s>]|$)`, 'i').exec(from);
  const end = close === null ? -1 : from.indexOf('>', close.index);
  if (end !== -1) return { xml: from.slice(0, end + 1), whole: true };
  // Only the end tag is damaged: every element inside is there. (Were it the end tag of another one, XML would refuse it.)
  const damaged = close?.index ?? from.search(/<\/[^<>]{0,64}$/);
  return damaged === -1 ? { xml: from, whole: false } : { xml: `${from.slice(0, damaged)}</${tag}>`, whole: true };
}

/** Reads one element; null when it is no XML or above the limits. An `&` that begins no entity is taken as itself. */
export function readElement(xml: string): Element | null {
  return parse(xml) ?? parse(xml.replace(/&(?!(?:amp|lt|gt|quot|apos);)/g, '&amp;'));
}

function parse(xml: string): Element | null {
  try {
    return parseStrictly(xml);
  } catch {
    return null;
  }
}

/** Throws at the first fault: what comes behind it is not worth the time that hostile bytes could make it take. */
function parseStrictly(xml: string): Element | null {
  const parser = new SaxesParser();
  const open: OpenElement[] = [];
  let root: Element | null = null;
  let count = 0;
  const limit = (within: boolean): void => {
    if (!within) throw new Error('above the limits');
  };
  const addText = (text: string): void => {
    const current = open.at(-1);
    if (current !== undefined && current.text.length < MAX_TEXT) current.text += text.slice(0, MAX_TEXT);
  };
  parser.on('text', addText);
  parser.on('cdata', addText);
  parser.on('attribute', () => limit(++count <= MAX_ELEMENTS));
  parser.on('opentag', ({ name }) => {
    limit(++count <= MAX_ELEMENTS && open.length < MAX_DEPTH);
    open.push({ name: name.slice(name.indexOf(':') + 1).toLowerCase(), text: '', children: [] });
  });
  parser.on('closetag', () => {
    const closed = open.pop();
    const parent = open.at(-1);
    if (parent === undefined) root = closed ?? null;
    else if (closed !== undefined) parent.children.push(closed);
  });
  parser.write(xml).close();
  return root;
}
