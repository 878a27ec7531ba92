/** Opens SIP on one port over UDP and TCP, and on another over TLS, and stops it in order. */
import { createServer } from 'node:net';
import { type Milliseconds, sleep } from '../../base/clock.ts';
import { CentreError, systemCode } from '../../base/errors.ts';
import { STREAM_LIMITS, type StreamLimits } from './connection.ts';
import { type CoreOptions, type ListenerCounters, SipCore } from './core.ts';
import type { Endpoint, Flow } from './flow.ts';
import { type StreamListener, listenStream } from './tcp.ts';
import { type TlsCounters, type TlsListener, type TlsListening, listenTls } from './tls.ts';
import { type UdpListener, listenUdp } from './udp.ts';

export interface SipOptions extends CoreOptions {
  /** An IP address, or `localhost`. */
  readonly bind: string;
  /** The same number on UDP and TCP; 0 takes a free one. */
  readonly port: number;
  /** Without it nothing listens for TLS. */
  readonly tls?: TlsListening;
  readonly streamLimits?: Partial<StreamLimits>;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface SipServer {
  readonly udp: HostPort;
  readonly tcp: HostPort;
  readonly tls: HostPort | null;
  counters(): { readonly udp: ListenerCounters; readonly tcp: ListenerCounters; readonly tls: TlsCounters | null };
  /** A way to an address over UDP from which nothing need have come; not `open` when the socket cannot get there. */
  flowTo(endpoint: Endpoint): Flow;
  /** Takes no new MESSAGE, waits at most `patience` until what is in hand is answered, closes the sockets. */
  stop(patience?: Milliseconds): Promise<void>;
}

/** Tries for a number that is free on both, when any will do. */
const TRIES = 20;

/**
 * Listens on UDP, TCP and, when asked to, TLS; when one of them fails, nothing stays open.
 * @throws CentreError port-in-use, port-not-allowed, settings-invalid
 */
export async function startSip(options: SipOptions): Promise<SipServer> {
  const { clock, log } = options;
  const bind = options.bind === 'localhost' ? '127.0.0.1' : options.bind;
  const core = new SipCore(options);
  const limits = { ...STREAM_LIMITS, ...options.streamLimits };
  const { udp, tcp } = await openBoth(core, bind, limits, options);
  const tls = await openTls(core, bind, limits, options).catch(async (error: unknown) => {
    await Promise.all([udp.stop(), tcp.stop()]);
    throw error;
  });
  const host = (address: string): string => (options.bind === 'localhost' ? 'localhost' : address);
  let stopping: Promise<void> | null = null;

  return {
    udp: { host: host(udp.local.address), port: udp.local.port },
    tcp: { host: host(tcp.local.address), port: tcp.local.port },
    tls: tls === null ? null : { host: host(tls.local.address), port: tls.local.port },
    counters: () => ({ udp: { ...udp.counters }, tcp: { ...tcp.counters }, tls: tls?.counters() ?? null }),
    flowTo: (endpoint) => udp.flowTo(endpoint),
    stop: (patience = 3000) => (stopping ??= stop(patience)),
  };

  async function stop(patience: Milliseconds): Promise<void> {
    core.drain();
    await Promise.race([core.idle(), sleep(clock, patience)]);
    if (core.pending > 0) log.warn('sip-stopped-unanswered', { protocol: 'sip', count: core.pending });
    core.stop();
    await Promise.all([udp.stop(), tcp.stop(), tls?.stop()]);
  }
}

async function openBoth(
  core: SipCore,
  bind: string,
  limits: StreamLimits,
  options: SipOptions,
): Promise<{ udp: UdpListener; tcp: StreamListener }> {
  const { clock, log, port } = options;
  for (let attempt = 1; ; attempt++) {
    let udp: UdpListener | null = null;
    try {
      udp = await listenUdp(core, log, bind, port);
      const server = createServer({ allowHalfOpen: true });
      const tcp = await listenStream(core, server, bind, udp.local.port, { clock, log, transport: 'tcp', limits });
      return { udp, tcp };
    } catch (error) {
      const over = udp === null ? 'UDP' : 'TCP';
      await udp?.stop();
      if (port === 0 && systemCode(error) === 'EADDRINUSE' && attempt < TRIES) continue;
      throw cannotListen(error, bind, port, over, 'SIP_PORT');
    }
  }
}

async function openTls(core: SipCore, bind: string, limits: StreamLimits, { clock, log, tls }: SipOptions): Promise<TlsListener | null> {
  if (tls === undefined) return null;
  try {
    return await listenTls(core, bind, tls, { clock, log, transport: 'tls', limits });
  } catch (error) {
    throw cannotListen(error, bind, tls.port, 'TLS', 'SIPS_PORT');
  }
}

/** One sentence that names the setting and the port. */
function cannotListen(error: unknown, bind: string, port: number, over: string, setting: 'SIP_PORT' | 'SIPS_PORT'): unknown {
  const where = `${bind}:${port} (${over})`;
  switch (systemCode(error)) {
    case 'EADDRINUSE':
      return new CentreError(
        'port-in-use',
        `SIP cannot listen on ${where}, because another program does: stop it, or set ${setting} to another port than ${port}.`,
        { cause: error },
      );
    case 'EACCES':
      return new CentreError(
        'port-not-allowed',
        `SIP may not listen on ${where}: give this user the right to low ports, or set ${setting} to a port above 1023 instead of ${port}.`,
        { cause: error },
      );
    case 'EADDRNOTAVAIL':
      return new CentreError('settings-invalid', `BIND is "${bind}", which is no address of this machine.`, { cause: error });
    default:
      return error;
  }
}
