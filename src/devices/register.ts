/** The register of devices as intake asks it: who is it, whose is it, which model; answered from memory for at most 2 s. */
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';

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
  | { readonly protocol: 'scaip'; readonly controllerId: string };

export interface DeviceRegister {
  /**
   * Null for an unknown device. While the store is away the last answer holds for a device that was known: its
   * connection and its signs of life do not depend on PostgreSQL.
   * @throws CentreError store-away for one that was not asked for before
   */
  find(key: DeviceKey): Promise<DeviceRecord | null>;
  /** Forgets what it knows of a device, so that a change made in this process counts at once. */
  forget(serial: string): void;
}

/** What the register needs of the store. */
export interface DeviceSource {
  /**
   * The MQTT devices with these serials and the SCAIP units with these controller ids, in any order.
   * @throws CentreError store-away
   */
  load(serials: readonly string[], controllerIds: readonly string[]): Promise<DeviceRecord[]>;
}

/** How long an answer holds, so that provisioning takes effect (also that a device is unknown). */
export const REMEMBERED_MS: Milliseconds = 2000;
/** Above this the memory is emptied: made-up names of strangers must not fill it. */
const MOST_REMEMBERED = 50_000;
const MOST_AT_ONCE = 500;

interface Awaited {
  readonly key: DeviceKey;
  readonly name: string;
  readonly answer: Promise<DeviceRecord | null>;
  readonly resolve: (record: DeviceRecord | null) => void;
  readonly reject: (error: unknown) => void;
}

/** `scaip:26317`; leading zeros of a controller id make no difference. */
const nameOf = (key: DeviceKey): string => (key.protocol === 'mqtt' ? `mqtt:${key.serial}` : `scaip:${plain(key.controllerId)}`);
const plain = (controllerId: string): string => controllerId.trim().replace(/^0+(?=.)/, '');

/**
 * Questions that come while one is under way wait for the next and share it: ten thousand devices that reconnect at
 * once take one connection of the store, not all.
 */
export function createDeviceRegister({ source, clock }: { readonly source: DeviceSource; readonly clock: Clock }): DeviceRegister {
  const remembered = new Map<string, { readonly record: DeviceRecord | null; readonly until: Milliseconds }>();
  const awaited = new Map<string, Awaited>();
  let asking = false;

  async function ask(): Promise<void> {
    if (asking) return;
    asking = true;
    while (awaited.size > 0) {
      const batch = [...awaited.values()].slice(0, MOST_AT_ONCE);
      await answer(batch);
      for (const { name } of batch) awaited.delete(name);
    }
    asking = false;
  }

  async function answer(batch: readonly Awaited[]): Promise<void> {
    const serials = batch.flatMap(({ key }) => (key.protocol === 'mqtt' ? [key.serial] : []));
    const controllerIds = batch.flatMap(({ key }) => (key.protocol === 'scaip' ? [plain(key.controllerId)] : []));
    try {
      const records = new Map((await source.load(serials, controllerIds)).map((record) => [nameOf(keyOf(record)), record]));
      const until = clock.monotonic() + REMEMBERED_MS;
      if (remembered.size + batch.length > MOST_REMEMBERED) remembered.clear();
      for (const { name, resolve } of batch) {
        const record = records.get(name) ?? null;
        remembered.set(name, { record, until });
        resolve(record);
      }
    } catch (error) {
      const away = error instanceof CentreError && error.kind === 'store';
      for (const { name, resolve, reject } of batch) {
        const stale = away ? (remembered.get(name)?.record ?? null) : null;
        if (stale === null) {
          reject(error);
          continue;
        }
        remembered.set(name, { record: stale, until: clock.monotonic() + REMEMBERED_MS });
        resolve(stale);
      }
    }
  }

  return {
    find(key) {
      const name = nameOf(key);
      const known = remembered.get(name);
      if (known !== undefined && clock.monotonic() < known.until) return Promise.resolve(known.record);
      const under = awaited.get(name);
      if (under !== undefined) return under.answer;
      const { promise, resolve, reject } = settleable<DeviceRecord | null>();
      awaited.set(name, { key, name, answer: promise, resolve, reject });
      void ask();
      return promise;
    },
    forget(serial) {
      for (const [name, { record }] of remembered) if (record?.serial === serial || name === `mqtt:${serial}`) remembered.delete(name);
    },
  };
}

const keyOf = ({ protocol, serial, controllerId }: DeviceRecord): DeviceKey =>
  protocol === 'mqtt' ? { protocol, serial } : { protocol, controllerId: controllerId ?? '' };

function settleable<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
