/** The four devices on the platform: what each sends when something happens to it. */
import type { Milliseconds, Timer } from '../../src/base/clock.ts';
import type { Act, ActName, Delivery, DeviceClass, SimulatedDevice } from '../device.ts';
import { crossing, lengthOf, measured, placeAlong, ROUTE_STAVANGER, type Place } from './walk.ts';
import { MqttUnit, type Fields, type MqttUnitOptions } from './unit.ts';

export type MqttClass = Exclude<DeviceClass, 'scaip-unit'>;

export interface WalkOptions {
  readonly route?: readonly Place[];
  /** Metres around the first place of the route. */
  readonly fenceRadius?: number;
  readonly positionEvery?: Milliseconds;
  readonly metresPerSecond?: number;
}

/** Acts that are one alarm or restore of the platform contract's `type`. */
const TYPE_OF: Partial<Record<ActName, readonly ['alarm' | 'restore', string]>> = {
  press: ['alarm', 'call-button'],
  fall: ['alarm', 'fall'],
  cancel: ['restore', 'fall'],
  inactivity: ['alarm', 'inactivity'],
  door: ['alarm', 'door'],
  'bed-exit': ['alarm', 'bed-exit'],
  'battery-low': ['alarm', 'battery-low'],
  'battery-ok': ['restore', 'battery-low'],
  'mains-lost': ['alarm', 'mains-lost'],
  'mains-back': ['restore', 'mains-lost'],
  'trigger-lost': ['alarm', 'trigger-lost'],
  'trigger-back': ['restore', 'trigger-lost'],
  tamper: ['alarm', 'tamper'],
  fault: ['alarm', 'fault'],
};

/** What a radar adds to its messages, in its own words (unknown fields are kept by the contract). */
const RADAR_WORDS: Partial<Record<ActName, Fields>> = {
  fall: { event: 'fall', status: 'alarm' },
  inactivity: { event: 'motionless', status: 'alarm' },
  'bed-exit': { event: 'out of bed', status: 'alarm' },
};

/** A device of one class; a `mobile-alarm` can walk. */
export class MqttDevice implements SimulatedDevice {
  readonly id: string;
  readonly unit: MqttUnit;
  readonly #class: MqttClass;
  readonly #walk: Required<WalkOptions>;
  #walked = 0;
  #heading: 1 | -1 = 1;
  #outside = false;
  #steps: Timer | null = null;
  /** The type of the last need, which a radar's "resolved" restores. */
  #open = 'fall';

  constructor(deviceClass: MqttClass, options: MqttUnitOptions, walk: WalkOptions = {}) {
    this.id = options.serial;
    this.unit = new MqttUnit(options);
    this.#class = deviceClass;
    this.#walk = { route: ROUTE_STAVANGER, fenceRadius: 400, positionEvery: 10_000, metresPerSecond: 1.1, ...walk };
    if (deviceClass === 'stationary-alarm' || deviceClass === 'radar') this.unit.mains = true;
  }

  async start(): Promise<void> {
    this.unit.start();
  }

  async stop(): Promise<void> {
    this.#steps?.cancel();
    await this.unit.stop();
  }

  async act(act: Act): Promise<readonly Delivery[]> {
    const { unit } = this;
    const typed = TYPE_OF[act.name];
    if (typed !== undefined) return [await this.#typed(act, ...typed)];
    switch (act.name) {
      case 'repeat':
        return unit.repeat();
      case 'duplicate':
        return unit.duplicate();
      case 'test':
        return [await unit.tell('test', triggerOf(act))];
      case 'presence':
        return [await unit.tell('presence', triggerOf(act))];
      case 'heartbeat':
        unit.heartbeat();
        return [];
      case 'garbage':
        return [await unit.lie()];
      case 'resolved':
        return [await unit.tell('restore', { type: this.#open, event: this.#open, status: 'resolved' })];
      case 'learning':
        unit.status({ online: true, text: 'Læringsperiode', event: 'learning' });
        return [];
      case 'goes-flat': {
        unit.battery = 4;
        const told = await unit.tell('alarm', { type: 'battery-low', battery: unit.battery });
        this.#steps?.cancel();
        unit.link.cut();
        return [told];
      }
      case 'charged':
        unit.battery = 100;
        unit.link.restore();
        return [await unit.tell('restore', { type: 'battery-low', battery: unit.battery })];
      case 'link-cut':
        unit.link.cut();
        return [];
      case 'link-back':
        unit.link.restore();
        return [];
      case 'clock-off':
        unit.clockOff = (act.minutes ?? 90) * 60_000;
        return [];
      case 'clock-right':
        unit.clockOff = 0;
        return [];
      case 'walk':
      case 'go-home':
        this.#heading = act.name === 'walk' ? 1 : -1;
        this.#setOut();
        return [];
      default:
        return [];
    }
  }

  #typed(act: Act, kind: 'alarm' | 'restore', type: string): Promise<Delivery> {
    const { unit } = this;
    if (act.name === 'battery-low') unit.battery = 12;
    if (act.name === 'battery-ok') unit.battery = 100;
    if (type === 'mains-lost') unit.mains = kind === 'restore';
    if (this.#class === 'radar' && RADAR_WORDS[act.name] !== undefined) this.#open = type;
    return unit.tell(kind, {
      type,
      ...triggerOf(act),
      ...(type === 'battery-low' && act.trigger === undefined ? { battery: unit.battery } : {}),
      ...(this.#class === 'mobile-alarm' ? { position: this.#position() } : {}),
      ...(this.#class === 'stationary-alarm' && act.name === 'press' ? { voice: 'tel:+4759000000001' } : {}),
      ...(this.#class === 'radar' ? RADAR_WORDS[act.name] : {}),
    });
  }

  #position(): Fields {
    const place = placeAlong(this.#walk.route, this.#walked);
    return { ...measured(place, this.unit.random), at: this.unit.at() };
  }

  #setOut(): void {
    this.#steps?.cancel();
    this.#steps = this.unit.clock.every(this.#walk.positionEvery, () => this.#step());
  }

  #step(): void {
    const { route, fenceRadius, positionEvery, metresPerSecond } = this.#walk;
    const step = ((metresPerSecond * positionEvery) / 1000) * this.#heading;
    this.#walked = Math.min(lengthOf(route), Math.max(0, this.#walked + step));
    if (this.#walked === 0 || this.#walked === lengthOf(route)) this.#steps?.cancel();
    const now = placeAlong(route, this.#walked);
    this.unit.battery = Math.max(20, this.unit.battery - 0.05);
    this.unit.position(this.#position());
    const home = route[0];
    const crossed = home === undefined ? null : crossing(home, fenceRadius, this.#outside, now);
    if (crossed !== null) {
      this.#outside = crossed === 'geofence-exit';
      // The walk goes on whatever becomes of the message; the unit reports that itself.
      void this.unit.tell('alarm', { type: crossed, position: this.#position() });
    }
  }
}

const triggerOf = (act: Act): Fields => (act.trigger === undefined ? {} : { trigger: act.trigger });
