/** SCAIP bodies: the real messages, those built from the tables, other encodings, damage and nonsense; codes and the page about them. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import t from 'tap';
import {
  CODE_TABLES,
  DEVICE_COMPONENTS,
  DEVICE_TYPES,
  LOCATION_CODES,
  REPLY_STATUSES,
  STATUS_CODES,
  SYSTEM_CONFIGURATIONS,
  UNSETTLED,
  codeName,
} from '../../src/protocols/scaip/codes.ts';
import { decodeBody, decodeReply } from '../../src/protocols/scaip/decode.ts';
import { encodeReply, encodeRequest } from '../../src/protocols/scaip/encode.ts';
import { type ScaipRequest, messageTypeOf, positionOf, statusOf, wantsNoVoice } from '../../src/protocols/scaip/message.ts';

const VECTORS = fileURLToPath(new URL('../vectors/', import.meta.url));
const sample = (name: string): Buffer => readFileSync(join(VECTORS, 'scaip', name));
const json = <T>(name: string): T => JSON.parse(readFileSync(join(VECTORS, 'scaip', name), 'utf8')) as T;
/** A request flattened to what vectors say of it. */
function facts(request: ScaipRequest) {
  const position = positionOf(request);
  const numbers = Object.fromEntries(
    (['sco', 'cha', 'hbo', 'dty', 'dco', 'pri', 'lco', 'ico', 'ame', 'mreq'] as const).map((name) => [name, request[name]?.value ?? null]),
  );
  return {
    ...request,
    ...numbers,
    type: messageTypeOf(request),
    status: statusOf(request),
    stcRaw: request.stc?.raw ?? null,
    crd: request.crd.map((one) => [one.scheme, one.target]),
    noVoice: wantsNoVoice(request),
    lat: position === null ? null : Math.round(position.lat * 1e6) / 1e6,
    lon: position === null ? null : Math.round(position.lon * 1e6) / 1e6,
    at: position?.at ?? null,
  };
}
/** Every form of `crd`, and what is understood of it: scheme and target. */
const CALLERS: [string, string, string | null][] = [
  ['sip:', 'sip', null],
  ['sip:26317@192.0.2.4:5066;transport=tcp', 'sip', '26317@192.0.2.4:5066;transport=tcp'],
  ['sips:26317@arc.example', 'sips', '26317@arc.example'],
  ['tel:+4751000000', 'tel', '+4751000000'],
  ['tel:+47 51 00 00 00', 'tel', '+47 51 00 00 00'],
  ['gsm:', 'gsm', null],
  ['gsm:+', 'gsm', null],
  ['GSM:+4790000000', 'gsm', '+4790000000'],
  ['no-voice:', 'no-voice', null],
  ['no-voice', 'no-voice', null],
  ['sip-pp:26317@192.0.2.4', 'sip-pp', '26317@192.0.2.4'],
  ['sip-pp:', 'sip-pp', null],
  ['+4751000000', 'unknown', null],
  ['skype:unit', 'unknown', null],
];

const decode = (text: string | Uint8Array) => decodeBody(typeof text === 'string' ? Buffer.from(text) : text);

await t.test('real messages are read as the reference lists them', async (t) => {
  const expected = json<Record<string, object>>('expected.json');
  for (const file of readdirSync(join(VECTORS, 'scaip')).filter((name) => /^R(?!15).*\.xml$/.test(name))) {
    const { request, ref } = decode(sample(file));
    assert.ok(request, file);
    t.match(facts(request), expected[file] ?? t.fail(`${file} has no expectation`), file);
    t.same([ref, request.unknown], [request.ref, []], file);
  }
  t.same(decodeReply(sample('R15_arc_reply_ok.xml')), { ref: '00020486', snu: 0 });
  t.equal(decodeReply(Buffer.from('<mrq><ref>1</ref></mrq>')), null);
});

await t.test('messages built from the tables', async (t) => {
  for (const { name, xml, expect } of json<{ name: string; xml: string; expect: Record<string, unknown> }[]>('built.json')) {
    const { request } = decode(xml);
    assert.ok(request, name);
    const { lat, lon, ...rest } = expect;
    t.match(facts(request), rest, name);
    if (typeof lat === 'number')
      t.ok(Math.abs(facts(request).lat! - lat) < 1e-5 && Math.abs(facts(request).lon! - (lon as number)) < 1e-5, name);
  }
  const gga = (text: string) => decode(`<mrq><ref>1</ref><lge><gga>${text}</gga></lge></mrq>`).request?.lge?.gga?.value;
  t.equal(gga('$GPGGA,123519,5858.1980,N,00543.9864,E,0,,,,,,,,'), null, 'no fix');
  t.equal(gga('$GPGGA,123519,5858.1980,N,00543.9864,E,1,08,0.9,45.4,M,46.9,M,,*72'), null, 'wrong checksum');
  t.ok(gga('$GPGGA,123519,5858.1980,S,00543.9864,W,1,08,,,,,,')!.lat < -58);
  const at = (text: string) => decode(`<mrq><ref>1</ref><lge><tim>${text}</tim></lge></mrq>`).request?.lge?.tim?.value;
  for (const text of ['2024-05-12T22:14:00+02:00', '2024-05-12T20:14Z', '2024-05-12T22:14+0200'])
    t.equal(at(text), 1_715_544_840_000, text);
  for (const text of ['2024-05-12T22:14', 'now', '2024-13-45T99:99Z']) t.equal(at(text), null, text);
  for (const [what, geo] of Object.entries({ 'outside the globe': '95,5', 'no fix yet': '0.000000,0.000000', words: 'unknown' }))
    t.match(decode(`<mrq><ref>1</ref><geo>${geo}</geo></mrq>`).request?.lge?.geo, { raw: geo, value: null }, what);
  t.equal(gga('$GPGGA,123519,5899.1980,N,00543.9864,E,1,08,,,,,,'), null, 'a minute has sixty seconds');
  const other = gga('$GNGGA,221400.00,5858.1980,N,00543.9864,E,2,12,0.6,45.4,M,46.9,M,,');
  t.ok(Math.abs((other?.lat ?? 0) - 58.969967) < 1e-5, 'another talker, with hundredths of a second');
});

await t.test('wrong encodings do not lose the alarm', async (t) => {
  const text = '<mrq><ref>1</ref><cid>26317</cid><dty>3</dty><lte>Kjøkken Ås</lte></mrq>';
  const swapped = Buffer.from(`\ufeff${text}`, 'utf16le').swap16();
  const encodings = {
    utf8: Buffer.from(text),
    'utf8 with BOM': Buffer.from(`\ufeff${text}`),
    latin1: Buffer.from(text, 'latin1'),
    utf16: Buffer.from(text, 'utf16le'),
    utf16be: swapped,
    'utf16 after a blank': Buffer.from(`\r\n${text}`, 'utf16le'),
    'utf16be after a blank': Buffer.from(`\r\n${text}`, 'utf16le').swap16(),
    'utf8 after a NUL': Buffer.from(`\u0000${text}`),
    'utf8 between NULs': Buffer.from(`\u0000\u0000\u0000${text}\u0000\u0000`),
  };
  for (const [name, bytes] of Object.entries(encodings)) t.match(decode(bytes).request, { cid: '26317', lte: 'Kjøkken Ås' }, name);
  t.match(decode(`<?xml version="1.0" encoding="UTF-16"?>${text}`).request, { lte: 'Kjøkken Ås' }, 'a declaration that lies');
  t.match(decode('<mrq><ref>1</ref><cid>1</cid><dty>3</dty><lte>a\u0000b\u0007\ud800</lte></mrq>').request, {
    lte: 'a\ufffdb\ufffd\ufffd',
  });
});

await t.test('every form of crd is read, one or several', async (t) => {
  const xml = CALLERS.map(([raw]) => `<crd>${raw}</crd>`).join('');
  const { request } = decode(`<mrq><ref>1</ref>${xml}<crd/></mrq>`);
  t.strictSame(
    request?.crd.map(({ raw, scheme, target }) => [raw, scheme, target]),
    CALLERS,
  );
  t.equal(wantsNoVoice(request!), true, 'one of several says so');
});

await t.test('the dialect that calls its request scaip', async (t) => {
  const flat = '<ref>SYN0001</ref><cid>+4751000000</cid><dty>0003</dty><did>A1B2C3D4E5F6</did><stc>0010</stc>';
  const whole = decode(`<?xml version="1.0"?>\n<scaip>${flat}</scaip>`);
  t.match(whole, { ref: 'SYN0001', cid: '+4751000000', request: { dty: { value: 3 }, did: 'A1B2C3D4E5F6', stc: { value: 10 } } });
  t.strictSame(decode(`<mrq>${flat}</mrq>`), whole, 'the same elements');
  t.strictSame(decode(`<scaip><mrq>${flat}</mrq></scaip>`), whole, 'the request inside counts');
  t.match(decode('<mrq><ref>1</ref><cid> 80 31372 </cid></mrq>'), { cid: '8031372' }, 'no controller id has spaces');
});

await t.test('unreadable bodies give their reference when it is whole', async (t) => {
  const cases: [string, string | null, string | null][] = [
    ['', null, null],
    ['hello', null, null],
    ['<mrq>', null, null],
    ['<scap><ref>S1</ref></scap>', 'S1', null],
    ['<scaip><ref>S1</ref><cid>+4751000000</cid><dty>3', 'S1', '+4751000000'],
    ['<mrq><ref>T1</ref><cid>26317</cid><dty>3', 'T1', '26317'],
    ['<mrq><ref>T1</ref><cid>26317</cid><dty>3</d', 'T1', '26317'],
    ['<mrq><ref>T', null, null],
    ['<mrq><ref>T1</ref><dty>3</stc></mrq>', 'T1', null],
    [`<mrq>${'<a>'.repeat(20)}${'</a>'.repeat(20)}<ref>D1</ref></mrq>`, 'D1', null],
    [`<mrq><ref>M1</ref>${'<a>1</a>'.repeat(1000)}</mrq>`, 'M1', null],
    [`<mrq><ref>${'x'.repeat(100)}</ref></mrq`, null, null],
  ];
  for (const [text, ref, cid] of cases.slice(0, -1)) t.same(decode(text), { request: null, ref, cid }, text.slice(0, 50));
  t.match(decode(cases.at(-1)![0]), { ref: null, request: { ref: null } }, 'a reference too long to be one');
  const bomb =
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><mrq><ref>B1</ref><cid>1</cid><dty>2</dty><lte>&b;</lte></mrq>';
  t.match(decode(bomb), { request: null, ref: 'B1' }, 'entities are not for alarms');
  t.match(decode('<!DOCTYPE mrq SYSTEM "x.dtd"><mrq><ref>1</ref><lte>&b;</lte></mrq>').request, { lte: '&b;' }, 'nor expanded');
});

await t.test('cut at every length, mirrored, and random', async (t) => {
  for (const file of readdirSync(join(VECTORS, 'scaip')).filter((name) => name.endsWith('.xml') && !name.startsWith('R15'))) {
    const bytes = Buffer.from(sample(file).toString().trim());
    const whole = decode(bytes);
    for (let size = 0; size < bytes.length; size++) {
      const cut = decode(bytes.subarray(0, size));
      if (cut.request !== null) assert.deepEqual(cut, whole, `${file} cut at ${size} says nothing else`);
      assert.ok(cut.ref === null || cut.ref === whole.ref);
    }
  }
  t.equal(Buffer.from(encodeReply({ ref: '00020486', snu: 0 })).toString(), sample('R15_arc_reply_ok.xml').toString().trim());
  t.equal(Buffer.from(encodeReply({ ref: '<&>', snu: 0 })).toString(), '<mrs><ref>&lt;&amp;&gt;</ref><snu>0</snu></mrs>');
  const text = fc.string({ minLength: 1, maxLength: 60, unit: 'binary' });
  const names = fc.constantFrom('ref', 'cid', 'did', 'dte', 'stt', 'lva', 'lte', 'ite', 'ver');
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(names, text), { selector: ([name]) => name }), (elements) => {
      const { request } = decode(encodeRequest(elements));
      assert.ok(request);
      for (const [name, value] of elements) {
        // eslint-disable-next-line no-control-regex
        if (/[\u0000-\u001f\ufffe\uffff\ud800-\udfff]/.test(value)) continue;
        const trimmed = value.trim();
        const wanted = trimmed === '' || (name === 'ref' && trimmed.length > 64) ? null : trimmed;
        assert.equal(request[name as 'ref'], wanted);
      }
    }),
    { numRuns: 300 },
  );
  const words = fc.constantFrom(
    '<mrq>',
    '</mrq>',
    '<ref>',
    '</ref>',
    '<cid>1</cid>',
    '<![CDATA[',
    ']]>',
    '<!--',
    '&',
    '&#0;',
    '<mrq',
    '>',
    '"',
    '<?',
    '<!ENTITY',
    '\u0000',
  );
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 30 }),
    words.map((word) => Buffer.from(word)),
  );
  fc.assert(
    fc.property(fc.array(part, { maxLength: 30 }), (parts) => {
      const { ref, request } = decode(Buffer.concat(parts));
      assert.ok(ref === null || ref.length <= 64);
      assert.ok(request === null || !JSON.stringify(request).includes('\\u0000'));
    }),
    { numRuns: 2000 },
  );
  t.ok(true);
});

await t.test('codes are complete as the reference prints them', async (t) => {
  const missing = (table: Record<number, string>, last: number) =>
    Array.from({ length: last + 1 }, (_, i) => i).filter((i) => !(i in table));
  t.same(missing(DEVICE_TYPES, 51), [42], 'dty 42 is an open point');
  t.same([missing(STATUS_CODES, 127), missing(LOCATION_CODES, 52), missing(DEVICE_COMPONENTS, 29)], [[], [], []]);
  const names = [
    codeName(DEVICE_TYPES, 5),
    codeName(STATUS_CODES, 16),
    codeName(STATUS_CODES, 102),
    codeName(LOCATION_CODES, 21),
    codeName(DEVICE_COMPONENTS, 11),
  ];
  t.same(names, ['fall detector', 'battery low', 'test transmission primary channel', 'kitchen', 'switch 5']);
  for (const [element, codes] of Object.entries(UNSETTLED)) {
    const table = CODE_TABLES[element as keyof typeof CODE_TABLES];
    const unknown = codes.filter((code) => !(code in table));
    t.same(
      unknown,
      element === 'dty' ? [42] : element === 'hbo' ? [2, 3] : [],
      `${element}: what is unsettled has a name, or none is known`,
    );
  }
  t.same([codeName(DEVICE_TYPES, 9999), codeName(DEVICE_TYPES, null), codeName(STATUS_CODES, 49)], [null, null, 'inactive']);
});

await t.test('the page on SCAIP names every element and status', async (t) => {
  const page = readFileSync(new URL('../../docs/protocols/scaip.md', import.meta.url), 'utf8');
  const request = decode('<mrq><ref>1</ref></mrq>').request!;
  for (const element of Object.keys(request)) if (element !== 'unknown') t.ok(page.includes(`| \`${element}\` | `), element);
  for (const table of [REPLY_STATUSES, SYSTEM_CONFIGURATIONS])
    for (const [code, name] of Object.entries(table)) t.ok(page.includes(`${code} ${name}`), name);
});
