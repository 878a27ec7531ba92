/** Starts the MQTT broker: each message looked up, interpreted, accepted, and answered with a receipt. */
import { createAuthentication } from '../devices/authentication.ts';
import { interpretMqtt } from '../devices/interpret.ts';
import { startMqttBroker } from '../protocols/mqtt/broker.ts';
import type { MqttBroker } from '../protocols/mqtt/broker-options.ts';
import type { MqttMessage } from '../protocols/mqtt/message.ts';
import { type IntakeContext, senderOf, stranger } from './intake-parts.ts';

/** The centre's own broker, and the bridge to an external one when the settings name it. */
export interface MqttIntake extends MqttBroker {
  readonly bridge: { fault(): string | null } | null;
}

/** @throws CentreError port-in-use, port-not-allowed, settings-invalid */
export async function startMqtt(context: IntakeContext): Promise<MqttIntake> {
  const { settings, tls, models, register, refusals, accept, clock, log } = context;
  const broker: MqttBroker = await startMqttBroker({
    clock,
    log,
    bind: settings.BIND,
    port: settings.MQTT_PORT,
    ...(tls === null ? {} : { tls: { ...tls.current(), onChange: tls.onChange, port: settings.MQTTS_PORT } }),
    authenticate: createAuthentication(register),
    accept: acceptMqtt,
    refused: ({ code, source, detail }) => refusals.count({ protocol: 'mqtt', source, code, detail }),
  });
  return { ...broker, bridge: null };

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
}
