/** The desk's store: gathers changes that are asked for at the same time into one transaction, under the alarms' row locks. */
import type { AlarmStore, Changing } from '../alarms/desk.ts';
import type { AlarmView } from '../alarms/view.ts';
import { CentreError } from '../base/errors.ts';
import { type Outcome, changeAlarms } from './alarm-batch.ts';
import type { Postgres } from './postgres.ts';

/** Alarm numbers are bigints; anything else is the number of no alarm and never reaches a statement. */
const NUMBER = /^[1-9]\d{0,17}$/;
/** Changes to one transaction: enough to make the commit cheap, few enough that its locks are held for some ten milliseconds. */
const BATCH = 64;
/**
 * Transactions under way at the same time. The centre's own parts make room while people's are under way, but always have
 * one: with single commands of people in every lane, a slow machine would pass no deadline any more.
 */
const LANES = { people: 3, parts: 2, partsBesidePeople: 1 } as const;
/** Transactions that wait for a lock that somebody else holds, each for one alarm; the pool has room for these and the lanes. */
const ALONE = 6;
/**
 * Beyond so many the next one is refused as if the store were away: a sweep looks again, an ask stays in its row, a person
 * is told to try again. It bounds the memory that a store which has become slow can take.
 */
const MOST_IN_HAND = 20_000;

interface Waiting {
  readonly changing: Changing;
  readonly done: (answer: AlarmView | 'busy' | null) => void;
  readonly failed: (error: unknown) => void;
}

interface Ordered {
  waiting: Waiting[];
  /** Transactions under way. */
  busy: number;
}

/**
 * Changes of one alarm are never in two transactions of this process at once: they would wait for each other's locks. A
 * transaction that carries several never waits for a lock: what somebody else has locked is done afterwards, alone. So
 * an alarm that a stopped process holds keeps up nobody but those who want that very alarm, and no two batches can wait
 * for each other in a circle, whoever else locks rows in whatever order.
 * @param committed called after each commit, to make the relay prompt
 */
export function createAlarmStore(postgres: Postgres, committed: () => void): AlarmStore {
  const people: Ordered = { waiting: [], busy: 0 };
  const parts: Ordered = { waiting: [], busy: 0 };
  const stuck = new Map<string, Waiting[]>();
  const underWay = new Set<string>();
  let alone = 0;
  let inHand = 0;
  let planned = false;

  return {
    change: (changing) =>
      new Promise((done, failed) => {
        if (!NUMBER.test(changing.number)) {
          changing.work({ alarm: null, leaseUntil: null });
          done(null);
          return;
        }
        if (inHand >= MOST_IN_HAND) {
          failed(
            new CentreError(
              'store-away',
              `${MOST_IN_HAND} changes of alarms are in hand already. PostgreSQL is too slow: look at its load.`,
            ),
          );
          return;
        }
        inHand += 1;
        (changing.first ? people : parts).waiting.push({ changing, done, failed });
        plan();
      }),
  };

  /** After all that is asked for in the same breath. */
  function plan(): void {
    if (planned) return;
    planned = true;
    queueMicrotask(() => {
      planned = false;
      next();
    });
  }

  function next(): void {
    begin(people, LANES.people);
    begin(parts, people.busy > 0 ? LANES.partsBesidePeople : LANES.parts);
    for (const [number, batch] of stuck) {
      if (alone >= ALONE) break;
      stuck.delete(number);
      alone += 1;
      void run(batch, true).finally(() => {
        alone -= 1;
        next();
      });
    }
  }

  function begin(ordered: Ordered, most: number): void {
    while (ordered.busy < most) {
      const batch = take(ordered);
      if (batch.length === 0) return;
      ordered.busy += 1;
      void run(batch, false).finally(() => {
        ordered.busy -= 1;
        next();
      });
    }
  }

  /** Those that have waited the longest, and none whose alarm is under way. */
  function take(ordered: Ordered): Waiting[] {
    const batch: Waiting[] = [];
    const left: Waiting[] = [];
    let looked = 0;
    for (; looked < ordered.waiting.length && batch.length < BATCH; looked++) {
      const one = ordered.waiting[looked];
      if (one === undefined) break;
      (underWay.has(one.changing.number) ? left : batch).push(one);
    }
    if (looked > 0) ordered.waiting = [...left, ...ordered.waiting.slice(looked)];
    for (const { changing } of batch) underWay.add(changing.number);
    return batch;
  }

  /**
   * When something in it is refused, each is tried alone, so that one which cannot be written harms only itself. What is
   * locked by somebody else is put aside by its alarm, which stays under way: what comes later for it waits behind.
   */
  async function run(batch: readonly Waiting[], waits: boolean): Promise<void> {
    try {
      const { outcomes, wrote } = await changeAlarms(
        postgres,
        batch.map(({ changing }) => changing),
        waits,
      );
      if (wrote) committed();
      for (const [index, one] of batch.entries()) {
        const outcome = outcomes[index];
        const { number, busy } = one.changing;
        if (outcome === 'locked' && busy === 'wait') {
          stuck.set(number, [...(stuck.get(number) ?? []), one]);
          // One of the same batch that did not wait for it has been settled, and said that nothing of it is under way.
          underWay.add(number);
        } else settle(one, outcome);
      }
    } catch (error) {
      if (error instanceof CentreError || batch.length === 1) for (const one of batch) settle(one, { failed: error });
      else for (const one of batch) await run([one], waits);
    }
  }

  function settle({ changing, done, failed }: Waiting, outcome: Outcome | undefined): void {
    inHand -= 1;
    if (!stuck.has(changing.number)) underWay.delete(changing.number);
    if (outcome === undefined) failed(new RangeError('a change without an outcome'));
    else if (outcome === 'locked') done('busy');
    else if ('failed' in outcome) failed(outcome.failed);
    else done(outcome.before);
  }
}
