/** Calls of units: there is no voice path here, but who calls may need help, so a call of a known unit reaches the centre. */
import { type Clock, type Milliseconds, minutes } from '../../base/clock.ts';
import type { Flow } from '../sip/flow.ts';
import { type SipRequest, header } from '../sip/message.ts';
import { type Answer, UNAVAILABLE } from '../sip/write.ts';
import type { Gate } from './gate.ts';
import { userOf } from './read.ts';
import type { CountRefusal, LookUpUnit, ScaipAccepted, ScaipCall, ScaipDoor } from './unit.ts';

/** A unit that calls again at once does not say more. */
const ONE_EACH: Milliseconds = minutes(1);

const NO_VOICE: Answer = { status: 480, reason: 'Temporarily Unavailable' };
const FORBIDDEN: Answer = { status: 403, reason: 'Forbidden' };

export interface CallParts {
  readonly clock: Clock;
  readonly gate: Gate;
  readonly lookUp: LookUpUnit;
  readonly calls: ScaipDoor<ScaipCall>;
  readonly refused: CountRefusal;
}

/** @returns answers an INVITE: 480 once the call is kept, 401, 403 for strangers, 503 when it could not be kept */
export function createCalls({ clock, gate, lookUp, calls, refused }: CallParts): (request: SipRequest, flow: Flow) => Promise<Answer> {
  const kept = new Lately(clock);
  const held = new Lately(clock);

  return async (request, flow) => {
    const names = { cid: null, user: userOf(request, 'from'), address: flow.remote.address };
    const unit = await lookUp(names);
    const call: ScaipCall = { names, callId: header(request, 'call-id') ?? '', raw: essenceOf(request) };
    const turned = await gate.turnAway(request, flow, unit, () => held.unless(unit.name, 'held', () => calls.hold(call), isHeld));
    if (turned !== null) return turned;
    if (!unit.known) {
      refused({ code: 'unknown-caller', source: unit.name, detail: request.method });
      return FORBIDDEN;
    }
    const accept = (): Promise<ScaipAccepted> => calls.accept(call, { authenticated: unit.mustAuthenticate });
    const accepted = await kept.unless(unit.name, { kept: true, firstOfNeed: false }, accept, isKept);
    return accepted.kept ? NO_VOICE : UNAVAILABLE;
  };
}

const isHeld = (verdict: string): boolean => verdict === 'held';
const isKept = (accepted: ScaipAccepted): boolean => accepted.kept;

/** The request line and the Call-ID: the same when the call comes again with credentials (RFC 3261 § 22.2). */
const essenceOf = (request: SipRequest): Uint8Array =>
  Buffer.from(`INVITE ${request.uri} SIP/2.0\r\nCall-ID: ${header(request, 'call-id') ?? ''}\r\n`, 'latin1');

/** When something was last done for each unit of the register. */
class Lately {
  readonly #clock: Clock;
  readonly #last = new Map<string, Milliseconds>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Does it, unless it was done within the last minute: then it counts as `done`. What failed was not done. */
  async unless<T>(unit: string, done: T, run: () => Promise<T>, worked: (result: T) => boolean): Promise<T> {
    const now = this.#clock.monotonic();
    if (now - (this.#last.get(unit) ?? -Infinity) < ONE_EACH) return done;
    this.#last.set(unit, now);
    let result: T | null = null;
    try {
      result = await run();
      return result;
    } finally {
      if (result === null || !worked(result)) this.#last.delete(unit);
    }
  }
}
