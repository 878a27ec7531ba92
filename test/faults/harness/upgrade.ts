/** The data of v0.1.0, made by v0.1.0 itself, taken over by this version while devices go on pressing. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { hostAndPort } from '../../../simulators/addresses.ts';
import { startSmsGateway } from '../../../simulators/sms-gateway.ts';
import { RunningClock } from '../../../src/base/clock.ts';
import { hastyConfiguration } from './configuration.ts';
import { type House, storeFault } from './house.ts';
import { Ledger } from './ledger.ts';
import { type ErrorLine, Member } from './member.ts';
import { Person } from './people.ts';
import { until } from './probe.ts';
import { LATE_FAULT_MS, type Scenario, type Told, brokenIn, settled } from './scenario.ts';
import { type Door, MqttUnit, ScaipUnit, type Unit } from './units.ts';
import { openDatagramWay, openWay } from './way.ts';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const TAG = 'v0.1.0';
const START_WITHIN_MS = 90_000;
const GRACE_MS = 3000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export const upgrade: Scenario = {
  name: 'upgrade',
  about: `this version takes over the data of ${TAG} while devices go on pressing`,
  // A second centre beside the house: where the machine has no time to spare, a commit may take more than a second.
  explains: ['spill-began'],
  lateMs: LATE_FAULT_MS,
  async run({ house }) {
    const folder = mkdtempSync(path.join(tmpdir(), 'faults-old-'));
    try {
      const why = unpack(path.join(folder, 'old'));
      if (why !== null) return { note: `skipped: ${why}` };
      return await takeOver(house, folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

/** The old version's files with our packages; a sentence when that cannot be. */
function unpack(to: string): string | null {
  if (spawnSync('git', ['-C', ROOT, 'rev-parse', '--verify', '--quiet', `${TAG}^{commit}`]).status !== 0) {
    return `there is no git, or no tag ${TAG} in this clone`;
  }
  mkdirSync(to);
  const files = spawnSync('git', ['-C', ROOT, 'archive', TAG], { maxBuffer: 256 * 1024 * 1024 });
  if (files.status !== 0 || spawnSync('tar', ['-x', '-C', to], { input: files.stdout }).status !== 0) return `${TAG} cannot be unpacked`;
  for (const name of ['node_modules', '.tools', 'build']) {
    if (existsSync(path.join(ROOT, name))) symlinkSync(path.join(ROOT, name), path.join(to, name));
  }
  return null;
}

/** Devices of the demonstration's register, which both versions have. */
const DEVICES = { mqtt: ['NJ-1103-0001', 'NJ-1103-0002', 'NJ-1103-0004'], scaip: ['26317', '10149471'] } as const;

async function takeOver(house: House, folder: string): Promise<Told> {
  const ledger = new Ledger();
  // Of its own: the house's alarms have the same numbers.
  const gateway = await startSmsGateway({ port: 0, clock: new RunningClock() });
  const lines: ErrorLine[] = [];
  let running: Member | null = null;
  const database = sqlOf(path.join(folder, 'data'));
  const version = (name: string, root: string): Member =>
    new Member({
      ...{ name, role: 'all', root, args: ['--demo', '--no-devices'], random: house.random, dataDir: path.join(folder, 'data') },
      env: {
        ...{ HTTP_PORT: '0', MQTT_PORT: '0', SIP_PORT: '0', LOG_LEVEL: 'warn' },
        CONFIG_DIR: hastyConfiguration(path.join(folder, `${name}-configuration`), path.join(root, 'config')),
        SMS_GATEWAY_URL: gateway.url,
        SMS_GATEWAY_TOKEN: gateway.token,
      },
      errorLine: (line) => lines.push(line),
    });
  const target = (of: 'mqtt' | 'sipUdp' | 'sipTcp') => () => {
    const address = running?.ready()?.[of];
    return address === undefined ? null : hostAndPort(address);
  };
  const ways = [await openWay(target('mqtt')), await openDatagramWay(target('sipUdp')), await openWay(target('sipTcp'))] as const;
  const door: Door = { name: 'all', mqtt: ways[0].port, sipUdp: ways[1].port, sipTcp: ways[2].port };
  let over = false;
  const since = Date.now();
  const run = async (member: Member): Promise<void> => {
    running = member;
    member.start();
    const end = performance.now() + START_WITHIN_MS;
    const up = await until(
      () => member.ready() !== null,
      () => performance.now() > end,
    );
    if (!up) throw new Error(`${member.name} does not start: ${lines.map(({ line }) => line.slice(0, 200)).join(' | ')}`);
  };
  try {
    await run(version('old', path.join(folder, 'old')));
    const units = unitsAt(door, ledger);
    const pressing = units.map((unit, n) => pressOn(unit, n, () => over));
    const count = (): number => ledger.of('acknowledged').length;
    await enough(`nothing is acknowledged by ${TAG}`, () => count() >= 30);
    const claimed = await claimOne((running as Member | null)?.ready()?.http ?? '', ledger, database);
    const gone = storeFault({ ledger }, 'postgres');
    await running!.end();
    const before = count();
    await run(version('new', ROOT));
    gone.end();
    await enough('nothing is acknowledged after the upgrade', () => count() >= before + 30);
    over = true;
    await Promise.all(pressing);
    await Promise.all(units.map((unit) => unit.close()));
    const stores = { sql: database };
    const { books } = await settled({ ledger, gateway, stores }, { hold: () => undefined }, { entry: 0, since, graceMs: GRACE_MS });
    return {
      note: `${before} acknowledged by ${TAG}, ${count() - before} after it; alarm ${claimed} claimed before`,
      broken: [
        ...brokenIn(books),
        ...lines.filter(({ event }) => !upgrade.explains.includes(event)).map(({ event }) => `upgrade: ${event}`),
      ],
    };
  } finally {
    over = true;
    await (running as Member | null)?.end();
    for (const way of ways) await way.stop();
    await gateway.stop();
  }
}

function unitsAt(door: Door, ledger: Ledger): Unit[] {
  const options = { doors: [door], ledger };
  return [
    ...DEVICES.mqtt.map((serial) => new MqttUnit(serial, options)),
    ...DEVICES.scaip.map((cid) => new ScaipUnit(cid, 'udp', options)),
  ];
}

async function pressOn(unit: Unit, n: number, over: () => boolean): Promise<void> {
  for (let i = 0; !over(); i++) {
    await unit.press(`up${n}x${i.toString(36)}`, over);
    await pause(200);
  }
}

/** @throws Error when it takes too long: a takeover after which nobody is heard is none */
const enough = async (why: string, holds: () => boolean): Promise<void> => {
  const end = performance.now() + START_WITHIN_MS;
  const came = await until(holds, () => performance.now() > end);
  if (!came) throw new Error(`${why}, or too little, within ${START_WITHIN_MS / 1000} s`);
};

/** An operator of the old version takes an alarm; what became of that must stand in the timeline of the new one. @returns its number */
async function claimOne(http: string, ledger: Ledger, database: Sql): Promise<string> {
  const operator = new Person('operator', [http], ledger);
  await operator.signIn();
  const [alarm] = await database<{ number: string }>('select number::text from alarm where closed_at is null order by number limit 1');
  const number = alarm?.number ?? '';
  const end = performance.now() + START_WITHIN_MS;
  for (const order of [{ command: 'claim' }, { command: 'note', text: 'Tatt før oppgraderingen.' }]) {
    const answer = await operator.order(number, order, () => performance.now() > end);
    if (answer?.status !== 200) throw new Error(`${TAG} refuses the command ${order.command}: ${answer?.status ?? 'no answer'}`);
  }
  return number;
}

type Sql = House['stores']['sql'];

/** Past the centre, on the socket of its private server; a connection for each question, for the server goes with its version. */
const sqlOf =
  (dataDir: string): Sql =>
  async <Row extends object>(text: string, values: readonly unknown[] = []): Promise<Row[]> => {
    const client = new pg.Client({ host: path.join(dataDir, 'run'), port: 5432, user: 'responssenter', database: 'responssenter' });
    client.on('error', () => {});
    await client.connect();
    try {
      return (await client.query<Row>(text, [...values])).rows;
    } finally {
      await client.end();
    }
  };
