/** Knows the intake processes and holds a link to each: to new ones at once, to known ones for as long as PostgreSQL cannot say otherwise. */
import type { Clock, Milliseconds } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { HubListener } from './feed-hub.ts';
import type { DirectAlarms, DirectChange, DirectDirectory, DirectNode, DirectState } from './direct.ts';
import { DirectBook } from './direct-book.ts';
import { DirectLink } from './direct-link.ts';

const LOOK_MS: Milliseconds = 1000;
const NODES_AT_MOST = 64;
const LOST_AT_ONCE = 500;

export interface DirectParts {
  readonly directory: DirectDirectory;
  /** The board of this process: a provisional alarm goes when its alarm is there. */
  readonly board: { readonly has: (alarm: string) => boolean; readonly listen: (listener: HubListener) => void };
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** How many alarms are held at most. */
  readonly limit?: number;
}

export interface Direct extends DirectAlarms {
  stats(): { readonly connected: number; readonly unheard: number; readonly held: number; readonly dropped: number };
  stop(): Promise<void>;
}

interface Known {
  readonly link: DirectLink;
  /** What it said last. */
  storeAway: boolean;
  /** The table no longer names it. */
  gone: boolean;
}

export function startDirect({ directory, board, clock, random, log, limit }: DirectParts): Direct {
  const listeners = new Set<(change: DirectChange) => void>();
  const tell = (change: DirectChange): void => {
    for (const listener of listeners) listener(change);
  };
  const book = new DirectBook({ onBoard: board.has, tell, ...(limit === undefined ? {} : { limit }) });
  const nodes = new Map<string, Known>();
  let token: string | null = null;
  let listed = false;
  let looking: Promise<void> | null = null;
  let stopped = false;
  let settling = false;
  let state: DirectState = { storeAway: false, since: null, unheard: 0 };

  board.listen({ changed: () => settleSoon(), replaced: () => settleSoon() });
  const timer = clock.every(LOOK_MS, () => {
    book.settle(clock.monotonic());
    lookNow();
  });
  lookNow();

  return {
    alarms: () => book.alarms(),
    one: (number) => book.one(number)?.shown ?? null,
    became: (number) => book.became(number),
    state: () => state,
    revision: () => book.revision,
    storeAway: () => state.storeAway,
    async claim(number, viewer, at) {
      const held = book.one(number);
      if (held === null) {
        const alarm = book.became(number);
        return alarm === undefined ? { refused: 'unknown-alarm' } : { refused: 'gone', alarm };
      }
      const node = nodes.get(held.node);
      if (node === undefined || held.shown.lost) return { refused: 'intake-away' };
      const answer = await node.link.claim(number, viewer, at);
      // The news of it comes over the same stream, and may be behind.
      if ('claimed' in answer) book.take(held.node, { news: 'alarm', alarm: answer.claimed }, clock.monotonic());
      // Where somebody has claimed it, they are still to be told what became of that.
      else if (answer.refused === 'gone' && held.shown.claimedBy === null) book.replayed(number, answer.alarm, null, clock.monotonic());
      return answer;
    },
    listen(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    stats: () => ({ connected: connected(), unheard: state.unheard, held: book.size, dropped: book.dropped }),
    async stop() {
      stopped = true;
      timer.cancel();
      for (const { link } of nodes.values()) link.stop();
      await looking;
    },
  };

  function connected(): number {
    return [...nodes.values()].filter(({ link }) => link.connected).length;
  }

  function lookNow(): void {
    if (looking !== null || stopped) return;
    looking = look().finally(() => {
      looking = null;
    });
  }

  async function look(): Promise<void> {
    try {
      token ??= await directory.token();
      const found = await directory.nodes(clock.now());
      if (stopped) return;
      listed = true;
      follow(found);
      await findLost();
    } catch (error) {
      // Who was known is tried on: that PostgreSQL is away is what all this is for.
      if (listed) log.warn('direct-nodes-not-read', { error });
      listed = false;
    }
    if (weigh()) tell({ change: 'whole' });
  }

  function follow(found: readonly DirectNode[]): void {
    const named = new Set(found.map(({ id }) => id));
    for (const node of found) {
      const known = nodes.get(node.id);
      if (known !== undefined) {
        known.gone = false;
        known.link.readdress(node);
      } else if (nodes.size < NODES_AT_MOST) begin(node);
    }
    for (const [id, known] of nodes) {
      known.gone = !named.has(id);
      // One that is gone and left alarms behind is looked for until somebody knows what became of them.
      if (!known.gone || known.link.connected || book.holds(id)) continue;
      known.link.stop();
      nodes.delete(id);
    }
  }

  function begin(node: DirectNode): void {
    const link = new DirectLink({
      node,
      token: () => token,
      clock,
      random,
      log,
      news: (news) => {
        const known = nodes.get(node.id);
        if (known === undefined) return;
        if (news.news === 'whole') {
          known.storeAway = news.storeAway;
          // The book tells of a whole anyway.
          weigh();
        }
        book.take(node.id, news, clock.monotonic());
      },
      lost: () => {
        const flags = weigh();
        if (book.lose(node.id) || flags) tell({ change: 'whole' });
      },
    });
    nodes.set(node.id, { link, storeAway: false, gone: false });
  }

  /** Asks PostgreSQL for what no connected intake process knows any more. */
  async function findLost(): Promise<void> {
    const lost = book.lost();
    if (lost.length === 0) return;
    // From another place each time: those that are never found must not stand before the others.
    const from = Math.floor(clock.monotonic() / LOOK_MS) % Math.ceil(lost.length / LOST_AT_ONCE);
    const asked = lost.slice(from * LOST_AT_ONCE, (from + 1) * LOST_AT_ONCE);
    for (const [number, { alarm, claim }] of await directory.replayed(asked)) book.replayed(number, alarm, claim, clock.monotonic());
  }

  /** What is known of PostgreSQL: what connected intake processes say, and while it cannot be asked, what lost ones said last. @returns whether it changed */
  function weigh(): boolean {
    let storeAway = false;
    let unheard = 0;
    for (const known of nodes.values()) {
      const heard = known.link.connected;
      if (known.storeAway && (heard || !listed)) storeAway = true;
      if (!heard && !known.gone) unheard += 1;
    }
    if (storeAway === state.storeAway && unheard === state.unheard) return false;
    if (storeAway !== state.storeAway) log.warn(storeAway ? 'store-away-told' : 'store-back-told');
    const since = storeAway ? (state.since ?? clock.now()) : null;
    state = { storeAway, since, unheard };
    book.changed();
    return true;
  }

  /** After everybody else who listens to the board: the alarm is told before its provisional one is taken away. */
  function settleSoon(): void {
    if (settling || book.size === 0) return;
    settling = true;
    queueMicrotask(() => {
      settling = false;
      book.settle(clock.monotonic());
    });
  }
}
