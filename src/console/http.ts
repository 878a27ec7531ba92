/** The console's HTTP side: a fastify server that carries the routes, with the rules that hold for all of them. */
import helmet from '@fastify/helmet';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Histogram, type Registry } from 'prom-client';
import type { z } from 'zod';
import type { Clock } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Role } from '../alarms/command.ts';
import type { Viewer } from '../people/access.ts';
import type { Credentials } from '../people/accounts.ts';
import { type AlarmRouteParts, alarmRoutes } from './alarm-routes.ts';
import { Buckets } from './bucket.ts';
import { type DeskRouteParts, deskRoutes } from './desk-routes.ts';
import { type HealthCheck, healthRoutes } from './health-routes.ts';
import { openApiOf } from './openapi.ts';
import { type OriginRule, originAllowed } from './origin.ts';
import { answerNavigation, cachingOf, servePages } from './pages.ts';
import { type ReportRouteParts, reportRoutes } from './report-routes.ts';
import { type Answer, type Route, json, openRoute, problem } from './route.ts';
import { BODY_LIMIT, type Listening, listen, serverOf, stop } from './server.ts';
import { type SessionRouteParts, sessionRoutes } from './session-routes.ts';
import type { Sessions } from './session.ts';
import { createSignIn } from './sign-in.ts';
import { type WatchRouteParts, watchRoutes } from './watch-routes.ts';

export interface ConsoleParts
  extends
    AlarmRouteParts,
    DeskRouteParts,
    ReportRouteParts,
    WatchRouteParts,
    Omit<SessionRouteParts, 'signIn' | 'secure' | 'credentials'>,
    OriginRule {
  readonly duty: AlarmRouteParts['duty'] & DeskRouteParts['duty'];
  readonly sessions: Sessions;
  readonly credentials: Credentials;
  readonly checks: readonly HealthCheck[];
  readonly registry: Registry;
  readonly clock: Clock;
  readonly log: Log;
  /** PEM; null: plain HTTP (behind a proxy, or on loopback). */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  /** Absolute path of build/console. */
  readonly webRoot: string;
  readonly version: string;
}

export interface Console {
  /** `app.server` is where the WebSocket's upgrade arrives. */
  readonly app: FastifyInstance;
  readonly routes: readonly Route[];
  /** @throws CentreError port-in-use, port-not-allowed */
  listen(bind: string, port: number): Promise<Listening>;
  /** Takes nothing new and lets what is in hand finish. */
  stop(): Promise<void>;
}

/** Of these nobody is counted: they are asked often, and by machines. */
const UNCOUNTED = new Set(['/healthz', '/readyz', '/metrics']);

export function createConsole(parts: ConsoleParts): Console {
  const { publicUrl, trustProxy, tls, sessions, credentials, clock, log, registry, version, webRoot } = parts;
  const secure = tls !== null || (publicUrl?.startsWith('https:') ?? false);
  const signIn = createSignIn({ credentials, clock, log });
  const routes: Route[] = [
    ...sessionRoutes({ ...parts, signIn, secure }),
    ...alarmRoutes(parts),
    ...deskRoutes(parts),
    ...reportRoutes(parts),
    ...watchRoutes(parts),
    ...healthRoutes(parts),
    openRoute({
      method: 'GET',
      path: '/api/v1/openapi.json',
      summary: 'This document.',
      ok: { status: 200, schema: null, type: 'application/json' },
      handle: () => Promise.resolve(json(document)),
    }),
  ];
  const document = openApiOf(routes, version);
  const routePaths = new Set(routes.map(({ path }) => fastifyPath(path)));
  const app = serverOf(tls, trustProxy, (reply) => send(reply, problem('invalid-request', 'The address cannot be read.')));
  const limits = { account: new Buckets(clock, 2000, 5), stranger: new Buckets(clock, 1000, 20) };
  const took = new Histogram({
    name: 'http_request_seconds',
    help: 'Time from request to answer, by route and status',
    labelNames: ['route', 'method', 'status'],
    buckets: [0.002, 0.01, 0.05, 0.2, 1, 5],
    registers: [registry],
  });

  void app.register(helmet, {
    contentSecurityPolicy: { useDefaults: false, directives: CSP },
    hsts: secure,
    frameguard: { action: 'deny' },
  });
  app.removeContentTypeParser('text/plain');
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    // Scripts send the header on requests without a body too.
    if (body === '') done(null, undefined);
    else void parseJson(request, body, done);
  });
  app.addHook('onRequest', async (request, reply) => {
    const changes = !['GET', 'HEAD', 'OPTIONS'].includes(request.method);
    if (changes && !originAllowed(request.headers, { publicUrl, trustProxy })) {
      log.warn('foreign-origin-refused', { source: request.ip });
      return send(reply, problem('foreign-origin', 'Pages of other sites may not act here; see PUBLIC_URL if this is your own address.'));
    }
    return undefined;
  });
  app.addHook('onSend', async (request, reply) => {
    const ours = routePaths.has(request.routeOptions.url ?? '') || request.url.startsWith('/api/');
    void reply.header('cache-control', cachingOf(request.url, reply.statusCode, !ours));
    return undefined;
  });
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    took.observe({ route, method: request.method, status: String(reply.statusCode) }, reply.elapsedTime / 1000);
  });
  app.setErrorHandler((error, request, reply) => send(reply, failed(error, request)));
  app.setNotFoundHandler(async (request, reply) => {
    if (await answerNavigation(request, reply, webRoot)) return reply;
    return send(reply, problem('unknown-route', 'See /api/v1/openapi.json for what there is.'));
  });

  for (const route of routes) {
    app.route({
      method: route.method,
      url: fastifyPath(route.path),
      handler: async (request, reply) => send(reply, await answer(route, request)),
    });
  }
  servePages(app, webRoot);

  async function answer(route: Route, request: FastifyRequest): Promise<Answer> {
    const { access } = route;
    const viewer = access === 'anyone' ? null : await sessions.viewer(request.headers.cookie);
    const over = UNCOUNTED.has(route.path) ? null : overLimit(viewer, request.ip);
    if (over !== null) return over;
    if (access !== 'anyone') {
      if (viewer === null) return problem('no-session', 'Sign in with POST /api/v1/session.');
      if (access !== 'signed-in' && !hasRole(viewer, access)) return problem('role-missing', `This is for ${access.join(' or ')}.`);
    }
    const query = route.query === null ? { value: undefined } : checked(route.query, request.query);
    if ('answer' in query) return query.answer;
    const body = route.body === null ? { value: undefined } : checked(route.body, request.body ?? {});
    if ('answer' in body) return body.answer;
    const params = request.params as Readonly<Record<string, string>>;
    return route.handle({ params, query: query.value, body: body.value, headers: request.headers, address: request.ip }, viewer);
  }

  function overLimit(viewer: Viewer | null, address: string): Answer | null {
    const [buckets, key] = viewer === null ? ([limits.stranger, address] as const) : ([limits.account, viewer.account] as const);
    const wait = buckets.wait(key);
    if (wait === 0) {
      buckets.take(key);
      return null;
    }
    return problem('too-many-requests', 'Ask less often.', {}, { 'retry-after': String(Math.max(1, Math.ceil(wait / 1000))) });
  }

  function failed(error: unknown, request: FastifyRequest): Answer {
    if (error instanceof CentreError && error.kind === 'store') {
      return problem('store-away', 'Nothing was changed that was not answered for; try again shortly.', {}, { 'retry-after': '1' });
    }
    const status = error instanceof Error && 'statusCode' in error ? error.statusCode : 500;
    if (status === 413) return problem('body-too-large', `The body may have at most ${BODY_LIMIT} bytes.`);
    if (status === 415) return problem('not-json', 'Send the body as application/json.');
    if (typeof status === 'number' && status >= 400 && status < 500) {
      const isJson = systemCode(error)?.startsWith('FST_ERR_CTP') === true || error instanceof SyntaxError;
      return isJson ? problem('invalid-json', 'The body is not JSON.') : problem('invalid-request', 'The request cannot be read.');
    }
    log.error('request-failed', { error, path: request.routeOptions.url ?? 'none' });
    return problem('internal', 'The fault was logged. What was answered for before is safe.');
  }

  return { app, routes, listen: (bind, port) => listen(app, bind, port, tls !== null), stop: () => stop(app, clock) };
}

const fastifyPath = (path: string): string => path.replace(/\{(\w+)\}/g, ':$1');

const hasRole = ({ roles }: Viewer, wanted: readonly Role[]): boolean => wanted.some((role) => roles.includes(role));

/** Nothing of another host is loaded, and nobody may frame the console. Styles: Designsystemet sets some on elements. */
const CSP = {
  defaultSrc: ["'self'"],
  styleSrc: ["'self'", "'unsafe-inline'"],
  connectSrc: ["'self'"],
  imgSrc: ["'self'", 'data:', 'blob:'],
  objectSrc: ["'none'"],
  baseUri: ["'self'"],
  formAction: ["'self'"],
  frameAncestors: ["'none'"],
};

function checked(schema: z.ZodType, given: unknown): { value: unknown } | { answer: Answer } {
  const read = schema.safeParse(given);
  if (read.success) return { value: read.data };
  const errors = read.error.issues.flatMap((issue) => {
    const names = issue.code === 'unrecognized_keys' ? issue.keys : [issue.path.map(String).join('.')];
    return names.map((field) => ({
      field,
      message: issue.code === 'unrecognized_keys' ? 'is not a field of this request' : issue.message,
    }));
  });
  const detail = errors.map(({ field, message }) => `${field === '' ? 'The body' : `"${field}"`}: ${message}.`).join(' ');
  return { answer: problem('invalid-request', detail, { errors }) };
}

function send(reply: FastifyReply, { status, body, type, headers }: Answer): FastifyReply {
  void reply.status(status);
  if (headers !== undefined) void reply.headers(headers);
  if (body === undefined) return reply.send();
  void reply.type(type ?? 'application/json; charset=utf-8');
  return reply.send(typeof body === 'string' ? body : JSON.stringify(body));
}
