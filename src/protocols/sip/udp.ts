/** SIP over UDP: one socket, a flow for each datagram's source. */
import { type Socket, createSocket } from 'node:dgram';
import { isIP, isIPv6 } from 'node:net';
import type { Log } from '../../base/log.ts';
import { type ListenerCounters, type SipCore, noCounts } from './core.ts';
import { AnswerLane, type Endpoint, type Flow, plainAddress } from './flow.ts';
import { parseDatagram } from './parse.ts';

/** Room for bursts: 4 MB hold some 5,000 alarms while the process is busy (the system may allow less). */
const RECEIVE_BUFFER = 4 * 1024 * 1024;

export interface UdpListener {
  readonly local: Endpoint;
  readonly counters: ListenerCounters;
  /** A way to an address from which nothing need have come (a binding that outlived a restart). */
  flowTo(endpoint: Endpoint): Flow;
  /** Closes the socket once what was handed to it has been sent. */
  stop(): Promise<void>;
}

/** Binds and listens. @throws the system's error (`EADDRINUSE`, `EACCES` …) */
export async function listenUdp(core: SipCore, log: Log, bind: string, port: number): Promise<UdpListener> {
  const family = isIPv6(bind) ? 'udp6' : 'udp4';
  const socket = createSocket({
    type: family,
    // Addresses only: the default would ask the resolver for each datagram.
    lookup: (host, _options, found) => found(null, host, isIPv6(host) ? 6 : 4),
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind({ port, address: bind }, () => {
      socket.off('error', reject);
      resolve();
    });
  });
  widenReceiveBuffer(socket);
  const { address, port: bound } = socket.address();
  const local = { address, port: bound };
  const counters = noCounts();
  let sending = 0;
  let sent = (): void => undefined;
  let closed = false;

  const send = (bytes: Uint8Array, to: Endpoint): void => {
    if (closed) return;
    sending++;
    socket.send(bytes, to.port, to.address, (error) => {
      sending--;
      if (error !== null) log.debug('sip-send-failed', { protocol: 'sip', code: 'code' in error ? String(error.code) : 'unknown' });
      if (sending === 0) sent();
    });
  };

  socket.on('error', (error) => log.warn('sip-udp-socket-failed', { protocol: 'sip', error }));
  socket.on('message', (bytes, remote) => {
    if (remote.port === 0) return;
    const framed = parseDatagram(bytes);
    if (framed.type === 'noise') {
      counters.noiseBytes += bytes.length;
      counters.noiseDatagrams++;
      return;
    }
    core.receive(framed, udpFlow(local, { address: remote.address, port: remote.port }, send), counters);
  });

  return {
    local,
    counters,
    flowTo: (endpoint) => {
      const address = reachable(endpoint, family);
      if (address !== null) return udpFlow(local, { address, port: endpoint.port }, send);
      return { ...udpFlow(local, endpoint, () => undefined), open: false };
    },
    stop: async () => {
      if (sending > 0) await new Promise<void>((resolve) => (sent = resolve));
      closed = true;
      await new Promise<void>((resolve) => {
        socket.close(resolve);
      });
    },
  };
}

/** What is sent goes to the address as the socket gave it; what is shown is the plain one. */
function udpFlow(local: Endpoint, source: Endpoint, send: (bytes: Uint8Array, to: Endpoint) => void): Flow {
  const reply = (bytes: Uint8Array): void => send(bytes, source);
  const remote = { address: plainAddress(source.address), port: source.port };
  return { transport: 'udp', remote, local, open: true, answers: new AnswerLane(reply, false), send: reply };
}

/** The address as a socket of that family takes it; null when it cannot get there. */
function reachable({ address, port }: Endpoint, family: 'udp4' | 'udp6'): string | null {
  if (!Number.isInteger(port) || port < 1 || port > 65_535) return null;
  const version = isIP(address);
  if (family === 'udp4') return version === 4 ? address : null;
  return version === 0 ? null : version === 4 ? `::ffff:${address}` : address;
}

function widenReceiveBuffer(socket: Socket): void {
  try {
    socket.setRecvBufferSize(RECEIVE_BUFFER);
  } catch {
    // The default buffer works too, with less room for bursts.
  }
}
