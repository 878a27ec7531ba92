/** What the receiver asks the centre about a unit, and hands to it: the ports of SCAIP. */
import type { DigestSecrets } from '../sip/digest.ts';
import type { Sender } from '../sip/rate.ts';
import type { VoiceNumber } from './voice.ts';

/** A sender as the register has it, or a stranger. */
export interface ScaipUnit {
  readonly known: boolean;
  /** The controller id as the register writes it; of a stranger, what it calls itself, else its address. */
  readonly name: string;
  /** Null for a stranger. */
  readonly serial: string | null;
  readonly profile: {
    /** `mrs-in-answer`: the reply is the body of the 200 instead of a MESSAGE of its own. */
    readonly dialect: 'mrs-message' | 'mrs-in-answer';
    readonly voiceNumber: VoiceNumber;
  };
  /** Null: the register holds no secret of it. */
  readonly secrets: DigestSecrets | null;
  readonly mustAuthenticate: boolean;
}

/** What a sender calls itself: the body's controller id, and the user part of its address. */
export interface UnitNames {
  readonly cid: string | null;
  readonly user: string | null;
  readonly address: string;
}

/** Who it is: by `cid` where there is one, else by the user. @throws when the register cannot be asked */
export type LookUpUnit = (names: UnitNames) => Promise<ScaipUnit>;

/** A call that a unit wants to begin. */
export interface ScaipCall {
  readonly names: UnitNames;
  readonly callId: string;
  /** What of the INVITE tells this call from others; the same when it comes again with credentials. */
  readonly raw: Uint8Array;
}

/** What the centre answers to what it was given. */
export type ScaipAccepted =
  | {
      readonly kept: true;
      /** It is the unit's first message of a need that is open, or a repetition of that message. */
      readonly firstOfNeed: boolean;
    }
  | { readonly kept: false };

/** The door of the centre for messages, and for calls. A rejection counts as not kept. */
export interface ScaipDoor<T> {
  /** `kept`: it is durable. `authenticated`: it came with valid credentials, and what was held for them is released. */
  accept(one: T, proof: { readonly authenticated: boolean }): Promise<ScaipAccepted>;
  /** Keeps, durably, what comes without the credentials that it needs, if it is an alarm: it is shown in 10 s without them. */
  hold(one: T): Promise<'held' | 'nothing-to-hold' | 'not-held'>;
}

/** Whether one more request is within the limits; a unit of the register can never be starved by strangers. */
export type AdmitSender = (who: Sender) => boolean;

/** Counts a refusal for the technicians; `source` is a unit's name or an address, `detail` a method. */
export type CountRefusal = (refusal: { readonly code: string; readonly source: string; readonly detail: string }) => void;
