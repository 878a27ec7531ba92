/** The whole centre as the harness runs it: own stores, two processes of each role, and a way with weather between any two. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { knownToRegister, readConfiguration } from '../../../src/app/configuration.ts';
import { RunningClock } from '../../../src/base/clock.ts';
import { systemRandom } from '../../../src/base/ids.ts';
import { createLog } from '../../../src/base/log.ts';
import { seedDemo } from '../../../src/people/demo.ts';
import { importRegister } from '../../../src/people/register-import.ts';
import { createAccountBook } from '../../../src/store/accounts.ts';
import { migrate } from '../../../src/store/migrate.ts';
import { openPostgres } from '../../../src/store/postgres.ts';
import { createRegisterStore } from '../../../src/store/register.ts';
import { PROCESS_ROLES } from '../../../src/app/command-line.ts';
import { hostAndPort } from '../../../simulators/addresses.ts';
import { type SmsGateway, startSmsGateway } from '../../../simulators/sms-gateway.ts';
import { registerOf } from '../../support/outside.ts';
import { hastyConfiguration } from './configuration.ts';
import { Ledger } from './ledger.ts';
import { type ErrorLine, Member } from './member.ts';
import { type OwnStores, type StoreName, startOwnStores } from './own-stores.ts';
import { Person, Screen } from './people.ts';
import { type Dice, dice } from './random.ts';
import type { Door } from './units.ts';
import { type Target, type Way, openDatagramWay, openWay } from './way.ts';

/** Households with one MQTT device each, and as many with one SCAIP unit each. */
export const HOUSEHOLDS = 100;
/** Beside those, kept for asking whether everything works; the one behind them is left to the poison. */
export const PROBES = 12;
const ALL_ROLES = ['intake', 'escalation', 'console', 'watch'] as const;
type Copies = Readonly<Record<(typeof ALL_ROLES)[number], number>>;
const COPIES: Copies = { intake: 2, escalation: 2, console: 2, watch: 1 };

export interface House {
  readonly folder: string;
  readonly stores: OwnStores;
  readonly gateway: SmsGateway;
  readonly ledger: Ledger;
  readonly members: readonly Member[];
  readonly doors: readonly Door[];
  /** By the two that it joins: `intake-1 postgres`, `escalation-2 gateway`, `console-1 browser`, `intake-1 mqtt` … */
  readonly ways: ReadonlyMap<string, Way>;
  readonly operators: readonly Person[];
  readonly responder: Person;
  readonly screens: readonly Screen[];
  /** Every error line so far. */
  readonly errors: readonly ErrorLine[];
  readonly random: Dice;
  /** All members of a role. */
  of(role: string): readonly Member[];
  /** All ways whose name begins or ends so. */
  waysOf(part: string): readonly Way[];
  /** All processes listen. */
  ready(withinMs?: number): Promise<void>;
  close(): Promise<void>;
}

export interface HouseOptions {
  readonly seed: number;
  /** A folder for what the processes say; absent: it is not kept. */
  readonly logs?: string;
  /** How many processes of each role; absent: two, and one watch. */
  readonly copies?: Copies;
}

type Undo = (() => Promise<void> | void)[];

/** Starts everything and waits until all of it is ready. */
export async function openHouse(options: HouseOptions): Promise<House> {
  const folder = mkdtempSync(path.join(tmpdir(), 'faults-'));
  const undo: Undo = [() => rmSync(folder, { recursive: true, force: true })];
  const close = async (): Promise<void> => {
    for (const step of undo.splice(0).toReversed()) await step();
  };
  try {
    return await build(folder, options, undo, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function build(folder: string, options: HouseOptions, undo: Undo, close: () => Promise<void>): Promise<House> {
  const { seed, logs, copies = COPIES } = options;
  const random = dice(seed);
  const clock = new RunningClock();
  const ledger = new Ledger();
  const errors: ErrorLine[] = [];
  const configDir = hastyConfiguration(folder);
  const stores = await startOwnStores(folder);
  undo.push(() => stores.close());
  const gateway = await startSmsGateway({ port: 0, clock });
  undo.push(() => gateway.stop());
  const ways = new Map<string, Way>();
  const way = async (name: string, target: () => Target | null): Promise<Way> => {
    const opened = await openWay(target);
    undo.push(() => opened.stop());
    ways.set(name, opened);
    return opened;
  };

  await people(stores, folder, configDir);
  const members: Member[] = [];
  const doors: Door[] = [];
  const consoles: string[] = [];
  const url = { sms: gateway.url, token: gateway.token };
  const plans = ALL_ROLES.filter((role) => (PROCESS_ROLES as readonly string[]).includes(role)).flatMap((role) =>
    Array.from({ length: copies[role] }, (_, n) => ({ role, name: `${role}-${n + 1}` })),
  );
  const readyOf = (name: string) => members.find((member) => member.name === name)?.ready() ?? null;
  const place = (name: string, of: 'http' | 'mqtt' | 'sipUdp' | 'sipTcp') => () => {
    const address = readyOf(name)?.[of]?.replace(/^http:\/\//, '');
    return address === undefined ? null : hostAndPort(address);
  };
  for (const { name } of plans.filter(({ role }) => role === 'console')) {
    consoles.push(`http://127.0.0.1:${(await way(`${name} browser`, place(name, 'http'))).port}`);
  }
  for (const { role, name } of plans) {
    const postgres = await way(`${name} postgres`, () => stores.target('postgres'));
    const redis = await way(`${name} redis`, () => stores.target('redis'));
    const sms = role === 'escalation' ? await way(`${name} gateway`, () => hostAndPort(new URL(url.sms).host)) : null;
    const env = {
      HTTP_PORT: '0',
      MQTT_PORT: '0',
      SIP_PORT: '0',
      LOG_LEVEL: 'warn',
      CONFIG_DIR: configDir,
      DATABASE_URL: `postgres://responssenter@127.0.0.1:${postgres.port}/responssenter`,
      REDIS_URL: `redis://127.0.0.1:${redis.port}`,
      PUBLIC_URL: consoles[0] ?? '',
      SMS_GATEWAY_URL: sms === null ? url.sms : `http://127.0.0.1:${sms.port}`,
      SMS_GATEWAY_TOKEN: url.token,
    };
    const dataDir = path.join(folder, name);
    const kept = logs === undefined ? {} : { logFile: path.join(logs, `${name}.log`) };
    members.push(new Member({ name, role, env, dataDir, random, errorLine: (line) => errors.push(line), ...kept }));
    if (role !== 'intake') continue;
    const datagrams = await openDatagramWay(place(name, 'sipUdp'));
    undo.push(() => datagrams.stop());
    ways.set(`${name} sip-udp`, datagrams);
    const mqtt = await way(`${name} mqtt`, place(name, 'mqtt'));
    const sipTcp = await way(`${name} sip-tcp`, place(name, 'sipTcp'));
    doors.push({ name, mqtt: mqtt.port, sipUdp: datagrams.port, sipTcp: sipTcp.port });
  }
  undo.push(async () => void (await Promise.all(members.map((member) => member.end()))));
  for (const member of members) member.start();

  const ready = async (withinMs = 60_000): Promise<void> => {
    const end = performance.now() + withinMs;
    // What listens on nothing says that it is ready all the same.
    while (members.some((member) => member.ready() === null)) {
      if (performance.now() > end) {
        const missing = members.filter((member) => member.ready() === null).map(({ name }) => name);
        throw new Error(
          `not ready: ${missing.join(', ')}; ${errors
            .slice(-3)
            .map(({ line }) => line)
            .join(' | ')}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  await ready();

  const shown = (screen: string) => (alarm: { readonly device?: string }) =>
    ledger.write({ what: 'shown-without-store', unit: alarm.device ?? '', console: screen });
  const persons = [
    new Person('operator', consoles, ledger),
    new Person('operator2', consoles.toReversed(), ledger),
    new Person('natt', consoles, ledger),
  ] as const;
  for (const person of persons) await person.signIn();
  const [first, second, responder] = persons;
  const screens = consoles.map((http, n) => new Screen(`console-${n + 1}`, http, persons[n] ?? first, shown(`console-${n + 1}`)));
  undo.push(() => screens.forEach((screen) => screen.close()));
  return {
    ...{ folder, stores, gateway, ledger, members, doors, ways, responder, screens, errors, random, ready, close },
    operators: [first, second],
    of: (role) => members.filter((member) => member.role === role),
    waysOf: (part) => [...ways].filter(([name]) => name.split(' ').some((word) => word.startsWith(part))).map(([, one]) => one),
  };
}

/** The schema, the accounts of the demonstration, and a register of households with devices. */
async function people(stores: OwnStores, folder: string, configDir: string): Promise<void> {
  const log = createLog('silent');
  const clock = new RunningClock();
  const direct = stores.target('postgres');
  const host = 'path' in direct ? path.dirname(direct.path) : '';
  const postgres = openPostgres(`postgres://responssenter@/responssenter?host=${encodeURIComponent(host)}`, log, 2);
  try {
    await migrate(postgres.pool, log);
    const register = createRegisterStore(postgres);
    const known = knownToRegister(readConfiguration(configDir));
    await seedDemo({ configDir, accounts: createAccountBook(postgres), register, known, clock, random: systemRandom, log });
    const file = Buffer.from(registerOf(HOUSEHOLDS + PROBES + 1));
    const keepSecrets = (): Promise<void> => Promise.resolve();
    const result = await importRegister(file, false, { store: register, known, clock, random: systemRandom, keepSecrets });
    if ('faults' in result) throw new Error(`the register of ${folder} has faults: ${JSON.stringify(result.faults)}`);
  } finally {
    await postgres.stop();
  }
}

/** A store away by the harness' doing, in the ledger from here on; `end` says that it is back. */
export function storeFault(house: Pick<House, 'ledger'>, store: StoreName): { end(): void } {
  const fault = `${store} away`;
  const isTruth = store === 'postgres';
  house.ledger.write({ what: 'fault-began', fault, store: isTruth });
  return { end: () => house.ledger.write({ what: 'fault-ended', fault, store: isTruth }) };
}
