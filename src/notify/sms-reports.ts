/** Delivery reports that a gateway posts by itself: is it the gateway, and what does it say of which message. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { isStatus } from './sms.ts';

/** What a report was answered with: `unknown-message` and `malformed` are the gateway's to look into. */
export type ReportAnswer = 'taken' | 'no-gateway' | 'unauthorized' | 'malformed' | 'unknown-message';

/** Reads `{id, status}` of a POST with the gateway's bearer token. Reports that are no end (`accepted`, `sent`) are taken and change nothing. */
export type SmsReports = (authorization: string | undefined, body: unknown) => Promise<ReportAnswer>;

/**
 * @param token the gateway's; null: there is none, and nobody may report
 * @param report what keeps it; false when no message of ours has that id
 */
export function createSmsReports(
  token: string | null,
  report: (providerId: string, status: 'delivered' | 'failed') => Promise<boolean>,
): SmsReports {
  return async (authorization, body) => {
    if (token === null) return 'no-gateway';
    if (!sameSecret(authorization ?? '', `Bearer ${token}`)) return 'unauthorized';
    if (typeof body !== 'object' || body === null || !('id' in body) || !('status' in body)) return 'malformed';
    const { id, status } = body;
    if (typeof id !== 'string' || id === '' || id.length > 200 || id.includes('\0') || !isStatus(status)) return 'malformed';
    if (status === 'accepted' || status === 'sent') return 'taken';
    return (await report(id, status)) ? 'taken' : 'unknown-message';
  };
}

/** Compared as digests: equally long, and in the same time whatever was given. */
function sameSecret(given: string, wanted: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(wanted));
}
