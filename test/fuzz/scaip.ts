/** What is fuzzed of SCAIP: bodies in any encoding, the strict reading, and what a device's model makes of them. */
import path from 'node:path';
import { interpretScaip } from '../../src/devices/interpret.ts';
import { loadModels } from '../../src/devices/models.ts';
import { decodeBody, decodeReply } from '../../src/protocols/scaip/decode.ts';
import { strictStatus } from '../../src/protocols/scaip/strict.ts';
import { LIMITS } from '../../src/protocols/sip/message.ts';
import { type Fuzzed, holds } from './campaign.ts';
import { keptFor, scaipBodies } from './corpus.ts';

export const models = loadModels(path.join(import.meta.dirname, '..', '..', 'config', 'models'));

const ELEMENTS =
  'mrq mrs scaip ref ver sco cha mty hbo cid dty did dco dte crd stc stt pri lco lva lge geo tim gga lte ico ite ame mreq'.split(' ');
const WORDS = [
  ...ELEMENTS.flatMap((name) => [`<${name}>`, `</${name}>`, `<${name}/>`]),
  ...[
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<!DOCTYPE a [<!ENTITY b "c">]>',
    '<!ENTITY',
    '&b;',
    '&#0;',
    '&#xD800;',
    '&#x10FFFF;',
    '&amp;',
  ],
  ...[
    '<![CDATA[',
    ']]>',
    '<!--',
    '-->',
    '<?',
    '?>',
    'xmlns="a"',
    ' a="b"',
    '<a:',
    'xmlns:a="b"',
    '\0',
    '\u00ff\u00fe',
    '\u00fe\u00ff',
    '\u00ef\u00bb\u00bf',
  ],
  ...[
    'ME',
    'RE',
    'IN',
    'PI',
    '0010',
    '0009',
    '0102',
    '58.97,5.7331',
    '2024-05-12T22:14+02:00',
    '9999-99-99T99:99Z',
    '-271821-01-01T00:00Z',
  ],
  ...[
    '$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47',
    'gsm:+',
    'sip:',
    'no-voice:',
    '\u00c3\u00a5',
    '\u00ed\u00a0\u0080',
    '\u00f0\u009f',
  ],
];

/** PostgreSQL refuses NUL and lone surrogates. */
// eslint-disable-next-line no-control-regex
const UNSTORABLE = /\u0000|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;

export function holdsStorable(value: unknown, what: string): void {
  if (typeof value === 'string') holds(!UNSTORABLE.test(value), `${what} can be stored`);
  else if (typeof value === 'number') holds(Number.isFinite(value), `${what} is a number`);
  else if (value instanceof Uint8Array) return;
  else if (Array.isArray(value)) for (const one of value) holdsStorable(one, what);
  else if (typeof value === 'object' && value !== null)
    for (const [name, one] of Object.entries(value)) holdsStorable(one, `${what}.${name}`);
}

const body: Fuzzed = {
  name: 'scaip-body',
  seeds: [
    ...scaipBodies(),
    ...scaipBodies()
      .slice(0, 3)
      .map((one) => Buffer.from(one.toString(), 'utf16le')),
    ...keptFor('scaip-body'),
  ],
  words: WORDS,
  longest: LIMITS.body,
  feed(input, draw) {
    const decoded = decodeBody(input);
    holdsStorable(decoded, 'decoded');
    holds(decoded.ref === null || decoded.ref.length <= 64, 'a reference is short');
    decodeReply(input);
    const strict = strictStatus(input);
    holds(strict !== 0 || decoded.request !== null, 'what is right by the strict reading is readable');
    const message = { ...decoded, raw: input, cut: draw.oneIn(8), identityMismatch: draw.oneIn(8) };
    const meaning = interpretScaip(message, models.get(draw.pick(models.names)));
    holdsStorable(meaning, 'meaning');
    const { request } = decoded;
    const read =
      request === null ? 'unread' : `${request.mty?.value ?? '-'} ${request.crd.length} ${request.unknown.length} ${request.lge === null}`;
    return `${read} ${strict} ${meaning.what} ${meaning.what === 'signal' ? `${meaning.meaning.role} ${meaning.meaning.kind}` : ''}`;
  },
};

export const SCAIP: readonly Fuzzed[] = [body];
