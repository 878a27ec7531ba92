/** Where the centre listens: given on the command line, or read from its ready.json, again and again, for it may start anew elsewhere. */
import { readFileSync } from 'node:fs';
import { CentreError } from '../src/base/errors.ts';
import type { SipPlace } from './scaip/sip-places.ts';

/** What one SCAIP receiver listens on, as `host:port`. */
export interface Receiver {
  readonly udp: string | null;
  readonly tcp: string | null;
}

export interface Addresses {
  /** `host:port`; null when the centre takes no MQTT. */
  readonly mqtt: string | null;
  /** In order of preference: the second is where a unit turns when the first does not answer. */
  readonly scaip: readonly Receiver[];
}

const NOWHERE: Addresses = { mqtt: null, scaip: [] };

/** Splits `host:port` (or `[::1]:port`). @throws CentreError command-line-invalid */
export function hostAndPort(address: string): { readonly host: string; readonly port: number } {
  const read = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s[\]]+)):(\d{1,5})$/.exec(address);
  const port = Number(read?.[3]);
  if (read === null || port < 1 || port > 65_535) {
    throw new CentreError('command-line-invalid', `"${address}" is no address; write it as host:port, such as 127.0.0.1:5060.`);
  }
  return { host: read[1] ?? read[2] ?? '', port };
}

/** The receivers as places for one transport. */
export function placesFor(addresses: Addresses, transport: 'udp' | 'tcp'): readonly SipPlace[] {
  return addresses.scaip.flatMap((receiver) => {
    const address = receiver[transport];
    return address === null ? [] : [{ ...hostAndPort(address), transport }];
  });
}

/** What a running centre wrote about itself; null when there is no (readable) ready.json yet. */
export function readReady(dataDir: string): Addresses | null {
  let ready: unknown;
  try {
    ready = JSON.parse(readFileSync(`${dataDir}/ready.json`, 'utf8'));
  } catch {
    return null;
  }
  if (typeof ready !== 'object' || ready === null) return null;
  const fields = ready as Readonly<Record<string, unknown>>;
  const address = (name: string): string | null => (typeof fields[name] === 'string' ? fields[name] : null);
  return { mqtt: address('mqtt'), scaip: [{ udp: address('sipUdp'), tcp: address('sipTcp') }] };
}

/**
 * Addresses that follow the centre: what is given stays, the rest comes from ready.json at each call,
 * and while that file is missing (the centre is down) the last that was read still holds.
 */
export function following(dataDir: string, given: Partial<Addresses>): () => Addresses {
  let last = NOWHERE;
  return () => {
    if (given.mqtt === undefined || given.scaip === undefined) last = readReady(dataDir) ?? last;
    return { ...last, ...given };
  };
}
