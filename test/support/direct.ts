/** The intake side of the direct stream for tests: says the lines it is told to, and notes what consoles ask. */
import { once } from 'node:events';
import { type AddressInfo, type Server, type Socket, createServer } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import type { ProvisionalAlarm } from '../../src/alarms/provisional.ts';

export const early = (n: number, more: Partial<ProvisionalAlarm> = {}): ProvisionalAlarm => ({
  number: `F-${String(n).padStart(8, '0')}`,
  municipality: '1103',
  device: `NJ-1103-${n}`,
  household: { id: `h${n}`, name: `Åse Bjørnstad ${n}`, zone: 'sentrum' },
  kind: 'call-button',
  priority: 'life',
  trigger: '',
  receivedAt: new Date(Date.UTC(2026, 10, 22, 22, 0, n)).toISOString(),
  text: null,
  voice: null,
  unreadable: false,
  claimedBy: null,
  claimedAt: null,
  ...more,
});

interface Asked {
  readonly ask: string;
  readonly claim: { readonly number: string; readonly account: string; readonly roles: string[]; readonly at: number };
}

export class TestIntake {
  readonly hellos: string[] = [];
  readonly asked: Asked[] = [];
  readonly #server: Server;
  #sockets: Socket[] = [];
  /** Whether it takes a token. */
  knows: (token: string) => boolean = () => true;
  /** Said first to whoever is known; null: nothing. */
  whole: object | null = { news: 'whole', storeAway: true, alarms: [] };
  /** What it answers a claim with, if anything. */
  answer: (asked: Asked) => object | null = () => null;
  /** How many connected so far. */
  connections = 0;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(tls?: { cert: string; key: string }, port = 0): Promise<TestIntake> {
    const server = tls === undefined ? createServer() : createTlsServer(tls);
    const intake = new TestIntake(server);
    server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => intake.#serve(socket));
    server.on('connection', () => (intake.connections += 1));
    server.on('tlsClientError', () => undefined);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    return intake;
  }

  get direct(): string {
    return `127.0.0.1:${this.port}`;
  }
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }
  get connected(): number {
    return this.#sockets.length;
  }

  say(line: object): void {
    this.sayRaw(`${JSON.stringify(line)}\n`);
  }
  sayRaw(text: string): void {
    for (const socket of this.#sockets) socket.write(text);
  }
  holds(storeAway: boolean, ...alarms: ProvisionalAlarm[]): void {
    this.whole = { news: 'whole', storeAway, alarms };
    this.say(this.whole);
  }
  /** Says that it is there, every second, as a real one does; else consoles give it up after 5 s. */
  pulses(): void {
    const timer = setInterval(() => this.say({ pulse: true }), 1000).unref();
    this.#server.on('close', () => clearInterval(timer));
  }
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
  async stop(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.cut();
    await closed;
  }

  #serve(socket: Socket): void {
    let rest = '';
    let known = false;
    socket.on('error', () => undefined);
    socket.on('close', () => (this.#sockets = this.#sockets.filter((one) => one !== socket)));
    socket.on('data', (piece: Buffer) => {
      rest += piece.toString('utf8');
      for (let end = rest.indexOf('\n'); end !== -1; end = rest.indexOf('\n')) {
        const said = JSON.parse(rest.slice(0, end)) as { hello?: string } & Asked;
        rest = rest.slice(end + 1);
        if (!known) {
          this.hellos.push(said.hello ?? '');
          known = this.knows(said.hello ?? '');
          if (!known) return void socket.destroy();
          this.#sockets.push(socket);
          if (this.whole !== null) socket.write(`${JSON.stringify(this.whole)}\n`);
          continue;
        }
        this.asked.push(said);
        const answer = this.answer(said);
        if (answer !== null) socket.write(`${JSON.stringify(answer)}\n`);
      }
    });
  }
}
