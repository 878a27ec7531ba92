/** Figures of the roles: what the protocols, the console and the escalation count themselves. */
import type { Registry } from 'prom-client';
import type { FeedHub, HubStats } from '../console/feed-hub.ts';
import type { ConsoleSockets } from '../console/ws.ts';
import type { Asks } from '../escalation/asks.ts';
import type { Sweep } from '../escalation/sweep.ts';
import type { LifeSigns } from '../devices/supervision.ts';
import type { MqttBridge } from '../protocols/mqtt/bridge-options.ts';
import type { MqttBroker } from '../protocols/mqtt/broker-options.ts';
import type { ScaipServer } from '../protocols/scaip/receive.ts';
import { count, counts, gauge, gauges } from './measures.ts';

interface Listeners {
  readonly lifeSigns: Pick<LifeSigns, 'waiting'>;
  readonly broker: Pick<MqttBroker, 'connections' | 'counters'>;
  readonly scaip: Pick<ScaipServer, 'counters'>;
  /** Null: there is no external broker. */
  readonly bridge: Pick<MqttBridge, 'counters' | 'fault'> | null;
}

export function measureListeners(registry: Registry, { lifeSigns, broker, scaip, bridge }: Listeners): void {
  gauge(registry, 'life_signs_waiting', 'Devices whose last sign of life is not written yet', () => lifeSigns.waiting());
  gauge(registry, 'mqtt_connections', 'Devices that are connected over MQTT', () => broker.connections());
  counts(registry, { name: 'mqtt_events_total', help: 'What the MQTT broker met, by kind', labels: ['kind'] }, () => {
    const told = broker.counters();
    return Object.entries(told).map(([kind, value]) => [{ kind }, value as number]);
  });
  counts(registry, { name: 'sip_requests_total', help: 'SIP over each transport, by kind', labels: ['transport', 'kind'] }, () => {
    const { udp, tcp, tls } = scaip.counters();
    return Object.entries({ udp, tcp, ...(tls === null ? {} : { tls }) }).flatMap(([transport, told]) =>
      Object.entries(told)
        .filter(([kind]) => kind !== 'handshakesUnderWay')
        .map(([kind, value]) => [{ transport, kind }, value as number] as const),
    );
  });
  counts(registry, { name: 'scaip_events_total', help: 'What SCAIP messages met, by kind', labels: ['kind'] }, () => {
    const { udp: _udp, tcp: _tcp, tls: _tls, ...told } = scaip.counters();
    return Object.entries(told).map(([kind, value]) => [{ kind }, value]);
  });
  gauge(registry, 'bridge_up', '1 while all connections to the external broker read what they should, or there is none', () =>
    bridge === null || bridge.fault() === null ? 1 : 0,
  );
  counts(
    registry,
    { name: 'bridge_events_total', help: 'What the connections to the external broker met, by kind', labels: ['kind'] },
    () => (bridge === null ? [] : Object.entries(bridge.counters()).map(([kind, value]) => [{ kind }, value as number])),
  );
}

const FEED_MODES: readonly HubStats['mode'][] = ['starting', 'feed', 'fallback', 'blind'];

export function measureConsole(
  registry: Registry,
  { hub, sockets }: { hub: Pick<FeedHub, 'stats'>; sockets: Pick<ConsoleSockets, 'stats'> },
): void {
  gauge(registry, 'console_sockets', 'Consoles and responder pages that are connected', () => sockets.stats().sockets);
  counts(registry, { name: 'console_sockets_ended_total', help: 'Sockets that were not kept, by why', labels: ['why'] }, () => {
    const { endedSlow, endedSilent, refused } = sockets.stats();
    return [
      [{ why: 'slow' }, endedSlow],
      [{ why: 'silent' }, endedSilent],
      [{ why: 'refused' }, refused],
    ];
  });
  gauge(registry, 'feed_lag_seconds', 'Age of the last change when it was read', () => hub.stats().lagMs / 1000);
  gauges(
    registry,
    { name: 'feed_mode', help: '1 for how consoles learn of changes: feed, fallback (PostgreSQL), blind', labels: ['mode'] },
    () => FEED_MODES.map((mode) => [{ mode }, hub.stats().mode === mode ? 1 : 0]),
  );
  count(registry, 'feed_repaired_total', 'Changes that were found in PostgreSQL although the feed answered', () => hub.stats().repaired);
  count(registry, 'feed_loads_total', 'How often all alarms were loaded: at the start, and after each gap', () => hub.stats().loads);
}

export function measureEscalation(registry: Registry, { sweep, asks }: { sweep: Pick<Sweep, 'stats'>; asks: Pick<Asks, 'stats'> }): void {
  count(registry, 'sweep_passed_total', 'Deadlines that were acted on', () => sweep.stats().passed);
  count(registry, 'sweep_failures_total', 'Looks for deadlines, and acts on them, that failed', () => sweep.stats().failures);
  gauge(
    registry,
    'sweep_set_aside',
    'Alarms that are left alone for a moment after an act on their deadline failed',
    () => sweep.stats().setAside,
  );
  count(
    registry,
    'asks_straight_total',
    'Asks that were sent from their rows, because no queue had brought them',
    () => asks.stats().straight,
  );
  count(registry, 'asks_failures_total', 'Turns of the work on asks that failed', () => asks.stats().failures);
}
