/** Where registered units can be reached (RFC 3261 § 10.3): one binding a unit, kept in the store before it is answered. */
import { type Clock, type Instant, type Milliseconds, type Seconds, type Timer, minutes, seconds, toIso } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { parameters, parseNameAddress, parseUri, splitList, writableUri } from './address.ts';
import type { Endpoint, Flow, Transport } from './flow.ts';
import { type SipHeader, type SipRequest, header } from './message.ts';
import { parseCSeq } from './parse.ts';
import { type Answer, UNAVAILABLE } from './write.ts';

/** How a unit is reached: where its REGISTER came from, never what its Contact says (devices sit behind NAT). */
export interface Binding {
  readonly unit: string;
  readonly transport: Transport;
  readonly address: string;
  readonly port: number;
  /** The URI of its Contact, only to be echoed. */
  readonly contact: string;
  readonly registeredAt: Instant;
  readonly expiresAt: Instant;
}

/** Keeps bindings over a restart, one for each unit. Each call may throw CentreError store-away. */
export interface BindingStore {
  load(): Promise<Binding[]>;
  /** In place of what this unit had. */
  save(binding: Binding): Promise<void>;
  remove(unit: string): Promise<void>;
}

/** What is granted, in seconds; shorter wishes are refused with 423, longer ones are cut. */
export const EXPIRES = { least: 60, usual: 3600, most: 7200 } as const satisfies Record<string, Seconds>;
export const MAX_BINDINGS = 20_000;
const SWEEP: Milliseconds = minutes(1);
/**
 * An older REGISTER of the same Call-ID that comes within 64 × T1 was overtaken on its way and is refused. Later than that
 * it is a device that began to count anew, as those with a constant Call-ID do after a restart.
 */
const OVERTAKEN_WITHIN: Milliseconds = seconds(32);

/** What a REGISTER asks for. */
export type Registration =
  | { readonly wants: 'binding'; readonly contact: string; readonly expires: Seconds }
  /** `contacts` null: all of them (`*`). */
  | { readonly wants: 'removal'; readonly contacts: readonly string[] | null }
  | { readonly wants: 'list' }
  | { readonly wants: 'refusal'; readonly answer: Answer };

/** Reads a REGISTER; of several contacts the first that does not expire counts, since a unit has one binding. Pure. */
export function readRegistration(request: SipRequest): Registration {
  const values = request.headers.flatMap(({ name, value }) => (name === 'contact' ? splitList(value) : []));
  if (values.length === 0) return { wants: 'list' };
  const general = expiresOf(header(request, 'expires'));
  if (values.includes('*')) {
    return values.length === 1 && general === 0 ? { wants: 'removal', contacts: null } : refusal(400, 'Bad Contact');
  }
  const gone: string[] = [];
  for (const value of values) {
    const contact = parseNameAddress(value).uri ?? '';
    if (!writableUri(contact)) return refusal(400, 'Bad Contact');
    const expires = expiresOf(parameters(value).get('expires') ?? null) ?? general ?? EXPIRES.usual;
    if (expires > 0 && expires < EXPIRES.least) {
      return refusal(423, 'Interval Too Brief', [{ name: 'min-expires', value: String(EXPIRES.least) }]);
    }
    if (expires > 0) return { wants: 'binding', contact, expires: Math.min(expires, EXPIRES.most) };
    gone.push(contact);
  }
  return { wants: 'removal', contacts: gone };
}

function refusal(status: number, reason: string, headers: readonly SipHeader[] = []): Registration {
  return { wants: 'refusal', answer: { status, reason, headers } };
}

/** Null where there is none, and where it is no number (RFC 3261 § 20.19: then the usual). */
function expiresOf(text: string | null): Seconds | null {
  return text !== null && /^\d{1,10}$/.test(text) ? Number(text) : null;
}

interface Bound {
  readonly binding: Binding;
  /** Null after a restart, and once the connection is gone. */
  flow: Flow | null;
  /** Of the REGISTER that made it; not kept over a restart. */
  readonly callId: string | null;
  readonly cseq: number;
}

export interface RegistrarParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly store: BindingStore;
  /** A way to a UDP source over the listener's socket; null while there is none. */
  readonly udpFlowTo: (to: Endpoint) => Flow | null;
}

export class Registrar {
  readonly #parts: RegistrarParts;
  readonly #bound = new Map<string, Bound>();
  /** What is being done for a unit: the next one waits, so that the store ends up with the last. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #sweep: Timer;

  constructor(parts: RegistrarParts) {
    this.#parts = parts;
    this.#sweep = parts.clock.every(SWEEP, () => this.#expire());
  }

  /** Takes over what the store has kept, once at the start. @throws CentreError store-away */
  async load(): Promise<void> {
    for (const binding of await this.#parts.store.load()) {
      if (!this.#bound.has(binding.unit)) this.#bound.set(binding.unit, { binding, flow: null, callId: null, cseq: 0 });
    }
    this.#expire();
  }

  /**
   * Answers the REGISTER of a unit whose identity the caller has settled. 200 only once the store has it: 503 when that
   * fails, and then all is as before. Never rejects.
   */
  register(unit: string, request: SipRequest, flow: Flow): Promise<Answer> {
    return this.#inTurn(unit, async () => {
      try {
        return await this.#register(unit, request, flow);
      } catch (error) {
        this.#parts.log.warn('sip-binding-not-saved', { protocol: 'sip', device: unit, error });
        return UNAVAILABLE;
      }
    });
  }

  /** The registration of a unit, also when its connection is gone; null when there is none. */
  binding(unit: string): Binding | null {
    const bound = this.#bound.get(unit);
    return bound === undefined || bound.binding.expiresAt <= this.#parts.clock.now() ? null : bound.binding;
  }

  /** The way to a registered unit; null when there is none now, as after the end of its connection. */
  flowOf(unit: string): Flow | null {
    const binding = this.binding(unit);
    if (binding === null) return null;
    const known = this.#bound.get(unit)?.flow ?? null;
    const flow = known ?? (binding.transport === 'udp' ? this.#parts.udpFlowTo(binding) : null);
    return flow?.open === true ? flow : null;
  }

  /** Units that are registered now. */
  get size(): number {
    const now = this.#parts.clock.now();
    let live = 0;
    for (const { binding } of this.#bound.values()) if (binding.expiresAt > now) live++;
    return live;
  }

  stop(): void {
    this.#sweep.cancel();
  }

  async #register(unit: string, request: SipRequest, flow: Flow): Promise<Answer> {
    const { clock, store } = this.#parts;
    const registration = readRegistration(request);
    if (registration.wants === 'refusal') return registration.answer;
    const now = clock.now();
    const current = this.binding(unit);
    if (registration.wants === 'list') return registered(current, now);
    if (this.#isOvertaken(unit, request, now)) return OVERTAKEN;
    if (registration.wants === 'removal') {
      const { contacts } = registration;
      const hit = current !== null && (contacts === null || contacts.some((one) => sameContact(one, current.contact)));
      if (!hit) return registered(current, now);
      await store.remove(unit);
      this.#bound.delete(unit);
      return registered(null, now);
    }
    if (!this.#bound.has(unit) && this.#bound.size >= MAX_BINDINGS) return UNAVAILABLE;
    const { contact, expires } = registration;
    const { transport, remote } = flow;
    const binding = { unit, transport, ...remote, contact, registeredAt: now, expiresAt: now + seconds(expires) };
    await store.save(binding);
    this.#bound.set(unit, { binding, flow, callId: header(request, 'call-id'), cseq: cseqOf(request) });
    return registered(binding, now);
  }

  #isOvertaken(unit: string, request: SipRequest, now: Instant): boolean {
    const before = this.#bound.get(unit);
    if (before === undefined || before.callId === null || before.callId !== header(request, 'call-id')) return false;
    return cseqOf(request) <= before.cseq && now - before.binding.registeredAt < OVERTAKEN_WITHIN;
  }

  #inTurn<T>(unit: string, work: () => Promise<T>): Promise<T> {
    const mine = (this.#turns.get(unit) ?? Promise.resolve()).then(work);
    const ended = mine
      .catch(() => undefined)
      .then(() => {
        if (this.#turns.get(unit) === ended) this.#turns.delete(unit);
      });
    this.#turns.set(unit, ended);
    return mine;
  }

  /** Forgets what has expired, here and in the store, and lets go of connections that are gone. */
  #expire(): void {
    const { clock, log, store } = this.#parts;
    for (const [unit, bound] of this.#bound) {
      // A closed flow of a stream is of no more use; without it `flowOf` finds none either.
      if (bound.flow?.open === false && bound.binding.transport !== 'udp') bound.flow = null;
      if (bound.binding.expiresAt > clock.now()) continue;
      const removal = this.#inTurn(unit, async () => {
        if (this.binding(unit) !== null) return;
        this.#bound.delete(unit);
        await store.remove(unit);
      });
      removal.catch((error: unknown) => log.warn('sip-binding-not-removed', { protocol: 'sip', device: unit, error }));
    }
  }
}

const OVERTAKEN: Answer = { status: 500, reason: 'CSeq Out Of Order', headers: [{ name: 'retry-after', value: '32' }] };

/** 200 with what is bound now and for how long (RFC 3261 § 10.3, step 8). */
function registered(binding: Binding | null, now: Instant): Answer {
  const headers: SipHeader[] = [{ name: 'date', value: httpDate(now) }];
  if (binding !== null) {
    const left = Math.max(0, Math.round((binding.expiresAt - now) / seconds(1)));
    headers.unshift({ name: 'contact', value: `<${binding.contact}>;expires=${left}` });
  }
  return { status: 200, reason: 'OK', headers };
}

const DAYS = ['Thu', 'Fri', 'Sat', 'Sun', 'Mon', 'Tue', 'Wed'];
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** `Sat, 13 Nov 2010 23:29:00 GMT` (RFC 3261 § 20.17); 1970 began on a Thursday. */
function httpDate(at: Instant): string {
  const iso = toIso(at);
  const [year = '', month = '', day = ''] = iso.slice(0, 10).split('-');
  return `${DAYS[Math.floor(at / minutes(24 * 60)) % 7]}, ${day} ${MONTHS[Number(month) - 1]} ${year} ${iso.slice(11, 19)} GMT`;
}

const cseqOf = (request: SipRequest): number => parseCSeq(header(request, 'cseq') ?? '')?.number ?? 0;

/** The same URI as far as scheme, user and host go: what is behind them changes from one request to the next. */
function sameContact(a: string, b: string): boolean {
  const [one, other] = [parseUri(a), parseUri(b)];
  if (a === b || one === null || other === null) return a === b;
  return one.scheme === other.scheme && one.user === other.user && one.hostPort.toLowerCase() === other.hostPort.toLowerCase();
}
