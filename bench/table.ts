/** Writes the figures of a run as text: one table with ratios, the aims, start times and memory, and the machine. Pure. */
import { type Fact, type Figure, type Judged, type Ratio, ratiosOf } from './figures.ts';
import type { Machine } from './machine.ts';
import type { Plan } from './plan.ts';

export interface Report {
  readonly at: string;
  readonly plan: Plan['size'];
  readonly machine: Machine;
  readonly figures: readonly Figure[];
  readonly aims: readonly Judged[];
  readonly facts: readonly Fact[];
}

/** Three digits that count; `–` for nothing. */
export function short(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return '–';
  if (value < 0) return `-${short(-value)}`;
  if (value >= 100) return value.toFixed(0);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

const WANTED = { perSecond: '≥', p99: '<', max: '<', value: '≤' } as const;
const BY = { perSecond: '/s', p50: 'p50', p99: 'p99' } as const;

export const ratioText = (ratios: readonly Ratio[]): string => {
  const to = new Map<string, string[]>();
  for (const { to: id, by, times } of ratios) to.set(id, [...(to.get(id) ?? []), `${BY[by]} × ${short(times)}`]);
  return [...to].map(([id, texts]) => `${texts.join(', ')} of ${id}`).join('; ');
};

/** A GitHub table, padded so that it can be read in a terminal too. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string => `| ${widths.map((width, i) => (cells[i] ?? '').padEnd(width)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}

export function reportText({ at, plan, machine, figures, aims, facts }: Report): string {
  const head = ['measured', 'offered/s', 'reached/s', 'p50 ms', 'p99 ms', 'max ms', 'lost', 'generator late ms', 'against its reference'];
  const rows = figures.map((figure) => [
    `${figure.what} [${figure.id}]`,
    short(figure.offered),
    short(figure.perSecond),
    short(figure.p50),
    short(figure.p99),
    short(figure.max),
    String(figure.lost),
    short(figure.lateMs),
    [ratioText(ratiosOf(figure, figures)), figure.note ?? ''].filter((text) => text !== '').join('; '),
  ]);
  const judged = aims.filter(({ got }) => got !== null);
  const others = aims.filter(({ got }) => got === null).map(({ what }) => what);
  const { cpu, cores, memoryMb, node, postgres, loadBefore } = machine;
  return [
    `Measured ${at} (${plan} run): ${cpu}, ${cores} cores, ${memoryMb} MB; Node ${node}, PostgreSQL ${postgres}.`,
    `The load generators ran on the same machine. Its load average before the run: ${loadBefore.toFixed(2)}.`,
    '',
    tableOf(head, rows),
    ...(judged.length === 0
      ? []
      : [
          '',
          tableOf(
            ['aim', 'wanted', 'got', ''],
            judged.map(({ what, measure, wanted, got, reached }) => [
              what,
              `${WANTED[measure]} ${wanted}`,
              short(got),
              reached ? 'reached' : 'MISSED',
            ]),
          ),
          ...(others.length === 0 ? [] : ['', `Aims of which this run says nothing: ${others.join('; ')}.`]),
        ]),
    ...(facts.length === 0
      ? []
      : [
          '',
          tableOf(
            ['start, memory, CPU, counts', ''],
            facts.map(({ what, value, unit }) => [what, unit === '' ? String(value) : `${short(value)} ${unit}`]),
          ),
        ]),
  ].join('\n');
}
