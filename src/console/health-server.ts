/** The HTTP side of a process without the console: alive, fit, measured, and nothing else. */
import type { FastifyReply } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { type HealthParts, healthRoutes } from './health-routes.ts';
import { type Answer, problem } from './route.ts';
import { type Listening, listen, serverOf, stop } from './server.ts';

export interface HealthServerParts extends HealthParts {
  /** PEM; null: plain HTTP. */
  readonly tls: { readonly cert: string; readonly key: string } | null;
  readonly clock: Clock;
}

export interface HealthServer {
  /** @throws CentreError port-in-use, port-not-allowed */
  listen(bind: string, port: number): Promise<Listening>;
  stop(): Promise<void>;
}

export function createHealthServer(parts: HealthServerParts): HealthServer {
  const { tls, clock } = parts;
  const unknown = problem('unknown-route', 'This process has no console: /healthz, /readyz and /metrics are all that it answers.');
  const app = serverOf(tls, false, (reply) => send(reply, unknown));
  const request = { params: {}, query: undefined, body: undefined, headers: {}, address: '' };
  for (const { path, handle } of healthRoutes(parts)) app.get(path, async (_request, reply) => send(reply, await handle(request, null)));
  app.setNotFoundHandler((_request, reply) => send(reply, unknown));
  app.setErrorHandler((_error, _request, reply) => send(reply, problem('internal', 'The figures could not be read.')));
  return { listen: (bind, port) => listen(app, bind, port, tls !== null), stop: () => stop(app, clock) };
}

function send(reply: FastifyReply, { status, body, type }: Answer): FastifyReply {
  void reply.status(status).type(type ?? 'application/json; charset=utf-8');
  return reply.send(typeof body === 'string' ? body : JSON.stringify(body));
}
