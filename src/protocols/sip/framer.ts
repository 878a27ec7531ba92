/** Cuts a byte stream into SIP messages, one byte at a time or twenty messages at once, and finds its way back out of noise. */
import { type Framed, LIMITS } from './message.ts';
import { type Head, assemble, findStartLine, isBlank, parseHead, parseStartLine } from './parse.ts';
import { OverlongBody } from './overlong.ts';
import { XmlEnd } from './xml-end.ts';

const CAPACITY = LIMITS.head + LIMITS.body;
const FIRST_BUFFER = 2048;
/** What is kept of a line of noise too long to be a start line: a request line may stand at its end. */
const NOISE_TAIL = 1024;
/** `SIP/2.0 200`; shorter lines of noise are not even looked at. */
const SHORTEST_START_LINE = 11;
const LF = 0x0a;
const CR = 0x0d;
const LESS_THAN = 0x3c;
const NOTHING = new Uint8Array(0);

/**
 * Sans-I/O: bytes in, messages out; holds at most `LIMITS.head + LIMITS.body` bytes.
 *
 * Resync rule: outside a message every line that is no start line is noise and dropped; so is a head inside which a
 * start line turns up. A line that merely ends in a request line of a known method begins a message there.
 * A body ends by Content-Length, but before the start line of the next message where that stands inside the length right
 * behind the root of an XML body, and what may yet become such a line is waited for; without a length, an XML body ends with the closing tag of its root.
 * However it is cut, each byte is looked at a bounded number of times; of keepalives at most one comes out of one push.
 */
export class Framer {
  #buffer: Buffer = Buffer.alloc(0);
  #from = 0;
  #length = 0;
  #state: 'start' | 'head' | 'body' = 'start';
  /** Where the line that is being looked at begins. */
  #scan = 0;
  #head: Head | null = null;
  /** Blanks at the beginning of a body without a length, and how far its XML was searched. */
  #blanks = 0;
  #xmlEnd = new XmlEnd();
  #overlong = new OverlongBody();
  /** Bytes of an oversized body still to be read past. */
  #skip = 0;
  #lineFeeds = 0;
  #pinged = false;
  #noise = 0;

  /** Takes what arrived and gives what is complete, in order. */
  push(chunk: Uint8Array): Framed[] {
    const out: Framed[] = [];
    let taken = 0;
    this.#pinged = false;
    while (taken < chunk.length) {
      if (this.#skip > 0) {
        const skipped = Math.min(this.#skip, chunk.length - taken);
        this.#skip -= skipped;
        taken += skipped;
        continue;
      }
      const part = chunk.subarray(taken, taken + CAPACITY - this.#length);
      this.#append(part);
      taken += part.length;
      this.#run(out);
    }
    return out;
  }

  /** True while a message has begun and not ended, also while the end of an oversized body is read past. */
  get unfinished(): boolean {
    return this.#length > this.#from || this.#state !== 'start' || this.#skip > 0;
  }

  /** Bytes that are kept until more comes. */
  get held(): number {
    return this.#buffer.length;
  }

  /** Bytes that were no SIP since last asked. */
  takeNoise(): number {
    const noise = this.#noise;
    this.#noise = 0;
    return noise;
  }

  /**
   * Called when no byte has come for a while. With `final` false a body that is whole XML is delivered although more
   * was declared; with `final` true everything that waits is delivered or dropped, and the stream begins anew.
   */
  settle(final: boolean): Framed[] {
    const out: Framed[] = [];
    const head = this.#head;
    if (this.#state === 'body' && head !== null) {
      const there = this.#length - this.#from;
      const whole = new XmlEnd().find(this.#view());
      if (whole !== -1) this.#deliver(out, head, whole, true);
      else if (final || (there === 0 && head.contentLength === null)) this.#deliver(out, head, there, true);
      this.#run(out);
    } else if (final) {
      this.#drop(this.#length - this.#from);
      this.#state = 'start';
      this.#skip = 0;
      this.#compact();
    }
    // What stood behind a body that was cut short has waited as long.
    if (final && this.unfinished) out.push(...this.settle(true));
    return out;
  }

  #run(out: Framed[]): void {
    while (this.#state === 'start' ? this.#readStart(out) : this.#state === 'head' ? this.#readHead(out) : this.#readBody(out));
    this.#compact();
  }

  #readStart(out: Framed[]): boolean {
    if (this.#scan <= this.#from) {
      this.#passBlanks(out);
      this.#scan = this.#from;
    }
    const lf = this.#nextLineFeed();
    if (lf === -1) {
      const waiting = this.#length - this.#from;
      if (waiting > LIMITS.startLine) this.#drop(waiting - NOISE_TAIL);
      this.#scan = this.#length;
      return false;
    }
    const at = lf - this.#from < SHORTEST_START_LINE ? -1 : startLineIn(this.#buffer.toString('latin1', this.#from, lf));
    if (at === -1) {
      this.#drop(lf + 1 - this.#from);
      this.#scan = this.#from;
      return true;
    }
    this.#drop(at);
    this.#lineFeeds = 0;
    this.#scan = lf + 1;
    this.#state = 'head';
    return true;
  }

  /** RFC 5626 § 3.5.1: CRLF CRLF asks for a CRLF. */
  #passBlanks(out: Framed[]): void {
    const buffer = this.#buffer;
    const length = this.#length;
    let at = this.#from;
    for (; at < length; at++) {
      const byte = buffer[at] ?? 0;
      if (!isBlank(byte)) break;
      if (byte === LF) this.#lineFeeds++;
    }
    this.#from = at;
    if (this.#lineFeeds < 2) return;
    this.#lineFeeds %= 2;
    if (!this.#pinged) out.push({ type: 'ping' });
    this.#pinged = true;
  }

  #readHead(out: Framed[]): boolean {
    for (;;) {
      const lf = this.#nextLineFeed();
      const end = lf === -1 ? this.#length : lf;
      if (end - this.#from > LIMITS.head) return this.#refuseHead(out);
      if (lf === -1) return false;
      if (lf === this.#scan || (lf === this.#scan + 1 && this.#buffer[this.#scan] === CR)) break;
      const line = this.#buffer.toString('latin1', this.#scan, Math.min(lf, this.#scan + LIMITS.startLine));
      if (findStartLine(line) === 0) this.#drop(this.#scan - this.#from);
      this.#scan = lf + 1;
    }
    this.#head = parseHead(this.#buffer.subarray(this.#from, this.#scan));
    this.#from = this.#buffer.indexOf(LF, this.#scan) + 1;
    if (this.#head === null) {
      this.#state = 'start';
    } else if (this.#head.contentLength === 'invalid') {
      out.push(assemble(this.#head, NOTHING, NOTHING, true, 'bad-content-length'));
      this.#state = 'start';
    } else this.#beginBody();
    this.#scan = this.#from;
    return true;
  }

  #beginBody(): void {
    this.#state = 'body';
    this.#blanks = 0;
    this.#xmlEnd = new XmlEnd();
    this.#overlong = new OverlongBody();
  }

  #refuseHead(out: Framed[]): boolean {
    const head = parseHead(this.#buffer.subarray(this.#from, this.#scan));
    if (head !== null) out.push(assemble(head, NOTHING, NOTHING, true, 'head-too-large'));
    // What is left of it is noise, line by line: the next message may already be in the buffer.
    this.#drop(this.#scan - this.#from);
    this.#state = 'start';
    return true;
  }

  #readBody(out: Framed[]): boolean {
    const head = this.#head;
    if (head === null) return false;
    const there = this.#length - this.#from;
    if (typeof head.contentLength === 'number') {
      const end = this.#overlong.find(this.#view(), Math.min(head.contentLength, LIMITS.body));
      if (typeof end === 'number') return this.#deliver(out, head, end, true);
      if (end === 'open' || there < Math.min(head.contentLength, LIMITS.body)) return false;
      this.#deliver(out, head, Math.min(head.contentLength, LIMITS.body), head.contentLength > LIMITS.body);
      const over = Math.max(0, head.contentLength - LIMITS.body);
      const here = Math.min(over, this.#length - this.#from);
      this.#from += here;
      this.#skip = over - here;
      return true;
    }
    const view = this.#view();
    while (this.#blanks < there && isBlank(view[this.#blanks] ?? 0)) this.#blanks++;
    const mayCome = head.headers.some((one) => one.name === 'content-type');
    if (this.#blanks === there ? !mayCome : view[this.#blanks] !== LESS_THAN) return this.#deliver(out, head, 0, false);
    const end = this.#xmlEnd.find(view);
    if (end !== -1) return this.#deliver(out, head, end, false);
    return there >= LIMITS.body && this.#deliver(out, head, LIMITS.body, true);
  }

  #deliver(out: Framed[], head: Head, size: number, cut: boolean): true {
    const body = size === 0 ? NOTHING : Uint8Array.prototype.slice.call(this.#buffer, this.#from, this.#from + size);
    out.push(assemble(head, body, NOTHING, cut));
    this.#from += size;
    this.#scan = this.#from;
    this.#head = null;
    this.#state = 'start';
    return true;
  }

  #view(): Buffer {
    return this.#buffer.subarray(this.#from, this.#length);
  }

  #nextLineFeed(): number {
    return this.#buffer.subarray(0, this.#length).indexOf(LF, this.#scan);
  }

  #drop(size: number): void {
    this.#from += size;
    this.#noise += size;
  }

  #append(part: Uint8Array): void {
    const needed = this.#length + part.length;
    if (needed > this.#buffer.length) {
      const grown = Buffer.allocUnsafe(Math.min(CAPACITY, Math.max(FIRST_BUFFER, this.#buffer.length * 2, needed)));
      this.#buffer.copy(grown, 0, 0, this.#length);
      this.#buffer = grown;
    }
    this.#buffer.set(part, this.#length);
    this.#length = needed;
  }

  /** What was consumed is given back; an idle connection holds no buffer. */
  #compact(): void {
    if (this.#from === 0) return;
    this.#buffer.copyWithin(0, this.#from, this.#length);
    this.#length -= this.#from;
    this.#scan = Math.max(0, this.#scan - this.#from);
    this.#from = 0;
    if (this.#length === 0) this.#buffer = Buffer.alloc(0);
  }
}

const startLineIn = (line: string): number => (parseStartLine(line) === null ? findStartLine(line) : 0);
