/** Sends a responder's acts one after the other, and again when the network is back; keeps them until they are answered. */
import type { Clock, Timer } from '../../../base/clock.ts';
import type { AlarmView } from '../../../alarms/view.ts';
import type { CommandBody } from '../contract.ts';
import { type Acts, type QueuedAct, type Sent, afterTry, fateOf, nextAct, withAct, without } from '../view/acts.ts';
import { type Api, alarmPath } from './http.ts';

export interface OutboxParts {
  readonly api: Api;
  readonly clock: Clock;
  /** Writes the queue where it survives the page. */
  readonly keep: (acts: Acts) => void;
  /** The centre carried an act out; this is the alarm after it. */
  readonly onAnswer: (alarm: AlarmView) => void;
}

const TRY_AGAIN_MS = 4000;

export class Outbox {
  #acts: Acts;
  readonly #parts: OutboxParts;
  readonly #readers = new Set<() => void>();
  #sending = false;
  #retry: Timer | null = null;
  #stopped = false;

  constructor(parts: OutboxParts, acts: Acts) {
    this.#parts = parts;
    this.#acts = acts;
  }

  readonly acts = (): Acts => this.#acts;
  readonly subscribe = (reader: () => void): (() => void) => {
    this.#readers.add(reader);
    return () => this.#readers.delete(reader);
  };

  /** Keeps the act, then sends it; it is kept before anything is sent, so that a dying page loses nothing. */
  async put(act: QueuedAct): Promise<void> {
    this.#become(withAct(this.#acts, act));
    await this.flush();
  }

  /** The responder has seen that it was refused. */
  dismiss(key: string): void {
    this.#become(without(this.#acts, key));
  }

  /** Sends what waits; after `stop` too. */
  start(): void {
    this.#stopped = false;
    void this.flush();
  }

  /** Sends nothing more: somebody signed out. */
  stop(): void {
    this.#stopped = true;
    this.#retry?.cancel();
  }

  /** Sends what waits, in order, until all is answered or nobody answers. */
  async flush(): Promise<void> {
    if (this.#sending) return;
    this.#sending = true;
    this.#retry?.cancel();
    try {
      for (let act = nextAct(this.#acts); act !== null && !this.#stopped; act = nextAct(this.#acts)) {
        const sent = await this.#send(act);
        if (this.#stopped) return;
        this.#become(afterTry(this.#acts, act.key, sent));
        if (sent.became === 'away') {
          this.#retry = this.#parts.clock.after(TRY_AGAIN_MS, () => void this.flush());
          return;
        }
      }
    } finally {
      this.#sending = false;
    }
  }

  async #send({ command, version, key, number, doneAt, delayed }: QueuedAct): Promise<Sent> {
    const body: CommandBody = { ...command, version, key, ...(delayed ? { doneAt } : {}) };
    const answer = await this.#parts.api.post<AlarmView>(alarmPath(number, '/commands'), body);
    if (answer.ok) {
      this.#parts.onAnswer(answer.value);
      return { became: 'done' };
    }
    return answer.problem === null ? { became: 'away' } : fateOf(answer.problem);
  }

  #become(acts: Acts): void {
    if (acts === this.#acts) return;
    this.#acts = acts;
    this.#parts.keep(acts);
    for (const reader of this.#readers) reader();
  }
}
