/** Opens a listening TCP or TLS socket; a port that cannot be had becomes one sentence that names its setting. */
import { createHash } from 'node:crypto';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { type PeerCertificate, TLSSocket, Server as TlsServer, createServer as createTlsServer } from 'node:tls';
import { CentreError, systemCode } from '../../base/errors.ts';
import type { ClientCertificate } from './broker-options.ts';

export interface ListenOptions {
  readonly bind: string;
  /** 0: any free one. */
  readonly port: number;
  /** What the port is called where people set it, for the error. */
  readonly setting: 'MQTT_PORT' | 'MQTTS_PORT';
  readonly tls?: TlsIdentity;
  readonly connected: (socket: Socket) => void;
  /** A TLS handshake that failed, by the other end's address. */
  readonly handshakeFailed: (address: string) => void;
}

/** PEM. */
export interface TlsIdentity {
  readonly cert: string | Buffer;
  readonly key: string | Buffer;
  /** PEM of who issues the clients' certificates. */
  readonly clientCa?: string;
  /** Told of each renewed pair; what comes back ends that. Open connections keep the old one. */
  readonly onChange?: (renewed: (pair: Pick<TlsIdentity, 'cert' | 'key'>) => void) => () => void;
}

/** Ten thousand devices that come back at once queue here; the system's own limit (net.core.somaxconn) may be lower. */
const BACKLOG = 4096;
/** How long a TLS handshake may take, in milliseconds. */
const HANDSHAKE_MS = 10_000;

/** @throws CentreError port-in-use, port-not-allowed */
export async function listen(options: ListenOptions): Promise<Server> {
  // Half-open: the acknowledgements of what came before a FIN are still owed.
  const server =
    options.tls === undefined
      ? createServer({ allowHalfOpen: true, noDelay: true }, options.connected)
      : createTlsServer({ ...secureContextOf(options.tls), ...CLIENTS, allowHalfOpen: true, handshakeTimeout: HANDSHAKE_MS }, (socket) => {
          socket.setNoDelay(true);
          options.connected(socket);
        });
  if (server instanceof TlsServer) {
    const forget = options.tls?.onChange?.((pair) => server.setSecureContext(secureContextOf({ ...options.tls, ...pair })));
    server.on('close', () => forget?.());
  }
  server.on('tlsClientError', (_error: Error, socket: Socket) => options.handshakeFailed(socket.remoteAddress ?? ''));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: Error) => reject(explained(error, options)));
    server.listen({ host: options.bind, port: options.port, backlog: BACKLOG }, resolve);
  });
  server.removeAllListeners('error');
  // Accepting fails for a while when the process is out of file descriptors: the connections that are there go on.
  server.on('error', () => undefined);
  return server;
}

/**
 * All that a secure context depends on: a renewed one replaces the whole. Without a CA of our own nobody's word counts, not
 * that of the public ones, which Node would take.
 */
const secureContextOf = ({ cert, key, clientCa }: Pick<TlsIdentity, 'cert' | 'key' | 'clientCa'>) => ({
  cert,
  key,
  ca: clientCa ?? [],
  minVersion: 'TLSv1.2' as const,
});

/** Asked for, not required: who shows no certificate, or one that nobody issued, is asked for its secret. */
const CLIENTS = { requestCert: true, rejectUnauthorized: false } as const;

/** What the client showed; null: nothing. The handshake has proven that it holds the key. */
export function certificateOf(socket: Socket): ClientCertificate | null {
  if (!(socket instanceof TLSSocket)) return null;
  // Null for a socket that is closed already; without a certificate an object without fields.
  const shown = socket.getPeerCertificate() as Partial<PeerCertificate> | null;
  if (shown?.raw === undefined) return null;
  const name: unknown = shown.subject?.CN;
  return {
    sha256: createHash('sha256').update(shown.raw).digest(),
    commonName: socket.authorized && typeof name === 'string' ? name : null,
  };
}

export const portOf = (server: Server): number => (server.address() as AddressInfo).port;

function explained(error: Error, { setting, bind, port }: ListenOptions): Error {
  const code = systemCode(error);
  const where = `${bind}:${port}`;
  if (code === 'EADDRINUSE') {
    const advice = `End the program that listens there, or set ${setting} to another port.`;
    return new CentreError('port-in-use', `${setting}: ${where} is in use. ${advice}`, { cause: error });
  }
  if (code === 'EACCES' || code === 'EADDRNOTAVAIL') {
    const why = code === 'EACCES' ? 'may not be opened by this user' : 'is no address of this machine';
    return new CentreError('port-not-allowed', `${setting}: ${where} ${why}. Set ${setting} or BIND to one that can be opened.`, {
      cause: error,
    });
  }
  return error;
}
