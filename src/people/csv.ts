/** Reads CSV (RFC 4180) as spreadsheets write it: comma or semicolon, CRLF or LF, BOM, UTF-8 or Windows-1252. */

export interface CsvRecord {
  /** The line in the file on which the record begins, from 1. */
  readonly line: number;
  readonly cells: readonly string[];
}

export interface CsvFault {
  readonly line: number;
  readonly message: string;
}

export interface CsvReading {
  readonly records: readonly CsvRecord[];
  readonly faults: readonly CsvFault[];
}

/** Excel in Norwegian writes Windows-1252 unless told otherwise; text that is not UTF-8 is taken for that. */
export function textOfCsv(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

/** Whatever the first line has more of; cells of a header hold neither. */
function separatorOf(text: string): string {
  const end = text.search(/[\r\n]/);
  const header = end === -1 ? text : text.slice(0, end);
  return header.split(';').length > header.split(',').length ? ';' : ',';
}

/** Empty lines are skipped; a fault in one record does not hide the records after it, except an unclosed quote. */
export function readCsv(text: string): CsvReading {
  const stated = /^\uFEFF?sep=([;,])\r?\n/.exec(text);
  const start = stated?.[0].length ?? (text.startsWith('\uFEFF') ? 1 : 0);
  const separator = stated?.[1] ?? separatorOf(text.slice(start));
  const records: CsvRecord[] = [];
  const faults: CsvFault[] = [];
  let line = stated === null ? 1 : 2;
  let at = start;
  let unclosed = false;

  while (at < text.length) {
    const begun = line;
    const cells: string[] = [];
    for (;;) {
      cells.push(text[at] === '"' ? quoted(begun) : plain());
      if (text[at] !== separator) break;
      at += 1;
    }
    if (text[at] === '\r' && text[at + 1] === '\n') at += 1;
    if (at < text.length) at += 1;
    line += 1;
    // What an open quotation mark swallowed is no record, and would only bring more faults.
    if (!unclosed && cells.some((cell) => cell.trim() !== '')) records.push({ line: begun, cells });
  }
  return { records, faults };

  function plain(): string {
    const from = at;
    while (at < text.length && text[at] !== separator && text[at] !== '\n' && text[at] !== '\r') at += 1;
    return text.slice(from, at);
  }

  function quoted(begun: number): string {
    let cell = '';
    at += 1;
    for (;;) {
      const end = text.indexOf('"', at);
      if (end === -1) {
        faults.push({ line: begun, message: 'a quotation mark is opened and never closed' });
        at = text.length;
        unclosed = true;
        return cell;
      }
      const part = text.slice(at, end);
      line += part.split('\n').length - 1;
      cell += part;
      at = end + 1;
      if (text[at] !== '"') break;
      cell += '"';
      at += 1;
    }
    const after = plain();
    if (after.trim() !== '')
      faults.push({ line: begun, message: `there is text after a closing quotation mark: ${after.trim().slice(0, 20)}` });
    return cell;
  }
}
