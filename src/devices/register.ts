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
  /** SHA-256 of its client certificate. */
  | { readonly protocol: 'mqtt'; readonly certificateSha256: Uint8Array }
  | { readonly protocol: 'scaip'; readonly controllerId: string };

export interface DeviceRegister {
  /**
   * Null for an unknown device. While the store is away the last answer holds for a device that was known: its
   * connection and its signs of life do not depend on PostgreSQL.
   * @throws CentreError store-away for one that was not asked for before
   */
  find(key: DeviceKey): Promise<DeviceRecord | null>;
  /**
   * Forgets what it knows of a device, so that a change made in this process counts at once (in others within 2 s). What is
   * being asked just now is not remembered either: the answer may be from before the change.
   */
  forget(serial: string): void;
}

/** What the register needs of the store. */
export interface DeviceSource {
  /**
   * The MQTT devices with these serials or certificates and the SCAIP units with these controller ids, in any order.
   * @param certificates their SHA-256
   * @throws CentreError store-away
   */
  load(serials: readonly string[], controllerIds: readonly string[], certificates: readonly Uint8Array[]): Promise<DeviceRecord[]>;
}

/** How long an answer holds, so that provisioning takes effect (also that a device is unknown). */
export const REMEMBERED_MS: Milliseconds = 2000;
/** Names that are in no register: made up by strangers, so they are few, and forgotten first. */
const MOST_UNKNOWN = 10_000;
const MOST_AT_ONCE = 500;
/** Questions that wait about what was not known before; what was is asked first, and is never too many. */
const MOST_WAITING = 50_000;
/** Longer, or with control characters, it is nothing that a register holds; PostgreSQL would refuse the whole batch for a NUL. */
// eslint-disable-next-line no-control-regex
const NO_ID = /^$|^.{129}|[\u0000-\u001f\u007f]/su;

interface Awaited {
  readonly key: DeviceKey;
  readonly name: string;
  readonly answer: Promise<DeviceRecord | null>;
  readonly resolve: (record: DeviceRecord | null) => void;
  readonly reject: (error: unknown) => void;
}

interface Remembered {
  readonly record: DeviceRecord;
  readonly until: Milliseconds;
}

/** `scaip:26317`; leading zeros of a controller id make no difference. */
const nameOf = (key: DeviceKey): string => `${'serial' in key ? 'mqtt' : 'controllerId' in key ? 'scaip' : 'certificate'}:${idOf(key)}`;
const plain = (controllerId: string): string => controllerId.trim().replace(/^0+(?=.)/, '');
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
function idOf(key: DeviceKey): string {
  if ('serial' in key) return key.serial;
  return 'controllerId' in key ? plain(key.controllerId) : hex(key.certificateSha256);
}

/**
 * Questions that come while one is under way wait for the next and share it: ten thousand devices that reconnect at
 * once take one connection of the store, not all. What was known before is asked first.
 */
export function createDeviceRegister({ source, clock }: { readonly source: DeviceSource; readonly clock: Clock }): DeviceRegister {
  /** As many as the register has. */
  const known = new Map<string, Remembered>();
  const unknown = new Map<string, Milliseconds>();
  /** In the order in which they are asked: the known ones, then the rest. */
  const waiting = [new Map<string, Awaited>(), new Map<string, Awaited>()] as const;
  let underWay = new Map<string, Awaited>();
  let changes = 0;
  let asking = false;

  async function ask(): Promise<void> {
    if (asking) return;
    asking = true;
    for (let batch = next(); batch.length > 0; batch = next()) {
      underWay = new Map(batch.map((one) => [one.name, one]));
      await answer(batch);
      underWay = new Map();
    }
    asking = false;
  }

  function next(): Awaited[] {
    const batch: Awaited[] = [];
    for (const queue of waiting) {
      for (const one of queue.values()) {
        if (batch.length === MOST_AT_ONCE) return batch;
        batch.push(one);
        queue.delete(one.name);
      }
    }
    return batch;
  }

  async function answer(batch: readonly Awaited[]): Promise<void> {
    const keys = batch.map(({ key }) => key);
    const serials = keys.flatMap((key) => ('serial' in key ? [key.serial] : []));
    const controllerIds = keys.flatMap((key) => ('controllerId' in key ? [plain(key.controllerId)] : []));
    const certificates = keys.flatMap((key) => ('certificateSha256' in key ? [key.certificateSha256] : []));
    const asOf = changes;
    try {
      const loaded = await source.load(serials, controllerIds, certificates);
      const records = new Map(loaded.flatMap((record) => keysOf(record).map((key) => [nameOf(key), record])));
      for (const { name, resolve } of batch) {
        const record = records.get(name) ?? null;
        if (asOf === changes) remember(name, record);
        resolve(record);
      }
    } catch (error) {
      const away = error instanceof CentreError && error.kind === 'store';
      for (const { name, resolve, reject } of batch) {
        const stale = away ? (known.get(name)?.record ?? null) : null;
        if (stale === null) {
          reject(error);
          continue;
        }
        if (asOf === changes) remember(name, stale);
        resolve(stale);
      }
    }
  }

  function remember(name: string, record: DeviceRecord | null): void {
    const until = clock.monotonic() + REMEMBERED_MS;
    unknown.delete(name);
    if (record !== null) {
      known.set(name, { record, until });
      return;
    }
    known.delete(name);
    if (unknown.size >= MOST_UNKNOWN) unknown.clear();
    unknown.set(name, until);
  }

  /** Undefined: it must be asked. */
  function remembered(name: string): DeviceRecord | null | undefined {
    const now = clock.monotonic();
    const one = known.get(name);
    if (one !== undefined) return now < one.until ? one.record : undefined;
    return now < (unknown.get(name) ?? 0) ? null : undefined;
  }

  return {
    find(key) {
      if (NO_ID.test(idOf(key))) return Promise.resolve(null);
      const name = nameOf(key);
      const answered = remembered(name);
      if (answered !== undefined) return Promise.resolve(answered);
      const isKnown = known.has(name);
      const queue = waiting[isKnown ? 0 : 1];
      const under = underWay.get(name) ?? queue.get(name);
      if (under !== undefined) return under.answer;
      if (!isKnown && queue.size >= MOST_WAITING)
        return Promise.reject(new CentreError('store-away', 'PostgreSQL is too slow for all who ask.'));
      const { promise, resolve, reject } = settleable<DeviceRecord | null>();
      queue.set(name, { key, name, answer: promise, resolve, reject });
      void ask();
      return promise;
    },
    forget(serial) {
      changes += 1;
      underWay = new Map();
      // It may have got another controller id, under which it is remembered as unknown.
      unknown.clear();
      for (const [name, { record }] of known) if (record.serial === serial) known.delete(name);
    },
  };
}

/** All that it can be asked for by. */
function keysOf({ protocol, serial, controllerId, certificateSha256 }: DeviceRecord): DeviceKey[] {
  if (protocol === 'scaip') return controllerId === null ? [] : [{ protocol, controllerId }];
  return [{ protocol, serial }, ...(certificateSha256 === null ? [] : [{ protocol, certificateSha256 }])];
}

function settleable<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: unknown) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}
