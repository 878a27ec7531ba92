/** What a console asks of the API: each question so many times, one after the other, and the snapshot over the WebSocket. */
import { WebSocket } from 'ws';
import { RunningClock } from '../../src/base/clock.ts';
import { type Latencies, latenciesOf } from '../../simulators/load/open-loop.ts';
import { Caller } from '../caller.ts';
import { answerParent } from '../job.ts';

export interface BoardJob {
  readonly http: string;
  readonly requests: number;
  /** Of alarms of the archive. */
  readonly numbers: readonly string[];
  /** Part of a serial. */
  readonly search: string;
}

export const QUESTIONS = ['open', 'closed', 'alarm', 'devices', 'snapshot'] as const;
export type Question = (typeof QUESTIONS)[number];

export type BoardResult = Readonly<Record<Question, { readonly perSecond: number; readonly latencies: Latencies; readonly bytes: number }>>;

/** Not measured: connections are opened, statements planned. */
const WARM_UP = 3;
const clock = new RunningClock();

answerParent<BoardJob, BoardResult>(async ({ http, requests, numbers, search }) => {
  const operator = await Caller.signIn(http, 'operator');
  const get = async (path: string): Promise<number> => JSON.stringify(await operator.get(path)).length;
  const ask: Readonly<Record<Question, (n: number) => Promise<number>>> = {
    open: () => get('/api/v1/alarms?state=open'),
    closed: () => get('/api/v1/alarms?state=closed'),
    alarm: (n) => get(`/api/v1/alarms/${numbers[n % numbers.length] ?? ''}`),
    devices: (n) => get(`/api/v1/devices?search=${search}${n % 10}`),
    snapshot: () => snapshot(http, operator.cookie),
  };
  const answered: Partial<Record<Question, BoardResult[Question]>> = {};
  for (const question of QUESTIONS) {
    for (let n = 0; n < WARM_UP; n++) await ask[question](n);
    const samples = new Float64Array(requests);
    let bytes = 0;
    for (let n = 0; n < requests; n++) {
      const began = clock.monotonic();
      bytes = await ask[question](n);
      samples[n] = clock.monotonic() - began;
    }
    const spanMs = samples.reduce((sum, one) => sum + one, 0);
    answered[question] = { perSecond: (requests * 1000) / spanMs, latencies: latenciesOf(samples), bytes };
  }
  operator.end();
  return answered as BoardResult;
});

/** From connecting until the whole picture is there. */
async function snapshot(http: string, cookie: string): Promise<number> {
  const socket = new WebSocket(`${http.replace('http', 'ws')}/ws`, { headers: { cookie }, perMessageDeflate: false });
  const bytes = await new Promise<number>((resolve, reject) => {
    socket.once('error', reject);
    socket.once('message', (data: Buffer) => resolve(data.length));
  });
  socket.terminate();
  return bytes;
}
