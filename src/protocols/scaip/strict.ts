/** What a conformance test must hear about a request: the strict reading of the element table, beside the lenient one that counts. */
import { type Element, readElement } from './xml.ts';

/** `snu` by the reference, § 3: ok, too long, invalid format, wrong data content, mandatory tag missing. */
export type StrictStatus = 0 | 1 | 2 | 3 | 7;

/**
 * RFC 3428 § 8 wants a whole MESSAGE within 1300 bytes, so a body beyond it is too long on every path. The standard's own
 * limit is an open point.
 */
const MOST_BYTES = 1300;

const text = (most: number): RegExp => new RegExp(`^[^]{1,${most}}$`, 'u');
/** Patterns of the element table (reference § 2); `sco` and `dco` as meant, not as misprinted in the schema that circulates. */
const PATTERNS: ReadonlyMap<string, RegExp> = new Map([
  ['ref', /^[0-9A-Za-z]{1,16}$/],
  ['ver', /^\d\d\.\d\d$/],
  ['sco', /^[0-3]$/],
  ['cha', /^[01]$/],
  ['mty', /^(?:ME|RE|IN|PI)$/],
  ['hbo', /^[0-3]$/],
  ['cid', /^\d{1,16}$/],
  ['dty', /^\d{1,4}$/],
  ['did', text(8)],
  ['dco', /^\d{1,3}$/],
  ['dte', text(32)],
  ['crd', /^(?:sips?|tel|gsm|no-voice|sip-pp):[^]{0,247}$/u],
  ['stc', /^\d{1,4}$/],
  ['stt', text(32)],
  ['pri', /^\d$/],
  ['lco', /^\d{1,3}$/],
  ['lva', text(2)],
  ['lte', text(32)],
  ['ico', /^\d{1,3}$/],
  ['ite', text(128)],
  ['ame', /^[01]$/],
  ['mreq', text(4)],
]);
const PLACE_PATTERNS: ReadonlyMap<string, RegExp> = new Map([
  ['geo', /^[0-9.,]{1,23}$/],
  ['tim', /^[0-9T:+-]{22}$/],
  ['gga', text(81)],
]);
const MANDATORY = ['ref', 'cid', 'dty'];

/** The status number of a body, the first that fits of 1, 2, 7 and 3; never throws. Nothing else depends on it. */
export function strictStatus(body: Uint8Array): StrictStatus {
  if (body.length > MOST_BYTES) return 1;
  const root = strictRoot(body);
  if (root === null || !isWellFormed(root)) return 2;
  const has = (name: string): boolean => root.children.some((child) => child.name === name && child.text !== '');
  if (!MANDATORY.every(has)) return 7;
  return root.children.every(fitsPattern) ? 0 : 3;
}

/** The `mrq` of a document that is nothing but that: UTF-8, lower case, no attributes, namespaces or entities of its own. */
function strictRoot(body: Uint8Array): Element | null {
  let document: string;
  try {
    document = new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return null;
  }
  const xml = document.replace(/^\s*<\?xml[^<>]{0,100}\?>/, '').trim();
  if (!xml.startsWith('<mrq>') || !xml.endsWith('</mrq>')) return null;
  const tags = xml.match(/<[^>]*>?/g) ?? [];
  if (!tags.every((tag) => /^<(?:\/?[a-z]+|[a-z]+\/)>$/.test(tag))) return null;
  return /&(?!(?:amp|lt|gt|quot|apos|#\d{1,7}|#x[0-9A-Fa-f]{1,6});)/.test(xml) ? null : readElement(xml);
}

/** Known elements in their places, each once; of `crd` there are several in practice. */
function isWellFormed(root: Element): boolean {
  const names = root.children.map(({ name }) => name);
  const once = new Set(names).size === names.filter((name, i) => name !== 'crd' || names.indexOf('crd') === i).length;
  const inPlace = root.children.every(({ name, children }) =>
    name === 'lge' ? children.every((child) => PLACE_PATTERNS.has(child.name)) : PATTERNS.has(name) && children.length === 0,
  );
  return once && inPlace;
}

function fitsPattern({ name, text: value, children }: Element): boolean {
  if (name === 'lge') return children.every((child) => PLACE_PATTERNS.get(child.name)?.test(child.text) ?? false);
  return PATTERNS.get(name)?.test(value) ?? false;
}
