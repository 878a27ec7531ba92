/** Puts the rows of a register file together: households with their residents, contacts and devices, and what does not fit. Pure. */
import type { Access, AccessField, Contact, Household, Resident } from './household.ts';
import { COLUMNS, COLUMN_NAMES, type ColumnName, type TriggerDraft, parseTriggers, plainControllerId } from './register-columns.ts';
import type { RegisterFault, RegisterRow } from './register-rows.ts';

export interface DeviceDraft {
  readonly line: number;
  readonly serial: string;
  readonly municipality: string;
  readonly household: string;
  readonly protocol: 'mqtt' | 'scaip';
  readonly controllerId: string | null;
  readonly model: string;
  /** As the file gives it; null: keep what the device has, or make one. */
  readonly secret: string | null;
  readonly triggers: readonly TriggerDraft[];
}

export interface HouseholdDraft {
  readonly line: number;
  readonly household: Household;
  /** Empty: those in the register stay as they are. */
  readonly residents: readonly Resident[];
  /** Empty: those in the register stay as they are. */
  readonly contacts: readonly Contact[];
}

export interface RegisterDraft {
  readonly households: readonly HouseholdDraft[];
  readonly devices: readonly DeviceDraft[];
}

/** What a file is checked against besides itself. */
export interface KnownWorld {
  readonly municipalities: readonly string[];
  /** Names of device models (`vendor/model`); null: not checked. */
  readonly models: readonly string[] | null;
  /** Zones of the teams; null: not checked. */
  readonly zones: readonly string[] | null;
  /** YYYY-MM-DD: nobody is born later. */
  readonly today: string;
}

const ACCESS_COLUMNS: Readonly<Record<AccessField, ColumnName>> = {
  entrance: 'entrance',
  floor: 'floor',
  doorCode: 'door_code',
  keyBox: 'key_box',
  keyBoxCode: 'key_box_code',
  lock: 'lock',
  key: 'key',
};

/** Columns on which all rows of a household agree; the others are each row's own. */
const SHARED = COLUMN_NAMES.filter((name) => COLUMNS[name].of === 'household' || COLUMNS[name].of === 'contact');

type Values = RegisterRow['values'];

/** @returns everything that could be put together, and all faults; what has a fault must not be written */
export function draftRegister(
  rows: readonly RegisterRow[],
  known: KnownWorld,
): RegisterDraft & { readonly faults: readonly RegisterFault[] } {
  const faults: RegisterFault[] = [];
  const groups = new Map<string, RegisterRow[]>();
  for (const row of rows) {
    const id = row.values.household;
    if (id === undefined) faults.push({ line: row.line, message: '"household" is empty: each line must say which household it is about.' });
    else groups.set(id, [...(groups.get(id) ?? []), row]);
  }
  const households: HouseholdDraft[] = [];
  const devices: DeviceDraft[] = [];
  for (const [id, group] of groups) {
    const { values, line } = merged(id, group, faults);
    faults.push(...householdFaults(values, group, known).map((message) => ({ line, message })));
    households.push({
      line,
      household: householdOf(id, values, group),
      residents: residentsOf(id, group, known, faults),
      contacts: contactsOf(values, line, faults),
    });
    for (const row of group) devices.push(...deviceOf(id, values.municipality ?? '', row, known, faults));
  }
  faults.push(...twice(devices, ({ serial }) => serial, 'device'));
  faults.push(...twice(devices, ({ controllerId }) => (controllerId === null ? null : plainControllerId(controllerId)), 'controller_id'));
  return { households, devices, faults: faults.toSorted((a, b) => a.line - b.line) };
}

/** The household's own values from all of its rows; a later row may leave them out but not contradict. */
function merged(id: string, group: readonly RegisterRow[], faults: RegisterFault[]): { values: Values; line: number } {
  const values: Partial<Record<ColumnName, string>> = {};
  const from = new Map<ColumnName, number>();
  for (const row of group) {
    for (const name of SHARED) {
      const given = row.values[name];
      if (given === undefined) continue;
      if (values[name] !== undefined && values[name] !== given) {
        const message = `"${name}" of household ${id} is not the same as on line ${from.get(name) ?? row.line}.`;
        faults.push({ line: row.line, message });
        continue;
      }
      values[name] = given;
      if (!from.has(name)) from.set(name, row.line);
    }
  }
  return { values, line: group[0]?.line ?? 0 };
}

function householdFaults(values: Values, group: readonly RegisterRow[], known: KnownWorld): string[] {
  const faults: string[] = [];
  const { municipality, zone } = values;
  if (municipality === undefined) faults.push('"municipality" is empty.');
  else if (!known.municipalities.includes(municipality)) {
    faults.push(`"municipality" is ${municipality}, which this centre does not serve (config/municipalities.json).`);
  }
  if (values.address === undefined) faults.push('"address" is empty: nobody would find the way.');
  if (values.name === undefined && !group.some((row) => row.values.resident !== undefined)) {
    faults.push('"name" and "resident" are both empty: an operator must be able to say whom the alarm is about.');
  }
  if ((values.lat === undefined) !== (values.lon === undefined)) faults.push('"lat" and "lon" belong together: one of them is empty.');
  if (zone !== undefined && known.zones !== null && !known.zones.includes(zone)) faults.push(`"zone" is "${zone}", which no team has.`);
  return faults;
}

function householdOf(id: string, values: Values, group: readonly RegisterRow[]): Household {
  const access = Object.entries(ACCESS_COLUMNS).flatMap(([field, column]) => {
    const given = values[column];
    return given === undefined ? [] : [[field, given] as const];
  });
  return {
    id,
    municipality: values.municipality ?? '',
    name: values.name ?? group.find((row) => row.values.resident !== undefined)?.values.resident ?? '',
    address: values.address ?? '',
    postcode: values.postcode ?? '',
    place: values.place ?? '',
    zone: values.zone ?? '',
    lat: values.lat === undefined ? null : Number(values.lat),
    lon: values.lon === undefined ? null : Number(values.lon),
    access: Object.fromEntries(access) as Access,
    notes: values.household_notes ?? '',
  };
}

function residentsOf(household: string, group: readonly RegisterRow[], known: KnownWorld, faults: RegisterFault[]): Resident[] {
  const residents = new Map<string, Resident>();
  for (const { line, values } of group) {
    const name = values.resident;
    const fault = (message: string) => faults.push({ line, message });
    if (name === undefined) {
      const orphan = COLUMN_NAMES.find((column) => COLUMNS[column].of === 'resident' && values[column] !== undefined);
      if (orphan !== undefined) fault(`"${orphan}" is given, but "resident" is empty.`);
      continue;
    }
    const { born } = values;
    if (born !== undefined && (born > known.today || born < '1890-01-01')) fault(`"born" is ${born}, which cannot be.`);
    if (residents.has(name)) fault(`The resident is already on another line of household ${household}.`);
    residents.set(name, {
      // Position in the household and not the name: a corrected spelling stays the same person.
      id: `${household}/${residents.size + 1}`,
      name,
      born: born ?? null,
      phone: values.phone ?? '',
      language: values.language ?? '',
      hearing: values.hearing ?? '',
      health: values.health ?? '',
      away: values.away ?? '',
      notes: values.notes ?? '',
    });
  }
  return [...residents.values()];
}

const CONTACTS = [
  { rank: 1, name: 'contact1', relation: 'contact1_relation', phone: 'contact1_phone', key: 'contact1_key' },
  { rank: 2, name: 'contact2', relation: 'contact2_relation', phone: 'contact2_phone', key: 'contact2_key' },
  { rank: 3, name: 'contact3', relation: 'contact3_relation', phone: 'contact3_phone', key: 'contact3_key' },
] as const;

function contactsOf(values: Values, line: number, faults: RegisterFault[]): Contact[] {
  return CONTACTS.flatMap((columns) => {
    const name = values[columns.name];
    const phone = values[columns.phone];
    const relation = values[columns.relation];
    const key = values[columns.key];
    if (name === undefined && phone === undefined && relation === undefined && key === undefined) return [];
    if (name === undefined) faults.push({ line, message: `"${columns.name}" is empty, but something else of that contact is given.` });
    if (phone === undefined) faults.push({ line, message: `"${columns.phone}" is empty: a contact without a number cannot be called.` });
    return [{ rank: columns.rank, name: name ?? '', relation: relation ?? '', phone: phone ?? '', hasKey: key === 'yes' }];
  });
}

function deviceOf(household: string, municipality: string, row: RegisterRow, known: KnownWorld, faults: RegisterFault[]): DeviceDraft[] {
  const { values, line } = row;
  const { device, protocol, controller_id: controllerId, secret } = values;
  const fault = (message: string) => faults.push({ line, message });
  if (device === undefined && protocol === undefined && controllerId === undefined) {
    if (secret !== undefined || values.triggers !== undefined || values.model !== undefined) {
      fault('"model", "secret" or "triggers" is given, but "device" is empty.');
    }
    return [];
  }
  // A SCAIP unit is known by its controller id and often has no other number.
  const serial = device ?? controllerId ?? '';
  if (serial === '') fault('"device" is empty.');
  if (protocol === undefined) fault('"protocol" is empty: mqtt or scaip.');
  if (protocol === 'scaip' && controllerId === undefined) fault('"controller_id" is empty: a SCAIP unit is known by it.');
  if (protocol === 'mqtt' && controllerId !== undefined) fault('"controller_id" is given, but only SCAIP units have one.');
  if (protocol === 'scaip' && secret !== undefined) fault('"secret" is given, but SCAIP units have none.');
  const model = values.model ?? 'generic/generic';
  if (known.models !== null && !known.models.includes(model)) fault(`"model" is "${model}", which is not under config/models.`);
  const triggers = values.triggers === undefined ? [] : parseTriggers(values.triggers);
  const drafted = { line, serial, municipality, household, protocol: protocol === 'scaip' ? 'scaip' : 'mqtt' } as const;
  return [{ ...drafted, controllerId: controllerId ?? null, model, secret: secret ?? null, triggers }];
}

function twice(devices: readonly DeviceDraft[], keyOf: (device: DeviceDraft) => string | null, column: ColumnName): RegisterFault[] {
  const seen = new Map<string, number>();
  const faults: RegisterFault[] = [];
  for (const device of devices) {
    const key = keyOf(device);
    if (key === null || key === '') continue;
    const before = seen.get(key);
    if (before === undefined) seen.set(key, device.line);
    else faults.push({ line: device.line, message: `"${column}" ${key} is already on line ${before}.` });
  }
  return faults;
}
