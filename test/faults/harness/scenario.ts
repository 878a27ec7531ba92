/** What a scenario is, and how one is carried out: fault, recovery, balance of the books. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type Books, type Period, balanced, compare, wholeRun } from './compare.ts';
import type { House } from './house.ts';
import type { Load } from './load.ts';
import type { ErrorLine } from './member.ts';
import { type Probed, probe, until } from './probe.ts';
import type { Dice } from './random.ts';
import { type TimelineRow, type Truth, readSignals, readTruth } from './truth.ts';

/** What a scenario has to work with. */
export interface Stage {
  readonly house: House;
  readonly load: Load;
  /** 1 in the default run. */
  readonly rounds: number;
  readonly random: Dice;
  readonly pause: (ms: number) => Promise<void>;
  /** Waits until so many more messages were acknowledged, or so long. */
  readonly traffic: (messages: number, atMostMs?: number) => Promise<void>;
  /** From now on everything is as it should be: a device presses, and the time until its help was asked is what recovery took. */
  readonly recovered: () => Promise<void>;
}

/** What a scenario tells beside the books. */
export interface Told {
  readonly kills?: number;
  /** Promises that it saw broken by itself. */
  readonly broken?: readonly string[];
  readonly note?: string;
}

export interface Scenario {
  readonly name: string;
  readonly about: string;
  /** Error events that this fault explains; all others break the run. */
  readonly explains: readonly string[];
  /** Steps may be late by so much (99 of 100): less where nothing is to be noticed. */
  readonly lateMs: number;
  /** Between a provider's answer and our commit a person is told twice rather than not: promise 6. */
  readonly tellsTwice?: true;
  run(stage: Stage): Promise<Told | undefined>;
}

/** One line of the table. */
export interface Result {
  readonly name: string;
  readonly seconds: number;
  readonly kills: number;
  readonly books: Books;
  /** Milliseconds; null: nothing worked within a minute. */
  readonly recovery: number | null;
  /** What `recovery` is the worst of. */
  readonly probes: readonly Probed[];
  readonly errors: readonly ErrorLine[];
  /** Promises that were broken; the run fails. */
  readonly broken: readonly string[];
  /** Aims of speed that were missed. */
  readonly missed: readonly string[];
  readonly note: string;
  /** Timelines of alarms with which something is wrong; a few. */
  readonly evidence: readonly TimelineRow[];
}

export const LATE_CALM_MS = 500;
export const LATE_FAULT_MS = 5000;
export const RECOVERY_MS = 5000;
/** What fell due longer ago than this, with everything well, is forgotten. */
const GRACE_MS = 1500;
/** What is still under way then is given time without new messages: a slow machine is no broken promise. */
const SETTLE_UNDER_LOAD_MS = 6000;
const SETTLE_MS = 75_000;
const STILL_MS = 500;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Runs it and judges it. Never throws for what it finds. */
export async function carryOut(scenario: Scenario, house: House, load: Load, rounds: number, random: Dice): Promise<Result> {
  const period = { entry: house.ledger.length, since: Date.now(), graceMs: GRACE_MS };
  const began = performance.now();
  const still = monitorEventLoopDelay({ resolution: 20 });
  still.enable();
  const firstError = house.errors.length;
  const probes: Probed[] = [];
  const stage: Stage = {
    house,
    load,
    rounds,
    random,
    pause,
    async traffic(messages, atMostMs = 15_000) {
      const wanted = load.acknowledged() + messages;
      const end = performance.now() + atMostMs;
      await until(
        () => load.acknowledged() >= wanted,
        () => performance.now() > end,
      );
    },
    recovered: async () => void probes.push(await probe(house)),
  };
  let told: Told | undefined;
  const failed: string[] = [];
  try {
    told = await scenario.run(stage);
  } catch (error) {
    failed.push(`the scenario itself failed: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (probes.length === 0) await stage.recovered();
  const { books, truth } = await settled(house, load, period);
  still.disable();
  const recovery = probes.some(({ asked }) => asked === null) ? null : Math.max(...probes.map(({ asked }) => asked ?? 0));
  const errors = house.errors.slice(firstError);
  const unexplained = errors.filter((line) => !explained(line, scenario.explains));
  return {
    name: scenario.name,
    seconds: (performance.now() - began) / 1000,
    kills: told?.kills ?? 0,
    books,
    recovery,
    probes,
    errors: unexplained,
    broken: [...failed, ...(told?.broken ?? []), ...brokenIn(books), ...silenceOf(probes), ...unexplained.map(lineOf)],
    missed: missedIn(scenario, books, probes),
    note: [told?.note ?? '', stillness(still.max / 1e6)].filter((part) => part !== '').join('; '),
    evidence: evidenceOf(books, truth),
  };
}

/** Reads the truth until the books balance, or for as long as one may wait for that. What is doubled once stays so: waiting may close it. */
export async function settled(
  house: Pick<House, 'ledger'> & { readonly stores: Pick<House['stores'], 'sql'>; readonly gateway: Pick<House['gateway'], 'messages'> },
  load: Pick<Load, 'hold'>,
  period: Period,
): Promise<{ books: Books; truth: Truth }> {
  const began = performance.now();
  const doubled = new Set<string>();
  try {
    for (;;) {
      const truth = await readTruth(house.stores, period.since);
      const books = compare(house.ledger, truth, house.gateway.messages(), period);
      const waited = performance.now() - began;
      for (const one of books.doubledAlarms) doubled.add(one);
      const isInOrder = balanced({ ...books, doubledAlarms: [] });
      if (isInOrder || waited > SETTLE_MS) return { books: { ...books, doubledAlarms: [...doubled] }, truth };
      load.hold(waited > SETTLE_UNDER_LOAD_MS);
      await pause(300);
    }
  } finally {
    load.hold(false);
  }
}

/** When everything is over: what was acknowledged at any time, and is lost or doubled now. */
export async function atTheEnd(house: Pick<House, 'ledger' | 'stores'>): Promise<string[]> {
  const began = performance.now();
  for (;;) {
    const found = wholeRun(house.ledger, await readSignals(house.stores));
    if (found.length === 0 || performance.now() - began > SETTLE_MS) return found.map((one) => `at the end: ${one}`);
    await pause(1000);
  }
}

function evidenceOf({ steps, notTold, lostOrders }: Books, { timeline }: Truth): TimelineRow[] {
  const named = [...steps.missing, ...steps.doubled, ...notTold, ...lostOrders].flatMap((one) => /\b\d{4,}\b/.exec(one)?.[0] ?? []);
  const few = new Set(named.slice(0, 5));
  return timeline.filter(({ alarm }) => few.has(alarm));
}

export function brokenIn(books: Books): string[] {
  const { lost, doubledAlarms, doubledMessages, steps, notTold, lostOrders } = books;
  const kinds: [string, readonly string[]][] = [
    ['lost', lost],
    ['doubled alarm', doubledAlarms],
    ['doubled message', doubledMessages],
    ['step missing', steps.missing],
    ['step doubled', steps.doubled],
    ['not told', notTold],
    ['order lost', lostOrders],
  ];
  return kinds.flatMap(([kind, found]) => found.map((one) => `${kind}: ${one}`));
}

function missedIn({ lateMs }: Scenario, { steps }: Books, probes: readonly Probed[]): string[] {
  const late = percentile(steps.lateUnexplained, 0.99);
  return [
    ...(late > lateMs ? [`steps late ${Math.round(late)} ms (99 of 100), aim ${lateMs}`] : []),
    ...probes
      .filter(({ asked }) => asked !== null && asked > RECOVERY_MS)
      .map(
        ({ acknowledged, shown, asked }) =>
          `everything worked after ${asked} ms (acknowledged ${acknowledged}, on both consoles ${shown}), aim ${RECOVERY_MS}`,
      ),
  ];
}

const silenceOf = (probes: readonly Probed[]): string[] =>
  probes.flatMap(({ acknowledged, shown, asked }) => {
    if (acknowledged === null) return ['a device was not acknowledged within a minute'];
    if (shown === null) return ['an alarm was not shown on both consoles within a minute'];
    return asked === null ? ['help was not asked within a minute'] : [];
  });

/** Every way goes through the harness' own process: when that stands still, both stores are away for all, and nothing of it is the centre's. */
const stillness = (ms: number): string => (ms > STILL_MS ? `the harness itself stood still for ${Math.round(ms)} ms` : '');

/** What the auditor may find because a process or a store was away. That a row and its timeline differ, no fault here explains. */
const FINDINGS_OF_ABSENCE = ['deadline-overdue', 'claim-abandoned', 'outbox-old', 'ask-overdue', 'held-overdue'];

/** Whether a fault that explains these events explains this line. */
export function explained({ event, code }: Pick<ErrorLine, 'event' | 'code'>, explains: readonly string[]): boolean {
  // Nobody but an escalation process can send an ask: an overdue one is for a person at once.
  if (event === 'audit-needs-person' && code === 'ask-overdue') return explains.includes('audit-finding');
  if (!explains.includes(event)) return false;
  return !event.startsWith('audit-finding') || FINDINGS_OF_ABSENCE.includes(code);
}

const lineOf = ({ member, event, code }: ErrorLine): string => `unexplained error line: ${[member, event, code].join(' ').trimEnd()}`;

/** 0 of an empty list. */
export function percentile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * part) - 1)] ?? 0;
}
