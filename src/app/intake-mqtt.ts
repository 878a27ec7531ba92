/** Starts the MQTT broker and the bridge: each message looked up, interpreted, accepted, and answered with a receipt the way it came. */
import { createHash } from 'node:crypto';
import type { Signal } from '../alarms/signal.ts';
import { type Instant, toIso } from '../base/clock.ts';
import { receiptId } from '../base/ids.ts';
import { createIdentification } from '../devices/authentication.ts';
import { type Interpretation, interpretMqtt, overBridge } from '../devices/interpret.ts';
import { type BridgeGap, type MqttBridge } from '../protocols/mqtt/bridge-options.ts';
import { startMqttBridge } from '../protocols/mqtt/bridge.ts';
import { startMqttBroker } from '../protocols/mqtt/broker.ts';
import { MQTT_LIMITS, type MqttBroker } from '../protocols/mqtt/broker-options.ts';
import type { MqttMessage, MqttReceipt } from '../protocols/mqtt/message.ts';
import { createBridgeSessionStore } from '../store/bridge-sessions.ts';
import { bridgeTlsOf, clientCaOf } from './bridge-files.ts';
import { type IntakeContext, senderOf, stranger } from './intake-parts.ts';
import { connectionsWithin } from './open-files.ts';

/** The centre's own broker, and the bridge to an external one when the settings name it. */
export interface MqttIntake extends MqttBroker {
  readonly bridge: Pick<MqttBridge, 'fault' | 'readySince' | 'counters'> | null;
}

type Reply = (receipt: MqttReceipt) => void;

/** @throws CentreError port-in-use, port-not-allowed, settings-invalid, store-away */
export async function startMqtt(context: IntakeContext): Promise<MqttIntake> {
  const { settings, tls, register, refusals, clock, log } = context;
  const clientCa = await clientCaOf(settings);
  const broker: MqttBroker = await startMqttBroker({
    clock,
    log,
    bind: settings.BIND,
    port: settings.MQTT_PORT,
    ...(tls === null
      ? {}
      : { tls: { ...tls.current(), ...clientCa, onChange: (renewed) => tls.onChange(renewed), port: settings.MQTTS_PORT } }),
    authenticate: createIdentification(register),
    accept: (message) => {
      const device = { serial: message.device, municipality: message.municipality };
      return acceptMqtt(context, message, (receipt) => broker.publishReceipt(device, receipt), false);
    },
    refused: ({ code, source, detail }) => refusals.count({ protocol: 'mqtt', source, code, detail }),
    limits: { connections: connectionsWithin(MQTT_LIMITS.connections, log) },
  });
  try {
    const bridge = await startBridge(context);
    const stop = async (): Promise<void> => void (await Promise.all([broker.stop(), bridge?.stop()]));
    return { ...broker, bridge, stop };
  } catch (error) {
    await broker.stop();
    throw error;
  }
}

/** Null when the settings name no external broker. */
async function startBridge(context: IntakeContext): Promise<MqttBridge | null> {
  const { settings, postgres, municipalities, ownMunicipality, refusals, clock, random, log } = context;
  const { MQTT_BRIDGE_URL, MQTT_BRIDGE_USERNAME: username, MQTT_BRIDGE_PASSWORD: password } = settings;
  if (MQTT_BRIDGE_URL === undefined) return null;
  const url = new URL(MQTT_BRIDGE_URL);
  const secure = url.protocol === 'mqtts:';
  // Once now, so that a file that is missing stops the start instead of being tried for ever.
  await bridgeTlsOf(settings);
  return startMqttBridge({
    clock,
    random,
    log,
    broker: {
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port === '' ? (secure ? 8883 : 1883) : Number(url.port),
      secure,
      ...(username === undefined ? {} : { username }),
      ...(password === undefined ? {} : { password }),
      tls: () => bridgeTlsOf(settings),
    },
    clientId: settings.MQTT_BRIDGE_CLIENT_ID,
    filters: settings.MQTT_BRIDGE_TOPICS,
    connections: settings.MQTT_BRIDGE_CONNECTIONS,
    municipalities,
    ownMunicipality,
    sessions: createBridgeSessionStore(postgres),
    accept: (message, reply) => acceptMqtt(context, message, reply, true),
    gap: (gap) => showGap(context, gap),
    retained: (clientId, topic) => refusals.count({ protocol: 'mqtt', source: clientId, code: 'retained-message', detail: topic }),
  });
}

async function acceptMqtt(context: IntakeContext, message: MqttMessage, reply: Reply, bridged: boolean): Promise<'kept' | 'not-kept'> {
  const { models, register, accept, municipalities, ownMunicipality } = context;
  const { device, municipality, payload } = message;
  const record = await register.find({ protocol: 'mqtt', serial: device });
  // Over the bridge a topic may name a municipality that the centre does not serve: somebody must see it all the same.
  const seenBy = municipalities.includes(municipality) ? municipality : ownMunicipality;
  const sender = record === null ? stranger(`mqtt:${device}`, device, seenBy) : senderOf(record);
  const heard = interpretMqtt(message, models.get(record?.model ?? ''));
  const interpreted = bridged ? overBridge(heard) : heard;
  const interpretation = record !== null && record.municipality !== municipality ? elsewhere(interpreted) : interpreted;
  const accepted = await accept({ protocol: 'mqtt', sender, raw: payload, interpretation });
  if (!accepted.kept) return 'not-kept';
  const { messageId, receipt, at } = accepted;
  if (messageId !== null) {
    const result = receipt?.verdict === 'duplicate' ? 'duplicate' : 'received';
    reply({ id: messageId, result, alarm: receipt?.alarm ?? null, at });
  }
  return 'kept';
}

/** The platform has the device in another municipality than the register: the alarm counts, and says so. */
function elsewhere(interpretation: Interpretation): Interpretation {
  if (interpretation.what === 'life-sign') return interpretation;
  return { ...interpretation, marks: [...interpretation.marks, 'identity-mismatch'] };
}

/** A loss as a technical alarm; told again, it is a duplicate of itself. */
async function showGap(
  { spill, ownMunicipality, clock, random }: IntakeContext,
  { clientId, from, until, filters }: BridgeGap,
): Promise<void> {
  // What tells a duplicate: of the same loss the beginning is the same, whoever tells it.
  const raw = Buffer.from(JSON.stringify({ bridge: clientId, gapFrom: toIso(from) }));
  const at = clock.now();
  const signal: Signal = {
    id: receiptId(at, random),
    receivedAt: at,
    protocol: 'centre',
    messageId: `gap ${toIso(from)}`,
    raw,
    digest: createHash('sha256').update(raw).digest(),
    source: `bridge:${clientId}`,
    device: clientId,
    municipality: ownMunicipality,
    household: null,
    meaning: { role: 'technical', kind: 'fault', priority: 'technical', trigger: '', text: gapText(from, until, filters) },
    marks: ['gap'],
  };
  await spill.keep(signal);
}

const INSTANT = new Intl.DateTimeFormat('nb-NO', { timeZone: 'Europe/Oslo', dateStyle: 'short', timeStyle: 'medium' });

function gapText(from: Instant, until: Instant, filters: readonly string[]): string {
  const span = `${INSTANT.format(from)} og ${INSTANT.format(until)}`;
  return `Plattformens MQTT-megler har mistet det den skulle ta vare på for responssenteret. Meldinger mellom ${span} kan mangle (${filters.join(', ')}).`;
}
