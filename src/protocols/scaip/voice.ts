/** Whether and how a unit is told to call, by the centre's policy and the unit's profile (reference § 3 and § 4). Pure. */
import type { VoiceReply } from './encode.ts';
import { type ScaipRequest, messageTypeOf, wantsNoVoice } from './message.ts';

/** `call`: the number in `tnu`, a SIP URI or E.164; `programmed`: the receiver that is programmed in the unit. */
export type VoicePolicy =
  | { readonly answer: 'none' }
  | { readonly answer: 'call'; readonly number: string }
  | { readonly answer: 'programmed' };

/** With which scheme the unit wants its number (`tnu`). */
export type VoiceNumber = 'as-configured' | 'sip' | 'gsm' | 'tel';

const DUPLEX = 1;
const NO_CALL = 0;
const CALL_PROGRAMMED = 61;
const CALL_NUMBER = 62;

/**
 * What the reply says of voice; null: nothing, which means no call.
 * @param firstOfNeed it is the unit's first message of a need that a person must answer; further ones, while the alarm is
 * open, must not start a second call
 */
export function voiceFor(
  policy: VoicePolicy,
  asked: { readonly request: ScaipRequest | null; readonly firstOfNeed: boolean; readonly voiceNumber: VoiceNumber },
): VoiceReply | null {
  if (policy.answer === 'none') return null;
  const { request, firstOfNeed, voiceNumber } = asked;
  if (request === null || !firstOfNeed || messageTypeOf(request) !== 'ME' || wantsNoVoice(request)) return { mre: NO_CALL };
  if (policy.answer === 'programmed') return { mre: DUPLEX, cre: CALL_PROGRAMMED };
  return { mre: DUPLEX, cre: CALL_NUMBER, tnu: numberFor(policy.number, voiceNumber, request) };
}

/**
 * One number, for there are units that refuse several. A telephone number has the scheme of the profile, else the one by
 * which the unit itself calls; a SIP URI can only be told as it is, and a number without a host is no SIP URI.
 */
function numberFor(number: string, scheme: VoiceNumber, { crd }: ScaipRequest): string {
  if (!number.startsWith('+')) return number;
  const own = crd.some((caller) => caller.scheme === 'gsm') ? 'gsm' : 'tel';
  return `${scheme === 'gsm' || scheme === 'tel' ? scheme : own}:${number}`;
}
