/** Tells whether a device that connects is the one that it says: by its client certificate, or its secret's SHA-256 in the register. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { DeviceRecord, DeviceRegister } from './register.ts';

/** What the TLS handshake proved: the other end holds the key of this certificate. */
export interface ClientCertificate {
  /** SHA-256 of the certificate (DER): 32 bytes. */
  readonly sha256: Uint8Array;
  /**
   * CN of its subject, only where the certificate was verified: issued by the CA of the settings, and in its time. What any
   * other certificate says of itself proves nothing.
   */
  readonly commonName: string | null;
}

export interface Presented {
  /** The user name; empty: its certificate has to tell. */
  readonly serial: string;
  readonly password: Uint8Array;
  readonly certificate: ClientCertificate | null;
}

export type DeviceIdentity =
  | { readonly serial: string; readonly municipality: string }
  | { readonly refused: 'unknown-device' | 'wrong-password' | 'wrong-certificate' };

/** What of a secret is kept. A fast hash is enough: a generated secret of 128 bits and more cannot be guessed. */
export const secretDigest = (secret: string | Uint8Array): Uint8Array => createHash('sha256').update(secret).digest();

/** Compared with where there is nothing to compare with: who is unknown takes as long as who is wrong. */
const NO_SECRET = new Uint8Array(32);
/** A device that was taken out of the register's use, but not out of the register. */
export const RETIRED = 'retired';

/**
 * Identifies an MQTT device:
 *
 * | the register has | it comes with | it is |
 * |---|---|---|
 * | a fingerprint | that certificate | let in, whatever its password |
 * | a fingerprint | another certificate, or none | refused: `wrong-certificate` |
 * | none | a verified certificate whose CN is its serial | let in, whatever its password |
 * | none | anything else | let in by its password |
 *
 * Without a user name it is the device that its certificate names, or that the register knows by its fingerprint.
 * @throws CentreError store-away
 */
export function createIdentification(register: Pick<DeviceRegister, 'find'>) {
  return async ({ serial, password, certificate }: Presented): Promise<DeviceIdentity> => {
    const device = serial === '' ? await namedBy(certificate) : await register.find({ protocol: 'mqtt', serial });
    const known = device === null || device.state === RETIRED ? null : device;
    const right = isSame(secretDigest(password), known?.secretSha256 ?? null);
    if (known === null) return { refused: 'unknown-device' };
    const identity = { serial: known.serial, municipality: known.municipality };
    if (known.certificateSha256 !== null) {
      const pinned = certificate !== null && isSame(certificate.sha256, known.certificateSha256);
      return pinned ? identity : { refused: 'wrong-certificate' };
    }
    return certificate?.commonName === known.serial || right ? identity : { refused: 'wrong-password' };
  };

  async function namedBy(certificate: ClientCertificate | null): Promise<DeviceRecord | null> {
    if (certificate === null) return null;
    const { commonName, sha256: certificateSha256 } = certificate;
    const named = commonName === null ? null : await register.find({ protocol: 'mqtt', serial: commonName });
    return named ?? register.find({ protocol: 'mqtt', certificateSha256 });
  }
}

/** False where there is nothing to compare with, as slowly as where there is. */
function isSame(given: Uint8Array, kept: Uint8Array | null): boolean {
  const comparable = kept?.length === 32 && given.length === 32;
  return timingSafeEqual(comparable ? given : NO_SECRET, comparable ? kept : NO_SECRET) && comparable;
}
