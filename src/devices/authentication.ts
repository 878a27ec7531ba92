/** Tells whether a device that connects is the one that it says: its secret's SHA-256 against the register's. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { DeviceRegister } from './register.ts';

export type DeviceIdentity =
  | { readonly serial: string; readonly municipality: string }
  | { readonly refused: 'unknown-device' | 'wrong-password' };

/** What of a secret is kept. A fast hash is enough: a generated secret of 128 bits and more cannot be guessed. */
export const secretDigest = (secret: string | Uint8Array): Uint8Array => createHash('sha256').update(secret).digest();

/** Compared with where there is nothing to compare with: who is unknown takes as long as who is wrong. */
const NO_SECRET = new Uint8Array(32);
/** A device that was taken out of the register's use, but not out of the register. */
export const RETIRED = 'retired';

/** For `authenticate` of the MQTT broker. @throws CentreError store-away */
export function createAuthentication(register: Pick<DeviceRegister, 'find'>) {
  return async (serial: string, password: Uint8Array): Promise<DeviceIdentity> => {
    const device = await register.find({ protocol: 'mqtt', serial });
    const known = device === null || device.state === RETIRED ? null : device;
    const right = timingSafeEqual(secretDigest(password), known?.secretSha256?.length === 32 ? known.secretSha256 : NO_SECRET);
    if (known === null) return { refused: 'unknown-device' };
    if (!right || known.secretSha256 === null) return { refused: 'wrong-password' };
    return { serial: known.serial, municipality: known.municipality };
  };
}
