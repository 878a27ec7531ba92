/** What an SMS to a responder says: number, urgency, zone and a link; never a name, an address or anything of health. Bokmål. */
import type { Notice } from '../escalation/ask.ts';

/** One SMS in the GSM 7-bit default alphabet (3GPP TS 23.038 § 6.2.1). */
export const SMS_LENGTH = 160;

/** Without line breaks, escape and the Greek capitals, which no text of ours has. */
const BASIC = new Set(
  '@£$¥èéùìòÇØøÅåÆæßÉ !"#¤%&\'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà_',
);
/** The extension table (§ 6.2.1.1): each takes two. */
const EXTENDED = new Set('^{}\\[~]|€');

/** How many 7-bit characters a text takes; null when it has one that the alphabet lacks. */
export function gsmLength(text: string): number | null {
  let length = 0;
  for (const character of text) {
    if (!BASIC.has(character) && !EXTENDED.has(character)) return null;
    length += EXTENDED.has(character) ? 2 : 1;
  }
  return length;
}

/** The same text in the alphabet: Sami and other letters without their marks, anything else as a question mark. */
export const toGsm = (text: string): string =>
  Array.from(text)
    .map((character) => {
      if (gsmLength(character) !== null) return character;
      const plain = character.normalize('NFD').replace(/\p{M}/gu, '');
      return plain !== '' && gsmLength(plain) !== null ? plain : '?';
    })
    .join('');

const URGENCY = { life: 'LIV', urgent: 'haster', care: 'omsorg', technical: 'teknisk' } as const satisfies Record<
  Notice['priority'],
  string
>;

const NUMBER = /^\d{1,18}$/;
/** A number as it is; anything else would not be ours and is not let through. */
const digits = (number: string): string => (NUMBER.test(number) ? number : '?');

/** How many further numbers are named before they are only counted. */
const NAMED = 3;

/**
 * The text for a notice, never longer than one SMS: the further alarms are counted instead of named, then the zone is
 * left out, then the link.
 */
export function smsText({ number, priority, zone, link, others }: Notice): string {
  const about = `Alarm ${digits(number)}, ${URGENCY[priority]}`;
  const place = zone === '' ? '' : `, ${zone}`;
  const [some, count] = [others.slice(0, NAMED), others.length];
  const named = count === 0 ? '' : ` Også ${some.map(digits).join(', ')}${count > NAMED ? ` og ${count - NAMED} til` : ''}.`;
  const counted = count === 0 ? '' : ` Og ${count} til.`;
  const tries = [
    `${about}${place}.${named} ${link}`,
    `${about}${place}.${counted} ${link}`,
    `${about}.${counted} ${link}`,
    `${about}.${counted}`,
  ].map(toGsm);
  return tries.find((text) => (gsmLength(text) ?? Infinity) <= SMS_LENGTH) ?? toGsm(about);
}
