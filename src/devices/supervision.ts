/** Signs of life: gathered in memory and written together each second, since a heartbeat is no row of its own. */
import type { Position } from '../alarms/signal.ts';
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { LifeSignSort, SeenFacts } from './interpretation.ts';

/** The latest that is known of a device; null: nothing new, what is stored stays. */
export interface DeviceSeen {
  readonly serial: string;
  /** Null: only its last will was heard. */
  readonly seenAt: Instant | null;
  /** When the newest of these facts was received. */
  readonly toldAt: Instant;
  readonly via: string;
  readonly battery: number | null;
  readonly mains: boolean | null;
  readonly signal: number | null;
  readonly charging: boolean | null;
  readonly online: boolean | null;
  readonly position: Position | null;
  readonly positionAt: Instant | null;
  readonly testAt: Instant | null;
  readonly triggers: ReadonlyMap<string, TriggerSeen>;
}

export interface TriggerSeen {
  readonly seenAt: Instant | null;
  /** It is told of also when nobody presses it: its silence means something. */
  readonly reports: boolean;
  readonly battery: number | null;
  readonly testAt: Instant | null;
}

/** What signs of life need of the store. */
export interface LifeSignStore {
  /** Writes what is newer than what is stored; devices that are not in the register are passed over. @throws CentreError store-away */
  writeSeen(seen: readonly DeviceSeen[]): Promise<void>;
}

/** Which sort of life sign told it; `signal`: the message was one. */
export type SeenIn = LifeSignSort | 'signal';

export interface LifeSigns {
  /** Notes what a message told of a device of the register; cheap, called for every message. */
  seen(serial: string, facts: SeenFacts, at: Instant, sort: SeenIn): void;
  /** When the unit, or its trigger, was heard by what is not written yet; null: nothing is waiting. */
  unwritten(serial: string, trigger: string): Instant | null;
  /** Devices of which something is not written yet: never more than there are in the register. */
  waiting(): number;
  /** Writes all that was noted before this call; false: the store is away, and it is still in memory. Never rejects. */
  flush(): Promise<boolean>;
  /** Writes the last, and no more. */
  stop(): Promise<void>;
}

export const WRITE_EVERY_MS: Milliseconds = 1000;
/** One statement each: far from the limit of 3 s. */
const MOST_AT_ONCE = 2000;
/** Statements at the same time, of different devices: while PostgreSQL does one, the next is put together. */
const LANES = 2;
/** Triggers of one unit that are noted between two writes: a device that makes up ids must not fill the memory. */
const MOST_TRIGGERS = 64;

export function createLifeSigns(parts: { readonly clock: Clock; readonly log: Log; readonly store: LifeSignStore }): LifeSigns {
  const { clock, log, store } = parts;
  let gathered = new Map<string, DeviceSeen>();
  let underWay = new Map<string, DeviceSeen>();
  let writing: Promise<boolean> | null = null;
  let next: Promise<boolean> | null = null;
  const timer = clock.every(WRITE_EVERY_MS, () => void (writing ?? flush()));

  /** A write that is under way began before this was asked: another one follows it, shared by all who ask meanwhile. */
  function flush(): Promise<boolean> {
    if (writing === null) return begin();
    next ??= writing.then(() => {
      next = null;
      return writing ?? begin();
    });
    return next;
  }

  function begin(): Promise<boolean> {
    writing = write().finally(() => {
      writing = null;
    });
    return writing;
  }

  async function write(): Promise<boolean> {
    underWay = gathered;
    gathered = new Map();
    const left = [...underWay.values()];
    const notWritten: DeviceSeen[] = [];
    /** Until nothing is left, or the store is away. */
    const lane = async (): Promise<void> => {
      while (left.length > 0 && notWritten.length === 0) {
        const part = left.splice(-MOST_AT_ONCE);
        if (!(await written(part))) notWritten.push(...part);
      }
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    // What came meanwhile is newer.
    for (const older of [...notWritten, ...left]) gathered.set(older.serial, newest(older, gathered.get(older.serial)));
    underWay = new Map();
    return notWritten.length === 0;
  }

  /** False: the store is away. A part that is refused is halved until only what is wrong is left out. */
  async function written(part: readonly DeviceSeen[]): Promise<boolean> {
    try {
      await store.writeSeen(part);
      return true;
    } catch (error) {
      if (error instanceof CentreError) return false;
      const [first] = part;
      if (part.length === 1 && first !== undefined) {
        log.error('life-sign-not-written', { device: first.serial, error });
        return true;
      }
      const half = Math.ceil(part.length / 2);
      return (await written(part.slice(0, half))) && (await written(part.slice(half)));
    }
  }

  return {
    seen(serial, facts, at, sort) {
      gathered.set(serial, newest(gathered.get(serial), seenOf(serial, facts, at, sort)));
    },
    unwritten(serial, trigger) {
      const one = (map: ReadonlyMap<string, DeviceSeen>): Instant | null => {
        const device = map.get(serial);
        return (trigger === '' ? device?.seenAt : device?.triggers.get(trigger)?.seenAt) ?? null;
      };
      return later(one(underWay), one(gathered));
    },
    waiting: () => gathered.size + underWay.size,
    flush,
    async stop() {
      timer.cancel();
      await flush();
      // What came while that write was under way.
      await flush();
    },
  };
}

/** Told of when nobody presses anything; a test is done by hand, and so is what a position comes with. */
const REGULAR: readonly SeenIn[] = ['heartbeat', 'status'];

/**
 * What one message told. A message of the device itself means that it is online, unless it says that it is not: that is a
 * last will, perhaps passed on by another broker. A clock that is ahead is not believed.
 */
function seenOf(serial: string, facts: SeenFacts, at: Instant, sort: SeenIn): DeviceSeen {
  const { position, test } = facts;
  const alive = facts.alive && facts.online !== false;
  const believed = (told: Instant | null | undefined): Instant | null => (told === null || told === undefined ? null : Math.min(told, at));
  const triggers = facts.triggers.slice(0, MOST_TRIGGERS).map((one) => {
    const itself = one.seenAt === 'now';
    const seenAt = one.seenAt === 'now' ? (alive ? at : null) : believed(one.seenAt);
    const reports = seenAt !== null && (!itself || REGULAR.includes(sort));
    return [one.id, { seenAt, reports, battery: one.battery, testAt: one.test ? at : null }] as const;
  });
  return {
    serial,
    seenAt: alive ? at : null,
    toldAt: at,
    via: facts.via,
    battery: facts.battery,
    mains: facts.mains,
    signal: facts.signal,
    charging: facts.charging,
    online: facts.online ?? (alive ? true : null),
    position,
    positionAt: position === null ? null : (believed(position.at) ?? at),
    testAt: test ? at : null,
    triggers: new Map(triggers),
  };
}

/** Both together; where both tell something, the later. */
function newest(before: DeviceSeen | undefined, after: DeviceSeen | undefined): DeviceSeen {
  if (before === undefined || after === undefined) return (after ?? before) as DeviceSeen;
  const triggers = new Map(before.triggers);
  for (const [id, one] of after.triggers) {
    const known = triggers.get(id);
    if (known === undefined && triggers.size >= MOST_TRIGGERS) continue;
    triggers.set(id, {
      seenAt: later(known?.seenAt ?? null, one.seenAt),
      reports: one.reports || known?.reports === true,
      battery: one.battery ?? known?.battery ?? null,
      testAt: one.testAt ?? known?.testAt ?? null,
    });
  }
  const moved = after.position !== null && (before.positionAt === null || (after.positionAt ?? 0) >= before.positionAt);
  return {
    serial: after.serial,
    seenAt: later(before.seenAt, after.seenAt),
    toldAt: after.toldAt,
    via: after.via,
    battery: after.battery ?? before.battery,
    mains: after.mains ?? before.mains,
    signal: after.signal ?? before.signal,
    charging: after.charging ?? before.charging,
    online: after.online ?? before.online,
    position: moved ? after.position : before.position,
    positionAt: moved ? after.positionAt : before.positionAt,
    testAt: after.testAt ?? before.testAt,
    triggers,
  };
}

const later = (a: Instant | null, b: Instant | null): Instant | null => (a === null || b === null ? (a ?? b) : Math.max(a, b));
