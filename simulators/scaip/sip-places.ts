/** Where a receiver listens, and the sockets by which a device reaches it: one for UDP, one connection for each TCP receiver. */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, type Socket } from 'node:net';
import { systemCode } from '../../src/base/errors.ts';
import { readSip, SipStream, type SipText } from './sip-text.ts';

export interface SipPlace {
  readonly host: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
}

/** Answers on the way that a message came. */
export type Reply = (bytes: Buffer) => void;
/** `broken` tells that a connection ended, with all that waited on it. */
export interface SipWireEvents {
  arrived(message: SipText, reply: Reply): void;
  broken(place: SipPlace): void;
}

const keyOf = (place: SipPlace): string => `${place.host}:${place.port}`;

/** A device's way to the network. Cutting it loses bytes in both directions, as a pulled cable does. */
export class SipWire {
  readonly #events: SipWireEvents;
  readonly #udp = new Map<'udp4' | 'udp6', UdpSocket>();
  readonly #tcp = new Map<string, Socket>();
  #cut = false;
  #closed = false;
  /** Datagrams and messages that made no sense; a device ignores them. */
  ignored = 0;

  constructor(events: SipWireEvents) {
    this.#events = events;
  }

  /** Null when the bytes went on their way (which says nothing about arriving), else a code such as ECONNREFUSED. */
  async send(bytes: Buffer, to: SipPlace): Promise<string | null> {
    if (this.#closed) return 'ECLOSED';
    if (to.transport === 'tcp') return this.#cut ? 'ENETDOWN' : this.#sendTcp(bytes, to);
    if (this.#cut) return null;
    const socket = this.#udpSocket(to.host.includes(':') ? 'udp6' : 'udp4');
    return new Promise((resolve) => {
      socket.send(bytes, to.port, to.host, (error) => resolve(error === null ? null : (systemCode(error) ?? 'EUDP')));
    });
  }

  cut(): void {
    this.#cut = true;
    for (const socket of this.#tcp.values()) socket.destroy();
  }

  restore(): void {
    this.#cut = false;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const socket of this.#tcp.values()) socket.destroy();
    await Promise.all([...this.#udp.values()].map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))));
    this.#udp.clear();
  }

  #udpSocket(family: 'udp4' | 'udp6'): UdpSocket {
    const open = this.#udp.get(family);
    if (open !== undefined) return open;
    const socket = createSocket(family);
    this.#udp.set(family, socket);
    // An ICMP refusal is news about one receiver only; the transaction's own timer notices it.
    socket.on('error', () => this.ignored++);
    socket.on('message', (bytes, from) => {
      if (this.#cut) return;
      const message = readSip(bytes);
      if (message === null) this.ignored++;
      else this.#events.arrived(message, (answer) => this.#answerUdp(socket, answer, from.port, from.address));
    });
    return socket;
  }

  #answerUdp(socket: UdpSocket, bytes: Buffer, port: number, address: string): void {
    if (!this.#cut && !this.#closed) socket.send(bytes, port, address, () => {});
  }

  async #sendTcp(bytes: Buffer, to: SipPlace): Promise<string | null> {
    const open = this.#tcp.get(keyOf(to));
    const socket = open === undefined || open.destroyed ? this.#openTcp(to) : open;
    if (socket.connecting) {
      const failed = await connected(socket);
      if (failed !== null) return failed;
    }
    if (socket.destroyed) return 'ECONNRESET';
    socket.write(bytes);
    return null;
  }

  #openTcp(to: SipPlace): Socket {
    const socket = connect({ host: to.host, port: to.port, noDelay: true });
    const stream = new SipStream();
    this.#tcp.set(keyOf(to), socket);
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      const messages = stream.push(chunk);
      if (messages === null) {
        this.ignored++;
        socket.destroy();
        return;
      }
      for (const message of messages) this.#events.arrived(message, (answer) => socket.writable && socket.write(answer));
    });
    socket.on('close', () => {
      if (this.#tcp.get(keyOf(to)) === socket) this.#tcp.delete(keyOf(to));
      this.#events.broken(to);
    });
    return socket;
  }
}

function connected(socket: Socket): Promise<string | null> {
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(null));
    socket.once('error', (error) => resolve(systemCode(error) ?? 'ETCP'));
    socket.once('close', () => resolve('ECONNRESET'));
  });
}
