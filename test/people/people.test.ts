/** The pure rules about people: sight, commands by role, CSV, the register file's faults, telephone numbers, configuration files. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t from 'tap';
import { PERSON_COMMANDS, ROLES, type Role } from '../../src/alarms/command.ts';
import { KINDS } from '../../src/alarms/signal.ts';
import { viewOf } from '../../src/alarms/view.ts';
import { minutes } from '../../src/base/clock.ts';
import { mayOrder, scopeOf, seesAlarm, seesView, sightOf, sightingOf, type Viewer } from '../../src/people/access.ts';
import { hashPassword, passwordFault } from '../../src/people/accounts.ts';
import { loadActionPlans, readActionPlans } from '../../src/people/action-plans.ts';
import { loadCentre, loadMunicipalities, readCentre, readMunicipalities } from '../../src/people/centre.ts';
import { readCsv, textOfCsv } from '../../src/people/csv.ts';
import { ageOn } from '../../src/people/household.ts';
import { phoneOf } from '../../src/people/phone.ts';
import { COLUMNS, COLUMN_NAMES, parseTriggers } from '../../src/people/register-columns.ts';
import { draftRegister } from '../../src/people/register-draft.ts';
import { readRegisterRows } from '../../src/people/register-rows.ts';
import { DISPATCH, LEDER, NATT, START, after, openedBy, signal } from '../support/alarms.ts';

const viewer = (account: string, roles: Role[], municipalities = ['*']): Viewer => ({ account, name: '', roles, municipalities });
const operator = viewer('operator', ['operator']);
const natt = viewer('natt', ['responder']);

void t.test('who sees which alarm', async (t) => {
  const waiting = openedBy();
  const technical = openedBy(signal({ role: 'technical', kind: 'battery-low', priority: 'technical' }));
  const sent = after(waiting, DISPATCH);
  const accepted = after(sent, { command: 'accept', etaMinutes: null }, NATT);
  const declined = after(sent, { command: 'decline', reason: '' }, NATT);
  const overridden = after(waiting, { command: 'override-contact', reason: 'x' }, LEDER);
  const closed = after(after(overridden, DISPATCH), { command: 'close', outcome: 'other', text: '' });
  const cases: readonly (readonly [string, Viewer, typeof waiting, Role | null])[] = [
    ['an operator for all', operator, waiting, 'operator'],
    ['an operator of the municipality', viewer('o', ['operator'], ['1124', '1103']), waiting, 'operator'],
    ['an operator of another', viewer('sola', ['operator'], ['1124']), waiting, null],
    ['a supervisor', viewer('leder', ['supervisor']), waiting, 'supervisor'],
    ['a supervisor of another', viewer('leder', ['supervisor'], ['1124']), waiting, null],
    ['a responder who was not asked', natt, waiting, null],
    ['a responder who was asked', natt, sent, 'responder'],
    ['a responder who was asked, of another municipality', viewer('natt', ['responder'], ['1124']), sent, null],
    ['a responder who accepted', natt, accepted, 'responder'],
    ['a responder who declined', natt, declined, null],
    ['the other who was asked', viewer('natt2', ['responder']), accepted, 'responder'],
    ['a responder, of a closed one', natt, closed, 'responder'],
    ['a technician, of a need', viewer('teknisk', ['technician']), waiting, null],
    ['a technician, of a technical one', viewer('teknisk', ['technician']), technical, 'technician'],
    ['somebody without a role', viewer('x', []), waiting, null],
    ['a responder who is an operator too', viewer('natt', ['responder', 'operator']), sent, 'operator'],
  ];
  for (const [name, who, alarm, role] of cases) {
    t.equal(sightOf(who, sightingOf(alarm), START), role, name);
    t.equal(seesView(who, viewOf(alarm), START), role !== null, `${name}, by the view`);
  }
  t.ok(seesAlarm(natt, closed, START + minutes(24 * 60) - 1), 'the phone keeps its last cases for a day');
  t.notOk(seesAlarm(natt, closed, START + minutes(24 * 60)), 'and not longer');
  t.ok(seesAlarm(operator, closed, START + minutes(1_000_000)));
  t.match(scopeOf(viewer('n', ['responder'], ['1124']), START), {
    municipalities: ['1124'],
    everything: false,
    technical: false,
    askedAccount: 'n',
  });
  t.match(scopeOf(operator, START), { municipalities: null, everything: true, askedAccount: null });
});

void t.test('who may give which command: the whole table', async (t) => {
  const table: Record<(typeof PERSON_COMMANDS)[number], string> = {
    claim: 'operator supervisor technician',
    'take-over': 'supervisor',
    release: 'operator supervisor technician',
    see: 'operator supervisor technician',
    'confirm-contact': 'operator supervisor',
    note: 'operator supervisor responder technician',
    dispatch: 'operator supervisor',
    accept: 'responder',
    decline: 'responder',
    arrive: 'responder',
    report: 'responder',
    close: 'operator supervisor technician',
    'override-contact': 'supervisor',
    snooze: 'operator supervisor technician',
    withdraw: 'operator supervisor responder',
  };
  for (const command of PERSON_COMMANDS) {
    t.equal(ROLES.filter((role) => mayOrder([role], command)).join(' '), table[command], command);
  }
  t.notOk(mayOrder([], 'note'));
  t.ok(mayOrder(['technician', 'supervisor'], 'take-over'), 'roles add up');
});

void t.test('telephone numbers', async (t) => {
  const cases: readonly (readonly [string, string | null])[] = [
    ['90 12 34 56', '+4790123456'],
    ['+47 901 23 456', '+4790123456'],
    ['0047 90123456', '+4790123456'],
    ['(51) 50-70-90', '+4751507090'],
    ['+46 8 123 456 78', '+46812345678'],
    ['116117', '116117'],
    ['02800', '02800'],
    ['113', '113'],
    ['1234567', null],
    ['10123456', null],
    ['+47 1234', null],
    ['', null],
    ['ring Kari', null],
    ['+4790123456; drop', null],
  ];
  for (const [given, expected] of cases) t.equal(phoneOf(given), expected, `"${given}"`);
});

void t.test('ages', async (t) => {
  t.equal(ageOn('2026-11-22', '1938-05-17'), 88);
  t.equal(ageOn('2026-11-22', '1938-11-22'), 88, 'the birthday itself');
  t.equal(ageOn('2026-11-22', '1938-11-23'), 87, 'the day before it');
});

void t.test('CSV', async (t) => {
  const cells = (text: string) => readCsv(text).records.map((record) => record.cells);
  t.same(cells('a,b\n1,2\n'), [
    ['a', 'b'],
    ['1', '2'],
  ]);
  t.same(
    cells('a;b\r\n1;2,5'),
    [
      ['a', 'b'],
      ['1', '2,5'],
    ],
    'semicolons, CRLF, no line end at the end',
  );
  t.same(
    cells('\uFEFFa;b\n1;2'),
    [
      ['a', 'b'],
      ['1', '2'],
    ],
    'a byte order mark',
  );
  t.same(
    cells('sep=;\r\na;b\n1;2'),
    [
      ['a', 'b'],
      ['1', '2'],
    ],
    "Excel's own first line",
  );
  t.same(
    cells('a,b\n"x ""y"", z",'),
    [
      ['a', 'b'],
      ['x "y", z', ''],
    ],
    'quotes',
  );
  t.same(
    cells('a,b\n\n1,2\n,\n'),
    [
      ['a', 'b'],
      ['1', '2'],
    ],
    'empty lines',
  );
  t.same(cells(''), []);
  const multi = readCsv('a,b\n"one\ntwo",2\n3,4');
  t.same(
    multi.records.map(({ line }) => line),
    [1, 2, 4],
    'lines are counted through a cell of two lines',
  );
  t.same(readCsv('a,b\n"one,2\n3,4').faults, [{ line: 2, message: 'a quotation mark is opened and never closed' }]);
  t.match(readCsv('a,b\n"one"x,2\n3,4').faults, [{ line: 2 }]);
  t.same(readCsv('a,b\n"one"x,2\n3,4').records.at(-1)?.cells, ['3', '4'], 'what follows is still read');
  t.equal(textOfCsv(Buffer.from('Åse Ødegård æ', 'utf8')), 'Åse Ødegård æ');
  t.equal(textOfCsv(Buffer.from('Åse Ødegård æ', 'latin1')), 'Åse Ødegård æ', 'Windows-1252');
});

const KNOWN = { municipalities: ['1103', '1124'], models: ['generic/generic'], zones: ['Madla'], today: '2026-11-22' };
const faultsOf = (text: string): string[] => {
  const { rows, faults } = readRegisterRows(text);
  return [...faults, ...draftRegister(rows, KNOWN).faults].map(({ line, message }) => `${line}: ${message}`);
};
const HEAD = 'household,municipality,address,resident';
const GOOD = 'h1,1103,Gata 1,Åse';

void t.test('faults of a register file', async (t) => {
  const cases: readonly (readonly [string, string, readonly RegExp[]])[] = [
    ['an empty file', '', [/^1: The file is empty/]],
    ['a column that is none', `${HEAD},shoe size\n${GOOD},44`, [/^1: There is no column called "shoe size"/]],
    ['a column twice', `${HEAD},resident\n${GOOD},x`, [/^1: The column "resident" is there twice/]],
    [
      'a missing column',
      'household,address,resident\nh1,Gata 1,Åse',
      [/^1: The column "municipality" is missing/, /^2: "municipality" is empty/],
    ],
    ['too many cells', `${HEAD}\n${GOOD},x`, [/^2: There are 5 cells, but the first line names 4/]],
    ['no household', `${HEAD}\n,1103,Gata 1,Åse`, [/^2: "household" is empty/]],
    [
      'a household id with a space',
      `${HEAD}\nh 1,1103,Gata 1,Åse`,
      [/^2: "household" is "h 1", which is not an id/, /^2: "household" is empty/],
    ],
    ['a municipality that is not served', `${HEAD}\nh1,0301,Gata 1,Åse`, [/^2: "municipality" is 0301, which this centre does not serve/]],
    ['no address', `${HEAD}\nh1,1103,,Åse`, [/^2: "address" is empty/]],
    ['nobody there', `${HEAD}\nh1,1103,Gata 1,`, [/^2: "name" and "resident" are both empty/]],
    ['a bad number', `${HEAD},phone\n${GOOD},12`, [/^2: "phone" is "12", which is not a telephone number/]],
    ['a day that is none', `${HEAD},born\n${GOOD},31.04.1940`, [/^2: "born" is "31.04.1940", which is not a date/]],
    ['a date in words', `${HEAD},born\n${GOOD},mai 1940`, [/^2: "born" is "mai 1940", which is not a date/]],
    ['born tomorrow', `${HEAD},born\n${GOOD},2026-11-23`, [/^2: "born" is 2026-11-23, which cannot be/]],
    ['lat and lon swapped', `${HEAD},lat,lon\n${GOOD},5.7,58.9`, [/^2: "lat" is "5.7", which is not a latitude/, /^2: "lon" is "58.9"/]],
    ['lat alone', `${HEAD},lat\n${GOOD},58.9`, [/^2: "lat" and "lon" belong together/]],
    ['a zone of nobody', `${HEAD},zone\n${GOOD},Mars`, [/^2: "zone" is "Mars", which no team has/]],
    [
      'health of nobody',
      `${HEAD},health,device,protocol\n${GOOD},,,\nh1,,,,KOLS,d1,mqtt`,
      [/^3: "health" is given, but "resident" is empty/],
    ],
    ['the same resident twice', `${HEAD}\n${GOOD}\nh1,,,Åse`, [/^3: The resident is already on another line/]],
    [
      'rows that contradict each other',
      `${HEAD}\n${GOOD}\nh1,1103,Gata 2,Per`,
      [/^3: "address" of household h1 is not the same as on line 2/],
    ],
    ['a contact without a number', `${HEAD},contact1\n${GOOD},Per`, [/^2: "contact1_phone" is empty/]],
    ['a number without a contact', `${HEAD},contact2_phone\n${GOOD},90123456`, [/^2: "contact2" is empty/]],
    [
      'a key that is neither yes nor no',
      `${HEAD},contact1_key\n${GOOD},kanskje`,
      [/^2: "contact1_key" is "kanskje", which is neither yes nor no/],
    ],
    ['a device without a protocol', `${HEAD},device\n${GOOD},d1`, [/^2: "protocol" is empty/]],
    [
      'a protocol that is none',
      `${HEAD},device,protocol\n${GOOD},d1,http`,
      [/^2: "protocol" is "http", which is neither/, /^2: "protocol" is empty/],
    ],
    ['a SCAIP unit without a controller id', `${HEAD},device,protocol\n${GOOD},d1,scaip`, [/^2: "controller_id" is empty/]],
    [
      'an MQTT device with a controller id',
      `${HEAD},device,protocol,controller_id\n${GOOD},d1,mqtt,7`,
      [/^2: "controller_id" is given, but only SCAIP/],
    ],
    [
      'a SCAIP unit with a secret',
      `${HEAD},protocol,controller_id,secret\n${GOOD},scaip,7,longenough`,
      [/^2: "secret" is given, but SCAIP/],
    ],
    ['a short secret', `${HEAD},device,protocol,secret\n${GOOD},d1,mqtt,hush`, [/^2: "secret" is \(not shown\), which is not a secret/]],
    [
      'a secret of no device',
      `${HEAD},secret\n${GOOD},longenough`,
      [/^2: "model", "secret" or "triggers" is given, but "device" is empty/],
    ],
    [
      'a serial that is none',
      `${HEAD},device,protocol\n${GOOD},d/1,mqtt`,
      [/^2: "device" is "d\/1", which is not a serial/, /^2: "device" is empty/],
    ],
    [
      'a model of nobody',
      `${HEAD},device,protocol,model\n${GOOD},d1,mqtt,acme/x`,
      [/^2: "model" is "acme\/x", which is not under config\/models/],
    ],
    [
      'a trigger twice',
      `${HEAD},device,protocol,triggers\n${GOOD},d1,mqtt,p1|p1`,
      [/^2: "triggers" is "p1\|p1", which names a trigger twice/],
    ],
    ['triggers without an id', `${HEAD},device,protocol,triggers\n${GOOD},d1,mqtt,=x`, [/^2: "triggers" is "=x", which is not a list/]],
    ['a device twice', `${HEAD},device,protocol\n${GOOD},d1,mqtt\nh2,1103,Gata 2,Per,d1,mqtt`, [/^3: "device" d1 is already on line 2/]],
    [
      'a controller id twice',
      `${HEAD},device,protocol,controller_id\n${GOOD},a,scaip,7\nh2,1103,Gata 2,Per,b,scaip,007`,
      [/^3: "controller_id" 7 is already on line 2/],
    ],
    ['an open quotation mark', `${HEAD}\nh1,1103,"Gata 1,Åse`, [/^2: Here a quotation mark is opened/]],
  ];
  for (const [name, text, expected] of cases) {
    const faults = faultsOf(text);
    t.equal(faults.length, expected.length, `${name}: ${faults.join(' / ')}`);
    for (const [index, pattern] of expected.entries()) t.match(faults[index], pattern, name);
  }
  t.same(faultsOf(`${HEAD}\n${GOOD}\n`), []);
  t.equal(faultsOf(`${HEAD},phone,born\n${GOOD},12,x\nh2,9999,,Per,13,y`).length, 6, 'all faults in one run');
});

void t.test('what a register file becomes', async (t) => {
  const text = `${HEAD};phone;born;lat;lon;key_box;contact1;contact1_phone;contact1_key;protocol;controller_id;triggers`.replaceAll(
    ',',
    ';',
  );
  const rows = readRegisterRows(
    `${text}\nh1;1103;Gata 1;Åse;90 12 34 56;1.2.1940;58,97;5,73;Bak døren;Per;22334455;ja;scaip;26317;01=Smykke@Stue | 02@Bad\nh1;;;Olav;;;;;;;;;;;`,
  );
  const draft = draftRegister(rows.rows, KNOWN);
  t.same([...rows.faults, ...draft.faults], []);
  t.match(draft.households, [
    {
      household: { id: 'h1', municipality: '1103', name: 'Åse', address: 'Gata 1', lat: 58.97, lon: 5.73, access: { keyBox: 'Bak døren' } },
      residents: [
        { id: 'h1/1', name: 'Åse', phone: '+4790123456', born: '1940-02-01' },
        { id: 'h1/2', name: 'Olav', phone: '', born: null },
      ],
      contacts: [{ rank: 1, name: 'Per', phone: '+4722334455', hasKey: true }],
    },
  ]);
  t.match(draft.devices, [
    { serial: '26317', controllerId: '26317', household: 'h1', municipality: '1103', model: 'generic/generic', secret: null },
  ]);
  t.same(draft.devices[0]?.triggers, [
    { id: '01', name: 'Smykke', room: 'Stue' },
    { id: '02', name: '', room: 'Bad' },
  ]);
  t.same(parseTriggers('p1'), [{ id: 'p1', name: '', room: '' }]);
});

void t.test('docs/register-import.md has the columns that there are', async (t) => {
  const text = readFileSync('docs/register-import.md', 'utf8');
  const documented = [...text.matchAll(/^\| `(\w+)` \| (\w+) \|/gm)].map(([, name, of]) => `${name} ${of}`);
  t.same(
    documented,
    COLUMN_NAMES.map((name) => `${name} ${COLUMNS[name].of}`),
  );
});

void t.test('passwords', async (t) => {
  const kept = await hashPassword('correct horse');
  t.match(kept, /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  t.not(kept, await hashPassword('correct horse'), 'each with its own salt');
  t.match(passwordFault('short'), /at least 10/);
  t.match(passwordFault('x'.repeat(1025)), /at most/);
  t.equal(passwordFault('long enough'), null);
});

void t.test('configuration of the centre', async (t) => {
  const dir = mkdtempSync(path.join(tmpdir(), 'people-config-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const faults = (reading: { faults: readonly string[] } | { value: unknown }) => ('faults' in reading ? reading.faults : []);
  const write = (name: string, text: string): void => writeFileSync(path.join(dir, name), text);
  t.match(faults(readCentre(dir)), [/centre\.json is missing\.$/]);
  write('centre.json', '{ "name": ');
  t.match(faults(readCentre(dir)), [/centre\.json is not JSON/]);
  write('centre.json', '{ "name": "", "phone": "12", "color": "red" }');
  const all = faults(readCentre(dir)).join('\n');
  t.match(all, /centre\.json: name: must not be empty/);
  t.match(all, /centre\.json: phone: "12" is not a telephone number/);
  t.match(all, /centre\.json: .*color/);
  t.throws(() => loadCentre(dir), { code: 'config-invalid' });
  const voice = (text: string): unknown => {
    write('centre.json', `{ "name": "x", "phone": "59000000", "voice": ${text} }`);
    const reading = readCentre(dir);
    return 'faults' in reading ? reading.faults.join('\n').replace(/^.*centre\.json: /, '') : reading.value.voice;
  };
  t.same(voice('{ "answer": "none" }'), { answer: 'none' });
  t.same(voice('{ "answer": "programmed" }'), { answer: 'programmed' });
  t.same(voice('{ "answer": "call", "number": "+47 59 00 00 01" }'), { answer: 'call', number: '+4759000001' });
  const uri = 'sip:queue@192.0.2.1:5060;transport=tcp';
  t.same(voice(`{ "answer": "call", "number": "${uri}" }`), { answer: 'call', number: uri });
  for (const [text, sentence] of [
    ['"none"', 'voice: must be none, call or programmed.'],
    ['{ "answer": "listen" }', 'voice.answer: must be none, call or programmed.'],
    ['{ "answer": "call" }', 'voice.number: must be the SIP address or number that units call.'],
    ['{ "answer": "call", "number": "110" }', /^voice\.number: "110" is neither a SIP address such as .* nor a number such as .*\.$/],
    ['{ "answer": "call", "number": "sip:queue" }', /^voice\.number: "sip:queue" is neither/],
    ['{ "answer": "call", "number": "sip:a@b<script>" }', /^voice\.number: .* is neither/],
    ['{ "answer": "none", "number": "+4759000001" }', /^voice: .*number/],
  ] as const) {
    t.match(voice(text), sentence, text);
  }
  write('centre.json', '{ "name": "x", "phone": "59000000" }');
  t.same(loadCentre(dir).voice, { answer: 'none' }, 'no voice unless it says so');
  write(
    'municipalities.json',
    '[{ "number": "1103", "name": "Stavanger" }, { "number": "1103", "name": "X" }, { "number": "12", "name": "Y" }]',
  );
  t.match(faults(readMunicipalities(dir)).join('\n'), /\[1\]\.number: 1103 is listed twice[^]*|\[2\]\.number: must be/);
  write('municipalities.json', '[]');
  t.match(faults(readMunicipalities(dir)), [/must name at least one municipality/]);
  write('action-plans.json', '{ "fal": { "title": "x", "prompt": null, "steps": [] } }');
  t.match(faults(readActionPlans(dir)).join('\n'), /action-plans\.json/);
  write('action-plans.json', '{ "fall": { "title": "x", "prompt": null, "steps": [] } }');
  t.match(faults(readActionPlans(dir)), [/fall\.steps: must have at least one step/]);
});

void t.test('the configuration that comes with the centre', async (t) => {
  t.equal(loadCentre('config').name, 'Responssenteret Nord-Jæren');
  const municipalities = loadMunicipalities('config').map(({ number }) => number);
  t.equal(municipalities.length, 12);
  t.ok(municipalities.includes('1103'));
  const plans = loadActionPlans('config');
  t.same(
    KINDS.filter((kind) => plans[kind] === undefined),
    [],
    'a plan for each kind',
  );
  const { rows, faults } = readRegisterRows(textOfCsv(readFileSync('config/demo/register.csv')));
  const zones = (JSON.parse(readFileSync('config/teams.json', 'utf8')) as { zones: { name: string }[] }).zones.map(({ name }) => name);
  const draft = draftRegister(rows, { municipalities, models: null, zones, today: '2026-11-22' });
  t.same([...faults, ...draft.faults], [], 'the demonstration register has no faults');
  t.ok(draft.households.length >= 12);
  const homes = ['10149471', '26317', 'NJ-1103-0001'].map((serial) => draft.devices.find((device) => device.serial === serial));
  t.equal(new Set(homes.map((device) => device?.household)).size, 3, 'three different households');
  t.ok(homes.every((device) => device?.municipality === '1103'));
});
