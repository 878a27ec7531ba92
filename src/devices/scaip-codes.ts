/** The codes of a SCAIP message as its device wrote them, in one line that a screen can take apart again. Pure. */
import { storable } from '../base/bytes.ts';
import type { Coded, ScaipRequest } from '../protocols/scaip/message.ts';

type Pair = readonly [name: string, value: string];

/** More than this of one message's codes helps nobody who reads them; the bytes are kept in full. */
const CODE_LIMIT = 512;
const VALUE_LIMIT = 64;
const UNKNOWN_SHOWN = 8;

/**
 * The codes as the device wrote them, for the card and the timeline: `mty ME dty 0003 stc 0010 lte "Etasje 2"`. Pairs of
 * element and value; a value that is no plain word stands in quotation marks. Left out is what says nothing (zeros that are
 * defaults) and what has a field of its own (`did`, `stt`, `ite`, a position that could be read).
 */
export function codesAsWritten(request: ScaipRequest): string {
  const { mty, dty, dco, stc, pri, lco, lva, lte, sco, ame, cha, ico, mreq, crd, dte, lge, unknown } = request;
  const written = (name: string, coded: Coded<unknown> | null): Pair[] => (coded === null ? [] : [[name, coded.raw]]);
  const notZero = (name: string, coded: Coded<number> | null): Pair[] => (coded?.value === 0 ? [] : written(name, coded));
  const said = (name: string, value: string | null): Pair[] => (value === null ? [] : [[name, value]]);
  const notRead = (name: string, coded: Coded<unknown> | null | undefined): Pair[] =>
    coded === null || coded === undefined || coded.value !== null ? [] : [[name, coded.raw]];
  const hidden = unknown.length - UNKNOWN_SHOWN;
  const pairs: Pair[] = [
    ...written('mty', mty),
    ...written('dty', dty),
    ...written('dco', dco),
    ...written('stc', stc),
    ...notZero('pri', pri),
    ...written('lco', lco),
    ...said('lva', lva),
    ...said('lte', lte),
    ...notZero('sco', sco),
    ...notZero('ame', ame),
    ...notZero('cha', cha),
    ...written('ico', ico),
    ...notZero('mreq', mreq),
    ...crd.map(({ raw }): Pair => ['crd', raw]),
    ...said('dte', dte),
    ...notRead('geo', lge?.geo),
    ...notRead('tim', lge?.tim),
    ...notRead('gga', lge?.gga),
    ...unknown.slice(0, UNKNOWN_SHOWN),
    ...(hidden > 0 ? [['…', String(hidden)] as const] : []),
  ];
  return storable(
    pairs.map(([name, value]) => `${name.replace(/[\s"]/g, '')} ${plainOrQuoted(storable(value, VALUE_LIMIT))}`).join(' '),
    CODE_LIMIT,
  );
}

const plainOrQuoted = (value: string): string => (/^[\w.+:@;=/-]+$/.test(value) ? value : `"${value.replaceAll('"', "'")}"`);
