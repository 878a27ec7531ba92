/** Reads one configuration file strictly; every fault becomes a sentence that names the file and the place in it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { z } from 'zod';
import { CentreError, systemCode } from '../base/errors.ts';

/** A file that could be read, or all that is wrong with it. */
export type ConfigReading<T> = { readonly value: T } | { readonly faults: readonly string[] };

/** `wards[2].name`, as a person finds it in the file. */
function placeOf(path: readonly PropertyKey[]): string {
  return path.map((step, index) => (typeof step === 'number' ? `[${step}]` : `${index === 0 ? '' : '.'}${String(step)}`)).join('');
}

/** Reads `name` under `dir` as JSON of the shape `schema`; never throws for what a person wrote wrong. */
export function readConfigFile<T>(dir: string, name: string, schema: z.ZodType<T>): ConfigReading<T> {
  const path = join(dir, name);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const missing = systemCode(error) === 'ENOENT';
    return { faults: [missing ? `${path} is missing.` : `${path} cannot be read (${systemCode(error) ?? 'unknown reason'}).`] };
  }
  let json: unknown;
  try {
    json = JSON.parse(text.replace(/^\uFEFF/, ''));
  } catch (error) {
    return { faults: [`${path} is not JSON: ${error instanceof Error ? error.message : 'unreadable'}.`] };
  }
  const read = schema.safeParse(json);
  if (read.success) return { value: read.data };
  return {
    faults: read.error.issues.map(({ path: place, message }) => {
      const where = placeOf(place);
      return `${path}${where === '' ? '' : `: ${where}`}: ${message}.`;
    }),
  };
}

/** The value, or one error with all the faults. @throws CentreError config-invalid */
export function valueOf<T>(reading: ConfigReading<T>): T {
  if ('value' in reading) return reading.value;
  throw new CentreError('config-invalid', reading.faults.join('\n'));
}
