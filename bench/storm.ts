/** A reconnect storm: all devices lose their connections at once and come back; how long until the last has had a heartbeat acknowledged. */
import { RunningClock, sleep } from '../src/base/clock.ts';
import { startAedes } from './brokers.ts';
import type { Centre } from './centre.ts';
import type { Certificate } from './certificate.ts';
import { type Fact, type Figure, percentile, unmeasured } from './figures.ts';
import { runJob } from './job.ts';
import type { Storm, StormJob, StormResult } from './jobs/storm.ts';
import { cpuOf } from './machine.ts';
import { addressOf, emptied } from './offer.ts';
import type { Plan } from './plan.ts';
import { countAlarms, countSeen } from './register.ts';

const clock = new RunningClock();
/** Signs of life are written each second. */
const WRITTEN_MS = 2500;
const QUIET_MS = 3000;

/** Against a bare aedes with the same devices in the same run; and under TLS with fewer. */
export async function storms(
  centre: Centre,
  plan: Plan,
  certificate: Certificate | null,
  add: (...more: Figure[]) => void,
): Promise<readonly Fact[]> {
  const facts: Fact[] = [];
  for (const { devices, secure, jitters } of plan.storms) {
    const address = addressOf(centre, secure ? 'mqtts' : 'mqtt');
    const prefix = secure ? 'storm-tls' : 'storm';
    if (address === null) {
      add(unmeasured(prefix, `${devices} devices come back under TLS`, 'openssl is not installed, so there is no certificate'));
      continue;
    }
    const job = { secure, devices, jitters, quietMs: QUIET_MS };
    const aedes = await startAedes(secure ? certificate : null);
    const other = await runJob<StormJob, StormResult>('storm', { ...job, address: aedes.address });
    await aedes.stop();
    add(...other.storms.map((storm) => stormFigure(`aedes-${prefix}`, 'bare aedes: ', job, storm, [])));

    await emptied(centre);
    const before = cpuOf([centre.ready.pid]);
    const { storms: own, connectedMs } = await runJob<StormJob, StormResult>('storm', { ...job, address });
    const spent = cpuOf([centre.ready.pid]) - before;
    await sleep(clock, WRITTEN_MS);
    const seen = await countSeen(centre.pool, own.at(-1)?.cutAt ?? 0);
    const { signals } = await countAlarms(centre.pool);
    const notes = [
      ...(seen < devices ? [`${devices - seen} ACKNOWLEDGED AND NOT STORED AS SEEN`] : []),
      ...(signals > 0 ? [`${signals} SIGNALS MADE OF IT`] : []),
    ];
    add(...own.map((storm, n) => stormFigure(prefix, '', job, storm, n === own.length - 1 ? notes : [])));
    facts.push(
      { what: `connecting ${devices} devices, some at a time [${prefix}-${devices}]`, value: connectedMs, unit: 'ms' },
      {
        what: `CPU of the centre for each connection and heartbeat [${prefix}-${devices}]`,
        value: spent / ((own.length + 1) * devices),
        unit: 'ms CPU',
      },
    );
  }
  return facts;
}

function stormFigure(
  prefix: string,
  whose: string,
  { devices, secure }: Pick<StormJob, 'devices' | 'secure'>,
  { jitterMs, latencies, lost, failures, lateMs }: Storm,
  notes: readonly string[],
): Figure {
  const at = jitterMs === 0 ? 'at-once' : `within-${jitterMs / 1000}s`;
  const how = jitterMs === 0 ? 'all at once' : `each within ${jitterMs / 1000} s`;
  const again = failures === 0 ? [] : [`${failures} tries failed on the way`];
  const handshakes = secure ? [`${Math.round((latencies.count * 1000) / latencies.max)} TLS handshakes/s`] : [];
  return {
    id: `${prefix}-${devices}-${at}`,
    what: `${whose}${devices} devices come back${secure ? ' under TLS' : ''}, ${how}: cut → heartbeat PUBACKed`,
    offered: null,
    perSecond: (latencies.count * 1000) / latencies.max,
    p50: percentile(latencies, 50),
    p99: percentile(latencies, 99),
    max: latencies.max,
    lost,
    lateMs,
    ...(whose === '' ? { against: [`aedes-${prefix}-${devices}-${at}`] } : {}),
    note: [...handshakes, ...again, ...notes].join('; '),
  };
}
