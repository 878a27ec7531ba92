/** Simulated staff: an operator's console, and what operators and responders do with each alarm that it shows, to its end. */
import { WebSocket } from 'ws';
import { type Clock, type Milliseconds } from '../src/base/clock.ts';
import { Caller } from './caller.ts';

export interface Staff {
  /** Resolves when the console has answered: all that was sent before has been shown. */
  roundTrip(): Promise<void>;
  /** Alarms that were shown and are not handled yet. */
  underWay(): number;
  /** Commands that were refused, by their codes. */
  refusals(): Readonly<Record<string, number>>;
  /** Commands that were carried out. */
  done(): number;
  end(): void;
}

export interface StaffOptions {
  readonly http: string;
  readonly clock: Clock;
  /** An alarm of this device is on the console. */
  readonly shown: (device: string, at: Milliseconds) => void;
  /** It is closed. */
  readonly closed: (device: string, at: Milliseconds) => void;
}

interface Frame {
  readonly type: string;
  readonly alarm?: { readonly number: string; readonly device: string; readonly state: string };
}

/** Every so manyth alarm somebody is sent to. */
const VISIT_EVERY = 3;
const TEAM = 'nattpatrulje';

/** Signs the demonstration's people in; from then on each alarm that the console shows as waiting is handled. */
export async function workingStaff({ http, clock, shown, closed }: StaffOptions): Promise<Staff> {
  const operator = await Caller.signIn(http, 'operator');
  const responder = await Caller.signIn(http, 'natt');
  const refusals: Record<string, number> = {};
  const seen = new Set<string>();
  const pongs: (() => void)[] = [];
  let underWay = 0;
  let done = 0;

  async function orders(caller: Caller, number: string, command: object): Promise<void> {
    const refused = await caller.order(number, command).catch((error: unknown) => (error instanceof Error ? error.message : String(error)));
    if (refused === null) done += 1;
    else refusals[refused] = (refusals[refused] ?? 0) + 1;
  }

  async function handle(number: string, device: string, visit: boolean): Promise<void> {
    await orders(operator, number, { command: 'claim' });
    if (visit) {
      await orders(operator, number, { command: 'dispatch', to: TEAM });
      await orders(responder, number, { command: 'accept', etaMinutes: 5 });
      await orders(responder, number, { command: 'arrive' });
      await orders(responder, number, { command: 'report', outcome: 'helped', text: 'Målt.' });
    } else await orders(operator, number, { command: 'confirm-contact', how: 'voice' });
    await orders(operator, number, { command: 'close', outcome: 'helped', text: '' });
    closed(device, clock.monotonic());
    seen.delete(number);
    underWay -= 1;
  }

  const socket = new WebSocket(`${http.replace('http', 'ws')}/ws`, { headers: { cookie: operator.cookie }, perMessageDeflate: false });
  await new Promise((resolve, reject) => socket.once('message', resolve).once('error', reject));
  let count = 0;
  socket.on('message', (data: Buffer) => {
    const { type, alarm } = JSON.parse(data.toString()) as Frame;
    if (type === 'pong') pongs.shift()?.();
    if (type !== 'alarm' || alarm?.state !== 'waiting' || seen.has(alarm.number)) return;
    seen.add(alarm.number);
    underWay += 1;
    shown(alarm.device, clock.monotonic());
    void handle(alarm.number, alarm.device, ++count % VISIT_EVERY === 0);
  });
  socket.on('error', () => undefined);

  return {
    roundTrip: () =>
      new Promise((resolve, reject) => {
        if (socket.readyState !== socket.OPEN) return reject(new Error('The console was ended.'));
        pongs.push(resolve);
        socket.send('{"type":"ping"}');
      }),
    underWay: () => underWay,
    refusals: () => refusals,
    done: () => done,
    end() {
      socket.terminate();
      operator.end();
      responder.end();
    },
  };
}
