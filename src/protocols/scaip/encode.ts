/** SCAIP replies (and, for simulators and tests, requests) as bytes. */

/** What a reply says of voice: `mre` 0 no call, 1 duplex; `cre` whom to call: 61 the programmed receiver, 62 the one in `tnu`. */
export interface VoiceReply {
  readonly mre: 0 | 1;
  readonly cre?: 61 | 62;
  /** A URI; never more than one, for there are units that refuse several. */
  readonly tnu?: string;
}

/** The answer to a request; elements that say nothing are left out. */
export interface ScaipReply {
  readonly ref: string;
  /** Status number, see `REPLY_STATUSES`; 0: ok. */
  readonly snu: number;
  /** Null or absent: nothing is said, which means no call. */
  readonly voice?: VoiceReply | null;
}

export const CONTENT_TYPE = 'application/scaip+xml';

/** Without declaration, attributes or blanks, `<ref>` first: there are devices that compare the beginning as text. */
export function encodeReply({ ref, snu, voice = null }: ScaipReply): Uint8Array {
  const elements: [string, string | number | undefined][] = [
    ['ref', ref],
    ['snu', snu],
    ['mre', voice?.mre],
    ['cre', voice?.cre],
    ['tnu', voice?.tnu],
  ];
  return Buffer.from(`<mrs>${written(elements)}</mrs>`);
}

/** A request out of elements in the given order, as devices write it: one line without declaration. */
export function encodeRequest(elements: readonly (readonly [name: string, text: string])[]): Uint8Array {
  return Buffer.from(`<mrq>${written(elements)}</mrq>`);
}

const written = (elements: readonly (readonly [name: string, value: string | number | undefined])[]): string =>
  elements.map(([name, value]) => (value === undefined ? '' : `<${name}>${escaped(String(value))}</${name}>`)).join('');

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
