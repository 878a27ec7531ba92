/** The live feed: keeps one socket open, folds what comes into one picture and tells its readers when it changed. */
import type { Clock, Timer } from '../../../base/clock.ts';
import type { AlarmView } from '../../../alarms/view.ts';
import { readSocketMessage } from '../contract.ts';
import { instantOf } from '../view/ages.ts';
import {
  type FeedState,
  NO_FEED,
  STALE_AFTER_MS,
  retryDelay,
  wantsSnapshot,
  withAlarm,
  withAsked,
  withDisconnected,
  withMessage,
} from '../view/feed.ts';
import type { ShownProvisional } from '../../direct.ts';
import { withProvisional, withoutNotice } from '../view/provisional.ts';

/** As much of a WebSocket as is needed. */
export interface Socket {
  addEventListener(type: 'message', listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(type: 'close', listener: () => void): void;
  send(text: string): void;
  close(): void;
}

export interface LiveParts {
  readonly connect: (path: string) => Socket;
  readonly clock: Clock & { set(instant: number): void };
  readonly random: () => number;
  /** The socket was refused or lost. Browsers do not tell why a handshake failed: whether there still is a session is asked over HTTP. */
  readonly onLost: () => void;
}

/** How often readers are told of a burst. */
const TELL_EVERY_MS = 50;

/** A socket that says nothing for this long after it was opened is given up: half-open connections do not close by themselves. */
const SILENT_MS = STALE_AFTER_MS + 2000;

export class Live {
  #state: FeedState = NO_FEED;
  readonly #parts: LiveParts;
  readonly #readers = new Set<() => void>();
  #socket: Socket | null = null;
  #tries = 0;
  #retry: Timer | null = null;
  #silence: Timer | null = null;
  #told: Timer | null = null;
  #running = false;

  constructor(parts: LiveParts) {
    this.#parts = parts;
  }

  readonly state = (): FeedState => this.#state;

  /** @returns how to stop reading */
  readonly subscribe = (reader: () => void): (() => void) => {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  };

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#connect();
  }

  /** Ends the connection and forgets everything: the next person at this browser must see nothing of it. */
  stop(): void {
    this.#running = false;
    this.#retry?.cancel();
    this.#silence?.cancel();
    this.#drop();
    this.#become(NO_FEED);
  }

  /** The network came back: do not wait for the next try. */
  hurry(): void {
    if (!this.#running || this.#socket !== null) return;
    this.#retry?.cancel();
    this.#tries = 0;
    this.#connect();
  }

  /** Takes the answer to a command at once, before the feed brings it. */
  take(alarm: AlarmView): void {
    this.#become(withAlarm(this.#state, alarm));
  }

  /** Takes the answer to the claim of a provisional alarm. */
  takeProvisional(alarm: ShownProvisional): void {
    this.#become({ ...this.#state, provisional: withProvisional(this.#state.provisional, alarm) });
  }

  /** The operator has seen that the claim was refused. */
  dismiss(number: string): void {
    this.#become({ ...this.#state, provisional: withoutNotice(this.#state.provisional, number) });
  }

  #connect(): void {
    const { connect, clock } = this.#parts;
    const { feed } = this.#state;
    const socket = connect(feed === null ? '/ws' : `/ws?resume=${encodeURIComponent(feed)}`);
    this.#socket = socket;
    const here = (run: () => void): void => {
      if (this.#socket === socket) run();
    };
    socket.addEventListener('message', ({ data }) => here(() => this.#hear(typeof data === 'string' ? data : '')));
    socket.addEventListener('close', () => here(() => this.#lost()));
    this.#silence = clock.after(SILENT_MS, () => here(() => this.#lost()));
  }

  #hear(text: string): void {
    const { clock } = this.#parts;
    const message = readSocketMessage(text);
    if (message === null) return;
    const now = 'now' in message ? instantOf(message.now) : null;
    if (now !== null) clock.set(now);
    if (message.type !== 'alarm') {
      this.#tries = 0;
      this.#silence?.cancel();
      const socket = this.#socket;
      this.#silence = clock.after(SILENT_MS, () => {
        if (this.#socket === socket) this.#lost();
      });
    }
    let next = withMessage(this.#state, message, clock.monotonic());
    if (wantsSnapshot(next, clock.monotonic())) {
      next = withAsked(next, clock.monotonic());
      this.#socket?.send(JSON.stringify({ type: 'snapshot-please' }));
    }
    this.#become(next);
  }

  #lost(): void {
    const { clock, random, onLost } = this.#parts;
    this.#drop();
    this.#become(withDisconnected(this.#state));
    if (!this.#running) return;
    this.#retry = clock.after(retryDelay(this.#tries, random()), () => this.#connect());
    this.#tries += 1;
    onLost();
  }

  #drop(): void {
    this.#silence?.cancel();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  #become(state: FeedState): void {
    if (state === this.#state) return;
    this.#state = state;
    if (this.#told !== null) return;
    // The first of a burst is told at once, the rest together: a power cut sends thousands in a second.
    this.#tell();
    const told = this.#state;
    this.#told = this.#parts.clock.after(TELL_EVERY_MS, () => {
      this.#told = null;
      if (this.#state !== told) this.#tell();
    });
  }

  #tell(): void {
    for (const reader of this.#readers) reader();
  }
}
