/** Time as people read it: ages that tick, deadlines that run down, clock times in Norway. */
import { type Instant, fromIso } from '../../../base/clock.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const two = (n: number): string => String(n).padStart(2, '0');

/** `0:42`, `12:05`, `3 t 07 min`, `2 d 4 t`; a negative span counts as none. */
export function spanText(span: number): string {
  const ms = Math.max(0, span);
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)}:${two(Math.floor((ms % MINUTE) / SECOND))}`;
  if (ms < DAY) return `${Math.floor(ms / HOUR)} t ${two(Math.floor((ms % HOUR) / MINUTE))} min`;
  return `${Math.floor(ms / DAY)} d ${Math.floor((ms % DAY) / HOUR)} t`;
}

/** How long ago, as `spanText`; null when the text is no instant. */
export function ageText(iso: string | null, now: Instant): string | null {
  const at = iso === null ? null : fromIso(iso);
  return at === null ? null : spanText(now - at);
}

export interface Countdown {
  /** What is left, or how long it has been passed. */
  readonly text: string;
  readonly passed: boolean;
  /** Less than a quarter of a minute left: shown urgently. */
  readonly close: boolean;
}

/** What is left until an instant; seconds are rounded up, so that 0:00 means now. */
export function countdown(iso: string, now: Instant): Countdown | null {
  const at = fromIso(iso);
  if (at === null) return null;
  const left = at - now;
  const passed = left <= 0;
  return { text: spanText(passed ? -left : Math.ceil(left / SECOND) * SECOND), passed, close: left < 15 * SECOND };
}

const ZONE = 'Europe/Oslo';
const TIME = new Intl.DateTimeFormat('nb-NO', { timeZone: ZONE, hour: '2-digit', minute: '2-digit', second: '2-digit' });
const SHORT = new Intl.DateTimeFormat('nb-NO', { timeZone: ZONE, hour: '2-digit', minute: '2-digit' });
const DATE = new Intl.DateTimeFormat('nb-NO', { timeZone: ZONE, day: '2-digit', month: '2-digit', year: 'numeric' });

/** `22:04:31`, the way a timeline gives it. */
export const timeOfDay = (at: Instant): string => TIME.format(at).replaceAll('.', ':');
/** `22:04`. */
export const shortTime = (at: Instant): string => SHORT.format(at).replaceAll('.', ':');
/** `22.11.2026`. */
export const dateOf = (at: Instant): string => DATE.format(at);
export const sameDay = (a: Instant, b: Instant): boolean => dateOf(a) === dateOf(b);

/** `22:04` today, `21.11. 22:04` on another day. */
export function whenText(at: Instant, now: Instant): string {
  return sameDay(at, now) ? shortTime(at) : `${dateOf(at).slice(0, 6)} ${shortTime(at)}`;
}

/** An instant on the wire: RFC 3339, or milliseconds. */
export function instantOf(value: string | number | null | undefined): Instant | null {
  if (typeof value === 'number') return value;
  return typeof value === 'string' ? fromIso(value) : null;
}
