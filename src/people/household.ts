/** Whom an alarm protects and how to get to them: household, residents, contacts, access to the home. */
import type { Instant } from '../base/clock.ts';

/** What the access card of a home can tell (practice: it travels with the dispatch). */
export const ACCESS_FIELDS = ['entrance', 'floor', 'doorCode', 'keyBox', 'keyBoxCode', 'lock', 'key'] as const;
export type AccessField = (typeof ACCESS_FIELDS)[number];
export type Access = Readonly<Partial<Record<AccessField, string>>>;

export interface Household {
  readonly id: string;
  readonly municipality: string;
  readonly name: string;
  readonly address: string;
  readonly postcode: string;
  readonly place: string;
  readonly zone: string;
  /** Degrees WGS 84; both or neither. */
  readonly lat: number | null;
  readonly lon: number | null;
  readonly access: Access;
  readonly notes: string;
}

export interface Resident {
  readonly id: string;
  readonly name: string;
  /** YYYY-MM-DD. */
  readonly born: string | null;
  readonly phone: string;
  readonly language: string;
  readonly hearing: string;
  readonly health: string;
  /** Where they are while not at home ("innlagt sykehus"); empty at home. */
  readonly away: string;
  readonly notes: string;
}

export interface Contact {
  /** 1 is called first. */
  readonly rank: number;
  readonly name: string;
  readonly relation: string;
  readonly phone: string;
  readonly hasKey: boolean;
}

/** One opening of a household's card, for the log that the resident may ask for. */
export interface CardOpening {
  readonly at: Instant;
  readonly account: string;
  readonly role: string;
  readonly alarm: string | null;
  readonly why: string;
}

/** Whole years on the day `today` (both YYYY-MM-DD). */
export function ageOn(today: string, born: string): number {
  const years = Number(today.slice(0, 4)) - Number(born.slice(0, 4));
  return today.slice(5) < born.slice(5) ? years - 1 : years;
}
