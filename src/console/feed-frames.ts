/** Writes the messages of the feed: once for all sockets that are sent the same bytes. */
import type { BoardCounts } from './board.ts';
import { type Clock, toIso } from '../base/clock.ts';
import type { Viewer } from '../people/access.ts';
import type { FeedHub, HubChange } from './feed-hub.ts';
import type { BlindMessage, GoneMessage, PulseMessage, ResumedMessage } from './feed-messages.ts';

export interface Frames {
  alarm(change: HubChange): Buffer;
  /** What all viewers of one scope see is worked out once for each state of the replica. */
  snapshot(viewer: Viewer, scope: string): Buffer;
  pulse(viewer: Viewer, scope: string): Buffer;
  /** In place of the pulse while nothing is read. */
  blind(): Buffer;
}

const CACHED_SCOPES = 64;

export function createFrames(hub: FeedHub, clock: Clock): Frames {
  const snapshots = createCache();
  const pulses = createCache();
  let lastChange: HubChange | null = null;
  let lastFrame = Buffer.alloc(0);
  return {
    alarm(change) {
      if (change !== lastChange) {
        lastChange = change;
        lastFrame = Buffer.from(`{"type":"alarm","feed":"${change.feed}","alarm":${change.after.json}}`);
      }
      return lastFrame;
    },
    snapshot: (viewer, scope) =>
      // A console sets its clock by `now`: written at most a tenth of a second ago.
      snapshots(scope, `${hub.replica.revision} ${hub.feedId()} ${Math.floor(clock.now() / 100)}`, () => {
        const now = clock.now();
        const { alarms, counts, complete } = hub.replica.picture(viewer, now);
        const views = alarms.map(({ json }) => json).join(',');
        const head = { feed: hub.feedId(), counts, complete, now: toIso(now) };
        return Buffer.from(`{"type":"snapshot",${JSON.stringify(head).slice(1, -1)},"alarms":[${views}]}`);
      }),
    pulse: (viewer, scope) =>
      pulses(scope, `${hub.replica.revision} ${hub.feedId()} ${clock.now()}`, () => {
        const now = clock.now();
        const { checksum, counts } = hub.replica.sums(viewer, now);
        const pulse: PulseMessage = { type: 'pulse', feed: hub.feedId(), ...checksum, counts, now: toIso(now) };
        return Buffer.from(JSON.stringify(pulse));
      }),
    blind() {
      const blind: BlindMessage = { type: 'blind', boardAt: toIso(Math.floor(hub.readAt())), now: toIso(clock.now()) };
      return Buffer.from(JSON.stringify(blind));
    },
  };
}

/** Remembers one frame a scope, as long as the state is the same. */
function createCache(): (scope: string, state: string, make: () => Buffer) => Buffer {
  let current = '';
  const frames = new Map<string, Buffer>();
  return (scope, state, make) => {
    if (state !== current || frames.size >= CACHED_SCOPES) {
      frames.clear();
      current = state;
    }
    const before = frames.get(scope);
    if (before !== undefined) return before;
    const frame = make();
    frames.set(scope, frame);
    return frame;
  };
}

export function goneFrame({ feed, after }: HubChange): Buffer {
  const gone: GoneMessage = { type: 'gone', feed, number: after.number, version: after.version };
  return Buffer.from(JSON.stringify(gone));
}

export function resumedFrame(feed: string, counts: BoardCounts, now: string): Buffer {
  const resumed: ResumedMessage = { type: 'resumed', feed, counts, now };
  return Buffer.from(JSON.stringify(resumed));
}
