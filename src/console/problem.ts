/** Problem documents (RFC 9457): the catalogue of codes that a caller can meet, and how one is written. */
import { REFUSALS, type RefusalCode } from '../alarms/command.ts';
import { DUTY_REFUSALS, type DutyRefusal } from '../escalation/duty-order.ts';

interface Kind {
  readonly status: number;
  readonly title: string;
}

const OWN = {
  'no-session': { status: 401, title: 'Not signed in' },
  'no-accounts': { status: 401, title: 'There are no accounts yet' },
  'wrong-credentials': { status: 401, title: 'Wrong username or password' },
  'slowed-down': { status: 429, title: 'Too many failed attempts' },
  'too-many-requests': { status: 429, title: 'Too many requests' },
  'foreign-origin': { status: 403, title: 'The request comes from a page of another site' },
  'role-missing': { status: 403, title: 'The account does not have the role for this' },
  'gateway-unknown': { status: 401, title: 'Not the SMS gateway of this centre' },
  'unknown-message': { status: 404, title: 'There is no such message' },
  'unknown-route': { status: 404, title: 'There is nothing at this address' },
  'unknown-alarm': { status: 404, title: 'There is no such alarm' },
  'unknown-household': { status: 404, title: 'There is no such household' },
  'invalid-request': { status: 400, title: 'The request is not as it must be' },
  'invalid-json': { status: 400, title: 'The body is not JSON' },
  'invalid-cursor': { status: 400, title: 'The cursor is not one that this centre gave' },
  'body-too-large': { status: 413, title: 'The body is too large' },
  'not-json': { status: 415, title: 'The body must be application/json' },
  'store-away': { status: 503, title: 'The database does not answer' },
  'intake-away': { status: 503, title: 'The intake process that keeps the alarm does not answer' },
  'claim-not-kept': { status: 503, title: 'The claim could not be kept' },
  'still-provisional': { status: 409, title: 'The alarm is provisional: it can be claimed and nothing else' },
  'console-not-built': { status: 503, title: 'The console has not been built' },
  internal: { status: 500, title: 'A fault in the centre' },
} as const satisfies Record<string, Kind>;

/** Refusals of the desk and of the roster: 409, except what the caller may never do. */
const REFUSED_TITLES: Readonly<Record<RefusalCode | DutyRefusal, string>> = {
  'already-closed': 'The alarm is closed',
  'taken-by-another': 'Another operator has the alarm',
  'no-confirmed-contact': 'Nobody has confirmed contact with the person',
  overtaken: 'A signal came that the caller has not seen',
  'not-allowed': 'The account may not do this',
  'not-claimed': 'Nobody has the alarm',
  'not-asked': 'The account was not asked to go',
  'accepted-by-another': 'Another responder has accepted',
  'already-accepted': 'The account has already accepted',
  'not-accepted': 'Nobody has accepted',
  'already-on-site': 'Already on site',
  'not-on-site': 'Not on site yet',
  'not-due': 'The deadline is no longer the armed one',
  'nobody-on-duty': 'Nobody is on duty there',
  'unknown-recipient': 'There is no such team or person for this alarm',
  'reason-required': 'A reason must be written',
  'nothing-to-withdraw': 'There is nothing to take back',
  'not-snoozable': 'The alarm cannot be put aside now',
  'unknown-account': 'There is no such account',
  'unknown-team': 'There is no such team',
  'team-required': 'The team must be named',
  'not-a-member': 'The account is not a member of the team',
  'wrong-role': 'The account does not have the role of the team',
  'municipality-not-served': 'The account does not serve the municipality of the team',
  'until-invalid': 'The end is over already, too far away, or no time',
  'not-on-duty': 'That person is not on duty',
};

export type ProblemCode = keyof typeof OWN | RefusalCode | DutyRefusal;

const isOwn = (code: ProblemCode): code is keyof typeof OWN => Object.hasOwn(OWN, code);

const kindOf = (code: ProblemCode): Kind =>
  isOwn(code) ? OWN[code] : { status: code === 'not-allowed' ? 403 : 409, title: REFUSED_TITLES[code] };

/** Every code that the HTTP side can answer with. */
export const PROBLEM_CODES: readonly ProblemCode[] = [
  ...Object.keys(OWN).filter((code): code is keyof typeof OWN => Object.hasOwn(OWN, code)),
  ...REFUSALS,
  ...DUTY_REFUSALS.filter((code) => !(REFUSALS as readonly string[]).includes(code)),
];

export const statusOf = (code: ProblemCode): number => kindOf(code).status;

export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
  /** The account that stands in the way. */
  readonly by?: string;
  /** What to run. */
  readonly command?: string;
  /** What is wrong with which field of the request. */
  readonly errors?: readonly { readonly field: string; readonly message: string }[];
}

export type ProblemExtra = Pick<Problem, 'by' | 'command' | 'errors'>;

/** @param detail one sentence about this case, in English; a console shows its own words for the code */
export function problemOf(code: ProblemCode, detail: string, extra: ProblemExtra = {}): Problem {
  const { status, title } = kindOf(code);
  return { type: `urn:responssenter:problem:${code}`, title, status, detail, code, ...extra };
}
