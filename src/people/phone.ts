/** Telephone numbers as people write them, made into E.164 so that they can be called, texted and compared. */

const NORWEGIAN = /^[2-9]\d{7}$/;
/** Five-digit public numbers (02800) and service numbers such as 116117 are called within Norway only. */
const SHORT = /^(0\d{4}|1\d{2,5})$/;
const INTERNATIONAL = /^\+[1-9]\d{6,14}$/;

/** `90 12 34 56`, `+47 90123456` or `0047…` as `+4790123456`; short Norwegian numbers as they are; null when it is no number. */
export function phoneOf(text: string): string | null {
  const digits = text.replace(/[\s().\u00a0-]/g, '').replace(/^00/, '+');
  if (NORWEGIAN.test(digits)) return `+47${digits}`;
  if (SHORT.test(digits)) return digits;
  if (!INTERNATIONAL.test(digits)) return null;
  return digits.startsWith('+47') && !/^\+47[2-9]\d{7}$|^\+4759\d{10}$|^\+4758\d{10}$/.test(digits) ? null : digits;
}
