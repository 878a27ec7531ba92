/** The reference point of MQTT: aedes as it comes, which stores nothing and asks nobody who a device is. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { Aedes } from 'aedes';
import type { Certificate } from '../certificate.ts';
import { answerParent } from '../job.ts';

export interface BareBrokerJob {
  /** Null: without TLS. */
  readonly certificate: Certificate | null;
}

/** As the centre has it: the difference must not be in how many wait to be let in. */
const BACKLOG = 4096;

answerParent<BareBrokerJob, string>(async ({ certificate }) => {
  const aedes = await Aedes.createBroker();
  const connected = (socket: Socket): void => void aedes.handle(socket);
  const server: Server =
    certificate === null
      ? createServer({ noDelay: true }, connected)
      : createTlsServer({ cert: readFileSync(certificate.cert), key: readFileSync(certificate.key), noDelay: true }, connected);
  server.listen({ port: 0, host: '127.0.0.1', backlog: BACKLOG });
  await once(server, 'listening');
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}, true);
