/** The register of devices as intake asks it: who is it, whose is it, which model; the whole of it in memory, following PostgreSQL. */
import type { Clock, Instant, Milliseconds, Timer } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import { type DeviceSource, RegisterFollowing } from './register-following.ts';
import { RegisterMemory, plainId } from './register-memory.ts';

export interface DeviceRecord {
  readonly serial: string;
  readonly municipality: string;
  readonly household: { readonly id: string; readonly name: string; readonly zone: string } | null;
  readonly protocol: 'mqtt' | 'scaip';
  /** The `cid` of a SCAIP unit. */
  readonly controllerId: string | null;
  /** `vendor/model`. */
  readonly model: string;
  readonly state: string;
  /** SHA-256 of the secret; null: none was made yet. */
  readonly secretSha256: Uint8Array | null;
  /** HA1 of SIP digest by algorithm, hexadecimal; null: no secret was made yet. */
  readonly sipHa1: { readonly md5: string; readonly sha256: string } | null;
  /** SHA-256 of its client certificate (DER) for MQTT; null: it has none. */
  readonly certificateSha256: Uint8Array | null;
  /** Until when what it sends is a test; null: no test window. */
  readonly testUntil: Instant | null;
}

export type DeviceKey =
  | { readonly protocol: 'mqtt'; readonly serial: string }
  /** SHA-256 of its client certificate. */
  | { readonly protocol: 'mqtt'; readonly certificateSha256: Uint8Array }
  | { readonly protocol: 'scaip'; readonly controllerId: string };

export interface DeviceRegister {
  /**
   * Null for an unknown device. A known one is answered from memory, whatever PostgreSQL does: who it is, whether it may
   * connect and what its message means do not depend on the store.
   *
   * For an unknown one the store is asked for changes first (all who wait share one question), so that a device that was
   * put into the register just now is not taken for a stranger. While the store is away, or has not answered for 1 s, the
   * answer is null nonetheless, and it is right: memory is whole, and nobody can be put into a store that is away. The one
   * exception is a device registered in the last second before it went. So an unknown sender is a stranger, as it is
   * otherwise: its alarm is kept, shown, and marked as from an unknown device; it is never a reason to refuse an alarm.
   * @throws CentreError store-away before `load` has succeeded
   */
  find(key: DeviceKey): Promise<DeviceRecord | null>;
  /**
   * Doubts what it knows of a device: whoever asks for it after this gets what PostgreSQL holds by now, so that a change
   * made in this process counts at once (in others within 1.5 s).
   */
  forget(serial: string): void;
  /**
   * Reads the whole register, and follows it from then on. Tries again each second for as long as the store is away:
   * until it has resolved, nobody may listen for devices.
   * @throws CentreError store-away when `stop` was called meanwhile
   */
  load(): Promise<void>;
  /** How many devices it holds, and how old that knowledge is. */
  state(): { readonly devices: number; readonly age: Milliseconds };
  stop(): void;
}

/** How often changes are asked for: one statement that reads three short stretches of an index. */
export const FOLLOWED_EVERY_MS: Milliseconds = 1000;
/** How long it holds that somebody is unknown: made-up names cost ten statements a second, however many they are. */
export const UNKNOWN_FOR_MS: Milliseconds = 100;
/** How long somebody who asks waits for a slow store. */
export const PATIENCE_MS: Milliseconds = 1000;
/** Whoever asks beyond these is answered from memory at once. */
const MOST_WAITING = 50_000;
/** Longer, or with control characters, it is nothing that a register holds. */
// eslint-disable-next-line no-control-regex
const NO_ID = /^$|^.{129}|[\u0000-\u001f\u007f]/su;

interface Parts {
  readonly source: DeviceSource;
  readonly clock: Clock;
  readonly log: Log;
}

export function createDeviceRegister({ source, clock, log }: Parts): DeviceRegister {
  const memory = new RegisterMemory();
  const following = new RegisterFollowing(source, memory);
  let loaded = false;
  let stopped = false;
  /** Each forgetting has a number; a refresh that began after it settles it. */
  let forgotten = 0;
  const doubted = new Map<string, number>();
  /** When the last refresh that succeeded began, and after which forgetting. */
  let known = { asOf: Number.NEGATIVE_INFINITY, forgotten: 0 };
  /** The last refresh failed, or the one under way takes longer than anybody should wait. */
  let away = false;
  let running: Promise<void> | null = null;
  /** A refresh that has not begun: all who need one share it. */
  let next: Promise<void> | null = null;
  let together: { readonly refresh: Promise<void>; readonly answer: Promise<void> } | null = null;
  let waiting = 0;
  let timer: Timer | null = null;

  async function refresh(): Promise<void> {
    const begun = { asOf: clock.monotonic(), forgotten };
    try {
      const whole = await following.refresh();
      if (away && loaded) log.info('register-followed-again', { component: 'register' });
      if (whole) log.info('register-read', { count: memory.size, tookMs: Math.round(clock.monotonic() - begun.asOf) });
      known = begun;
      loaded = true;
      away = false;
      for (const [serial, at] of doubted) if (at <= begun.forgotten) doubted.delete(serial);
    } catch (error) {
      const isAway = error instanceof CentreError && error.kind === 'store';
      if (!away) log[isAway ? 'warn' : 'error']('register-not-followed', { component: 'register', error });
      away = true;
    }
  }

  /** Settles when a refresh that began after the call has ended, well or not. */
  function refreshed(): Promise<void> {
    if (next !== null) return next;
    return running === null ? begin() : (next = running.then(begin));
  }

  function begin(): Promise<void> {
    next = null;
    running = refresh().finally(() => {
      running = null;
    });
    return running;
  }

  /** Memory as of now, or as of before when the store has no answer in time. */
  async function asked(key: DeviceKey): Promise<DeviceRecord | null> {
    waiting += 1;
    try {
      await patiently();
    } finally {
      waiting -= 1;
    }
    return memory.find(key);
  }

  /** One timer for all who wait for the same refresh. */
  function patiently(): Promise<void> {
    const refresh = refreshed();
    if (together?.refresh === refresh) return together.answer;
    const answer = new Promise<void>((resolve) => {
      const late = clock.after(PATIENCE_MS, () => {
        away = true;
        resolve();
      });
      void refresh.then(() => {
        late.cancel();
        resolve();
      });
    });
    together = { refresh, answer };
    return answer;
  }

  const isSettled = (record: DeviceRecord | null): boolean => {
    if (away || waiting >= MOST_WAITING) return true;
    if (record !== null) return !doubted.has(record.serial);
    return known.forgotten === forgotten && clock.monotonic() - known.asOf < UNKNOWN_FOR_MS;
  };

  return {
    find(key) {
      if (!loaded) return Promise.reject(new CentreError('store-away', 'The register has not been read yet.'));
      const record = memory.find(key);
      if (record === null && NO_ID.test(idOf(key))) return Promise.resolve(null);
      return isSettled(record) ? Promise.resolve(record) : asked(key);
    },
    forget(serial) {
      forgotten += 1;
      doubted.set(serial, forgotten);
      if (loaded) void refreshed();
    },
    async load() {
      while (!loaded) {
        if (stopped) throw new CentreError('store-away', 'The centre was stopped before the register could be read.');
        await refreshed();
        if (!loaded) await pause();
      }
      timer ??= clock.every(FOLLOWED_EVERY_MS, () => {
        if (running === null) void refreshed();
      });
    },
    state: () => ({ devices: memory.size, age: clock.monotonic() - known.asOf }),
    stop() {
      stopped = true;
      timer?.cancel();
    },
  };

  function pause(): Promise<void> {
    return new Promise((resolve) => void clock.after(FOLLOWED_EVERY_MS, resolve));
  }
}

function idOf(key: DeviceKey): string {
  if ('serial' in key) return key.serial;
  return 'controllerId' in key ? plainId(key.controllerId) : 'certificate';
}
