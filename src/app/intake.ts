/** Starts the intake: MQTT broker and SCAIP receiver, each message looked up, interpreted, accepted and answered. */
import type { Registry } from 'prom-client';
import { joiningKey } from '../alarms/correlate.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';
import type { HealthCheck } from '../console/health-routes.ts';
import { createAuthentication } from '../devices/authentication.ts';
import { interpretMqtt, interpretScaip } from '../devices/interpret.ts';
import { createRefusals } from '../devices/refusals.ts';
import { type DeviceRecord, createDeviceRegister } from '../devices/register.ts';
import { createLifeSigns } from '../devices/supervision.ts';
import { ladderFor } from '../escalation/ladder.ts';
import { type Accepted, type KnownSender, createAccept } from '../intake/accept.ts';
import { createKeeper } from '../intake/keep.ts';
import { startMqttBroker } from '../protocols/mqtt/broker.ts';
import type { MqttBroker } from '../protocols/mqtt/broker-options.ts';
import type { MqttMessage } from '../protocols/mqtt/message.ts';
import { type ScaipMessage, startScaip } from '../protocols/scaip/receive.ts';
import { createDeviceSource, createLifeSignStore, createRefusalStore } from '../store/devices.ts';
import { createSignalStore } from '../store/signal-store.ts';
import type { CleanUp } from './clean-up.ts';
import type { Configuration } from './configuration.ts';
import { gauge, intakeCounter } from './measures.ts';
import type { Stores } from './stores.ts';
import { tlsOf } from './tls.ts';

export interface IntakeParts {
  readonly settings: Settings;
  readonly configuration: Configuration;
  readonly stores: Stores;
  readonly checks: HealthCheck[];
  /** Told after each commit. */
  readonly committed: () => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly registry: Registry;
  readonly cleanUp: CleanUp;
}

/** Where devices reach it: `host:port`. */
export interface IntakeAddresses {
  readonly mqtt: string;
  readonly mqtts?: string;
  readonly sipUdp: string;
  readonly sipTcp: string;
}

/** @throws CentreError port-in-use, port-not-allowed, settings-invalid */
export async function startIntake(parts: IntakeParts): Promise<IntakeAddresses> {
  const { settings, configuration, stores, checks, committed, clock, random, log, registry, cleanUp } = parts;
  const { postgres } = stores;
  const { models, escalation, municipalities } = configuration;
  const register = createDeviceRegister({ source: createDeviceSource(postgres), clock });
  const lifeSigns = createLifeSigns({ clock, log, store: createLifeSignStore(postgres) });
  cleanUp.add('life-signs', () => lifeSigns.stop());
  const refusals = createRefusals({ clock, log, store: createRefusalStore(postgres) });
  cleanUp.add('refusals', () => refusals.stop());
  const keeper = createKeeper({
    store: createSignalStore(postgres, committed),
    ladderFor: (alarm) => ladderFor(escalation, alarm),
    keyOf: joiningKey,
    log,
  });
  gauge(registry, 'signals_waiting', 'Signals that wait for their commit', () => keeper.waiting());
  const counted = intakeCounter(registry);
  const acceptOne = createAccept({
    keeper,
    noting: {
      seen: (serial, facts, at) => lifeSigns.seen(serial, facts, at),
      unknown: (source, protocol) => refusals.count({ protocol, source, code: 'unknown-device', detail: 'sign of life' }),
    },
    clock,
    random,
    log,
  });
  const accept: typeof acceptOne = async (incoming) => {
    const accepted = await acceptOne(incoming);
    counted.inc({ protocol: incoming.protocol, verdict: verdictOf(accepted) });
    return accepted;
  };
  /** Where nobody knows whose a device is, the centre's own municipality looks after it. */
  const [{ number: ownMunicipality } = { number: '' }] = municipalities;

  const broker = await startBroker();
  cleanUp.add('mqtt', () => broker.stop());
  const scaip = await startScaip({ clock, log, random, bind: settings.BIND, port: settings.SIP_PORT, accept: acceptScaip });
  cleanUp.add('sip', () => scaip.stop());
  gauge(registry, 'mqtt_connections', 'Devices that are connected over MQTT', () => broker.connections());
  checks.push(
    { name: 'mqtt', needed: true, check: () => Promise.resolve(null) },
    { name: 'sip', needed: true, check: () => Promise.resolve(null) },
  );
  const address = ({ host, port }: { host: string; port: number }): string => `${host.includes(':') ? `[${host}]` : host}:${port}`;
  return {
    mqtt: address(broker),
    ...(broker.tlsPort === null ? {} : { mqtts: address({ host: broker.host, port: broker.tlsPort }) }),
    sipUdp: address(scaip.udp),
    sipTcp: address(scaip.tcp),
  };

  async function startBroker(): Promise<MqttBroker> {
    const tls = await tlsOf(settings);
    return startMqttBroker({
      clock,
      log,
      bind: settings.BIND,
      port: settings.MQTT_PORT,
      ...(tls === null ? {} : { tls: { ...tls, port: settings.MQTTS_PORT } }),
      authenticate: createAuthentication(register),
      accept: acceptMqtt,
      refused: ({ code, source, detail }) => refusals.count({ protocol: 'mqtt', source, code, detail }),
    });
  }

  async function acceptMqtt(message: MqttMessage): Promise<'kept' | 'not-kept'> {
    const { device, municipality, payload } = message;
    const record = await register.find({ protocol: 'mqtt', serial: device });
    const sender = record === null ? stranger(`mqtt:${device}`, device, municipality) : senderOf(record);
    const interpretation = interpretMqtt(message, models.get(record?.model ?? ''));
    const accepted = await accept({ protocol: 'mqtt', sender, raw: payload, interpretation });
    if (!accepted.kept) return 'not-kept';
    const { messageId, receipt, at } = accepted;
    if (messageId !== null) {
      const result = receipt?.verdict === 'duplicate' ? 'duplicate' : 'received';
      broker.publishReceipt({ serial: device, municipality }, { id: messageId, result, alarm: receipt?.alarm ?? null, at });
    }
    return 'kept';
  }

  async function acceptScaip(message: ScaipMessage): Promise<'kept' | 'not-kept'> {
    const { cid, raw, source } = message;
    const record = cid === null ? null : await register.find({ protocol: 'scaip', controllerId: cid });
    const unknown = cid === null ? `sip:${source.address}` : `scaip:${cid}`;
    const sender = record === null ? stranger(unknown, cid ?? source.address, ownMunicipality) : senderOf(record);
    const interpretation = interpretScaip(message, models.get(record?.model ?? ''));
    const { kept } = await accept({ protocol: 'scaip', sender, raw, interpretation });
    return kept ? 'kept' : 'not-kept';
  }
}

const senderOf = ({ protocol, serial, controllerId, municipality, household, testUntil }: DeviceRecord): KnownSender => ({
  source: protocol === 'mqtt' ? `mqtt:${serial}` : `scaip:${controllerId ?? serial}`,
  device: serial,
  serial,
  municipality,
  household,
  testUntil,
});

const stranger = (source: string, device: string, municipality: string): KnownSender => ({
  source,
  device,
  municipality,
  serial: null,
  household: null,
  testUntil: null,
});

function verdictOf(accepted: Accepted): string {
  if (!accepted.kept) return 'not-kept';
  return accepted.receipt?.verdict ?? 'life-sign';
}
