/** How five vendors write the same report: order of elements, leading zeros, and the oddities seen in real messages. */
import type { Instant } from '../../src/base/clock.ts';
import type { SeededRandom } from '../random.ts';
import type { SipHabits } from './sip-sender.ts';

export const FLAVOURS = ['essence', 'possum', 'telealarm', 'doro', 'climax'] as const;
export type FlavourName = (typeof FLAVOURS)[number];

export const TRIGGER_CLASSES = ['pendant', 'cord', 'fall-detector', 'smoke-detector'] as const;
export type TriggerClass = (typeof TRIGGER_CLASSES)[number];
export interface Trigger {
  readonly id: string;
  readonly class: TriggerClass;
}

export type ScaipReport =
  | 'heartbeat'
  | 'manual-alarm'
  | 'fall'
  | 'inactivity'
  | 'smoke'
  | 'cancel'
  | 'presence'
  | 'test'
  | 'battery-low'
  | 'battery-ok'
  | 'mains-lost'
  | 'mains-back'
  | 'trigger-lost'
  | 'trigger-back'
  | 'tamper'
  | 'fault';

/** Status codes of SS 91100 table `stc`, and the device type where it is not the unit or the trigger itself. */
const CODES: Readonly<Record<ScaipReport, { readonly stc: number; readonly dty?: number; readonly need?: true }>> = {
  heartbeat: { stc: 102 },
  'manual-alarm': { stc: 10, need: true },
  fall: { stc: 10, dty: 5, need: true },
  inactivity: { stc: 9, dty: 10, need: true },
  smoke: { stc: 10, dty: 23, need: true },
  cancel: { stc: 19 },
  presence: { stc: 88 },
  test: { stc: 102 },
  'battery-low': { stc: 16 },
  'battery-ok': { stc: 15 },
  'mains-lost': { stc: 85 },
  'mains-back': { stc: 86 },
  'trigger-lost': { stc: 123 },
  'trigger-back': { stc: 124 },
  tamper: { stc: 125 },
  fault: { stc: 67 },
};
const UNIT = 2;
const TRIGGER_TYPE: Readonly<Record<TriggerClass, number>> = { pendant: 3, cord: 4, 'fall-detector': 5, 'smoke-detector': 23 };

/** What a flavour has to write, as numbers; how many digits it uses is its own affair. */
interface Facts {
  readonly ref: string;
  readonly cid: string;
  readonly heartbeat: boolean;
  readonly need: boolean;
  readonly dty: number;
  readonly stc: number;
  /** Id of the trigger; null for the unit. */
  readonly did: string | null;
}

type Fields = readonly (readonly [tag: string, value: string])[];

export interface Flavour {
  readonly name: FlavourName;
  habits(controllerId: string): SipHabits;
  /** The next reference; `count` goes up by one with each message of this unit. */
  ref(count: number, controllerId: string, startedAt: Instant, random: SeededRandom): string;
  fields(facts: Facts): Fields;
}

const digits = (value: number, width: number): string => String(value).padStart(width, '0');
const kindOf = (facts: Facts): string => (facts.heartbeat ? 'PI' : 'ME');
/** A number of the range for machines; nobody's telephone. */
const OWN_NUMBER = '+4759000000000';
/** Counters go on from the time of the start, so that a unit switched on again does not use the day's references twice. */
const counter = (startedAt: Instant, count: number): number => Math.floor(startedAt / 1000) + count;

const FLAVOUR_TABLE: Readonly<Record<FlavourName, Flavour>> = {
  essence: {
    name: 'essence',
    habits: (cid) => ({ fromUser: cid, fromTag: '286524', branch: 'fresh', userAgent: 'simulated Essence' }),
    ref: (count, _cid, startedAt) => (counter(startedAt, count) % 0x1_0000_0000).toString(16).toUpperCase().padStart(8, '0'),
    fields: (f) => [
      ['ref', f.ref],
      ['cha', '0'],
      ['mty', kindOf(f)],
      ['cid', f.cid],
      ['dty', digits(f.dty, 2)],
      ['did', f.did ?? '00'],
      ['crd', f.need ? `gsm:${OWN_NUMBER}` : 'no-voice:'],
      ['stc', digits(f.stc, 3)],
    ],
  },
  possum: {
    name: 'possum',
    habits: (cid) => ({ fromUser: cid, fromTag: 'fresh', branch: 'fresh', userAgent: 'simulated Possum' }),
    ref: (_count, _cid, _startedAt, random) => String(random.whole(1_000_000_000, 1_999_999_999)),
    fields: (f) => {
      if (f.heartbeat) {
        return [
          ['mty', 'PI'],
          ['ref', f.ref],
          ['cid', f.cid],
          ['dty', String(f.dty)],
        ];
      }
      return [
        ['ref', f.ref],
        ['cid', f.cid],
        ['dty', String(f.dty)],
        ...(f.did === null ? [] : ([['did', f.did]] as const)),
        ['stc', String(f.stc)],
        ['crd', 'gsm:'],
      ];
    },
  },
  telealarm: {
    name: 'telealarm',
    habits: (cid) => ({ fromUser: cid, fromTag: 'fresh', branch: 'fresh', userAgent: 'simulated TeleAlarm' }),
    ref: (_count, _cid, _startedAt, random) => random.text('0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ', 16),
    fields: (f) => [
      ['ref', f.ref],
      ['cid', f.cid],
      ['dty', digits(f.dty, 4)],
      ...(f.did === null ? [] : ([['did', f.did]] as const)),
      ['mty', kindOf(f)],
      // Its heartbeat carries "automatic alarm": only mty tells that it is none.
      ['stc', digits(f.heartbeat ? 9 : f.stc, 4)],
      ...(f.stc === 67 ? [] : ([['lco', '002']] as const)),
      ['crd', 'gsm:'],
      ['cha', '0'],
    ],
  },
  doro: {
    name: 'doro',
    habits: (cid) => ({ fromUser: cid, fromTag: 'fresh', branch: 'fresh', userAgent: 'simulated Doro' }),
    ref: (count, cid, startedAt) => `${cid}${digits(counter(startedAt, count) % 100_000, 5)}`,
    fields: (f) => [
      ['ref', f.ref],
      ['mty', kindOf(f)],
      ['cid', ` ${f.cid}`],
      ['dty', digits(f.dty, 4)],
      ...(f.did === null ? [] : ([['did', f.did]] as const)),
      ...(f.heartbeat ? [] : ([['stc', digits(f.stc, 4)]] as const)),
      ['crd', 'gsm:+'],
    ],
  },
  climax: {
    name: 'climax',
    // Its first version has neither a From user nor a From tag, and one branch for ever.
    habits: () => ({ fromUser: null, fromTag: null, branch: 'z9hG4bK-0001', userAgent: 'simulated Climax' }),
    ref: (count, _cid, startedAt) => (counter(startedAt, count) % 0x1_0000_0000).toString(16).toUpperCase().padStart(8, '0'),
    fields: (f) => [
      ['ref', f.ref],
      ['cha', '0'],
      ['mty', kindOf(f)],
      ['cid', f.cid],
      ['dty', digits(f.dty, 2)],
      ['did', f.did ?? '00'],
      ['crd', 'no-voice:'],
      ['stc', digits(f.stc, 3)],
    ],
  },
};

export const flavourOf = (name: FlavourName): Flavour => FLAVOUR_TABLE[name];

/** One `<mrq>` on one line without a declaration, as real devices send it. */
export function writeReport(flavour: Flavour, report: ScaipReport, ref: string, controllerId: string, trigger: Trigger | null): string {
  const { stc, dty, need } = CODES[report];
  const facts: Facts = {
    ref,
    cid: controllerId,
    heartbeat: report === 'heartbeat',
    need: need === true,
    dty: dty ?? (trigger === null ? UNIT : TRIGGER_TYPE[trigger.class]),
    stc,
    did: trigger?.id ?? null,
  };
  return `<mrq>${flavour
    .fields(facts)
    .map(([tag, value]) => `<${tag}>${value}</${tag}>`)
    .join('')}</mrq>`;
}
