/** The embedded MQTT broker: devices connect, publish under their own topics, and are acknowledged when the centre has kept it. */
import type { Server, Socket } from 'node:net';
import { Aedes, type AuthenticateError, type Client, type ConnectPacket, type PublishPacket, type Subscription } from 'aedes';
import { seconds } from '../../base/clock.ts';
import { reason } from '../../base/errors.ts';
import { reached } from '../../base/points.ts';
import { MQTT_LIMITS, type MqttBroker, type MqttBrokerOptions, type MqttRefusalCode } from './broker-options.ts';
import { type Connection, inOrder, messageOf, newConnection } from './connection.ts';
import { Connections, nextTurn, Wills, withinTime } from './connections.ts';
import { certificateOf, listen, portOf } from './listen.ts';
import type { MqttReceipt } from './message.ts';
import { PacketGate } from './packet-gate.ts';
import { encodeReceipt } from './payload.ts';
import { type DeviceAddress, isSerial, mayRead, topicFor } from './topic.ts';

/** Return codes of CONNACK (MQTT 3.1.1, table 3.1). */
const SERVER_UNAVAILABLE = 3;
const BAD_USER_NAME_OR_PASSWORD = 4;

type Answer = (error?: Error | null) => void;

/** @throws CentreError port-in-use, port-not-allowed */
export async function startMqttBroker(options: MqttBrokerOptions): Promise<MqttBroker> {
  const { clock, accept, bind } = options;
  const log = options.log.child({ protocol: 'mqtt' });
  const limits = { ...MQTT_LIMITS, ...options.limits };
  const connections = new Connections();
  const wills = new Wills({ accept, clock, log });
  const counts = { connects: 0, published: 0, notKept: 0, foreign: 0, refused: 0, receiptsSent: 0, receiptsUndelivered: 0 };
  let stopping = false;
  let anonymous = 0;

  const aedes = await Aedes.createBroker({
    // These stand behind the gate's limits. Nothing is kept here: every session is made clean, every topic a stub.
    connectTimeout: limits.connectWithin,
    drainTimeout: 10_000,
    maxClientsIdLength: 1024,
    preConnect: greet,
    authenticate: admit,
    authorizePublish: keepBeforeAcknowledging,
    authorizeSubscribe: grant,
  });
  aedes.on('clientReady', (client) => connections.of(client)?.gate.admit());
  aedes.on('unsubscribe', (topics, client) => {
    for (const topic of topics) connections.of(client)?.reads.delete(topic);
  });
  aedes.on('keepaliveTimeout', (client) => {
    const connection = connections.of(client);
    if (connection !== undefined) connection.silent = true;
  });
  aedes.on('clientError', protocolError);
  aedes.on('connectionError', protocolError);
  // Without a listener an error of the broker's own would end the process; its types do not know the event.
  aedes.on('error' as 'closed', ((error: unknown) => log.error('mqtt-broker-failed', { error })) as () => void);

  const servers = await openServers().catch(async (error: unknown) => {
    await new Promise<void>((resolve) => aedes.close(resolve));
    throw error;
  });

  async function openServers(): Promise<Server[]> {
    const listener = { bind, connected, handshakeFailed: (address: string) => report(null, 'tls-handshake-failed', '', address) } as const;
    const plain = await listen({ ...listener, port: options.port, setting: 'MQTT_PORT' });
    if (options.tls === undefined) return [plain];
    const { port, ...tls } = options.tls;
    try {
      return [plain, await listen({ ...listener, port, tls, setting: 'MQTTS_PORT' })];
    } catch (error) {
      plain.close();
      throw error;
    }
  }

  function connected(socket: Socket): void {
    const address = socket.remoteAddress ?? '';
    if (stopping || connections.size >= limits.connections) {
      if (!stopping) report(null, 'too-many-connections', '', address);
      socket.on('error', () => undefined);
      socket.destroy();
      return;
    }
    // Finds a peer that vanished without a word also where the device asked for no keep-alive.
    socket.setKeepAlive(true, seconds(60));
    const gate: PacketGate = new PacketGate({
      socket,
      clock,
      limits: { packet: limits.packetBytes, inFlight: limits.inFlightPerConnection },
      refused: (code, detail) => report(connection, code, detail),
    });
    const connection = newConnection(gate, address, certificateOf(socket));
    connections.add(connection, aedes.handle(gate));
    gate.once('close', () => {
      connections.drop(connection);
      if (connection.device !== null) wills.execute(connection, connections.isConnected(connection.device.serial));
    });
  }

  /** Before anybody knows who it is. The client id is put under the user name: nobody takes over another's connection by its client id. */
  function greet(client: Client, packet: ConnectPacket, callback: (error: Error | null, success: boolean) => void): void {
    const connection = connections.of(client);
    const { will } = packet;
    if (connection === undefined || stopping) return callback(null, false);
    if (will !== undefined) {
      connection.will = { topic: will.topic, payload: Uint8Array.from(will.payload as Uint8Array), qos: will.qos ?? 0 };
      delete packet.will;
    }
    packet.clean = true;
    packet.clientId = `${ownerOf(connection, packet)}/${packet.clientId === '' ? `anonymous-${++anonymous}` : packet.clientId}`;
    const asked = packet.keepalive ?? 0;
    packet.keepalive = asked === 0 ? limits.keepalive : Math.min(asked, limits.keepalive);
    callback(null, true);
  }

  function admit(
    client: Client,
    username: string | undefined,
    password: Buffer | undefined,
    done: (error: AuthenticateError | null, success: boolean | null) => void,
  ): void {
    const connection = connections.of(client);
    const answer = async (): Promise<void> => {
      const returnCode =
        connection === undefined ? SERVER_UNAVAILABLE : await identify(connection, username ?? '', password ?? Buffer.of());
      if (returnCode === null) done(null, true);
      else done(Object.assign(new Error('refused'), { returnCode }), null);
    };
    void answer();
  }

  /** @returns null when the connection is this device's from now on, else the return code */
  async function identify(connection: Connection, serial: string, password: Uint8Array): Promise<number | null> {
    const { certificate } = connection;
    const namedByCertificate = serial === '' && certificate !== null;
    if (!isSerial(serial) && !namedByCertificate) {
      report(connection, 'unknown-device', serial === '' ? 'no user name' : 'the user name is no serial');
      return BAD_USER_NAME_OR_PASSWORD;
    }
    try {
      const found = await options.authenticate({ serial, password, certificate });
      if ('refused' in found) {
        const shown = certificate === null ? '' : `certificate ${Buffer.from(certificate.sha256).toString('hex')}`;
        report(connection, found.refused, shown, serial === '' ? connection.address : serial);
        return BAD_USER_NAME_OR_PASSWORD;
      }
      if (connections.has(connection)) connections.enrol(connection, found, limits.connectionsPerDevice);
      counts.connects++;
      return null;
    } catch (error) {
      log.warn('mqtt-authentication-unavailable', { device: serial === '' ? (certificate?.commonName ?? '') : serial, error });
      return SERVER_UNAVAILABLE;
    }
  }

  /** The durable step: PUBACK (QoS 2: PUBREC) goes out only when this calls back without an error; with one the connection is closed. */
  function keepBeforeAcknowledging(client: Client | null, packet: PublishPacket, acknowledge: Answer): void {
    // What arrives during a stop gets no answer: the device sends it again.
    if (stopping) return;
    const connection = connections.of(client);
    const published = connection?.gate.fetch(packet.topic) ?? null;
    if (connection === undefined || connection.device === null || published === null) return acknowledge(new NotKept());
    const message = messageOf(connection.device, published, false, clock.now());
    counts.published++;
    if (message.foreign) {
      counts.foreign++;
      report(connection, 'foreign-topic', message.topic.slice(0, 200));
    }
    void settle(connection, inOrder(connection, message, accept, log), acknowledge);
  }

  async function settle(connection: Connection, verdict: Promise<'kept' | 'not-kept'>, acknowledge: Answer): Promise<void> {
    if ((await verdict) === 'kept') {
      reached('before-ack');
      acknowledge(null);
      connection.gate.release();
      return reached('after-ack');
    }
    counts.notKept++;
    // Closing throws away what was written in this turn: the acknowledgements before this one go out first.
    await nextTurn();
    acknowledge(new NotKept());
  }

  function grant(
    client: Client,
    subscription: Subscription,
    callback: (error: Error | null, subscription?: Subscription | null) => void,
  ): void {
    const connection = connections.of(client);
    if (connection === undefined || connection.device === null || !mayRead(subscription.topic, connection.device)) {
      report(connection ?? null, 'foreign-subscription', subscription.topic.slice(0, 200));
      return callback(null, null);
    }
    connection.reads.set(subscription.topic, subscription.qos);
    callback(null, subscription);
  }

  function protocolError(client: Client, error: Error): void {
    const connection = connections.of(client);
    if (connection === undefined || !connections.has(connection) || connection.failed || connection.silent || stopping) return;
    if (isOfProtocol(error)) report(connection, 'protocol-error', reason(error).slice(0, 100));
  }

  function report(connection: Connection | null, code: MqttRefusalCode, detail: string, source?: string): void {
    counts.refused++;
    const address = connection?.address ?? source ?? '';
    options.refused({ code, source: source ?? connection?.device?.serial ?? address, address, detail });
  }

  function publishReceipt(device: DeviceAddress, receipt: MqttReceipt): void {
    const topic = topicFor(device, 'receipt');
    const payload = Buffer.from(encodeReceipt(receipt));
    let sent = false;
    for (const { client, reads, gate } of connections.ofDevice(device.serial)) {
      const granted = reads.get(topic);
      if (granted === undefined || client === null || gate.destroyed) continue;
      sent = true;
      client.publish({ cmd: 'publish', topic, payload, qos: granted === 0 ? 0 : 1, retain: false, dup: false }, () => undefined);
    }
    if (sent) counts.receiptsSent++;
    else counts.receiptsUndelivered++;
  }

  async function stop(): Promise<void> {
    if (stopping) return;
    stopping = true;
    for (const server of servers) server.close();
    for (const { gate } of connections.all()) gate.close();
    const inHand = Promise.all([...connections.all().map(({ chain }) => chain), wills.stop()]);
    await withinTime(clock, inHand, limits.stopWithin);
    await nextTurn();
    for (const { gate } of connections.all()) gate.destroy();
    await withinTime(clock, new Promise<void>((resolve) => aedes.close(resolve)), seconds(1));
  }

  const [plain, encrypted] = servers.map(portOf);
  log.info('mqtt-listening', { port: plain ?? 0 });
  return {
    host: bind,
    port: plain ?? 0,
    tlsPort: encrypted ?? null,
    publishReceipt,
    disconnect: (serial) => {
      for (const { gate } of connections.ofDevice(serial)) gate.destroy();
    },
    connections: () => connections.size,
    counters: () => ({ ...counts, willsLost: wills.lost }),
    stop,
  };
}

/** Under which name a connection's client id stands: neither a serial nor a fingerprint can be taken for the other. */
function ownerOf({ certificate }: Connection, { username = '' }: ConnectPacket): string {
  return username === '' && certificate !== null ? `certificate:${Buffer.from(certificate.sha256).toString('hex')}` : username;
}

/** Ends a connection whose message was not kept; the device sends it again on the next one. */
class NotKept extends Error {}

/** Errors of the socket have a code, refusals of CONNECT a return code from 2; the rest, and MQTT versions unknown here, are wrong bytes. */
const isOfProtocol = (error: Error): boolean => !('code' in error) && (!('errorCode' in error) || error.errorCode === 1);
