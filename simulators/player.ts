/** Plays a scenario: makes its devices, and lets happen to them what the plan says, when it says so. */
import type { Clock, Timer } from '../src/base/clock.ts';
import type { Log } from '../src/base/log.ts';
import { placesFor, type Addresses } from './addresses.ts';
import type { SimulatedDevice } from './device.ts';
import type { LinkTiming } from './mqtt/link.ts';
import { MqttDevice } from './mqtt/models.ts';
import { planRound, type PlannedAct } from './plan.ts';
import { SeededRandom } from './random.ts';
import { ScaipUnit, type UnitTiming } from './scaip/unit.ts';
import type { DeviceSpec, Scenario } from './scenario.ts';

export interface PlayOptions {
  readonly scenario: Scenario;
  /** The scenario's own when absent. */
  readonly seed?: number;
  /** Scenario seconds in one real second; the scenario's own when absent. */
  readonly speed?: number;
  /** Asked anew for each connection, so that a centre that moved is found again. */
  readonly addresses: () => Addresses;
  /** What every device on the platform signs in with. */
  readonly password: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly unitTiming?: Partial<UnitTiming>;
  readonly linkTiming?: Partial<LinkTiming>;
}

export interface Tally {
  delivered: number;
  notDelivered: number;
}

export interface Play {
  /** Resolves when everything has happened and been answered (at most a minute after the last act); never for an endless scenario. */
  readonly finished: Promise<Tally>;
  readonly tally: Readonly<Tally>;
  /** Pulls all plugs. Safe to call twice. */
  stop(): Promise<void>;
}

const SETTLE = 60_000;

/** Starts the devices and the plan, and returns at once; nothing throws when the centre is away, the devices insist. */
export async function playScenario(options: PlayOptions): Promise<Play> {
  const { scenario, clock, log } = options;
  const seed = options.seed ?? scenario.seed;
  const speed = options.speed ?? scenario.speed;
  const devices = new Map<string, SimulatedDevice>();
  for (const spec of scenario.devices) devices.set(spec.id, makeDevice(spec, new SeededRandom(seed).fork(spec.id), speed, options));

  const tally: Tally = { delivered: 0, notDelivered: 0 };
  const timers = new Set<Timer>();
  const inHand = new Set<Promise<void>>();
  let stopping: Promise<void> | null = null;
  let finish: (tally: Tally) => void = () => {};
  const finished = new Promise<Tally>((resolve) => {
    finish = resolve;
  });
  const later = (at: number, run: () => void): void => {
    const timer = clock.after(Math.max(0, at - clock.monotonic()), () => {
      timers.delete(timer);
      run();
    });
    timers.add(timer);
  };

  const happen = async (planned: PlannedAct): Promise<void> => {
    const device = devices.get(planned.device);
    if (device === undefined) return;
    log.info('act-began', { device: planned.device, code: planned.act.name, source: planned.because });
    try {
      for (const { result } of await device.act(planned.act)) {
        if (result === 'delivered') tally.delivered++;
        else tally.notDelivered++;
      }
    } catch (error) {
      log.error('act-failed', { device: planned.device, code: planned.act.name, error });
    }
  };
  const keep = (work: Promise<void>): void => {
    const kept = work.finally(() => inHand.delete(kept));
    inHand.add(kept);
  };
  const playRound = (round: number, began: number): void => {
    for (const planned of planRound(scenario, seed, round)) later(began + planned.atMs / speed, () => keep(happen(planned)));
    const end = began + (scenario.lastsSeconds * 1000) / speed;
    later(end, () => {
      if (scenario.endless) playRound(round + 1, end);
      else void settled();
    });
  };
  const settled = async (): Promise<void> => {
    const enough = new Promise<void>((resolve) => later(clock.monotonic() + SETTLE, resolve));
    await Promise.race([Promise.allSettled([...inHand]), enough]);
    finish(tally);
  };

  await Promise.all([...devices.values()].map((device) => device.start()));
  playRound(0, clock.monotonic());
  return {
    finished,
    tally,
    stop: () => {
      stopping ??= (async () => {
        for (const timer of timers) timer.cancel();
        await Promise.all([...devices.values()].map((device) => device.stop()));
        await Promise.allSettled([...inHand]);
      })();
      return stopping;
    },
  };
}

function makeDevice(spec: DeviceSpec, random: SeededRandom, speed: number, options: PlayOptions): SimulatedDevice {
  const { addresses, clock, log, password } = options;
  const heartbeatEvery = spec.heartbeatSeconds === null ? null : spec.heartbeatSeconds * 1000;
  if (spec.class === 'scaip-unit') {
    return new ScaipUnit({
      controllerId: spec.id,
      flavour: spec.flavour,
      triggers: spec.triggers,
      receivers: () => placesFor(addresses(), spec.transport),
      heartbeatEvery,
      ...(options.unitTiming === undefined ? {} : { timing: options.unitTiming }),
      clock,
      random,
      log,
    });
  }
  return new MqttDevice(
    spec.class,
    {
      serial: spec.id,
      municipality: spec.municipality,
      password,
      address: () => addresses().mqtt,
      heartbeatEvery,
      ...(options.linkTiming === undefined ? {} : { link: options.linkTiming }),
      clock,
      random,
      log,
    },
    // The walk keeps step with the scenario's time.
    { metresPerSecond: 1.1 * speed },
  );
}
