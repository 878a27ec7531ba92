/** The catalogue of errors: a stable code, whose fault it is, and a sentence that says what to do. */

/** Whose fault: the peer's bytes, a store that is away, or a mistake of the person who set the centre up. A bug is any other Error. */
export type ErrorKind = 'peer' | 'store' | 'setup';

export const ERRORS = {
  'settings-invalid': 'setup',
  'config-invalid': 'setup',
  'port-in-use': 'setup',
  'port-not-allowed': 'setup',
  'data-dir-in-use': 'setup',
  'data-dir-not-writable': 'setup',
  'database-start-failed': 'setup',
  'database-unreachable': 'setup',
  'start-interrupted': 'setup',
  'redis-missing': 'setup',
  'redis-start-failed': 'setup',
  'redis-unreachable': 'setup',
  'demo-not-on-loopback': 'setup',
  'command-line-invalid': 'setup',
  'register-invalid': 'setup',
  'canary-name-taken': 'setup',
  'store-away': 'store',
  'household-locked': 'store',
  'household-failing': 'store',
  'message-malformed': 'peer',
  'message-too-large': 'peer',
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof ERRORS;

/** An error of the catalogue. Code branches on `code` or `kind`, never on the text. */
export class CentreError extends Error {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;

  /** @param message one sentence that says what is wrong and what to do about it */
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'CentreError';
    this.code = code;
    this.kind = ERRORS[code];
  }
}

/** The `code` that Node and drivers put on their errors; null when there is none. */
export function systemCode(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null;
  return typeof error.code === 'string' ? error.code : null;
}

/** Whatever was thrown, as a short text for a log line. */
export const reason = (error: unknown): string => (error instanceof Error ? error.message : String(error));
