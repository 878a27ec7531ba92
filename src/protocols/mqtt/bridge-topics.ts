/** Which topics each connection of the bridge reads, and what a topic of the platform says of its sender. Pure. */
import { DOWN_KINDS, type DownKind, UP_KINDS, type UpKind } from './message.ts';
import { type DeviceAddress, isSerial } from './topic.ts';

/** What one connection reads. */
export interface BridgeShare {
  readonly clientId: string;
  readonly filters: readonly string[];
  /** The municipalities that are its own; null: it reads all that no other connection calls its own. */
  readonly municipalities: readonly string[] | null;
}

/** `nj/v1/{municipality}/…` */
const PLACE = 2;
const MUNICIPALITY = /^\d{4}$/;

/**
 * Divides the topics. One connection reads everything. Of several, the first still reads everything, so that a municipality
 * that nobody configured is not lost unread, and leaves to the others what they have as their own.
 */
export function divide(parts: {
  readonly clientId: string;
  readonly filters: readonly string[];
  readonly connections: number;
  readonly municipalities: readonly string[];
}): BridgeShare[] {
  const { clientId, filters, connections, municipalities } = parts;
  const main: BridgeShare = { clientId, filters: [...new Set(filters)], municipalities: null };
  if (connections === 1) return [main];
  const shares = Array.from({ length: connections }, (_, n) => {
    const own = municipalities.filter((_one, index) => index % connections === n);
    const narrowed = own.flatMap((municipality) => filters.flatMap((filter) => narrow(filter, municipality)));
    return { clientId: `${clientId}-${n + 1}`, filters: [...new Set(narrowed)], municipalities: own };
  });
  return [main, ...shares.filter((share) => share.filters.length > 0)];
}

/** Whether a session is one of a bridge with this client id: its own or one of its parts. */
export const belongsTo = (clientId: string, bridge: string): boolean =>
  clientId === bridge || (clientId.startsWith(`${bridge}-`) && /^\d+$/.test(clientId.slice(bridge.length + 1)));

/** The part of a filter that lies in one municipality; nothing when it has none. */
function narrow(filter: string, municipality: string): string[] {
  const levels = filter.split('/');
  const place = levels[PLACE];
  if (place === '#' || place === undefined) return [[...levels.slice(0, PLACE), municipality, '#'].join('/')];
  if (place === '+') return [levels.with(PLACE, municipality).join('/')];
  return place === municipality ? [filter] : [];
}

/** Who published under a topic by the contract, and as what; `kind` null: none of the contract's words. */
export interface TopicPlace extends DeviceAddress {
  readonly kind: UpKind | DownKind | null;
}

/** Null: no topic `nj/v1/{municipality}/{device}/{kind}`. */
export function placeOfTopic(topic: string): TopicPlace | null {
  const [nj, version, municipality = '', serial = '', last, ...more] = topic.split('/');
  if (nj !== 'nj' || version !== 'v1' || last === undefined || more.length > 0) return null;
  if (!MUNICIPALITY.test(municipality) || !isSerial(serial)) return null;
  return { municipality, serial, kind: [...UP_KINDS, ...DOWN_KINDS].find((kind) => kind === last) ?? null };
}

/**
 * A topic under the filter that no device reads or writes, and that the centre may publish to because it has the form of a
 * receipt: what comes back on it proves the subscription. Null when the filter has no room for one.
 */
export function echoTopic(filter: string, clientId: string, ownMunicipality: string): string | null {
  const own = ['nj', 'v1', ownMunicipality, clientId, 'receipt'];
  const levels = filter.split('/');
  const open = levels.at(-1) === '#';
  const given = open ? levels.slice(0, -1) : levels;
  if (given.length > own.length || (!open && given.length !== own.length)) return null;
  const filled = own.map((level, index) => (given[index] === undefined || given[index] === '+' ? level : given[index]));
  return placeOfTopic(filled.join('/'))?.kind === 'receipt' ? filled.join('/') : null;
}
