/** Goes through the parts of a run in order: reference points, keeper, MQTT, SCAIP, consoles, starts. */
import path from 'node:path';
import { RunningClock, sleep } from '../src/base/clock.ts';
import type { LoadResult } from '../simulators/load.ts';
import { type Centre, startCentre } from './centre.ts';
import { type Figure, figureOf } from './figures.ts';
import { runJob } from './job.ts';
import { cpuOf, memoryOf, residentOf } from './machine.ts';
import type { ConsolesJob } from './jobs/consoles.ts';
import type { LoadJob, LoadOutcome } from './jobs/load.ts';
import { signsOfLife } from './life-signs.ts';
import { referencePoints, throughTheKeeper } from './references.ts';
import { type Asked, type Load, devicesOf, messagesOf } from './plan.ts';
import { countAlarms, emptyAlarms, fillRegister } from './register.ts';
import type { Report } from './table.ts';

export interface Measured {
  readonly figures: readonly Figure[];
  readonly facts: Report['facts'];
  readonly postgres: string;
}

const clock = new RunningClock();
/** A centre at rest has read its feed, and looked at everything once. */
const REST_MS = 2000;

/** @param say tells what is being done, a line each */
export async function measure(asked: Asked, folder: string, say: (line: string) => void): Promise<Measured> {
  const { plan, parts, profileTo } = asked;
  const figures: Figure[] = [];
  const facts: Report['facts'][number][] = [];
  const add = (...more: readonly Figure[]): void => {
    figures.push(...more);
    for (const { what, perSecond, p50, p99, lost } of more) {
      say(`  ${what}: ${perSecond?.toFixed(0)}/s, p50 ${p50?.toFixed(2)} ms, p99 ${p99?.toFixed(2)} ms${lost > 0 ? `, ${lost} lost` : ''}`);
    }
  };
  const dataDir = path.join(folder, 'data');
  say('starting the centre');
  let centre = await startCentre(dataDir, profileTo);
  try {
    const postgres = await versionOf(centre);
    facts.push({ what: 'start, with an empty directory', value: centre.startMs, unit: 'ms' });
    await fillRegister(centre.pool, devicesOf(plan));
    await sleep(clock, REST_MS);
    facts.push(
      { what: 'memory of the centre, idle', value: residentOf(centre.ready.pid), unit: 'MB' },
      { what: 'memory of centre and stores, idle (PSS)', value: memoryOf(centre.processes()), unit: 'MB' },
    );
    if (parts.includes('reference')) add(...(await referencePoints(plan, centre.databaseUrl)));
    if (parts.includes('keeper')) add(...(await throughTheKeeper(plan, centre.databaseUrl)));
    for (const protocol of ['mqtt', 'scaip'] as const) {
      if (!parts.includes(protocol)) continue;
      await offer(centre, protocol === 'mqtt' ? 'mqtt' : 'udp', plan.warmUp, messagesOf(plan.warmUp));
      const saturation = { ...plan.saturation[protocol], id: `${protocol}-saturated` };
      for (const load of [...plan.rates.map((one) => ({ ...one, id: `${protocol}-${one.ratePerSecond}` })), saturation]) {
        const { result, all, peakMb, cpu } = await offer(centre, protocol === 'mqtt' ? 'mqtt' : 'udp', load, messagesOf(load));
        add(...figuresOf(protocol, load, result, all));
        facts.push(
          { what: `CPU of the centre for each alarm [${load.id}]`, value: cpu.centre / messagesOf(load), unit: 'ms CPU' },
          { what: `CPU of its stores for each alarm [${load.id}]`, value: cpu.stores / messagesOf(load), unit: 'ms CPU' },
          { what: `CPU of the load generator for each alarm [${load.id}]`, value: cpu.generator / messagesOf(load), unit: 'ms CPU' },
        );
        if (load.ratePerSecond === 2000) facts.push({ what: `memory of the centre, highest [${load.id}]`, value: peakMb, unit: 'MB' });
      }
    }
    if (parts.includes('few')) {
      const { devices, ...load } = plan.few;
      const { result } = await offer(centre, 'mqtt', load, devices);
      const what = `MQTT, ${devices} devices that all speak at once, device → PUBACK`;
      add(figureOf(result, 'puback', { id: 'mqtt-few', what, offered: load.ratePerSecond }));
    }
    if (parts.includes('consoles')) for (const count of plan.consoles.counts) add(await shownTo(centre, count, plan.consoles.load));
    if (parts.includes('life-signs')) {
      const life = await signsOfLife(plan, centre.databaseUrl);
      add(...life.figures);
      facts.push(...life.facts);
    }
    if (parts.includes('start')) {
      const { result } = await offer(centre, 'mqtt', plan.saturation.mqtt, messagesOf(plan.saturation.mqtt));
      await centre.stop();
      say('starting the centre again, with what is there');
      centre = await startCentre(dataDir, profileTo);
      facts.push({ what: `start, with ${result.scheduled} open alarms`, value: centre.startMs, unit: 'ms' });
    }
    return { figures, facts, postgres };
  } finally {
    await centre.stop();
  }
}

async function versionOf({ pool }: Centre): Promise<string> {
  const { rows } = await pool.query<{ server_version: string }>('show server_version');
  return rows[0]?.server_version ?? 'unknown';
}

interface Offered {
  readonly result: LoadResult;
  /** Alarms in the database: they must be as many as were acknowledged. */
  readonly all: { readonly alarms: number; readonly signals: number };
  readonly peakMb: number;
  /** In ms, from the first message on (connecting is left out): keeping, answering, publishing to the feed. */
  readonly cpu: { readonly centre: number; readonly stores: number; readonly generator: number };
}

/** Empties the centre and offers it one load. */
async function offer(centre: Centre, protocol: LoadJob['protocol'], load: Load, devices: number): Promise<Offered> {
  await emptied(centre);
  const address = protocol === 'mqtt' ? centre.ready.mqtt : protocol === 'udp' ? centre.ready.sipUdp : centre.ready.sipTcp;
  const job: LoadJob = { protocol, address, load, devices, run: `r${Math.round(clock.monotonic()).toString(36)}` };
  const { pid } = centre.ready;
  let stores = centre.processes().filter((one) => one !== pid);
  const taken = (): Offered['cpu'] => ({ centre: cpuOf([pid]), stores: cpuOf(stores), generator: 0 });
  let before = taken();
  let peakMb = 0;
  const sampling = clock.every(250, () => (peakMb = Math.max(peakMb, residentOf(pid))));
  const { result, cpuMs } = await runJob<LoadJob, LoadOutcome>('load', job, () => {
    stores = centre.processes().filter((one) => one !== pid);
    before = taken();
  });
  const after = taken();
  sampling.cancel();
  const cpu = { centre: after.centre - before.centre, stores: after.stores - before.stores, generator: cpuMs };
  const all = await countAlarms(centre.pool);
  return { result, all, peakMb, cpu };
}

/** The relay must have published everything: what it still held would come up in the next measure. */
async function emptied(centre: Centre): Promise<void> {
  while ((await countAlarms(centre.pool)).outbox > 0) await sleep(clock, 100);
  await emptyAlarms(centre.pool);
  await centre.forgetFeed();
  await sleep(clock, REST_MS / 2);
}

function figuresOf(protocol: 'mqtt' | 'scaip', load: Load & { id: string }, result: LoadResult, { alarms }: Offered['all']): Figure[] {
  const { id, ratePerSecond } = load;
  const saturated = id.endsWith('saturated');
  const unkept = (result.reached['puback'] ?? result.reached['ok'] ?? 0) - alarms;
  const note = unkept > 0 ? `${unkept} ACKNOWLEDGED AND NOT THERE` : '';
  const about = { offered: ratePerSecond, note };
  const against = protocol === 'mqtt' ? [saturated ? 'aedes-saturated' : `aedes-${ratePerSecond}`] : [];
  const kept = saturated ? ['commit-64', 'keeper-512'] : ['commit-16'];
  if (protocol === 'mqtt') {
    const what = saturated ? 'MQTT at saturation, device → PUBACK' : `MQTT at ${ratePerSecond}/s, device → PUBACK`;
    return [figureOf(result, 'puback', { ...about, id, what, against: [...against, ...kept] })];
  }
  const at = saturated ? 'at saturation' : `at ${ratePerSecond}/s`;
  return [
    figureOf(result, 'ok', { ...about, id, what: `SCAIP (UDP) ${at}, device → 200`, against: kept }),
    figureOf(result, 'mrs', { ...about, note: '', id: `${id}-mrs`, what: `SCAIP (UDP) ${at}, device → mrs` }),
  ];
}

async function shownTo(centre: Centre, consoles: number, load: Load): Promise<Figure> {
  await emptied(centre);
  const { http, mqtt } = centre.ready;
  const result = await runJob<ConsolesJob, LoadResult>('consoles', { http, mqtt, consoles, load });
  const whom = consoles === 1 ? 'its console' : `the last of ${consoles} consoles`;
  const what = `MQTT at ${load.ratePerSecond}/s, device → ${whom}`;
  return figureOf(result, 'last', { id: `consoles-${consoles}`, what, offered: load.ratePerSecond, against: [`fan-out-${consoles}`] });
}
