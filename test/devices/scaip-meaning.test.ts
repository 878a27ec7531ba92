/** What SCAIP messages come to mean: every status with every message type, every sensor, every vendor's messages, and the page that tells so. */
import { readFileSync, readdirSync } from 'node:fs';
import t from 'tap';
import { en } from '../../src/console/web/texts/en.ts';
import { nb } from '../../src/console/web/texts/nb.ts';
import { interpretScaip, type Interpretation } from '../../src/devices/interpret.ts';
import type { ScaipProfile } from '../../src/devices/model.ts';
import { loadModels } from '../../src/devices/models.ts';
import { DEVICE_COMPONENTS, DEVICE_TYPES, LOCATION_CODES, STATUS_CODES, UNSETTLED } from '../../src/protocols/scaip/codes.ts';
import { decodeBody } from '../../src/protocols/scaip/decode.ts';

const models = loadModels('config/models');

function interpret(body: string, model = 'generic/generic'): Interpretation {
  const raw = Buffer.from(body);
  return interpretScaip({ ...decodeBody(raw), raw, cut: false, identityMismatch: false }, models.get(model));
}

/** In one line: `need call-button life`, `restore mains-lost`, `life-sign test`. */
function summary(interpretation: Interpretation): string {
  if (interpretation.what === 'life-sign') return `life-sign ${interpretation.sort}`;
  const { role, kind, priority } = interpretation.meaning;
  return role === 'need' ? `${role} ${kind} ${priority}` : role === 'technical' || role === 'restore' ? `${role} ${kind}` : role;
}

const means = (mty: string, dty: number, stc: number, more = ''): string =>
  summary(interpret(`<mrq><ref>1</ref><cid>1</cid><mty>${mty}</mty><dty>${dty}</dty><stc>${stc}</stc>${more}</mrq>`));

const to = (first: number, last: number): number[] => Array.from({ length: last - first + 1 }, (_, i) => first + i);

/** An alarm message (ME) of a pendant (dty 3), by what it means: all 128 statuses, each once. */
const PENDANT: Readonly<Record<string, readonly number[]>> = {
  'need call-button life': [6, 7, 9, 10, 11, 50, 74, 96, 109],
  'need door urgent': [22, 76, 77, 106, 107],
  'need medicine-not-taken care': [81],
  'need nurse-call life': [110],
  'need smoke life': [126],
  // On purpose: nobody can say what a pendant means by it, so an operator looks.
  'need unknown urgent': [0, 1, 46, ...to(53, 61), 64, 90, 100, 101, 104],
  'technical battery-low': [14, 16],
  'technical mains-lost': [85],
  'technical trigger-lost': [3, 31, 63, 73, 123],
  'technical tamper': [125],
  'technical fault': [18, ...to(23, 28), ...to(32, 40), ...to(42, 45), 49, 51, 52, ...to(65, 69), 72, 78, 79, 95, 105, 122],
  'restore battery-low': [15, 20],
  'restore mains-lost': [86],
  'restore trigger-lost': [75, 91, 121, 124],
  'restore fault': [48, 108, ...to(112, 116)],
  'restore door': [21],
  'restore call-button': [70, 92, 93, 94, 97],
  cancel: [2, 19],
  presence: [87, 88, 111],
  'life-sign test': [102, 103],
  information: [4, 5, 8, 12, 13, 17, 29, 30, 41, 47, 62, 71, 80, 82, 83, 84, 89, 98, 99, 117, 118, 119, 120, 127],
};
/** What the unit itself (dty 2) means otherwise. */
const UNIT: Readonly<Record<string, readonly number[]>> = {
  'need inactivity urgent': [49, 69],
  information: [3, 121],
  'technical fault': [31, 63, 73, 96],
  'restore fault': [74, 75, 91],
};
/** As an information message (IN) these are states, not calls; everything else means what it does in an alarm message. */
const MERE_STATES = [0, 1, 3, 6, 7, 21, 22, 46, 50, ...to(53, 61), 64, 74, 76, 77, 90, 96, 100, 101, 104, 109];

const meaningOf = (table: Readonly<Record<string, readonly number[]>>, stc: number): string | undefined =>
  Object.entries(table).find(([, codes]) => codes.includes(stc))?.[0];

/** A reset (RE) of something is its end; of what nobody understands, it is shown all the same. */
function reset(meaning: string): string {
  if (meaning === 'need unknown urgent' || meaning === 'need unknown') return meaning;
  if (meaning === 'cancel') return 'restore call-button';
  const [role, kind] = meaning.split(' ');
  return role === 'need' || role === 'technical' ? `restore ${kind}` : meaning;
}

await t.test('every status means something on purpose, with every message type, of a pendant and of the unit', (t) => {
  t.same(
    Object.values(PENDANT)
      .flat()
      .toSorted((a, b) => a - b),
    Object.keys(STATUS_CODES).map(Number),
    'the table has every status once',
  );
  for (const stc of Object.keys(STATUS_CODES).map(Number)) {
    const pendant = meaningOf(PENDANT, stc) ?? '';
    const unit = meaningOf(UNIT, stc) ?? pendant;
    const name = `${stc} ${STATUS_CODES[stc]}`;
    t.equal(means('ME', 3, stc), pendant, `ME 3 ${name}`);
    t.equal(means('ME', 2, stc), unit, `ME 2 ${name}`);
    for (const [dty, meaning] of [
      [3, pendant],
      [2, unit],
    ] as const) {
      t.equal(means('IN', dty, stc), MERE_STATES.includes(stc) ? 'information' : meaning, `IN ${dty} ${name}`);
      t.equal(means('RE', dty, stc), reset(meaning), `RE ${dty} ${name}`);
      t.match(means('PI', dty, stc), /^life-sign (heartbeat|test)$/, `PI ${dty} ${name}: the message type decides`);
    }
  }
  for (const stc of [128, 999]) for (const mty of ['ME', 'RE', 'IN']) t.equal(means(mty, 3, stc), 'need unknown urgent', `${mty} ${stc}`);
  t.end();
});

/** A manual alarm (10) of each device type; those that are not here are unknown on purpose (20, 22, 42, 49). */
const SENSORS: Readonly<Record<string, readonly number[]>> = {
  'need call-button life': [0, 1, 2, 3, 4, 7, 17, 19, 45, 46, 48, 51],
  'need fall life': [5, 30],
  'need assault life': [6, 27],
  'need nurse-call urgent': [8, 9],
  'need nurse-call care': [16],
  'need inactivity urgent': [10, 18],
  'need medicine-not-taken care': [11],
  'need bed-exit urgent': [12, 13, 44],
  'need door urgent': [14, 28, 35, 43],
  'need geofence-exit urgent': [15, 29, 36],
  'need co life': [21, 26],
  'need smoke life': [23, 25, 37, 47],
  'need water care': [33, 34],
  'technical fault': [24, 31, 32, 39, 40, 50],
  'technical tamper': [38],
  'technical mains-lost': [41],
};

await t.test('every device type means something on purpose', (t) => {
  for (const dty of to(0, 52))
    t.equal(means('ME', dty, 10), meaningOf(SENSORS, dty) ?? 'need unknown urgent', `${dty} ${DEVICE_TYPES[dty]}`);
  t.end();
});

await t.test('where the sensor says more than the status', (t) => {
  const table: [mty: string, dty: number, stc: number, meaning: string, more?: string][] = [
    ['ME', 8, 7, 'information'],
    ['ME', 12, 3, 'need bed-exit urgent'],
    ['ME', 12, 117, 'restore bed-exit'],
    ['ME', 44, 71, 'restore bed-exit'],
    ['ME', 10, 69, 'need inactivity urgent'],
    ['ME', 10, 104, 'need inactivity urgent'],
    ['ME', 22, 49, 'need inactivity urgent'],
    ['ME', 22, 74, 'information'],
    ['ME', 18, 120, 'restore inactivity'],
    ['ME', 30, 104, 'need fall life'],
    ['ME', 15, 3, 'need geofence-exit urgent'],
    ['ME', 15, 106, 'need geofence-exit urgent'],
    ['ME', 51, 9, 'need geofence-exit urgent', '<lco>019</lco>'],
    ['ME', 51, 121, 'restore geofence-exit', '<lco>019</lco>'],
    ['RE', 51, 94, 'restore geofence-exit', '<lco>019</lco>'],
    ['ME', 33, 46, 'need water care'],
    ['ME', 34, 79, 'need water care'],
    ['ME', 25, 100, 'need smoke life'],
    ['IN', 25, 126, 'need smoke life'],
    ['ME', 24, 100, 'technical fault'],
    ['ME', 21, 46, 'need co life'],
    ['ME', 19, 64, 'need call-button life'],
    ['ME', 19, 90, 'need call-button life'],
    ['ME', 11, 83, 'restore medicine-not-taken'],
    ['ME', 11, 52, 'technical fault'],
    ['ME', 11, 96, 'technical fault'],
    ['ME', 38, 76, 'technical tamper'],
    ['ME', 38, 21, 'restore tamper'],
    ['RE', 38, 125, 'restore tamper'],
    ['ME', 41, 9, 'technical mains-lost'],
    ['ME', 41, 94, 'restore mains-lost'],
    ['ME', 41, 74, 'restore mains-lost'],
    ['ME', 32, 31, 'technical fault'],
    ['ME', 32, 91, 'restore fault'],
    ['ME', 28, 12, 'information'],
    ['RE', 5, 10, 'restore fall'],
    ['RE', 3, 19, 'restore call-button'],
    ['ME', 3, 19, 'cancel'],
  ];
  for (const [mty, dty, stc, meaning, more] of table) t.equal(means(mty, dty, stc, more), meaning, `${mty} ${dty} ${stc}`);
  t.end();
});

const HOME = { lat: 58.969975, lon: 5.733107 };
const FENCE = { lat: 58.95, lon: 5.7 };
const MEASURED = Date.UTC(2024, 4, 12, 20, 14);

interface Expected {
  readonly trigger?: string;
  readonly voice?: string;
  readonly position?: { readonly lat: number; readonly lon: number; readonly at?: number };
  readonly text?: string;
}

/** Each vector by its file (`<vendor>_<situation>`): with which model, what it is, and what else it tells. */
const VECTORS: Readonly<Record<string, readonly [model: string, meaning: string, more?: Expected]>> = {
  R01_essence_heartbeat: ['essence/generic', 'life-sign test'],
  R02_possum_heartbeat_minimal: ['possum/generic', 'life-sign heartbeat'],
  R03_telealarm_heartbeat: ['telealarm/generic', 'life-sign heartbeat'],
  R04_essence_manual_alarm_gsm: ['essence/generic', 'need call-button life', { voice: 'tel:+37280000000' }],
  R05_possum_pendant_gsm_empty: ['possum/generic', 'need call-button life'],
  R06_possum_fixed_trigger_gsm_empty: ['possum/generic', 'need call-button life'],
  R07_possum_pendant_gsm_number: ['possum/generic', 'need call-button life', { voice: 'tel:+3197000000000' }],
  R08_possum_fixed_trigger_gsm_number: ['possum/generic', 'need call-button life', { voice: 'tel:+3197000000000' }],
  R09_telealarm_malfunction: ['telealarm/generic', 'technical fault'],
  R10_telealarm_fixed_trigger_alarm: ['telealarm/generic', 'need call-button life'],
  R11_doro_alarm_space_in_cid: ['doro/generic', 'need call-button life'],
  R12_iotcomms_callback_template: ['generic/generic', 'need call-button life'],
  R13_climax_test_transmission_13digit_cid: ['climax/v2', 'life-sign test'],
  R14_climax_test_transmission: ['climax/v1', 'life-sign test'],
  essence_fall: ['essence/generic', 'need fall life', { trigger: '05', voice: 'tel:+4759000001' }],
  essence_smoke: ['essence/generic', 'need smoke life', { trigger: '07', voice: 'tel:+4759000001' }],
  essence_battery_low: ['essence/generic', 'technical battery-low', { trigger: '01' }],
  essence_battery_ok: ['essence/generic', 'restore battery-low', { trigger: '01' }],
  essence_mains_lost: ['essence/generic', 'technical mains-lost'],
  essence_mains_back: ['essence/generic', 'restore mains-lost'],
  essence_pendant_unheard: ['essence/generic', 'technical trigger-lost', { trigger: '01' }],
  essence_pendant_heard_again: ['essence/generic', 'restore trigger-lost', { trigger: '01' }],
  essence_tamper: ['essence/generic', 'technical tamper'],
  essence_cancel: ['essence/generic', 'cancel', { trigger: '01' }],
  possum_inactivity: ['possum/generic', 'need inactivity urgent'],
  possum_co: ['possum/generic', 'need co life', { voice: 'tel:+3197000000000' }],
  possum_flood: ['possum/generic', 'need water care'],
  possum_bed_absence: ['possum/generic', 'need bed-exit urgent'],
  possum_door_open: ['possum/generic', 'need door urgent'],
  possum_pill_not_taken: ['possum/generic', 'need medicine-not-taken care'],
  possum_no_stc: ['possum/generic', 'need call-button life'],
  telealarm_heat: ['telealarm/generic', 'need smoke life'],
  telealarm_manual_reset: ['telealarm/generic', 'restore call-button'],
  telealarm_automatic_reset: ['telealarm/generic', 'restore smoke'],
  telealarm_presence: ['telealarm/generic', 'presence'],
  telealarm_intervention_complete: ['telealarm/generic', 'presence'],
  telealarm_group_assistance: ['telealarm/generic', 'need nurse-call life', { trigger: 'R214' }],
  doro_fall: ['doro/generic', 'need fall life', { trigger: '02' }],
  doro_battery_low: ['doro/generic', 'technical battery-low', { trigger: '01' }],
  doro_heartbeat_adjustable: ['doro/generic', 'life-sign heartbeat'],
  doro_mobile_network_lost: ['doro/generic', 'technical fault'],
  doro_mobile_network_back: ['doro/generic', 'restore fault'],
  climax_v1_button: ['climax/v1', 'need call-button life'],
  climax_v1_redundant_test: ['climax/v1', 'life-sign test'],
  climax_v1_ip_lost: ['climax/v1', 'technical fault'],
  climax_v2_pendant: ['climax/v2', 'need call-button life', { trigger: '11', voice: 'sip:2342566343454@192.0.2.9' }],
  climax_v2_ip_back: ['climax/v2', 'restore fault'],
  caru_manual_alarm_by_defaults: ['caru/generic', 'need call-button life'],
  caru_heartbeat: ['caru/generic', 'life-sign heartbeat'],
  caru_automatic_alarm: ['caru/generic', 'need call-button life'],
  mobile_gps_alarm: ['generic/mobile-alarm', 'need call-button life', { voice: 'tel:+4759000002', position: { ...HOME, at: MEASURED } }],
  mobile_gga_alarm: ['generic/mobile-alarm', 'need call-button life', { position: { ...HOME, at: MEASURED + 30_000 } }],
  mobile_fence_left: ['generic/mobile-alarm', 'need geofence-exit urgent', { position: FENCE }],
  mobile_fence_back: ['generic/mobile-alarm', 'restore geofence-exit'],
  mobile_location_update: ['generic/mobile-alarm', 'life-sign position', { position: FENCE }],
  syn_button: ['generic/reply-in-answer', 'need call-button life', { trigger: 'A1B2C3D4E5F6' }],
  syn_heartbeat: ['generic/reply-in-answer', 'life-sign heartbeat'],
};

await t.test('the messages of every vendor: role, kind, priority, trigger, voice and position', (t) => {
  const files = readdirSync('test/vectors/scaip').filter((name) => name.endsWith('.xml') && !name.startsWith('R15'));
  t.same(files.map((name) => name.slice(0, -4)).toSorted(), Object.keys(VECTORS).toSorted(), 'none is overlooked');
  for (const [file, [model, meaning, more]] of Object.entries(VECTORS)) {
    t.ok(models.names.includes(model), model);
    const made = interpret(readFileSync(`test/vectors/scaip/${file}.xml`, 'utf8'), model);
    t.equal(summary(made), meaning, file);
    const trigger = made.what === 'signal' ? made.meaning.trigger : (made.seen.triggers[0]?.id ?? '');
    const voice = made.what === 'signal' ? made.meaning.voice : undefined;
    const position = made.what === 'signal' ? made.meaning.position : (made.seen.position ?? undefined);
    t.same([trigger, voice], [more?.trigger ?? '', more?.voice], `${file}: trigger and voice`);
    t.equal(position?.at, more?.position?.at, `${file}: measured`);
    for (const axis of ['lat', 'lon'] as const) t.equal(position?.[axis].toFixed(5), more?.position?.[axis].toFixed(5), `${file}: ${axis}`);
    t.same(made.what === 'signal' ? made.marks : [], [], `${file}: nothing about it is odd`);
  }
  t.end();
});

await t.test('the end of one fault says nothing about another', (t) => {
  // Which fault, by the status that begins it and the one that ends it.
  const FAULTS: Readonly<Record<string, readonly [number, number]>> = {
    'ip-link': [23, 112],
    'mobile-link': [24, 113],
    'telephone-line': [25, 114],
    'primary-link': [26, 115],
    'redundant-link': [27, 116],
    bypass: [18, 108],
    service: [78, 48],
    connection: [31, 91],
  };
  const of = (stc: number): { role: string; about: string | undefined } => {
    const made = interpret(`<mrq><ref>1</ref><cid>1</cid><dty>2</dty><stc>${stc}</stc></mrq>`, 'generic/generic');
    return made.what === 'signal' ? { role: made.meaning.role, about: made.meaning.about } : { role: made.what, about: undefined };
  };
  for (const [about, [begins, ends]] of Object.entries(FAULTS)) {
    t.same(of(begins), { role: 'technical', about }, `stc ${begins}`);
    t.same(of(ends), { role: 'restore', about }, `stc ${ends}`);
  }
  t.same(of(67), { role: 'technical', about: undefined }, 'a malfunction is ended by none of them');
  t.end();
});

await t.test('how each vendor wants to be spoken to', (t) => {
  const plain: ScaipProfile = {
    dialect: 'mrs-message',
    authentication: 'when-provisioned',
    volumeUp: '1',
    voiceNumber: 'as-configured',
    registers: false,
  };
  const gsm: ScaipProfile = { ...plain, volumeUp: '3', voiceNumber: 'gsm' };
  const profiles: Readonly<Record<string, ScaipProfile>> = {
    'generic/generic': plain,
    'essence/generic': gsm,
    'possum/generic': gsm,
    'telealarm/generic': gsm,
    'doro/generic': gsm,
    'climax/generic': plain,
    'climax/v1': { ...plain, authentication: 'none' },
    'climax/v2': plain,
    'caru/generic': { ...plain, voiceNumber: 'sip' },
    'generic/reply-in-answer': { ...plain, dialect: 'mrs-in-answer' },
  };
  for (const [name, profile] of Object.entries(profiles)) {
    t.ok(models.names.includes(name), name);
    t.strictSame(models.get(name).scaip, profile, name);
  }
  for (const name of models.names)
    t.not(models.get(name).scaip.authentication, 'required', `${name}: a unit without a secret is not silenced`);
  const doc = readFileSync('docs/protocols/scaip.md', 'utf8');
  for (const [name, { dialect, authentication, volumeUp, voiceNumber, registers }] of Object.entries(profiles)) {
    const { signEvery, lateAfter, lostAfter } = models.get(name).supervision;
    const spans = [signEvery, lateAfter, lostAfter].map((ms) => `${ms / 1000} s`).join(', ');
    const row = `| \`${name}\` | ${dialect} | ${authentication} | ${volumeUp} | ${voiceNumber} | ${registers ? 'yes' : 'no'} | ${spans} |`;
    t.ok(doc.includes(row), row);
  }
  t.end();
});

await t.test('docs/protocols/scaip-codes.md tells every code as the code has it', (t) => {
  const doc = readFileSync('docs/protocols/scaip-codes.md', 'utf8');
  const section = (heading: string): string[] =>
    (doc.split(`\n## ${heading}\n`)[1] ?? '')
      .split('\n## ')[0]
      ?.split('\n')
      .filter((line) => /^\| \d/.test(line)) ?? [];
  const sure = (element: keyof typeof UNSETTLED, code: number): string => (UNSETTLED[element]?.includes(code) === true ? ' [U]' : '');
  const text = (texts: Readonly<Record<string, string>>, code: number): string => texts[code] ?? '–';
  const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;
  t.same(
    section('Status `stc`'),
    Object.entries(STATUS_CODES).map(([key, name]) => {
      const stc = Number(key);
      const told = [
        `${stc}${sure('stc', stc)}`,
        name,
        text(nb.scaip.stc, stc),
        means('ME', 3, stc),
        means('ME', 2, stc),
        means('IN', 3, stc),
      ];
      return row(told);
    }),
  );
  t.same(
    section('Device type `dty`'),
    to(0, 51).map((dty) =>
      row([`${dty}${sure('dty', dty)}`, DEVICE_TYPES[dty] ?? '–', text(nb.scaip.dty, dty), means('ME', dty, 10), means('RE', dty, 94)]),
    ),
  );
  for (const [heading, element, table] of [
    ['Location `lco`', 'lco', LOCATION_CODES],
    ['Component `dco`', 'dco', DEVICE_COMPONENTS],
  ] as const) {
    t.same(
      section(heading),
      Object.entries(table).map(([key, name]) => {
        const code = Number(key);
        return row([`${code}${sure(element, code)}`, name, text(nb.scaip[element], code), text(en.scaip[element], code)]);
      }),
    );
  }
  t.end();
});
