/** A scenario: which devices there are, what happens to them by the script, and how the people behind them live. */
import type { ActName, DeviceClass } from './device.ts';
import type { FlavourName, Trigger } from './scaip/vendors.ts';

/** One device; a file may write a whole group of like ones with `count`. */
export interface DeviceSpec {
  readonly id: string;
  readonly class: DeviceClass;
  readonly group: string | null;
  /** Of a device on the platform. */
  readonly municipality: string;
  /** Of a SCAIP unit. */
  readonly flavour: FlavourName;
  readonly transport: 'udp' | 'tcp';
  readonly triggers: readonly Trigger[];
  /** Real seconds, whatever the speed: supervision in the centre runs in real time. */
  readonly heartbeatSeconds: number | null;
}

/** What happens to whom. */
export interface Deed {
  /** A device's id or a group. */
  readonly device: string;
  readonly act: ActName;
  readonly trigger: string | null;
  readonly minutes: number | null;
}

/** Something that happens by the script. */
export interface ScriptedAct extends Deed {
  /** Seconds since the beginning of the scenario. */
  readonly at: number;
  /** It happens within so many seconds of `at`; for a group, to each member at a moment of its own. */
  readonly withinSeconds: number;
  readonly chance: number;
}

/** Something that a person does now and then. */
export interface Habit extends Deed {
  readonly weight: number;
  /** How likely the person does it again before anybody has answered (and again, at most three times). */
  readonly again: number;
  /** What follows it, such as the return of the mains. */
  readonly follows: { readonly act: ActName; readonly afterSeconds: readonly [number, number] } | null;
}

export interface Person {
  readonly who: string;
  /** Between two of the person's deeds. */
  readonly gapSeconds: readonly [number, number];
  /** Seconds since the beginning. */
  readonly from: number;
  readonly to: number;
  readonly does: readonly Habit[];
}

export interface Scenario {
  readonly name: string;
  readonly says: string;
  /** Clock time of the beginning, in seconds since midnight. */
  readonly begins: number;
  readonly lastsSeconds: number;
  /** Scenario seconds in one real second. */
  readonly speed: number;
  readonly seed: number;
  /** The people go on for ever; the script is played once. */
  readonly endless: boolean;
  readonly devices: readonly DeviceSpec[];
  readonly script: readonly ScriptedAct[];
  readonly people: readonly Person[];
}

/** The device of that id, or all of that group. */
export const membersOf = (devices: readonly DeviceSpec[], name: string): readonly DeviceSpec[] =>
  devices.filter((device) => device.id === name || device.group === name);
