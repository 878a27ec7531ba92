/** The ways by which a device reaches the centre (MQTT, SCAIP over UDP, TCP and TLS), each at some rates and at saturation. */
import type { Centre } from './centre.ts';
import { type Fact, type Figure, figureOf, unmeasured } from './figures.ts';
import type { Protocol } from './jobs/load.ts';
import { type Offered, addressOf, comparedWith, cpuFacts, offer } from './offer.ts';
import { STREAMS, type Load, type Part, type Plan, messagesOf } from './plan.ts';

interface Path {
  readonly part: Part;
  readonly protocol: Protocol;
  readonly name: string;
  /** Many messages on each connection, and several connections. */
  readonly sockets?: number;
}

export const PATHS: readonly Path[] = [
  { part: 'mqtt', protocol: 'mqtt', name: 'MQTT' },
  { part: 'scaip', protocol: 'udp', name: 'SCAIP (UDP)' },
  { part: 'scaip-tcp', protocol: 'tcp', name: `SCAIP (TCP, ${STREAMS} connections)`, sockets: STREAMS },
  { part: 'scaip-tls', protocol: 'tls', name: `SCAIP (TLS, ${STREAMS} connections)`, sockets: STREAMS },
];

/** Every message comes from another device: each opens an alarm. */
export async function throughPath(centre: Centre, plan: Plan, path: Path, add: (...more: Figure[]) => void): Promise<readonly Fact[]> {
  const { part, protocol, name } = path;
  if (addressOf(centre, protocol) === null) {
    add(unmeasured(part, name, 'openssl is not installed, so there is no certificate'));
    return [];
  }
  const facts: Fact[] = [];
  const rates = protocol === 'mqtt' || protocol === 'udp' ? plan.rates : plan.streamRates;
  const loads = [
    ...rates.map((load) => ({ load, at: `${load.ratePerSecond}` })),
    { load: protocol === 'mqtt' ? plan.saturation.mqtt : plan.saturation.scaip, at: 'saturated' },
  ];
  for (const { load, at } of loads) {
    const offered = await offer(centre, path, load, messagesOf(load));
    const tenth = rates.some(({ ratePerSecond }) => ratePerSecond * 10 === load.ratePerSecond)
      ? [`${part}-${load.ratePerSecond / 10}`]
      : [];
    add(...figuresOf(path, load, at, offered, tenth));
    facts.push(...cpuFacts(`${part}-${at}`, load, offered));
    // What is acknowledged and not published yet is work that a throughput of seconds has put off.
    facts.push({ what: `changes to be published when the load had ended [${part}-${at}]`, value: offered.kept.outbox, unit: '' });
    if (load.ratePerSecond === 2000) {
      facts.push({ what: `memory of the centre, highest [${part}-${at}]`, value: offered.memory.peak, unit: 'MB' });
    }
  }
  return facts;
}

/** @param tenth the same with a tenth of the load, where that was measured */
function figuresOf({ part, protocol, name }: Path, load: Load, at: string, { result, kept }: Offered, tenth: readonly string[]): Figure[] {
  const saturated = at === 'saturated';
  const acknowledged = result.reachedInAll['puback'] ?? result.reachedInAll['ok'] ?? 0;
  const about = { offered: load.ratePerSecond, ...comparedWith(acknowledged, kept.alarms) };
  const id = `${part}-${at}`;
  const commits = saturated ? ['commit-64', 'keeper-512'] : ['commit-16'];
  const what = `${name} ${saturated ? 'at saturation' : `at ${at}/s`}, device →`;
  if (protocol === 'mqtt')
    return [figureOf(result, 'puback', { ...about, id, what: `${what} PUBACK`, against: [`aedes-${at}`, ...commits, ...tenth] })];
  // What a stream costs more than a datagram, and TLS more than TCP.
  const simpler = { mqtts: [], udp: [], tcp: ['scaip'], tls: ['scaip', 'scaip-tcp'] }[protocol];
  return [
    figureOf(result, 'ok', {
      ...about,
      id,
      what: `${what} 200`,
      against: [...simpler.map((other) => `${other}-${at}`), ...commits, ...tenth],
    }),
    figureOf(result, 'mrs', { offered: load.ratePerSecond, id: `${id}-mrs`, what: `${what} mrs` }),
  ];
}
