/** Who is let in: limits on how much one sender may ask, and digest credentials of the units that must bring them (RFC 3261 § 22). */
import { type Clock, type Milliseconds, type Timer, seconds } from '../../base/clock.ts';
import type { DigestSecrets, DigestVerdict } from '../sip/digest.ts';
import type { Flow } from '../sip/flow.ts';
import type { SipHeader, SipRequest } from '../sip/message.ts';
import type { Asked } from '../sip/rate.ts';
import { type Answer, UNAVAILABLE } from '../sip/write.ts';
import type { AdmitSender, CountRefusal, ScaipUnit } from './unit.ts';

/** What checks digest credentials. */
export interface CheckCredentials {
  challenge(stale: boolean): readonly SipHeader[];
  verify(request: SipRequest, secrets: DigestSecrets): DigestVerdict;
}

export interface GateParts {
  readonly clock: Clock;
  readonly digest: CheckCredentials;
  readonly admit: AdmitSender;
  readonly refused: CountRefusal;
}

/** A unit that was asked for credentials brings them within moments; one that has not by then has none. */
const CREDENTIALS_WITHIN: Milliseconds = seconds(10);
/** Units that are waited for; beyond, each question counts at once. */
const MOST_ASKED = 10_000;

type Proof = DigestVerdict | 'not-needed' | 'no-secret';

export class Gate {
  readonly counts = { challenged: 0, held: 0, limited: 0 };
  readonly #parts: GateParts;
  /** Units that have been asked for credentials and have not brought them yet. */
  readonly #asked = new Map<string, Timer>();

  constructor(parts: GateParts) {
    this.#parts = parts;
  }

  /**
   * Null: let in. Else the answer: 503 above the limits, or 401 once `hold` has made sure that no alarm is lost by it.
   * A unit that has yet to prove itself is asked to, whatever others send in its name: that costs no memory.
   * @param hold of what may wait for its credentials; a rejection counts as not held
   */
  async turnAway(
    request: SipRequest,
    flow: Flow,
    unit: ScaipUnit,
    hold: () => Promise<'held' | 'nothing-to-hold' | 'not-held'>,
    asks: Asked = askedBy(request),
  ): Promise<Answer | null> {
    const { digest, admit, refused } = this.#parts;
    const proof = this.#proofOf(request, unit);
    const isLetIn = proof === 'not-needed' || proof === 'valid';
    // Who only says a unit's name must not use up what the unit itself may ask.
    const who = { unit: isLetIn ? unit.name : `${unit.name} unproven`, known: unit.known, address: flow.remote.address, asks };
    const isWithin = admit(who);
    if (!isWithin) {
      this.counts.limited++;
      refused({ code: 'rate-limited', source: unit.name, detail: request.method });
      if (isLetIn) return UNAVAILABLE;
    }
    if (isLetIn) {
      this.#asked.get(unit.name)?.cancel();
      this.#asked.delete(unit.name);
      return null;
    }
    const held = await hold();
    if (held === 'not-held') return UNAVAILABLE;
    if (held === 'held') this.counts.held++;
    this.counts.challenged++;
    if (isWithin) this.#count(proof, unit, request.method);
    return { status: 401, reason: 'Unauthorized', headers: digest.challenge(proof === 'stale') };
  }

  #proofOf(request: SipRequest, { mustAuthenticate, secrets }: ScaipUnit): Proof {
    if (!mustAuthenticate) return 'not-needed';
    return secrets === null ? 'no-secret' : this.#parts.digest.verify(request, secrets);
  }

  /** Being asked is no refusal: it becomes one when no credentials follow. */
  #count(proof: Proof, { name }: ScaipUnit, method: string): void {
    const { clock, refused } = this.#parts;
    if (proof === 'wrong') refused({ code: 'wrong-credentials', source: name, detail: method });
    else if (proof === 'no-secret') refused({ code: 'no-secret', source: name, detail: method });
    else if (!this.#asked.has(name)) {
      const never = (): void => {
        this.#asked.delete(name);
        refused({ code: 'no-credentials', source: name, detail: method });
      };
      if (this.#asked.size >= MOST_ASKED) never();
      else this.#asked.set(name, clock.after(CREDENTIALS_WITHIN, never));
    }
  }
}

const askedBy = ({ method }: SipRequest): Asked => (method === 'REGISTER' ? 'registration' : method === 'INVITE' ? 'call' : 'alarm');
