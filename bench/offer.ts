/** Empties the centre and offers it one load from a process of its own; then counts what it has, and what the load took. */
import { RunningClock, sleep } from '../src/base/clock.ts';
import type { LoadResult } from '../simulators/load.ts';
import type { Centre } from './centre.ts';
import { runJob } from './job.ts';
import type { LoadJob, LoadOutcome, Protocol } from './jobs/load.ts';
import { cpuOf, residentOf } from './machine.ts';
import type { Fact } from './figures.ts';
import { type Load, messagesOf } from './plan.ts';
import { countAlarms, emptyAlarms } from './register.ts';

const clock = new RunningClock();
/** A centre at rest has read its feed, and looked at everything once. */
export const REST_MS = 2000;

/** What is offered, beside how much of it. */
export type Offering = Pick<LoadJob, 'protocol' | 'sockets' | 'message' | 'qos'>;

export interface Offered {
  readonly result: LoadResult;
  /** Signals and alarms in the database: there must be as many as were acknowledged. */
  readonly kept: {
    readonly alarms: number;
    readonly signals: number;
    /** Changes that the relay had still to publish. */ readonly outbox: number;
  };
  /** Of the centre's own process, in MB: when all were connected, and the highest. */
  readonly memory: { readonly connected: number; readonly peak: number };
  /** In ms, from the first message on (connecting is left out): keeping, answering, publishing to the feed. */
  readonly cpu: { readonly centre: number; readonly stores: number; readonly generator: number };
}

/** Where the centre takes it; null: not without a certificate. */
export function addressOf({ ready }: Centre, protocol: Protocol): string | null {
  const addresses = { mqtt: ready.mqtt, mqtts: ready.mqtts, udp: ready.sipUdp, tcp: ready.sipTcp, tls: ready.sips };
  return addresses[protocol] ?? null;
}

/** @throws Error when the generator fails: a device that was refused, say */
export async function offer(centre: Centre, offering: Offering, load: Load, devices: number): Promise<Offered> {
  await emptied(centre);
  const { pid } = centre.ready;
  const address = addressOf(centre, offering.protocol) ?? '';
  const job: LoadJob = { ...offering, address, load, devices, run: `r${Math.round(clock.monotonic()).toString(36)}` };
  let stores = centre.processes().filter((one) => one !== pid);
  const taken = (): Offered['cpu'] => ({ centre: cpuOf([pid]), stores: cpuOf(stores), generator: 0 });
  let began = taken();
  let connected = 0;
  let peak = 0;
  const sampling = clock.every(250, () => (peak = Math.max(peak, residentOf(pid))));
  const { result, cpuMs } = await runJob<LoadJob, LoadOutcome>('load', job, () => {
    stores = centre.processes().filter((one) => one !== pid);
    connected = residentOf(pid);
    began = taken();
  });
  const after = taken();
  sampling.cancel();
  const cpu = { centre: after.centre - began.centre, stores: after.stores - began.stores, generator: cpuMs };
  const kept = await countAlarms(centre.pool);
  return { result, kept, memory: { connected, peak }, cpu };
}

/** The relay must have published everything: what it still held would come up in the next measure. */
export async function emptied(centre: Centre): Promise<void> {
  while ((await countAlarms(centre.pool)).outbox > 0) await sleep(clock, 100);
  await emptyAlarms(centre.pool);
  await centre.forgetFeed();
  await sleep(clock, REST_MS / 2);
}

/** Of a figure: whether all that was acknowledged is there. */
export function comparedWith(acknowledged: number, kept: number): { readonly note: string; readonly unkept: number } {
  const unkept = Math.max(0, acknowledged - kept);
  return { unkept, note: unkept === 0 ? '' : `${unkept} ACKNOWLEDGED AND NOT THERE` };
}

/** CPU for each message, of the three that share the machine. */
export function cpuFacts(id: string, load: Load, { cpu }: Offered): Fact[] {
  const fact = (whose: string, ms: number): Fact => {
    return { what: `CPU of ${whose} for each message [${id}]`, value: ms / messagesOf(load), unit: 'ms CPU' };
  };
  return [fact('the centre', cpu.centre), fact('its stores', cpu.stores), fact('the load generator', cpu.generator)];
}
