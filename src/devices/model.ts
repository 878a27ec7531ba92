/** Device models: what each code of a device means, as `config/models/<vendor>/<model>.json` tells. */
import { z } from 'zod';
import { KINDS, type Kind, type NeedPriority } from '../alarms/signal.ts';
import type { Milliseconds } from '../base/clock.ts';

export const MODEL_CLASSES = [
  'generic',
  'stationary-alarm',
  'mobile-alarm',
  'fall-sensor',
  'fall-radar',
  'bed-or-door-sensor',
  'smoke-or-water-sensor',
  'medicine-dispenser',
  'lock',
  'nurse-call',
  'staff-alarm',
] as const;
export type ModelClass = (typeof MODEL_CLASSES)[number];

/** The `type` words of the platform contract. */
export type ContractType = Exclude<Kind, 'device-lost' | 'unknown' | 'unreadable'>;
const NO_CONTRACT_TYPE: readonly Kind[] = ['device-lost', 'unknown', 'unreadable'];
export const CONTRACT_TYPES = KINDS.filter((kind): kind is ContractType => !NO_CONTRACT_TYPE.includes(kind));

/** What one code means. Without a kind: that of the sensor (SCAIP `dty`), or the `type` word itself (MQTT). */
export type CodeMeaning =
  | { readonly role: 'need'; readonly kind?: ContractType | undefined; readonly priority?: NeedPriority | undefined }
  | { readonly role: 'technical'; readonly kind?: ContractType | undefined; readonly about?: string | undefined }
  | { readonly role: 'restore'; readonly kind?: ContractType | undefined; readonly about?: string | undefined }
  | { readonly role: 'cancel' | 'presence' | 'information' | 'test' };

/** What an alarm from such a sensor is about. */
export type SensorMeaning =
  | { readonly role: 'need'; readonly kind: ContractType; readonly priority: NeedPriority }
  | { readonly role: 'technical'; readonly kind: ContractType };

/** A meaning for some combinations of codes only; the first that fits goes before `statuses`. */
export interface CodeException {
  readonly mty?: readonly string[] | undefined;
  readonly dty?: readonly number[] | undefined;
  readonly stc?: readonly number[] | undefined;
  readonly lco?: readonly number[] | undefined;
  readonly means: CodeMeaning;
}

/** How long a device may be silent; used by supervision. */
export interface Supervision {
  readonly signEvery: Milliseconds;
  readonly lateAfter: Milliseconds;
  readonly lostAfter: Milliseconds;
  readonly triggerLateAfter: Milliseconds;
  readonly triggerLostAfter: Milliseconds;
}

export const DIALECTS = ['mrs-message', 'mrs-in-answer'] as const;
export const AUTHENTICATIONS = ['none', 'when-provisioned', 'required'] as const;
export const VOICE_NUMBERS = ['as-configured', 'sip', 'gsm', 'tel'] as const;

/** How a SCAIP unit wants to be spoken to (reference § 1, § 4 and § 6). */
export interface ScaipProfile {
  /** `mrs-message`: the reply is a MESSAGE of its own; `mrs-in-answer`: it is the body of the 200. */
  readonly dialect: (typeof DIALECTS)[number];
  /** Whether its messages must carry digest credentials; `when-provisioned`: as soon as the register holds a secret of it. */
  readonly authentication: (typeof AUTHENTICATIONS)[number];
  /** Which digit turns its loudspeaker up; the other of 1 and 3 turns it down. */
  readonly volumeUp: '1' | '3';
  /** With which scheme the number to call is told (`tnu`). */
  readonly voiceNumber: (typeof VOICE_NUMBERS)[number];
  /** It is expected to REGISTER: without a registration technicians see it. */
  readonly registers: boolean;
}

export interface DeviceModel {
  /** `vendor/model`. */
  readonly id: string;
  readonly name: string;
  readonly class: ModelClass;
  readonly supervision: Supervision;
  readonly scaip: ScaipProfile;
  /** By `type` of the platform contract. */
  readonly types: ReadonlyMap<string, CodeMeaning>;
  /** By SCAIP `dty`. */
  readonly sensors: ReadonlyMap<number, SensorMeaning>;
  /** By SCAIP `stc`. */
  readonly statuses: ReadonlyMap<number, CodeMeaning>;
  readonly exceptions: readonly CodeException[];
}

const kind = z.enum(CONTRACT_TYPES as [ContractType, ...ContractType[]]);
const need = z.enum(['life', 'urgent', 'care'], 'must be life, urgent or care');
const code = z.int().min(0).max(9999);
/** Which fault, where one kind holds several that end apart. */
const about = z
  .string()
  .regex(/^[a-z-]{1,32}$/, 'must be 1 to 32 small letters and hyphens')
  .optional();
const codeKey = z.string().regex(/^(0|[1-9]\d{0,3})$/, 'must be a code of up to four digits, without leading zeros');
const meaning = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('need'), kind: kind.optional(), priority: need.optional() }),
  z.strictObject({ role: z.literal('technical'), kind: kind.optional(), about }),
  z.strictObject({ role: z.literal('restore'), kind: kind.optional(), about }),
  z.strictObject({ role: z.enum(['cancel', 'presence', 'information', 'test']) }),
]);
const typeMeaning = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('need'), kind: kind.optional(), priority: need }),
  z.strictObject({ role: z.literal('technical'), kind: kind.optional() }),
  z.strictObject({ role: z.literal('information') }),
]);
const sensor = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('need'), kind, priority: need }),
  z.strictObject({ role: z.literal('technical'), kind }),
]);

const span = z
  .int()
  .min(10, 'must be at least 10 seconds')
  .max(40 * 86_400, 'must be at most 40 days');
const supervision = z
  .strictObject({
    signEverySeconds: span,
    lateAfterSeconds: span,
    lostAfterSeconds: span,
    triggerLateAfterSeconds: span,
    triggerLostAfterSeconds: span,
  })
  .superRefine((spans, context) => {
    const rising = (first: keyof typeof spans, second: keyof typeof spans): void => {
      if (spans[first] < spans[second]) return;
      context.addIssue({ code: 'custom', path: [second], message: `must be longer than ${first} (${spans[first]})` });
    };
    rising('signEverySeconds', 'lateAfterSeconds');
    rising('lateAfterSeconds', 'lostAfterSeconds');
    rising('triggerLateAfterSeconds', 'triggerLostAfterSeconds');
  });

const exception = z
  .strictObject({
    /** For the reader of the file. */
    why: z.string().min(1).optional(),
    mty: z
      .array(z.enum(['ME', 'RE', 'IN']))
      .min(1)
      .optional(),
    dty: z.array(code).min(1).optional(),
    stc: z.array(code).min(1).optional(),
    lco: z.array(code).min(1).optional(),
    means: meaning,
  })
  .refine(({ mty, dty, stc, lco }) => mty !== undefined || dty !== undefined || stc !== undefined || lco !== undefined, {
    message: 'must say for which mty, dty, stc or lco',
  });

const profile = z.strictObject({
  dialect: z.enum(DIALECTS).optional(),
  authentication: z.enum(AUTHENTICATIONS).optional(),
  volumeUp: z.enum(['1', '3'], 'must be "1" or "3"').optional(),
  voiceNumber: z.enum(VOICE_NUMBERS).optional(),
  registers: z.boolean().optional(),
});

/** The shape of a model file. What a model does not say, `generic/generic` says; that one says everything. */
export const MODEL_FILE = z.strictObject({
  name: z.string().trim().min(1, 'must not be empty').max(80),
  class: z.enum(MODEL_CLASSES),
  /** For the reader of the file: where its facts are from. */
  notes: z.string().optional(),
  supervision: supervision.optional(),
  mqtt: z.strictObject({ types: z.partialRecord(kind, typeMeaning) }).optional(),
  scaip: z
    .strictObject({
      profile: profile.optional(),
      sensors: z.record(codeKey, sensor).default({}),
      statuses: z.record(codeKey, meaning).default({}),
      exceptions: z.array(exception).default([]),
    })
    .optional(),
});
export type ModelFile = z.infer<typeof MODEL_FILE>;

/** Puts a model file over `base`; its own codes and exceptions go first. */
export function modelOf(id: string, file: ModelFile, base: DeviceModel | null): DeviceModel {
  const seconds = file.supervision;
  const numbered = <T>(table: Readonly<Record<string, T>> | undefined, below: ReadonlyMap<number, T> | undefined): Map<number, T> =>
    new Map([...(below ?? []), ...Object.entries(table ?? {}).map(([key, value]) => [Number(key), value] as const)]);
  const own =
    seconds === undefined
      ? undefined
      : {
          signEvery: seconds.signEverySeconds * 1000,
          lateAfter: seconds.lateAfterSeconds * 1000,
          lostAfter: seconds.lostAfterSeconds * 1000,
          triggerLateAfter: seconds.triggerLateAfterSeconds * 1000,
          triggerLostAfter: seconds.triggerLostAfterSeconds * 1000,
        };
  return Object.freeze({
    id,
    name: file.name,
    class: file.class,
    scaip: Object.freeze({ ...(base?.scaip ?? PLAIN_PROFILE), ...present(file.scaip?.profile) }),
    supervision: Object.freeze(own ?? base?.supervision ?? UNSUPERVISED),
    types: new Map<string, CodeMeaning>([...(base?.types ?? []), ...Object.entries(file.mqtt?.types ?? {})]),
    sensors: numbered(file.scaip?.sensors, base?.sensors),
    statuses: numbered(file.scaip?.statuses, base?.statuses),
    exceptions: Object.freeze([...(file.scaip?.exceptions ?? []), ...(base?.exceptions ?? [])]),
  });
}

/** What was left out of a file does not cover what stands below it. */
const present = (given: z.infer<typeof profile> | undefined): Partial<ScaipProfile> =>
  Object.fromEntries(Object.entries(given ?? {}).filter(([, value]) => value !== undefined));

/** What a unit gets that nothing is known of: the way of the standard, and asked for credentials only once it has some. */
const PLAIN_PROFILE: ScaipProfile = {
  dialect: 'mrs-message',
  authentication: 'when-provisioned',
  volumeUp: '1',
  voiceNumber: 'as-configured',
  registers: false,
};
const DAY = 86_400_000;
/** Never used by a loaded model: `generic/generic` must bring its own. */
const UNSUPERVISED: Supervision = {
  signEvery: DAY,
  lateAfter: 2 * DAY,
  lostAfter: 3 * DAY,
  triggerLateAfter: 2 * DAY,
  triggerLostAfter: 3 * DAY,
};
