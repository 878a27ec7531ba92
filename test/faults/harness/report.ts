/** One table for people and one document for programs. */
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { LATE_CALM_MS, LATE_FAULT_MS, RECOVERY_MS, type Result, percentile } from './scenario.ts';
import type { PowerResult } from './power-contract.ts';

const TOLD_TWICE_AIM = 0.001;

const COLUMNS = [
  'scenario',
  's',
  'kills',
  'acked',
  'lost',
  'doubled',
  'steps',
  'missing',
  'twice',
  'late p50',
  'p99',
  'worst',
  'asked',
  'not told',
  'told twice',
  'heard',
  'well after',
  'errors',
  '',
] as const;

const ms = (value: number | null): string => (value === null ? 'never' : `${Math.round(value)}`);

function cells({ name, seconds, kills, books, recovery, errors, broken, missed, note }: Result): string[] {
  const { steps } = books;
  const late = [0.5, 0.99, 1].map((part) => ms(percentile(steps.lateUnexplained, part)));
  return [
    name,
    seconds.toFixed(0),
    String(kills),
    String(books.acknowledged),
    String(books.lost.length),
    String(books.doubledAlarms.length + books.doubledMessages.length),
    String(steps.done),
    String(steps.missing.length),
    String(steps.doubled.length),
    ...late,
    String(books.asks),
    String(books.notTold.length),
    String(books.toldTwice.length),
    String(books.heardTwice.length),
    ms(recovery),
    String(errors.length),
    [broken.length > 0 ? 'BROKEN' : missed.length > 0 ? 'missed' : 'ok', note].filter((part) => part !== '').join('; '),
  ];
}

/** Aligned columns; the first and the last to the left. */
export function table(results: readonly Result[]): string {
  const rows = [[...COLUMNS], ...results.map(cells), aims()];
  const widths = COLUMNS.map((_, n) => Math.max(...rows.map((row) => row[n]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, n) => (n === 0 || n === row.length - 1 ? cell.padEnd(widths[n] ?? 0) : cell.padStart(widths[n] ?? 0)))
      .join('  ')
      .trimEnd();
  return rows.map(line).join('\n');
}

const aims = (): string[] => [
  'aim',
  '',
  '',
  '',
  '0',
  '0',
  '',
  '0',
  '0',
  '',
  `${LATE_CALM_MS}/${LATE_FAULT_MS}`,
  '',
  '',
  '0',
  `< ${TOLD_TWICE_AIM * 100} %`,
  '',
  `${RECOVERY_MS}`,
  '0',
  '',
];

export interface Summary {
  readonly kills: number;
  readonly acknowledged: number;
  readonly lost: number;
  readonly doubled: number;
  readonly asks: number;
  readonly toldTwice: number;
  readonly toldTwiceShare: number;
  readonly heardTwice: number;
  readonly broken: readonly string[];
  readonly missed: readonly string[];
}

/**
 * @param tellingTwice names of the scenarios whose fault lies between a provider and our commit
 * @param afterwards what was found broken when all scenarios were over
 */
export function summarise(
  results: readonly Result[],
  power: readonly PowerResult[],
  tellingTwice: ReadonlySet<string>,
  afterwards: readonly string[] = [],
): Summary {
  const sum = (of: (result: Result) => number): number => results.reduce((total, result) => total + of(result), 0);
  const elsewhere = results.filter(({ name }) => !tellingTwice.has(name));
  const asks = elsewhere.reduce((total, { books }) => total + books.asks, 0);
  const toldTwice = elsewhere.reduce((total, { books }) => total + books.toldTwice.length, 0);
  const toldTwiceShare = asks === 0 ? 0 : toldTwice / asks;
  return {
    kills: sum(({ kills }) => kills),
    acknowledged: sum(({ books }) => books.acknowledged) + power.reduce((total, one) => total + one.acknowledged, 0),
    lost: sum(({ books }) => books.lost.length) + power.reduce((total, one) => total + one.lost, 0),
    doubled:
      sum(({ books }) => books.doubledAlarms.length + books.doubledMessages.length) + power.reduce((total, one) => total + one.doubled, 0),
    asks,
    toldTwice,
    toldTwiceShare,
    heardTwice: elsewhere.reduce((total, { books }) => total + books.heardTwice.length, 0),
    broken: [
      ...afterwards,
      ...results.flatMap(({ name, broken }) => broken.map((one) => `${name}: ${one}`)),
      ...power.flatMap(({ name, lost, doubled }) => (lost + doubled === 0 ? [] : [`${name}: ${lost} lost, ${doubled} doubled`])),
      ...power.flatMap(({ name, faults }) => faults.map((one) => `${name}: ${one}`)),
    ],
    missed: [
      ...results.flatMap(({ name, missed }) => missed.map((one) => `${name}: ${one}`)),
      ...(toldTwiceShare >= TOLD_TWICE_AIM && toldTwice > 0
        ? [`told twice outside the points made for it: ${toldTwice} of ${asks} (${(toldTwiceShare * 100).toFixed(2)} %)`]
        : []),
    ],
  };
}

/** Everything that was found, lateness as percentiles. */
export function writeReport(
  file: string,
  about: { readonly seed: number; readonly rounds: number },
  results: readonly Result[],
  power: readonly PowerResult[],
  summary: Summary,
): void {
  const scenarios = results.map(({ books, errors, ...result }) => {
    const { steps, ...rest } = books;
    const spread = (values: readonly number[]) => ({
      p50: percentile(values, 0.5),
      p99: percentile(values, 0.99),
      worst: percentile(values, 1),
    });
    return {
      ...result,
      errors: errors.map(({ member, event, line }) => ({ member, event, line })),
      books: { ...rest, steps: { ...steps, late: spread(steps.late), lateUnexplained: spread(steps.lateUnexplained) } },
    };
  });
  const machine = { cores: cpus().length, model: cpus()[0]?.model ?? '', node: process.version };
  writeFileSync(file, `${JSON.stringify({ at: new Date().toISOString(), ...about, machine, summary, scenarios, power }, null, 2)}\n`);
}
