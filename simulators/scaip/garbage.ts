/** What a broken SCAIP unit has been seen to send, or might: a receiver must keep all of it. */
import type { SeededRandom } from '../random.ts';

export interface ScaipLie {
  readonly name: string;
  readonly body: string;
  readonly contentType: string;
}

const SCAIP = 'application/scaip+xml';

/** One of the lies; those that are readable in part carry `ref`. */
export function garbageOf(controllerId: string, ref: string, random: SeededRandom): ScaipLie {
  const known = `<ref>${ref}</ref><cid>${controllerId}</cid>`;
  const lies: readonly ScaipLie[] = [
    { name: 'cut-short', body: `<mrq>${known}<dty>00`, contentType: SCAIP },
    { name: 'no-xml', body: 'ALARM 1 BUTTON 3', contentType: SCAIP },
    { name: 'unknown-code', body: `<mrq>${known}<dty>0003</dty><stc>9999</stc></mrq>`, contentType: SCAIP },
    { name: 'no-device-type', body: `<mrq>${known}<stc>0010</stc></mrq>`, contentType: SCAIP },
    { name: 'plain-text-type', body: `<mrq>${known}<dty>0003</dty><stc>0010</stc></mrq>`, contentType: 'text/plain' },
    { name: 'entity-bomb', body: `<!DOCTYPE mrq [<!ENTITY a "aaaa">]><mrq>${known}<dty>&a;</dty></mrq>`, contentType: SCAIP },
    { name: 'empty', body: '', contentType: SCAIP },
  ];
  return random.pick(lies);
}
