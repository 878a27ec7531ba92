/** Imports a register file: reads, checks, compares with what is there, and writes all of it or nothing. */
import type { Clock, Instant } from '../base/clock.ts';
import { toIso } from '../base/clock.ts';
import { type Random, secret as makeSecret } from '../base/ids.ts';
import { textOfCsv } from './csv.ts';
import { plainControllerId } from './register-columns.ts';
import { type DeviceDraft, type KnownWorld, type RegisterDraft, draftRegister } from './register-draft.ts';
import { type RegisterFault, readRegisterRows } from './register-rows.ts';

/** What the register already holds of the things that a file names. */
export interface RegisterFound {
  /** Household id → municipality. */
  readonly households: ReadonlyMap<string, string>;
  readonly devices: readonly {
    readonly serial: string;
    readonly household: string | null;
    readonly protocol: string;
    readonly controllerId: string | null;
    /** A secret, or a certificate. */
    readonly hasCredentials: boolean;
  }[];
}

export interface DeviceWrite extends Omit<DeviceDraft, 'secret' | 'line'> {
  /** Null: the one that the device has is kept. */
  readonly secret: string | null;
}

/** What the import needs of the store. */
export interface RegisterStore {
  /** @param controllerIds without leading zeros @throws CentreError store-away */
  find(households: readonly string[], serials: readonly string[], controllerIds: readonly string[]): Promise<RegisterFound>;
  /**
   * Writes everything in one transaction: households, devices and triggers by their ids; residents and contacts of a
   * household are replaced where the draft has any.
   * @throws CentreError store-away, or register-invalid when somebody else changed the register meanwhile
   */
  write(households: RegisterDraft['households'], devices: readonly DeviceWrite[], at: Instant): Promise<void>;
}

export interface MadeSecret {
  readonly serial: string;
  readonly secret: string;
}

export type ImportResult =
  | { readonly faults: readonly RegisterFault[] }
  | {
      readonly households: number;
      readonly residents: number;
      readonly contacts: number;
      readonly devices: number;
      readonly secrets: readonly MadeSecret[];
    };

export interface ImportParts {
  readonly store: RegisterStore;
  readonly known: Omit<KnownWorld, 'today'>;
  readonly clock: Clock;
  readonly random: Random;
  /** Keeps the secrets that were made, before the register knows them: lost ones would have to be made anew. */
  readonly keepSecrets: (secrets: readonly MadeSecret[]) => Promise<void>;
}

/** @param bytes the file @param dryRun checks everything, and writes nothing */
export async function importRegister(bytes: Uint8Array, dryRun: boolean, parts: ImportParts): Promise<ImportResult> {
  const { store, known, clock, random, keepSecrets } = parts;
  const { rows, faults: rowFaults } = readRegisterRows(textOfCsv(bytes));
  const draft = draftRegister(rows, { ...known, today: toIso(clock.now()).slice(0, 10) });
  const found = await store.find(
    draft.households.map(({ household }) => household.id),
    draft.devices.map(({ serial }) => serial),
    draft.devices.flatMap(({ controllerId }) => (controllerId === null ? [] : [plainControllerId(controllerId)])),
  );
  const faults = [...rowFaults, ...draft.faults, ...conflicts(draft, found)].toSorted((a, b) => a.line - b.line);
  if (faults.length === 0 && draft.households.length === 0) faults.push({ line: 1, message: 'The file has no lines below its first.' });
  if (faults.length > 0) return { faults };
  const proven = new Set(found.devices.filter(({ hasCredentials }) => hasCredentials).map(({ serial }) => serial));
  const secrets: MadeSecret[] = [];
  const devices = draft.devices.map(({ line: _line, ...device }): DeviceWrite => {
    if (device.protocol !== 'mqtt' || device.secret !== null || proven.has(device.serial)) return device;
    const made = { serial: device.serial, secret: makeSecret(random) };
    secrets.push(made);
    return { ...device, secret: made.secret };
  });
  const counts = {
    households: draft.households.length,
    residents: draft.households.reduce((sum, { residents }) => sum + residents.length, 0),
    contacts: draft.households.reduce((sum, { contacts }) => sum + contacts.length, 0),
    devices: devices.length,
  };
  if (!dryRun) {
    if (secrets.length > 0) await keepSecrets(secrets);
    await store.write(draft.households, devices, clock.now());
  }
  return { ...counts, secrets };
}

/** What the file says against what is there: nothing changes its household or municipality by an import. */
function conflicts(draft: RegisterDraft, found: RegisterFound): RegisterFault[] {
  const faults: RegisterFault[] = [];
  for (const { line, household } of draft.households) {
    const municipality = found.households.get(household.id);
    if (municipality !== undefined && household.municipality !== '' && municipality !== household.municipality) {
      faults.push({ line, message: `Household ${household.id} is already in the register, in municipality ${municipality}.` });
    }
  }
  const bySerial = new Map(found.devices.map((device) => [device.serial, device]));
  const byController = new Map(
    found.devices.flatMap((device) => (device.controllerId === null ? [] : [[plainControllerId(device.controllerId), device]])),
  );
  for (const { line, serial, household, protocol, controllerId } of draft.devices) {
    const before = bySerial.get(serial);
    if (before !== undefined && before.household !== null && before.household !== household) {
      faults.push({ line, message: `Device ${serial} is already in the register, in household ${before.household}.` });
    }
    if (before !== undefined && before.protocol !== protocol) {
      faults.push({ line, message: `Device ${serial} is already in the register, with protocol ${before.protocol}.` });
    }
    if (before?.protocol === 'scaip' && before.hasCredentials && before.controllerId !== controllerId) {
      const advice = `take it away first (device remove-secret ${serial}), and make a new one afterwards`;
      faults.push({
        line,
        message: `Device ${serial} has a secret that counts only with controller id ${before.controllerId ?? ''}: ${advice}.`,
      });
    }
    const other = controllerId === null ? undefined : byController.get(plainControllerId(controllerId));
    if (other !== undefined && other.serial !== serial) {
      faults.push({ line, message: `Controller id ${controllerId ?? ''} is already in the register, of device ${other.serial}.` });
    }
  }
  return faults;
}
