/** What stands out in the device list: silence and flat batteries. */
import type { DeviceRow } from '../contract.ts';
import { instantOf } from './ages.ts';

const HOUR_MS = 3_600_000;

/** Percent under which somebody must come with a new one, and under which it cannot wait. */
const LOW = 20;
const FLAT = 10;

export type DeviceTone = 'plain' | 'warning' | 'danger';

export const batteryTone = (percent: number): DeviceTone => (percent < FLAT ? 'danger' : percent < LOW ? 'warning' : 'plain');

/** A device that is known to be away, or was not heard for a day, stands out; for an hour, less so (SCAIP units report daily). */
export function silentTone({ lastSeenAt, online }: Pick<DeviceRow, 'lastSeenAt' | 'online'>, now: number): DeviceTone {
  const at = instantOf(lastSeenAt);
  if (at === null || now - at > 25 * HOUR_MS) return 'danger';
  return online === false ? 'warning' : 'plain';
}

/** The address of one page of the list. */
export function devicesPath(search: string, refused: boolean, cursor: string | null): string {
  const query = new URLSearchParams();
  if (search !== '') query.set('search', search);
  if (refused) query.set('refused', 'true');
  if (cursor !== null) query.set('cursor', cursor);
  const text = query.toString();
  return text === '' ? '/api/v1/devices' : `/api/v1/devices?${text}`;
}
