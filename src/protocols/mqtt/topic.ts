/** Topics of the platform contract: `nj/v1/{municipality}/{device}/{kind}`. */
import { DOWN_KINDS, type DownKind, UP_KINDS, type UpKind } from './message.ts';

/** 1–64 of A–Z a–z 0–9 . _ - */
const SERIAL = /^[A-Za-z0-9._-]{1,64}$/;
export const isSerial = (text: string): boolean => SERIAL.test(text);

export interface DeviceAddress {
  readonly serial: string;
  readonly municipality: string;
}

const prefixOf = ({ municipality, serial }: DeviceAddress): string => `nj/v1/${municipality}/${serial}/`;

export const topicFor = (device: DeviceAddress, kind: UpKind | DownKind): string => `${prefixOf(device)}${kind}`;

/** Where a device published: under its own municipality and serial or not, and as what. */
export function placeOf(topic: string, device: DeviceAddress): { readonly kind: UpKind | null; readonly foreign: boolean } {
  const prefix = prefixOf(device);
  if (!topic.startsWith(prefix)) return { kind: null, foreign: true };
  const last = topic.slice(prefix.length);
  return { kind: UP_KINDS.find((kind) => kind === last) ?? null, foreign: false };
}

/** Whether a device may subscribe to it: its own `receipt` and `command`, spelt out; a wildcard may not. */
export const mayRead = (topic: string, device: DeviceAddress): boolean => DOWN_KINDS.some((kind) => topicFor(device, kind) === topic);
