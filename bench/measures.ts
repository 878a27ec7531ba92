/** Goes through the parts of a run in order; a part that fails is said in the table, and the others are measured all the same. */
import path from 'node:path';
import { RunningClock, sleep } from '../src/base/clock.ts';
import { type SmsGateway, startSmsGateway } from '../simulators/sms-gateway.ts';
import { archives } from './archive.ts';
import { type Centre, startCentre } from './centre.ts';
import { type Certificate, makeCertificate } from './certificate.ts';
import { makeConfiguration } from './configuration.ts';
import { crowded } from './connections.ts';
import { shownOnConsoles } from './consoles.ts';
import { manyDeadlines } from './desk.ts';
import { type Fact, type Figure, figureOf, unmeasured } from './figures.ts';
import { heartbeats } from './heartbeats.ts';
import type { Protocol } from './jobs/load.ts';
import { signsOfLife } from './life-signs.ts';
import { memoryOf, residentOf } from './machine.ts';
import { REST_MS, addressOf, offer } from './offer.ts';
import { outage } from './outage.ts';
import { PATHS, throughPath } from './paths.ts';
import { STREAMS, type Asked, type Part, type Plan, devicesOf, messagesOf } from './plan.ts';
import { referencePoints, throughTheKeeper } from './references.ts';
import { fillRegister } from './register.ts';
import { hourOfIt, minutesOfIt } from './steady.ts';
import { storms } from './storm.ts';

export interface Measured {
  readonly figures: readonly Figure[];
  readonly facts: readonly Fact[];
  readonly postgres: string;
  readonly failed: readonly Part[];
}

const clock = new RunningClock();

/** What each part needs. */
interface Bench {
  centre: Centre;
  readonly plan: Plan;
  readonly folder: string;
  readonly certificate: Certificate | null;
  readonly gateway: SmsGateway;
  /** What was spoken to the centre already: code that runs for the first time is not compiled yet. */
  readonly warm: Set<Protocol>;
  readonly add: (...more: readonly Figure[]) => void;
  /** Ends the centre and starts it on what is there. */
  restart(): Promise<void>;
}

/** @param say tells what is being done, a line each */
export async function measure(asked: Asked, folder: string, say: (line: string) => void): Promise<Measured> {
  const { plan, parts, profileTo } = asked;
  const figures: Figure[] = [];
  const facts: Fact[] = [];
  const failed: Part[] = [];
  const add = (...more: readonly Figure[]): void => {
    figures.push(...more);
    for (const figure of more) say(`  ${line(figure)}`);
  };
  const dataDir = path.join(folder, 'data');
  const certificate = makeCertificate(folder);
  say('starting the centre');
  const gateway = await startSmsGateway({ port: 0, clock });
  const configDir = makeConfiguration(folder);
  const start = (): Promise<Centre> => startCentre({ dataDir, configDir, gateway, certificate, profileTo });
  const bench: Bench = {
    centre: await start(),
    plan,
    folder,
    certificate,
    gateway,
    warm: new Set(),
    add,
    async restart() {
      await bench.centre.stop();
      say('starting the centre again, with what is there');
      bench.centre = await start();
    },
  };
  try {
    const postgres = await versionOf(bench.centre);
    facts.push({ what: 'start, with an empty directory', value: bench.centre.startMs, unit: 'ms' });
    await fillRegister(bench.centre.pool, devicesOf(plan));
    await sleep(clock, REST_MS);
    facts.push(
      { what: 'memory of the centre, idle', value: residentOf(bench.centre.ready.pid), unit: 'MB' },
      { what: 'memory of centre and stores, idle (PSS)', value: memoryOf(bench.centre.processes()), unit: 'MB' },
    );
    for (const part of parts) {
      const began = clock.monotonic();
      say(`${part}:`);
      try {
        await warmUp(bench, part);
        facts.push(...(await MEASURES[part](bench)));
      } catch (error) {
        failed.push(part);
        const [first, ...rest] = (error instanceof Error ? (error.stack ?? error.message) : String(error)).split('\n');
        add(unmeasured(part, `the part ${part}, from there on`, `it failed: ${first ?? ''}`));
        for (const more of rest) say(more);
      }
      say(`  (${((clock.monotonic() - began) / 1000).toFixed(0)} s)`);
    }
    return { figures, facts, postgres, failed };
  } finally {
    await bench.centre.stop();
    await gateway.stop();
  }
}

function line({ what, perSecond, p50, p99, lost, note = '' }: Figure): string {
  const ms = (value: number | null): string => (value === null || !Number.isFinite(value) ? '–' : `${value.toFixed(2)} ms`);
  const extra = [...(lost > 0 ? [`${lost} lost`] : []), ...(note === '' ? [] : [note])].join(', ');
  return `${what}: ${perSecond === null ? '–' : perSecond.toFixed(0)}/s, p50 ${ms(p50)}, p99 ${ms(p99)}${extra === '' ? '' : `, ${extra}`}`;
}

/** What each part speaks to the centre. */
const SPOKEN: Readonly<Record<Part, readonly Protocol[]>> = {
  reference: [],
  keeper: [],
  desk: [],
  mqtt: ['mqtt'],
  few: ['mqtt'],
  connections: ['mqtt'],
  storm: ['mqtt'],
  scaip: ['udp'],
  'scaip-tcp': ['tcp'],
  'scaip-tls': ['tls'],
  heartbeats: ['mqtt', 'udp'],
  'life-signs': [],
  consoles: ['mqtt'],
  outage: ['mqtt', 'udp'],
  steady: ['mqtt'],
  hour: [],
  start: [],
  archive: [],
};

async function warmUp({ centre, plan, warm }: Bench, part: Part): Promise<void> {
  for (const protocol of SPOKEN[part]) {
    if (warm.has(protocol) || addressOf(centre, protocol) === null) continue;
    warm.add(protocol);
    const sockets = protocol === 'tcp' || protocol === 'tls' ? { sockets: STREAMS } : {};
    await offer(centre, { protocol, ...sockets }, plan.warmUp, messagesOf(plan.warmUp));
  }
}

const pathOf =
  (part: Part) =>
  async ({ centre, plan, add }: Bench): Promise<readonly Fact[]> => {
    const way = PATHS.find((one) => one.part === part);
    return way === undefined ? [] : throughPath(centre, plan, way, add);
  };

const MEASURES: Readonly<Record<Part, (bench: Bench) => Promise<readonly Fact[]>>> = {
  async reference({ centre, plan, add }) {
    add(...(await referencePoints(plan, centre.databaseUrl)));
    return [];
  },
  async keeper({ centre, plan, add }) {
    add(...(await throughTheKeeper(plan, centre.databaseUrl)));
    return [];
  },
  desk: ({ centre, plan, add }) => manyDeadlines(plan, centre.pool, centre.databaseUrl, add),
  mqtt: pathOf('mqtt'),
  async few({ centre, plan, add }) {
    const { devices, ...load } = plan.few;
    const { result } = await offer(centre, { protocol: 'mqtt' }, load, devices);
    const what = `MQTT, ${devices} devices that all speak at once, device → PUBACK`;
    add(figureOf(result, 'puback', { id: 'mqtt-few', what, offered: load.ratePerSecond }));
    return [];
  },
  connections: ({ centre, plan, folder, add }) => crowded(centre, plan, folder, add),
  storm: ({ centre, plan, certificate, add }) => storms(centre, plan, certificate, add),
  scaip: pathOf('scaip'),
  'scaip-tcp': pathOf('scaip-tcp'),
  'scaip-tls': pathOf('scaip-tls'),
  heartbeats: ({ centre, plan, add }) => heartbeats(centre, plan, add),
  async 'life-signs'({ centre, plan, add }) {
    const life = await signsOfLife(plan, centre.databaseUrl);
    add(...life.figures);
    return life.facts;
  },
  async consoles({ centre, plan, add }) {
    await shownOnConsoles(centre, plan, add);
    return [];
  },
  outage: ({ centre, plan, gateway, add }) => outage(centre, plan, gateway, add),
  steady: ({ centre, plan, add }) => minutesOfIt(centre, plan, add),
  hour: ({ plan, folder }) => hourOfIt(plan, folder),
  async start(bench) {
    const { saturation } = bench.plan;
    const { result } = await offer(bench.centre, { protocol: 'mqtt' }, saturation.mqtt, messagesOf(saturation.mqtt));
    await bench.restart();
    return [{ what: `start, with ${result.scheduled} open alarms`, value: bench.centre.startMs, unit: 'ms' }];
  },
  archive: (bench) => archives(bench.plan, bench, bench.add),
};

async function versionOf({ pool }: Centre): Promise<string> {
  const { rows } = await pool.query<{ server_version: string }>('show server_version');
  return rows[0]?.server_version ?? 'unknown';
}
