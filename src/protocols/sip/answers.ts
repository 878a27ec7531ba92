/** What is answered without asking anyone: heads that cannot be worked with, methods, extensions that are required of us. */
import { splitList } from './address.ts';
import type { HeadFault, SipHeader, SipRequest } from './message.ts';
import type { Answer } from './write.ts';

/** The answer to a head that cannot be worked with. */
export const FAULT_ANSWERS: Readonly<Record<HeadFault, Answer>> = {
  'missing-via': { status: 400, reason: 'Missing Via' },
  'missing-from': { status: 400, reason: 'Missing From' },
  'missing-to': { status: 400, reason: 'Missing To' },
  'missing-call-id': { status: 400, reason: 'Missing Call-ID' },
  'missing-cseq': { status: 400, reason: 'Missing CSeq' },
  'bad-cseq': { status: 400, reason: 'Bad CSeq' },
  'bad-content-length': { status: 400, reason: 'Bad Content-Length' },
  'unterminated-head': { status: 400, reason: 'Unterminated Header' },
  'too-many-headers': { status: 400, reason: 'Too Many Headers' },
  'head-too-large': { status: 513, reason: 'Message Too Large' },
  'wrong-version': { status: 505, reason: 'Version Not Supported' },
};

/** The methods that somebody handles here. */
export function allow(handled: { readonly register: boolean; readonly call: boolean }): SipHeader {
  const methods = ['MESSAGE', 'OPTIONS', ...(handled.register ? ['REGISTER'] : []), ...(handled.call ? ['INVITE', 'ACK', 'CANCEL'] : [])];
  return { name: 'allow', value: methods.join(', ') };
}

/** Nobody takes the call, for now. */
export const NO_ANSWER_TO_CALL: Answer = { status: 480, reason: 'Temporarily Unavailable' };
/** No dialog and no transaction of ours. */
export const NO_SUCH_CALL: Answer = { status: 481, reason: 'Call/Transaction Does Not Exist' };

/** The answer to a request that nobody handles; null: none (ACK is never answered). */
export function answerByMethod(method: string, allowed: SipHeader = allow({ register: false, call: false })): Answer | null {
  if (method === 'ACK') return null;
  if (method === 'INVITE') return NO_ANSWER_TO_CALL;
  if (method === 'BYE' || method === 'CANCEL') return NO_SUCH_CALL;
  return { status: 405, reason: 'Method Not Allowed', headers: [allowed] };
}

/** 420 to a request that requires extensions, since we have none (RFC 3261 § 8.2.2.3); else null. */
export function refuseExtensions(request: SipRequest): Answer | null {
  const tags = request.headers.flatMap(({ name, value }) => (name === 'require' ? splitList(value) : []));
  if (tags.length === 0) return null;
  const unsupported = tags.filter((tag) => /^[A-Za-z0-9!%*_+`'~.-]{1,64}$/.test(tag));
  return { status: 420, reason: 'Bad Extension', headers: [{ name: 'unsupported', value: unsupported.join(', ') }] };
}
