/** A flow: the way back to the source of a packet, and the order in which answers go out on it. */

export type Transport = 'udp' | 'tcp' | 'tls';

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Where a message came from. Whatever is sent on it goes to that source from the socket it came in on. */
export interface Flow {
  readonly transport: Transport;
  readonly remote: Endpoint;
  readonly local: Endpoint;
  readonly answers: AnswerLane;
  /** False when the connection is gone. */
  readonly open: boolean;
  send(bytes: Uint8Array): void;
}

/** IPv4 in IPv6 clothes (`::ffff:192.0.2.7`) is IPv4; the zone of a link-local address (`fe80::1%eth0`) means nothing elsewhere. */
export const plainAddress = (address: string): string => address.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');

interface Slot {
  bytes: Uint8Array | null;
  after: (() => void) | null;
}

/**
 * Answers on a stream leave in the order of their requests, whichever is ready first; on UDP (`ordered` false) at once.
 */
export class AnswerLane {
  readonly #slots: Slot[] = [];
  readonly #send: (bytes: Uint8Array) => void;
  readonly #ordered: boolean;
  readonly #drained: () => void;
  #beside = 0;

  /** @param drained called when answers have gone out and fewer wait */
  constructor(send: (bytes: Uint8Array) => void, ordered: boolean, drained: () => void = () => undefined) {
    this.#send = send;
    this.#ordered = ordered;
    this.#drained = drained;
  }

  /** Requests that have no answer yet. */
  get waiting(): number {
    return this.#slots.length + this.#beside;
  }

  /** For an answer that is sent when it is there, whatever the order: it only counts as waiting until then. */
  reserveBeside(): (bytes: Uint8Array, after?: () => void) => void {
    this.#beside++;
    let sent = false;
    return (bytes, after) => {
      if (sent) return;
      sent = true;
      this.#beside--;
      this.#send(bytes);
      after?.();
      this.#drained();
    };
  }

  /** Takes the place of a request's answer; the function that comes back fills it, `after` runs behind the sending. */
  reserve(): (bytes: Uint8Array, after?: () => void) => void {
    if (!this.#ordered) {
      return (bytes, after) => {
        this.#send(bytes);
        after?.();
      };
    }
    const slot: Slot = { bytes: null, after: null };
    this.#slots.push(slot);
    return (bytes, after) => {
      if (slot.bytes !== null) return;
      slot.bytes = bytes;
      slot.after = after ?? null;
      this.#flush();
    };
  }

  #flush(): void {
    let flushed = false;
    for (let first = this.#slots[0]; first !== undefined && first.bytes !== null; first = this.#slots[0]) {
      this.#slots.shift();
      this.#send(first.bytes);
      first.after?.();
      flushed = true;
    }
    if (flushed) this.#drained();
  }
}
