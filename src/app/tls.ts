/** Certificate and key of all TLS listeners: read from the files that the settings name, and again when those change. */
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { type Clock, type Instant, fromIso, minutes } from '../base/clock.ts';
import { CentreError, reason } from '../base/errors.ts';
import type { Log } from '../base/log.ts';
import type { Settings } from '../base/settings.ts';

/** PEM. */
export interface TlsPair {
  readonly cert: string;
  readonly key: string;
}

/** What every TLS listener is given; it changes its certificate without closing a connection. */
export interface TlsIdentity {
  current(): TlsPair;
  /** Calls back with each new pair; what comes back ends that. */
  onChange(listener: (pair: TlsPair) => void): () => void;
}

export interface WatchedTlsIdentity extends TlsIdentity {
  /** When the certificate in use ends. */
  endsAt(): Instant;
  /** Looks at the files now (SIGHUP); never rejects. A pair that cannot be used is logged, and the old one stays. */
  reload(): Promise<void>;
  stop(): void;
}

interface CheckedPair extends TlsPair {
  readonly endsAt: Instant;
}

/** By content and not by time stamps: certificates arrive by links, mounts and copies of all sorts. */
const LOOK_EVERY = minutes(1);
const WARN_BEFORE = minutes(14 * 24 * 60);
const WARN_EVERY = minutes(24 * 60);

/** Null when the settings name no files. @throws CentreError settings-invalid when they cannot be used */
export async function openTlsIdentity(parts: {
  readonly settings: Settings;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<WatchedTlsIdentity | null> {
  const { settings, clock, log } = parts;
  const { TLS_CERT, TLS_KEY } = settings;
  if (TLS_CERT === undefined || TLS_KEY === undefined) return null;
  const read = async (): Promise<TlsPair> => ({ cert: await pem('TLS_CERT', TLS_CERT), key: await pem('TLS_KEY', TLS_KEY) });
  let current = checked(await read());
  /** What was seen last and not taken into use, and whether that was said. */
  let refused = { content: '', said: false };
  let warnedAt: Instant | null = null;
  let looking: Promise<void> = Promise.resolve();
  let busy = 0;
  const listeners = new Set<(pair: TlsPair) => void>();
  warnOfEnd();
  const timer = clock.every(LOOK_EVERY, () => void look(false));

  return {
    current: () => current,
    endsAt: () => current.endsAt,
    onChange(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    reload: () => look(true),
    stop: () => timer.cancel(),
  };

  function look(asked: boolean): Promise<void> {
    // A file system that hangs gathers no looks.
    if (busy > 0 && !asked) return looking;
    busy++;
    looking = looking
      .then(() => lookOnce(asked))
      .catch((error: unknown) => log.error('certificate-not-renewed', { error }))
      .finally(() => busy--);
    return looking;
  }

  /** Between two polls a pair may be half written: then the fault is told only when it is still the same at the next. */
  async function lookOnce(asked: boolean): Promise<void> {
    let content = '';
    try {
      const pair = await read();
      content = pair.cert + pair.key;
      if (content !== current.cert + current.key) take(checked(pair));
      refused = { content: '', said: false };
    } catch (error) {
      content ||= reason(error);
      const seenBefore = content === refused.content;
      const say = asked || (seenBefore && !refused.said);
      refused = { content, said: (seenBefore && refused.said) || say };
      if (say) log.error('certificate-refused', { path: TLS_CERT ?? '', error });
    }
    warnOfEnd();
  }

  function take(pair: CheckedPair): void {
    if (pair.endsAt <= clock.now() && current.endsAt > clock.now()) {
      throw unusable('the new certificate has already ended, and the one in use has not');
    }
    current = pair;
    warnedAt = null;
    for (const listener of listeners) listener(pair);
    log.info('certificate-renewed', { path: TLS_CERT ?? '' });
  }

  function warnOfEnd(): void {
    const now = clock.now();
    if (current.endsAt - now > WARN_BEFORE || (warnedAt !== null && now - warnedAt < WARN_EVERY)) return;
    warnedAt = now;
    const days = Math.floor((current.endsAt - now) / minutes(24 * 60));
    log.warn(days < 0 ? 'certificate-ended' : 'certificate-ends-soon', { path: TLS_CERT ?? '', setting: 'TLS_CERT', count: days });
  }
}

/** @throws CentreError settings-invalid when the two do not belong together or are no PEM */
function checked(pair: TlsPair): CheckedPair {
  try {
    createSecureContext({ ...pair, minVersion: 'TLSv1.2' });
    // OpenSSL writes `Nov  2 05:04:00 2026 GMT`, which is read as RFC 3339 is.
    const endsAt = fromIso(new X509Certificate(pair.cert).validTo);
    if (endsAt !== null) return { ...pair, endsAt };
  } catch (error) {
    throw unusable(reason(error), error);
  }
  throw unusable('the certificate does not say when it ends');
}

const unusable = (why: string, cause?: unknown): CentreError =>
  new CentreError(
    'settings-invalid',
    `TLS_CERT and TLS_KEY name a certificate and a key that cannot be used together (${why}): put a certificate (PEM, with its chain) and its own key there.`,
    { cause },
  );

async function pem(setting: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new CentreError('settings-invalid', `${setting} names ${file}, which cannot be read: ${reason(error)}.`, { cause: error });
  }
}
