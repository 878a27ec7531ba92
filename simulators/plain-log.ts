/** One line a person can read for each thing that a simulated device did. */
import { toIso, type Clock } from '../src/base/clock.ts';
import type { Log, LogFields } from '../src/base/log.ts';

/** A log of plain lines: time, device, what, details. `debug` lines only when `verbose`. */
export function plainLog(clock: Clock, verbose: boolean, write: (line: string) => void): Log {
  const line = (event: string, fields: LogFields = {}): void => {
    const { device = '', code, signal, attempt, tookMs, status, source, port, error } = fields;
    const details = [
      code,
      signal === undefined ? undefined : `ref ${signal}`,
      source === undefined ? undefined : `(${source})`,
      port === undefined ? undefined : `port ${port}`,
      status === undefined ? undefined : `status ${status}`,
      attempt === undefined ? undefined : `${attempt} ${attempt === 1 ? 'try' : 'tries'}`,
      tookMs === undefined ? undefined : `${tookMs} ms`,
      error instanceof Error ? error.message : undefined,
    ];
    const told = details.filter((detail) => detail !== undefined).join(' ');
    write(`${toIso(clock.now()).slice(11, 23)}  ${device.padEnd(13)} ${event.padEnd(22)} ${told}\n`);
  };
  const log: Log = {
    debug: (event, fields) => (verbose ? line(event, fields) : undefined),
    info: (event, fields) => (verbose || fields?.code !== 'heartbeat' ? line(event, fields) : undefined),
    warn: line,
    error: line,
    child: () => log,
  };
  return log;
}
