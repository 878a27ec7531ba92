/** The lines of the direct stream: cut out of bytes, and read; what cannot be read is a value. */
import { z } from 'zod';
import { ROLES } from '../alarms/command.ts';
import type { DirectNews, ProvisionalAlarm } from '../alarms/provisional.ts';
import { KINDS, PRIORITIES } from '../alarms/signal.ts';
import type { Instant } from '../base/clock.ts';
import type { Viewer } from '../people/access.ts';
import type { ClaimAnswer } from './direct.ts';

/** Of one line, in bytes. */
export const LINE_LIMIT = 1_048_576;

/** Cuts lines out of what comes in pieces; never holds more than one line. */
export class Lines {
  #rest: Buffer[] = [];
  #size = 0;

  /** The lines that are whole now; null when one is longer than it may be: nothing after it can be trusted. */
  take(piece: Buffer): string[] | null {
    const lines: string[] = [];
    let from = 0;
    for (let end = piece.indexOf(10); end !== -1; end = piece.indexOf(10, from)) {
      this.#rest.push(piece.subarray(from, end));
      if (this.#size + end - from > LINE_LIMIT) return null;
      lines.push(Buffer.concat(this.#rest).toString('utf8'));
      this.#rest = [];
      this.#size = 0;
      from = end + 1;
    }
    this.#size += piece.length - from;
    if (this.#size > LINE_LIMIT) return null;
    if (from < piece.length) this.#rest.push(piece.subarray(from));
    return lines;
  }
}

const text = z.string();
const maybe = text.nullish().transform((value) => value ?? null);

/** Lenient where an intake process may be newer than this console: a kind that is not known is shown as unknown. */
const ALARM = z.object({
  number: text.regex(/^F-[0-9A-Z]{8}$/),
  municipality: text,
  device: text,
  household: z
    .object({ id: text, name: text, zone: text })
    .nullish()
    .transform((value) => value ?? null),
  kind: z.enum(KINDS).catch('unknown'),
  priority: z.enum(PRIORITIES).exclude(['information']).catch('life'),
  trigger: text.catch(''),
  receivedAt: z.iso.datetime(),
  text: maybe,
  voice: maybe,
  unreadable: z.boolean().catch(false),
  claimedBy: maybe,
  claimedAt: maybe,
});

const CLAIM = z.union([
  z.object({ by: text, result: z.literal('done') }),
  z.object({ by: text, result: z.literal('refused'), code: text }),
]);
const NUMBER = text.nullish().transform((value) => value ?? null);
const LINE = z.union([
  z.object({ news: z.literal('whole'), storeAway: z.boolean(), alarms: z.array(z.unknown()) }),
  z.object({ news: z.literal('alarm'), alarm: ALARM }),
  z.object({ news: z.literal('replayed'), number: text, alarm: NUMBER, claim: CLAIM.nullish().transform((value) => value ?? null) }),
  z.object({ pulse: z.literal(true) }),
  z.object({ failed: text }),
  z.object({
    answer: text,
    result: z.union([
      z.object({ claimed: ALARM }),
      z.object({ refused: z.literal('taken-by-another'), by: text }),
      z.object({ refused: z.literal('gone'), alarm: NUMBER }),
      z.object({ refused: z.literal('unknown-alarm') }),
    ]),
  }),
]);

export type DirectLine =
  | { readonly line: 'news'; readonly news: DirectNews; readonly unread: number }
  | { readonly line: 'pulse' }
  | { readonly line: 'answer'; readonly ask: string; readonly result: ClaimAnswer }
  /** A newer intake says something that this console does not know. */
  | { readonly line: 'unknown' }
  /** What stood there may have been an alarm. */
  | { readonly line: 'garbage' };

const KNOWN_NEWS: readonly unknown[] = ['whole', 'alarm', 'replayed'];

/** Reads one line of an intake process. Of a whole, alarms that cannot be read are left out and counted. */
export function readLine(written: string): DirectLine {
  let value: unknown;
  try {
    value = JSON.parse(written);
  } catch {
    return { line: 'garbage' };
  }
  if (typeof value !== 'object' || value === null) return { line: 'garbage' };
  const read = LINE.safeParse(value);
  if (!read.success) {
    const ours = 'news' in value ? KNOWN_NEWS.includes(value.news) : 'pulse' in value || 'answer' in value || 'failed' in value;
    return { line: ours ? 'garbage' : 'unknown' };
  }
  const { data } = read;
  if ('pulse' in data) return { line: 'pulse' };
  if ('failed' in data) return { line: 'answer', ask: data.failed, result: { refused: 'not-kept' } };
  if ('answer' in data) return { line: 'answer', ask: data.answer, result: data.result };
  if (data.news !== 'whole') return { line: 'news', news: data as DirectNews, unread: 0 };
  const alarms: ProvisionalAlarm[] = [];
  for (const one of data.alarms) {
    const alarm = ALARM.safeParse(one);
    if (alarm.success) alarms.push(alarm.data);
  }
  return { line: 'news', news: { ...data, alarms }, unread: data.alarms.length - alarms.length };
}

export const helloLine = (token: string): string => `${JSON.stringify({ hello: token })}\n`;

export function claimLine(ask: string, number: string, { account, roles }: Pick<Viewer, 'account' | 'roles'>, at: Instant): string {
  const known = roles.filter((role) => ROLES.includes(role));
  return `${JSON.stringify({ ask, claim: { number, account, roles: known, at } })}\n`;
}
