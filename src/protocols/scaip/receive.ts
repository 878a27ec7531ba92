/** The SCAIP receiver: MESSAGE in, the centre's decision awaited, 200 out, then `<mrs>` in a MESSAGE of its own. */
import { readable } from '../../base/bytes.ts';
import type { Clock, Milliseconds } from '../../base/clock.ts';
import type { Random } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { parseNameAddress, parseUri, uriHost, writableUri } from '../sip/address.ts';
import { type ListenerCounters, type MessageAnswer, RETRY_AFTER, type SendRequest, sourceOf } from '../sip/core.ts';
import type { Flow } from '../sip/flow.ts';
import { type HostPort, startSip } from '../sip/listen.ts';
import { type SipRequest, header } from '../sip/message.ts';
import type { StreamLimits } from '../sip/tcp.ts';
import { type DecodedBody, decodeBody } from './decode.ts';
import { CONTENT_TYPE } from './encode.ts';
import type { ScaipRequest } from './message.ts';
import { Replies } from './replies.ts';

/** A SIP MESSAGE as the centre gets it: every one whose headers can be read, whatever its body. */
export interface ScaipMessage {
  /** null: the body is unreadable. */
  readonly request: ScaipRequest | null;
  /** Also found in some unreadable bodies. */
  readonly ref: string | null;
  readonly cid: string | null;
  /** The body as it came; at most 32 KiB of it. */
  readonly raw: Uint8Array;
  /** The body was longer than what was kept, or ended before its declared length. */
  readonly cut: boolean;
  readonly source: { readonly address: string; readonly port: number; readonly transport: 'udp' | 'tcp' | 'tls' };
  /** User part of the From header. */
  readonly fromUser: string | null;
  /** From user and `cid` are both there and differ. */
  readonly identityMismatch: boolean;
}

/** The port to the centre. `kept`: the message is durable. A rejection counts as `not-kept`. */
export type AcceptScaip = (message: ScaipMessage) => Promise<'kept' | 'not-kept'>;

export interface ScaipOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** An IP address, or `localhost`. */
  readonly bind: string;
  /** The same number on UDP and TCP; 0 takes a free one. */
  readonly port: number;
  readonly accept: AcceptScaip;
  readonly streamLimits?: Partial<StreamLimits>;
}

export interface ScaipCounters {
  readonly udp: ListenerCounters;
  readonly tcp: ListenerCounters;
  readonly kept: number;
  readonly notKept: number;
  /** Kept, but without a `ref` to answer to. */
  readonly withoutRef: number;
  readonly repliesSent: number;
  readonly repliesAcknowledged: number;
  readonly repliesUnanswered: number;
}

export interface ScaipServer {
  readonly udp: HostPort;
  readonly tcp: HostPort;
  counters(): ScaipCounters;
  /** No new input, what is in hand is answered (at most `patience`, 3 s by default), sockets closed. */
  stop(patience?: Milliseconds): Promise<void>;
}

/**
 * Listens for SCAIP on UDP and TCP.
 * @throws CentreError port-in-use, port-not-allowed, settings-invalid; nothing is open then
 */
export async function startScaip(options: ScaipOptions): Promise<ScaipServer> {
  const { log, accept } = options;
  const counts = { kept: 0, notKept: 0, withoutRef: 0 };
  const replies = new Replies(log);
  const sip = await startSip({ ...options, accepts: CONTENT_TYPE, handle });

  return {
    udp: sip.udp,
    tcp: sip.tcp,
    counters: () => ({ ...sip.counters(), ...counts, ...replies.counts }),
    stop: (patience) => sip.stop(patience),
  };

  async function handle(request: SipRequest, flow: Flow, send: SendRequest): Promise<MessageAnswer> {
    const message = readMessage(request, flow);
    if (!(await keeps(message, flow))) {
      counts.notKept++;
      return { status: 503, reason: 'Service Unavailable', headers: [RETRY_AFTER] };
    }
    counts.kept++;
    const ok = { status: 200, reason: 'OK' };
    if (message.ref === null) {
      counts.withoutRef++;
      return ok;
    }
    const { ref } = message;
    const reply = { ref, ...replyAddresses(request, message, flow) };
    return { ...ok, afterwards: () => replies.send(flow, reply, send) };
  }

  async function keeps(message: ScaipMessage, flow: Flow): Promise<boolean> {
    try {
      return (await accept(message)) === 'kept';
    } catch (error) {
      log.error('scaip-accept-failed', { protocol: 'scaip', source: sourceOf(flow), error });
      return false;
    }
  }
}

/** What of a MESSAGE the centre needs; pure. */
export function readMessage(request: SipRequest, flow: Flow): ScaipMessage {
  const { raw, decoded } = readBody(request);
  const fromUser = userOf(parseNameAddress(header(request, 'from') ?? '').uri);
  return {
    ...decoded,
    raw,
    cut: request.bodyCut,
    source: { address: flow.remote.address, port: flow.remote.port, transport: flow.transport },
    fromUser,
    identityMismatch: fromUser !== null && decoded.cid !== null && !sameIdentity(fromUser, decoded.cid),
  };
}

/** The declared body; when that is unreadable, with what the datagram holds behind it (a length in characters is too short). */
function readBody(request: SipRequest): { readonly raw: Uint8Array; readonly decoded: DecodedBody } {
  const decoded = decodeBody(request.body);
  if (decoded.request !== null || request.rest.length === 0) return { raw: request.body, decoded };
  const all = Buffer.concat([request.body, request.rest]);
  return { raw: all, decoded: decodeBody(all) };
}

function userOf(uri: string | null): string | null {
  const user = uri === null ? null : (parseUri(uri)?.user ?? null);
  return user === null ? null : readable(Buffer.from(user, 'latin1'), 128).trim() || null;
}

/** Controller ids are digits: leading zeros make no difference. */
function sameIdentity(a: string, b: string): boolean {
  const plain = (text: string): string => text.replace(/^0+(?=\d)/, '');
  return plain(a) === plain(b);
}

/**
 * Whom the reply names: Request-URI = the From user at the packet's source, To = the request's From, From = its To
 * (reference § 1). What cannot be written into a header is left out; nothing of this decides where it is sent.
 */
function replyAddresses(
  request: SipRequest,
  message: ScaipMessage,
  flow: Flow,
): { uri: string; to: string; from: string; reachedAs: string } {
  const { remote, local, transport } = flow;
  const user = [message.fromUser, message.cid].find((one) => one !== null && /^[A-Za-z0-9._+-]{1,64}$/.test(one));
  const suffix = transport === 'udp' ? '' : `;transport=${transport}`;
  const uri = `sip:${user === undefined ? '' : `${user}@`}${uriHost(remote.address)}:${remote.port}${suffix}`;
  const from = parseNameAddress(header(request, 'to') ?? '').uri;
  const to = parseNameAddress(header(request, 'from') ?? '').uri;
  return {
    uri,
    to: `<${to !== null && writableUri(to) ? to : uri}>`,
    from: `<${from !== null && writableUri(from) ? from : `sip:${uriHost(local.address)}:${local.port}`}>`,
    reachedAs: request.uri,
  };
}
