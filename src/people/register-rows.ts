/** Turns a register file into rows of checked values; all faults of all lines in one go. */
import { storable } from '../base/bytes.ts';
import { readCsv } from './csv.ts';
import { COLUMNS, COLUMN_NAMES, type ColumnName } from './register-columns.ts';

export interface RegisterFault {
  readonly line: number;
  readonly message: string;
}

/** The values that a line gives; a missing column and an empty cell are the same: not there. */
export interface RegisterRow {
  readonly line: number;
  readonly values: Readonly<Partial<Record<ColumnName, string>>>;
}

export interface RegisterRows {
  readonly rows: readonly RegisterRow[];
  readonly faults: readonly RegisterFault[];
}

const REQUIRED: readonly ColumnName[] = ['household', 'municipality'];

const isColumn = (name: string): name is ColumnName => Object.hasOwn(COLUMNS, name);

/** Never repeats a secret, and of a long cell only the beginning. */
const shown = (column: ColumnName, text: string): string => (column === 'secret' ? '(not shown)' : `"${text.slice(0, 40)}"`);

export function readRegisterRows(text: string): RegisterRows {
  const { records, faults: csvFaults } = readCsv(text);
  const [header, ...body] = records;
  if (header === undefined) return { rows: [], faults: [{ line: 1, message: 'The file is empty; its first line must name the columns.' }] };
  const faults: RegisterFault[] = csvFaults.map(({ line, message }) => ({ line, message: `Here ${message}.` }));
  const names = header.cells.map((cell) => cell.trim().toLowerCase());
  faults.push(...headerFaults(names).map((message) => ({ line: header.line, message })));
  const rows = body.map(({ line, cells }) => {
    if (cells.length > names.length) {
      faults.push({ line, message: `There are ${cells.length} cells, but the first line names ${names.length} columns.` });
    }
    const values: Partial<Record<ColumnName, string>> = {};
    for (const [index, name] of names.entries()) {
      const given = storable(cells[index] ?? '').trim();
      if (!isColumn(name) || given === '') continue;
      const checked = COLUMNS[name].check(given);
      if ('value' in checked) values[name] = checked.value;
      else faults.push({ line, message: `"${name}" is ${shown(name, given)}, which ${checked.fault}.` });
    }
    return { line, values };
  });
  return { rows, faults };
}

function headerFaults(names: readonly string[]): string[] {
  const unknown = names.filter((name) => !isColumn(name));
  const twice = names.filter((name, index) => isColumn(name) && names.indexOf(name) !== index);
  const missing = REQUIRED.filter((name) => !names.includes(name));
  return [
    ...unknown.map((name) => `There is no column called "${name.slice(0, 40)}" (there are ${COLUMN_NAMES.join(', ')}).`),
    ...twice.map((name) => `The column "${name}" is there twice.`),
    ...missing.map((name) => `The column "${name}" is missing.`),
  ];
}
