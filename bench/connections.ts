/** MQTT with a thousand, five and ten thousand devices connected: the centre, which keeps, beside two brokers that only acknowledge. */
import path from 'node:path';
import { type OtherBroker, NO_MOSQUITTO, startAedes, startMosquitto } from './brokers.ts';
import type { Centre } from './centre.ts';
import { type Fact, type Figure, figureOf, unmeasured } from './figures.ts';
import { runJob } from './job.ts';
import type { LoadJob, LoadOutcome } from './jobs/load.ts';
import { comparedWith, cpuFacts, offer } from './offer.ts';
import type { Load, Plan } from './plan.ts';

interface Share {
  readonly load: Load;
  readonly at: string;
  readonly words: string;
}

/**
 * All speak in turn. Where there are more messages than devices the second of a household joins its first: what is counted
 * is signals, each of them durable before its PUBACK.
 */
export async function crowded(centre: Centre, plan: Plan, folder: string, add: (...more: Figure[]) => void): Promise<readonly Fact[]> {
  const facts: Fact[] = [];
  const { rates, saturation } = plan.connections;
  const loads: readonly Share[] = [
    ...rates.map((load) => ({ load, at: `${load.ratePerSecond}`, words: `at ${load.ratePerSecond}/s` })),
    { load: saturation, at: 'saturated', words: 'at saturation' },
  ];
  for (const count of plan.connections.counts) {
    await beside('aedes', await startAedes(), count, loads, add);
    const mosquitto = await startMosquitto(path.join(folder, `mosquitto-${count}`));
    if (mosquitto === null) add(unmeasured(`mosquitto-${count}`, `Mosquitto, ${count} connections`, NO_MOSQUITTO));
    else await beside('mosquitto', mosquitto, count, loads, add);
    for (const { load, at, words } of loads) {
      const offered = await offer(centre, { protocol: 'mqtt' }, load, count);
      const id = `connections-${count}-${at}`;
      add(
        figureOf(offered.result, 'puback', {
          id,
          what: `MQTT, ${count} connections, ${words}, device → PUBACK`,
          offered: load.ratePerSecond,
          against: [
            ...[`aedes-${count}-${at}`, `mosquitto-${count}-${at}`],
            ...(plan.connections.counts.includes(count / 10) ? [`connections-${count / 10}-${at}`] : []),
          ],
          ...comparedWith(offered.result.reachedInAll['puback'] ?? 0, offered.kept.signals),
        }),
      );
      facts.push(...cpuFacts(id, load, offered));
      facts.push({ what: `memory of the centre with all connected [${id}]`, value: offered.memory.connected, unit: 'MB' });
    }
  }
  return facts;
}

async function beside(
  name: 'aedes' | 'mosquitto',
  broker: OtherBroker,
  count: number,
  loads: readonly Share[],
  add: (...more: Figure[]) => void,
): Promise<void> {
  try {
    for (const { load, at, words } of loads) {
      const id = `${name}-${count}-${at}`;
      const job: LoadJob = { protocol: 'mqtt', address: broker.address, load, devices: count, run: 'other' };
      const { result } = await runJob<LoadJob, LoadOutcome>('load', job);
      const what = `${name === 'aedes' ? 'bare aedes' : 'Mosquitto'}, ${count} connections, ${words}, device → PUBACK`;
      add(figureOf(result, 'puback', { id, what, offered: load.ratePerSecond }));
    }
  } finally {
    await broker.stop();
  }
}
