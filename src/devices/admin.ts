/** `npm run admin -- device …`: devices from the command line, what they are and whether they are in service. */
import { parseArgs } from 'node:util';
import { type Instant, minutes, toIso } from '../base/clock.ts';
import { CentreError, reason } from '../base/errors.ts';
import { changeCertificate, giveSecret, removeSecret } from './admin-credentials.ts';
import { RETIRED } from './authentication.ts';
import type { BookedDevice, DeviceAdminParts } from './book.ts';
import { credentialState } from './credentials.ts';

const IN_SERVICE = 'in-service';

export const DEVICE_HELP = `  device list [--search <text>] [--municipality <number>]
  device show <serial>
  device secret <serial>                     makes a new one and shows it once
  device remove-secret <serial>
  device certificate <serial> --file <cert.pem> | --remove
  device test <serial> --minutes <number>    what it sends is a test; 0 ends it
  device move <serial> --household <id>
  device retire <serial>
  device restore <serial>`;

const OPTIONS = {
  help: { type: 'boolean' },
  search: { type: 'string' },
  municipality: { type: 'string' },
  file: { type: 'string' },
  remove: { type: 'boolean' },
  minutes: { type: 'string' },
  household: { type: 'string' },
} as const;
type Option = keyof typeof OPTIONS;
type Values = ReturnType<typeof parsed>['values'];

const wrong = (message: string): CentreError => new CentreError('command-line-invalid', message);

type OnDevice = (device: BookedDevice, values: Values, parts: DeviceAdminParts) => Promise<void>;
const ON_DEVICE = new Map<string, { readonly options: readonly Option[]; readonly run: OnDevice }>([
  ['show', { options: [], run: show }],
  ['secret', { options: [], run: (device, _values, parts) => giveSecret(device, parts) }],
  ['remove-secret', { options: [], run: (device, _values, parts) => removeSecret(device, parts) }],
  ['certificate', { options: ['file', 'remove'], run: changeCertificate }],
  ['test', { options: ['minutes'], run: setTestWindow }],
  ['move', { options: ['household'], run: move }],
  ['retire', { options: [], run: retire }],
  ['restore', { options: [], run: restore }],
]);

/** @param argv what follows `device` @returns the exit code @throws CentreError command-line-invalid, store-away */
export async function runDeviceAdmin(argv: readonly string[], parts: DeviceAdminParts): Promise<number> {
  const { positionals, values } = parsed(argv);
  const [command = '', name, ...more] = positionals;
  if (values.help === true || command === 'help') {
    parts.terminal.say(DEVICE_HELP);
    return 0;
  }
  const one = ON_DEVICE.get(command);
  if (command !== 'list' && one === undefined) {
    throw wrong(`${command === '' ? 'Say what to do' : `There is no command "device ${command}"`}:\n${DEVICE_HELP}`);
  }
  const allowed: readonly string[] = one?.options ?? ['search', 'municipality'];
  const strange = Object.keys(values).find((option) => !allowed.includes(option));
  if (strange !== undefined) throw wrong(`"device ${command}" takes no --${strange}.`);
  if (one === undefined) {
    if (name !== undefined) throw wrong(`"device list" takes no serial: use "device list --search ${name}", or "device show ${name}".`);
    await list(values, parts);
    return 0;
  }
  if (name === undefined || more.length > 0) throw wrong(`"device ${command}" takes one serial: device ${command} <serial>.`);
  const device = await parts.book.find(name);
  if (device === null) throw wrong(`There is no device ${name} in the register: look for it with "device list --search ${name}".`);
  await one.run(device, values, parts);
  return 0;
}

function parsed(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, allowPositionals: true });
  } catch (error) {
    const [sentence = ''] = reason(error).split(/\. |\n/);
    throw wrong(`${sentence.replace(/\.$/, '')}.`);
  }
}

const orDash = (text: string | null): string => (text === null || text === '' ? '-' : text);
const instantOrDash = (at: Instant | null): string => orDash(at === null ? null : toIso(at));

function credentialsOf(device: BookedDevice, { models }: DeviceAdminParts): string {
  return credentialState(device, models.get(device.model).scaip);
}

async function list({ search, municipality }: Values, parts: DeviceAdminParts): Promise<void> {
  const { book, municipalities, terminal } = parts;
  if (municipality !== undefined && !municipalities.includes(municipality)) {
    throw wrong(`--municipality ${municipality} is not one that this centre serves (${municipalities.join(', ')}).`);
  }
  let found = 0;
  for (let after = ''; ;) {
    const page = await book.list({ search: search ?? null, municipality: municipality ?? null, after });
    if (page.length === 0) break;
    if (found === 0) terminal.say('serial\tprotocol\tcontroller id\tmunicipality\thousehold\tmodel\tstate\tcredentials\tlast seen');
    for (const device of page) {
      const { serial, protocol, controllerId, municipality: where, household, model, state, lastSeenAt } = device;
      const cells = [serial, protocol, orDash(controllerId), where, orDash(household), model, state];
      terminal.say([...cells, credentialsOf(device, parts), instantOrDash(lastSeenAt)].join('\t'));
      after = serial;
    }
    found += page.length;
  }
  if (found === 0) terminal.say('There is no such device.');
}

const EXPLAINED: Readonly<Record<string, string>> = {
  secret: 'a secret was made for it',
  certificate: 'its own client certificate',
  none: 'none, and it is asked for none',
  missing: 'MISSING: it is asked for proof and was never given any ("device secret" makes some)',
};

async function show(device: BookedDevice, _values: Values, parts: DeviceAdminParts): Promise<void> {
  const { serial, protocol, controllerId, municipality, household, model, state, certificateSha256, testUntil } = device;
  const inTest = testUntil !== null && testUntil > parts.clock.now();
  const facts: readonly (readonly [string, string | null])[] = [
    ['serial', serial],
    ['protocol', protocol],
    ['controller id', controllerId],
    ['municipality', municipality],
    ['household', household ?? 'none'],
    ['model', model],
    ['state', state],
    ['credentials', EXPLAINED[credentialsOf(device, parts)] ?? ''],
    ['certificate', certificateSha256 === null ? null : `SHA-256 ${Buffer.from(certificateSha256).toString('hex')}`],
    ['last seen', device.lastSeenAt === null ? 'never' : toIso(device.lastSeenAt)],
    ['replies', device.replyUnacknowledgedAt === null ? null : `not acknowledged since ${toIso(device.replyUnacknowledgedAt)}`],
    ['test window', inTest ? `until ${toIso(testUntil)}: what it sends raises no alarm` : null],
  ];
  for (const [name, value] of facts) if (value !== null) parts.terminal.say(`${name.padEnd(15)}${value}`);
  for (const { code, count, lastAt } of await parts.book.refusals(device)) {
    parts.terminal.say(`${'refused'.padEnd(15)}${code}, ${count} times, last ${toIso(lastAt)}`);
  }
}

/** A forgotten window hides real alarms: nobody tests for longer. */
const LONGEST_TEST = 240;

async function setTestWindow({ serial }: BookedDevice, { minutes: given }: Values, { book, clock, terminal }: DeviceAdminParts) {
  if (given === undefined) throw wrong(`Say for how long: device test ${serial} --minutes 30.`);
  const wanted = /^\d{1,3}$/.test(given) ? Number(given) : Number.NaN;
  if (!(wanted <= LONGEST_TEST)) throw wrong(`--minutes ${given} is not a number from 0 to ${LONGEST_TEST}.`);
  const until = wanted === 0 ? null : clock.now() + minutes(wanted);
  await book.setTestWindow(serial, until);
  if (until === null) return terminal.say(`${serial} is not in test any more: what it sends is an alarm again within 2 seconds.`);
  terminal.say(
    `Until ${toIso(until)} whatever ${serial} sends is a test and raises NO alarm. Done earlier: device test ${serial} --minutes 0`,
  );
}

async function move(device: BookedDevice, { household }: Values, { book, terminal }: DeviceAdminParts): Promise<void> {
  const { serial, protocol, municipality: before } = device;
  if (household === undefined) throw wrong(`Say where to: device move ${serial} --household <id>.`);
  const municipality = await book.move(serial, household);
  if (municipality === null) throw wrong(`There is no household ${household}: import it first (import <register.csv>).`);
  terminal.say(`${serial} now stands in household ${household}, municipality ${municipality}.`);
  if (protocol === 'mqtt' && municipality !== before) {
    terminal.say(`Its topics begin with nj/v1/${municipality}/${serial} from its next connection on: set them in the device.`);
  }
}

async function retire({ serial, protocol, state }: BookedDevice, _values: Values, { book, terminal }: DeviceAdminParts): Promise<void> {
  if (state === RETIRED) throw wrong(`${serial} is retired already: "device restore ${serial}" puts it back into service.`);
  await book.setState(serial, RETIRED);
  const then =
    protocol === 'mqtt'
      ? 'It cannot connect any more; a connection that is open stays until it ends.'
      : 'An alarm that it sends all the same is still shown.';
  terminal.say(`${serial} is retired. ${then}`);
}

async function restore({ serial, state }: BookedDevice, _values: Values, { book, terminal }: DeviceAdminParts): Promise<void> {
  if (state !== RETIRED) throw wrong(`${serial} is not retired (its state is ${state}).`);
  await book.setState(serial, IN_SERVICE);
  terminal.say(`${serial} is in service again.`);
}
