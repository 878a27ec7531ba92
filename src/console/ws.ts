/** The WebSocket `/ws`: who may connect, what is sent to all, and which sockets are ended. Contract: docs/console-feed.md. */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { type Clock, type Milliseconds, sleep } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { Viewer } from '../people/access.ts';
import type { DirectAlarms } from './direct.ts';
import { createDirectFrames } from './direct-frames.ts';
import { createFrames } from './feed-frames.ts';
import type { FeedHub } from './feed-hub.ts';
import { CLIENT_MESSAGES, CLOSE_CENTRE_STOPS, CLOSE_SIGNED_OUT, type ClientMessage } from './feed-messages.ts';
import { FeedSocket } from './feed-socket.ts';
import { refuseUpgrade } from './upgrade.ts';

const PATH = '/ws';
const PULSE_MS: Milliseconds = 2000;
const PING_MS: Milliseconds = 3000;
const CHECK_MS: Milliseconds = 1000;
/** How long a socket lives on a sign-in that was not looked at again. */
const CHECKED_FOR_MS: Milliseconds = 4000;
const MAX_PAYLOAD = 65_536;
/** Between two pings; a console sends one every few seconds. */
const MESSAGES_AT_MOST = 60;
const CLOSE_TOO_MANY = 1008;
const FAREWELL_MS: Milliseconds = 500;

export interface WsParts {
  /** Not yet, or already, listening; its `upgrade` events become this part's own. */
  readonly server: Server;
  readonly hub: FeedHub;
  /** What intake says without any store. */
  readonly direct?: DirectAlarms;
  /** By cookie and Origin: who it is, 401 without a session, 403 for a foreign Origin. Throws while that cannot be known. */
  readonly authenticate: (request: IncomingMessage) => Promise<Viewer | 401 | 403>;
  /** Called each time a socket was opened: presence and the account's claims are renewed at once. */
  readonly opened?: (account: string) => void;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<SocketLimits>;
}

export interface SocketLimits {
  readonly perAccount: number;
  readonly all: number;
}
/** A whole centre may work, or be measured, on one account; what these keep out is a page that reconnects in a loop. */
const LIMITS: SocketLimits = { perAccount: 500, all: 5000 };
/** Names of operators whose sockets were open, for "taken by": they cannot be asked for while PostgreSQL is away. */
const NAMES_KEPT = 500;

export interface WsStats {
  readonly sockets: number;
  readonly endedSlow: number;
  readonly endedSilent: number;
  readonly refused: number;
}

export interface ConsoleSockets {
  /** Accounts with at least one socket open. */
  openAccounts(): readonly string[];
  /** Looks at once whether these sockets are still signed in (a session was ended), instead of within seconds. */
  recheck(account: string): void;
  stats(): WsStats;
  /** Closes every socket (1001), and takes no more. */
  stop(): Promise<void>;
}

export function attachSockets({ server, hub, direct, authenticate, opened, clock, log, limits }: WsParts): ConsoleSockets {
  const { perAccount, all } = { ...LIMITS, ...limits };
  const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: MAX_PAYLOAD, clientTracking: false });
  const frames = createFrames(hub, clock);
  const names = new Map<string, Viewer>();
  const directFrames = direct === undefined ? null : createDirectFrames(direct, names);
  const sockets = new Set<FeedSocket>();
  const accounts = new Map<string, number>();
  let stopped = false;
  let endedSlow = 0;
  let endedSilent = 0;
  let refused = 0;

  server.on('upgrade', onUpgrade);
  hub.listen({
    changed: (change) => {
      for (const socket of sockets) socket.changed(change);
    },
    replaced: () => {
      for (const socket of sockets) socket.snapshot();
    },
  });
  const stopListening = direct?.listen((change) => {
    for (const socket of sockets) socket.provisional(change);
  });
  const timers = [
    clock.every(PULSE_MS, () => {
      const alive = hub.alive();
      for (const socket of sockets) {
        if (alive) socket.pulse();
        else socket.blind();
      }
    }),
    clock.every(PING_MS, () => {
      for (const socket of sockets) if (!socket.ping()) endSilent(socket);
    }),
    clock.every(CHECK_MS, () => {
      for (const socket of sockets) if (clock.monotonic() - socket.checkedAt >= CHECKED_FOR_MS) void check(socket);
    }),
  ];

  return {
    openAccounts: () => [...accounts.keys()],
    recheck: (account) => {
      for (const socket of sockets) if (socket.viewer.account === account) void check(socket);
    },
    stats: () => ({ sockets: sockets.size, endedSlow, endedSilent, refused }),
    async stop() {
      stopped = true;
      server.off('upgrade', onUpgrade);
      stopListening?.();
      for (const timer of timers) timer.cancel();
      const closing = [...sockets];
      for (const { socket } of closing) socket.close(CLOSE_CENTRE_STOPS);
      if (closing.length > 0) await Promise.race([allClosed(closing), sleep(clock, FAREWELL_MS)]);
      for (const { socket } of closing) socket.terminate();
    },
  };

  function onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // Until ws has it, a connection that breaks would end the process.
    const ignore = (): void => undefined;
    socket.on('error', ignore);
    admit(request, socket)
      .then((viewer) => {
        if (viewer === null || socket.destroyed) return;
        socket.off('error', ignore);
        wss.handleUpgrade(request, socket, head, (opening) => {
          welcome(opening, request, viewer);
        });
      })
      .catch((error: unknown) => {
        log.warn('socket-not-opened', { error });
        refuse(socket, 503);
      });
  }

  async function admit(request: IncomingMessage, socket: Duplex): Promise<Viewer | null> {
    if (pathOf(request).pathname !== PATH) return refuse(socket, 404);
    if (stopped) return refuse(socket, 503);
    const viewer = await authenticate(request);
    if (typeof viewer === 'number') return refuse(socket, viewer);
    if (sockets.size >= all || (accounts.get(viewer.account) ?? 0) >= perAccount) return refuse(socket, 429);
    return viewer;
  }

  function refuse(socket: Duplex, status: 401 | 403 | 404 | 429 | 503): null {
    refused += 1;
    refuseUpgrade(socket, status);
    return null;
  }

  function welcome(socket: WebSocket, request: IncomingMessage, viewer: Viewer): void {
    const own = new FeedSocket({ request, socket, viewer, hub, frames, directFrames, clock, tooSlow: () => (endedSlow += 1) });
    sockets.add(own);
    if (viewer.roles.some((role) => role !== 'responder') && names.size < NAMES_KEPT) names.set(viewer.account, viewer);
    accounts.set(viewer.account, (accounts.get(viewer.account) ?? 0) + 1);
    socket.on('close', () => {
      forget(own, viewer.account);
    });
    socket.on('error', (error) => log.debug('socket-failed', { account: viewer.account, error }));
    socket.on('pong', () => {
      own.ponged();
    });
    socket.on('message', (data, isBinary) => {
      onMessage(own, data, isBinary);
    });
    opened?.(viewer.account);
    own.begin(pathOf(request).searchParams.get('resume')).catch((error: unknown) => {
      log.error('socket-not-begun', { account: viewer.account, error });
      socket.terminate();
    });
  }

  function forget(socket: FeedSocket, account: string): void {
    if (!sockets.delete(socket)) return;
    const left = (accounts.get(account) ?? 1) - 1;
    if (left > 0) accounts.set(account, left);
    else accounts.delete(account);
  }

  function onMessage(socket: FeedSocket, data: RawData, isBinary: boolean): void {
    if (socket.heard() > MESSAGES_AT_MOST) {
      socket.socket.close(CLOSE_TOO_MANY);
      return;
    }
    // What this centre does not know may be said by a newer console: nothing comes of it.
    const type = isBinary || !Buffer.isBuffer(data) ? null : typeOf(data);
    if (type === 'ping') socket.answerPing();
    if (type === 'snapshot-please') socket.snapshotAsked();
  }

  function endSilent(socket: FeedSocket): void {
    endedSilent += 1;
    socket.socket.terminate();
  }

  /** A session that was ended, or an account that was disabled or has other rights: seen within seconds. */
  async function check(socket: FeedSocket): Promise<void> {
    if (socket.checking) return;
    socket.checking = true;
    try {
      const viewer = await authenticate(socket.request);
      socket.checkedAt = clock.monotonic();
      const same = typeof viewer !== 'number' && viewer.account === socket.viewer.account;
      if (same) socket.rights(viewer);
      else socket.socket.close(CLOSE_SIGNED_OUT);
    } catch (error) {
      // Nobody is thrown out because a store is away.
      log.debug('socket-not-checked', { account: socket.viewer.account, error });
    } finally {
      socket.checking = false;
    }
  }
}

/** The path and query of a request; whatever is no path is as one that does not exist. */
function pathOf({ url }: IncomingMessage): URL {
  const text = `http://centre${url ?? ''}`;
  return URL.canParse(text) ? new URL(text) : new URL('http://centre/');
}

/** Null for whatever is none of a console's messages. */
function typeOf(data: Buffer): ClientMessage['type'] | null {
  try {
    const message: unknown = JSON.parse(data.toString('utf8'));
    const type = typeof message === 'object' && message !== null && 'type' in message ? message.type : null;
    return CLIENT_MESSAGES.find((known) => known === type) ?? null;
  } catch {
    return null;
  }
}

async function allClosed(closing: readonly FeedSocket[]): Promise<void> {
  await Promise.all(
    closing.map(async ({ socket }) => {
      if (socket.readyState === socket.CLOSED) return;
      await new Promise<void>((resolve) => socket.once('close', () => resolve()));
    }),
  );
}
