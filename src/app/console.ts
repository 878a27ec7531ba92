/** Starts the console: HTTP, the feed to its sockets, presence and the keeping of claims. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Server as TlsServer } from 'node:tls';
import { fileURLToPath } from 'node:url';
import type { Registry } from 'prom-client';
import type { Desk } from '../alarms/desk.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';
import { startClaimKeeper } from '../console/claim-keeper.ts';
import { startDirect } from '../console/direct-nodes.ts';
import { startFeedHub } from '../console/feed-hub.ts';
import type { HealthCheck } from '../console/health-routes.ts';
import { type Console, createConsole } from '../console/http.ts';
import { originAllowed } from '../console/origin.ts';
import { keepPresence } from '../console/presence.ts';
import type { TakeReport } from '../console/report-routes.ts';
import { createSessions } from '../console/session.ts';
import { attachSockets } from '../console/ws.ts';
import type { Duty } from '../escalation/duty.ts';
import { createCredentials, createSessionStore } from '../store/accounts.ts';
import { createAlarmSource } from '../store/alarm-views.ts';
import { createBoard } from '../store/board.ts';
import { createClaimLeases } from '../store/claim-lease.ts';
import { createDeviceList } from '../store/devices.ts';
import { createDirectDirectory } from '../store/direct-directory.ts';
import { createFeedSource } from '../store/feed.ts';
import { createCardStore } from '../store/people.ts';
import { createPresence } from '../store/presence.ts';
import { createWatchReports } from '../store/watch-reports.ts';
import type { CleanUp } from './clean-up.ts';
import type { Configuration } from './configuration.ts';
import { measureConsole } from './measures-parts.ts';
import type { Stores } from './stores.ts';
import type { TlsIdentity } from './tls.ts';

export interface ConsoleStart {
  readonly settings: Settings;
  readonly configuration: Configuration;
  readonly stores: Stores;
  readonly tls: TlsIdentity | null;
  readonly desk: Desk;
  readonly duty: Duty;
  readonly demo: boolean;
  readonly takeReport: TakeReport;
  readonly checks: HealthCheck[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly registry: Registry;
  readonly cleanUp: CleanUp;
}

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const WEB_ROOT = path.join(ROOT, 'build', 'console');

/** @returns the console, not yet listening, so that nobody is let in before all else runs */
export async function startConsole(parts: ConsoleStart): Promise<Console> {
  const { settings, configuration, stores, tls, desk, duty, demo, checks, clock, random, log, registry, cleanUp } = parts;
  const { postgres, redis } = stores;
  const publicUrl = settings.PUBLIC_URL ?? null;
  const trustProxy = settings.TRUST_PROXY;
  const sessions = createSessions({ store: createSessionStore(postgres), clock, random });
  const hub = startFeedHub({
    source: createFeedSource({ redis, random, log }),
    alarms: createAlarmSource({ pg: postgres, log }),
    clock,
    log,
  });
  cleanUp.add('feed', () => hub.stop());

  const directory = createDirectDirectory(postgres, clock, random);
  const direct = startDirect({
    directory,
    board: { has: (alarm) => hub.replica.version(alarm) > 0, listen: (listener) => hub.listen(listener) },
    clock,
    random,
    log,
  });
  cleanUp.add('direct', () => direct.stop());

  const leases = createClaimLeases(postgres);
  const keeper = startClaimKeeper({ leases, openAccounts: () => sockets.openAccounts(), clock, log });
  cleanUp.add('claim-keeper', () => keeper.stop());
  const presence = keepPresence({ presence: createPresence(redis), openAccounts: () => sockets.openAccounts(), clock, log });
  cleanUp.add('presence', () => presence.stop());

  checks.push({
    name: 'feed',
    needed: true,
    check: async () => (hub.alive() ? null : 'The consoles get no changes: neither feed nor database is read.'),
  });
  checks.push({
    name: 'direct',
    needed: false,
    check: async () => {
      const { unheard } = direct.stats();
      return unheard === 0
        ? null
        : `${unheard} intake process(es) cannot be reached directly: what they keep while the database is away is not shown.`;
    },
  });
  const console = createConsole({
    board: createBoard({ pg: postgres, clock, log }),
    desk,
    duty,
    feedId: () => Promise.resolve(hub.feedId()),
    direct,
    aliases: directory,
    cards: createCardStore(postgres),
    actionPlans: configuration.actionPlans,
    listDevices: createDeviceList(postgres, configuration.models),
    takeReport: parts.takeReport,
    readWatch: () => createWatchReports(postgres).read(),
    sessions: {
      ...sessions,
      // A request from an operator without a socket (a script, a page that is just loading) keeps their claims too.
      async viewer(cookies) {
        const viewer = await sessions.viewer(cookies);
        if (viewer !== null) keeper.renew(viewer.account);
        return viewer;
      },
    },
    credentials: createCredentials(postgres),
    centre: configuration.centre,
    demo,
    signedOut: (account) => sockets.recheck(account),
    publicUrl,
    trustProxy,
    tls: trustProxy ? null : (tls?.current() ?? null),
    checks,
    registry,
    clock,
    log,
    webRoot: WEB_ROOT,
    version: await versionOf(),
  });
  const sockets = attachSockets({
    server: console.app.server,
    hub,
    direct,
    authenticate: async (request) => {
      if (!originAllowed(request.headers, { publicUrl, trustProxy })) return 403;
      return (await sessions.viewer(request.headers.cookie)) ?? 401;
    },
    opened: (account) => {
      presence.opened(account);
      // One who comes back in the last second of the lease keeps the claim.
      keeper.renew(account);
    },
    clock,
    log,
  });
  const { server } = console.app;
  // Connections that are open keep what they have.
  if (server instanceof TlsServer) cleanUp.add('https', tls?.onChange((pair) => server.setSecureContext(pair)) ?? (() => undefined));
  cleanUp.add('http', () => console.stop());
  cleanUp.add('sockets', () => sockets.stop());
  measureConsole(registry, { hub, sockets });
  return console;
}

/** Of package.json. */
export async function versionOf(): Promise<string> {
  const file: unknown = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8'));
  return typeof file === 'object' && file !== null && 'version' in file ? String(file.version) : '0';
}
