/** A SCAIP alarm unit with its pendants and cords: insists until the centre has said in a message of its own that it has the alarm. */
import type { Clock, Milliseconds, Timer } from '../../src/base/clock.ts';
import type { Log } from '../../src/base/log.ts';
import type { Act, Delivery, SimulatedDevice } from '../device.ts';
import type { SeededRandom } from '../random.ts';
import { garbageOf } from './garbage.ts';
import { SIP_TIMERS, SipSender, type SipTimers } from './sip-sender.ts';
import type { SipPlace } from './sip-places.ts';
import { flavourOf, writeReport, type Flavour, type FlavourName, type ScaipReport, type Trigger } from './vendors.ts';

export interface UnitTiming extends SipTimers {
  /** After the 200: how long the unit waits for the centre's own MESSAGE with `mrs`. */
  readonly mrsWithin: Milliseconds;
  /** Transactions for each receiver before the unit turns to the next. */
  readonly triesPerReceiver: number;
  /** After all receivers failed. */
  readonly pauseBetweenRounds: Milliseconds;
}
/** The standard's own figures are not public; these lie between what senders were seen to do. */
export const UNIT_TIMING: UnitTiming = { ...SIP_TIMERS, mrsWithin: 10_000, triesPerReceiver: 2, pauseBetweenRounds: 30_000 };

export interface ScaipUnitOptions {
  readonly controllerId: string;
  readonly flavour: FlavourName;
  readonly triggers?: readonly Trigger[];
  /** In order of preference; asked anew for each try, so that a centre that moved is found again. */
  readonly receivers: () => readonly SipPlace[];
  /** Null for a unit that sends no heartbeat of its own accord. */
  readonly heartbeatEvery: Milliseconds | null;
  readonly timing?: Partial<UnitTiming>;
  /** For receivers that ask for digest. */
  readonly password?: string;
  readonly clock: Clock;
  readonly random: SeededRandom;
  readonly log: Log;
}

/** Acts that are one report; the others are handled by name. */
const REPORT_OF: Partial<Record<Act['name'], ScaipReport>> = {
  press: 'manual-alarm',
  fall: 'fall',
  inactivity: 'inactivity',
  smoke: 'smoke',
  cancel: 'cancel',
  presence: 'presence',
  test: 'test',
  heartbeat: 'heartbeat',
  'battery-low': 'battery-low',
  'battery-ok': 'battery-ok',
  'mains-lost': 'mains-lost',
  'mains-back': 'mains-back',
  'trigger-lost': 'trigger-lost',
  'trigger-back': 'trigger-back',
  tamper: 'tamper',
  fault: 'fault',
};

interface Sent {
  readonly ref: string;
  readonly body: string;
  readonly report: ScaipReport;
  readonly trigger: Trigger | null;
}

/** The status number of the centre's `mrs` once it is there, and who is to be woken then. */
interface Answer {
  readonly ref: string;
  snu: number | null;
  wake: () => void;
}
/** Too long, wrong format, wrong content, tag missing: no receiver will like the same message better. */
const MESSAGE_IS_WRONG: ReadonlySet<number> = new Set([1, 2, 3, 7]);

export class ScaipUnit implements SimulatedDevice {
  readonly id: string;
  readonly #options: ScaipUnitOptions;
  readonly #timing: UnitTiming;
  readonly #flavour: Flavour;
  readonly #sender: SipSender;
  readonly #refs: SeededRandom;
  readonly #lies: SeededRandom;
  readonly #startedAt: number;
  /** Whoever waits for an `mrs`; two may wait for the same ref, when a message is sent twice. */
  readonly #waiting = new Set<Answer>();
  readonly #switchedOff = new AbortController();
  #count = 0;
  #last: Sent | null = null;
  #heartbeat: Timer | null = null;

  constructor(options: ScaipUnitOptions) {
    const { controllerId, clock, random, flavour, password } = options;
    this.id = controllerId;
    this.#options = options;
    this.#timing = { ...UNIT_TIMING, ...options.timing };
    this.#flavour = flavourOf(flavour);
    this.#startedAt = clock.now();
    // Identifiers must differ between two starts with one seed (a receiver may remember them), what happens must not.
    const ids = random.fork(`ids ${this.#startedAt}`);
    this.#refs = ids.fork('ref');
    this.#lies = random.fork('lies');
    this.#sender = new SipSender({
      habits: this.#flavour.habits(controllerId),
      toUser: 'alarm',
      ...(password === undefined ? {} : { password }),
      timers: this.#timing,
      clock,
      random: ids.fork('sip'),
      onMessage: (body) => this.#centreSaid(body),
    });
  }

  async start(): Promise<void> {
    const { heartbeatEvery, clock, random } = this.#options;
    if (heartbeatEvery === null) return;
    // Units that were switched on together must not beat together.
    const beat = (): void => void this.#tell('heartbeat', null, 1);
    this.#heartbeat = clock.after(random.fork('heartbeat').between(0, Math.min(heartbeatEvery, 5000)), () => {
      beat();
      this.#heartbeat = clock.every(heartbeatEvery, beat);
    });
  }

  async act(act: Act): Promise<readonly Delivery[]> {
    const report = REPORT_OF[act.name];
    if (report !== undefined) return [await this.#tell(report, this.#triggerOf(act), report === 'heartbeat' ? 1 : Infinity)];
    switch (act.name) {
      case 'repeat':
        return this.#last === null ? [] : [await this.#tell(this.#last.report, this.#last.trigger, Infinity)];
      case 'duplicate':
        return this.#last === null ? [] : [await this.#deliver(this.#last, 2)];
      case 'garbage':
        return [await this.#lie()];
      case 'goes-flat': {
        const told = await this.#tell('battery-low', null, 2);
        this.#sender.cutLink();
        return [told];
      }
      case 'link-cut':
        this.#sender.cutLink();
        return [];
      case 'charged':
        this.#sender.restoreLink();
        return [await this.#tell('battery-ok', null, Infinity)];
      case 'link-back':
        this.#sender.restoreLink();
        return [];
      default:
        return [];
    }
  }

  async stop(): Promise<void> {
    this.#heartbeat?.cancel();
    this.#switchedOff.abort();
    await this.#sender.close();
  }

  #triggerOf(act: Act): Trigger | null {
    if (act.trigger === undefined) return null;
    return this.#options.triggers?.find((trigger) => trigger.id === act.trigger) ?? { id: act.trigger, class: 'pendant' };
  }

  async #tell(report: ScaipReport, trigger: Trigger | null, rounds: number): Promise<Delivery> {
    const ref = this.#flavour.ref(this.#count++, this.id, this.#startedAt, this.#refs);
    const sent: Sent = { ref, body: writeReport(this.#flavour, report, ref, this.id, trigger), report, trigger };
    if (report !== 'heartbeat') this.#last = sent;
    return this.#deliver(sent, rounds);
  }

  /** Sends until an `mrs` with our ref came: again to the same receiver as a new transaction, then to the next, then all over. */
  async #deliver(sent: Sent, rounds: number): Promise<Delivery> {
    const { clock, receivers, log } = this.#options;
    const began = clock.monotonic();
    const off = this.#switchedOff.signal;
    const answer: Answer = { ref: sent.ref, snu: null, wake: () => {} };
    this.#waiting.add(answer);
    let attempts = 0;
    const ended = (result: Delivery['result']): Delivery => {
      this.#waiting.delete(answer);
      const tookMs = Math.round(clock.monotonic() - began);
      log[result === 'delivered' ? 'info' : 'warn'](`report-${result}`, {
        device: this.id,
        code: sent.report,
        signal: sent.ref,
        attempt: attempts,
        tookMs,
      });
      return { id: sent.ref, result, attempts, tookMs };
    };
    log.info('report-began', { device: this.id, code: sent.report, signal: sent.ref });
    for (let round = 0; round < rounds && !off.aborted; round++) {
      if (round > 0) await this.#until(answer, this.#timing.pauseBetweenRounds);
      for (const place of receivers()) {
        for (let i = 0; i < this.#timing.triesPerReceiver && !off.aborted; i++) {
          // An mrs that came late, for the try before this one, counts as well.
          if (answer.snu === null) {
            attempts++;
            await this.#try(sent, place, answer);
          }
          if (answer.snu === 0) return ended('delivered');
          if (answer.snu !== null && MESSAGE_IS_WRONG.has(answer.snu)) return ended('refused');
          if (answer.snu !== null) break;
        }
        if (!off.aborted) log.warn('receiver-given-up', { device: this.id, signal: sent.ref, port: place.port, status: answer.snu ?? -1 });
        answer.snu = null;
      }
    }
    return ended(off.aborted ? 'stopped' : 'not-delivered');
  }

  /** One transaction and the wait for its `mrs`; what the centre said is in `answer` afterwards. */
  async #try(sent: Sent, place: SipPlace, answer: Answer): Promise<void> {
    const enough = new AbortController();
    answer.wake = () => enough.abort();
    // The mrs may overtake the 200: then there is nothing left to wait for.
    const outcome = await this.#sender.message(place, sent.body, undefined, enough.signal);
    const accepted = outcome.kind === 'answered' && outcome.status < 300;
    if (accepted) await this.#until(answer, this.#timing.mrsWithin);
    else this.#options.log.debug('try-failed', { device: this.id, signal: sent.ref, code: outcome.kind });
  }

  /** Waits for the `mrs`, but no longer than `span`, nor beyond the unit's own end. */
  #until(answer: Answer, span: number): Promise<void> {
    const off = this.#switchedOff.signal;
    if (answer.snu !== null || off.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const done = (): void => {
        timer.cancel();
        off.removeEventListener('abort', done);
        resolve();
      };
      const timer = this.#options.clock.after(span, done);
      answer.wake = done;
      off.addEventListener('abort', done);
    });
  }

  #centreSaid(body: string): void {
    // Pedantic on purpose: real units look for "<mrs>" at the very beginning.
    const ref = body.startsWith('<mrs>') ? /<ref>\s*([^<]*?)\s*<\/ref>/.exec(body)?.[1] : undefined;
    const snu = Number(/<snu>\s*(\d{1,5})\s*<\/snu>/.exec(body)?.[1] ?? Number.NaN);
    if (ref === undefined || Number.isNaN(snu))
      return this.#options.log.warn('mrs-not-understood', { device: this.id, bytes: body.length });
    for (const answer of this.#waiting) {
      if (answer.ref !== ref) continue;
      answer.snu = snu;
      answer.wake();
    }
  }

  async #lie(): Promise<Delivery> {
    const lie = garbageOf(this.id, this.#flavour.ref(this.#count++, this.id, this.#startedAt, this.#refs), this.#lies);
    const place = this.#options.receivers()[0];
    const outcome = place === undefined ? null : await this.#sender.message(place, lie.body, lie.contentType);
    this.#options.log.info('garbage-sent', { device: this.id, code: lie.name, status: outcome?.kind === 'answered' ? outcome.status : 0 });
    return { id: lie.name, result: outcome?.kind === 'answered' ? 'delivered' : 'not-delivered', attempts: 1, tookMs: 0 };
  }
}
