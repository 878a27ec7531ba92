/** Reads scenario files strictly: every fault of a file is one sentence, and all of them come at once. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CentreError, systemCode } from '../src/base/errors.ts';
import { ACTS_OF, DEVICE_CLASSES, type ActName } from './device.ts';
import { FLAVOURS, TRIGGER_CLASSES, type Trigger } from './scaip/vendors.ts';
import { membersOf, type Deed, type DeviceSpec, type Habit, type Person, type Scenario, type ScriptedAct } from './scenario.ts';
import { Faults } from './strict.ts';

const FOLDER = fileURLToPath(new URL('scenarios/', import.meta.url));
const DAY = 86_400;

/** The names of the scenarios that come with the simulators. */
export const scenarioNames = (): readonly string[] =>
  readdirSync(FOLDER)
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .toSorted();

/** Reads a scenario by name, or from a file when the name ends in `.json`. @throws CentreError config-invalid, a sentence for each fault */
export function loadScenario(name: string): Scenario {
  const path = name.endsWith('.json') ? name : `${FOLDER}${name}.json`;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    throw new CentreError('config-invalid', `There is no scenario "${name}"; there are ${scenarioNames().join(', ')}.`);
  }
  return readScenario(text, path);
}

/** Reads a scenario's text; `file` is named in the sentences. @throws CentreError config-invalid, a sentence for each fault */
export function readScenario(text: string, file: string): Scenario {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new CentreError('config-invalid', `${file} is not JSON.`, { cause: error });
  }
  const faults = new Faults();
  const known = ['name', 'says', 'begins', 'ends', 'speed', 'seed', 'endless', 'devices', 'script', 'people'];
  const top = faults.object('The scenario', json, known);
  const begins = faults.time('begins', top['begins']);
  const ends = faults.time('ends', top['ends']);
  if (ends <= begins) faults.say('ends', 'must be later than begins');
  const devices = faults.list('devices', top['devices']).flatMap((one, i) => readDevices(faults, `devices[${i}]`, one));
  if (devices.length === 0) faults.say('devices', 'must name at least one device');
  for (const [i, { id }] of devices.entries()) {
    if (devices.findIndex((other) => other.id === id) < i) faults.say('devices', `holds "${id}" twice`);
  }
  const context: Context = { faults, devices, begins, ends };
  const scenario: Scenario = {
    name: faults.text('name', top['name']),
    says: faults.text('says', top['says']),
    begins,
    lastsSeconds: ends - begins,
    speed: faults.number('speed', top['speed'] ?? 1, 0.1, 1000),
    seed: faults.number('seed', top['seed'] ?? 1, 0, Number.MAX_SAFE_INTEGER),
    endless: top['endless'] === true,
    devices,
    script: faults.list('script', top['script']).map((one, i) => readScripted(context, `script[${i}]`, one)),
    people: faults.list('people', top['people']).map((one, i) => readPerson(context, `people[${i}]`, one)),
  };
  if (top['endless'] !== undefined && typeof top['endless'] !== 'boolean') faults.say('endless', 'must be true or false');
  if (faults.sentences.length > 0) {
    throw new CentreError('config-invalid', faults.sentences.map((sentence) => `${file}: ${sentence}`).join('\n'));
  }
  return scenario;
}

interface Context {
  readonly faults: Faults;
  readonly devices: readonly DeviceSpec[];
  readonly begins: number;
  readonly ends: number;
}

function readDevices(faults: Faults, where: string, value: unknown): readonly DeviceSpec[] {
  const forScaip = ['flavour', 'transport'];
  const known = ['id', 'class', 'group', 'count', 'municipality', 'heartbeatSeconds', 'triggers', ...forScaip];
  const one = faults.object(where, value, known);
  const deviceClass = faults.oneOf(`${where}.class`, one['class'], DEVICE_CLASSES);
  const scaip = deviceClass === 'scaip-unit';
  const id = faults.text(`${where}.id`, one['id']);
  if (id !== '' && scaip && !/^\d{1,16}$/.test(id)) faults.say(`${where}.id`, `must be 1 to 16 digits (it is "${id}")`);
  if (id !== '' && !/^[A-Za-z0-9._-]{1,64}$/.test(id)) faults.say(`${where}.id`, `must be 1 to 64 of A-Z a-z 0-9 . _ - (it is "${id}")`);
  for (const field of scaip ? ['municipality'] : forScaip) {
    if (one[field] !== undefined) faults.say(`${where}.${field}`, `does not belong to a ${deviceClass}`);
  }
  const municipality = scaip ? '' : faults.text(`${where}.municipality`, one['municipality']);
  if (municipality !== '' && !/^\d{4}$/.test(municipality))
    faults.say(`${where}.municipality`, `must be four digits (it is "${municipality}")`);
  const spec: DeviceSpec = {
    id,
    class: deviceClass,
    group: one['group'] === undefined ? null : faults.text(`${where}.group`, one['group']),
    municipality,
    flavour: scaip ? faults.oneOf(`${where}.flavour`, one['flavour'], FLAVOURS) : 'essence',
    transport: faults.oneOf(`${where}.transport`, one['transport'] ?? 'udp', ['udp', 'tcp']),
    triggers: faults
      .list(`${where}.triggers`, one['triggers'])
      .map((trigger, i) => readTrigger(faults, `${where}.triggers[${i}]`, trigger)),
    heartbeatSeconds:
      one['heartbeatSeconds'] === undefined ? null : faults.number(`${where}.heartbeatSeconds`, one['heartbeatSeconds'], 1, DAY),
  };
  const count = one['count'] === undefined ? 1 : faults.number(`${where}.count`, one['count'], 1, 10_000);
  if (count === 1) return [spec];
  const tail = /\d+$/.exec(id)?.[0];
  if (tail === undefined) {
    faults.say(`${where}.id`, `must end in digits to be counted up (it is "${id}")`);
    return [spec];
  }
  const head = id.slice(0, -tail.length);
  return Array.from({ length: count }, (_, i) => ({ ...spec, id: head + String(Number(tail) + i).padStart(tail.length, '0') }));
}

function readTrigger(faults: Faults, where: string, value: unknown): Trigger {
  const one = faults.object(where, value, ['id', 'class']);
  const id = faults.text(`${where}.id`, one['id']);
  if (id !== '' && !/^[A-Za-z0-9]{1,8}$/.test(id)) faults.say(`${where}.id`, `must be 1 to 8 letters and digits (it is "${id}")`);
  return { id, class: faults.oneOf(`${where}.class`, one['class'], TRIGGER_CLASSES) };
}

const DEED = ['device', 'act', 'trigger', 'minutes'];

function readDeed({ faults, devices }: Context, where: string, one: Readonly<Record<string, unknown>>): Deed {
  const device = faults.text(`${where}.device`, one['device']);
  const act = faults.text(`${where}.act`, one['act']) as ActName;
  const trigger = one['trigger'] === undefined ? null : faults.text(`${where}.trigger`, one['trigger']);
  const meant = membersOf(devices, device);
  if (device !== '' && meant.length === 0)
    faults.say(`${where}.device`, `names no device and no group of this scenario (it is "${device}")`);
  knownAct(faults, `${where}.act`, meant, act);
  for (const { id, triggers } of meant) {
    if (trigger !== null && triggers.every((own) => own.id !== trigger))
      faults.say(`${where}.trigger`, `"${trigger}" is no trigger of ${id}`);
  }
  const minutes = one['minutes'] === undefined ? null : faults.number(`${where}.minutes`, one['minutes'], -DAY, DAY);
  return { device, act, trigger, minutes };
}

function knownAct(faults: Faults, where: string, meant: readonly DeviceSpec[], act: string): void {
  const deaf = meant.find((device) => !(ACTS_OF[device.class] as readonly string[]).includes(act));
  if (deaf === undefined || act === '') return;
  faults.say(where, `"${act}" is nothing that a ${deaf.class} can do (it can ${ACTS_OF[deaf.class].join(', ')})`);
}

function readScripted(context: Context, where: string, value: unknown): ScriptedAct {
  const { faults, begins, ends } = context;
  const one = faults.object(where, value, [...DEED, 'at', 'withinSeconds', 'chance']);
  const at = faults.time(`${where}.at`, one['at']);
  if (one['at'] !== undefined && (at < begins || at > ends)) faults.say(`${where}.at`, 'lies outside the scenario');
  return {
    ...readDeed(context, where, one),
    at: at - begins,
    withinSeconds: faults.number(`${where}.withinSeconds`, one['withinSeconds'] ?? 0, 0, DAY),
    chance: faults.number(`${where}.chance`, one['chance'] ?? 1, 0, 1),
  };
}

function readPerson(context: Context, where: string, value: unknown): Person {
  const { faults, begins, ends } = context;
  const one = faults.object(where, value, ['who', 'gapSeconds', 'from', 'to', 'does']);
  const from = one['from'] === undefined ? begins : faults.time(`${where}.from`, one['from']);
  const to = one['to'] === undefined ? ends : faults.time(`${where}.to`, one['to']);
  if (from < begins || to > ends || from >= to) faults.say(where, 'must live between begins and ends, and from before to');
  const gapSeconds = faults.range(`${where}.gapSeconds`, one['gapSeconds'], DAY);
  if (gapSeconds[1] < 1) faults.say(`${where}.gapSeconds`, 'must leave at least a second between two deeds');
  const does = faults.list(`${where}.does`, one['does']).map((habit, i) => readHabit(context, `${where}.does[${i}]`, habit));
  if (does.length === 0) faults.say(`${where}.does`, 'must hold at least one habit');
  return { who: faults.text(`${where}.who`, one['who']), gapSeconds, from: from - begins, to: to - begins, does };
}

function readHabit(context: Context, where: string, value: unknown): Habit {
  const { faults } = context;
  const one = faults.object(where, value, [...DEED, 'weight', 'again', 'follows']);
  const deed = readDeed(context, where, one);
  let follows: Habit['follows'] = null;
  if (one['follows'] !== undefined) {
    const next = faults.object(`${where}.follows`, one['follows'], ['act', 'afterSeconds']);
    const act = faults.text(`${where}.follows.act`, next['act']) as ActName;
    knownAct(faults, `${where}.follows.act`, membersOf(context.devices, deed.device), act);
    follows = { act, afterSeconds: faults.range(`${where}.follows.afterSeconds`, next['afterSeconds'], DAY) };
  }
  return {
    ...deed,
    weight: faults.number(`${where}.weight`, one['weight'] ?? 1, 0.01, 1000),
    again: faults.number(`${where}.again`, one['again'] ?? 0, 0, 0.95),
    follows,
  };
}
