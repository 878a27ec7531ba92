/** The SCAIP receiver: MESSAGE in, the centre's decision awaited, 200 out, then `<mrs>`; beside it REGISTER and calls. */
import type { Clock, Instant, Milliseconds } from '../../base/clock.ts';
import type { Random } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { reached } from '../../base/points.ts';
import { type ListenerCounters, type MessageAnswer, type SendRequest, sourceOf } from '../sip/core.ts';
import type { StreamLimits } from '../sip/connection.ts';
import type { Endpoint, Flow } from '../sip/flow.ts';
import { type HostPort, startSip } from '../sip/listen.ts';
import type { SipRequest } from '../sip/message.ts';
import type { TlsCounters, TlsListening } from '../sip/tls.ts';
import { type Answer, UNAVAILABLE } from '../sip/write.ts';
import { createCalls } from './calls.ts';
import { CONTENT_TYPE, encodeReply } from './encode.ts';
import { type CheckCredentials, Gate } from './gate.ts';
import { type ScaipMessage, namesForReply, readMessage } from './read.ts';
import { type KeepRegistrations, createRegistrations } from './registrations.ts';
import { Replies } from './replies.ts';
import { strictStatus } from './strict.ts';
import type { AdmitSender, CountRefusal, LookUpUnit, ScaipAccepted, ScaipCall, ScaipDoor, ScaipUnit } from './unit.ts';
import { type VoicePolicy, voiceFor } from './voice.ts';

export type { ScaipMessage };

export interface ScaipOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** An IP address, or `localhost`. */
  readonly bind: string;
  /** The same number on UDP and TCP; 0 takes a free one. */
  readonly port: number;
  /** Without it nothing listens for TLS. */
  readonly tls?: TlsListening;
  readonly streamLimits?: Partial<StreamLimits>;
  readonly lookUp: LookUpUnit;
  readonly messages: ScaipDoor<ScaipMessage>;
  readonly calls: ScaipDoor<ScaipCall>;
  readonly digest: CheckCredentials;
  readonly admit: AdmitSender;
  readonly registrar: KeepRegistrations;
  readonly refused: CountRefusal;
  /** Since when a unit has not acknowledged its replies; null: it does. */
  readonly unacknowledged: (serial: string, since: Instant | null) => void;
  readonly voice: VoicePolicy;
  /** Replies as a conformance test wants them; what is kept and shown is the same. */
  readonly strict: boolean;
}

export interface ScaipCounters {
  readonly udp: ListenerCounters;
  readonly tcp: ListenerCounters;
  readonly tls: TlsCounters | null;
  readonly kept: number;
  readonly notKept: number;
  /** Kept, but without a `ref` to answer to. */
  readonly withoutRef: number;
  /** Answered 401; those of them whose alarm waits for its credentials; refused above the limits. */
  readonly challenged: number;
  readonly held: number;
  readonly limited: number;
  readonly repliesSent: number;
  readonly repliesAcknowledged: number;
  readonly repliesUnanswered: number;
  /** There was no way to the unit any more, or too many were waiting: its next repeat fetches the reply. */
  readonly repliesUndelivered: number;
}

export interface ScaipServer {
  readonly udp: HostPort;
  readonly tcp: HostPort;
  readonly tls: HostPort | null;
  /** A way to an address over UDP from which nothing need have come. */
  flowTo(endpoint: Endpoint): Flow;
  counters(): ScaipCounters;
  /** No new input, what is in hand is answered (at most `patience`, 3 s by default), sockets closed. */
  stop(patience?: Milliseconds): Promise<void>;
}

/**
 * Listens for SCAIP on UDP and TCP and, when asked to, TLS.
 * @throws CentreError port-in-use, port-not-allowed, settings-invalid; nothing is open then
 */
export async function startScaip(options: ScaipOptions): Promise<ScaipServer> {
  const { clock, log, lookUp, messages, calls, registrar, refused, unacknowledged } = options;
  const counts = { kept: 0, notKept: 0, withoutRef: 0 };
  const gate = new Gate(options);
  const replies = new Replies({ clock, log, unacknowledged, flowOf: (unit) => registrar.flowOf(unit) });
  const sip = await startSip({
    ...options,
    accepts: CONTENT_TYPE,
    handle: (request, flow, send) => answered(flow, () => receive(request, flow, send)),
    call: withCare(createCalls({ clock, gate, lookUp, calls, refused })),
    register: withCare(createRegistrations({ gate, lookUp, registrar, refused })),
  });

  return {
    udp: sip.udp,
    tcp: sip.tcp,
    tls: sip.tls,
    flowTo: (endpoint) => sip.flowTo(endpoint),
    counters: () => ({ ...sip.counters(), ...counts, ...gate.counts, ...replies.counts }),
    stop: (patience) => sip.stop(patience),
  };

  async function receive(request: SipRequest, flow: Flow, send: SendRequest): Promise<MessageAnswer> {
    const message = readMessage(request, flow);
    const unit = await lookUp({ cid: message.cid, user: message.fromUser, address: flow.remote.address });
    const asks = message.request?.mty?.value === 'PI' ? 'heartbeat' : 'alarm';
    const turned = await gate.turnAway(request, flow, unit, () => messages.hold(message), asks);
    if (turned !== null) return turned;
    const accepted = await messages.accept(message, { authenticated: unit.mustAuthenticate });
    if (!accepted.kept) {
      counts.notKept++;
      return UNAVAILABLE;
    }
    counts.kept++;
    reached('before-ack');
    return answerTo(request, flow, send, message, unit, accepted);
  }

  function answerTo(
    request: SipRequest,
    flow: Flow,
    send: SendRequest,
    message: ScaipMessage,
    unit: ScaipUnit,
    { firstOfNeed }: Extract<ScaipAccepted, { kept: true }>,
  ): MessageAnswer {
    const { ref } = message;
    const ok = { status: 200, reason: 'OK' };
    if (ref === null) {
      counts.withoutRef++;
      return ok;
    }
    const { dialect, voiceNumber } = unit.profile;
    const snu = options.strict ? strictStatus(message.raw) : 0;
    const voice = snu === 0 ? voiceFor(options.voice, { request: message.request, firstOfNeed, voiceNumber }) : null;
    const body = encodeReply({ ref, snu, voice });
    if (dialect === 'mrs-in-answer') return { ...ok, headers: [{ name: 'content-type', value: CONTENT_TYPE }], body };
    const known = unit.serial === null ? null : { name: unit.name, serial: unit.serial, authenticated: unit.mustAuthenticate };
    const reply = { ref, body, names: namesForReply(request, message), unit: known, flow, send };
    const afterwards = (): void => {
      reached('after-ack');
      replies.send(reply);
    };
    return { ...ok, afterwards };
  }

  /** A port that fails is a message that was not kept: the unit repeats it. */
  async function answered<T extends Answer>(flow: Flow, answer: () => Promise<T>): Promise<T | Answer> {
    try {
      return await answer();
    } catch (error) {
      log.error('scaip-accept-failed', { protocol: 'scaip', source: sourceOf(flow), error });
      counts.notKept++;
      return UNAVAILABLE;
    }
  }

  function withCare(handle: (request: SipRequest, flow: Flow) => Promise<Answer>): (request: SipRequest, flow: Flow) => Promise<Answer> {
    return (request, flow) => answered(flow, () => handle(request, flow));
  }
}
