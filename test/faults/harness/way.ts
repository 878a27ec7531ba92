/** A way between two over which the harness has the weather in its hand: clear, cut, silent, slow, or open on one side only. */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';

/**
 * `clear`: what comes goes on. `cut`: connections are reset, new ones refused. `blackhole`: nothing passes and nobody is
 * told; what was under way arrives when it clears, as TCP would have it. `half-open`: the far side is gone and the near one
 * hears nothing, for ever, on the connections of that moment. `slow`: 200 ms later each way.
 */
export type Weather = 'clear' | 'cut' | 'blackhole' | 'half-open' | 'slow';
export const BAD_WEATHER = ['cut', 'blackhole', 'half-open', 'slow'] as const satisfies readonly Weather[];

export type Target = { readonly path: string } | { readonly host: string; readonly port: number };

export interface Way {
  /** On loopback; the same for as long as it lasts. */
  readonly port: number;
  weather(weather: Weather): void;
  stop(): Promise<void>;
}

const SLOW_MS = 200;

/** @param target where it leads at that moment; null: nobody is there, and connections are refused */
export async function openWay(target: () => Target | null): Promise<Way> {
  const pairs = new Set<Pair>();
  let weather: Weather = 'clear';
  const server = createServer({ allowHalfOpen: true }, (near) => {
    const to = weather === 'cut' ? null : target();
    near.on('error', () => {});
    if (to === null) {
      near.resetAndDestroy();
      return;
    }
    const pair = new Pair(near, connect({ ...to, allowHalfOpen: true }), () => pairs.delete(pair));
    pairs.add(pair);
    // Whoever comes while nothing passes is let in by the kernel, and hears nothing.
    if (weather !== 'clear') pair.become(weather);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    weather(next) {
      weather = next;
      for (const pair of pairs) pair.become(next);
    },
    async stop() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const pair of pairs) pair.become('cut');
      await closed;
    },
  };
}

/** The two connections of one conversation. */
class Pair {
  readonly #near: Socket;
  readonly #far: Socket;
  readonly #over: () => void;
  #weather: Weather = 'clear';
  /** Half-open once, it stays so: the far side has forgotten it. */
  #forgotten = false;
  #ended = false;

  constructor(near: Socket, far: Socket, over: () => void) {
    this.#near = near;
    this.#far = far;
    this.#over = over;
    near.setNoDelay(true);
    far.setNoDelay(true);
    this.#carry(near, far);
    this.#carry(far, near);
  }

  become(weather: Weather): void {
    this.#weather = weather;
    if (weather === 'cut') return this.#end();
    if (weather === 'half-open') {
      this.#forgotten = true;
      this.#far.destroy();
    }
    if (this.#forgotten) return;
    for (const socket of [this.#near, this.#far]) {
      if (weather === 'blackhole') socket.pause();
      else socket.resume();
    }
    if (weather !== 'blackhole' && this.#ended) this.#end();
  }

  #carry(from: Socket, to: Socket): void {
    const onwards = (write: () => void): void => {
      if (this.#weather !== 'slow') write();
      else setTimeout(write, SLOW_MS).unref();
    };
    from.on('error', () => {});
    from.on('data', (chunk: Buffer) => {
      if (this.#forgotten) return;
      onwards(() => {
        if (to.destroyed || to.write(chunk)) return;
        from.pause();
        to.once('drain', () => this.#weather !== 'blackhole' && from.resume());
      });
    });
    from.on('end', () => {
      if (!this.#forgotten) onwards(() => to.end());
    });
    from.on('close', () => {
      if (this.#forgotten && from === this.#far) return;
      this.#ended = true;
      // In a network that carries nothing nobody learns of an end either.
      if (this.#weather !== 'blackhole') onwards(() => this.#end());
    });
  }

  #end(): void {
    if (!this.#near.destroyed) this.#near.resetAndDestroy();
    // A Unix socket knows no reset.
    this.#far.destroy();
    this.#over();
  }
}

/** The same for datagrams; `half-open` loses only what comes back. */
export async function openDatagramWay(target: () => { readonly host: string; readonly port: number } | null): Promise<Way> {
  const behind = new Map<string, UdpSocket>();
  let weather: Weather = 'clear';
  const front = createSocket('udp4');
  const pass = (backwards: boolean, send: () => void): void => {
    if (weather === 'slow') setTimeout(send, SLOW_MS).unref();
    else if (weather === 'clear' || (weather === 'half-open' && !backwards)) send();
  };
  front.on('message', (bytes, from) => {
    const to = target();
    if (to === null) return;
    const socket = behind.get(keyOf(from)) ?? opened(from);
    pass(false, () => behind.has(keyOf(from)) && socket.send(bytes, to.port, to.host, () => {}));
  });
  front.bind(0, '127.0.0.1');
  await once(front, 'listening');

  /** One for each device behind it, as a router has: answers find their way by it. */
  function opened(from: RemoteInfo): UdpSocket {
    const socket = createSocket('udp4');
    behind.set(keyOf(from), socket);
    socket.on('error', () => {});
    socket.on('message', (bytes) => pass(true, () => front.send(bytes, from.port, from.address, () => {})));
    return socket;
  }

  return {
    port: front.address().port,
    weather: (next) => (weather = next),
    async stop() {
      for (const socket of behind.values()) socket.close();
      behind.clear();
      await new Promise<void>((resolve) => front.close(() => resolve()));
    },
  };
}

const keyOf = ({ address, port }: RemoteInfo): string => `${address}:${port}`;
