/** SCAIP replies (and, for simulators and tests, requests) as bytes. */

/** The answer to a request; elements that say nothing are left out. */
export interface ScaipReply {
  readonly ref: string;
  /** Status number, see `REPLY_STATUSES`; 0: ok. */
  readonly snu: number;
}

export const CONTENT_TYPE = 'application/scaip+xml';

/** Without declaration, attributes or blanks, `<ref>` first: there are devices that compare the beginning as text. */
export function encodeReply({ ref, snu }: ScaipReply): Uint8Array {
  return Buffer.from(`<mrs><ref>${escaped(ref)}</ref><snu>${snu}</snu></mrs>`);
}

/** A request out of elements in the given order, as devices write it: one line without declaration. */
export function encodeRequest(elements: readonly (readonly [name: string, text: string])[]): Uint8Array {
  return Buffer.from(`<mrq>${elements.map(([name, text]) => `<${name}>${escaped(text)}</${name}>`).join('')}</mrq>`);
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
