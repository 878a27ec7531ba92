/** Loads all device models of a folder, strictly: every fault of every file in one run. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { CANARY_ID } from '../alarms/canary.ts';
import { CentreError, reason, systemCode } from '../base/errors.ts';
import { CANARY_MODEL } from './canary-model.ts';
import { CONTRACT_TYPES, type DeviceModel, MODEL_FILE, type ModelFile, modelOf } from './model.ts';

/** What a device without a model of its own is read by, and what every other model is laid over. */
export const GENERIC_MODEL = 'generic/generic';

export interface Models {
  /** The model `vendor/model`; an unknown name gets the generic one: its alarms must not wait for a file. */
  get(id: string): DeviceModel;
  readonly names: readonly string[];
}

export type ModelReading = { readonly value: Models } | { readonly faults: readonly string[] };

const VENDOR = /^[a-z0-9-]+$/;
const FILE = /^([a-z0-9.-]+)\.json$/;

/** @param dir the folder `models` of the configuration. @throws CentreError config-invalid, one sentence a fault */
export function loadModels(dir: string): Models {
  const read = readModels(dir);
  if ('faults' in read) throw new CentreError('config-invalid', read.faults.join('\n'));
  return read.value;
}

/** All models, or all that is wrong with them; never throws for what a person wrote wrong. */
export function readModels(dir: string): ModelReading {
  const faults: string[] = [];
  const files = new Map<string, ModelFile>();
  for (const { id, path } of modelFiles(dir, faults)) {
    const file = readModelFile(path, faults);
    if (file !== null) files.set(id, file);
  }
  const generic = files.get(GENERIC_MODEL);
  if (generic === undefined) {
    if (faults.length === 0) faults.push(`${join(dir, `${GENERIC_MODEL}.json`)} is missing.`);
    return { faults };
  }
  const path = join(dir, `${GENERIC_MODEL}.json`);
  for (const type of CONTRACT_TYPES) if (generic.mqtt?.types[type] === undefined) faults.push(`${path}: mqtt.types.${type} is missing.`);
  for (const part of ['supervision', 'scaip'] as const) if (generic[part] === undefined) faults.push(`${path}: ${part} is missing.`);
  if (faults.length > 0) return { faults };
  const base = modelOf(GENERIC_MODEL, generic, null);
  const models = new Map([...files].map(([id, file]) => [id, id === GENERIC_MODEL ? base : modelOf(id, file, base)]));
  // Not among the names: a register cannot ask for it.
  const get = (id: string): DeviceModel => (id === CANARY_ID ? CANARY_MODEL : (models.get(id) ?? base));
  return { value: Object.freeze({ get, names: Object.freeze([...models.keys()].toSorted()) }) };
}

function modelFiles(dir: string, faults: string[]): { id: string; path: string }[] {
  const found: { id: string; path: string }[] = [];
  for (const vendor of entries(dir, faults)) {
    if (!vendor.isDirectory() || !VENDOR.test(vendor.name)) {
      faults.push(`${join(dir, vendor.name)} is no folder of a vendor (a to z, 0 to 9, -).`);
      continue;
    }
    for (const model of entries(join(dir, vendor.name), faults)) {
      const [, name] = FILE.exec(model.name) ?? [];
      const path = join(dir, vendor.name, model.name);
      if (name === undefined || !model.isFile()) faults.push(`${path} is no model file (a to z, 0 to 9, . and -, ending in .json).`);
      else found.push({ id: `${vendor.name}/${name}`, path });
    }
  }
  return found;
}

function entries(dir: string, faults: string[]) {
  try {
    const all = readdirSync(dir, { withFileTypes: true });
    return all.filter(({ name }) => !name.startsWith('.')).toSorted((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    faults.push(
      systemCode(error) === 'ENOENT' ? `${dir} is missing.` : `${dir} cannot be read (${systemCode(error) ?? 'unknown reason'}).`,
    );
    return [];
  }
}

function readModelFile(path: string, faults: string[]): ModelFile | null {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8').replace(/^\uFEFF/, ''));
  } catch (error) {
    faults.push(
      systemCode(error) === null ? `${path} is not JSON: ${reason(error)}.` : `${path} cannot be read (${systemCode(error) ?? ''}).`,
    );
    return null;
  }
  const read = MODEL_FILE.safeParse(json);
  if (read.success) return read.data;
  for (const issue of read.error.issues) {
    const where = issue.path
      .map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${String(step)}`))
      .join('');
    faults.push(`${path}${where === '' ? '' : `: ${where}`}: ${issue.message}.`);
  }
  return null;
}
