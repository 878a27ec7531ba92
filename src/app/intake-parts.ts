/** What the ways into the centre share: the register, the models, the door of intake, and who a sender is. */
import { shortName } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';
import type { Models } from '../devices/models.ts';
import type { Refusals } from '../devices/refusals.ts';
import type { DeviceRecord, DeviceRegister } from '../devices/register.ts';
import type { Accept, KnownSender } from '../intake/accept.ts';
import type { Spill } from '../intake/spill.ts';
import type { VoicePolicy } from '../people/centre.ts';
import type { Postgres } from '../store/postgres.ts';
import type { TlsIdentity } from './tls.ts';

/** Given to each protocol's part of the composition root. */
export interface IntakeContext {
  readonly settings: Settings;
  /** Null: no TLS listeners. */
  readonly tls: TlsIdentity | null;
  readonly models: Models;
  readonly register: DeviceRegister;
  readonly refusals: Refusals;
  readonly accept: Accept;
  /** The one door by which signals are kept; here for what the centre itself says (a gap, a held message). */
  readonly spill: Spill;
  readonly postgres: Postgres;
  /** What a SCAIP unit is told to do for voice. */
  readonly voice: VoicePolicy;
  /** Where nobody knows whose a device is, the centre's own municipality looks after it. */
  readonly ownMunicipality: string;
  /** Numbers of all that the centre serves. */
  readonly municipalities: readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** A device of the register as a sender of signals. */
export const senderOf = ({ protocol, serial, controllerId, municipality, household, testUntil }: DeviceRecord): KnownSender => ({
  source: protocol === 'mqtt' ? `mqtt:${serial}` : `scaip:${controllerId ?? serial}`,
  device: serial,
  serial,
  municipality,
  household,
  testUntil,
});

/** A sender that the register does not know. */
export const stranger = (source: string, device: string, municipality: string): KnownSender => ({
  source: shortName(source, 128),
  device: shortName(device),
  municipality,
  serial: null,
  household: null,
  testUntil: null,
});

/** `host:port`, an IPv6 address in brackets. */
export const addressOf = ({ host, port }: { readonly host: string; readonly port: number }): string =>
  `${host.includes(':') ? `[${host}]` : host}:${port}`;
