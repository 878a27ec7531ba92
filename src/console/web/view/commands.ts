/** Which commands a console offers on an alarm, by which key, and why one cannot be given now. The server decides; this explains. */
import type { CommandName, RefusalCode, Role, Withdrawable } from '../../../alarms/command.ts';
import type { AlarmView } from '../../../alarms/view.ts';

export interface Me {
  readonly account: string;
  readonly roles: readonly Role[];
}

export type ConsoleCommand = Extract<
  CommandName,
  'claim' | 'take-over' | 'release' | 'see' | 'confirm-contact' | 'note' | 'dispatch' | 'close' | 'override-contact' | 'snooze' | 'withdraw'
>;

/** In the order in which they are shown; the letter is the first of the Norwegian word where it is free. */
export const KEYS_OF: Readonly<Record<ConsoleCommand, string>> = {
  see: 'e',
  claim: 't',
  'take-over': 'o',
  'confirm-contact': 'k',
  dispatch: 's',
  note: 'n',
  close: 'l',
  'override-contact': 'v',
  snooze: 'u',
  withdraw: 'a',
  release: 'f',
};

const EVERY = Object.keys(KEYS_OF) as ConsoleCommand[];
const ALLOWED: Readonly<Record<Role, readonly ConsoleCommand[]>> = {
  operator: ['see', 'claim', 'confirm-contact', 'dispatch', 'note', 'close', 'snooze', 'withdraw', 'release'],
  supervisor: EVERY,
  responder: [],
  technician: ['see', 'claim', 'note', 'close', 'snooze', 'release'],
};

export interface Offer {
  readonly command: ConsoleCommand;
  readonly key: string;
  /** Why it cannot be given now; null: it can. */
  readonly blocked: { readonly why: RefusalCode; readonly by?: string } | null;
  /** What an operator most likely does next. */
  readonly primary: boolean;
}

/** What may be taken back on this alarm by this person. */
export function withdrawable(alarm: AlarmView, me: Me): Withdrawable[] {
  const mayAll = me.roles.includes('supervisor') || alarm.claimedBy === me.account;
  const what: Withdrawable[] = [];
  if (alarm.contact !== null && (mayAll || alarm.contact.by === me.account)) what.push('contact');
  if (alarm.state === 'on-site' && (mayAll || alarm.responder === me.account)) what.push('arrival');
  return what;
}

const needsContact = (alarm: AlarmView): boolean => alarm.priority !== 'technical';

/** What makes sense on the alarm as it is, whoever asks. */
function fits(command: ConsoleCommand, alarm: AlarmView, me: Me): boolean {
  const open = alarm.state !== 'closed';
  const others = alarm.claimedBy !== null && alarm.claimedBy !== me.account;
  switch (command) {
    case 'note':
      return true;
    case 'claim':
      return open && alarm.claimedBy === null;
    case 'take-over':
      return open && others;
    case 'release':
      return open && alarm.claimedBy === me.account;
    case 'see':
      return open && alarm.claimedBy === me.account && alarm.attention.sounds === 'owner';
    case 'confirm-contact':
      return open && needsContact(alarm) && alarm.contact === null;
    case 'override-contact':
      return open && !alarm.closable;
    case 'snooze':
      return open && alarm.closable && alarm.responder === null && alarm.dispatchedTo === null;
    case 'withdraw':
      return open && withdrawable(alarm, me).length > 0;
    case 'dispatch':
      return open && needsContact(alarm);
    case 'close':
      return open;
  }
}

const OWNERS: readonly ConsoleCommand[] = ['confirm-contact', 'dispatch', 'close', 'snooze'];

function blockOf(command: ConsoleCommand, alarm: AlarmView, me: Me): Offer['blocked'] {
  const owner = alarm.claimedBy;
  if (OWNERS.includes(command) && owner !== null && owner !== me.account) return { why: 'taken-by-another', by: owner };
  if (command === 'close' && !alarm.closable) return { why: 'no-confirmed-contact' };
  return null;
}

function primaryOf(alarm: AlarmView, me: Me): ConsoleCommand {
  if (fits('see', alarm, me)) return 'see';
  if (alarm.claimedBy === null) return 'claim';
  if (!alarm.closable) return 'confirm-contact';
  return 'close';
}

/** The commands that this person sees on this alarm, in order. */
export function offersOf(alarm: AlarmView, me: Me): Offer[] {
  const allowed = new Set(me.roles.flatMap((role) => ALLOWED[role]));
  const primary = primaryOf(alarm, me);
  return EVERY.filter((command) => allowed.has(command) && fits(command, alarm, me)).map((command) => {
    const blocked = blockOf(command, alarm, me);
    return { command, key: KEYS_OF[command], blocked, primary: command === primary && blocked === null };
  });
}

/** What a key press asks for. */
export type KeyWish =
  | { readonly wish: 'command'; readonly command: ConsoleCommand }
  | { readonly wish: 'move'; readonly step: 1 | -1 }
  | { readonly wish: 'help' }
  | { readonly wish: 'back' }
  | { readonly wish: 'sound' };

export interface KeyPress {
  readonly key: string;
  readonly ctrlKey: boolean;
  readonly altKey: boolean;
  readonly metaKey: boolean;
  /** The focus is in a text field, a list of choices or the like, where letters are letters. */
  readonly inField: boolean;
}

const COMMAND_OF_KEY = new Map(EVERY.map((command) => [KEYS_OF[command], command]));

/** Reads a key press on the board; null: not ours. Escape works from a field too. */
export function readKey(press: KeyPress): KeyWish | null {
  if (press.ctrlKey || press.altKey || press.metaKey) return null;
  if (press.key === 'Escape') return { wish: 'back' };
  if (press.inField) return null;
  if (press.key === 'ArrowDown') return { wish: 'move', step: 1 };
  if (press.key === 'ArrowUp') return { wish: 'move', step: -1 };
  if (press.key === '?') return { wish: 'help' };
  const letter = press.key.toLowerCase();
  if (letter === 'm') return { wish: 'sound' };
  const command = COMMAND_OF_KEY.get(letter);
  return command === undefined ? null : { wish: 'command', command };
}
