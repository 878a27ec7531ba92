/** Logs are events with fields; what could identify a person has no field to go into, and is redacted if it slips in. */
import { pino } from 'pino';

/**
 * The fields that a log line may have. Names, addresses, national ids, telephone numbers and message text are
 * missing on purpose: personal data never enters a log (house rule 8).
 */
export interface LogFields {
  readonly alarm?: string;
  readonly device?: string;
  readonly municipality?: string;
  readonly source?: string;
  readonly signal?: string;
  readonly protocol?: string;
  readonly account?: string;
  readonly ask?: string;
  readonly channel?: string;
  readonly rung?: string;
  readonly step?: string;
  readonly code?: string;
  readonly component?: string;
  readonly role?: string;
  readonly setting?: string;
  readonly path?: string;
  readonly url?: string;
  readonly pid?: number;
  readonly port?: number;
  readonly count?: number;
  readonly bytes?: number;
  readonly status?: number;
  readonly attempt?: number;
  readonly tookMs?: number;
  readonly lateMs?: number;
  readonly byMs?: number;
  /** The error itself: its type, code and stack are logged; drivers' messages may hold values and are not. */
  readonly error?: unknown;
}

/** Takes an event's name in the past tense (`signal-kept`) and its fields. */
export interface Log {
  debug(event: string, fields?: LogFields): void;
  info(event: string, fields?: LogFields): void;
  warn(event: string, fields?: LogFields): void;
  error(event: string, fields?: LogFields): void;
  child(fields: LogFields): Log;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

/** Never written, wherever they turn up: a second fence behind `LogFields`. */
const REDACTED = ['name', 'address', 'phone', 'text', 'password', 'secret', 'authorization', 'cookie', 'nationalId'];

interface WrittenError {
  readonly type: string;
  readonly code?: string;
  readonly message?: string;
  readonly stack?: string;
}

/** What of an error may be written: database drivers put row values into their messages, so those are left out. */
function writtenError(error: unknown): WrittenError {
  if (!(error instanceof Error)) return { type: typeof error };
  const code = 'code' in error && typeof error.code === 'string' ? { code: error.code } : {};
  const fromDatabase = 'severity' in error || 'detail' in error;
  const stack = error.stack?.split('\n').slice(1, 6).join('\n');
  return {
    type: error.name,
    ...code,
    ...(fromDatabase ? {} : { message: error.message }),
    ...(stack === undefined ? {} : { stack }),
  };
}

/** A log that writes one JSON object a line to `destination` (standard output by default). */
export function createLog(level: LogLevel, destination?: { write(line: string): void }): Log {
  const options = {
    level,
    base: null,
    messageKey: 'event',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: { error: writtenError },
    redact: { paths: REDACTED.flatMap((field) => [field, `*.${field}`]), censor: '[redacted]' },
  };
  return wrap(destination === undefined ? pino(options) : pino(options, destination));
}

function wrap(to: pino.Logger): Log {
  return {
    debug: (event, fields) => to.debug(fields ?? {}, event),
    info: (event, fields) => to.info(fields ?? {}, event),
    warn: (event, fields) => to.warn(fields ?? {}, event),
    error: (event, fields) => to.error(fields ?? {}, event),
    child: (fields) => wrap(to.child(fields)),
  };
}
