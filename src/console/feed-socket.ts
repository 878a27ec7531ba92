/** One console's socket: what it is sent and in which order, and when it is too slow or gone. */
import type { IncomingMessage } from 'node:http';
import type { WebSocket } from 'ws';
import { type Clock, type Milliseconds, toIso } from '../base/clock.ts';
import { type Viewer, sightOf } from '../people/access.ts';
import type { DirectChange } from './direct.ts';
import type { DirectFrames } from './direct-frames.ts';
import type { FeedHub, HubChange } from './feed-hub.ts';
import { type Frames, goneFrame, resumedFrame } from './feed-frames.ts';
import { scopeKey } from './replica.ts';

/** What a socket may have outstanding beyond its snapshot, in bytes (interfaces.md). */
export const OUTSTANDING_LIMIT = 1_048_576;
/** Changes that may wait for a resume to be worked out; beyond, the socket gets a snapshot. */
const WAITING_LIMIT = 5000;
/** Between two snapshots that a console asks for. */
const SNAPSHOT_PAUSE_MS: Milliseconds = 1000;
const MISSED_PINGS = 2;

/** `resuming`: changes wait; `owed`: a snapshot follows as soon as the one before it is through, changes need not be sent. */
type Phase = 'resuming' | 'owed' | 'live';

export class FeedSocket {
  readonly request: IncomingMessage;
  readonly socket: WebSocket;
  checkedAt: Milliseconds;
  checking = false;
  #viewer: Viewer;
  #scope: string;
  #phase: Phase = 'owed';
  #waiting: HubChange[] = [];
  /** Bytes of a snapshot that is not through yet. */
  #snapshotBytes = 0;
  #snapshotAt: Milliseconds | null = null;
  #missedPings = 0;
  #messages = 0;
  #held = false;
  readonly #hub: FeedHub;
  readonly #frames: Frames;
  readonly #directFrames: DirectFrames | null;
  /** Bytes of provisional alarms, all at once, that are not through yet. */
  #wholeBytes = 0;
  #wholeOwed = false;
  readonly #clock: Clock;
  readonly #tooSlow: () => void;

  constructor({ request, socket, viewer, hub, frames, directFrames, clock, tooSlow }: FeedSocketParts) {
    this.request = request;
    this.socket = socket;
    this.#viewer = viewer;
    this.#scope = scopeKey(viewer);
    this.#hub = hub;
    this.#frames = frames;
    this.#directFrames = directFrames;
    this.#clock = clock;
    this.#tooSlow = tooSlow;
    this.checkedAt = clock.monotonic();
  }

  get viewer(): Viewer {
    return this.#viewer;
  }

  /** Begins: resumes where that is possible, else with a snapshot as soon as there is one. */
  async begin(resume: string | null): Promise<void> {
    // Who sees only a part may have lost sight of an alarm meanwhile; that is not in the feed, but in a snapshot.
    if (resume === null || !this.#scope.endsWith('|all') || !this.#hub.loaded()) {
      this.snapshot();
      return;
    }
    this.#phase = 'resuming';
    const feed = this.#hub.feedId();
    const { counts } = this.#hub.replica.sums(this.#viewer, this.#clock.now());
    const missed = await this.#hub.since(resume);
    if (this.#phase !== 'resuming') return;
    if (missed === null) {
      this.snapshot();
      return;
    }
    this.#send(resumedFrame(feed, counts, toIso(this.#clock.now())));
    for (const after of missed) this.#tell({ feed, before: null, after });
    this.#phase = 'live';
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const change of waiting) this.#tell(change);
    this.#allProvisional();
  }

  changed(change: HubChange): void {
    if (this.#phase === 'live') this.#tell(change);
    else if (this.#phase === 'resuming' && this.#waiting.push(change) > WAITING_LIMIT) this.snapshot();
  }

  /** Sends a snapshot now, or as soon as the one that is under way is through. */
  snapshot(): void {
    this.#waiting = [];
    this.#phase = 'owed';
    if (!this.#hub.loaded() || this.#snapshotBytes > 0) return;
    const frame = this.#frames.snapshot(this.#viewer, this.#scope);
    this.#snapshotBytes = frame.length;
    this.#snapshotAt = this.#clock.monotonic();
    this.#phase = 'live';
    this.socket.send(frame, { binary: false }, () => {
      this.#snapshotBytes = 0;
      if (this.#phase === 'owed') this.snapshot();
    });
    if (!this.#hub.alive()) this.blind();
    this.#allProvisional();
  }

  /** What intake says without any store; while a snapshot or a resume is still to come, all of it follows with that. */
  provisional(change: DirectChange): void {
    if (this.#phase !== 'live') return;
    if (change.change === 'whole') {
      this.#allProvisional();
      return;
    }
    const frame = this.#directFrames?.change(change, this.#viewer) ?? null;
    if (frame !== null) this.#send(frame);
  }

  /** Nothing is read: a console is told from when its board is. */
  blind(): void {
    if (this.#phase === 'live') this.#send(this.#frames.blind());
  }

  pulse(): void {
    if (this.#phase === 'live') this.#send(this.#frames.pulse(this.#viewer, this.#scope));
  }

  /** The console found that it holds something else; asked too soon, it will see so again at the next pulse. */
  snapshotAsked(): void {
    if (this.#snapshotAt !== null && this.#clock.monotonic() - this.#snapshotAt < SNAPSHOT_PAUSE_MS) return;
    this.snapshot();
  }

  answerPing(): void {
    this.#send(Buffer.from(`{"type":"pong","now":"${toIso(this.#clock.now())}"}`));
  }

  /** The account's rights are as told now; when it sees other alarms than before, it gets a snapshot. */
  rights(viewer: Viewer): void {
    const scope = scopeKey(viewer);
    this.#viewer = viewer;
    if (scope === this.#scope) return;
    this.#scope = scope;
    this.snapshot();
  }

  /** Something came from the other end. Answers how many messages came since the last ping. */
  heard(): number {
    this.#missedPings = 0;
    return ++this.#messages;
  }

  ponged(): void {
    this.#missedPings = 0;
  }

  /** Asks for a sign of life; false when two before were not answered. A ping behind a snapshot under way waits with it. */
  ping(): boolean {
    this.#messages = 0;
    if (this.#missedPings >= MISSED_PINGS) return false;
    if (this.#snapshotBytes === 0 || this.socket.bufferedAmount === 0) this.#missedPings += 1;
    this.socket.ping();
    return true;
  }

  #tell(change: HubChange): void {
    const now = this.#clock.now();
    if (sightOf(this.#viewer, change.after.sighting, now) !== null) this.#send(this.#frames.alarm(change));
    else if (change.before !== null && sightOf(this.#viewer, change.before.sighting, now) !== null) this.#send(goneFrame(change));
  }

  #allProvisional(): void {
    // One at a time: what changes meanwhile is in the next.
    this.#wholeOwed = this.#wholeBytes > 0;
    const frame = this.#wholeOwed ? null : (this.#directFrames?.whole(this.#viewer, this.#scope) ?? null);
    if (frame === null) return;
    this.#wholeBytes = frame.length;
    this.#send(frame, () => {
      this.#wholeBytes = 0;
      if (this.#wholeOwed && this.#phase === 'live') this.#allProvisional();
    });
  }

  #send(frame: Buffer, through?: () => void): void {
    if (this.socket.readyState !== this.socket.OPEN) return;
    // `send` never refuses: whoever reads too slowly is let go, and resumes (reference: ws).
    if (this.socket.bufferedAmount - this.#snapshotBytes - this.#wholeBytes > OUTSTANDING_LIMIT) {
      this.#tooSlow();
      this.socket.terminate();
      return;
    }
    this.#hold();
    this.socket.send(frame, { binary: false }, through);
  }

  /** What is sent in the same breath leaves in one write: a read of the feed brings many changes, and a console process has hundreds of sockets. */
  #hold(): void {
    if (this.#held) return;
    this.#held = true;
    const { socket } = this.request;
    socket.cork();
    queueMicrotask(() => {
      this.#held = false;
      socket.uncork();
    });
  }
}

export interface FeedSocketParts {
  readonly request: IncomingMessage;
  readonly socket: WebSocket;
  readonly viewer: Viewer;
  readonly hub: FeedHub;
  readonly frames: Frames;
  /** Null: this console process is told nothing of provisional alarms. */
  readonly directFrames: DirectFrames | null;
  readonly clock: Clock;
  readonly tooSlow: () => void;
}
