/** Gives devices their secrets: generated, shown once to the one who configures the device, kept only as a hash. */
import { type Random, secret } from '../base/ids.ts';
import { secretDigest } from './authentication.ts';
import type { DeviceRegister } from './register.ts';

export interface DeviceSecret {
  /** To be shown once and entered into the device: 32 characters of base64url, 192 bits. */
  readonly secret: string;
  readonly sha256: Uint8Array;
}

export function generateDeviceSecret(random: Random): DeviceSecret {
  const generated = secret(random);
  return { secret: generated, sha256: secretDigest(generated) };
}

/** What provisioning needs of the store. */
export interface SecretStore {
  /** False: there is no such MQTT device. @throws CentreError store-away */
  setSecret(serial: string, sha256: Uint8Array): Promise<boolean>;
}

/**
 * Gives a device a new secret; the old one is void at once in this process, within 2 s in others.
 * @returns the secret, to be shown once; null: there is no such device
 * @throws CentreError store-away
 */
export async function renewSecret(
  serial: string,
  parts: { readonly store: SecretStore; readonly register: Pick<DeviceRegister, 'forget'>; readonly random: Random },
): Promise<string | null> {
  const { secret: shown, sha256 } = generateDeviceSecret(parts.random);
  if (!(await parts.store.setSecret(serial, sha256))) return null;
  parts.register.forget(serial);
  return shown;
}
