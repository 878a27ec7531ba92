/**
 * Preloaded into a process of the centre (`--import`): kills or stops it when the path comes to a named point for the nth
 * time. Told by the environment (`FAULT_POINT=after-commit:3`) or, at any time, by the harness over the process' channel.
 */
import diagnosticsChannel from 'node:diagnostics_channel';
import process from 'node:process';
import { POINTS, type Point } from '../../../src/base/points.ts';

/** What a process is to do to itself. */
export interface PointOrder {
  readonly point: Point;
  /** 1: the next time. */
  readonly nth: number;
  readonly signal: 'SIGKILL' | 'SIGSTOP';
}

let order: PointOrder | null = fromEnvironment(process.env['FAULT_POINT']);
let passes = 0;

for (const point of POINTS) {
  diagnosticsChannel.subscribe(`responssenter:${point}`, () => {
    if (order === null || order.point !== point) return;
    passes += 1;
    if (passes < order.nth) return;
    const { signal } = order;
    order = null;
    process.kill(process.pid, signal);
  });
}

process.on('message', (told: PointOrder | { readonly disarm: true }) => {
  order = 'disarm' in told ? null : told;
  passes = 0;
});
// A process that has ended its work must not live on for the harness' sake.
process.channel?.unref();

function fromEnvironment(text: string | undefined): PointOrder | null {
  const [name = '', nth = '1', signal = 'SIGKILL'] = (text ?? '').split(':');
  const point = POINTS.find((known) => known === name);
  if (point === undefined) return null;
  return { point, nth: Number(nth), signal: signal === 'SIGSTOP' ? 'SIGSTOP' : 'SIGKILL' };
}
