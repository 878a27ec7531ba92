/** The watch for silence: notes when the centre listens, finds who is late, lost or back, and tells it by the path of all signals. */
import type { Signal } from '../alarms/signal.ts';
import type { Clock, Instant, Milliseconds } from '../base/clock.ts';
import { seconds } from '../base/clock.ts';
import { CentreError } from '../base/errors.ts';
import { type Random, receiptId } from '../base/ids.ts';
import type { Log } from '../base/log.ts';
import { GENERIC_MODEL, type Models } from './models.ts';
import { type Noticed, type Step, asInformation, silenceSignal } from './silence-signal.ts';
import {
  BEAT_EVERY_MS,
  type CutOffs,
  LOOK_BACK_MS,
  type ListeningSpan,
  PAUSE_MS,
  type Watched,
  batteryStep,
  cutOffsOf,
  silenceStep,
} from './silence.ts';
import type { LifeSigns } from './supervision.ts';

/** A unit or trigger of which the store thinks that something is to be told. */
export interface Found extends Noticed, Watched {
  readonly model: string;
  readonly batteryLow: boolean;
}

/** What was told of one unit or trigger, and is now to be remembered. */
export interface Told {
  readonly serial: string;
  readonly trigger: string;
  readonly steps: readonly Step[];
}

/** What the watch needs of the store. */
export interface SilenceStore {
  /**
   * The centre listens until `at`: carries the newest span on, or begins a new one when that ended more than `pause` ago.
   * @returns whether this process is the one to judge now: at most one in each `judgeEvery`
   * @throws CentreError store-away
   */
  listened(at: Instant, pause: Milliseconds, judgeEvery: Milliseconds): Promise<boolean>;
  /** Spans that reach beyond `since`. @throws CentreError store-away */
  spans(since: Instant): Promise<ListeningSpan[]>;
  /** At most `limit` for whom there is a step by these cut-offs, in no order. @throws CentreError store-away */
  find(cuts: readonly CutOffs[], otherModels: string, now: Instant, limit: number, bridgeSince: Instant | null): Promise<Found[]>;
  /** Ids of those signals to whose kind, device and trigger a technical alarm is open. @throws CentreError store-away */
  open(signals: readonly Signal[]): Promise<ReadonlySet<string>>;
  /** @throws CentreError store-away */
  remember(told: readonly Told[], at: Instant): Promise<void>;
}

export interface SilenceWatch {
  /** Resolves when nothing is under way. */
  rest(): Promise<void>;
  stop(): Promise<void>;
}

/** Of all processes together. */
export const JUDGE_EVERY_MS: Milliseconds = seconds(10);
/** What is told in one turn: the rest follows in the next, so that ten thousand silent devices take minutes and not the centre. */
const MOST_IN_TURN = 512;
/** So many of these signals wait for a commit at any moment: an alarm never has more of them before it. */
const AT_ONCE = 32;

/** In which order they are told within a turn. */
const URGENCY: readonly Step[] = ['lost', 'back', 'battery-low', 'battery-charged', 'late'];
const urgencyOf = (steps: readonly Step[]): number => Math.min(...steps.map((step) => URGENCY.indexOf(step)));

/** Begins at once: what was heard before is judged only by the time in which this centre, or one before it, listened. */
export function watchSilence(parts: {
  readonly models: Models;
  readonly store: SilenceStore;
  readonly lifeSigns: Pick<LifeSigns, 'flush' | 'unwritten'>;
  /** The same door that all signals go through. */
  readonly keep: (signal: Signal) => Promise<unknown>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Since when the bridge is read; null, or no function: not now, or not by this process, which then judges nobody behind it. */
  readonly bridgeSince?: (() => Instant | null) | null;
}): SilenceWatch {
  const { models, store, lifeSigns, keep, clock, random, log, bridgeSince = null } = parts;
  const all = models.names.map((id) => models.get(id));
  let beating: Promise<void> | null = null;
  let judging: Promise<void> | null = null;
  let stopped = false;
  let away = false;
  let judgedAt: Instant = Number.NEGATIVE_INFINITY;

  const timer = clock.every(BEAT_EVERY_MS, tick);
  tick();

  function tick(): void {
    beating ??= beat().finally(() => {
      beating = null;
    });
  }

  /** What was heard until now is stored first: then the centre has listened until now, and nobody is judged by a late write. */
  async function beat(): Promise<void> {
    const at = clock.now();
    try {
      if (!(await lifeSigns.flush())) return;
      const mine = await store.listened(at, PAUSE_MS, JUDGE_EVERY_MS);
      if (away) log.info('listening-again');
      away = false;
      // Judging takes its time where many are silent; the centre listens all the same.
      // Only who has the bridge can judge those behind it; that two judge the others at once makes duplicates, not doubles.
      const due = mine || (bridgeSince !== null && at - judgedAt >= JUDGE_EVERY_MS);
      if (!due || stopped) return;
      judgedAt = at;
      judging ??= judge(at).finally(() => (judging = null));
    } catch (error) {
      failed('listening-not-noted', error);
    }
  }

  async function judge(at: Instant): Promise<void> {
    try {
      const cuts = cutOffsOf(all, await store.spans(at - LOOK_BACK_MS), at);
      const byModel = new Map(cuts.map((one) => [one.model, one]));
      const found = await store.find(cuts, GENERIC_MODEL, at, MOST_IN_TURN, bridgeSince?.() ?? null);
      const due = found.flatMap((one) => {
        const steps = stepsOf(one, byModel.get(one.model) ?? byModel.get(GENERIC_MODEL));
        return steps.length === 0 ? [] : [{ one, steps }];
      });
      due.sort((a, b) => urgencyOf(a.steps) - urgencyOf(b.steps) || a.one.seenAt - b.one.seenAt);
      for (let from = 0; from < due.length && !stopped; from += AT_ONCE) await tell(due.slice(from, from + AT_ONCE));
      if (due.length > 0) log.info('silence-told', { count: due.length });
    } catch (error) {
      failed('silence-not-judged', error);
    }
  }

  function stepsOf(one: Found, cuts: CutOffs | undefined): Step[] {
    const { serial, trigger, seenAt, battery, batteryLow, excused } = one;
    if (cuts === undefined) return [];
    const step = silenceStep(one, trigger === '' ? cuts : { late: cuts.triggerLate, lost: cuts.triggerLost });
    const heardMeanwhile = (lifeSigns.unwritten(serial, trigger) ?? 0) > seenAt;
    const charge = batteryStep(battery, batteryLow, excused);
    return [...(step === null || (step !== 'back' && heardMeanwhile) ? [] : [step]), ...(charge === null ? [] : [charge])];
  }

  /** Kept first and remembered afterwards: what a crash parts is told again, as a duplicate. */
  async function tell(due: readonly { readonly one: Found; readonly steps: readonly Step[] }[]): Promise<void> {
    const now = clock.now();
    const signals = due.flatMap(({ one, steps }) =>
      steps.map((step) => silenceSignal(receiptId(now, random), one, step, models.get(one.model).supervision, now)),
    );
    const restores = signals.filter(({ meaning }) => meaning.role === 'restore');
    const open = restores.length === 0 ? new Set<string>() : await store.open(restores);
    const told = signals.map((signal) => (signal.meaning.role === 'restore' && !open.has(signal.id) ? asInformation(signal) : signal));
    // Where no household is, information would open an alarm: who sends it is not known, but here it is.
    const kept = told.filter(({ meaning, household }) => meaning.role !== 'information' || household !== null);
    await Promise.all(kept.map(keepOne));
    await store.remember(
      due.map(({ one: { serial, trigger }, steps }) => ({ serial, trigger, steps })),
      now,
    );
  }

  /** One that cannot be kept (the log says why) must not keep the others from being told for ever; technicians see it in their list. */
  async function keepOne(signal: Signal): Promise<void> {
    try {
      await keep(signal);
    } catch (error) {
      if (error instanceof CentreError) throw error;
      log.error('silence-not-told', { device: signal.device, code: signal.meaning.kind, error });
    }
  }

  function failed(event: string, error: unknown): void {
    if (!(error instanceof CentreError)) return log.error(event, { error });
    if (!away) log.warn(event, { error });
    away = true;
  }

  async function rest(): Promise<void> {
    await beating;
    await judging;
  }

  return {
    rest,
    async stop() {
      stopped = true;
      timer.cancel();
      await rest();
    },
  };
}
