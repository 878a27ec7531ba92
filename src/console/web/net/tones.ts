/** Makes the sounds: WebAudio tones, no files; knows when the browser keeps it silent. */
import type { AlarmPriority } from '../../../alarms/signal.ts';
import type { Clock, Timer } from '../../../base/clock.ts';
import { PATTERNS, type SoundPattern } from '../view/sounds.ts';

interface Gain {
  readonly gain: { setValueAtTime(value: number, at: number): unknown; linearRampToValueAtTime(value: number, at: number): unknown };
  connect(to: unknown): unknown;
}
interface Oscillator {
  type: string;
  readonly frequency: { value: number };
  connect(to: unknown): unknown;
  start(at: number): void;
  stop(at: number): void;
}
/** As much of an AudioContext as is needed. */
export interface AudioDevice {
  readonly state: string;
  readonly currentTime: number;
  readonly destination: unknown;
  addEventListener(type: 'statechange', listener: () => void): void;
  createOscillator(): Oscillator;
  createGain(): Gain;
  resume(): Promise<void>;
}

/** `unasked`: not known yet; `muted`: the browser wants a gesture first; `off`: there is no sound at all. */
export type Sound = 'ready' | 'muted' | 'off';

export class Tones {
  readonly #open: () => AudioDevice;
  readonly #clock: Clock;
  #device: AudioDevice | null = null;
  #broken = false;
  #playing: AlarmPriority | null = null;
  #timer: Timer | null = null;
  readonly #readers = new Set<() => void>();
  /** Patterns begun, by priority: what a test counts, and what shows that a console did sound. */
  readonly begun: Record<AlarmPriority, number> = { life: 0, urgent: 0, care: 0, technical: 0 };

  constructor(open: () => AudioDevice, clock: Clock) {
    this.#open = open;
    this.#clock = clock;
  }

  readonly sound = (): Sound => {
    const device = this.#reach();
    if (device === null) return 'off';
    return device.state === 'running' ? 'ready' : 'muted';
  };

  readonly subscribe = (reader: () => void): (() => void) => {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  };

  /** To be called from a key press or a click: browsers allow sound only then. */
  async wake(): Promise<void> {
    try {
      await this.#reach()?.resume();
    } catch {
      this.#broken = true;
    }
    this.#tell();
  }

  /** Sounds for this priority until told otherwise; the same again changes nothing. */
  play(priority: AlarmPriority | null): void {
    if (priority === this.#playing) return;
    this.#playing = priority;
    this.#timer?.cancel();
    this.#timer = null;
    if (priority === null) return;
    const pattern = PATTERNS[priority];
    const again = (): void => {
      this.#begin(priority, pattern);
      this.#timer = this.#clock.after(pattern.every, again);
    };
    again();
  }

  #begin(priority: AlarmPriority, pattern: SoundPattern): void {
    const device = this.#reach();
    if (device === null || device.state !== 'running') return;
    this.begun[priority] += 1;
    for (const { pitch, at, lasts } of pattern.tones) {
      const from = device.currentTime + at + 0.02;
      const gain = device.createGain();
      gain.gain.setValueAtTime(0, from);
      gain.gain.linearRampToValueAtTime(0.35, from + 0.015);
      gain.gain.setValueAtTime(0.35, from + lasts - 0.03);
      gain.gain.linearRampToValueAtTime(0, from + lasts);
      const tone = device.createOscillator();
      tone.type = 'triangle';
      tone.frequency.value = pitch;
      tone.connect(gain);
      gain.connect(device.destination);
      tone.start(from);
      tone.stop(from + lasts + 0.02);
    }
  }

  #reach(): AudioDevice | null {
    if (this.#device === null && !this.#broken) {
      try {
        this.#device = this.#open();
        this.#device.addEventListener('statechange', () => this.#tell());
      } catch {
        this.#broken = true;
      }
    }
    return this.#broken ? null : this.#device;
  }

  #tell(): void {
    for (const reader of this.#readers) reader();
  }
}
