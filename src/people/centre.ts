/** The centre itself and the municipalities that it serves, as config/centre.json and config/municipalities.json tell. */
import { z } from 'zod';
import { type ConfigReading, readConfigFile, valueOf } from './config-file.ts';
import { phoneOf } from './phone.ts';

export interface Centre {
  readonly name: string;
  /** What a responder's phone calls; E.164 or a short number. */
  readonly phone: string;
}

/** A municipality of Norway by its four-digit number (Statistics Norway, standard 131). */
export interface Municipality {
  readonly number: string;
  readonly name: string;
}

const text = (limit: number) => z.string().trim().min(1, 'must not be empty').max(limit, `must have at most ${limit} characters`);

const CENTRE = z.strictObject({
  name: text(80),
  phone: z.string().transform((value, context) => {
    const phone = phoneOf(value);
    if (phone !== null) return phone;
    context.addIssue({ code: 'custom', message: `"${value}" is not a telephone number` });
    return z.NEVER;
  }),
});

const MUNICIPALITIES = z
  .array(z.strictObject({ number: z.string().regex(/^\d{4}$/, 'must be a municipality number of four digits'), name: text(60) }))
  .min(1, 'must name at least one municipality')
  .superRefine((all, context) => {
    const seen = new Set<string>();
    for (const [index, { number }] of all.entries()) {
      if (seen.has(number)) context.addIssue({ code: 'custom', path: [index, 'number'], message: `${number} is listed twice` });
      seen.add(number);
    }
  });

export const readCentre = (dir: string): ConfigReading<Centre> => readConfigFile(dir, 'centre.json', CENTRE);
export const readMunicipalities = (dir: string): ConfigReading<Municipality[]> =>
  readConfigFile(dir, 'municipalities.json', MUNICIPALITIES);

/** @throws CentreError config-invalid, one sentence a fault */
export const loadCentre = (dir: string): Centre => valueOf(readCentre(dir));
/** @throws CentreError config-invalid, one sentence a fault */
export const loadMunicipalities = (dir: string): readonly Municipality[] => valueOf(readMunicipalities(dir));
