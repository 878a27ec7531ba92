/** What stands out in the device list: silence, missing credentials and flat batteries. */
import type { DeviceRow } from '../contract.ts';

/** Percent under which somebody must come with a new one, and under which it cannot wait. */
const LOW = 20;
const FLAT = 10;

export type DeviceTone = 'plain' | 'warning' | 'danger';

export const batteryTone = (percent: number): DeviceTone => (percent < FLAT ? 'danger' : percent < LOW ? 'warning' : 'plain');

const SILENCE_TONES: Readonly<Record<DeviceRow['silence'], DeviceTone>> = { none: 'plain', late: 'warning', lost: 'danger' };

/** The centre judges who is silent, by the model; a device that said goodbye, or was never heard, is worth a look too. */
export function silentTone({ silence, lastSeenAt, online }: Pick<DeviceRow, 'silence' | 'lastSeenAt' | 'online'>): DeviceTone {
  if (silence !== 'none') return SILENCE_TONES[silence];
  return online === false || lastSeenAt === null ? 'warning' : 'plain';
}

/** Triggers that were never heard are usual: nobody pressed them yet. */
export const triggerTone = ({ silence }: { readonly silence: DeviceRow['silence'] }): DeviceTone => SILENCE_TONES[silence];

export interface DeviceFilter {
  readonly search: string;
  readonly refused: boolean;
  readonly silent: boolean;
}

/** The address of one page of the list. */
export function devicesPath({ search, refused, silent }: DeviceFilter, cursor: string | null): string {
  const query = new URLSearchParams();
  if (search !== '') query.set('search', search);
  if (refused) query.set('refused', 'true');
  if (silent) query.set('silent', 'true');
  if (cursor !== null) query.set('cursor', cursor);
  const text = query.toString();
  return text === '' ? '/api/v1/devices' : `/api/v1/devices?${text}`;
}
