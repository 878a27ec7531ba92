/** Which connections are open, by the broker's client and by device; and the last wills of those that are lost. */
import type { Client } from 'aedes';
import type { Clock, Milliseconds } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import { type Accept, type Connection, executeWill, messageOf } from './connection.ts';
import type { DeviceAddress } from './topic.ts';

export class Connections {
  readonly #open = new Set<Connection>();
  readonly #byClient = new WeakMap<Client, Connection>();
  readonly #byDevice = new Map<string, Set<Connection>>();

  get size(): number {
    return this.#open.size;
  }

  all(): readonly Connection[] {
    return [...this.#open];
  }

  has(connection: Connection): boolean {
    return this.#open.has(connection);
  }

  of(client: Client | null): Connection | undefined {
    return client === null ? undefined : this.#byClient.get(client);
  }

  ofDevice(serial: string): Iterable<Connection> {
    return this.#byDevice.get(serial) ?? [];
  }

  isConnected(serial: string): boolean {
    return this.#byDevice.has(serial);
  }

  add(connection: Connection, client: Client): void {
    connection.client = client;
    this.#open.add(connection);
    this.#byClient.set(client, connection);
  }

  /** Now we know who it is. A device that has `most` connections already loses its oldest. */
  enrol(connection: Connection, device: DeviceAddress, most: number): void {
    connection.device = device;
    const own = this.#byDevice.get(device.serial) ?? new Set();
    this.#byDevice.set(device.serial, own);
    const [oldest] = own;
    if (own.size >= most && oldest !== undefined) oldest.gate.destroy();
    own.add(connection);
  }

  drop(connection: Connection): void {
    this.#open.delete(connection);
    if (connection.device === null) return;
    const own = this.#byDevice.get(connection.device.serial);
    own?.delete(connection);
    if (own?.size === 0) this.#byDevice.delete(connection.device.serial);
  }
}

/** Executes last wills behind what their devices had sent before. */
export class Wills {
  readonly #under = new Set<Promise<void>>();
  readonly #tools: { readonly accept: Accept; readonly clock: Clock; readonly log: Log };
  #stopped = false;
  lost = 0;

  constructor(tools: { readonly accept: Accept; readonly clock: Clock; readonly log: Log }) {
    this.#tools = tools;
  }

  /** The connection is gone without DISCONNECT (MQTT 3.1.1, 3.1.2.5). `connected`: the device has another one by now. */
  execute(connection: Connection, connected: boolean): void {
    const { device, will, gate } = connection;
    // We ended it ourselves (a stop, a message that was not kept): the device has not gone anywhere.
    if (device === null || will === null || gate.disconnected || connection.failed || this.#stopped) return;
    const message = messageOf(device, { ...will, dup: false }, true, this.#tools.clock.now());
    // "Offline" must not be the last word about a device that is there.
    if (message.kind === 'status' && connected) return;
    const executed = connection.chain.then(async () => {
      if (!(await executeWill(message, { ...this.#tools, stopped: () => this.#stopped }))) this.lost++;
      this.#under.delete(executed);
    });
    this.#under.add(executed);
  }

  /** No new ones; those under way make their last attempt. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#under);
  }
}

/** Waits for `work`, but no longer than `limit`. */
export async function withinTime(clock: Clock, work: Promise<unknown>, limit: Milliseconds): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = clock.after(limit, resolve);
    void work.finally(() => {
      timer.cancel();
      resolve();
    });
  });
}

/** Until what was written in this turn has gone to the socket. */
export const nextTurn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });
