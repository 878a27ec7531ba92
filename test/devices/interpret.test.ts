/** What messages mean: every code of the models, the real SCAIP messages, the situations never captured, and nonsense. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { CentreError } from '../../src/base/errors.ts';
import { duringTest, interpretMqtt, interpretScaip, type Interpretation } from '../../src/devices/interpret.ts';
import { CONTRACT_TYPES } from '../../src/devices/model.ts';
import { loadModels } from '../../src/devices/models.ts';
import { messageOf } from '../../src/protocols/mqtt/connection.ts';
import { MQTT_LIMITS, MQTT_REFUSAL_CODES } from '../../src/protocols/mqtt/broker-options.ts';
import { DOWN_KINDS, type MqttMessage, PACKET_LIMIT, PAYLOAD_LIMIT, UP_KINDS } from '../../src/protocols/mqtt/message.ts';
import { FIELDS } from '../../src/protocols/mqtt/payload.ts';
import { decodeBody } from '../../src/protocols/scaip/decode.ts';

const models = loadModels('config/models');
const generic = models.get('generic/generic');
const DEVICE = { serial: 'NJ-1103-0001', municipality: '1103' };
const NOW = Date.UTC(2026, 10, 22, 21, 4, 5);

interface Sent {
  readonly qos?: 0 | 1 | 2;
  readonly will?: boolean;
  readonly topic?: string;
}

function mqttMessage(kind: string, payload: unknown, { qos = 1, will = false, topic }: Sent = {}): MqttMessage {
  const bytes = Buffer.from(typeof payload === 'string' || payload instanceof Uint8Array ? (payload as string) : JSON.stringify(payload));
  return messageOf(DEVICE, { topic: topic ?? `nj/v1/1103/NJ-1103-0001/${kind}`, payload: bytes, qos, dup: false }, will, NOW);
}

const mqtt = (kind: string, payload: unknown, sent: Sent = {}, model = 'generic/generic'): Interpretation =>
  interpretMqtt(mqttMessage(kind, payload, sent), models.get(model));

function scaip(body: string, model = 'generic/generic', more: { cut?: boolean; identityMismatch?: boolean } = {}): Interpretation {
  const raw = Buffer.from(body);
  return interpretScaip({ ...decodeBody(raw), raw, cut: false, identityMismatch: false, ...more }, models.get(model));
}

/** A message of the tables: only the elements that a case needs. */
const mrq = (elements: Readonly<Record<string, string>>): string => {
  const all = { ref: '1', cid: '26317', ...elements };
  return `<mrq>${Object.entries(all)
    .map(([name, value]) => `<${name}>${value}</${name}>`)
    .join('')}</mrq>`;
};

/** In one line: `need call-button life`, `restore mains-lost`, `life-sign test`. */
function summary(interpretation: Interpretation): string {
  if (interpretation.what === 'life-sign') return `life-sign ${interpretation.sort}`;
  const { role, kind, priority } = interpretation.meaning;
  return role === 'need' || role === 'unreadable' ? `${role} ${kind} ${priority}` : `${role} ${kind}`;
}

const marksOf = (interpretation: Interpretation): readonly string[] => (interpretation.what === 'signal' ? interpretation.marks : []);

await t.test('every model file is valid, and the generic one knows all that the contract has', (t) => {
  t.ok(models.names.length >= 15);
  for (const vendor of ['generic', 'essence', 'possum', 'telealarm', 'doro', 'climax'])
    t.ok(models.names.includes(`${vendor}/generic`), vendor);
  for (const name of models.names) {
    const model = models.get(name);
    t.equal(model.id, name);
    t.ok(Object.isFrozen(model));
    for (const type of CONTRACT_TYPES) t.ok(model.types.has(type), `${name} ${type}`);
  }
  t.equal(models.get('nobody/nothing').id, 'generic/generic', 'a device of an unknown model is read all the same');
  t.end();
});

await t.test('every fault of the model files is told in one run, with its file and place', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'models-'));
  t.teardown(() => rmSync(dir, { recursive: true }));
  const put = (path: string, content: unknown): void => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), typeof content === 'string' ? content : JSON.stringify(content));
  };
  const faultsOf = (): string[] => {
    try {
      loadModels(dir);
      return [];
    } catch (error) {
      if (!(error instanceof CentreError)) throw error;
      t.equal(error.code, 'config-invalid');
      return error.message.split('\n').map((line) => line.replaceAll(`${dir}/`, ''));
    }
  };
  t.same(faultsOf(), ['generic/generic.json is missing.']);
  put('generic/generic.json', JSON.parse(readFileSync('config/models/generic/generic.json', 'utf8')));
  t.same(faultsOf(), []);
  put('README.txt', 'x');
  put('acme/Big One.json', {});
  put('acme/broken.json', '{"name":');
  put('acme/wrong.json', {
    name: '',
    class: 'toaster',
    colour: 'red',
    supervision: {
      signEverySeconds: 300,
      lateAfterSeconds: 200,
      lostAfterSeconds: 900,
      triggerLateAfterSeconds: 100,
      triggerLostAfterSeconds: 200,
    },
    mqtt: {
      types: { levitation: { role: 'need', priority: 'life' }, fall: { role: 'need' }, smoke: { role: 'need', priority: 'technical' } },
    },
    scaip: {
      sensors: { '03': { role: 'need', kind: 'fall', priority: 'life' } },
      statuses: { '10': { role: 'ignore' } },
      exceptions: [{ means: { role: 'cancel' } }],
    },
  });
  const faults = faultsOf();
  const expected = [
    /^README\.txt is no folder of a vendor/,
    /^acme\/Big One\.json is no model file/,
    /^acme\/broken\.json is not JSON: /,
    /^acme\/wrong\.json: name: must not be empty\.$/,
    /^acme\/wrong\.json: class: /,
    /^acme\/wrong\.json: Unrecognized key: "colour"/,
    /^acme\/wrong\.json: supervision\.lateAfterSeconds: must be longer than signEverySeconds \(300\)\.$/,
    /^acme\/wrong\.json: mqtt\.types: Unrecognized key: "levitation"|^acme\/wrong\.json: mqtt\.types\.levitation: /,
    /^acme\/wrong\.json: mqtt\.types\.fall\.priority: must be life, urgent or care\.$/,
    /^acme\/wrong\.json: mqtt\.types\.smoke\.priority: must be life, urgent or care\.$/,
    /^acme\/wrong\.json: scaip\.sensors\.03: /,
    /^acme\/wrong\.json: scaip\.statuses\.10\.role: /,
    /^acme\/wrong\.json: scaip\.exceptions\[0\]: must say for which mty, dty, stc or lco\.$/,
  ];
  for (const pattern of expected)
    t.ok(
      faults.some((fault) => pattern.test(fault)),
      `${pattern}`,
    );
  t.equal(faults.length, expected.length, faults.join('\n'));
  for (const path of ['README.txt', 'acme']) rmSync(join(dir, path), { recursive: true });
  put('generic/generic.json', { name: 'Any', class: 'generic', mqtt: { types: {} } });
  t.equal(faultsOf().length, CONTRACT_TYPES.length + 2, 'the generic model must say everything');
  t.end();
});

await t.test('the types of the MQTT contract', (t) => {
  const table: Record<string, string> = {
    'call-button': 'need call-button life',
    fall: 'need fall life',
    smoke: 'need smoke life',
    co: 'need co life',
    assault: 'need assault life',
    'nurse-call': 'need nurse-call life',
    inactivity: 'need inactivity urgent',
    'bed-exit': 'need bed-exit urgent',
    door: 'need door urgent',
    'geofence-exit': 'need geofence-exit urgent',
    'geofence-enter': 'need geofence-enter care',
    water: 'need water care',
    'medicine-not-taken': 'need medicine-not-taken care',
    'battery-low': 'technical battery-low',
    'mains-lost': 'technical mains-lost',
    'trigger-lost': 'technical trigger-lost',
    tamper: 'technical tamper',
    fault: 'technical fault',
  };
  t.same(Object.keys(table).toSorted(), [...CONTRACT_TYPES].toSorted());
  for (const [type, expected] of Object.entries(table)) {
    t.equal(summary(mqtt('alarm', { id: 'a', type })), expected);
    t.equal(summary(mqtt('restore', { id: 'a', type })), `restore ${type}`);
    t.same(marksOf(mqtt('alarm', { id: 'a', type })), []);
  }
  t.end();
});

await t.test('messages of the MQTT contract', (t) => {
  const at = '2026-11-22T21:04:00Z';
  const cases: [string, Interpretation, string, string[]][] = [
    ['no JSON', mqtt('alarm', '{"id":"a","type":"fa'), 'unreadable unreadable urgent', []],
    ['no JSON on a heartbeat', mqtt('heartbeat', 'hello'), 'unreadable unreadable urgent', []],
    ['no id', mqtt('alarm', { type: 'door' }), 'unreadable unreadable urgent', ['no-id']],
    ['no id, but a fall', mqtt('alarm', { type: 'fall' }), 'unreadable unreadable life', ['no-id']],
    ['an unknown type', mqtt('alarm', { id: 'a', type: 'levitation' }), 'need unknown urgent', ['unknown-code']],
    ['no type', mqtt('alarm', { id: 'a' }), 'need unknown urgent', ['unknown-code']],
    ['a word that is ours', mqtt('alarm', { id: 'a', type: 'unreadable' }), 'need unknown urgent', ['unknown-code']],
    ['a word of every object', mqtt('alarm', { id: 'a', type: 'constructor' }), 'need unknown urgent', ['unknown-code']],
    ['capitals', mqtt('alarm', { id: 'a', type: 'FALL' }), 'need fall life', []],
    ['a broken text', mqtt('alarm', '{"id":"a","type":"fall","text":"\\u0000"}'), 'need fall life', []],
    ['too large', mqtt('alarm', { id: 'a', type: 'fall', text: 'x'.repeat(9000) }), 'unreadable unreadable urgent', ['too-large']],
    [
      'foreign',
      mqtt('alarm', { id: 'a', type: 'fall' }, { topic: 'nj/v1/1103/other/alarm' }),
      'unreadable unreadable urgent',
      ['foreign-topic'],
    ],
    ['own, but no kind', mqtt('levitation', { id: 'a', type: 'fall' }), 'unreadable unreadable urgent', ['unknown-code']],
    ['without guarantee', mqtt('alarm', { id: 'a', type: 'fall' }, { qos: 0 }), 'need fall life', ['sent-without-guarantee']],
    ['a clock ahead', mqtt('alarm', { id: 'a', type: 'fall', at: '2026-11-22T22:04:05Z' }), 'need fall life', ['clock-off']],
    ['a clock never set', mqtt('alarm', { id: 'a', type: 'fall', at: '2000-01-01T00:00:00Z' }), 'need fall life', ['clock-off']],
    ['waited an hour for its network', mqtt('alarm', { id: 'a', type: 'fall', at: '2026-11-22T20:04:05Z' }), 'need fall life', []],
    ['restore of an unknown type', mqtt('restore', { id: 'a', type: 'levitation' }), 'need unknown urgent', ['unknown-code']],
    ['restore without id', mqtt('restore', { type: 'mains-lost' }), 'restore mains-lost', ['no-id']],
    ['presence', mqtt('presence', { id: 'a' }), 'presence nurse-call', []],
    ['presence without id', mqtt('presence', {}), 'presence nurse-call', ['no-id']],
    ['heartbeat', mqtt('heartbeat', { battery: 80 }, { qos: 0 }), 'life-sign heartbeat', []],
    ['status', mqtt('status', { online: true }), 'life-sign status', []],
    ['position', mqtt('position', { position: { lat: 58.97, lon: 5.73 } }), 'life-sign position', []],
    ['test', mqtt('test', { id: 't1' }), 'life-sign test', []],
    ['a will that is an alarm', mqtt('alarm', { id: 'a', type: 'fault' }, { will: true, qos: 0 }), 'technical fault', []],
  ];
  for (const [name, interpretation, expected, marks] of cases) {
    t.equal(summary(interpretation), expected, name);
    t.same(marksOf(interpretation), marks, `marks: ${name}`);
  }
  t.match(
    mqtt('alarm', {
      id: 'a',
      type: 'fall',
      trigger: 'p1',
      at,
      battery: 41,
      voice: 'tel:+4751000000',
      text: 'å',
      position: { lat: 58.97, lon: 5.73, accuracy: 12, at },
    }),
    {
      messageId: 'a',
      meaning: {
        trigger: 'p1',
        deviceAt: Date.parse(at),
        battery: 41,
        voice: 'tel:+4751000000',
        text: 'å',
        code: 'fall',
        position: { lat: 58.97, lon: 5.73, accuracy: 12, at: Date.parse(at) },
      },
      seen: { alive: true, battery: 41, triggers: [{ id: 'p1', seenAt: 'now' }] },
    },
  );
  t.match(mqtt('alarm', '{"id":"a","type":"fall","text":"\\u0000"}'), { messageId: 'a', meaning: { text: '\uFFFD' } });
  const foreign = mqtt('alarm', { id: 'a', type: 'fall' }, { topic: 'nj/v1/1103/other/alarm' });
  t.match(
    foreign,
    { messageId: null, meaning: { code: 'topic nj/v1/1103/other/alarm' } },
    'its id must not make the real alarm a duplicate',
  );
  t.match(
    mqtt('heartbeat', {
      battery: 80,
      mains: false,
      signal: 3,
      charging: true,
      triggers: [{ id: 'p1', battery: 7, seenAt: at }, { id: 'p2' }],
      trigger: 'p2',
    }),
    {
      seen: {
        via: 'mqtt',
        alive: true,
        battery: 80,
        mains: false,
        signal: 3,
        charging: true,
        online: null,
        triggers: [
          { id: 'p1', battery: 7, seenAt: Date.parse(at) },
          { id: 'p2', battery: null, seenAt: 'now' },
        ],
      },
    },
  );
  t.match(mqtt('test', { id: 't1', trigger: 'p1' }), { messageId: 't1', seen: { test: true, triggers: [{ id: 'p1', test: true }] } });
  t.match(
    mqtt('status', { online: false }, { will: true }),
    { seen: { alive: false, online: false, test: false } },
    'a will is no sign of life',
  );
  t.end();
});

await t.test('models that say something else', (t) => {
  const cases: [string, string, string][] = [
    ['generic/fall-sensor', 'inactivity', 'need inactivity life'],
    ['generic/fall-radar', 'bed-exit', 'need bed-exit care'],
    ['generic/fall-radar-learning', 'bed-exit', 'information bed-exit'],
    ['generic/fall-radar-learning', 'inactivity', 'information inactivity'],
    ['generic/fall-radar-learning', 'fall', 'need fall life'],
    ['generic/fall-radar-learning', 'levitation', 'need unknown urgent'],
    ['generic/staff-alarm', 'call-button', 'need assault life'],
    ['generic/mobile-alarm', 'geofence-exit', 'need geofence-exit urgent'],
  ];
  for (const [model, type, expected] of cases) t.equal(summary(mqtt('alarm', { id: 'a', type }, {}, model)), expected, `${model} ${type}`);
  t.equal(summary(scaip(mrq({ dty: '51', stc: '24' }), 'generic/mobile-alarm')), 'information call-button', 'out of coverage');
  t.end();
});

await t.test('the real SCAIP messages R01 to R14', (t) => {
  const sample = (name: string): string => readFileSync(`test/vectors/scaip/${name}.xml`, 'utf8');
  const table: [string, string, string, object][] = [
    ['R01_essence_heartbeat', 'essence/generic', 'life-sign test', { messageId: '00001A85' }],
    ['R02_possum_heartbeat_minimal', 'possum/generic', 'life-sign heartbeat', { messageId: '1998218577' }],
    ['R03_telealarm_heartbeat', 'telealarm/generic', 'life-sign heartbeat', { messageId: 'v6l7eiuzBTfybE7j' }],
    ['R04_essence_manual_alarm_gsm', 'essence/generic', 'need call-button life', { meaning: { trigger: '', voice: 'tel:+37280000000' } }],
    ['R05_possum_pendant_gsm_empty', 'possum/generic', 'need call-button life', { meaning: { code: 'dty 3 stc 10', voice: undefined } }],
    ['R06_possum_fixed_trigger_gsm_empty', 'possum/generic', 'need call-button life', { messageId: '1925996942' }],
    ['R07_possum_pendant_gsm_number', 'possum/generic', 'need call-button life', { meaning: { voice: 'tel:+3197000000000' } }],
    ['R08_possum_fixed_trigger_gsm_number', 'possum/generic', 'need call-button life', { messageId: '2028140111' }],
    ['R09_telealarm_malfunction', 'telealarm/generic', 'technical fault', {}],
    [
      'R10_telealarm_fixed_trigger_alarm',
      'telealarm/generic',
      'need call-button life',
      { meaning: { code: 'mty ME dty 0004 stc 0010 lco 002' } },
    ],
    ['R11_doro_alarm_space_in_cid', 'doro/generic', 'need call-button life', { meaning: { voice: undefined } }],
    ['R12_iotcomms_callback_template', 'generic/generic', 'need call-button life', { messageId: '787025300001' }],
    ['R13_climax_test_transmission_13digit_cid', 'climax/generic', 'life-sign test', { messageId: '00020486' }],
    ['R14_climax_test_transmission', 'climax/generic', 'life-sign test', { seen: { test: true } }],
  ];
  for (const [name, model, expected, more] of table) {
    for (const one of [model, 'generic/generic']) {
      const interpretation = scaip(sample(name), one);
      t.equal(summary(interpretation), expected, `${name} ${one}`);
      t.match(interpretation, more, name);
      t.same(marksOf(interpretation), []);
    }
  }
  t.end();
});

await t.test('the SCAIP situations that were never captured, built from the tables', (t) => {
  const table: [string, Record<string, string>, string][] = [
    ['fall', { dty: '0005', stc: '0009' }, 'need fall life'],
    ['smoke', { dty: '0023', stc: '0009' }, 'need smoke life'],
    ['heat', { dty: '25', stc: '100' }, 'need smoke life'],
    ['CO', { dty: '0026', stc: '0011' }, 'need co life'],
    ['flood', { dty: '0033', stc: '0009' }, 'need water care'],
    ['battery low', { dty: '0003', did: '17', stc: '0016' }, 'technical battery-low'],
    ['battery ok', { dty: '0003', did: '17', stc: '0015' }, 'restore battery-low'],
    ['mains lost', { dty: '0002', stc: '0085' }, 'technical mains-lost'],
    ['mains back', { dty: '0002', stc: '0086' }, 'restore mains-lost'],
    ['adjustable heartbeat', { mty: 'PI', dty: '2', hbo: '001' }, 'life-sign heartbeat'],
    ['GPS alarm', { dty: '0051', lge: '<geo>58.970,5.733</geo><tim>2026-11-22T22:04+01:00</tim>' }, 'need call-button life'],
    ['geo-fence exit', { dty: '0051', lco: '019', stc: '0009' }, 'need geofence-exit urgent'],
    ['wandering', { dty: '0015', stc: '0009' }, 'need geofence-exit urgent'],
    ['location update', { mty: 'IN', dty: '0051', lge: '<geo>58.970,5.733</geo>' }, 'life-sign position'],
    ['info text', { mty: 'IN', dty: '0002', ite: 'Firmware 2' }, 'information unknown'],
    ['door opened, as information', { mty: 'IN', dty: '0014', stc: '0076' }, 'information door'],
    ['a manual alarm in an information message', { mty: 'IN', dty: '0003', stc: '0010' }, 'need call-button life'],
    ['battery low in an information message', { mty: 'IN', dty: '0003', stc: '0016' }, 'technical battery-low'],
    ['cancel', { dty: '0003', stc: '0019' }, 'cancel call-button'],
    ['manual reset', { mty: 'RE', dty: '0003', stc: '0093' }, 'restore call-button'],
    ['automatic reset', { mty: 'RE', dty: '0023', stc: '0092' }, 'restore smoke'],
    ['reset without status', { mty: 'RE', dty: '0005' }, 'restore fall'],
    ['reset of a battery', { mty: 'RE', dty: '0003', stc: '0016' }, 'restore battery-low'],
    ['reset with the status of the alarm', { mty: 'RE', dty: '0003', stc: '0010' }, 'restore call-button'],
    ['presence', { dty: '0002', stc: '0088' }, 'presence call-button'],
    ['intervention complete', { dty: '0002', stc: '0111' }, 'presence call-button'],
    ['assistance', { dty: '0004', stc: '0110' }, 'need nurse-call life'],
    ['radio supervision lost', { dty: '0003', did: '17', stc: '0123' }, 'technical trigger-lost'],
    ['radio supervision back', { dty: '0003', did: '17', stc: '0124' }, 'restore trigger-lost'],
    ['tamper', { dty: '0003', stc: '0125' }, 'technical tamper'],
    ['IP link lost', { dty: '0002', stc: '0023' }, 'technical fault'],
    ['IP link back', { dty: '0002', stc: '0112' }, 'restore fault'],
    ['redundant-channel test', { dty: '0002', stc: '0103' }, 'life-sign test'],
    ['pill not taken', { dty: '0011', stc: '0081' }, 'need medicine-not-taken care'],
    ['pill taken after all', { dty: '0011', stc: '0083' }, 'restore medicine-not-taken'],
    ['door open', { dty: '0014', stc: '0076' }, 'need door urgent'],
    ['bed absence', { dty: '0012', stc: '0003' }, 'need bed-exit urgent'],
    ['back in bed', { dty: '0012', stc: '0117' }, 'restore bed-exit'],
    ['inactivity', { dty: '0010', stc: '0049' }, 'need inactivity urgent'],
    ['away from home', { dty: '0002', stc: '0003' }, 'information call-button'],
    ['group scheme with another message to follow', { sco: '2', ame: '1', dty: '0004' }, 'need call-button life'],
    ['personal attack', { dty: '6' }, 'need assault life'],
    ['panic button', { dty: '7' }, 'need call-button life'],
    ['a unit that does not tell its type', {}, 'need call-button life'],
    ['fire alarm system', { dty: '47', stc: '9' }, 'need smoke life'],
  ];
  for (const [name, elements, expected] of table) {
    const interpretation = scaip(mrq(elements));
    t.equal(summary(interpretation), expected, name);
    t.same(marksOf(interpretation), [], name);
  }
  t.match(scaip(mrq({ dty: '51', lge: '<geo>58.970,5.733</geo><tim>2026-11-22T22:04+01:00</tim>' })), {
    meaning: { position: { lat: 58.97, lon: 5.733, at: Date.UTC(2026, 10, 22, 21, 4) } },
  });
  t.match(scaip(mrq({ dty: '3', did: '17', stt: 'Bad', lte: 'Etasje 2' })), {
    meaning: { trigger: '17', text: 'Bad · Etasje 2' },
    seen: { triggers: [{ id: '17', seenAt: 'now' }] },
  });
  t.match(scaip(mrq({ dty: '3', crd: 'sip:unit@192.0.2.4' })), { meaning: { voice: 'sip:unit@192.0.2.4' } });
  t.end();
});

await t.test('a SCAIP code without a meaning is shown, never hidden', (t) => {
  const cases: Record<string, Record<string, string>> = {
    'a status beyond the table': { dty: '3', stc: '999' },
    'a status without meaning': { dty: '3', stc: '0090' },
    'a status that is no number': { dty: '3', stc: 'help' },
    'a type beyond the table': { dty: '4711', stc: '10' },
    'the open type 42': { dty: '42' },
    'a type that is no number': { dty: 'pendant' },
    'an unknown message type': { mty: 'XX', dty: '3' },
    'a reset of nothing known': { mty: 'RE', dty: '4711' },
    'a reset with an unknown status': { mty: 'RE', dty: '3', stc: '999' },
    'information with an unknown status': { mty: 'IN', dty: '3', stc: '999' },
  };
  for (const [name, elements] of Object.entries(cases)) {
    const interpretation = scaip(mrq(elements));
    t.equal(summary(interpretation), 'need unknown urgent', name);
    t.same(marksOf(interpretation), ['unknown-code'], name);
  }
  t.equal(summary(scaip('<mrq><ref>1</ref><cid>2</cid>')), 'unreadable unreadable urgent');
  t.match(scaip('hello', 'generic/generic', { cut: true, identityMismatch: true }), {
    marks: ['too-large', 'identity-mismatch'],
    messageId: null,
  });
  t.match(scaip('<mrq><cid>2</cid><dty>3</dty></mrq>', 'generic/generic', { identityMismatch: true }), {
    messageId: null,
    marks: ['no-id', 'identity-mismatch'],
  });
  t.end();
});

await t.test('in its test window a device proves that it comes through; what cannot be read is shown all the same', (t) => {
  const tested = duringTest(mqtt('alarm', { id: 'a', type: 'fall', trigger: 'p1' }));
  t.equal(summary(tested), 'information fall');
  t.match(tested, { marks: ['test-window'], seen: { test: true, triggers: [{ id: 'p1', test: true }] } });
  t.equal(summary(duringTest(mqtt('alarm', 'x'))), 'unreadable unreadable urgent');
  t.match(duringTest(mqtt('heartbeat', { triggers: [{ id: 'p1' }] })), { seen: { test: false, triggers: [{ test: false }] } });
  t.match(duringTest(mqtt('test', { id: '1', trigger: 'p1' })), { what: 'life-sign', seen: { test: true } });
  t.match(duringTest(mqtt('alarm', { id: 'a', type: 'fault' }, { will: true })), { seen: { test: false } }, 'a will proves nothing');
  t.end();
});

await t.test('interpretation never throws and makes nothing of nothing', (t) => {
  const kinds = fc.constantFrom('alarm', 'restore', 'heartbeat', 'status', 'position', 'presence', 'test', 'x');
  const fine = (interpretation: Interpretation): boolean => {
    // What is handed on must fit into PostgreSQL's jsonb: no NUL, no half of a character.
    const text = JSON.stringify([interpretation, interpretation.messageId]);
    return !text.includes('\\u0000') && !/\\ud[89a-f]/i.test(text) && JSON.parse(text) !== null;
  };
  fc.assert(fc.property(kinds, fc.uint8Array({ maxLength: 200 }), (kind, bytes) => fine(mqtt(kind, bytes))));
  fc.assert(fc.property(kinds, fc.json(), (kind, text) => fine(mqtt(kind, text))));
  const value = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom('fall', '\u0000', '\ud800'),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.jsonValue(),
  );
  const fields = [
    'id',
    'at',
    'type',
    'trigger',
    'position',
    'battery',
    'triggers',
    'mains',
    'signal',
    'charging',
    'online',
    'voice',
    'text',
  ];
  const object = fc.record(Object.fromEntries(fields.map((field) => [field, value])), { requiredKeys: [] });
  fc.assert(
    fc.property(kinds, object, (kind, body) => fine(mqtt(kind, body))),
    { numRuns: 500 },
  );
  const xml = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const elements = fc.record(
    Object.fromEntries(
      ['ref', 'mty', 'dty', 'did', 'stc', 'lco', 'crd', 'stt', 'ite', 'lte', 'ico'].map((name) => [
        name,
        fc.oneof(fc.string().map(xml), fc.nat(130).map(String), fc.constantFrom('ME', 'RE', 'IN', 'gsm:1234')),
      ]),
    ),
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(elements, (body) => fine(scaip(mrq(body as Record<string, string>)))),
    { numRuns: 500 },
  );
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (body) => fine(scaip(body))));
  // Every combination of the codes: each says something, and a manual or automatic alarm of a known sensor is never mere information.
  for (let dty = 0; dty <= 52; dty++) {
    for (let stc = 0; stc <= 128; stc++) {
      for (const mty of ['ME', 'RE', 'IN', 'PI']) {
        const interpretation = scaip(mrq({ mty, dty: String(dty), stc: String(stc) }));
        const alarm = interpretation.what === 'signal' && ['need', 'technical'].includes(interpretation.meaning.role);
        if ((mty === 'ME' || mty === 'IN') && (stc === 9 || stc === 10 || stc === 11) && !alarm) t.fail(`${mty} ${dty} ${stc}`);
      }
    }
  }
  t.equal(generic.id, 'generic/generic');
  t.end();
});

await t.test('docs/protocols/mqtt.md says what the code does', (t) => {
  const doc = readFileSync('docs/protocols/mqtt.md', 'utf8');
  const rows = (heading: string): string[][] => {
    const section = doc.slice(doc.indexOf(`## ${heading}`)).split('\n## ')[0] ?? '';
    const lines = section.split('\n').filter((line) => line.startsWith('| `'));
    return lines.map((line) =>
      line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
  };
  const types = rows('Types').map(([type = '', meaning = '']) => `${type}: ${meaning}`);
  const expected = CONTRACT_TYPES.map((type) => {
    const means = generic.types.get(type);
    return `${type}: ${means?.role === 'need' ? `need, ${means.priority}` : means?.role}`;
  });
  t.same(types.toSorted(), expected.toSorted());
  t.same(
    rows('Topics')
      .map(([kind, direction]) => `${kind} ${direction}`)
      .toSorted(),
    [...UP_KINDS.map((kind) => `${kind} up`), ...DOWN_KINDS.map((kind) => `${kind} down`)].toSorted(),
  );
  t.same(
    rows('Payload')
      .map(([field = '']) => field)
      .toSorted(),
    [...FIELDS].toSorted(),
  );
  t.ok(doc.includes(`| packet | ${PACKET_LIMIT / 1024} KiB |`) && doc.includes(`| payload | ${PAYLOAD_LIMIT / 1024} KiB |`));
  t.ok(doc.includes(`| connections | ${MQTT_LIMITS.connections.toLocaleString('en')}; ${MQTT_LIMITS.connectionsPerDevice} a device |`));
  t.ok(doc.includes(`At most ${MQTT_LIMITS.inFlightPerConnection} are in the broker`));
  for (const code of MQTT_REFUSAL_CODES) t.ok(doc.includes(`\`${code}\``), code);
  for (const dty of [20, 22, 42, 49]) t.notOk(generic.sensors.has(dty), `dty ${dty}`);
  t.end();
});
