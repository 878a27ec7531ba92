/** Calls of units: there is no voice path here, but who calls may need help, so a call of a known unit reaches the centre. */
import { createHash } from 'node:crypto';
import { type Clock, type Milliseconds, minutes } from '../../base/clock.ts';
import type { Flow } from '../sip/flow.ts';
import type { CallAnswer } from '../sip/invite.ts';
import { type SipRequest, header } from '../sip/message.ts';
import { UNAVAILABLE } from '../sip/write.ts';
import type { Gate } from './gate.ts';
import { userOf } from './read.ts';
import type { CountRefusal, LookUpUnit, ScaipCall, ScaipDoor } from './unit.ts';

/** Different calls of one unit that are kept within a minute: a device that redials fills no timeline. */
export const CALLS_A_MINUTE = 6;
const WINDOW: Milliseconds = minutes(1);

const NO_VOICE: CallAnswer = { status: 480, reason: 'Temporarily Unavailable' };
const FORBIDDEN: CallAnswer = { status: 403, reason: 'Forbidden', once: true };

export interface CallParts {
  readonly clock: Clock;
  readonly gate: Gate;
  readonly lookUp: LookUpUnit;
  readonly calls: ScaipDoor<ScaipCall>;
  readonly refused: CountRefusal;
}

/**
 * Each call has an alarm of its own to find or to open, since the one before may be closed by now: 480 is only said to a
 * call that was kept itself. The same call again is handed on again: intake knows it, and what was held for it is released.
 * @returns answers an INVITE: 480 once the call is kept, 401, 403 for strangers, 503 when it could not be kept, or when
 * there are too many
 */
export function createCalls({ clock, gate, lookUp, calls, refused }: CallParts): (request: SipRequest, flow: Flow) => Promise<CallAnswer> {
  const kept = new CallsOfUnits(clock);
  // Who only says a unit's name must not use up what the unit itself may ask.
  const held = new CallsOfUnits(clock);

  return async (request, flow) => {
    const names = { cid: null, user: userOf(request, 'from'), address: flow.remote.address };
    const unit = await lookUp(names);
    const call: ScaipCall = { names, callId: header(request, 'call-id') ?? '', raw: essenceOf(request) };
    const which = createHash('sha256').update(call.raw).digest('base64url');
    const tooMany = (): void => refused({ code: 'rate-limited', source: unit.name, detail: request.method });

    const turned = await gate.turnAway(request, flow, unit, async () => {
      const verdict = await held.within(unit.name, which, () => calls.hold(call), isHeld);
      if (verdict === null) tooMany();
      // The proof is asked for all the same: otherwise whoever says the unit's name would keep it out.
      return verdict ?? 'nothing-to-hold';
    });
    if (turned !== null) return unit.known ? turned : { ...turned, once: true };
    if (!unit.known) {
      refused({ code: 'unknown-caller', source: unit.name, detail: request.method });
      return FORBIDDEN;
    }
    const accept = () => calls.accept(call, { authenticated: unit.mustAuthenticate });
    // What is held would be shown as unproven, if its proof found no room.
    const accepted =
      unit.mustAuthenticate && held.has(unit.name, which) ? await accept() : await kept.within(unit.name, which, accept, isKept);
    if (accepted === null) tooMany();
    return accepted?.kept === true ? NO_VOICE : UNAVAILABLE;
  };
}

const isHeld = (verdict: string): boolean => verdict === 'held';
const isKept = ({ kept }: { readonly kept: boolean }): boolean => kept;

/** The request line and the Call-ID: the same when the call comes again with credentials (RFC 3261 § 22.2). */
const essenceOf = (request: SipRequest): Uint8Array =>
  Buffer.from(`INVITE ${request.uri} SIP/2.0\r\nCall-ID: ${header(request, 'call-id') ?? ''}\r\n`, 'latin1');

/** The calls of the last minute, of units of the register only. */
class CallsOfUnits {
  readonly #clock: Clock;
  readonly #recent = new Map<string, Map<string, Milliseconds>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has(unit: string, call: string): boolean {
    return this.#of(unit).has(call);
  }

  /** Does it, unless the unit had too many other calls: then null. What failed takes no room. */
  async within<T>(unit: string, call: string, run: () => Promise<T>, worked: (result: T) => boolean): Promise<T | null> {
    const recent = this.#of(unit);
    if (recent.has(call)) return run();
    if (recent.size >= CALLS_A_MINUTE) return null;
    recent.set(call, this.#clock.monotonic());
    this.#recent.set(unit, recent);
    let result: T | null = null;
    try {
      result = await run();
      return result;
    } finally {
      if (result === null || !worked(result)) recent.delete(call);
    }
  }

  #of(unit: string): Map<string, Milliseconds> {
    const recent = this.#recent.get(unit) ?? new Map<string, Milliseconds>();
    const since = this.#clock.monotonic() - WINDOW;
    for (const [call, at] of recent) if (at <= since) recent.delete(call);
    return recent;
  }
}
