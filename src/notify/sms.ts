/** Sends SMS through a gateway over HTTP, once for each reference, and asks it what became of them. */
import type { Clock, Milliseconds } from '../base/clock.ts';
import type { Log } from '../base/log.ts';
import type { DeliveryReports, DeliveryStatus, Notice, NoticeResult, Notifier } from '../escalation/ask.ts';
import { smsText } from './sms-text.ts';

/** Shorter than the lease of an ask (src/escalation/ask-sender.ts): nobody else sends it while we still wait. */
const ANSWER_WITHIN_MS: Milliseconds = 5000;
/** Larger answers are not read: a gateway says an id and a status. */
const LARGEST_ANSWER = 16 * 1024;
/** 4xx that pass by themselves; all others are the message's or our own fault and would come again. */
const PASSING = new Set([408, 425, 429]);

export interface SmsGateway {
  /** Without a slash at its end. */
  readonly url: string;
  readonly token: string | null;
  /** What stands as the sender on the phone: at most 11 letters and digits, or a number. */
  readonly from: string;
  /** Where the gateway may report deliveries; null: it is only asked. */
  readonly callbackUrl: string | null;
}

/**
 * The gateway's contract: `POST /messages` `{to, from, text, reference, callbackUrl?}` with a bearer token gives 202 and
 * `{id}`, the same for the same reference; `GET /messages/{id}` gives `{id, status}`.
 */
export function createSms(gateway: SmsGateway, { clock, log }: { clock: Clock; log: Log }): Notifier & DeliveryReports {
  const base = gateway.url.replace(/\/+$/, '');
  return { notify, statusOf };

  async function notify(notice: Notice): Promise<NoticeResult> {
    if (notice.phone === '') return { result: 'failed', why: 'no-number', retry: false };
    const { from, callbackUrl } = gateway;
    const body = {
      to: notice.phone,
      from,
      text: smsText(notice),
      reference: notice.reference,
      ...(callbackUrl === null ? {} : { callbackUrl }),
    };
    const answer = await exchange('POST', '/messages', JSON.stringify(body));
    if (answer === null) return { result: 'failed', why: 'gateway-away', retry: true };
    const id = textIn(answer.json, 'id');
    if (answer.status >= 200 && answer.status < 300 && id !== null) return { result: 'sent', providerId: id };
    log.warn('sms-not-taken', { ask: notice.reference, status: answer.status });
    const refused = answer.status >= 400 && answer.status < 500 && !PASSING.has(answer.status);
    return refused ? { result: 'failed', why: 'gateway-refused', retry: false } : { result: 'failed', why: 'gateway-away', retry: true };
  }

  async function statusOf(providerId: string): Promise<DeliveryStatus | null> {
    const answer = await exchange('GET', `/messages/${encodeURIComponent(providerId)}`, null);
    const status = answer?.status === 200 ? textIn(answer.json, 'status') : null;
    return isStatus(status) ? status : null;
  }

  /** Null when no answer came in time; `json` is null when the answer was none. */
  async function exchange(method: string, path: string, body: string | null): Promise<{ status: number; json: unknown } | null> {
    const ended = new AbortController();
    const timer = clock.after(ANSWER_WITHIN_MS, () => ended.abort());
    try {
      const response = await fetch(`${base}${path}`, {
        method,
        // A redirect would carry the number and the token to somewhere else.
        redirect: 'manual',
        signal: ended.signal,
        headers: {
          accept: 'application/json',
          ...(gateway.token === null ? {} : { authorization: `Bearer ${gateway.token}` }),
          ...(body === null ? {} : { 'content-type': 'application/json' }),
        },
        ...(body === null ? {} : { body }),
      });
      return { status: response.status, json: jsonOf(await textOf(response)) };
    } catch (error) {
      log.warn('sms-gateway-away', { component: 'sms', error });
      return null;
    } finally {
      timer.cancel();
    }
  }
}

async function textOf(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  // Read to its end or given up, so that the connection can be used again.
  for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true });
    if (text.length > LARGEST_ANSWER) return '';
  }
  return text;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

function textIn(json: unknown, field: string): string | null {
  if (typeof json !== 'object' || json === null) return null;
  const value = (json as Readonly<Record<string, unknown>>)[field];
  if (typeof value === 'number') return String(value);
  return typeof value === 'string' && value !== '' && value.length <= 200 ? value : null;
}

const STATUSES: readonly string[] = ['accepted', 'sent', 'delivered', 'failed'] satisfies DeliveryStatus[];
export const isStatus = (text: unknown): text is DeliveryStatus => typeof text === 'string' && STATUSES.includes(text);
