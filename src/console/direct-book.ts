/** The provisional alarms of all intake processes in one picture: which there are, whose connection is lost, what became of them. */
import type { DirectNews, ProvisionalAlarm, ReplayedClaim } from '../alarms/provisional.ts';
import type { Milliseconds } from '../base/clock.ts';
import type { DirectChange, ShownProvisional } from './direct.ts';

/** In memory at once, over all intake processes; about 500 bytes each. Beyond, technical ones give way. */
export const HELD_AT_MOST = 20_000;
/** What was replayed is remembered, so that an intake process that still holds it does not show it anew. */
const DONE_AT_MOST = 50_000;
/** How long one that was replayed is shown when its alarm does not come onto the board. */
export const BOARD_WAIT_MS: Milliseconds = 10_000;
/** A long whole is told in pieces: what it has not named after this long is not held there any more. */
export const DOUBT_MS: Milliseconds = 2000;

interface Held {
  readonly shown: ShownProvisional;
  readonly node: string;
  /** Since when the intake process has told a whole without it; null: it has not. */
  readonly doubtedAt: Milliseconds | null;
  /** In PostgreSQL, as alarm `alarm`, which is not on the board yet. */
  readonly replayed: { readonly alarm: string; readonly claim: ReplayedClaim | null; readonly at: Milliseconds } | null;
}

export class DirectBook {
  readonly #held = new Map<string, Held>();
  readonly #done = new Map<string, string | null>();
  readonly #onBoard: (alarm: string) => boolean;
  readonly #tell: (change: DirectChange) => void;
  #limit: number;
  #revision = 0;
  #dropped = 0;

  constructor(parts: { onBoard: (alarm: string) => boolean; tell: (change: DirectChange) => void; limit?: number }) {
    this.#onBoard = parts.onBoard;
    this.#tell = parts.tell;
    this.#limit = parts.limit ?? HELD_AT_MOST;
  }

  get revision(): number {
    return this.#revision;
  }

  /** How many found no place. */
  get dropped(): number {
    return this.#dropped;
  }

  get size(): number {
    return this.#held.size;
  }

  alarms(): ShownProvisional[] {
    return [...this.#held.values()].map(({ shown }) => shown);
  }

  one(number: string): { readonly shown: ShownProvisional; readonly node: string } | null {
    const held = this.#held.get(number);
    return held === undefined || held.replayed !== null ? null : held;
  }

  became(number: string): string | null | undefined {
    return this.#held.get(number)?.replayed?.alarm ?? this.#done.get(number);
  }

  holds(node: string): boolean {
    for (const held of this.#held.values()) if (held.node === node) return true;
    return false;
  }

  /** Those of which no connected intake process knows: PostgreSQL is asked for them. */
  lost(): string[] {
    const lost: string[] = [];
    for (const [number, { shown, replayed }] of this.#held) if (shown.lost && replayed === null) lost.push(number);
    return lost;
  }

  /** Takes what an intake process says. @param at monotonic */
  take(node: string, news: DirectNews, at: Milliseconds): void {
    switch (news.news) {
      case 'whole':
        this.#whole(node, news.alarms, at);
        return;
      case 'alarm':
        this.#alarm(node, news.alarm);
        return;
      case 'replayed':
        this.replayed(news.number, news.alarm, news.claim, at);
        return;
    }
  }

  /** The connection to it is lost: what it kept stays, and says so. @returns whether anything is shown otherwise now */
  lose(node: string): boolean {
    let changed = false;
    for (const [number, held] of this.#held) {
      if (held.node !== node || held.shown.lost) continue;
      this.#held.set(number, { ...held, shown: { ...held.shown, lost: true } });
      changed = true;
    }
    this.changed();
    return changed;
  }

  /** Says that something beside the alarms changed, which their pictures hold too. */
  changed(): void {
    this.#revision += 1;
  }

  /** It is in PostgreSQL. Shown until its alarm is on the board, so that it is never on neither. */
  replayed(number: string, alarm: string | null, claim: ReplayedClaim | null, at: Milliseconds): void {
    const held = this.#held.get(number);
    if (held !== undefined && alarm !== null && !this.#onBoard(alarm)) {
      const before = held.replayed;
      // Somebody may have been quicker to say so, who did not know of the claim.
      this.#held.set(number, { ...held, replayed: { alarm, claim: claim ?? before?.claim ?? null, at: before?.at ?? at } });
      return;
    }
    this.#remove(number, held ?? null, alarm, claim);
  }

  /** Takes away what is on the board now, or did not come onto it in time; what nobody has confirmed is lost. */
  settle(now: Milliseconds): void {
    let lost = false;
    for (const [number, held] of this.#held) {
      const { replayed, doubtedAt } = held;
      if (doubtedAt !== null && now - doubtedAt >= DOUBT_MS) {
        this.#held.set(number, { ...held, doubtedAt: null, shown: { ...held.shown, lost: true } });
        this.#revision += 1;
        lost = true;
      }
      if (replayed === null || (!this.#onBoard(replayed.alarm) && now - replayed.at < BOARD_WAIT_MS)) continue;
      this.#remove(number, held, replayed.alarm, replayed.claim);
    }
    if (lost) this.#tell({ change: 'whole' });
  }

  #remove(number: string, held: Held | null, alarm: string | null, claim: ReplayedClaim | null): void {
    this.#held.delete(number);
    const known = this.#done.has(number);
    this.#done.set(number, alarm);
    for (const oldest of this.#done.keys()) {
      if (this.#done.size <= DONE_AT_MOST) break;
      this.#done.delete(oldest);
    }
    this.#revision += 1;
    if (held === null && known && claim === null) return;
    this.#tell({ change: 'replayed', number, was: held?.shown ?? null, alarm, claim });
  }

  #whole(node: string, alarms: readonly ProvisionalAlarm[], at: Milliseconds): void {
    const now = new Set(alarms.map(({ number }) => number));
    for (const alarm of alarms) this.#put(node, alarm);
    // What it kept before and does not know now is in PostgreSQL, which will say as what; until then nobody is forgotten.
    for (const [number, held] of this.#held) {
      if (held.node === node && !now.has(number)) this.#held.set(number, { ...held, doubtedAt: held.doubtedAt ?? at });
    }
    this.#revision += 1;
    this.#tell({ change: 'whole' });
  }

  #alarm(node: string, alarm: ProvisionalAlarm): void {
    const before = this.#held.get(alarm.number)?.shown;
    const shown = this.#put(node, alarm);
    if (shown === null) return;
    // The answer to a claim came before its news.
    if (before !== undefined && !before.lost && before.claimedBy === shown.claimedBy && before.claimedAt === shown.claimedAt) return;
    this.#revision += 1;
    this.#tell({ change: 'alarm', alarm: shown });
  }

  /** Null when it is done with already, or there is no room. */
  #put(node: string, alarm: ProvisionalAlarm): ShownProvisional | null {
    const before = this.#held.get(alarm.number);
    if (this.#done.has(alarm.number)) return null;
    if (before === undefined && this.#held.size >= this.#limit && !this.#makeRoom(alarm)) {
      this.#dropped += 1;
      return null;
    }
    const shown = { ...alarm, lost: false };
    this.#held.set(alarm.number, { shown, node, doubtedAt: null, replayed: before?.replayed ?? null });
    return shown;
  }

  #makeRoom({ priority }: ProvisionalAlarm): boolean {
    if (priority === 'technical') return false;
    for (const [number, { shown }] of this.#held) {
      if (shown.priority !== 'technical') continue;
      this.#held.delete(number);
      this.#dropped += 1;
      return true;
    }
    return false;
  }
}
