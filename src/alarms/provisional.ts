/** Provisional alarms: signals that are durable in an intake process' spill while PostgreSQL is away, as operators see them. */
import { type Instant, toIso } from '../base/clock.ts';
import type { RefusalCode } from './command.ts';
import type { AlarmPriority, Kind, Signal } from './signal.ts';

/** A signal in the spill, raw as it is: no rules were run, nothing was joined. Goes over the direct stream and to browsers as it is. */
export interface ProvisionalAlarm {
  /** `F-` and eight signs of the receipt id; stays an alias of the alarm that it opens or joins. */
  readonly number: string;
  readonly municipality: string;
  readonly device: string;
  readonly household: { readonly id: string; readonly name: string; readonly zone: string } | null;
  readonly kind: Kind;
  readonly priority: AlarmPriority;
  readonly trigger: string;
  /** RFC 3339. */
  readonly receivedAt: string;
  readonly text: string | null;
  readonly voice: string | null;
  readonly unreadable: boolean;
  readonly claimedBy: string | null;
  readonly claimedAt: string | null;
}

/** What became of a claim that was made on a provisional alarm, when it was replayed. */
export type ReplayedClaim =
  | { readonly by: string; readonly result: 'done' }
  | { readonly by: string; readonly result: 'refused'; readonly code: RefusalCode | 'unknown-alarm' };

/** What PostgreSQL knows of a provisional number. */
export interface Alias {
  /** The alarm that it opened or joined. */
  readonly alarm: string;
  /** What became of the claim that was made of it; null: there was none. */
  readonly claim: ReplayedClaim | null;
}

/** What an intake process tells the console processes over its direct stream. */
export type DirectNews =
  /** First after connecting, and after each change of either flag: all that it holds. */
  | { readonly news: 'whole'; readonly storeAway: boolean; readonly alarms: readonly ProvisionalAlarm[] }
  /** A new one, or one that was claimed. */
  | { readonly news: 'alarm'; readonly alarm: ProvisionalAlarm }
  /** It is in PostgreSQL now; `alarm` is null when it became none (a duplicate of what was only kept). */
  | { readonly news: 'replayed'; readonly number: string; readonly alarm: string | null; readonly claim: ReplayedClaim | null };

/** What a claim of a provisional alarm is answered with. `gone`: it is replayed already, claim the alarm itself. */
export type ProvisionalAnswer =
  | { readonly claimed: ProvisionalAlarm }
  | { readonly refused: 'taken-by-another'; readonly by: string }
  | { readonly refused: 'gone'; readonly alarm: string | null }
  | { readonly refused: 'unknown-alarm' };

const SIGNS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** `F-7K3M2QXD` (foreløpig): 40 of the random bits of a receipt id in Crockford's base 32, easy to say on a telephone. */
export function provisionalNumber(receiptId: string): string {
  let bits = BigInt(`0x${receiptId.replaceAll('-', '').slice(-10)}`);
  let text = '';
  for (let n = 0; n < 8; n++) {
    text = `${SIGNS[Number(bits & 31n)] ?? ''}${text}`;
    bits >>= 5n;
  }
  return `F-${text}`;
}

/** Null for what operators are not shown: `information`, the end of a fault, a cancelled call. */
export function provisionalOf(signal: Signal): ProvisionalAlarm | null {
  const { meaning, household, municipality, device } = signal;
  const { role, kind, priority, trigger, text, voice } = meaning;
  if (priority === 'information' || role === 'restore' || role === 'cancel' || role === 'presence' || role === 'information') return null;
  return {
    number: provisionalNumber(signal.id),
    municipality,
    device,
    household,
    kind,
    priority,
    trigger,
    receivedAt: toIso(signal.receivedAt),
    text: text ?? null,
    voice: voice ?? null,
    unreadable: role === 'unreadable',
    claimedBy: null,
    claimedAt: null,
  };
}

/** With the claim of an operator. */
export const claimedBy = (alarm: ProvisionalAlarm, account: string, at: Instant): ProvisionalAlarm => ({
  ...alarm,
  claimedBy: account,
  claimedAt: toIso(at),
});
