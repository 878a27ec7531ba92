/** Fake phones: take every notice that the centre sends, remember it, and answer as a page that is open and a gateway that accepts. */
import type { Clock, Instant } from '../../src/base/clock.ts';
import type { Notice, NoticeResult, Notifier } from '../../src/escalation/ask.ts';

export interface Rang extends Notice {
  readonly at: Instant;
}

export interface Phones extends Notifier {
  readonly rang: readonly Rang[];
  /** What is different for some notices; undefined: as usual. */
  answer: (notice: Notice) => NoticeResult | undefined;
  /** All that was asked of anybody, sorted: `60 s: sms to leder about 1001`; seconds since `start`. */
  asked(start: Instant): string[];
}

export function createPhones(clock: () => Clock): Phones {
  const rang: Rang[] = [];
  let sent = 0;
  const phones: Phones = {
    rang,
    answer: () => undefined,
    async notify(notice) {
      rang.push({ ...notice, at: clock().now() });
      const answer = phones.answer(notice);
      if (answer !== undefined) return answer;
      if (notice.channel === 'page') return { result: 'delivered' };
      if (notice.phone === '') return { result: 'failed', why: 'no-number', retry: false };
      return { result: 'sent', providerId: `fake-${++sent}` };
    },
    asked: (start) => inOrder(rang.map((one) => line(one, start))),
  };
  return phones;
}

function line({ at, channel, account, number, others }: Rang, start: Instant): string {
  return `${(at - start) / 1000} s: ${channel} to ${account} about ${[number, ...others.toSorted()].join(' and ')}`;
}

/** Those of one instant reach the phones in any order. */
export const inOrder = (lines: readonly string[]): string[] =>
  lines.toSorted((a, b) => Number.parseFloat(a) - Number.parseFloat(b) || (a < b ? -1 : 1));

/** What is expected at one time: `rings(60, number, { leder: 'page sms' })`. */
export function rings(second: number, number: string, people: Readonly<Record<string, string>>): string[] {
  return Object.entries(people).flatMap(([account, channels]) =>
    channels.split(' ').map((channel) => `${second} s: ${channel} to ${account} about ${number}`),
  );
}
