/** The centre itself and the municipalities that it serves, as config/centre.json and config/municipalities.json tell. */
import { z } from 'zod';
import { type ConfigReading, readConfigFile, valueOf } from './config-file.ts';
import { phoneOf } from './phone.ts';

export interface Centre {
  readonly name: string;
  /** What a responder's phone calls; E.164 or a short number. */
  readonly phone: string;
  /** What a SCAIP unit is told to do for voice. */
  readonly voice: VoicePolicy;
}

/** `call`: the SIP URI or the number in E.164 that units call; `programmed`: the receiver that is programmed in each of them. */
export type VoicePolicy =
  | { readonly answer: 'none' }
  | { readonly answer: 'call'; readonly number: string }
  | { readonly answer: 'programmed' };

/** A municipality of Norway by its four-digit number (Statistics Norway, standard 131). */
export interface Municipality {
  readonly number: string;
  readonly name: string;
}

const text = (limit: number) => z.string().trim().min(1, 'must not be empty').max(limit, `must have at most ${limit} characters`);

const SIP_URI = /^sips?:[A-Za-z0-9._~%+-]{1,64}@[A-Za-z0-9.:[\]-]{1,120}(?:;[A-Za-z0-9=._-]{1,40}){0,3}$/;

/** Short numbers are dialled from this country's telephones, not by every unit's network. */
const voiceNumber = z.string('must be the SIP address or number that units call').transform((value, context) => {
  const phone = phoneOf(value);
  if (SIP_URI.test(value)) return value;
  if (phone?.startsWith('+') === true) return phone;
  context.addIssue({
    code: 'custom',
    message: `"${value}" is neither a SIP address such as sip:queue@192.0.2.1 nor a number such as +47 59 00 00 00`,
  });
  return z.NEVER;
});

const VOICE = z.discriminatedUnion(
  'answer',
  [
    z.strictObject({ answer: z.literal('none') }),
    z.strictObject({ answer: z.literal('call'), number: voiceNumber }),
    z.strictObject({ answer: z.literal('programmed') }),
  ],
  'must be none, call or programmed',
);

const CENTRE = z.strictObject({
  name: text(80),
  phone: z.string().transform((value, context) => {
    const phone = phoneOf(value);
    if (phone !== null) return phone;
    context.addIssue({ code: 'custom', message: `"${value}" is not a telephone number` });
    return z.NEVER;
  }),
  voice: VOICE.default({ answer: 'none' }),
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
