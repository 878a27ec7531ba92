/** Gives devices their secrets: generated, shown once to the one who configures the device, kept only as hashes. */
import { createHash } from 'node:crypto';
import { type Random, secret } from '../base/ids.ts';
import { secretDigest } from './authentication.ts';
import type { DeviceRecord } from './register.ts';

/** HA1 of SIP digest by algorithm, lower-case hexadecimal (RFC 2617 § 3.2.2.2, RFC 7616 § 3.4.2). */
export interface SipHa1 {
  readonly md5: string;
  readonly sha256: string;
}

/** What is kept of a secret, by the protocol of the device. */
export type KeptSecret = { readonly protocol: 'mqtt'; readonly sha256: Uint8Array } | { readonly protocol: 'scaip'; readonly ha1: SipHa1 };

/** What is entered into the device; shown once. */
export type DeviceLogin =
  | { readonly protocol: 'mqtt'; readonly userName: string; readonly secret: string }
  | { readonly protocol: 'scaip'; readonly sipUser: string; readonly realm: string; readonly secret: string };

/**
 * Void as soon as the realm or the unit's controller id changes: both are hashed with the secret.
 * @param controllerId as the register writes it, leading zeros and all: the unit must send it so
 */
export function sipHa1(controllerId: string, realm: string, given: string): SipHa1 {
  const bytes = `${controllerId}:${realm}:${given}`;
  const hashed = (algorithm: string): string => createHash(algorithm).update(bytes).digest('hex');
  return { md5: hashed('md5'), sha256: hashed('sha256') };
}

/** Without 0, 1, l and o, which are mistaken for each other on a small display. */
const READABLE = '23456789abcdefghijkmnpqrstuvwxyz';
const READABLE_LENGTH = 26;

/** 26 characters of 32 kinds: 130 bits, for units into which it is typed by hand. */
function readableSecret(random: Random): string {
  return Array.from(random(READABLE_LENGTH), (byte) => READABLE[byte % READABLE.length] ?? '').join('');
}

/** Who gets one. */
export type Provisioned = Pick<DeviceRecord, 'serial' | 'protocol' | 'controllerId'>;

/** A new secret for a device, and what is to be kept of it. */
function makeLogin(device: Provisioned, realm: string, random: Random): { readonly login: DeviceLogin; readonly kept: KeptSecret } {
  const { serial, protocol, controllerId } = device;
  if (protocol === 'mqtt') {
    const made = secret(random);
    return { login: { protocol, userName: serial, secret: made }, kept: { protocol, sha256: secretDigest(made) } };
  }
  const made = readableSecret(random);
  const sipUser = controllerId ?? serial;
  return { login: { protocol, sipUser, realm, secret: made }, kept: { protocol, ha1: sipHa1(sipUser, realm, made) } };
}

/** What provisioning needs of the store. */
export interface SecretStore {
  /**
   * In place of the one that it had; null: none any more. False: the device is not there (any more), or its protocol or
   * controller id is another one by now. @throws CentreError store-away
   */
  setSecret(device: Provisioned, kept: KeptSecret | null): Promise<boolean>;
}

/**
 * Gives a device a new secret; the old one is void at once in this process (`changed` is `forget` of its register),
 * within 2 s in others. @returns null: there is no such device (any more) @throws CentreError store-away
 */
export async function renewSecret(
  device: Provisioned,
  parts: { readonly store: SecretStore; readonly realm: string; readonly random: Random; readonly changed: (serial: string) => void },
): Promise<DeviceLogin | null> {
  const { login, kept } = makeLogin(device, parts.realm, parts.random);
  const set = await parts.store.setSecret(device, kept);
  parts.changed(device.serial);
  return set ? login : null;
}
