/** The screens, who has them in the navigation, and the address of each (after the `#`, so that one page serves all). */
import type { Role } from '../../../alarms/command.ts';

export const SCREENS = ['board', 'field', 'duty', 'devices'] as const;
export type Screen = (typeof SCREENS)[number];

export interface Place {
  readonly screen: Screen;
  /** Number of the alarm that is open on it. */
  readonly alarm: string | null;
}

const WHO: Readonly<Record<Screen, readonly Role[]>> = {
  board: ['operator', 'supervisor'],
  field: ['responder'],
  duty: ['operator', 'supervisor'],
  devices: ['technician', 'operator', 'supervisor'],
};

/** Technicians get the board too: their day queue is the technical lane. */
const DAY_QUEUE: readonly Role[] = ['technician'];

/** The screens of an account, the one it starts with first. */
export function screensOf(roles: readonly Role[]): Screen[] {
  const screens = SCREENS.filter((screen) => WHO[screen].some((role) => roles.includes(role)));
  if (!screens.includes('board') && DAY_QUEUE.some((role) => roles.includes(role))) screens.push('board');
  return screens;
}

const PATHS: Readonly<Record<Screen, string>> = { board: 'tavle', field: 'ute', duty: 'vakt', devices: 'enheter' };

export const addressOf = ({ screen, alarm }: Place): string => `#/${PATHS[screen]}${alarm === null ? '' : `/${encodeURIComponent(alarm)}`}`;

/**
 * Reads the address. A bare alarm number (`#/alarm/N`, `/a/N`: the link of an SMS) leads to the first screen that shows
 * alarms; an address of a screen that the account has not leads to its first one.
 */
export function placeOf(path: string, hash: string, roles: readonly Role[]): Place {
  const screens = screensOf(roles);
  const first = screens[0] ?? 'board';
  const parts = (hash.startsWith('#/') ? hash.slice(2) : path.replace(/^\//, '')).split('/').map((part) => decode(part));
  const [word, alarm = null] = parts;
  if (word === 'alarm' || word === 'a' || word === 'sak')
    return { screen: screens.includes('field') && !screens.includes('board') ? 'field' : first, alarm };
  const screen = screens.find((known) => PATHS[known] === word);
  return screen === undefined ? { screen: first, alarm: null } : { screen, alarm: alarm === '' ? null : alarm };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
