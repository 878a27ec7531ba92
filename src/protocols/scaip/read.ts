/** What of a SIP MESSAGE the centre needs, and whom the reply to it names. Pure. */
import { readable } from '../../base/bytes.ts';
import { parseNameAddress, parseUri, uriHost, writableUri } from '../sip/address.ts';
import type { Flow, Transport } from '../sip/flow.ts';
import { type SipRequest, header } from '../sip/message.ts';
import { type DecodedBody, decodeBody } from './decode.ts';
import type { ScaipRequest } from './message.ts';

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
  readonly source: { readonly address: string; readonly port: number; readonly transport: Transport };
  /** User part of the From header. */
  readonly fromUser: string | null;
  /** From user and `cid` are both there and differ. */
  readonly identityMismatch: boolean;
}

export function readMessage(request: SipRequest, flow: Flow): ScaipMessage {
  const { raw, decoded } = readBody(request);
  const fromUser = userOf(request, 'from');
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

/** The user part of the address in a header; null when there is none. */
export function userOf(request: SipRequest, name: 'from' | 'to'): string | null {
  const { uri } = parseNameAddress(header(request, name) ?? '');
  const user = uri === null ? null : (parseUri(uri)?.user ?? null);
  return user === null ? null : readable(Buffer.from(user, 'latin1'), 128).trim() || null;
}

/** Controller ids are digits: leading zeros make no difference. */
function sameIdentity(a: string, b: string): boolean {
  const plain = (text: string): string => text.replace(/^0+(?=\d)/, '');
  return plain(a) === plain(b);
}

/** Whom a reply names; what cannot be written into a header is null. Nothing of this decides where it is sent. */
export interface ReplyNames {
  /** The From user, else the `cid`. */
  readonly user: string | null;
  readonly to: string | null;
  readonly from: string | null;
  /** The URI by which the unit reached us. */
  readonly reachedAs: string;
}

/** To = the request's From, From = its To (reference § 1). */
export function namesForReply(request: SipRequest, message: ScaipMessage): ReplyNames {
  const written = (name: string): string | null => {
    const { uri } = parseNameAddress(header(request, name) ?? '');
    return uri !== null && writableUri(uri) ? uri : null;
  };
  const user = [message.fromUser, message.cid].find((one) => one !== null && /^[A-Za-z0-9._+-]{1,64}$/.test(one)) ?? null;
  return { user, to: written('from'), from: written('to'), reachedAs: request.uri };
}

/** The lines that say whom a reply on this flow names: the Request-URI is the user at the source of the packet. */
export function addressReply(
  { user, to, from }: ReplyNames,
  { remote, local, transport }: Flow,
): { uri: string; to: string; from: string } {
  const suffix = transport === 'udp' ? '' : `;transport=${transport}`;
  const uri = `sip:${user === null ? '' : `${user}@`}${uriHost(remote.address)}:${remote.port}${suffix}`;
  return { uri, to: `<${to ?? uri}>`, from: `<${from ?? `sip:${uriHost(local.address)}:${local.port}`}>` };
}
