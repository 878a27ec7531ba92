/** The words of SCAIP (SS 91100, CLC/TS 50134-9) once decoded: what a request holds and what its absent elements mean. */
import type { Instant } from '../../base/clock.ts';

/** A value as the device wrote it (trimmed) and as it was understood; `value` null: not understood. */
export interface Coded<T> {
  readonly raw: string;
  readonly value: T | null;
}

export const MESSAGE_TYPES = ['ME', 'RE', 'IN', 'PI'] as const;
/** `ME` alarm message, `RE` reset, `IN` information, `PI` heartbeat. */
export type MessageType = (typeof MESSAGE_TYPES)[number];

export const VOICE_SCHEMES = ['sip', 'sips', 'tel', 'gsm', 'no-voice', 'sip-pp'] as const;
export type VoiceScheme = (typeof VOICE_SCHEMES)[number];

/** One `crd`: how voice will come. */
export interface CallerId {
  readonly raw: string;
  readonly scheme: VoiceScheme | 'unknown';
  /** Number or address behind the colon; null when not told (`gsm:` and `gsm:+` mean "by GSM, number unknown"). */
  readonly target: string | null;
}

/** Degrees, WGS 84. */
export interface Degrees {
  readonly lat: number;
  readonly lon: number;
}

/** The `lge` block. `tim` holds minutes and an offset (`2024-05-12T22:14+02:00`), `gga` an NMEA GGA sentence. */
export interface GeoBlock {
  readonly geo: Coded<Degrees> | null;
  readonly tim: Coded<Instant> | null;
  readonly gga: Coded<Degrees> | null;
}

/**
 * A decoded `<mrq>`. Every text is trimmed; an absent or empty element is null and its default is NOT filled in (ask
 * `messageTypeOf`, `statusOf` … for that). Numbers are compared as integers: `2`, `02` and `0002` have the same
 * `value`, `raw` keeps what was sent. Nothing is refused for its length or pattern.
 */
export interface ScaipRequest {
  /** Reference, echoed in the reply; unique only together with `cid`. */
  readonly ref: string | null;
  /** Version, `01.00` when absent. */
  readonly ver: string | null;
  /** System configuration: 0 single home unit, 1–3 groups (see `SYSTEM_CONFIGURATIONS`). */
  readonly sco: Coded<number> | null;
  /** Call handling: 0 the device calls the centre, 1 the centre calls back. */
  readonly cha: Coded<number> | null;
  readonly mty: Coded<MessageType> | null;
  /** Heartbeat options: 0 fixed interval, 1 adjustable. */
  readonly hbo: Coded<number> | null;
  /** Controller id, the home unit; digits by the standard, kept as text. */
  readonly cid: string | null;
  /** Device type, see `DEVICE_TYPES`. */
  readonly dty: Coded<number> | null;
  /** Device id: the pendant or sensor behind the unit. */
  readonly did: string | null;
  /** Device component, see `DEVICE_COMPONENTS`. */
  readonly dco: Coded<number> | null;
  readonly dte: string | null;
  /** How voice will come; several happen. Empty list: absent, which means `sip:`. */
  readonly crd: readonly CallerId[];
  /** Status code, see `STATUS_CODES`. */
  readonly stc: Coded<number> | null;
  readonly stt: string | null;
  /** Priority, one digit; the direction of the scale is an open point. */
  readonly pri: Coded<number> | null;
  /** Location code, see `LOCATION_CODES`. */
  readonly lco: Coded<number> | null;
  readonly lva: string | null;
  readonly lge: GeoBlock | null;
  readonly lte: string | null;
  readonly ico: Coded<number> | null;
  readonly ite: string | null;
  /** 1: another message belongs to this one. */
  readonly ame: Coded<number> | null;
  /** Media request; 4: the sender wants no media. */
  readonly mreq: Coded<number> | null;
  /** Elements that the reference does not know, and second occurrences of those it does: name and text, in order. */
  readonly unknown: readonly (readonly [name: string, text: string])[];
}

/** `mty` with its default (`ME`); a word that is none of the four is `unknown`. */
export function messageTypeOf(request: ScaipRequest): MessageType | 'unknown' {
  if (request.mty === null) return 'ME';
  return request.mty.value ?? 'unknown';
}

/** `stc` as a number; 10 (manual alarm) when absent from an alarm message; null when absent elsewhere or no number. */
export function statusOf(request: ScaipRequest): number | null {
  if (request.stc !== null) return request.stc.value;
  return messageTypeOf(request) === 'ME' ? 10 : null;
}

/** Whether the sender asks for no voice at all (`no-voice:` or `mreq` 4). */
export function wantsNoVoice(request: ScaipRequest): boolean {
  return request.crd.some((caller) => caller.scheme === 'no-voice') || request.mreq?.value === 4;
}

/** The position that the message tells: `geo`, else what `gga` says; null when neither is readable. */
export function positionOf(request: ScaipRequest): (Degrees & { readonly at: Instant | null }) | null {
  const degrees = request.lge?.geo?.value ?? request.lge?.gga?.value ?? null;
  return degrees === null ? null : { ...degrees, at: request.lge?.tim?.value ?? null };
}
