/** Reads what SIP headers say about addresses: name-addr with tag, URI, Via; lenient, since devices leave out a lot. */

/** From or To. Every part is null when it is not there. */
export interface NameAddress {
  readonly uri: string | null;
  readonly tag: string | null;
}

/** The parts of a URI that matter here. */
export interface UriParts {
  readonly scheme: string;
  readonly user: string | null;
  /** Host and port as written. */
  readonly hostPort: string;
}

export interface Via {
  /** `UDP`, `TCP`, `TLS` as written, upper case. */
  readonly transport: string;
  /** Host and port as the sender sees itself: for the transaction key, never for routing. */
  readonly sentBy: string;
  readonly branch: string | null;
  readonly rport: boolean;
}

/** Where `wanted` stands outside double quotes and angle brackets, from `from`; −1 when nowhere. */
function indexOutside(text: string, wanted: string, from = 0): number {
  let quoted = false;
  let angled = false;
  for (let i = from; i < text.length; i++) {
    const char = text[i];
    if (quoted) {
      if (char === '\\') i++;
      else if (char === '"') quoted = false;
    } else if (char === wanted && !angled) return i;
    else if (char === '"') quoted = true;
    else if (char === '<') angled = true;
    else if (char === '>') angled = false;
  }
  return -1;
}

/** Splits a list of header values at commas that are neither quoted nor in angle brackets; empty ones are left out. */
export function splitList(value: string): string[] {
  const parts: string[] = [];
  let from = 0;
  for (;;) {
    const at = indexOutside(value, ',', from);
    const part = value.slice(from, at === -1 ? value.length : at).trim();
    if (part !== '') parts.push(part);
    if (at === -1) return parts;
    from = at + 1;
  }
}

/** The `;name=value` parameters of a header value; names in lower case, a flag has the value ''. */
export function parameters(value: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  let from = indexOutside(value, ';');
  while (from !== -1) {
    const next = indexOutside(value, ';', from + 1);
    const pair = value.slice(from + 1, next === -1 ? value.length : next);
    const equals = pair.indexOf('=');
    const name = (equals === -1 ? pair : pair.slice(0, equals)).trim().toLowerCase();
    if (name !== '' && !found.has(name)) found.set(name, equals === -1 ? '' : pair.slice(equals + 1).trim());
    from = next;
  }
  return found;
}

/** Reads `"Name" <sip:user@host>;tag=x`, `sip:user@host;tag=x` and what devices make of them (RFC 3261 § 20.20, 20.39). */
export function parseNameAddress(value: string): NameAddress {
  const open = indexOutside(value, '<');
  const close = open === -1 ? -1 : value.indexOf('>', open);
  const semicolon = indexOutside(value, ';');
  const bare = semicolon === -1 ? value : value.slice(0, semicolon);
  const uri = (close === -1 ? bare : value.slice(open + 1, close)).trim();
  const tag = parameters(close === -1 ? value : value.slice(close + 1)).get('tag') ?? '';
  return { uri: uri === '' ? null : uri, tag: tag === '' ? null : tag };
}

/** Scheme, user (without password, percent escapes resolved) and host of a URI; null when it has no scheme. */
export function parseUri(uri: string): UriParts | null {
  const colon = uri.indexOf(':');
  if (colon === -1 || !/^[a-z][a-z0-9+.-]{0,15}$/i.test(uri.slice(0, colon))) return null;
  const scheme = uri.slice(0, colon).toLowerCase();
  const whole = uri.slice(colon + 1);
  if (scheme === 'tel') return { scheme, user: whole.split(';')[0] || null, hostPort: '' };
  const at = whole.lastIndexOf('@');
  const hostPort = whole.slice(at + 1).split(/[;?]/, 1)[0] ?? '';
  const user = at === -1 ? '' : (whole.slice(0, at).split(/[:;]/, 1)[0] ?? '');
  return { scheme, user: user === '' ? null : unescape(user), hostPort: hostPort.trim() };
}

/** Percent escapes of a URI as Latin-1 bytes; a broken escape stays as it is. */
function unescape(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Reads `SIP/2.0/UDP host:port;branch=…;rport`, with blanks wherever the grammar allows them; null when it is none. */
export function parseVia(value: string): Via | null {
  const match = /^SIP[ \t]*\/[ \t]*2\.0[ \t]*\/[ \t]*([A-Za-z][A-Za-z0-9-]{0,15})[ \t]+([^;,]{1,255})/i.exec(value);
  if (match === null) return null;
  const given = parameters(value);
  const branch = given.get('branch') ?? '';
  return {
    transport: (match[1] ?? '').toUpperCase(),
    sentBy: (match[2] ?? '').trim().toLowerCase(),
    branch: branch === '' ? null : branch,
    rport: given.has('rport'),
  };
}

/**
 * The top Via as the response carries it: `received` and `rport` say where the request really came from
 * (RFC 3261 § 18.2.1, RFC 3581 § 4). A value that is no Via comes back unchanged.
 */
export function receivedVia(value: string, source: { readonly address: string; readonly port: number }): string {
  const via = parseVia(value);
  if (via === null) return value;
  const host = via.sentBy.startsWith('[') ? via.sentBy.slice(1).split(']')[0] : via.sentBy.split(':')[0]?.trim();
  let written = value.replace(/;[ \t]*received[ \t]*=[^;,]*/gi, '');
  if (via.rport) written = written.replace(/;[ \t]*rport(?:[ \t]*=[^;,]*)?(?=[ \t]*(?:;|$))/i, `;rport=${source.port}`);
  return via.rport || host !== source.address ? `${written};received=${source.address}` : written;
}

/** A host as a URI holds it: IPv6 in brackets. */
export const uriHost = (address: string): string => (address.includes(':') ? `[${address}]` : address);

/** A source for the log: `udp:192.0.2.7:5060`. */
export function sourceOf(flow: {
  readonly transport: string;
  readonly remote: { readonly address: string; readonly port: number };
}): string {
  return `${flow.transport}:${uriHost(flow.remote.address)}:${flow.remote.port}`;
}

/** Whether a URI taken from a peer may be written into a message of ours: printable, no delimiter of a header. */
export const writableUri = (uri: string): boolean => uri.length <= 512 && /^[a-z][a-z0-9+.-]*:[!#-;=?-~]+$/i.test(uri);
