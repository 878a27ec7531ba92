/** Opens a listening TCP or TLS socket; a port that cannot be had becomes one sentence that names its setting. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Server as TlsServer, createServer as createTlsServer } from 'node:tls';
import { CentreError, systemCode } from '../../base/errors.ts';

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
  /** Told of each renewed pair; what comes back ends that. Open connections keep the old one. */
  readonly onChange?: (renewed: (pair: Pick<TlsIdentity, 'cert' | 'key'>) => void) => () => void;
}

/** How long a TLS handshake may take, in milliseconds. */
const HANDSHAKE_MS = 10_000;

/** @throws CentreError port-in-use, port-not-allowed */
export async function listen(options: ListenOptions): Promise<Server> {
  // Half-open: the acknowledgements of what came before a FIN are still owed.
  const server =
    options.tls === undefined
      ? createServer({ allowHalfOpen: true, noDelay: true }, options.connected)
      : createTlsServer({ ...secureContextOf(options.tls), allowHalfOpen: true, handshakeTimeout: HANDSHAKE_MS }, (socket) => {
          socket.setNoDelay(true);
          options.connected(socket);
        });
  if (server instanceof TlsServer) {
    const forget = options.tls?.onChange?.((pair) => server.setSecureContext(secureContextOf(pair)));
    server.on('close', () => forget?.());
  }
  server.on('tlsClientError', (_error: Error, socket: Socket) => options.handshakeFailed(socket.remoteAddress ?? ''));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: Error) => reject(explained(error, options)));
    server.listen({ host: options.bind, port: options.port }, resolve);
  });
  server.removeAllListeners('error');
  // Accepting fails for a while when the process is out of file descriptors: the connections that are there go on.
  server.on('error', () => undefined);
  return server;
}

/** All that a secure context depends on: a renewed one replaces the whole. */
const secureContextOf = ({ cert, key }: Pick<TlsIdentity, 'cert' | 'key'>) => ({ cert, key, minVersion: 'TLSv1.2' }) as const;

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
