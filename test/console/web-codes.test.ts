/** Codes of SCAIP units on the screens: every code has a text in both languages, and what a unit wrote is read back from its line. */
import t from 'tap';
import type { TimelineView } from '../../src/alarms/view.ts';
import { en } from '../../src/console/web/texts/en.ts';
import { nb } from '../../src/console/web/texts/nb.ts';
import { newestCode, saidBy, textBeside, writtenBy } from '../../src/console/web/view/scaip.ts';
import { interpretScaip } from '../../src/devices/interpret.ts';
import { loadModels } from '../../src/devices/models.ts';
import { CALL_REPLIES, CODE_TABLES, MEDIA_REPLIES, REPLY_STATUSES } from '../../src/protocols/scaip/codes.ts';
import { decodeBody } from '../../src/protocols/scaip/decode.ts';
import { MESSAGE_TYPES, VOICE_SCHEMES } from '../../src/protocols/scaip/message.ts';

const generic = loadModels('config/models').get('generic/generic');

/** The line of codes that the centre keeps of a message, the whole way from its bytes. */
function lineOf(elements: string): { code: string; text: string | null } {
  const raw = Buffer.from(`<mrq><ref>1</ref><cid>26317</cid>${elements}</mrq>`);
  const made = interpretScaip({ ...decodeBody(raw), raw, cut: false, identityMismatch: false }, generic);
  if (made.what !== 'signal') throw new Error('a sign of life');
  return { code: made.meaning.code ?? '', text: made.meaning.text ?? null };
}

await t.test('every code of the protocol has a text in both languages, and no text is of a code that there is not', (t) => {
  const tables = { ...CODE_TABLES, snu: REPLY_STATUSES, mre: MEDIA_REPLIES, cre: CALL_REPLIES };
  for (const [language, texts] of Object.entries({ nb, en })) {
    const scaip = texts.scaip as unknown as Record<string, Record<string, string>>;
    for (const [element, table] of Object.entries(tables)) {
      t.same(Object.keys(scaip[element] ?? {}), Object.keys(table), `${language} ${element}`);
    }
    t.same(Object.keys(scaip['mty'] ?? {}).toSorted(), [...MESSAGE_TYPES].toSorted());
    t.same(Object.keys(scaip['crd'] ?? {}).toSorted(), [...VOICE_SCHEMES].toSorted());
    for (const element of [...Object.keys(tables), 'mty', 'crd']) {
      const said = Object.values(scaip[element] ?? {});
      t.ok(
        said.every((text) => text.trim() === text && text !== ''),
        `${language} ${element}: none is empty`,
      );
      if (element !== 'sco' && element !== 'snu')
        t.equal(new Set(said).size, said.length, `${language} ${element}: no two codes read alike`);
    }
  }
  t.end();
});

await t.test('what a unit wrote is read in the language of the reader', (t) => {
  const kitchen = lineOf(
    '<mty>ME</mty><dty>0003</dty><did>17</did><dco>002</dco><stc>0010</stc><lco>021</lco><lva>2</lva><lte>Ved "øvre" komfyr</lte><stt>Hjelp</stt><crd>gsm:+</crd><dte>Unit 7 v1.2</dte><sco>2</sco><ame>1</ame><cha>1</cha><pri>3</pri><ico>9</ico>',
  );
  t.equal(
    kitchen.code,
    'mty ME dty 0003 dco 002 stc 0010 pri 3 lco 021 lva 2 lte "Ved \'øvre\' komfyr" sco 2 ame 1 cha 1 ico 9 crd gsm:+ dte "Unit 7 v1.2"',
  );
  t.strictSame(writtenBy(kitchen.code, nb.scaip), {
    type: 'Halssmykke/personlig utløser, knapp 1',
    event: 'Manuell alarm',
    place: "Kjøkken 2, Ved 'øvre' komfyr",
    where: "Kjøkken 2, Ved 'øvre' komfyr",
    voice: 'Tale over mobilnett, nummer ikke oppgitt',
    name: 'Unit 7 v1.2',
    more: [
      'Gruppeanlegg, personalet er på vakt',
      'En melding til hører til denne',
      'Enheten venter på å bli oppringt',
      'Enhetens egen prioritet 3',
      'Infokode 9',
    ],
    unknown: [],
    placeText: "Ved 'øvre' komfyr",
  });
  t.match(writtenBy(kitchen.code, en.scaip), { type: 'Pendant/personal trigger, button 1', event: 'Manual alarm' });
  t.end();
});

await t.test('what no table knows is shown as the unit wrote it', (t) => {
  const odd = lineOf(
    '<mty>XX</mty><dty>4711</dty><stc>hjelp meg</stc><lco>99</lco><lva>3</lva><zzz>rød "knapp"</zzz><stc>16</stc><crd>skype:unit</crd><lge><geo>her</geo></lge>',
  );
  t.match(writtenBy(odd.code, nb.scaip), {
    type: 'Ukjent enhetstype «4711»',
    event: 'Ukjent hendelse «hjelp meg»',
    place: 'Ukjent stedskode «99» 3',
    voice: 'skype:unit',
    more: ['Ukjent meldingstype «XX»', 'Posisjon som ikke kan leses «her»'],
    unknown: [
      ['zzz', "rød 'knapp'"],
      ['stc', '16'],
    ],
  });
  const many = lineOf(`<dty>3</dty>${Array.from({ length: 30 }, (_, i) => `<x${i}>${'y'.repeat(200)}</x${i}>`).join('')}`);
  t.ok(many.code.length <= 512);
  t.ok((writtenBy(many.code, nb.scaip)?.unknown.length ?? 0) >= 5, 'cut, but read as far as it goes');
  for (const code of [undefined, null, '', 'fall', 'topic nj/v1/1103/NJ-1103-0001/alarm'])
    t.equal(writtenBy(code, nb.scaip), null, `${code}`);
  t.match(writtenBy('dty 3 stc constructor lco toString', nb.scaip), {
    event: 'Ukjent hendelse «constructor»',
    place: 'Ukjent stedskode «toString»',
  });
  for (const [line, voice] of [
    ['crd no-voice:', 'Uten tale'],
    ['crd sip:', 'Tale over internett (SIP), nummer ikke oppgitt'],
    ['crd tel:+4751000000 crd gsm:', 'Tale over telefon: +4751000000, Tale over mobilnett, nummer ikke oppgitt'],
  ] as const)
    t.match(writtenBy(line, nb.scaip), { voice }, line);
  t.match(writtenBy('dty 2 lco 002', nb.scaip), { place: 'Hjemme', where: null }, 'where one is anyway');
  t.match(writtenBy('dty 2 lco 99', nb.scaip), { place: 'Ukjent stedskode «99»', where: null }, 'a number helps nobody at a glance');
  t.match(writtenBy('dty 2 lco 005', nb.scaip), { place: 'Utendørs', where: 'Utendørs' });
  t.match(writtenBy('dty 2 lco 000', nb.scaip), { place: null, where: null });
  t.end();
});

await t.test('the timeline and the card say each thing once', (t) => {
  const { code, text } = lineOf('<mty>RE</mty><dty>26</dty><stc>93</stc><lco>11</lco><lte>Badet oppe</lte><ite>Luftet</ite>');
  const facts = { trigger: '17', code, ...(text === null ? {} : { text }) };
  t.equal(text, 'Luftet · Badet oppe');
  t.same(saidBy(facts, nb.scaip), [
    'utløser 17',
    'CO-varsler (kullos)',
    'manuelt tilbakestilt',
    'sted: bad, Badet oppe',
    'tekst fra enheten «Luftet»',
  ]);
  t.match(writtenBy('mty RE dty 3 stc 0016', nb.scaip), { event: 'Lavt batteri', more: ['Tilbakestilling'] }, 'the end of it');
  t.same(saidBy({ trigger: '', code: 'fall', text: 'å' }, nb.scaip), ['kode fall', 'tekst fra enheten «å»']);
  t.same(saidBy({ trigger: '' }, nb.scaip), []);
  t.equal(textBeside(text, writtenBy(code, nb.scaip)), 'Luftet');
  t.equal(textBeside('Badet oppe', writtenBy(code, nb.scaip)), null);
  const entry = (version: number, event: object): TimelineView => ({ version, event }) as TimelineView;
  const timeline = [
    entry(3, { event: 'cancel-received', code: 'dty 3 stc 19' }),
    entry(1, { event: 'opened', code: 'dty 3' }),
    entry(2, { event: 'repeated', code: 'dty 4' }),
  ];
  t.equal(newestCode(timeline), 'dty 4');
  t.equal(newestCode([entry(1, { event: 'opened' })]), null);
  t.equal(newestCode(null), null);
  const opened = nb.events.opened(
    {
      event: 'opened',
      kind: 'call-button',
      priority: 'life',
      priorityRule: 'by-kind',
      follows: null,
      marks: ['unknown-device'],
      trigger: '',
      code: 'dty 4 stc 0010 lco 002',
    } as unknown as Parameters<typeof nb.events.opened>[0],
    undefined as never,
  );
  t.equal(
    opened,
    'Alarmen kom: Trygghetsalarm. Hastegrad Livsfare, etter alarmtypen. (fast utløser (knapp eller snor) · manuell alarm · sted: hjemme · enheten er ikke registrert)',
  );
  t.end();
});
