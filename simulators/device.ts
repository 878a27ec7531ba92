/** What every simulated device can be told to do, whatever bytes it speaks. */

export const DEVICE_CLASSES = ['scaip-unit', 'stationary-alarm', 'fall-sensor', 'mobile-alarm', 'radar'] as const;
export type DeviceClass = (typeof DEVICE_CLASSES)[number];

/** What happens to any device: repeats, a cut link, a flat battery, and lies. */
const ANYWHERE = [
  'repeat',
  'duplicate',
  'test',
  'heartbeat',
  'battery-low',
  'goes-flat',
  'charged',
  'link-cut',
  'link-back',
  'garbage',
] as const;
/** Only messages over MQTT carry the device's own time. */
const WITH_CLOCK = [...ANYWHERE, 'clock-off', 'clock-right'] as const;

/** Which acts each class of device knows. */
export const ACTS_OF = {
  'scaip-unit': [
    ...ANYWHERE,
    'press',
    'fall',
    'inactivity',
    'smoke',
    'cancel',
    'presence',
    'battery-ok',
    'mains-lost',
    'mains-back',
    'trigger-lost',
    'trigger-back',
    'tamper',
    'fault',
  ],
  'stationary-alarm': [
    ...WITH_CLOCK,
    'press',
    'inactivity',
    'door',
    'presence',
    'battery-ok',
    'mains-lost',
    'mains-back',
    'trigger-lost',
    'trigger-back',
    'tamper',
    'fault',
  ],
  'fall-sensor': [...WITH_CLOCK, 'press', 'fall', 'cancel', 'battery-ok', 'fault'],
  'mobile-alarm': [...WITH_CLOCK, 'press', 'fall', 'cancel', 'battery-ok', 'walk', 'go-home'],
  radar: [...WITH_CLOCK, 'fall', 'inactivity', 'bed-exit', 'resolved', 'learning', 'mains-lost', 'mains-back', 'tamper'],
} as const satisfies Record<DeviceClass, readonly string[]>;

export type ActName = (typeof ACTS_OF)[DeviceClass][number];

/** One thing that happens to a device. */
export interface Act {
  readonly name: ActName;
  /** Id of the pendant, cord or sensor; absent when it is the unit itself. */
  readonly trigger?: string;
  /** For `clock-off`: how far the device's clock is from the truth, in minutes. */
  readonly minutes?: number;
}

/** What became of one message that its device cared about. */
export interface Delivery {
  /** The device's own id of the message (`id` over MQTT, `ref` over SCAIP). */
  readonly id: string;
  /** `delivered`: the centre said that it has it; `refused`: it said that it will not; `stopped`: the device was switched off first. */
  readonly result: 'delivered' | 'refused' | 'not-delivered' | 'stopped';
  /** How often it was sent as a new try (a retransmission of the transport is not one). */
  readonly attempts: number;
  readonly tookMs: number;
}

export interface SimulatedDevice {
  readonly id: string;
  start(): Promise<void>;
  /** Does it, and resolves when the centre has answered for all that it sent, or the device gave up or was stopped. */
  act(act: Act): Promise<readonly Delivery[]>;
  /** Pulls the plug; nothing is sent afterwards. */
  stop(): Promise<void>;
}
