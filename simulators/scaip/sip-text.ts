/** SIP as a small device reads and writes it: just enough of RFC 3261 for MESSAGE (RFC 3428) and its answers. */

export interface SipText {
  /** The first line as it stands. */
  readonly start: string;
  /** Null for an answer. */
  readonly method: string | null;
  /** Null for a request. */
  readonly status: number | null;
  /** Lower-case long names; a header that comes several times has several values. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
}

/** Compact forms, RFC 3261 § 7.3.3. */
const LONG_NAMES: Readonly<Record<string, string>> = {
  v: 'via',
  f: 'from',
  t: 'to',
  i: 'call-id',
  m: 'contact',
  c: 'content-type',
  l: 'content-length',
};
const LARGEST = 65_536;
const END_OF_HEAD = Buffer.from('\r\n\r\n');

/** Reads one whole message; null when it is none. */
export function readSip(bytes: Buffer): SipText | null {
  const end = bytes.indexOf(END_OF_HEAD);
  if (end < 0) return null;
  const [start = '', ...lines] = bytes
    .subarray(0, end)
    .toString('utf8')
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n');
  const answer = /^SIP\/2\.0 (\d{3})(?: |$)/.exec(start);
  const request = /^([A-Z]+) \S+ SIP\/2\.0$/.exec(start);
  if (answer === null && request === null) return null;
  const headers = new Map<string, string[]>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    if (colon < 1) return null;
    const written = line.slice(0, colon).trim().toLowerCase();
    const name = LONG_NAMES[written] ?? written;
    headers.set(name, [...(headers.get(name) ?? []), line.slice(colon + 1).trim()]);
  }
  return {
    start,
    method: request?.[1] ?? null,
    status: answer === null ? null : Number(answer[1]),
    headers,
    body: bytes.subarray(end + 4).toString('utf8'),
  };
}

export const header = (message: SipText, name: string): string => message.headers.get(name)?.[0] ?? '';

/** What an answer and its request have in common on the device's side: Call-ID and CSeq number (branches are constant in some devices). */
export const exchangeOf = (message: SipText): string => `${header(message, 'call-id')} ${header(message, 'cseq').split(/\s+/)[0] ?? ''}`;

/** Writes one message; Content-Length is counted here. */
export function writeSip(start: string, headers: readonly (readonly [name: string, value: string])[], body = ''): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.from(`${start}\r\n${lines}Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}

/** The answer to a request, by RFC 3261 § 8.2.6: Via, From, To, Call-ID and CSeq go back as they came. */
export function writeAnswer(request: SipText, status: number, phrase: string, tag: string): Buffer {
  const to = header(request, 'to');
  return writeSip(`SIP/2.0 ${status} ${phrase}`, [
    ...(request.headers.get('via') ?? []).map((via) => ['Via', via] as const),
    ['From', header(request, 'from')],
    ['To', /;\s*tag=/.test(to) ? to : `${to};tag=${tag}`],
    ['Call-ID', header(request, 'call-id')],
    ['CSeq', header(request, 'cseq')],
  ]);
}

/** Cuts a TCP stream into messages by Content-Length (RFC 3261 § 18.3). */
export class SipStream {
  #held: Buffer = Buffer.alloc(0);

  /** The messages that are whole now; null when the other side no longer makes sense and the connection should end. */
  push(chunk: Buffer): readonly SipText[] | null {
    this.#held = Buffer.concat([this.#held, chunk]);
    const whole: SipText[] = [];
    for (;;) {
      let from = 0;
      while (this.#held[from] === 13 || this.#held[from] === 10) from++;
      this.#held = this.#held.subarray(from);
      const end = this.#held.indexOf(END_OF_HEAD);
      if (end < 0) return this.#held.length > LARGEST ? null : whole;
      const head = readSip(this.#held.subarray(0, end + 4));
      if (head === null) return null;
      const size = end + 4 + Number(header(head, 'content-length'));
      if (!(size <= LARGEST)) return null;
      if (this.#held.length < size) return whole;
      const message = readSip(this.#held.subarray(0, size));
      if (message !== null) whole.push(message);
      this.#held = this.#held.subarray(size);
    }
  }
}
