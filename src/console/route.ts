/** What a route of the API is: the address, who may call it, what goes in and out, and what it does; HTTP itself is http.ts. */
import type { IncomingHttpHeaders } from 'node:http';
import type { z } from 'zod';
import type { Role } from '../alarms/command.ts';
import type { Viewer } from '../people/access.ts';
import { type ProblemCode, type ProblemExtra, problemOf, statusOf } from './problem.ts';

export interface Request<Q, B> {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Q;
  readonly body: B;
  readonly headers: IncomingHttpHeaders;
  /** Of the client; of the nearest proxy's client where TRUST_PROXY says so. */
  readonly address: string;
}

export interface Answer {
  readonly status: number;
  /** Written as JSON unless `type` says otherwise; undefined: no body. */
  readonly body: unknown;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Nobody in particular, anybody who is signed in, or one of these roles. */
export type Access = 'anyone' | 'signed-in' | readonly Role[];

export interface Route {
  readonly method: 'GET' | 'POST' | 'DELETE';
  /** With `{name}` for a part that varies, as OpenAPI writes it. */
  readonly path: string;
  readonly summary: string;
  readonly access: Access;
  readonly query: z.ZodType | null;
  readonly body: z.ZodType | null;
  /** The answer when all is well: its status and schema (null: none, or not JSON). */
  readonly ok: { readonly status: number; readonly schema: z.ZodType | null; readonly type?: string };
  /** Problems of this route beside those that any route can have. */
  readonly problems: readonly ProblemCode[];
  readonly handle: (request: Request<unknown, unknown>, viewer: Viewer | null) => Promise<Answer>;
}

type Described<Q extends z.ZodType, B extends z.ZodType> = Omit<Route, 'query' | 'body' | 'problems' | 'handle' | 'access'> & {
  readonly query?: Q;
  readonly body?: B;
  readonly problems?: readonly ProblemCode[];
};

/** A route for signed-in people. http.ts has checked query and body with the schemas before `handle` is called. */
export function route<Q extends z.ZodType, B extends z.ZodType>(
  described: Described<Q, B> & {
    readonly access?: readonly Role[];
    readonly handle: (request: Request<z.output<Q>, z.output<B>>, viewer: Viewer) => Promise<Answer>;
  },
): Route {
  const { handle } = described;
  return {
    ...described,
    access: described.access ?? 'signed-in',
    query: described.query ?? null,
    body: described.body ?? null,
    problems: described.problems ?? [],
    handle: (request, viewer) => {
      if (viewer === null) throw new TypeError(`${described.path} was called without a viewer`);
      return handle({ ...request, query: request.query as z.output<Q>, body: request.body as z.output<B> }, viewer);
    },
  };
}

/** A route that needs no session. */
export function openRoute<Q extends z.ZodType, B extends z.ZodType>(
  described: Described<Q, B> & { readonly handle: (request: Request<z.output<Q>, z.output<B>>) => Promise<Answer> },
): Route {
  const { handle } = described;
  return {
    ...described,
    access: 'anyone',
    query: described.query ?? null,
    body: described.body ?? null,
    problems: described.problems ?? [],
    handle: (request) => handle({ ...request, query: request.query as z.output<Q>, body: request.body as z.output<B> }),
  };
}

export const json = (body: unknown, headers?: Answer['headers']): Answer => ({ status: 200, body, ...(headers && { headers }) });

export const problem = (code: ProblemCode, detail: string, extra?: ProblemExtra, headers?: Answer['headers']): Answer => ({
  status: statusOf(code),
  body: problemOf(code, detail, extra),
  type: 'application/problem+json; charset=utf-8',
  ...(headers && { headers }),
});
