/** What the broker is given and gives: limits, whom to ask who a device is, and whom to tell what was refused. */
import type { Clock, Milliseconds, Seconds } from '../../base/clock.ts';
import type { Log } from '../../base/log.ts';
import type { Accept } from './connection.ts';
import type { TlsIdentity } from './listen.ts';
import { type MqttReceipt, PACKET_LIMIT } from './message.ts';
import type { DeviceAddress } from './topic.ts';

export const MQTT_REFUSAL_CODES = [
  'unknown-device',
  'wrong-password',
  'wrong-certificate',
  'foreign-topic',
  'foreign-subscription',
  'packet-too-large',
  'protocol-error',
  'unsupported-version',
  'tls-handshake-failed',
  'too-many-connections',
] as const;
/** Why something of a device was refused; counted, and shown to technicians. */
export type MqttRefusalCode = (typeof MQTT_REFUSAL_CODES)[number];

export interface MqttRefusal {
  readonly code: MqttRefusalCode;
  /** The user name when it could be a serial, else the address of the other end. */
  readonly source: string;
  readonly address: string;
  /** The topic, or the size: never a payload. */
  readonly detail: string;
}

/** What a connection shows of itself. */
export interface MqttClaim {
  /** The user name; empty: its certificate has to tell. */
  readonly serial: string;
  readonly password: Uint8Array;
  /** Null: it showed none (it never does without TLS). */
  readonly certificate: ClientCertificate | null;
}

/** The other end has proven that it holds the key of this certificate. */
export interface ClientCertificate {
  /** SHA-256 of the whole certificate (DER). */
  readonly sha256: Uint8Array;
  /** Its subject's CN, when `clientCa` issued it and it is in its time; else null: anybody can write a name into a certificate. */
  readonly commonName: string | null;
}

export type Authentication = DeviceAddress | { readonly refused: 'unknown-device' | 'wrong-password' | 'wrong-certificate' };

export interface MqttBrokerOptions {
  readonly clock: Clock;
  readonly log: Log;
  readonly bind: string;
  readonly port: number;
  /** `clientCa`: PEM of who issues the devices' certificates; without it they are known by their fingerprint only. */
  readonly tls?: TlsIdentity & { readonly port: number; readonly clientCa?: string };
  /** May throw when the register cannot be asked: the device is told that the server is unavailable. */
  readonly authenticate: (claim: MqttClaim) => Promise<Authentication>;
  readonly accept: Accept;
  readonly refused: (refusal: MqttRefusal) => void;
  readonly limits?: Partial<MqttLimits>;
}

export interface MqttLimits {
  readonly connections: number;
  /** One device's, by client id: a test tool beside the device, and connections whose end was not noticed yet. */
  readonly connectionsPerDevice: number;
  readonly inFlightPerConnection: number;
  readonly packetBytes: number;
  /** How long a connection may take to say CONNECT. */
  readonly connectWithin: Milliseconds;
  /** For devices that give no keep-alive or a longer one: a dead connection is noticed after 1.5 times this. */
  readonly keepalive: Seconds;
  /** How long `stop` waits for what is in hand. */
  readonly stopWithin: Milliseconds;
}

export const MQTT_LIMITS: MqttLimits = {
  connections: 20_000,
  connectionsPerDevice: 4,
  inFlightPerConnection: 20,
  packetBytes: PACKET_LIMIT,
  connectWithin: 10_000,
  keepalive: 3600,
  stopWithin: 4000,
};

export interface MqttCounters {
  readonly connects: number;
  readonly published: number;
  readonly notKept: number;
  readonly foreign: number;
  readonly refused: number;
  readonly receiptsSent: number;
  readonly receiptsUndelivered: number;
  readonly willsLost: number;
}

export interface MqttBroker {
  readonly host: string;
  readonly port: number;
  /** Null without TLS. */
  readonly tlsPort: number | null;
  /** Sends a receipt to the device if it is connected and reads them; nothing is kept for later. */
  publishReceipt(device: DeviceAddress, receipt: MqttReceipt): void;
  /** Ends a device's connections: its secret was changed, or it was moved. */
  disconnect(serial: string): void;
  connections(): number;
  counters(): MqttCounters;
  /** No new connection, no new message; what is in hand is answered, for at most `stopWithin`. */
  stop(): Promise<void>;
}
