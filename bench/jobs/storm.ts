/** Devices that lose their connections all at once and come back as devices do: after a random pause, again and again until they are in. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type Instant, type Milliseconds, RunningClock, sleep, toIso } from '../../src/base/clock.ts';
import { hostAndPort } from '../../simulators/addresses.ts';
import { MqttWire } from '../../simulators/load/mqtt-wire.ts';
import { type Latencies, latenciesOf } from '../../simulators/load/open-loop.ts';
import { LINK_TIMING } from '../../simulators/mqtt/link.ts';
import { SeededRandom } from '../../simulators/random.ts';
import { answerParent } from '../job.ts';
import { MUNICIPALITY, SECRET, serialOf } from '../register.ts';

export interface StormJob {
  readonly address: string;
  readonly secure: boolean;
  readonly devices: number;
  /** A storm each: how long a device waits at most before it tries for the first time. */
  readonly jitters: readonly Milliseconds[];
  /** Before each storm. */
  readonly quietMs: Milliseconds;
}

export interface Storm {
  readonly jitterMs: Milliseconds;
  readonly cutAt: Instant;
  /** From the cut to the PUBACK of the first heartbeat. */
  readonly latencies: Latencies;
  /** Not back when the patience of the bench was at its end. */
  readonly lost: number;
  /** Tries that came to nothing: refused, cut off, or without an answer in time. */
  readonly failures: number;
  /** How long this process's own event loop stood still at worst. */
  readonly lateMs: Milliseconds;
}

export interface StormResult {
  /** All of them, before the first storm. */
  readonly connectedMs: Milliseconds;
  readonly storms: readonly Storm[];
}

const clock = new RunningClock();
const CONNECTING_AT_ONCE = 100;
const GIVE_UP_MS = 120_000;

answerParent<StormJob, StormResult>(async ({ address, secure, devices, jitters, quietMs }) => {
  const { host, port } = hostAndPort(address);
  const random = new SeededRandom('storm');
  let wires: MqttWire[] = [];

  /** One try: connect, and a heartbeat until its PUBACK. Null: it came to nothing. */
  async function tryOnce(n: number): Promise<{ wire: MqttWire; at: Milliseconds } | null> {
    const login = { clientId: serialOf(n), username: serialOf(n), password: SECRET };
    const { pubackWithin: within } = LINK_TIMING;
    const wire = await MqttWire.open(host, port, login, clock, { secure, within }).catch(() => null);
    if (wire === null) return null;
    const patience = clock.after(within, () => wire.close());
    const payload = JSON.stringify({ id: `${n}-${Math.round(clock.monotonic())}`, at: toIso(clock.now()), battery: 80 });
    const at = await new Promise<Milliseconds | null>((settle) => {
      wire.publish(`nj/v1/${MUNICIPALITY}/${serialOf(n)}/heartbeat`, payload, settle);
    });
    patience.cancel();
    return at === null ? null : { wire, at };
  }

  /** Tries until it is in, each time after a longer pause; null: not before `end`. */
  async function comeBack(n: number, pause: Milliseconds, end: Milliseconds, failed: () => void): Promise<Milliseconds | null> {
    const { retryFrom, retryTo } = LINK_TIMING;
    for (let failures = 0, wait = pause; ; failures++) {
      if (wait > 0) await sleep(clock, wait);
      if (clock.monotonic() > end) return null;
      const back = await tryOnce(n);
      if (back !== null) {
        wires.push(back.wire);
        return back.at;
      }
      failed();
      wait = Math.min(retryTo, retryFrom * 2 ** failures) * random.between(0.7, 1.3);
    }
  }

  async function storm(jitterMs: Milliseconds): Promise<Storm> {
    const delay = monitorEventLoopDelay({ resolution: 5 });
    delay.enable();
    let failures = 0;
    const cutAt = clock.now();
    const began = clock.monotonic();
    const cut = wires;
    wires = [];
    for (const wire of cut) wire.cut();
    const pauses = Array.from({ length: devices }, () => (jitterMs === 0 ? 0 : random.between(0, jitterMs)));
    const back = await Promise.all(pauses.map((pause, n) => comeBack(n, pause, began + GIVE_UP_MS, () => failures++)));
    delay.disable();
    const took = back.filter((at) => at !== null).map((at) => at - began);
    return {
      jitterMs,
      cutAt,
      latencies: latenciesOf(Float64Array.from(took)),
      lost: devices - took.length,
      failures,
      lateMs: delay.max / 1e6,
    };
  }

  const began = clock.monotonic();
  let next = 0;
  const connecting = async (): Promise<void> => {
    while (next < devices) await comeBack(next++, 0, began + GIVE_UP_MS, () => undefined);
  };
  await Promise.all(Array.from({ length: CONNECTING_AT_ONCE }, connecting));
  if (wires.length < devices) throw new Error(`Only ${wires.length} of ${devices} devices could connect to ${address}.`);
  const connectedMs = clock.monotonic() - began;
  const storms: Storm[] = [];
  for (const jitterMs of jitters) {
    await sleep(clock, quietMs);
    storms.push(await storm(jitterMs));
  }
  for (const wire of wires) wire.cut();
  return { connectedMs, storms };
});
