/** Heartbeats through the real sockets: how many a second the protocols take, beside the supervision alone and a bare aedes. */
import { RunningClock, sleep } from '../src/base/clock.ts';
import { startAedes } from './brokers.ts';
import type { Centre } from './centre.ts';
import { type Fact, type Figure, figureOf } from './figures.ts';
import { runJob } from './job.ts';
import type { LoadJob, LoadOutcome } from './jobs/load.ts';
import { cpuFacts, offer } from './offer.ts';
import { type Plan, messagesOf } from './plan.ts';
import { countSeen } from './register.ts';

const clock = new RunningClock();
/** Signs of life are written each second. */
const WRITTEN_MS = 2500;

/** Each device sends several, far below its limit of 6,000 a minute. */
export async function heartbeats(centre: Centre, plan: Plan, add: (...more: Figure[]) => void): Promise<readonly Fact[]> {
  const { devices, mqtt, scaip } = plan.heartbeats;
  const ways = [
    { id: 'mqtt-0', name: 'MQTT QoS 0', offering: { protocol: 'mqtt', qos: 0 }, stage: 'puback', load: mqtt },
    { id: 'mqtt-1', name: 'MQTT QoS 1', offering: { protocol: 'mqtt', qos: 1 }, stage: 'puback', load: mqtt },
    { id: 'scaip', name: 'SCAIP (UDP)', offering: { protocol: 'udp' }, stage: 'ok', load: scaip },
  ] as const;
  const facts: Fact[] = [];
  for (const { id, name, offering, stage, load } of ways) {
    const about = { offered: load.ratePerSecond, stage, loose: id === 'mqtt-0' };
    if (offering.protocol === 'mqtt') {
      const aedes = await startAedes();
      const job: LoadJob = { ...offering, message: 'heartbeat', address: aedes.address, load, devices, run: 'other' };
      const { result } = await runJob<LoadJob, LoadOutcome>('load', job);
      await aedes.stop();
      add(heartbeatFigure(result, { ...about, id: `aedes-heartbeats-${id}`, what: `bare aedes: heartbeats, ${name}, ${devices} devices` }));
    }
    const since = clock.now();
    const before = await takenBy(centre);
    const offered = await offer(centre, { ...offering, message: 'heartbeat' }, load, devices);
    await sleep(clock, WRITTEN_MS);
    const acknowledged = offered.result.reachedInAll[stage] ?? 0;
    const taken = (await takenBy(centre)) - before;
    const unseen = Math.min(devices, messagesOf(load)) - (await countSeen(centre.pool, since));
    const notes = [
      ...(taken < acknowledged ? [`${acknowledged - taken} ACKNOWLEDGED AND NOT COUNTED`] : []),
      ...(unseen > 0 && offered.result.lost === 0 ? [`${unseen} DEVICES NOT STORED AS SEEN`] : []),
    ];
    add(
      heartbeatFigure(offered.result, {
        ...about,
        id: `heartbeats-${id}`,
        what: `heartbeats, ${name}, ${devices} devices`,
        against: offering.protocol === 'mqtt' ? [`aedes-heartbeats-${id}`] : [],
        note: notes.join('; '),
      }),
    );
    facts.push(...cpuFacts(`heartbeats-${id}`, load, offered));
  }
  return facts;
}

interface About extends Pick<Figure, 'id' | 'what' | 'offered'>, Partial<Pick<Figure, 'against' | 'note'>> {
  readonly stage: string;
  /** Nobody knows when each of them was taken, only when the last of a device was. */
  readonly loose: boolean;
}

function heartbeatFigure(result: LoadOutcome['result'], { stage, loose, ...about }: About): Figure {
  const figure = figureOf(result, stage, about);
  return loose ? { ...figure, p50: null, p99: null, max: null } : figure;
}

/** Signs of life that the centre itself has counted. */
async function takenBy({ ready }: Centre): Promise<number> {
  const text = await (await fetch(`${ready.http}/metrics`)).text();
  const counted = [...text.matchAll(/^messages_total\{(?=[^}]*verdict="life-sign")[^}]*\} (\d+)/gm)];
  return counted.reduce((sum, [, count]) => sum + Number(count), 0);
}
