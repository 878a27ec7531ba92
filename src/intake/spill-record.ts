/** How a signal and a claim are written into the spill, and read again, also by a later version. Pure. */
import type { Role } from '../alarms/command.ts';
import { ROLES } from '../alarms/command.ts';
import type { Meaning, Signal } from '../alarms/signal.ts';
import type { Instant } from '../base/clock.ts';

/** An operator's claim of a provisional alarm. */
export interface SpilledClaim {
  readonly number: string;
  readonly account: string;
  readonly roles: readonly Role[];
  readonly at: Instant;
}

const UNREADABLE: Meaning = { role: 'unreadable', kind: 'unreadable', priority: 'urgent', trigger: '' };

export function encodeSignal({ raw, digest, ...rest }: Signal): Uint8Array {
  return Buffer.from(JSON.stringify({ ...rest, raw: base64(raw), digest: base64(digest) }));
}

/** Null when the bytes say not even which signal it is; what another version left out is filled in, and the bytes are shown. */
export function decodeSignal(payload: Uint8Array): Signal | null {
  const given = parsed(payload) as Partial<Omit<Signal, 'raw' | 'digest'>> & { raw?: string; digest?: string };
  const { id, receivedAt, source, raw, digest } = given;
  if (id === undefined || receivedAt === undefined || source === undefined || raw === undefined || digest === undefined) return null;
  return {
    id,
    receivedAt,
    source,
    raw: Buffer.from(raw, 'base64'),
    digest: Buffer.from(digest, 'base64'),
    device: given.device ?? source,
    municipality: given.municipality ?? '',
    household: given.household ?? null,
    protocol: given.protocol ?? 'centre',
    messageId: given.messageId ?? null,
    meaning: given.meaning ?? UNREADABLE,
    marks: given.marks ?? ['processing-failed'],
  };
}

export const encodeClaim = (claim: SpilledClaim): Uint8Array => Buffer.from(JSON.stringify(claim));

export function decodeClaim(payload: Uint8Array): SpilledClaim | null {
  const { number, account, roles, at } = parsed(payload) as Partial<SpilledClaim>;
  if (number === undefined || account === undefined || at === undefined) return null;
  return { number, account, roles: (roles ?? []).filter((role) => ROLES.includes(role)), at };
}

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');

function parsed(payload: Uint8Array): object {
  try {
    const value: unknown = JSON.parse(Buffer.from(payload).toString('utf8'));
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {};
  }
}
