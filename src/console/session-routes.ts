/** Sign in, who am I, sign out; and what a page may know before anybody has signed in. */
import { z } from 'zod';
import { CentreError } from '../base/errors.ts';
import type { Centre } from '../people/centre.ts';
import type { Credentials } from '../people/accounts.ts';
import type { Viewer } from '../people/access.ts';
import { CENTRE, SESSION } from './api-schema.ts';
import { type Answer, type Route, json, openRoute, problem } from './route.ts';
import { cookieOf } from './session-cookie.ts';
import type { Sessions } from './session.ts';
import type { SignIn } from './sign-in.ts';

export interface SessionRouteParts {
  readonly sessions: Sessions;
  readonly signIn: SignIn;
  readonly credentials: Pick<Credentials, 'any'>;
  readonly centre: Pick<Centre, 'name' | 'phone'>;
  readonly demo: boolean;
  /** Called when somebody has signed out, so that their sockets end at once. */
  readonly signedOut?: (account: string) => void;
  /** The cookie is for https only. */
  readonly secure: boolean;
}

const FIRST_ACCOUNT = 'npm run admin -- user add <username> --name "<full name>" --role supervisor --municipality all';

const sessionOf = ({ account, name, roles, municipalities }: Viewer) => ({ account, name, roles, municipalities });

const noAccounts = (): Answer =>
  problem('no-accounts', 'Nobody can sign in yet: make the first account on the command line.', { command: FIRST_ACCOUNT });

const cannotSignIn = (): Answer =>
  problem(
    'store-away',
    'Nobody can sign in while the database is away; whoever is signed in stays so. Try again shortly.',
    {},
    { 'retry-after': '2' },
  );

/** Null also when that cannot be known now: whoever wants to sign out is signed out all the same. */
async function viewerOf(sessions: Sessions, cookie: string | undefined): Promise<Viewer | null> {
  try {
    return await sessions.viewer(cookie);
  } catch (error) {
    if (error instanceof CentreError && error.kind === 'store') return null;
    throw error;
  }
}

export function sessionRoutes({ sessions, signIn, credentials, centre, demo, signedOut, secure }: SessionRouteParts): Route[] {
  return [
    openRoute({
      method: 'GET',
      path: '/api/v1/centre',
      summary: 'The name of the centre and the number that reaches it.',
      ok: { status: 200, schema: CENTRE },
      handle: () => Promise.resolve(json({ name: centre.name, phone: centre.phone, demo })),
    }),
    openRoute({
      method: 'GET',
      path: '/api/v1/session',
      summary: 'Who am I: name, roles, municipalities ("*" for all).',
      ok: { status: 200, schema: SESSION },
      problems: ['no-session', 'no-accounts'],
      async handle({ headers }) {
        const viewer = await sessions.viewer(headers.cookie);
        if (viewer !== null) return json(sessionOf(viewer));
        if (sessions.storeAway()) return cannotSignIn();
        return (await credentials.any()) ? problem('no-session', 'Sign in with POST /api/v1/session.') : noAccounts();
      },
    }),
    openRoute({
      method: 'POST',
      path: '/api/v1/session',
      summary: 'Signs in; sets the cookie "session". Slowed down after repeated failures.',
      body: z.strictObject({ username: z.string().min(1).max(64), password: z.string().min(1).max(1024) }),
      ok: { status: 200, schema: SESSION },
      problems: ['wrong-credentials', 'no-accounts', 'slowed-down'],
      async handle({ body: { username, password }, address, headers }) {
        // A store that hangs would let each try wait for seconds.
        if (sessions.storeAway()) return cannotSignIn();
        const answer = await signIn.try(username, password, address);
        if ('account' in answer) {
          // A session that the browser still has is not carried over into the new one.
          await sessions.end(headers.cookie);
          const { token, maxAge } = await sessions.open(answer.account.account);
          return json(sessionOf(answer.account), { 'set-cookie': cookieOf(token, maxAge, secure) });
        }
        if (answer.refused === 'slowed-down') {
          const wait = Math.max(1, Math.ceil(answer.waitMs / 1000));
          return problem('slowed-down', `Try again in ${wait} s.`, {}, { 'retry-after': String(wait) });
        }
        if (answer.refused === 'no-accounts') return noAccounts();
        return problem('wrong-credentials', 'The username or the password is wrong.');
      },
    }),
    openRoute({
      method: 'DELETE',
      path: '/api/v1/session',
      summary: 'Signs out.',
      ok: { status: 204, schema: null },
      async handle({ headers }) {
        const viewer = await viewerOf(sessions, headers.cookie);
        await sessions.end(headers.cookie);
        if (viewer !== null) signedOut?.(viewer.account);
        return { status: 204, body: undefined, headers: { 'set-cookie': cookieOf(null, 0, secure) } };
      },
    }),
  ];
}
