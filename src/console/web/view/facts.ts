/** Small readings of the register's facts: what was left empty, telephone numbers, the order to call in. */
import type { CardContact, CardHousehold } from '../contract.ts';

/** The register leaves unknown things empty: those are not shown at all. */
export const said = (text: string | null | undefined): string | null => (text ?? '').trim() || null;

/** RFC 3966, without the spaces that people write. */
export const telOf = (phone: string): string => `tel:${phone.replace(/[^+\d]/g, '')}`;

/** Norwegian numbers in pairs, `41 23 45 67`, mobile ones `412 34 567`; others as written. */
export function spaced(phone: string): string {
  const digits = phone.replace(/\s/g, '');
  const own = digits.startsWith('+47') && digits.length === 11 ? digits.slice(3) : digits;
  if (!/^\d{8}$/.test(own)) return phone;
  return /^[49]/.test(own) ? own.replace(/(...)(..)(...)/, '$1 $2 $3') : own.replace(/(..)(?=.)/g, '$1 ');
}

/** Those with a key first within the same rank: they can be there soonest. */
export const contactsInOrder = (contacts: readonly CardContact[]): CardContact[] =>
  contacts.toSorted((a, b) => a.rank - b.rank || Number(b.hasKey) - Number(a.hasKey));

/** What is known of the access, in the order in which somebody at the door needs it; fields that this console does not know come last. */
export function accessInOrder(access: CardHousehold['access'], order: readonly string[]): [string, string][] {
  const place = (key: string): number => (order.includes(key) ? order.indexOf(key) : order.length);
  return Object.entries(access)
    .flatMap(([key, value]): [string, string][] => {
      const text = said(value);
      return text === null ? [] : [[key, text]];
    })
    .toSorted(([a], [b]) => place(a) - place(b));
}

/** Where the home is, when the register knows. */
export function homePoint(home: CardHousehold | null): { lat: number; lon: number } | null {
  return home === null || home.lat === null || home.lon === null ? null : { lat: home.lat, lon: home.lon };
}

/** `Lyngveien 4 B, 4050 Sola`; null when nothing is known. */
export function addressOfHome(home: CardHousehold | null): string | null {
  if (home === null) return null;
  const place = [said(home.postcode), said(home.place)].filter((part) => part !== null).join(' ');
  return [said(home.address), said(place)].filter((part) => part !== null).join(', ') || null;
}

/** Battery in whole percent. */
export const percent = (battery: number | null | undefined): string | null =>
  typeof battery === 'number' ? `${Math.round(battery)} %` : null;
