/** What the command line needs to know and change of a device. */
import type { Clock, Instant } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { HeldCredentials } from './credentials.ts';
import type { Models } from './models.ts';
import type { Provisioned, SecretStore } from './provisioning.ts';

/** A device as the command line shows it: nobody's name is in it. */
export interface BookedDevice extends Provisioned, HeldCredentials {
  readonly municipality: string;
  /** Id; null: it stands nowhere. */
  readonly household: string | null;
  readonly model: string;
  readonly state: string;
  readonly certificateSha256: Uint8Array | null;
  readonly testUntil: Instant | null;
  readonly lastSeenAt: Instant | null;
  readonly replyUnacknowledgedAt: Instant | null;
}

/** What the commands need of the store. Each call may throw CentreError store-away. */
export interface DeviceBook extends SecretStore {
  /** In the order of their serials, those after `after`. */
  list(query: { readonly search: string | null; readonly municipality: string | null; readonly after: string }): Promise<BookedDevice[]>;
  /** By serial, else by controller id, whose leading zeros make no difference. */
  find(name: string): Promise<BookedDevice | null>;
  refusals(device: BookedDevice): Promise<readonly { readonly code: string; readonly count: number; readonly lastAt: Instant }[]>;
  /** The serial of the device that has this certificate. */
  ownerOf(certificateSha256: Uint8Array): Promise<string | null>;
  setCertificate(serial: string, sha256: Uint8Array | null): Promise<void>;
  setTestWindow(serial: string, until: Instant | null): Promise<void>;
  setState(serial: string, state: string): Promise<void>;
  /** Into the household and its municipality, which it returns; null: there is no such household. */
  move(serial: string, household: string): Promise<string | null>;
}

export interface DeviceAdminParts {
  readonly book: DeviceBook;
  readonly models: Pick<Models, 'get'>;
  /** Numbers of those that the centre serves. */
  readonly municipalities: readonly string[];
  /** SIP_REALM. */
  readonly realm: string;
  readonly terminal: { say(line: string): void; readFile(path: string): Promise<Uint8Array> };
  readonly clock: Clock;
  readonly random: Random;
}
