/** The simulated devices of `npm run demo`, for a program that would rather start them in its own process. */
import type { Clock } from '../src/base/clock.ts';
import type { Log } from '../src/base/log.ts';
import { playScenario } from './player.ts';
import { loadScenario } from './read-scenario.ts';

/** The secret of every device in the demonstration register. */
export const DEMO_PASSWORD = 'demo-device';

export interface DemoOptions {
  /** `host:port`. */
  readonly mqtt: string;
  /** `host:port`; two addresses when UDP and TCP differ. */
  readonly scaip: string | { readonly udp: string; readonly tcp: string };
  readonly seed: number;
  readonly log: Log;
  readonly clock: Clock;
}

/** Plays the scenario `demo` until stopped. */
export async function startDemoDevices(options: DemoOptions): Promise<{ stop(): Promise<void> }> {
  const { mqtt, scaip, seed, log, clock } = options;
  const receiver = typeof scaip === 'string' ? { udp: scaip, tcp: scaip } : scaip;
  const scenario = loadScenario('demo');
  const addresses = { mqtt, scaip: [receiver] };
  return playScenario({ scenario, seed, addresses: () => addresses, password: DEMO_PASSWORD, clock, log });
}
