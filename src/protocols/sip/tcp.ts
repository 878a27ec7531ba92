/** SIP over TCP, and over TLS given a server that speaks it: listens, and keeps connections within limits on number and memory. */
import type { Server, Socket } from 'node:net';
import { Connection, SWEEP, type StreamOptions } from './connection.ts';
import { type ListenerCounters, type SipCore, noCounts } from './core.ts';
import type { Endpoint } from './flow.ts';

export interface StreamListener {
  readonly local: Endpoint;
  readonly counters: ListenerCounters;
  stop(): Promise<void>;
}

/** Listens with `server`, created with `allowHalfOpen`. @throws the system's error (`EADDRINUSE`, `EACCES` …) */
export async function listenStream(
  core: SipCore,
  server: Server,
  bind: string,
  port: number,
  options: StreamOptions,
): Promise<StreamListener> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host: bind, port }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const { clock, log, limits } = options;
  const counters = noCounts();
  const connections = new Set<Connection>();

  server.on('error', (error) => log.warn('sip-tcp-listener-failed', { protocol: 'sip', error }));
  server.on(options.transport === 'tls' ? 'secureConnection' : 'connection', (socket: Socket) => {
    if (connections.size >= limits.connections) {
      counters.connectionsEnded++;
      const ended = leastUseful(connections);
      if (ended === null) {
        socket.destroy();
        return;
      }
      ended.destroy();
    }
    const connection = new Connection(core, socket, counters, options, () => {
      connections.delete(connection);
      counters.connections = connections.size;
    });
    connections.add(connection);
    counters.connections = connections.size;
  });
  const sweep = clock.every(SWEEP, () => {
    for (const connection of connections) connection.sweep();
    counters.connectionsEnded += endLargest(connections, limits.held);
  });

  const bound = server.address();
  return {
    local: typeof bound === 'object' && bound !== null ? { address: bound.address, port: bound.port } : { address: bind, port },
    counters,
    stop: async () => {
      sweep.cancel();
      const closed = new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
      await Promise.all([...connections].map((connection) => connection.close()));
      await closed;
    },
  };
}

/** Whom to end for room: a stranger before a device, the one silent for longest; never one that waits for an answer. */
function leastUseful(connections: ReadonlySet<Connection>): Connection | null {
  let least: Connection | null = null;
  for (const one of connections) {
    if (one.flow.answers.waiting > 0) continue;
    const worse = least === null || (one.known === least.known ? one.lastByteAt < least.lastByteAt : !one.known);
    if (worse) least = one;
  }
  return least;
}

/** Ends those for which most is kept until all together hold no more than `allowed` bytes. @returns how many */
function endLargest(connections: ReadonlySet<Connection>, allowed: number): number {
  let together = 0;
  for (const one of connections) together += one.held;
  if (together <= allowed) return 0;
  const largestFirst = [...connections].map((one) => ({ one, held: one.held })).toSorted((a, b) => b.held - a.held);
  let ended = 0;
  for (const { one, held } of largestFirst) {
    if (together <= allowed) break;
    one.destroy();
    together -= held;
    ended++;
  }
  return ended;
}
