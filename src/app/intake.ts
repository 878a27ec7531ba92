/** Starts the intake: what all protocols share, then the MQTT broker and the SCAIP receiver. */
import type { Registry } from 'prom-client';
import { isCanary } from '../alarms/canary.ts';
import type { Desk } from '../alarms/desk.ts';
import type { Clock } from '../base/clock.ts';
import type { Random } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';
import type { HealthCheck } from '../console/health-routes.ts';
import { createRefusals } from '../devices/refusals.ts';
import { createDeviceRegister } from '../devices/register.ts';
import { watchSilence } from '../devices/silence-watch.ts';
import { createLifeSigns } from '../devices/supervision.ts';
import { type Accepted, createAccept } from '../intake/accept.ts';
import { createDeviceSource, createRefusalStore } from '../store/devices.ts';
import { createLifeSignStore } from '../store/life-signs.ts';
import { createSilenceStore } from '../store/silence.ts';
import type { CleanUp } from './clean-up.ts';
import type { Configuration } from './configuration.ts';
import { startMqtt } from './intake-mqtt.ts';
import { type IntakeContext, addressOf } from './intake-parts.ts';
import { startSipIntake } from './intake-scaip.ts';
import { startSpill } from './intake-spill.ts';
import { gauge, intakeCounter } from './measures.ts';
import { measureListeners } from './measures-parts.ts';
import type { Stores } from './stores.ts';
import type { TlsIdentity } from './tls.ts';

export interface IntakeParts {
  readonly settings: Settings;
  readonly configuration: Configuration;
  readonly stores: Stores;
  /** Absolute. */
  readonly dataDir: string;
  readonly desk: Desk;
  readonly tls: TlsIdentity | null;
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
  readonly sips?: string;
  /** The direct stream to the consoles. */
  readonly direct: string;
}

export interface StartedIntake {
  readonly addresses: IntakeAddresses;
  /** Of the direct stream's certificate; null: plain TCP. */
  readonly directSha256: () => string | null;
  /** Signals are kept also while PostgreSQL is away. */
  readonly spillWorks: () => boolean;
}

/** @throws CentreError port-in-use, port-not-allowed, settings-invalid */
export async function startIntake(parts: IntakeParts): Promise<StartedIntake> {
  const { settings, configuration, stores, tls, checks, clock, random, log, registry, cleanUp } = parts;
  const { postgres } = stores;
  const { models, escalation, municipalities } = configuration;
  const register = createDeviceRegister({ source: createDeviceSource(postgres), clock, log });
  cleanUp.add('register', () => register.stop());
  // Whoever does not know its devices yet must not listen for them.
  await register.load();
  gauge(registry, 'register_devices', 'Devices in the register that this process holds in memory', () => register.state().devices);
  gauge(
    registry,
    'register_age_seconds',
    'Time since the register in memory was last in step with PostgreSQL',
    () => register.state().age / 1000,
  );
  const lifeSigns = createLifeSigns({ clock, log, store: createLifeSignStore(postgres) });
  cleanUp.add('life-signs', () => lifeSigns.stop());
  const refusals = createRefusals({ clock, log, store: createRefusalStore(postgres) });
  cleanUp.add('refusals', () => refusals.stop());
  const { spill, direct, directSha256 } = await startSpill({ ...parts, postgres, escalation });
  const counted = intakeCounter(registry);
  const acceptOne = createAccept({
    keeper: spill,
    noting: {
      seen: (...told) => lifeSigns.seen(...told),
      unknown: (source, protocol) => refusals.count({ protocol, source, code: 'unknown-device', detail: 'sign of life' }),
    },
    clock,
    random,
    log,
  });
  const accept: typeof acceptOne = async (incoming) => {
    const accepted = await acceptOne(incoming);
    if (!isCanary(incoming.sender)) counted.inc({ protocol: incoming.protocol, verdict: verdictOf(accepted) });
    return accepted;
  };
  const [{ number: ownMunicipality } = { number: '' }] = municipalities;
  const context: IntakeContext = {
    settings,
    tls,
    models,
    register,
    refusals,
    accept,
    spill,
    postgres,
    voice: configuration.centre.voice,
    ownMunicipality,
    municipalities: municipalities.map(({ number }) => number),
    clock,
    random,
    log,
  };

  const broker = await startMqtt(context);
  cleanUp.add('mqtt', () => broker.stop());
  const scaip = await startSipIntake(context);
  cleanUp.add('sip', () => scaip.stop());
  // Only now can devices be heard; it stops before they cannot any more.
  const store = createSilenceStore(postgres);
  const { bridge } = broker;
  const silence = watchSilence({
    models,
    store,
    lifeSigns,
    keep: (signal) => spill.keep(signal),
    clock,
    random,
    log,
    bridgeSince: bridge === null ? null : () => bridge.readySince(),
  });
  cleanUp.add('silence', () => silence.stop());
  measureListeners(registry, { lifeSigns, broker, scaip, bridge });
  checks.push(
    { name: 'mqtt', needed: true, check: () => Promise.resolve(null) },
    { name: 'sip', needed: true, check: () => Promise.resolve(null) },
  );
  // Devices that connect directly are served all the same, and another node would reach the platform no better.
  if (bridge !== null) checks.push({ name: 'bridge', needed: false, check: () => Promise.resolve(bridge.fault()) });
  const addresses = {
    mqtt: addressOf(broker),
    ...(broker.tlsPort === null ? {} : { mqtts: addressOf({ host: broker.host, port: broker.tlsPort }) }),
    sipUdp: addressOf(scaip.udp),
    sipTcp: addressOf(scaip.tcp),
    ...(scaip.tls === null ? {} : { sips: addressOf(scaip.tls) }),
    direct,
  };
  return { addresses, directSha256, spillWorks: () => spill.counts().fault === null };
}

function verdictOf(accepted: Accepted): string {
  if (!accepted.kept) return 'not-kept';
  return accepted.receipt?.verdict ?? 'life-sign';
}
