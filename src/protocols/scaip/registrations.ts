/** REGISTER of units: only those of the register of devices, with credentials where they must bring them. */
import type { Flow } from '../sip/flow.ts';
import type { SipRequest } from '../sip/message.ts';
import type { Answer } from '../sip/write.ts';
import type { Gate } from './gate.ts';
import { userOf } from './read.ts';
import type { CountRefusal, LookUpUnit } from './unit.ts';

/** What keeps the registrations. */
export interface KeepRegistrations {
  register(unit: string, request: SipRequest, flow: Flow): Promise<Answer>;
  /** Where a registered unit can be reached now. */
  flowOf(unit: string): Flow | null;
}

/** @returns answers a REGISTER by the user of the address that is registered (To, RFC 3261 § 10.2) */
export function createRegistrations(parts: {
  readonly gate: Gate;
  readonly lookUp: LookUpUnit;
  readonly registrar: KeepRegistrations;
  readonly refused: CountRefusal;
}): (request: SipRequest, flow: Flow) => Promise<Answer> {
  const { gate, lookUp, registrar, refused } = parts;
  return async (request, flow) => {
    const unit = await lookUp({ cid: null, user: userOf(request, 'to'), address: flow.remote.address });
    const turned = await gate.turnAway(request, flow, unit, () => Promise.resolve('nothing-to-hold'));
    if (turned !== null) return turned;
    if (unit.known) return registrar.register(unit.name, request, flow);
    refused({ code: 'unknown-registration', source: unit.name, detail: request.method });
    return { status: 403, reason: 'Forbidden' };
  };
}
