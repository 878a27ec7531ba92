/** The other side of the simulators, written here by hand: a SCAIP receiver on real sockets, and a broker whose PUBACK can be withheld. */
import { createSocket } from 'node:dgram';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { Aedes, type PublishPacket } from 'aedes';
import type { Log, LogFields } from '../../src/base/log.ts';

/** Waits for a condition; the clocks of these tests stand still, sockets do not. */
export async function until(what: string, condition: () => boolean): Promise<void> {
  const limit = performance.now() + 15_000;
  while (!condition()) {
    if (performance.now() > limit) throw new Error(`Never happened: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** Lets what is on its way between loopback sockets arrive; for showing that nothing does. */
export async function quiet(turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setTimeout(resolve, 1));
}

export interface LogLine extends LogFields {
  readonly event: string;
  readonly level: string;
}

/** A log that remembers. */
export function keepingLog(): Log & { readonly lines: LogLine[] } {
  const lines: LogLine[] = [];
  const note =
    (level: string) =>
    (event: string, fields: LogFields = {}): void =>
      void lines.push({ ...fields, event, level });
  const log = { lines, debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error'), child: (): Log => log };
  return log;
}

/** One request or answer of a device, with the way back to where it came from. */
export interface FromDevice {
  readonly text: string;
  readonly port: number;
  reply(text: string): void;
}

export const headerOf = (text: string, name: string): string => new RegExp(`^${name}: (.*)\r$`, 'm').exec(text)?.[1] ?? '';
export const bodyOf = (text: string): string => text.slice(text.indexOf('\r\n\r\n') + 4);
export const refOf = (text: string): string => /<ref>([^<]*)<\/ref>/.exec(text)?.[1] ?? '';
export const isRequest = (text: string): boolean => text.startsWith('MESSAGE ');

/** An answer with the five headers that RFC 3261 § 8.2.6 asks for. */
export function answer(request: string, status: string, extra = ''): string {
  const copied = ['Via', 'From', 'To', 'Call-ID', 'CSeq'].map((name) => `${name}: ${headerOf(request, name)}\r\n`).join('');
  return `SIP/2.0 ${status}\r\n${copied}${extra}Content-Length: 0\r\n\r\n`;
}

let calls = 0;
/** The centre's own MESSAGE; each call is a new transaction. */
export function mrs(request: string, snu: number): string {
  const body = `<mrs><ref>${refOf(request)}</ref><snu>${snu}</snu></mrs>`;
  const n = ++calls;
  return (
    `MESSAGE sip:unit@192.168.10.20 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-centre-${n}\r\nFrom: <sip:alarm@centre>;tag=c${n}\r\n` +
    `To: <sip:unit@192.168.10.20>\r\nCall-ID: centre-${n}\r\nCSeq: 1 MESSAGE\r\nMax-Forwards: 70\r\n` +
    `Content-Type: application/scaip+xml\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  );
}

export interface Receiver {
  readonly port: number;
  /** Everything that devices sent, in order. */
  readonly got: FromDevice[];
  requests(): readonly string[];
  /** What to do with a request; silent at first. */
  behave(how: (from: FromDevice) => void): void;
  /** TCP only: ends all connections. */
  hangUp(): void;
  stop(): Promise<void>;
}

/** Answers 200 and then sends mrs, as the centre does. */
export const accept = (from: FromDevice): void => {
  from.reply(answer(from.text, '200 OK'));
  from.reply(mrs(from.text, 0));
};

export async function startReceiver(transport: 'udp' | 'tcp', port = 0): Promise<Receiver> {
  const got: FromDevice[] = [];
  let how: (from: FromDevice) => void = () => {};
  const take = (from: FromDevice): void => {
    got.push(from);
    if (isRequest(from.text)) how(from);
  };
  const common = {
    got,
    requests: () => got.map(({ text }) => text).filter(isRequest),
    behave: (next: typeof how) => {
      how = next;
    },
  };
  if (transport === 'udp') {
    const socket = createSocket('udp4');
    socket.on('message', (bytes, from) =>
      take({ text: bytes.toString(), port: from.port, reply: (text) => socket.send(text, from.port, from.address) }),
    );
    await new Promise<void>((resolve) => socket.bind(port, '127.0.0.1', resolve));
    return {
      ...common,
      port: socket.address().port,
      hangUp: () => {},
      stop: () => new Promise((resolve) => socket.close(() => resolve())),
    };
  }
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
    let held = '';
    socket.on('data', (chunk) => {
      held += chunk.toString();
      for (;;) {
        const end = held.indexOf('\r\n\r\n');
        const size = end + 4 + Number(/^Content-Length: (\d+)\r$/m.exec(held)?.[1] ?? 0);
        if (end < 0 || held.length < size) return;
        const text = held.slice(0, size);
        held = held.slice(size);
        take({ text, port: socket.remotePort ?? 0, reply: (reply) => socket.write(reply) });
      }
    });
  });
  await listen(server, port);
  const hangUp = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    ...common,
    port: (server.address() as AddressInfo).port,
    hangUp,
    stop: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      hangUp();
      await closed;
    },
  };
}

const listen = (server: Server, port: number): Promise<void> => new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));

export interface Published {
  /** Null for a last will that the broker itself publishes. */
  readonly client: string | null;
  readonly topic: string;
  readonly payload: string;
  readonly qos: number;
  readonly dup: boolean;
}

/** A payload's fields, as the platform contract names them. */
export type Payload = Readonly<Record<string, unknown>>;

export interface Broker {
  readonly address: string;
  readonly port: number;
  readonly got: Published[];
  on(topicEnd: string): readonly Published[];
  json(topicEnd: string): readonly Payload[];
  /** Whether a QoS 1 message gets its PUBACK: yes, never, or the connection is closed instead. */
  puback: 'yes' | 'never' | 'close';
  receipts: boolean;
  accepts: (username: string, password: string) => boolean;
  /** Connections that were tried. */
  connects: number;
  connected(): number;
  stop(): Promise<void>;
}

export async function startBroker(port = 0): Promise<Broker> {
  const aedes = await Aedes.createBroker({
    authenticate: (_client, username, password, done) => {
      broker.connects++;
      done(null, broker.accepts(username ?? '', password?.toString() ?? ''));
    },
    authorizePublish: (client, packet: PublishPacket & { dup?: boolean }, done) => {
      broker.got.push({
        client: client?.id ?? null,
        topic: packet.topic,
        payload: packet.payload.toString(),
        qos: packet.qos,
        dup: packet.dup === true,
      });
      if (packet.qos === 0 || packet.topic.endsWith('/status')) return done(null);
      if (broker.puback === 'close') return done(new Error('Not now.'));
      if (broker.puback === 'never') return;
      done(null);
      if (broker.receipts && !packet.topic.endsWith('/status')) receipt(packet);
    },
  });
  aedes.on('clientError', () => {});
  aedes.on('connectionError', () => {});
  const receipt = (packet: PublishPacket): void => {
    const id = /"id":"([^"]*)"/.exec(packet.payload.toString())?.[1];
    if (id === undefined) return;
    const topic = packet.topic.replace(/\/[^/]+$/, '/receipt');
    const payload = Buffer.from(JSON.stringify({ id, result: 'received', alarm: '1', at: '2026-11-22T22:00:00Z' }));
    aedes.publish({ cmd: 'publish', topic, payload, qos: 1, retain: false, dup: false }, () => {});
  };
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    aedes.handle(socket);
  });
  await listen(server, port);
  const at = (server.address() as AddressInfo).port;
  const broker: Broker = {
    address: `127.0.0.1:${at}`,
    port: at,
    got: [],
    on: (topicEnd) => broker.got.filter(({ topic }) => topic.endsWith(topicEnd)),
    json: (topicEnd) => broker.on(topicEnd).map(({ payload }) => JSON.parse(payload) as Payload),
    puback: 'yes',
    receipts: true,
    accepts: () => true,
    connects: 0,
    connected: () => sockets.size,
    stop: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => aedes.close(() => resolve()));
      await closed;
    },
  };
  return broker;
}
