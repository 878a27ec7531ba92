/** The server under the console: its limits, how it opens its port and how it stops. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type FastifyInstance, type FastifyReply, fastify } from 'fastify';
import { type Clock, type Milliseconds, seconds } from '../base/clock.ts';
import { CentreError, systemCode } from '../base/errors.ts';

export const BODY_LIMIT = 64 * 1024;

export interface Listening {
  readonly url: string;
  readonly host: string;
  readonly port: number;
}

/** A fastify that writes no log of its own. `unroutable` answers a request whose address is none. */
export function serverOf(
  tls: { readonly cert: string; readonly key: string } | null,
  trustProxy: boolean,
  unroutable: (reply: FastifyReply) => FastifyReply,
): FastifyInstance {
  const options = {
    logger: false,
    bodyLimit: BODY_LIMIT,
    requestTimeout: seconds(30),
    forceCloseConnections: 'idle',
    // An address that cannot be decoded reaches no route and no error handler.
    frameworkErrors: (_error: Error, _request: unknown, reply: FastifyReply) => void unroutable(reply),
    // The nearest proxy only: what stands further left in X-Forwarded-For is the client's own word.
    trustProxy: trustProxy ? (_address: string, hop: number) => hop < 1 : false,
  } as const;
  const app: unknown = tls === null ? fastify(options) : fastify({ ...options, https: { cert: tls.cert, key: tls.key } });
  // With TLS only the server's class differs, of which nobody here uses more than net.Server has.
  return app as FastifyInstance;
}

/** @throws CentreError port-in-use, port-not-allowed */
export async function listen(app: FastifyInstance, bind: string, port: number, tls: boolean): Promise<Listening> {
  try {
    await app.listen({ host: bind, port });
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EADDRINUSE') {
      const message = `HTTP_PORT ${port} is in use on ${bind}: stop the other program, or set HTTP_PORT to another port (0 takes a free one).`;
      throw new CentreError('port-in-use', message, { cause: error });
    }
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL') {
      const message = `HTTP_PORT ${port} cannot be opened on ${bind} (${code}): set HTTP_PORT above 1023, and BIND to an address of this machine.`;
      throw new CentreError('port-not-allowed', message, { cause: error });
    }
    throw error;
  }
  const { address, port: taken, family } = addressOf(app.server);
  const host = family === 'IPv6' ? `[${address}]` : address;
  return { url: `${tls ? 'https' : 'http'}://${host}:${taken}`, host: address, port: taken };
}

function addressOf(server: Server): AddressInfo {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new TypeError('the HTTP server has no address');
  return address;
}

/** How long an answer that is under way may take before its connection is cut. */
const LAST_ANSWERS: Milliseconds = seconds(4);

export async function stop(app: FastifyInstance, clock: Clock): Promise<void> {
  const impatient = clock.after(LAST_ANSWERS, () => app.server.closeAllConnections());
  try {
    await app.close();
  } finally {
    impatient.cancel();
  }
}
