/** Finds where an XML body ends that was declared too long, when the next message stands right behind it. */
import { LIMITS } from './message.ts';
import { findStartLine, isBlank } from './parse.ts';
import { XmlEnd } from './xml-end.ts';

const LF = 0x0a;
const LESS_THAN = 0x3c;
const BEGINNINGS = ['MESSAGE ', 'OPTIONS ', 'REGISTER ', 'INVITE ', 'ACK ', 'BYE ', 'CANCEL ', 'SIP/2.0 '];
const LONGEST_BEGINNING = 9;

/**
 * Otherwise the declared length would take the first bytes of the next alarm, or all of it. Only a whole start line of a
 * known method, or of a response, behind the root element counts: what else stands there belongs to the body.
 */
export class OverlongBody {
  readonly #xmlEnd = new XmlEnd();
  /** Where the root element ends. */
  #end = -1;
  /** The blanks before or behind the XML have been passed up to here. */
  #at = 0;
  #no = false;

  /**
   * Give it the same bytes each time, from the beginning of the body to all that came, grown at the end.
   * @returns where the body ends, before `declared`; `no`: where it was declared; `open`: more bytes will tell
   */
  find(bytes: Buffer, declared: number): number | 'no' | 'open' {
    if (this.#no) return 'no';
    const found = this.#look(bytes, declared);
    this.#no = found === 'no';
    return found;
  }

  #look(bytes: Buffer, declared: number): number | 'no' | 'open' {
    if (this.#end === -1) {
      this.#passBlanks(bytes, declared);
      if (this.#at === bytes.length || this.#at >= declared) return this.#at >= declared ? 'no' : 'open';
      if (bytes[this.#at] !== LESS_THAN) return 'no';
      const end = this.#xmlEnd.find(bytes);
      if (end === -1) return bytes.length < declared ? 'open' : 'no';
      this.#end = end;
      this.#at = end;
    }
    this.#passBlanks(bytes, declared);
    if (this.#at >= declared) return 'no';
    if (this.#at === bytes.length) return 'open';
    const tail = bytes.subarray(this.#at, this.#at + LIMITS.startLine);
    const beginning = tail.toString('latin1', 0, LONGEST_BEGINNING);
    if (!BEGINNINGS.some((one) => one.startsWith(beginning) || beginning.startsWith(one))) return 'no';
    const lf = tail.indexOf(LF);
    if (lf === -1) return tail.length < LIMITS.startLine ? 'open' : 'no';
    return findStartLine(tail.toString('latin1', 0, lf)) === 0 ? this.#end : 'no';
  }

  #passBlanks(bytes: Buffer, declared: number): void {
    while (this.#at < bytes.length && this.#at < declared && isBlank(bytes[this.#at] ?? 0)) this.#at++;
  }
}
