/** The bridge: the centre as a client of an external MQTT broker, over one or several sessions that outlive connections and restarts. */
import { BRIDGE_LIMITS, type BridgeCounters, type BridgeOptions, type BridgeSession, type MqttBridge } from './bridge-options.ts';
import { BridgeLink } from './bridge-link.ts';
import { type BridgeShare, belongsTo, divide } from './bridge-topics.ts';
import type { MqttMessage } from './message.ts';

/** Looks now and then whether a session that was given up is empty. */
const LOOK_EVERY_MS = 60_000;

/**
 * Starts without waiting for the broker, which may come later.
 * @throws CentreError store-away when the sessions cannot be read
 */
export async function startMqttBridge(options: BridgeOptions): Promise<MqttBridge> {
  const limits = { ...BRIDGE_LIMITS, ...options.limits };
  const log = options.log.child({ protocol: 'mqtt' });
  const counts: { -readonly [K in keyof BridgeCounters]: BridgeCounters[K] } = {
    connects: 0,
    received: 0,
    notKept: 0,
    gaps: 0,
    receiptsSent: 0,
  };
  const sessions = new Map((await options.sessions.load()).map((session) => [session.clientId, session]));
  const shares = divide(options);
  const links = shares.map(linkOf);
  // With fewer connections than before: what waits in the sessions that were given up is read to its end.
  const given = new Set(
    [...sessions.values()]
      .filter(({ clientId }) => belongsTo(clientId, options.clientId) && !shares.some((share) => share.clientId === clientId))
      .map(givenUp)
      .map(linkOf),
  );
  const running = [...links, ...given].map((link) => link.run());
  const looking = options.clock.every(LOOK_EVERY_MS, () => {
    for (const link of given) if (link.settled) void finish(link);
  });
  log.info('bridge-started', { url: `${options.broker.host}:${options.broker.port}`, count: links.length });

  function linkOf(share: BridgeShare): BridgeLink {
    const known = sessions.get(share.clientId) ?? null;
    const count = (what: keyof BridgeCounters): void => void counts[what]++;
    return new BridgeLink({ options, limits, share, known, log, leaves: share.municipalities === null ? isAnothers : () => false, count });
  }

  /** Until its own connection is settled, the first one takes a municipality's messages too: intake recognises duplicates. */
  function isAnothers({ municipality }: MqttMessage): boolean {
    return links.some(({ share, settled }) => settled && share.municipalities?.includes(municipality) === true);
  }

  async function finish(link: BridgeLink): Promise<void> {
    given.delete(link);
    try {
      await link.endForGood();
    } catch (error) {
      log.warn('bridge-session-not-forgotten', { source: link.share.clientId, error });
    }
  }

  return {
    fault() {
      const faults = links.flatMap(({ fault }) => fault ?? []);
      return faults.length === 0 ? null : `${faults.join('. ')}.`;
    },
    readySince() {
      const instants = links.flatMap(({ readyAt }) => readyAt ?? []);
      return instants.length < links.length || instants.length === 0 ? null : Math.max(...instants);
    },
    counters: () => ({ ...counts }),
    async stop() {
      looking.cancel();
      await Promise.all([...links, ...given].map((link) => link.stop()));
      await Promise.all(running);
    },
  };
}

const givenUp = ({ clientId }: BridgeSession): BridgeShare => ({ clientId, filters: [], municipalities: [] });
