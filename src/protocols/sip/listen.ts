/** Opens SIP on one port over UDP and TCP, and stops it in order. */
import { createServer } from 'node:net';
import { type Clock, type Milliseconds, sleep } from '../../base/clock.ts';
import { CentreError, systemCode } from '../../base/errors.ts';
import type { Random } from '../../base/ids.ts';
import type { Log } from '../../base/log.ts';
import { type HandleMessage, type ListenerCounters, SipCore } from './core.ts';
import { STREAM_LIMITS, type StreamLimits, type StreamListener, listenStream } from './tcp.ts';
import { type UdpListener, listenUdp } from './udp.ts';

export interface SipOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly random: Random;
  /** An IP address, or `localhost`. */
  readonly bind: string;
  /** The same number on UDP and TCP; 0 takes a free one. */
  readonly port: number;
  readonly handle: HandleMessage;
  /** The body types that OPTIONS names. */
  readonly accepts: string;
  readonly streamLimits?: Partial<StreamLimits>;
}

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

export interface SipServer {
  readonly udp: HostPort;
  readonly tcp: HostPort;
  counters(): { readonly udp: ListenerCounters; readonly tcp: ListenerCounters };
  /** Takes no new MESSAGE, waits at most `patience` until what is in hand is answered, closes the sockets. */
  stop(patience?: Milliseconds): Promise<void>;
}

/** Tries for a number that is free on both, when any will do. */
const TRIES = 20;

/**
 * Listens on UDP and TCP; when one of them fails, nothing stays open.
 * @throws CentreError port-in-use, port-not-allowed, settings-invalid
 */
export async function startSip(options: SipOptions): Promise<SipServer> {
  const { clock, log } = options;
  const bind = options.bind === 'localhost' ? '127.0.0.1' : options.bind;
  const core = new SipCore(options);
  const { udp, tcp } = await openBoth(core, bind, options);
  const host = (address: string): string => (options.bind === 'localhost' ? 'localhost' : address);
  let stopping: Promise<void> | null = null;

  return {
    udp: { host: host(udp.local.address), port: udp.local.port },
    tcp: { host: host(tcp.local.address), port: tcp.local.port },
    counters: () => ({ udp: { ...udp.counters }, tcp: { ...tcp.counters } }),
    stop: (patience = 3000) => (stopping ??= stop(patience)),
  };

  async function stop(patience: Milliseconds): Promise<void> {
    core.drain();
    await Promise.race([core.idle(), sleep(clock, patience)]);
    if (core.pending > 0) log.warn('sip-stopped-unanswered', { protocol: 'sip', count: core.pending });
    core.stop();
    await Promise.all([udp.stop(), tcp.stop()]);
  }
}

async function openBoth(core: SipCore, bind: string, options: SipOptions): Promise<{ udp: UdpListener; tcp: StreamListener }> {
  const { clock, log, port } = options;
  const limits = { ...STREAM_LIMITS, ...options.streamLimits };
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
      throw cannotListen(error, bind, port, over);
    }
  }
}

/** One sentence that names the setting and the port. */
function cannotListen(error: unknown, bind: string, port: number, over: 'UDP' | 'TCP'): unknown {
  const where = `${bind}:${port} (${over})`;
  switch (systemCode(error)) {
    case 'EADDRINUSE':
      return new CentreError(
        'port-in-use',
        `SIP cannot listen on ${where}, because another program does: stop it, or set SIP_PORT to another port than ${port}.`,
        { cause: error },
      );
    case 'EACCES':
      return new CentreError(
        'port-not-allowed',
        `SIP may not listen on ${where}: give this user the right to low ports, or set SIP_PORT to a port above 1023 instead of ${port}.`,
        { cause: error },
      );
    case 'EADDRNOTAVAIL':
      return new CentreError('settings-invalid', `BIND is "${bind}", which is no address of this machine.`, { cause: error });
    default:
      return error;
  }
}
